"""What is remembered, beside the rows themselves, of calm rows that are kept for retraining."""

from __future__ import annotations

import msgspec


class ReservoirState(msgspec.Struct, omit_defaults=True):
    """`offered`: windows that ever came; `weight`: as many windows the slots stand for; times are those of first rows.

    `slots_ns`: of the windows kept. `waits_ns`: of the newest whole window, which is kept once the one after it was
    calm, too; 0: there is none. `rows` of a window that grows are there, from `grows_ns` on.
    """

    offered: int = 0
    weight: int = 0
    slots_ns: list[int] = []
    waits_ns: int = 0
    rows: int = 0
    grows_ns: int = 0


class RetrainState(msgspec.Struct, omit_defaults=True):
    """`width` of the rows kept; 0: none yet. `since_ns`: last training, or first row; `newest_ns`: last row."""

    width: int = 0
    since_ns: int = 0
    newest_ns: int = 0
    reservoir: ReservoirState = msgspec.field(default_factory=ReservoirState)
