"""What a learner remembers from pack to pack, beside the parts of its warm-up, its model and what moves."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

import msgspec

from edgemesh.detect.base.decision import Switch
from edgemesh.detect.models.provenance import About
from edgemesh.model.samples import Retimed


class LearnerState(msgspec.Struct, omit_defaults=True):
    """`warm_rows` of a warm-up are there, with the first `instants` while the `method` is open; or the model moves.

    `switch` is what its alert does; `flagged`: the last row was in an episode. `moving` is a whole snapshot of what
    moves: only in the fork of a watch, which has no parts of its own. `about`: how its model came about. `ease`: so
    many times as far out its limits lie as it has learnt. `peak`: the largest score of this episode; `mute`: it is said
    no more of it unless the score exceeds this.
    """

    method: str = ""
    warm_rows: int = 0
    instants: list[int] = []
    switch: Switch = msgspec.field(default_factory=Switch)
    flagged: bool = False
    moving: bytes = b""
    about: About = msgspec.field(default_factory=About)
    ease: float = 1.0
    peak: float = 0.0
    mute: float = 0.0


class Kept(msgspec.Struct, omit_defaults=True):
    """Rows of one pack that wait until something was learnt, and what was true when they came.

    `calm`: nothing else was wrong with the machine; `origin`: the pack; `hushed`: what they bring about is not said at
    once. `skips`: no rows, but a jump to a later time.
    """

    instants: Sequence[int] = []
    rows: Sequence[Sequence[float | None]] = []
    calm: bool = True
    origin: str = ""
    hushed: bool = False
    skips: bool = False


class Waiting:
    """A queue of kept rows that is saved as one part for each pack: `kept/K`, numbered in the order they came."""

    def __init__(self) -> None:
        self._first = 0
        self._queue: deque[Kept] = deque()
        self._dirty: set[int] = set()

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def rows(self) -> int:
        """How many rows wait; a jump counts as one."""
        return sum(len(kept.rows) or 1 for kept in self._queue)

    def append(self, kept: Kept) -> None:
        """It came last."""
        self._dirty.add(self._first + len(self._queue))
        self._queue.append(kept)

    def pop(self) -> Kept:
        """Take out what came first."""
        self._dirty.add(self._first)
        self._first += 1
        return self._queue.popleft()

    def put_back(self, kept: Kept) -> None:
        """What of the first is left has to wait again."""
        self._first -= 1
        self._dirty.add(self._first)
        self._queue.appendleft(kept)

    def put_right(self, retimed: Retimed) -> None:
        """The gateway's clock is known now."""
        for number, kept in enumerate(self._queue, start=self._first):
            kept.instants = [retimed.at(at_ns) for at_ns in kept.instants]
            self._dirty.add(number)

    def parts(self) -> dict[str, bytes | None]:
        """The parts that changed since the last call; None: gone."""
        parts: dict[str, bytes | None] = {}
        for number in self._dirty:
            place = number - self._first
            there = 0 <= place < len(self._queue)
            parts[f"kept/{number}"] = msgspec.msgpack.encode(self._queue[place]) if there else None
        self._dirty.clear()
        return parts

    def restore(self, parts: Mapping[str, bytes]) -> None:
        """Go on from what was saved. ValueError: it can't be read, or one is missing."""
        numbers = sorted(int(name[5:]) for name in parts if name.startswith("kept/"))
        self._first = numbers[0] if numbers else 0
        if numbers != list(range(self._first, self._first + len(numbers))):
            raise ValueError("rows that waited are missing")
        self._queue = deque(msgspec.msgpack.decode(parts[f"kept/{number}"], type=Kept) for number in numbers)
