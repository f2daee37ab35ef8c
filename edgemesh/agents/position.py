"""How far a detector's core is in the log of one gateway, and where in it a pack belongs."""

from __future__ import annotations

import enum

import msgspec

from edgemesh.log.outbox import MAX_AHEAD, Cursor, Span
from edgemesh.model.packs import Readings

_EPOCHS_KEPT = 4


class Place(enum.Enum):
    """Where a pack belongs: it was had; it fills a hole; it follows all that was had; it leaves a hole behind."""

    HAD = 0
    OLD = 1
    NEXT = 2
    AHEAD = 3


class Position(msgspec.Struct, omit_defaults=True):
    """What was handled of each epoch of one gateway's log, as in `Cursor`; the newest epoch last.

    Late packs have raised something that nobody was told of yet; at `hush_until_ns` of watched time it is said, even if
    nothing more comes. 0: there is nothing.
    """

    epochs: dict[str, int] = {}
    ahead: dict[str, tuple[Span, ...]] = {}
    hush_until_ns: int = 0

    @property
    def holes(self) -> list[int]:
        """The live rows before which older ones are missing."""
        return [first for first, _ in self.ahead.get(next(reversed(self.epochs), ""), ())]

    def place(self, pack: Readings) -> Place:
        """Where the pack belongs. A row that is missing without a word is taken for lost."""
        if pack.seq == self.epochs.get(pack.epoch, -1) + 1 and not self.ahead:
            return Place.NEXT
        at = self._at(pack)
        if at.has(pack.seq):
            return Place.HAD
        if pack.seq < at.top:
            return Place.OLD
        begins = pack.seq >= pack.live > at.top + 1 and len(at.ahead) < MAX_AHEAD
        return Place.AHEAD if begins else Place.NEXT

    def lose(self, pack: Readings) -> None:
        """What is gone for good is missing no more."""
        self._put(self._at(pack))

    def take(self, pack: Readings, place: Place) -> None:
        """The pack counts as handled."""
        if place is Place.NEXT and not self.ahead and next(reversed(self.epochs), "") == pack.epoch:
            self.epochs[pack.epoch] = pack.seq
            return
        at = self._at(pack)
        self._put(at.add(pack.seq) if place is Place.AHEAD or pack.seq == at.top + 1 else at.reach(pack.seq))

    def _at(self, pack: Readings) -> Cursor:
        epoch = pack.epoch
        at = Cursor(epoch, self.epochs.get(epoch, 0), self.ahead.get(epoch, ()))
        return at.reach(min(pack.lowest, pack.seq) - 1)

    def _put(self, at: Cursor) -> None:
        self.epochs.pop(at.epoch, None)
        self.ahead.pop(at.epoch, None)
        self.epochs[at.epoch] = at.through
        if at.ahead:
            self.ahead[at.epoch] = at.ahead
        while len(self.epochs) > _EPOCHS_KEPT:
            oldest = next(iter(self.epochs))
            del self.epochs[oldest]
            self.ahead.pop(oldest, None)
