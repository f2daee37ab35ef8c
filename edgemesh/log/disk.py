"""What SQLite and the system say about the disk, in the words of the tree of errors and in bytes."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgemesh.errors import LogDamaged, LogError, LogFull

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_READ_ONLY = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}


def in_our_words(error: sqlite3.Error, where: str) -> LogError:
    """Return the LogError, LogFull or LogDamaged that means the same; `where` begins its text."""
    code = getattr(error, "sqlite_errorcode", 0)
    primary = code & 0xFF  # the rest tells kinds of I/O apart
    if primary == sqlite3.SQLITE_FULL or code == sqlite3.SQLITE_IOERR_SHMSIZE:
        return LogFull(f"{where}: no room left on the disk or in the budget")
    # Python's own complaint about text that is no UTF-8 carries no code; tables of ours that are not there are damage.
    if primary in _DAMAGED or str(error).startswith(("Could not decode", "no such table", "no such column")):
        return LogDamaged(f"{where}: {error}")
    if primary in _BUSY:
        return LogError(f"{where}: another process keeps the file locked")
    if primary in _READ_ONLY:
        return LogError(f"{where}: can't be written ({error}); is the disk read-only, or the file another user's?")
    return LogError(f"{where}: {error}")


@contextmanager
def renaming(where: str) -> Iterator[None]:
    """Let no error of sqlite3 out, only ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise in_our_words(error, where) from error
    except UnicodeDecodeError as error:  # a message of SQLite that quotes what was damaged
        raise LogDamaged(f"{where}: {error}") from error


def free_bytes(folder: Path) -> int:
    """What a program without privileges can still write on the disk of the folder. LogError when nobody can tell."""
    try:
        disk = os.statvfs(folder)
    except OSError as error:
        raise LogError(f"{folder}: {error.strerror}") from error
    return disk.f_bavail * disk.f_frsize


def written_bytes() -> int | None:
    """What this process has had written to disks since it started, in whole pages; None where nobody counts (Linux
    does). Pages that were changed again before they reached the disk count once.
    """
    try:
        counters = Path("/proc/self/io").read_text()
    except OSError:
        return None
    found = dict(line.split(": ") for line in counters.splitlines())
    return int(found["write_bytes"])


def size_of(file: Path) -> int:
    """Bytes in the file; 0 when there is none."""
    return file.stat().st_size if file.exists() else 0
