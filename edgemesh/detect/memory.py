"""What a learner remembers from pack to pack, beside the parts of its warm-up, its model and what moves."""

from __future__ import annotations

import msgspec

from edgemesh.detect.decision import Switch


class LearnerState(msgspec.Struct, omit_defaults=True):
    """`warm_rows` of a warm-up are there, with the first `instants` while the `method` is open; or the model moves.

    `switch` is what its alert does; `flagged`: the last row was in an episode. `moving` is a whole snapshot of what
    moves: only in the fork of a watch, which has no parts of its own.
    """

    method: str = ""
    warm_rows: int = 0
    instants: list[int] = []
    switch: Switch = msgspec.field(default_factory=Switch)
    flagged: bool = False
    moving: bytes = b""
