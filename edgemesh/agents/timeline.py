"""The time of one agent over all its starts: what its core has to hear when the clock turns, and how old rows are."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from edgemesh.agents.clock import Clock, ClockState
from edgemesh.errors import LogDamaged
from edgemesh.log.journal import Journal

PART = "engine/clock"
"""The name of what is kept among the parts of the core."""
SAVE_NS = 1_000_000_000
MAX_TURNS = 64
Turned = tuple[int, int]
"""The last row that was stamped before the clock turned, and by how much it turned."""


class _Kept(msgspec.Struct, frozen=True):
    """`ticked_ns`: the last time that the core was told; `turns`: those that rows of this epoch are older than."""

    state: ClockState
    ticked_ns: int
    epoch: str
    turns: tuple[Turned, ...] = ()


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Kept).decode


class Timeline:
    """Knows how the clock has turned since the journal's rows were stamped. `keep`: what `turn` noted is on the disk.

    `opening_by_ns` is what the core has to hear before anything else. Raises LogDamaged when what was kept is not what
    was written.
    """

    def __init__(self, clock: Clock, journal: Journal) -> None:
        self._clock, self._journal = clock, journal
        self._seen = self._kept_seen = clock.turns
        self._epoch = journal.epoch
        self._turns: tuple[Turned, ...] = ()
        content = journal.parts().get(PART)
        self._kept: _Kept | None = None
        self.opening_by_ns = 0
        if content is not None:
            try:
                self._kept = _decode(content)
            except msgspec.MsgspecError as damage:
                raise LogDamaged(f"the part {PART} can't be read: {damage}") from damage
            self._go_on(self._kept)
        self._kept_turns: tuple[Turned, ...] = self._turns

    def _go_on(self, kept: _Kept) -> None:
        """After another boot nobody knows how long it took: where the clock can't tell, no time has passed."""
        self._turns = kept.turns if kept.epoch == self._epoch else ()
        if self._clock.state is None or self._clock.resume(kept.state):
            return
        now_ns = self._clock.now_ns()
        if now_ns < kept.ticked_ns or kept.state.doubt:
            self.opening_by_ns = now_ns - kept.ticked_ns
            self._seen = self._kept_seen = -1  # until it is told

    @property
    def current(self) -> bool:
        """Whether the core knows of every turn of the clock."""
        return self._seen == self._clock.turns

    def now_ns(self) -> int | None:
        """The time now, as the core knows it; None while it has not heard yet that the clock turned. In any thread."""
        now_ns = self._clock.now_ns()
        return now_ns if self.current else None

    def offset_ns(self, seq: int) -> int:
        """What to add to the time of a row of the outbox so that it can be compared with now."""
        return sum(by_ns for last, by_ns in self._of_this_log() if seq <= last)

    def segments(self, through: int) -> Sequence[tuple[int, int]]:
        """Ends of stretches of rows up to `through` with one offset each, oldest first, and that offset."""
        ends = sorted({last for last, _ in self._of_this_log() if last < through} | {through})
        return [(end, self.offset_ns(end)) for end in ends]

    def turn(self, by_ns: int, number: int) -> None:
        """The core was told of the clock's turn of this number."""
        self._seen = max(self._seen, number)
        self._note(by_ns)

    def part(self, ticked_ns: int) -> dict[str, bytes | None]:
        """What is to be kept with this commit, when enough has changed."""
        state = self._clock.state
        if state is None or not self.current:
            return {}
        kept = self._kept
        turns = tuple(turn for turn in self._of_this_log() if turn[0] >= self._journal.lowest)
        if kept is not None and (kept.turns, kept.state.doubt, kept.state.boot) == (turns, state.doubt, state.boot):
            moved_ns = abs(kept.state.base_ns - state.base_ns)
            if moved_ns < SAVE_NS // 100 and ticked_ns - kept.ticked_ns < SAVE_NS:
                return {}
        self._turns = turns
        self._kept = _Kept(state, ticked_ns, self._epoch, turns)
        return {PART: _encode(self._kept)}

    def keep(self) -> None:
        """What was noted is on the disk."""
        self._kept_seen, self._kept_turns = self._seen, self._turns

    def undo(self) -> None:
        """What was noted since `keep` is not."""
        self._seen, self._turns, self._kept = self._kept_seen, self._kept_turns, None

    def _note(self, by_ns: int) -> None:
        if by_ns and self._journal.head:
            self._turns = (*self._of_this_log(), (self._journal.head, by_ns))[-MAX_TURNS:]

    def _of_this_log(self) -> tuple[Turned, ...]:
        """The turns; a log that began anew meanwhile has seen none."""
        if self._epoch != self._journal.epoch:
            self._epoch = self._journal.epoch
            self._turns = self._kept_turns = ()
        return self._turns
