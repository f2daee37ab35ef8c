"""One transaction of a journal: everything in it is kept, or nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from edgemesh.errors import LogError
from edgemesh.log import quarantine
from edgemesh.log.outbox import Cursor, Row, checksum, checksum_of
from edgemesh.log.quarantine import Quarantined
from edgemesh.log.schema import cursor_checksum, spans_text

PAST_EPOCHS = 16  # of each followed agent, the newest are remembered


class Transaction:
    """What an agent does in one commit. Usable inside its `with` only.

    `connection` is for sinks that write in the same transaction; they neither commit nor roll back.
    """

    def __init__(self, connection: sqlite3.Connection, head: int) -> None:
        self._connection = connection
        self._open = True
        self.head = head

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection inside the open transaction. Raises LogError when it is over."""
        if not self._open:
            raise LogError("the transaction is over")
        return self._connection

    def append(self, kind: str, body: bytes, *, at_ns: int, trace: str = "") -> Row:
        """Append a row to the outbox and return it with its `seq`; it exists once the transaction is committed."""
        row = Row(self.head + 1, kind, at_ns, trace, body)
        crc = checksum(row.seq, kind, at_ns, trace, body)
        self.connection.execute(
            "INSERT INTO outbox (seq, crc, at_ns, kind, trace, body) VALUES (?, ?, ?, ?, ?, ?)",
            (row.seq, crc, at_ns, kind, trace, body),
        )
        self.head = row.seq
        return row

    def set_cursor(self, agent: str, cursor: Cursor) -> None:
        """Note how far the log of `agent` has been taken in. The cursor of another epoch before it is remembered."""
        connection = self.connection
        left = connection.execute(
            "INSERT OR REPLACE INTO past_cursor (agent, epoch, through, ahead)"
            " SELECT agent, epoch, through, ahead FROM cursor WHERE agent = ? AND epoch <> ?",
            (agent, cursor.epoch),
        )
        if left.rowcount:
            connection.execute(
                "DELETE FROM past_cursor WHERE agent = ?1 AND (epoch = ?2 OR id NOT IN"
                " (SELECT id FROM past_cursor WHERE agent = ?1 ORDER BY id DESC LIMIT ?3))",
                (agent, cursor.epoch, PAST_EPOCHS),
            )
        row = (agent, cursor.epoch, cursor.through, spans_text(cursor.ahead))
        connection.execute(
            "INSERT OR REPLACE INTO cursor (agent, epoch, through, ahead, crc) VALUES (?, ?, ?, ?, ?)",
            (*row, cursor_checksum(*row)),
        )

    def drop_cursor(self, agent: str) -> None:
        """Forget how far the log of `agent` has been taken in: it is another's to read now."""
        self.connection.execute("DELETE FROM cursor WHERE agent = ?", (agent,))
        self.connection.execute("DELETE FROM past_cursor WHERE agent = ?", (agent,))

    def put_parts(self, parts: Mapping[str, bytes | None]) -> None:
        """Replace these parts of the checkpoint; None: the part is gone. The others stay."""
        gone = [(name,) for name, value in parts.items() if value is None]
        changed = [
            (name, value, checksum_of(name.encode(), value)) for name, value in parts.items() if value is not None
        ]
        if gone:
            self.connection.executemany("DELETE FROM part WHERE name = ?", gone)
        if changed:
            self.connection.executemany(
                "INSERT INTO part (name, value, crc) VALUES (?, ?, ?)"
                " ON CONFLICT (name) DO UPDATE SET value = excluded.value, crc = excluded.crc",
                changed,
            )

    def discard(self, through: int) -> None:
        """Delete the rows of the outbox up to `through`, whoever has them."""
        self.connection.execute("DELETE FROM outbox WHERE seq <= ?", (through,))
        self.connection.execute("UPDATE identity SET pruned = ?", (through,))

    def count(self, reason: str, many: int) -> None:
        """Count what is not kept, under a reason code."""
        if many:
            quarantine.count(self.connection, reason, many)

    def keep(self, quarantined: Quarantined) -> None:
        """Count what was rejected and keep it, capped, in the quarantine."""
        quarantine.keep(self.connection, quarantined)

    def end(self) -> None:
        """Make the transaction unusable."""
        self._open = False
