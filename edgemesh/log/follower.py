"""The consumer's side of one log: which pack is next, which was had, which is missing. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgemesh.log.outbox import MAX_AHEAD, Cursor

PAST_EPOCHS = 16  # how many earlier epochs are remembered
PERSISTENCE = 3  # packs of an earlier epoch, with none of the present one between, that make it the present one again


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with a pack.

    `take`: it is the next one, or the next of the live lane; process it. `ask`: rows before it are missing and still
    held by the producer; don't process it, announce `position` with `resend`. Neither: settle it; it was had before, or
    it comes again in its turn. `lost`: so many rows are gone for good before it. `new_epoch`: the producer's log is
    another one than before.
    """

    take: bool = False
    lost: int = 0
    ask: bool = False
    new_epoch: bool = False


_NO_STRAYS = ("", 0)
_HAD, _NEXT = Verdict(), Verdict(take=True)


class Follower:
    """Judges the packs of one agent's log as they arrive: late, twice, in any order, or not at all.

    `cursor` is how far the log was taken in, or None at first contact; `past` tells the same of earlier epochs
    (`Journal.past`).

    After an outage a producer sends live rows before older ones, and names the first of them (`live`). With it a *live
    lane* begins: from there on each row that follows the last one is taken besides those that fill the hole.

    A pack of an earlier epoch is skipped. Only when several come and none of the present epoch does, the earlier epoch
    is the living one (a stray pack from a file long gone must not lock the follower out) and goes on where it stood.
    """

    def __init__(self, cursor: Cursor | None, past: Mapping[str, Cursor] | None = None) -> None:
        self._past: dict[str, Cursor] = {}
        self.restart_from(cursor, past)

    @classmethod
    def begin_after(cls, cursor: Cursor | None) -> Follower:
        """Make one for whom the rows up to the cursor are of no concern: they are not lost if they are gone."""
        follower = cls(cursor)
        follower._taken = False
        return follower

    @property
    def position(self) -> Cursor | None:
        """How far the packs were taken; None: no contact yet."""
        return self._at

    def restart_from(self, cursor: Cursor | None, past: Mapping[str, Cursor] | None = None) -> None:
        """Fall back to what was committed, as after a rollback. Without `past` the earlier epochs stay as they are."""
        self._past = dict(self._past if past is None else past)
        self._at = cursor
        self._taken = cursor is not None
        self._strays = _NO_STRAYS

    def receive(self, epoch: str, seq: int, lowest: int, live: int = 0) -> Verdict:
        """Judge the pack `seq` of `epoch`, sent when `lowest` was the oldest row held; if it is next, move on.

        `live` is the first row that the producer sends live, 0: it sends in order, or we want to have it so.
        """
        lowest = min(lowest, seq)
        at = self._at
        if at is not None and epoch == at.epoch:
            self._strays = _NO_STRAYS
            if seq == at.through + 1 and not at.ahead:  # the usual case, and quick
                self._at, self._taken = Cursor(epoch, seq), True
                return _NEXT
            return self._judge(at, seq, lowest, live, new_epoch=False)
        if epoch in self._past and not self._persists(epoch):
            return _HAD
        return self._judge(self._switch(epoch, lowest), seq, lowest, live, new_epoch=at is not None)

    def _judge(self, at: Cursor, seq: int, lowest: int, live: int, *, new_epoch: bool) -> Verdict:
        self._at = at
        if at.has(seq):
            return Verdict(new_epoch=True) if new_epoch else _HAD
        # Before the first pack was taken, nothing was promised that could be lost.
        lost = at.missing(lowest - 1) if self._taken else 0
        self._at = at = at.reach(lowest - 1)
        may_begin = len(at.ahead) < MAX_AHEAD
        begins = may_begin and seq == live > at.top + 1
        if begins or seq == at.through + 1 or (at.ahead and seq == at.top + 1):
            self._at, self._taken = at.add(seq), True
            return Verdict(take=True, lost=lost, new_epoch=new_epoch)
        older_are_coming = not may_begin and at.top + 1 < live <= seq
        return Verdict(lost=lost, ask=not older_are_coming, new_epoch=new_epoch)

    def _persists(self, epoch: str) -> bool:
        known, count = self._strays
        self._strays = (epoch, count + 1 if known == epoch else 1)
        return self._strays[1] >= PERSISTENCE

    def _switch(self, epoch: str, lowest: int) -> Cursor:
        if self._at is not None:
            self._past[self._at.epoch] = self._at
        known = self._past.pop(epoch, None)
        while len(self._past) > PAST_EPOCHS:
            del self._past[next(iter(self._past))]
        self._taken = known is not None
        self._strays = _NO_STRAYS
        return known or Cursor(epoch, lowest - 1)
