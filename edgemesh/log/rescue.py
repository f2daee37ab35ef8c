"""What is done with a damaged journal: it is moved aside, never deleted at once, and its rows are saved one by one."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from edgemesh.errors import LogError
from edgemesh.log.outbox import checksum

ASIDE = 3  # files that are kept aside; the oldest gives way
_SPAN = 256
_MOST = 1_000_000  # rows that are looked for, the newest
_ROWS = "SELECT seq, crc, at_ns, kind, trace, body FROM outbox WHERE seq BETWEEN ? AND ? ORDER BY seq"


def set_aside(path: Path) -> Path:
    """Rename the journal to `{name}.broken-N`, its write-ahead log with it, and return the new path.

    Raises LogError when the disk lets nobody rename.
    """
    names = [Path(f"{path}.broken-{number}") for number in range(1, ASIDE + 1)]
    free = [name for name in names if not name.exists()]
    aside = free[0] if free else min(names, key=lambda name: name.stat().st_mtime_ns)
    try:
        for beside in ("-wal", "-shm"):
            Path(f"{aside}{beside}").unlink(missing_ok=True)
        path.rename(aside)
        log = Path(f"{path}-wal")
        if log.exists():
            log.rename(f"{aside}-wal")
        Path(f"{path}-shm").unlink(missing_ok=True)
    except OSError as error:
        raise LogError(f"{path}: is damaged and can't be moved aside: {error.strerror}") from error
    return aside


def salvage(aside: Path, into: sqlite3.Connection, head: int) -> int:
    """Append every row of a damaged journal that is what was written, and return how many there were.

    Inside the open transaction of `into`. `head` is the last row as far as anybody knows; more are looked for.
    """
    saved = 0
    with closing(sqlite3.connect(f"{aside.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)) as broken:
        broken.execute("PRAGMA writable_schema = ON")  # else a file that is shorter than it says is not read at all
        if not _is_database(broken):
            return 0
        first, last = _reach(broken, head)
        for start in range(first, last + 1, _SPAN):
            for seq, crc, at_ns, kind, trace, body in _readable(broken, start, min(start + _SPAN - 1, last)):
                if isinstance(body, bytes) and checksum(seq, kind, at_ns, trace, body) == crc:
                    saved += 1
                    row = (saved, checksum(saved, kind, at_ns, trace, body), at_ns, kind, trace, body)
                    into.execute(
                        "INSERT INTO outbox (seq, crc, at_ns, kind, trace, body) VALUES (?, ?, ?, ?, ?, ?)", row
                    )
    return saved


def _reach(broken: sqlite3.Connection, head: int) -> tuple[int, int]:
    """The first and the last row that may be there."""
    first, last = 1, head
    with suppress(sqlite3.Error, UnicodeDecodeError, TypeError):
        (pruned,) = broken.execute("SELECT pruned FROM identity").fetchone()
        first = max(1, int(pruned) + 1) if 0 <= pruned <= head else 1
    with suppress(sqlite3.Error, UnicodeDecodeError, TypeError):
        (newest,) = broken.execute("SELECT max(seq) FROM outbox").fetchone()
        last = max(last, int(newest)) if newest < head + _MOST else last
    return max(first, last - _MOST), last


def _is_database(broken: sqlite3.Connection) -> bool:
    """Whether it is worth while to look for rows."""
    try:
        broken.execute("SELECT 1 FROM outbox LIMIT 1").fetchone()
    except UnicodeDecodeError:
        return True
    except sqlite3.Error as error:
        return getattr(error, "sqlite_errorcode", 0) not in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
    return True


def _readable(broken: sqlite3.Connection, first: int, last: int) -> list[tuple[int, int, int, str, str, bytes]]:
    try:
        return broken.execute(_ROWS, (first, last)).fetchall()
    except (sqlite3.Error, UnicodeDecodeError):
        if first == last:
            return []
    middle = (first + last) // 2
    return [*_readable(broken, first, middle), *_readable(broken, middle + 1, last)]
