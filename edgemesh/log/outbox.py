"""Rows of an outbox and cursors into one: the two values that producer and consumer talk about."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

MAX_AHEAD = 4
"""So many spans of rows may be taken before older ones: a consumer keeps something for each of them."""

Span = tuple[int, int]
"""The first and the last of some rows without a gap."""


@dataclass(frozen=True, slots=True)
class Row:
    """One pack as the outbox holds it.

    `seq` rises by one per row and never restarts within a file. `body` is the JSON array of records, as the wire
    carries it; `at_ns` the agent's clock at the commit (UTC); `trace` a W3C traceparent or empty.
    """

    seq: int
    kind: str
    at_ns: int
    trace: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a consumer is in a log: it has everything of `epoch` up to and including row `through`.

    `ahead` are spans of rows that it has beyond, because live rows were sent before older ones: they rise, and before
    each of them rows are missing.
    """

    epoch: str
    through: int
    ahead: tuple[Span, ...] = ()

    @property
    def top(self) -> int:
        """The last row of all that it has."""
        return self.ahead[-1][1] if self.ahead else self.through

    def has(self, seq: int) -> bool:
        """Whether it has the row."""
        return seq <= self.through or any(first <= seq <= last for first, last in self.ahead)

    def is_behind(self, other: Cursor) -> bool:
        """Whether it has come less far in the same epoch, either without a gap or in all.

        >>> Cursor("0a", 5).is_behind(Cursor("0a", 5, ((9, 9),))), Cursor("0a", 9).is_behind(Cursor("0a", 5, ((9, 9),)))
        (True, False)
        """
        return self.epoch == other.epoch and (self.through < other.through or self.top < other.top)

    def missing(self, through: int) -> int:
        """How many rows up to `through` it does not have."""
        return sum(max(0, min(stop, through) - start) for start, stop in self._holes(through))

    def add(self, seq: int) -> Cursor:
        """With one row more: the one after `through`, or one beyond all that it has; else ValueError.

        >>> Cursor("0a", 3).add(9).add(10).add(4)
        Cursor(epoch='0a', through=4, ahead=((9, 10),))
        """
        if seq == self.through + 1:
            return self.reach(seq)
        if seq <= self.top:
            raise ValueError(f"row {seq} is not the next of {self}")
        first = seq
        ahead = self.ahead
        if ahead and ahead[-1][1] + 1 == seq:
            first, ahead = ahead[-1][0], ahead[:-1]
        return Cursor(self.epoch, self.through, (*ahead, (first, seq)))

    def reach(self, through: int) -> Cursor:
        """With all rows up to `through`: they were taken, or are gone for good.

        >>> Cursor("0a", 3, ((9, 10), (20, 21))).reach(8)
        Cursor(epoch='0a', through=10, ahead=((20, 21),))
        """
        if through <= self.through:
            return self
        ahead = self.ahead
        while ahead and ahead[0][0] <= through + 1:
            through, ahead = max(through, ahead[0][1]), ahead[1:]
        return Cursor(self.epoch, through, ahead)

    def _holes(self, through: int) -> list[Span]:
        """The rows before each span of rows: after which row it begins, and its last one."""
        starts = [self.through, *(last for _, last in self.ahead)]
        stops = [*(first - 1 for first, _ in self.ahead), through]
        return list(zip(starts, stops, strict=True))


def checksum(seq: int, kind: str, at_ns: int, trace: str, body: bytes) -> int:
    """CRC-32 over everything that a row holds."""
    return zlib.crc32(body, zlib.crc32(f"{seq}\x1f{kind}\x1f{at_ns}\x1f{trace}".encode()))


def checksum_of(*pieces: bytes) -> int:
    """CRC-32 over the pieces in their order."""
    crc = 0
    for piece in pieces:
        crc = zlib.crc32(piece, crc)
    return crc
