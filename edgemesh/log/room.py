"""The room that a journal has on its disk: its budget, and a reserve that keeps it working when the disk is full.

In write-ahead logging even a deletion needs room first. So a file beside the journal holds some; when the disk is full
it is given up, which lets the write-ahead log be emptied into the database. From then on the database may not grow:
its own free pages are all there is, and a transaction that needs more fails before it has touched anything.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from edgemesh.errors import LogError
from edgemesh.log.disk import free_bytes, renaming

RESERVE_BYTES = 8_000_000  # a full write-ahead log (4 MB), and what one large group adds to it
SLACK = 2  # so many reserves must be free before one is taken again


class Room:
    """The room of one open journal. `max_bytes` is the most that its file may have (None: any)."""

    def __init__(self, connection: sqlite3.Connection, path: Path, max_bytes: int | None, reserve_bytes: int) -> None:
        self._connection = connection
        self._path = path
        self._max_bytes = max_bytes
        self.reserve_bytes = reserve_bytes
        self._page = int(connection.execute("PRAGMA page_size").fetchone()[0])
        self.tight = False
        self._allow(max_bytes)
        if reserve_bytes:
            self.tight = not self._hold()

    @property
    def max_bytes(self) -> int | None:
        """The most that the file may have."""
        return self._max_bytes

    def used_bytes(self) -> int:
        """What the rows and the rest take up in the file, without its free pages."""
        with renaming(str(self._path)):
            return self._page * (self._number("page_count") - self._number("freelist_count"))

    def left_bytes(self) -> int:
        """What can still be added: within the budget and on the disk, free pages of the file included."""
        with renaming(str(self._path)):
            free = self._page * self._number("freelist_count")
            size = self._page * self._number("page_count")
        on_disk = free_bytes(self._path.parent) + free
        return on_disk if self._max_bytes is None else max(min(on_disk, self._max_bytes - size + free), 0)

    def squeeze(self, *, freeze: bool) -> None:
        """The disk is full: give the reserve up and empty the write-ahead log; with `freeze` the file grows no more."""
        give_up_reserve(self._path)
        with renaming(str(self._path)):
            left = self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if freeze and left[1] == left[2]:  # all of it is in the database now, whose size is therefore real
                self._allow(self._page * self._number("page_count"))
        self.tight = True

    def relax(self) -> bool:
        """Take the reserve again if the disk has room for it; whether there is room enough now."""
        if not self.tight:
            return True
        try:
            roomy = free_bytes(self._path.parent) > SLACK * self.reserve_bytes
        except LogError:
            return False
        if roomy and self._hold():
            self._allow(self._max_bytes)
            self.tight = False
        return not self.tight

    def _hold(self) -> bool:
        """Have the reserve on the disk; False: there is no room for it."""
        if not self.reserve_bytes:
            return True
        try:
            file = os.open(_beside(self._path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError:
            return False
        try:
            _allocate(file, self.reserve_bytes)
        except OSError:
            give_up_reserve(self._path)
            return False
        finally:
            os.close(file)
        return True

    def _allow(self, max_bytes: int | None) -> None:
        pages = 0xFFFFFFFE if max_bytes is None else max(max_bytes // self._page, 1)
        self._connection.execute(f"PRAGMA max_page_count = {pages}")

    def _number(self, pragma: str) -> int:
        return int(self._connection.execute(f"PRAGMA {pragma}").fetchone()[0])


def give_up_reserve(journal: Path) -> bool:
    """Give back the room that is set aside for a journal; whether there was any."""
    reserve = _beside(journal)
    try:
        reserve.unlink()
    except OSError:
        return False
    return True


def _beside(journal: Path) -> Path:
    return Path(f"{journal}-reserve")


def _allocate(file: int, size: int) -> None:
    """Have so many bytes really set aside; blocks that are there already stay."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    elif os.fstat(file).st_size < size:
        os.pwrite(file, bytes(size), 0)
