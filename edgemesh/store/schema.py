"""The tables of the history. Rows of readings lie by minute first, so that writing only ever appends to the tree."""

from __future__ import annotations

import sqlite3

from edgemesh.errors import StoreError

VERSION = 1
MINUTE_NS = 60_000_000_000
DAY_NS = 1440 * MINUTE_NS
TEN = 10
"""Minutes of a 10-minute bucket. A bucket's number is its start in minutes (or tens of minutes) since 1970."""

_ROLLUP = """
CREATE TABLE IF NOT EXISTS {name} (
    bucket INTEGER NOT NULL, series INTEGER NOT NULL, n INTEGER NOT NULL, total REAL NOT NULL,
    low REAL NOT NULL, high REAL NOT NULL, last REAL NOT NULL, last_at_ns INTEGER NOT NULL,
    PRIMARY KEY (bucket, series)) WITHOUT ROWID"""

TABLES = (
    "CREATE TABLE IF NOT EXISTS history_state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    """CREATE TABLE IF NOT EXISTS series (
    id INTEGER PRIMARY KEY, gateway TEXT NOT NULL, device TEXT NOT NULL, asset TEXT NOT NULL,
    metric TEXT NOT NULL, unit TEXT NOT NULL, last_day INTEGER NOT NULL DEFAULT 0,
    UNIQUE (device, metric, gateway, asset, unit))""",
    """CREATE TABLE IF NOT EXISTS damage (
    minute INTEGER NOT NULL, series INTEGER NOT NULL, PRIMARY KEY (minute, series)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS reading (
    minute INTEGER NOT NULL, series INTEGER NOT NULL, at_ns INTEGER NOT NULL,
    value REAL NOT NULL, quality INTEGER NOT NULL,
    PRIMARY KEY (minute, series, at_ns)) WITHOUT ROWID""",
    _ROLLUP.format(name="rollup_1min"),
    _ROLLUP.format(name="rollup_10min"),
    """CREATE TABLE IF NOT EXISTS untimed_clock (
    id INTEGER PRIMARY KEY, gateway TEXT NOT NULL, clock INTEGER NOT NULL, newest_ns INTEGER NOT NULL,
    from_ns INTEGER, until_ns INTEGER, by_ns INTEGER, UNIQUE (gateway, clock))""",
    """CREATE TABLE IF NOT EXISTS untimed (
    clock INTEGER NOT NULL, at_ns INTEGER NOT NULL, series INTEGER NOT NULL, value REAL NOT NULL,
    quality INTEGER NOT NULL, PRIMARY KEY (clock, at_ns, series)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS untimed_alert (
    clock INTEGER NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL,
    PRIMARY KEY (clock, id, version)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS alert (
    id TEXT PRIMARY KEY, version INTEGER NOT NULL, state TEXT NOT NULL, asset TEXT NOT NULL,
    raised_at_ns INTEGER NOT NULL, body BLOB NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS alert_by_state ON alert (state, raised_at_ns)",
    "CREATE INDEX IF NOT EXISTS alert_by_time ON alert (raised_at_ns)",
    """CREATE TABLE IF NOT EXISTS alert_version (
    id TEXT NOT NULL, version INTEGER NOT NULL, state TEXT NOT NULL, at_ns INTEGER NOT NULL,
    committed_at_ns INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (id, version))""",
    """CREATE TABLE IF NOT EXISTS workorder (
    id TEXT PRIMARY KEY, version INTEGER NOT NULL, state TEXT NOT NULL, asset TEXT NOT NULL,
    opened_at_ns INTEGER NOT NULL, body BLOB NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS workorder_by_state ON workorder (state, opened_at_ns)",
    "CREATE INDEX IF NOT EXISTS workorder_by_time ON workorder (opened_at_ns)",
    """CREATE TABLE IF NOT EXISTS workorder_version (
    id TEXT NOT NULL, version INTEGER NOT NULL, state TEXT NOT NULL, alert TEXT NOT NULL,
    committed_at_ns INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (id, version))""",
)

State = dict[str, int]
"""Small numbers of the history as a whole.

`schema`; `writes` counts calls of the sink; `packs`, `readings`, `duplicates` and `unusable` count what came;
`untimed` readings wait for their time to be known, `retimed` ones have got it since;
`raw_from` and `minutes_from` are the first minutes of which nothing was trimmed yet;
`given_way` rows were deleted before their time, for want of room.
"""

_FRESH: State = {
    "schema": VERSION,
    "writes": 0,
    "packs": 0,
    "readings": 0,
    "duplicates": 0,
    "unusable": 0,
    "untimed": 0,
    "retimed": 0,
    "raw_from": 0,
    "minutes_from": 0,
    "given_way": 0,
}


def create(connection: sqlite3.Connection) -> None:
    """Create what is missing, inside an open transaction or not. StoreError for tables of a newer edgemesh."""
    for statement in TABLES:
        connection.execute(statement)
    connection.executemany("INSERT OR IGNORE INTO history_state VALUES (?, ?)", _FRESH.items())
    if "last_day" not in {column[1] for column in connection.execute("PRAGMA table_info(series)")}:
        connection.execute("ALTER TABLE series ADD COLUMN last_day INTEGER NOT NULL DEFAULT 0")
        connection.execute("UPDATE series SET last_day = (SELECT coalesce(max(minute), 0) / 1440 FROM reading)")
    check(read_state(connection))


def check(state: State) -> None:
    """StoreError when the tables are of another version than this program knows."""
    if state.get("schema") != VERSION:
        raise StoreError(f"the history has schema {state.get('schema')}, this program knows {VERSION}", retryable=False)


def read_state(connection: sqlite3.Connection) -> State:
    """All small numbers."""
    return dict(connection.execute("SELECT name, value FROM history_state"))


def write_state(connection: sqlite3.Connection, changes: State) -> None:
    """Set some of the small numbers."""
    connection.executemany(
        "UPDATE history_state SET value = ? WHERE name = ?", [(value, name) for name, value in changes.items()]
    )
