"""Retention: readings live for hours, minutes for weeks, ten minutes for years."""

from __future__ import annotations

import sqlite3

from edgemesh.store.schema import MINUTE_NS, TEN, read_state, write_state

RAW_S = 6 * 3600.0
MINUTE_S = 30 * 86_400.0
TEN_MINUTES_S = 730 * 86_400.0
STEP_ROWS = 20_000

_OLDEST = "SELECT {key} FROM {table} WHERE {first} < ? ORDER BY {key} LIMIT 1 OFFSET ?"


def trim(
    connection: sqlite3.Connection,
    now_ns: int,
    *,
    raw_s: float = RAW_S,
    minute_s: float = MINUTE_S,
    ten_minutes_s: float = TEN_MINUTES_S,
    limit: int = STEP_ROWS,
) -> int:
    """Delete up to `limit` of the oldest rows of each table that are past their age, and return how many there were.

    Inside the open transaction; 0 means that nothing is left to do. A bucket of time counts by its start.
    """
    now = now_ns // MINUTE_NS
    raw_from, minutes_from = now - round(raw_s / 60), now - round(minute_s / 60)
    tens_from = (now - round(ten_minutes_s / 60)) // TEN
    state = read_state(connection)
    changes = {
        "raw_from": max(state["raw_from"], min(raw_from, _after(connection, "reading", "minute"))),
        "minutes_from": max(state["minutes_from"], min(minutes_from, _after(connection, "rollup_1min", "bucket"))),
    }
    if any(state[name] != value for name, value in changes.items()):
        write_state(connection, changes)
    return (
        _trim(connection, "reading", "minute", "minute, series, at_ns", raw_from, limit)
        + _trim(connection, "rollup_1min", "bucket", "bucket, series", minutes_from, limit)
        + _trim(connection, "rollup_10min", "bucket", "bucket, series", tens_from, limit)
    )


def _after(connection: sqlite3.Connection, table: str, first: str) -> int:
    """The minute after the newest: a clock that was far ahead for a while must not condemn what comes later."""
    (newest,) = connection.execute(f"SELECT max({first}) FROM {table}").fetchone()  # noqa: S608  our own names
    return 0 if newest is None else newest + 1


def _trim(connection: sqlite3.Connection, table: str, first: str, key: str, keep_from: int, limit: int) -> int:
    """Delete the rows before `keep_from`, at most `limit` of them, in the order of the key."""
    stop = connection.execute(_OLDEST.format(table=table, first=first, key=key), (keep_from, limit)).fetchone()
    if stop is None:
        return connection.execute(f"DELETE FROM {table} WHERE {first} < ?", (keep_from,)).rowcount  # noqa: S608  our own names
    places = ", ".join("?" * len(stop))
    return connection.execute(f"DELETE FROM {table} WHERE ({key}) < ({places})", stop).rowcount  # noqa: S608  our own names
