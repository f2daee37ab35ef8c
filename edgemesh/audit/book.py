"""The audit book: the chain in the scheduler's own file, written in the transaction of the step that decided."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from edgemesh.audit.chain import GENESIS, Checkpoint, Entry, Mark, append
from edgemesh.model.decisions import Decision
from edgemesh.model.packs import Pack

MOST_ENTRIES = 100_000
"""Entries held; some 75 MB."""
PRUNE = 1_000
"""So many entries are let go at a time, after a checkpoint that says so."""

TABLES = (
    """CREATE TABLE IF NOT EXISTS audit (
    seq INTEGER PRIMARY KEY, order_id TEXT NOT NULL, previous BLOB NOT NULL, hash BLOB NOT NULL, body BLOB NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS audit_by_order ON audit (order_id, seq)",
    """CREATE TABLE IF NOT EXISTS audit_mark (
    name TEXT PRIMARY KEY, seq INTEGER NOT NULL, hash BLOB NOT NULL) WITHOUT ROWID""",
)
_MARK = (
    "INSERT INTO audit_mark VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET seq = excluded.seq, hash = excluded.hash"
)


class AuditBook:
    """Keeps decisions as a chain of at most `most` entries, and some 1,000 more. See `edgemesh.store.contract`."""

    def __init__(self, *, most: int = MOST_ENTRIES) -> None:
        self._most = most

    def prepare(self, connection: sqlite3.Connection) -> None:
        """Create the tables that are missing."""
        for statement in TABLES:
            connection.execute(statement)
        for name in ("start", "head"):
            connection.execute("INSERT OR IGNORE INTO audit_mark VALUES (?, 0, ?)", (name, GENESIS))

    def write(self, connection: sqlite3.Connection, packs: Sequence[Pack]) -> None:
        """What came in is in the decisions, as far as it had a part in them."""

    def decide(self, connection: sqlite3.Connection, decisions: Sequence[Decision]) -> None:
        """Append the decisions inside the open transaction."""
        at = _read(connection, "head")
        entries: list[Entry] = []
        for decision in decisions:
            entries.append(append(at, decision=decision))
            at = Mark(entries[-1].seq, entries[-1].hash)
        _put(connection, entries, at)

    def trim(self, connection: sqlite3.Connection, now_ns: int) -> None:
        """Let the oldest 1,000 go where there are so many too many; the chain says first where it begins then.

        By number, not by age: no clock that somebody sets makes an audit shorter.
        """
        start, head = _read(connection, "start"), _read(connection, "head")
        through = start.seq + PRUNE
        if head.seq - through < self._most:
            return
        row = connection.execute("SELECT hash FROM audit WHERE seq = ?", (through,)).fetchone()
        if row is None:  # a hole: nothing is let go that `verify` has not seen
            return
        entry = append(head, checkpoint=Checkpoint(through=through, hash=row[0].hex()))
        _put(connection, [entry], Mark(entry.seq, entry.hash))
        connection.execute("DELETE FROM audit WHERE seq <= ?", (through,))
        connection.execute(_MARK, ("start", through, row[0]))


def _put(connection: sqlite3.Connection, entries: Sequence[Entry], head: Mark) -> None:
    connection.executemany("INSERT INTO audit (seq, order_id, previous, hash, body) VALUES (?, ?, ?, ?, ?)", entries)
    connection.execute(_MARK, ("head", head.seq, head.hash))


def _read(connection: sqlite3.Connection, name: str) -> Mark:
    seq, digest = connection.execute("SELECT seq, hash FROM audit_mark WHERE name = ?", (name,)).fetchone()
    return Mark(seq, digest)
