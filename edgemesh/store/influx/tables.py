"""The tables of what goes to InfluxDB, in the recorder's own database."""

from __future__ import annotations

import sqlite3

TABLES = (
    "CREATE TABLE IF NOT EXISTS influx_state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    # AUTOINCREMENT: the number of a row that is gone never comes back, for the sender goes by numbers.
    """CREATE TABLE IF NOT EXISTS influx_spool (
    id INTEGER PRIMARY KEY AUTOINCREMENT, lane INTEGER NOT NULL, put_ms INTEGER NOT NULL,
    lines INTEGER NOT NULL, body BLOB NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS influx_spool_by_lane ON influx_spool (lane, id)",
    """CREATE TABLE IF NOT EXISTS influx_dead (
    id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, at_ns INTEGER NOT NULL, lane INTEGER NOT NULL,
    lines INTEGER NOT NULL, reason TEXT NOT NULL, body BLOB NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS influx_series (
    head TEXT PRIMARY KEY, measurement TEXT NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS influx_place (
    id INTEGER PRIMARY KEY, head TEXT NOT NULL, at_ns INTEGER NOT NULL, identity TEXT NOT NULL,
    UNIQUE (head, at_ns), UNIQUE (head, identity))""",
    """CREATE TABLE IF NOT EXISTS influx_due (
    width INTEGER NOT NULL, bucket INTEGER NOT NULL, series INTEGER NOT NULL,
    PRIMARY KEY (width, bucket, series)) WITHOUT ROWID""",
)

State = dict[str, int]
"""`lines` and `bytes` in the spool now; `dropped`, `dead`, `refused` lines, ever; `up_ms`: for how long the recorder
has run with a spool, by the steady clock: the age of rows is counted in it, so that no clock that is set ages them.
"""

_FRESH: State = {"lines": 0, "bytes": 0, "dropped": 0, "dead": 0, "refused": 0, "up_ms": 0}


def create(connection: sqlite3.Connection) -> None:
    """Create what is missing."""
    for statement in TABLES:
        connection.execute(statement)
    connection.executemany("INSERT OR IGNORE INTO influx_state VALUES (?, ?)", _FRESH.items())


def read_state(connection: sqlite3.Connection) -> State:
    """All small numbers."""
    return dict(connection.execute("SELECT name, value FROM influx_state"))


def add_to_state(connection: sqlite3.Connection, changes: State) -> None:
    """Add to some of the small numbers."""
    connection.executemany(
        "UPDATE influx_state SET value = value + ? WHERE name = ?",
        [(value, name) for name, value in changes.items() if value],
    )
