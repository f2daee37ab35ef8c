"""Retention: readings live for hours, minutes for weeks, ten minutes for years."""

from __future__ import annotations

import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable

from edgemesh.store.schema import MINUTE_NS, TEN, read_state, write_state

RAW_S = 6 * 3600.0
MINUTE_S = 30 * 86_400.0
TEN_MINUTES_S = 730 * 86_400.0
STEP_ROWS = 20_000

HEAD_START_NS = 20 * MINUTE_NS
RATE = 2

_OLDEST = "SELECT {key} FROM {table} WHERE {first} < ? ORDER BY {key} LIMIT 1 OFFSET ?"


class Pace:
    """How fast retention may go: through twice as much recorded time as has passed, whatever the clock says.

    So a clock that is set forward, by an hour or to 2038, deletes nothing that it should not before somebody sets it
    right. A gap in what is kept costs nothing, and each table begins with 20 minutes. `steady` gives ns, set by nobody.
    """

    def __init__(self, steady: Callable[[], int] = time.monotonic_ns) -> None:
        self._steady = steady
        self._at_ns: dict[str, int] = {}
        self._earned_ns: defaultdict[str, int] = defaultdict(lambda: HEAD_START_NS)

    def minutes(self, table: str) -> int:
        """How many minutes of what is kept in a table may go now."""
        now_ns = self._steady()
        passed_ns = now_ns - self._at_ns.get(table, now_ns)
        self._at_ns[table] = now_ns
        self._earned_ns[table] = min(self._earned_ns[table] + RATE * passed_ns, HEAD_START_NS)
        return self._earned_ns[table] // MINUTE_NS

    def spend(self, table: str, minutes: int) -> None:
        """So many minutes are gone."""
        self._earned_ns[table] -= minutes * MINUTE_NS


_TABLES = {
    "reading": ("minute", "minute, series, at_ns", 1, "raw_from"),
    "rollup_1min": ("bucket", "bucket, series", 1, "minutes_from"),
    "rollup_10min": ("bucket", "bucket, series", TEN, ""),
}
"""By table: the column of its buckets, its key, the minutes of a bucket, and the state that says where it begins."""


def trim(
    connection: sqlite3.Connection,
    now_ns: int,
    *,
    raw_s: float = RAW_S,
    minute_s: float = MINUTE_S,
    ten_minutes_s: float = TEN_MINUTES_S,
    limit: int = STEP_ROWS,
    pace: Pace | None = None,
) -> int:
    """Delete up to `limit` of the oldest rows of each table that are past their age, and return how many there were.

    Inside the open transaction; 0 means that nothing is left to do now. A bucket of time counts by its start. `pace`
    bounds how much goes at a time (None: nothing does).
    """
    ages = {"reading": raw_s, "rollup_1min": minute_s, "rollup_10min": ten_minutes_s}
    state, changes, deleted = read_state(connection), {}, 0
    for table, (first, key, width, mark) in _TABLES.items():
        oldest = end_of(connection, table, first, "min")
        keep_from = (now_ns // MINUTE_NS - round(ages[table] / 60)) // width
        if pace is not None and oldest is not None and oldest < keep_from:
            keep_from = min(keep_from, oldest + pace.minutes(table) // width)
        if mark:
            newest = end_of(connection, table, first, "max")  # a clock far ahead must not condemn what comes later
            changes[mark] = max(state[mark], min(keep_from, 0 if newest is None else newest + 1))
        gone = _trim(connection, table, first, key, keep_from, limit)
        if pace is not None and gone and oldest is not None:
            left = end_of(connection, table, first, "min")
            pace.spend(table, ((keep_from if left is None else min(left, keep_from)) - oldest) * width)
        deleted += gone
    if any(state[name] != value for name, value in changes.items()):
        write_state(connection, changes)
    return deleted


def end_of(connection: sqlite3.Connection, table: str, first: str, which: str) -> int | None:
    """The first or last bucket of a table; None: it is empty."""
    (found,) = connection.execute(f"SELECT {which}({first}) FROM {table}").fetchone()  # noqa: S608  our own names
    return None if found is None else int(found)


def _trim(connection: sqlite3.Connection, table: str, first: str, key: str, keep_from: int, limit: int) -> int:
    """Delete the rows before `keep_from`, at most `limit` of them, in the order of the key."""
    stop = connection.execute(_OLDEST.format(table=table, first=first, key=key), (keep_from, limit)).fetchone()
    if stop is None:
        return connection.execute(f"DELETE FROM {table} WHERE {first} < ?", (keep_from,)).rowcount  # noqa: S608  our own names
    places = ", ".join("?" * len(stop))
    return connection.execute(f"DELETE FROM {table} WHERE ({key}) < ({places})", stop).rowcount  # noqa: S608  our own names
