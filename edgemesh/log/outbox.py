"""Rows of an outbox and cursors into one: the two values that producer and consumer talk about."""

from __future__ import annotations

import zlib
from dataclasses import dataclass


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
    """How far a consumer is in a log: it has everything of `epoch` up to and including row `through`."""

    epoch: str
    through: int


def checksum(seq: int, kind: str, at_ns: int, trace: str, body: bytes) -> int:
    """CRC-32 over everything that a row holds."""
    return zlib.crc32(body, zlib.crc32(f"{seq}\x1f{kind}\x1f{at_ns}\x1f{trace}".encode()))


def checksum_of(*pieces: bytes) -> int:
    """CRC-32 over the pieces in their order."""
    crc = 0
    for piece in pieces:
        crc = zlib.crc32(piece, crc)
    return crc
