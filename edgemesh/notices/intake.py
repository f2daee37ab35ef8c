"""Where notices begin: what the recorder takes in becomes events that wait, inside the recorder's own transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from threading import Lock
from typing import Protocol, TypeVar

import msgspec

from edgemesh.model.alerts import Alert, AlertState
from edgemesh.model.ids import Id
from edgemesh.model.orders import WorkOrder
from edgemesh.model.packs import Alerts, Orders, Pack
from edgemesh.notices.events import Event, encode, events_of_alert, events_of_order

MOST_WAITING = 50_000
"""Of one channel; beyond it the oldest give way, counted."""

TABLES = (
    """CREATE TABLE IF NOT EXISTS notice_spool (
    id INTEGER PRIMARY KEY AUTOINCREMENT, channel TEXT NOT NULL, body BLOB NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS notice_by_channel ON notice_spool (channel, id)",
    "CREATE TABLE IF NOT EXISTS notice_open (id TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS notice_dropped (channel TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID",
)
_order = msgspec.json.Decoder(WorkOrder)
_alert = msgspec.json.Decoder(Alert)
T = TypeVar("T", Alert, WorkOrder)


class Wish(Protocol):
    """A channel as the intake sees it: its name, and what it is told of."""

    @property
    def name(self) -> Id:
        """The channel's name."""
        ...

    def wants(self, event: Event) -> bool:
        """Whether it is told of this."""
        ...


class Moved:
    """Up to which row each channel has taken its events over, for the intake to delete them. For any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._through: dict[str, int] = {}

    def note(self, channel: str, through: int) -> None:
        """A channel has all its rows up to this one in its own file."""
        with self._lock:
            self._through[channel] = max(through, self._through.get(channel, 0))

    def all(self) -> dict[str, int]:
        """What was noted."""
        with self._lock:
            return dict(self._through)


class NoticeIntake:
    """A sink of the recorder (`edgemesh.store.contract`): each event waits once for each channel that wants it."""

    def __init__(self, site: str, channels: Sequence[Wish], moved: Moved) -> None:
        self._site, self._channels, self._moved = site, channels, moved

    def prepare(self, connection: sqlite3.Connection) -> None:
        """Create the tables that are missing; what waits for a channel that there is no more is forgotten."""
        for statement in TABLES:
            connection.execute(statement)
        names = [channel.name for channel in self._channels]
        holes = ", ".join("?" * len(names))
        connection.execute(f"DELETE FROM notice_spool WHERE channel NOT IN ({holes})", names)  # noqa: S608  only holes

    def write(self, connection: sqlite3.Connection, packs: Sequence[Pack]) -> None:
        """Put the events of these packs into the spool; never commits."""
        for pack in packs:
            if isinstance(pack, Orders):
                for order in pack.records:
                    self._order(connection, order)
            elif isinstance(pack, Alerts):
                for alert in pack.records:
                    self._alert(connection, alert)

    def trim(self, connection: sqlite3.Connection, now_ns: int) -> None:
        """Delete what the channels have taken over, and what is too much."""
        for channel, through in self._moved.all().items():
            connection.execute("DELETE FROM notice_spool WHERE channel = ? AND id <= ?", (channel, through))
        for each in self._channels:
            gone = connection.execute(
                "DELETE FROM notice_spool WHERE channel = ?1 AND id <= (SELECT id FROM notice_spool"
                " WHERE channel = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
                (each.name, MOST_WAITING),
            ).rowcount
            if gone > 0:
                connection.execute(
                    "INSERT INTO notice_dropped VALUES (?1, ?2)"
                    " ON CONFLICT (channel) DO UPDATE SET count = count + excluded.count",
                    (each.name, gone),
                )

    def _order(self, connection: sqlite3.Connection, order: WorkOrder) -> None:
        before = _before(connection, order.id, _order)
        if before is not None and before.version >= order.version:
            return
        _remember(connection, order, over=order.state.final)
        self._put(connection, events_of_order(self._site, before, order))

    def _alert(self, connection: sqlite3.Connection, alert: Alert) -> None:
        before = _before(connection, alert.id, _alert)
        if before is not None and before.version >= alert.version:
            return
        _remember(connection, alert, over=alert.state is AlertState.CLEARED)
        self._put(connection, events_of_alert(self._site, before, alert))

    def _put(self, connection: sqlite3.Connection, events: Sequence[Event]) -> None:
        rows = [(each.name, encode(event)) for event in events for each in self._channels if each.wants(event)]
        connection.executemany("INSERT INTO notice_spool (channel, body) VALUES (?, ?)", rows)


def _before(connection: sqlite3.Connection, id_: str, decoder: msgspec.json.Decoder[T]) -> T | None:
    row = connection.execute("SELECT body FROM notice_open WHERE id = ?", (id_,)).fetchone()
    return None if row is None else decoder.decode(row[0])


def _remember(connection: sqlite3.Connection, record: Alert | WorkOrder, *, over: bool) -> None:
    if over:
        connection.execute("DELETE FROM notice_open WHERE id = ?", (record.id,))
    else:
        connection.execute("INSERT OR REPLACE INTO notice_open VALUES (?, ?)", (record.id, msgspec.json.encode(record)))
