"""The sender's end of the spool: reads what waits, beside the recorder that writes it."""

from __future__ import annotations

import sqlite3
import urllib.parse
import zlib
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from edgemesh.errors import StoreError
from edgemesh.store.influx.spool import Lane

MAX_BYTES = 4_000_000
"""Of one request, before it is compressed; a line alone may have more."""
ROWS = 1_000
_ROWS = "SELECT id, lines, body FROM influx_spool WHERE lane = ? AND id > ? ORDER BY id LIMIT ?"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a lane is: after row `row`, and `skip` lines into row `into`, if that is still there."""

    row: int = 0
    skip: int = 0
    into: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    """Lines that go together, in order. `begins` and `ends` are places before and after them; `more` wait.

    Without a `body` they are those of a row that is not what was written.
    """

    lane: Lane
    begins: Place
    ends: Place
    lines: int
    body: bytes
    more: bool

    @property
    def key(self) -> str:
        """The same for the same lines."""
        return f"{int(self.lane)}/{self.begins.row}.{self.begins.skip}-{self.ends.row}.{self.ends.skip}"


class SpoolReader:
    """Reads the spool in the recorder's file, for one thread. StoreError, retryable: the file is busy or not there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def take(self, lane: Lane, place: Place, max_lines: int) -> Request | None:
        """The next lines of a lane after a place, at most so many; None: none wait. Nothing is taken out."""
        try:
            return self._take(lane, place, max_lines)
        except sqlite3.Error as error:
            self.close()
            raise StoreError(f"{self._path}: {error}", retryable=True) from error

    def close(self) -> None:
        """Let go of the file; the next `take` opens it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _take(self, lane: Lane, place: Place, max_lines: int) -> Request | None:
        bodies: list[bytes] = []
        count = size = 0
        ends, more, seen = place, False, 0
        with closing(
            self._open().execute(_ROWS, (int(lane), place.row, ROWS))
        ) as rows:  # an open one would hold the file
            for row, lines, packed in rows:
                skip = place.skip if row == place.into else 0
                left, body = lines - skip, _unpack(packed)
                if not body and not bodies:
                    return Request(lane, place, Place(row), left, b"", True)
                more = bool(bodies) and (not body or count + left > max_lines or size + len(body) > MAX_BYTES)
                if more:
                    break
                seen += 1
                if skip or left > max_lines:
                    body = b"\n".join(body.split(b"\n")[skip : skip + max_lines])
                bodies.append(body)
                taken = min(left, max_lines)
                count, size = count + taken, size + len(body)
                if taken < left:
                    ends, more = Place(ends.row, skip + taken, row), True
                    break
                ends = Place(row)
        return Request(lane, place, ends, count, b"\n".join(bodies), more or seen == ROWS) if count else None

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            address = f"file:{urllib.parse.quote(str(self._path.absolute()))}?mode=ro"
            self._connection = sqlite3.connect(address, uri=True, timeout=5.0, check_same_thread=False)
        return self._connection


def _unpack(packed: object) -> bytes:
    """The lines of a row; empty: it is damaged."""
    try:
        return zlib.decompress(packed) if isinstance(packed, bytes) else b""
    except zlib.error:
        return b""
