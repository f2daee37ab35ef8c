"""Retention by size: when the recorder's file has no room left, the oldest gives way, raw readings first."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable

from edgemesh.store.retention import end_of
from edgemesh.store.schema import read_state, write_state

logger = logging.getLogger(__name__)

ROW_BYTES = 25
"""Less than any row takes, so that one step never frees too little by much."""
SPARED = 2
"""Buckets at the new end of each table that never give way: the present is always there."""
SAY_EVERY_S = 3_600.0
NOTICE_S = 600.0
_TABLES = (
    ("reading", "minute", "raw_from", "raw readings"),
    ("rollup_1min", "bucket", "minutes_from", "minutes"),
    ("rollup_10min", "bucket", "", "ten minutes"),
)
"""In the order in which they give way: table, column of its buckets, the mark of its beginning, and name."""


def used_bytes(connection: sqlite3.Connection) -> int:
    """What the file holds without its free pages, which are used again but not given back."""
    page, count, free = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_size", "page_count", "freelist_count")
    )
    return page * (count - free)


class Size:
    """Keeps a history within `max_bytes` (None: any), and says what that costs. `steady`: seconds, set by nobody."""

    def __init__(self, max_bytes: int | None, steady: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes, self._steady = max_bytes, steady
        self._what = ""
        self._said_s = self._last_s = 0.0
        self._rows = 0

    def trim(self, connection: sqlite3.Connection, limit: int) -> int:
        """Delete whole buckets, the oldest, of about `limit` rows at most, if there is too much; return how many rows.

        Inside the open transaction; the state counts them as `given_way`.
        """
        excess = used_bytes(connection) - self._max_bytes if self._max_bytes is not None else 0
        if excess <= 0:
            return 0
        for table, column, mark, name in _TABLES:
            gone = _give_way(connection, table, column, min(limit, excess // ROW_BYTES + 1), mark)
            if gone:
                state = read_state(connection)
                write_state(connection, {"given_way": state["given_way"] + gone})
                self._say(name, gone)
                return gone
        return 0

    @property
    def notice(self) -> str:
        """For the agent's card: what gives way now, although it is not past its age; empty: nothing."""
        if not self._what or self._steady() - self._last_s > NOTICE_S:
            return ""
        return f"the history is full ([recorder] budget): the oldest {self._what} give way"

    def _say(self, name: str, gone: int) -> None:
        now_s = self._steady()
        self._rows += gone
        self._last_s = now_s
        if name != self._what or now_s - self._said_s > SAY_EVERY_S:
            logger.error("the history is full: the oldest %s give way, %d rows so far", name, self._rows)
            self._what, self._said_s = name, now_s


def _give_way(connection: sqlite3.Connection, table: str, column: str, limit: int, mark: str) -> int:
    """Delete the oldest buckets of a table, one at least, with up to `limit` rows beside it; 0: they are spared."""
    oldest, newest = end_of(connection, table, column, "min"), end_of(connection, table, column, "max")
    if oldest is None or newest is None or oldest > newest - SPARED:
        return 0
    stop = connection.execute(
        f"SELECT {column} FROM {table} ORDER BY {column} LIMIT 1 OFFSET ?",  # noqa: S608  our own names
        (limit,),
    ).fetchone()
    keep_from = min(max(oldest + 1, stop[0] if stop else newest), newest - SPARED + 1)
    gone = connection.execute(f"DELETE FROM {table} WHERE {column} < ?", (keep_from,)).rowcount  # noqa: S608  our own names
    if mark:
        state = read_state(connection)
        write_state(connection, {mark: max(state[mark], keep_from)})
    return gone
