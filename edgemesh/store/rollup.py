"""Roll-ups: what is kept of many readings of one series in one bucket of time."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from edgemesh.store.schema import TEN

Key = tuple[int, int]
"""Bucket and series."""


class Rollup(NamedTuple):
    """Count, sum, least, greatest and last value of a bucket's readings, and the time of the last one in ns."""

    n: int
    total: float
    low: float
    high: float
    last: float
    last_at_ns: int

    def plus(self, other: Rollup) -> Rollup:
        """Both together; of two last values at one time the other's counts."""
        last = other if other.last_at_ns >= self.last_at_ns else self
        return Rollup(
            self.n + other.n,
            self.total + other.total,
            min(self.low, other.low),
            max(self.high, other.high),
            last.last,
            last.last_at_ns,
        )


NOTHING = Rollup(0, 0.0, math.inf, -math.inf, 0.0, -1)


def roll_up(readings: Iterable[tuple[int, float]]) -> Rollup:
    """The roll-up of (time, value) in any order; NOTHING of none."""
    pairs = list(readings)
    if not pairs:
        return NOTHING
    values = [value for _, value in pairs]
    last_at_ns, last = max(pairs, key=lambda pair: pair[0])
    return Rollup(len(values), sum(values), min(values), max(values), last, last_at_ns)


_ADD = """INSERT INTO {table} VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (bucket, series) DO UPDATE SET
n = n + excluded.n, total = total + excluded.total, low = min(low, excluded.low), high = max(high, excluded.high),
last = CASE WHEN excluded.last_at_ns >= last_at_ns THEN excluded.last ELSE last END,
last_at_ns = max(last_at_ns, excluded.last_at_ns)"""
_ADD_1 = _ADD.format(table="rollup_1min")
_ADD_10 = _ADD.format(table="rollup_10min")


class Rollups:
    """Roll-ups to be added to the tables: one statement per series and bucket, however many readings came."""

    def __init__(self) -> None:
        self._minutes: dict[Key, Rollup] = {}

    def add(self, minute: int, series: int, rollup: Rollup) -> None:
        """Add to the roll-up of a minute, and with it of its ten minutes."""
        key = (minute, series)
        before = self._minutes.get(key)
        self._minutes[key] = rollup if before is None else before.plus(rollup)

    def flush(self, connection: sqlite3.Connection) -> None:
        """Write what was added."""
        tens: dict[Key, Rollup] = {}
        for (minute, series), rollup in self._minutes.items():
            key = (minute // TEN, series)
            before = tens.get(key)
            tens[key] = rollup if before is None else before.plus(rollup)
        connection.executemany(_ADD_1, [(*key, *rollup) for key, rollup in self._minutes.items()])
        connection.executemany(_ADD_10, [(*key, *rollup) for key, rollup in tens.items()])
        self._minutes.clear()


def recompute_minute(connection: sqlite3.Connection, minute: int, series: int) -> None:
    """Make the roll-up of a minute anew from its readings, of which all must still be there."""
    readings = connection.execute(
        "SELECT at_ns, value FROM reading WHERE minute = ? AND series = ? AND quality < 2", (minute, series)
    )
    _replace(connection, "rollup_1min", (minute, series), roll_up(readings))


def recompute_ten(connection: sqlite3.Connection, ten: int, series: int) -> None:
    """Make the roll-up of ten minutes anew from those of its minutes, of which all must still be there."""
    total = NOTHING
    for minute in range(ten * TEN, ten * TEN + TEN):
        found = connection.execute(
            "SELECT n, total, low, high, last, last_at_ns FROM rollup_1min WHERE bucket = ? AND series = ?",
            (minute, series),
        ).fetchone()
        if found:
            total = total.plus(Rollup(*found))
    _replace(connection, "rollup_10min", (ten, series), total)


def correct(connection: sqlite3.Connection, minute: int, series: int, delta: Rollup, *, minute_too: bool) -> None:
    """Add a difference to the roll-ups of buckets that can't be made anew; least and greatest only ever widen."""
    if minute_too:
        connection.execute(_ADD_1, (minute, series, *delta))
    connection.execute(_ADD_10, (minute // TEN, series, *delta))


def _replace(connection: sqlite3.Connection, table: str, key: Key, rollup: Rollup) -> None:
    if rollup.n:
        connection.execute(f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*key, *rollup))  # noqa: S608  our own names
    else:
        connection.execute(f"DELETE FROM {table} WHERE bucket = ? AND series = ?", key)  # noqa: S608  our own names
