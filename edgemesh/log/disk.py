"""What SQLite says about the disk, in the words of the tree of errors."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from edgemesh.errors import LogDamaged, LogError, LogFull

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def in_our_words(error: sqlite3.Error, where: str) -> LogError:
    """Return the LogError, LogFull or LogDamaged that means the same; `where` begins its text."""
    primary = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the low byte; the rest tells kinds of I/O apart
    if primary == sqlite3.SQLITE_FULL:
        return LogFull(f"{where}: no room left on the disk or in the budget")
    # Python's own complaint about text that is no UTF-8 carries no code.
    if primary in _DAMAGED or (not primary and str(error).startswith("Could not decode")):
        return LogDamaged(f"{where}: {error}")
    if primary in _BUSY:
        return LogError(f"{where}: another process keeps the file locked")
    return LogError(f"{where}: {error}")


@contextmanager
def renaming(where: str) -> Iterator[None]:
    """Let no error of sqlite3 out, only ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise in_our_words(error, where) from error
