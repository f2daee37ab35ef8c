"""Deliveries: what each channel has taken over, and what became of it, in a file of its own.

A delivery is known by the id of its event for as long as it is remembered: what comes again is not sent again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

from edgemesh.errors import StoreError
from edgemesh.notices.events import Event, decode

REMEMBERED = 10_000
"""Deliveries that are over, of each channel; older ones are forgotten."""
TAKE = 200
VERSION = 1

State = Literal["waiting", "done", "dead"]
_TABLES = f"""
CREATE TABLE IF NOT EXISTS delivery (
    id INTEGER PRIMARY KEY, channel TEXT NOT NULL, event TEXT NOT NULL, what TEXT NOT NULL, subject TEXT NOT NULL,
    state TEXT NOT NULL, tries INTEGER NOT NULL, said TEXT NOT NULL, at_ns INTEGER NOT NULL, body BLOB,
    UNIQUE (channel, event));
CREATE INDEX IF NOT EXISTS delivery_by_state ON delivery (channel, state, id);
CREATE INDEX IF NOT EXISTS delivery_by_subject ON delivery (subject);
CREATE TABLE IF NOT EXISTS channel (
    name TEXT PRIMARY KEY, log TEXT NOT NULL, through INTEGER NOT NULL, breaker TEXT NOT NULL, said TEXT NOT NULL
    ) WITHOUT ROWID;
PRAGMA user_version = {VERSION};
"""


class Delivery(NamedTuple):
    """One event for one channel."""

    id: int
    tries: int
    event: Event


class Fate(NamedTuple):
    """What became of an event: where it went, its state, and what was said last."""

    channel: str
    what: str
    subject: str
    state: State
    tries: int
    said: str
    at_ns: int


class Standing(NamedTuple):
    """How a channel stands: its breaker, what the other side said last, and how many wait, are done and are dead."""

    name: str
    breaker: str
    said: str
    waiting: int
    done: int
    dead: int


class Deliveries:
    """One channel's end of the file; one thread uses it. StoreError when the disk fails."""

    def __init__(self, file: Path, channel: str) -> None:
        self._channel = channel
        file.parent.mkdir(parents=True, exist_ok=True)
        with _renaming(file):
            self._connection = sqlite3.connect(file, timeout=5.0, isolation_level=None, check_same_thread=False)
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
                self._connection.execute("PRAGMA synchronous = FULL")
                self._connection.executescript(_TABLES)
                self._connection.execute("INSERT OR IGNORE INTO channel VALUES (?, '', 0, 'closed', '')", (channel,))
            except BaseException:
                self._connection.close()
                raise
        self._file = file

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def take_over(self, recorder: Path) -> int:
        """Take over what waits for the channel in the recorder's file; return up to which row all is here."""
        with _renaming(self._file), closing(_read_only(recorder)) as there:
            log = str(there.execute("SELECT epoch FROM identity").fetchone()[0])
            row = self._connection.execute("SELECT log, through FROM channel WHERE name = ?", (self._channel,))
            known, through = row.fetchone()
            through = through if known == log else 0  # an older copy of the file counts its rows anew
            query = "SELECT id, body FROM notice_spool WHERE channel = ? AND id > ? ORDER BY id LIMIT ?"
            rows = there.execute(query, (self._channel, through, TAKE)).fetchall()
            if not rows and known == log:
                return int(through)
            with self._commit():
                for _, body in rows:
                    self._put(body)
                through = rows[-1][0] if rows else through
                self._connection.execute(
                    "UPDATE channel SET log = ?, through = ? WHERE name = ?", (log, through, self._channel)
                )
        return int(through)

    def _put(self, body: bytes) -> None:
        event = decode(body)
        subject = event.order.id if event.order else event.alert.id if event.alert else ""
        self._connection.execute(
            "INSERT OR IGNORE INTO delivery (channel, event, what, subject, state, tries, said, at_ns, body)"
            " VALUES (?, ?, ?, ?, 'waiting', 0, '', ?, ?)",
            (self._channel, event.id, event.what, subject, event.at_ns, body),
        )

    def waiting(self, limit: int = TAKE) -> list[Delivery]:
        """What waits, oldest first."""
        query = "SELECT id, tries, body FROM delivery WHERE channel = ? AND state = 'waiting' ORDER BY id LIMIT ?"
        with _renaming(self._file):
            rows = self._connection.execute(query, (self._channel, limit)).fetchall()
        return [Delivery(id_, tries, decode(body)) for id_, tries, body in rows]

    def note(self, delivery: Delivery, state: State, said: str, at_ns: int) -> None:
        """What came of a try, at this time (UTC). What is over is forgotten after 10,000 others."""
        with _renaming(self._file), self._commit():
            self._connection.execute(
                "UPDATE delivery SET state = ?, tries = tries + 1, said = ?, at_ns = ? WHERE id = ?",
                (state, said, at_ns, delivery.id),
            )
            if state != "waiting":
                self._connection.execute(
                    "DELETE FROM delivery WHERE channel = ?1 AND state <> 'waiting' AND id <= (SELECT id FROM delivery"
                    " WHERE channel = ?1 AND state <> 'waiting' ORDER BY id DESC LIMIT 1 OFFSET ?2)",
                    (self._channel, REMEMBERED),
                )

    def stand(self, breaker: str, said: str) -> None:
        """Note how the channel stands, for others to see."""
        with _renaming(self._file):
            self._connection.execute(
                "UPDATE channel SET breaker = ?, said = ? WHERE name = ?", (breaker, said, self._channel)
            )

    @contextmanager
    def _commit(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise


def standings(file: Path) -> list[Standing]:
    """How all channels of a file stand."""
    with _renaming(file), closing(_read_only(file)) as connection:
        counts: Mapping[tuple[str, str], int] = {
            (channel, state): count
            for channel, state, count in connection.execute(
                "SELECT channel, state, count(*) FROM delivery GROUP BY channel, state"
            )
        }
        rows = connection.execute("SELECT name, breaker, said FROM channel ORDER BY name").fetchall()
    return [
        Standing(name, breaker, said, *(counts.get((name, state), 0) for state in ("waiting", "done", "dead")))
        for name, breaker, said in rows
    ]


def fates(file: Path, *, subject: str = "", state: str = "", limit: int = 100) -> list[Fate]:
    """What became of the events of an alert or order, or of all; in a state, or in any; the newest `limit`."""
    query = (
        "SELECT channel, what, subject, state, tries, said, at_ns FROM delivery"
        " WHERE (?1 = '' OR subject = ?1) AND (?2 = '' OR state = ?2) ORDER BY id DESC LIMIT ?3"
    )
    with _renaming(file), closing(_read_only(file)) as connection:
        return [Fate(*row) for row in connection.execute(query, (subject, state, limit))][::-1]


def _read_only(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0)


@contextmanager
def _renaming(file: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, ValueError) as error:
        raise StoreError(f"{file}: {error}", retryable=True) from error
