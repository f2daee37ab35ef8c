"""The consumer's side of one log: which pack is next, which was had, which is missing. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgemesh.log.outbox import Cursor

PAST_EPOCHS = 16  # how many earlier epochs are remembered
PERSISTENCE = 3  # packs of an earlier epoch, with none of the present one between, that make it the present one again


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with a pack.

    `take`: it is the next one, process it. `ask`: rows before it are missing and still held by the producer; don't
    process it, announce `position` with `resend`. Neither: it was had before, settle it. `lost`: so many rows are gone
    for good before it. `new_epoch`: the producer's log is another one than before.
    """

    take: bool = False
    lost: int = 0
    ask: bool = False
    new_epoch: bool = False


_HAD = Verdict()


class Follower:
    """Judges the packs of one agent's log as they arrive: late, twice, in any order, or not at all.

    `cursor` is how far the log was taken in, or None at first contact; `past` tells the same of earlier epochs
    (`Journal.past`).

    A pack of an earlier epoch is skipped. Only when several come and none of the present epoch does, the earlier epoch
    is the living one (a stray pack from a file long gone must not lock the follower out) and goes on where it stood.
    """

    def __init__(self, cursor: Cursor | None, past: Mapping[str, int] | None = None) -> None:
        self._past: dict[str, int] = {}
        self.restart_from(cursor, past)

    @property
    def position(self) -> Cursor | None:
        """How far the packs were taken; None: no contact yet."""
        return None if self._epoch is None else Cursor(self._epoch, self._through)

    def restart_from(self, cursor: Cursor | None, past: Mapping[str, int] | None = None) -> None:
        """Fall back to what was committed, as after a rollback. Without `past` the earlier epochs stay as they are."""
        self._past = dict(self._past if past is None else past)
        self._epoch = None if cursor is None else cursor.epoch
        self._through = 0 if cursor is None else cursor.through
        self._taken = cursor is not None
        self._strays = ("", 0)

    def receive(self, epoch: str, seq: int, lowest: int) -> Verdict:
        """Judge the pack `seq` of `epoch`, sent when `lowest` was the oldest row held; if it is next, move on."""
        lowest = min(lowest, seq)
        if epoch == self._epoch:
            self._strays = ("", 0)
            return self._judge(seq, lowest, new_epoch=False)
        if epoch in self._past and not self._persists(epoch):
            return _HAD
        new_epoch = self._epoch is not None
        self._switch(epoch, lowest)
        return self._judge(seq, lowest, new_epoch=new_epoch)

    def _judge(self, seq: int, lowest: int, *, new_epoch: bool) -> Verdict:
        if seq <= self._through:
            return Verdict(new_epoch=True) if new_epoch else _HAD
        # Before the first pack was taken, nothing was promised that could be lost.
        lost = max(lowest - 1 - self._through, 0) if self._taken else 0
        self._through = max(self._through, lowest - 1)
        take = seq == self._through + 1
        if take:
            self._through, self._taken = seq, True
        return Verdict(take=take, lost=lost, ask=not take, new_epoch=new_epoch)

    def _persists(self, epoch: str) -> bool:
        known, count = self._strays
        self._strays = (epoch, count + 1 if known == epoch else 1)
        return self._strays[1] >= PERSISTENCE

    def _switch(self, epoch: str, lowest: int) -> None:
        if self._epoch is not None:
            self._past[self._epoch] = self._through
        known = self._past.pop(epoch, None)
        while len(self._past) > PAST_EPOCHS:
            del self._past[next(iter(self._past))]
        self._epoch = epoch
        self._taken = known is not None
        self._through = lowest - 1 if known is None else known
        self._strays = ("", 0)
