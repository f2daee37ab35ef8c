"""What of alerts, orders and series is over for so long that nobody will ask for it any more."""

from __future__ import annotations

import sqlite3

from edgemesh.store.schema import DAY_NS, MINUTE_NS, TEN

VERSIONS_S = 90 * 86_400.0
RECORDS_S = 730 * 86_400.0
STEP_ROWS = 500
EARLIEST_NS = 946_684_800 * 10**9
"""The year 2000: what is from before was written by a clock that was never set, and is as old as what came after it."""

_VERSIONS = """SELECT rowid, committed_at_ns FROM {of}_version WHERE NOT EXISTS (
SELECT 1 FROM {of} WHERE {of}.id = {of}_version.id AND state NOT IN ({over})) ORDER BY rowid LIMIT ?"""
_RECORDS = "SELECT rowid, {at} FROM {of} WHERE state = '{state}' ORDER BY {at} LIMIT ?"


def _queries() -> dict[tuple[str, str], tuple[str, bool]]:
    queries = {}
    for of, at, states in (
        ("alert", "raised_at_ns", ("cleared",)),
        ("workorder", "opened_at_ns", ("verified", "cancelled")),
    ):
        over = ", ".join(f"'{state}'" for state in states)
        queries[f"{of}_version", ""] = (_VERSIONS.format(of=of, over=over), True)
        for state in states:
            queries[of, state] = (_RECORDS.format(of=of, at=at, state=state), False)
    return queries


_QUERIES = _queries()
"""By table and state: what gives the oldest rows that may go, and whether they are mere versions."""

_TIMES = {
    "alert": "raised_at_ns",
    "workorder": "opened_at_ns",
    "alert_version": "committed_at_ns",
    "workorder_version": "committed_at_ns",
}


def retire(
    connection: sqlite3.Connection,
    now_ns: int,
    *,
    versions_s: float = VERSIONS_S,
    records_s: float = RECORDS_S,
    limit: int = STEP_ROWS,
) -> int:
    """Delete up to `limit` of each: versions and records of alerts and orders that are over and past their age.

    What still stands stays, with all its versions. Inside the open transaction; returns how many rows there were.
    """
    now_ns, deleted = believable(connection, now_ns), 0
    for (table, _), (query, versions) in _QUERIES.items():
        keep_from_ns = now_ns - round((versions_s if versions else records_s) * 1e9)
        rows = connection.execute(query, (limit,)).fetchall()
        gone = [
            (rowid,)
            for rowid, at_ns in rows
            if at_ns < keep_from_ns and (at_ns >= EARLIEST_NS or _is_followed(connection, table, rowid, keep_from_ns))
        ]
        connection.executemany(f"DELETE FROM {table} WHERE rowid = ?", gone)  # noqa: S608  our own names
        deleted += len(gone)
    return deleted


def _is_followed(connection: sqlite3.Connection, table: str, rowid: int, keep_from_ns: int) -> bool:
    """Whether what came after a row that nobody knows the age of is past its own."""
    at = _TIMES[table]
    query = f"SELECT 1 FROM {table} WHERE rowid > ? AND {at} BETWEEN ? AND ? LIMIT 1"  # noqa: S608  our own names
    return connection.execute(query, (rowid, EARLIEST_NS, keep_from_ns - 1)).fetchone() is not None


def believable(connection: sqlite3.Connection, now_ns: int) -> int:
    """The time, but no more than a day after the newest reading: a clock that is set to 2038 must condemn nothing."""
    (newest,) = connection.execute("SELECT max(bucket) FROM rollup_10min").fetchone()
    return 0 if newest is None else min(now_ns, newest * TEN * MINUTE_NS + DAY_NS)


def retire_series(connection: sqlite3.Connection, now_ns: int, *, ten_minutes_s: float) -> int:
    """Delete series of which nothing is kept any more, not even the longest roll-up; return how many.

    Inside the open transaction. Their last day is a day, so that a series is not asked for at every reading.
    """
    (oldest,) = connection.execute("SELECT min(bucket) FROM rollup_10min").fetchone()
    if oldest is None:
        return 0
    kept_from_ns = min(believable(connection, now_ns) - round(ten_minutes_s * 1e9), oldest * TEN * MINUTE_NS)
    return connection.execute(
        "DELETE FROM series WHERE last_day < ? AND NOT EXISTS (SELECT 1 FROM untimed WHERE series = series.id)",
        (kept_from_ns // DAY_NS - 1,),
    ).rowcount
