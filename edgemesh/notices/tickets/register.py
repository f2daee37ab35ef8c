"""The register of tickets: which order has which ticket, and of which nobody knows yet whether it was made."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from edgemesh.errors import StoreError
from edgemesh.notices.tickets.contract import Ticket

_TABLE = """CREATE TABLE IF NOT EXISTS ticket (
    system TEXT NOT NULL, order_id TEXT NOT NULL, key TEXT NOT NULL, url TEXT NOT NULL, state TEXT NOT NULL,
    closed INTEGER NOT NULL, noted_at_ns INTEGER NOT NULL, PRIMARY KEY (system, order_id)) WITHOUT ROWID"""


class Noted(NamedTuple):
    """A ticket of an order; `key` is empty while nobody knows whether there is one."""

    system: str
    order: str
    ticket: Ticket
    noted_at_ns: int


class Register:
    """One system's tickets, in the file of the deliveries; one thread uses it. StoreError when the disk fails."""

    def __init__(self, file: Path, system: str) -> None:
        self._file, self._system = file, system
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._connection = sqlite3.connect(file, timeout=5.0, isolation_level=None, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute(_TABLE)
        except sqlite3.Error as error:
            raise StoreError(f"{file}: {error}", retryable=True) from error

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def get(self, order: str) -> Noted | None:
        """What is known of an order's ticket; None: none was ever tried."""
        rows = self._ask("SELECT * FROM ticket WHERE system = ? AND order_id = ?", (self._system, order))
        return _noted(rows[0]) if rows else None

    def begin(self, order: str, at_ns: int) -> None:
        """A ticket is about to be made: from now on there may be one."""
        self._ask("INSERT OR IGNORE INTO ticket VALUES (?, ?, '', '', '', 0, ?)", (self._system, order, at_ns))

    def put(self, order: str, ticket: Ticket, at_ns: int) -> None:
        """The order's ticket is this, and so it stands at that time (UTC)."""
        row = (self._system, order, ticket.key, ticket.url, ticket.state, ticket.closed, at_ns)
        self._ask("INSERT OR REPLACE INTO ticket VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def drop(self, order: str) -> None:
        """The system has refused: there is none."""
        self._ask("DELETE FROM ticket WHERE system = ? AND order_id = ? AND key = ''", (self._system, order))

    def open(self) -> list[Noted]:
        """Tickets that are there and not closed, those that were looked at longest ago first."""
        query = "SELECT * FROM ticket WHERE system = ? AND closed = 0 AND key <> '' ORDER BY noted_at_ns, order_id"
        return [_noted(row) for row in self._ask(query, (self._system,))]

    def _ask(self, question: str, values: tuple[object, ...]) -> list[tuple[object, ...]]:
        try:
            return self._connection.execute(question, values).fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"{self._file}: {error}", retryable=True) from error


def tickets(file: Path, *, order: str = "") -> list[Noted]:
    """All tickets of a file, or those of an order whose id is this."""
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0)) as connection:
            if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'ticket'").fetchone() is None:
                return []
            query = "SELECT * FROM ticket WHERE ?1 = '' OR order_id = ?1 ORDER BY noted_at_ns"
            return [_noted(row) for row in connection.execute(query, (order,))]
    except sqlite3.Error as error:
        raise StoreError(f"{file}: {error}", retryable=True) from error


def _noted(row: tuple[object, ...]) -> Noted:
    system, order, key, url, state, closed, noted_at_ns = row
    return Noted(str(system), str(order), Ticket(str(key), str(url), str(state), bool(closed)), int(str(noted_at_ns)))
