"""The sink of history: what the recorder follows, kept in the recorder's own database."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence

import msgspec

from edgemesh.model.alerts import Alert
from edgemesh.model.packs import Alerts, Orders, Pack, Readings
from edgemesh.store import retention, retired
from edgemesh.store.contract import Mirror
from edgemesh.store.schema import create, read_state, write_state
from edgemesh.store.scrub import Scrub
from edgemesh.store.size import Size
from edgemesh.store.untimed import Untimed, trim_untimed
from edgemesh.store.writer import Memory, ReadingWriter

logger = logging.getLogger(__name__)

MOST_ROWS = 200_000
"""Of one step of retention; some 0.3 s."""
RELEASE_ROWS = 5_000
"""Readings that get their true time in one write, beside what came; the rest in the next ones."""
_encode = msgspec.json.Encoder().encode

_PUT_ALERT = """INSERT INTO alert VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET version = excluded.version,
state = excluded.state, asset = excluded.asset, raised_at_ns = excluded.raised_at_ns, body = excluded.body
WHERE excluded.version > version"""
_PUT_ORDER = """INSERT INTO workorder VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET
version = excluded.version, state = excluded.state, asset = excluded.asset, opened_at_ns = excluded.opened_at_ns,
body = excluded.body WHERE excluded.version > version"""


class HistorySink:
    """Keeps readings with their roll-ups, alerts and work orders. Ages are in seconds.

    Raw readings live `raw_s`, 1-minute roll-ups `minute_s`, 10-minute roll-ups `ten_minutes_s`; alerts and orders that
    are over `records_s`, their earlier versions `versions_s`. What the disk has changed is found and said (`Scrub`).
    A time of a series that comes again replaces the reading that was there, so a pack that comes twice changes nothing;
    once its raw readings were trimmed that can't be known any more. Bad readings are kept but not in the roll-ups.
    Readings of a clock in doubt wait until their time is known (`untimed`). What is too old is forgotten no faster than
    time passes, whatever somebody sets a clock to (`retention.Pace`). Beyond `max_bytes` the oldest gives way (`Size`).
    `mirror` is told of all that is kept.
    """

    def __init__(
        self,
        *,
        raw_s: float = retention.RAW_S,
        minute_s: float = retention.MINUTE_S,
        ten_minutes_s: float = retention.TEN_MINUTES_S,
        versions_s: float = retired.VERSIONS_S,
        records_s: float = retired.RECORDS_S,
        step_rows: int = retention.STEP_ROWS,
        max_bytes: int | None = None,
        mirror: Mirror | None = None,
    ) -> None:
        self._ages = {"raw_s": raw_s, "minute_s": minute_s, "ten_minutes_s": ten_minutes_s}
        self._versions_s, self._records_s = versions_s, records_s
        self._scrub = Scrub()
        self._step_rows = step_rows
        self._size = Size(max_bytes)
        self._came = -1
        self._pace = retention.Pace()
        self._memory = Memory()
        self._mirror = mirror

    def prepare(self, connection: sqlite3.Connection) -> None:
        """Create the tables that are missing. StoreError when they are of a newer edgemesh."""
        create(connection)
        self._memory = Memory()
        if self._mirror:
            self._mirror.prepare(connection)

    def write(self, connection: sqlite3.Connection, packs: Sequence[Pack]) -> None:
        """Write the packs inside the open transaction; never commits."""
        self._write(connection, packs, RELEASE_ROWS)

    def trim(self, connection: sqlite3.Connection, now_ns: int) -> None:
        """Forget, inside the open transaction, a step of what is too old; release a step of what is timed now."""
        state = read_state(connection)
        limit = self._limit(state["readings"])
        retention.trim(connection, now_ns, limit=limit, pace=self._pace, **self._ages)
        self._size.trim(connection, limit)
        retired.retire(connection, now_ns, versions_s=self._versions_s, records_s=self._records_s)
        if retired.retire_series(connection, now_ns, ten_minutes_s=self._ages["ten_minutes_s"]):
            self._memory = Memory()
        state = read_state(connection)
        for minute, series in self._scrub.step(connection, state):
            logger.error("history: the disk has changed readings of series %d in minute %d", series, minute)
        if state["untimed"]:
            gone = trim_untimed(connection, round(self._ages["raw_s"] * 1e9), self._step_rows)
            write_state(connection, {"untimed": state["untimed"] - gone})
            self._write(connection, (), self._step_rows)
        if self._mirror:
            self._mirror.trim(connection, now_ns)

    @property
    def notice(self) -> str:
        """What goes badly but harms nothing so far, for people; empty: nothing."""
        return self._size.notice

    def _limit(self, readings: int) -> int:
        """How many rows may go in a step: twice as many as came since the last one, so that more goes than comes."""
        came, self._came = readings - self._came if self._came >= 0 else 0, readings
        return min(max(self._step_rows, 2 * came), MOST_ROWS)

    def _write(self, connection: sqlite3.Connection, packs: Sequence[Pack], release: int) -> None:
        state, memory, mirror = read_state(connection), self._memory, self._mirror
        if memory.writes != state["writes"]:  # the transaction of the write before was rolled back, or is not ours
            memory.forget(connection)
            if mirror:
                mirror.forget()
        memory.writes = -1
        if mirror:
            mirror.begin(connection)
        writer = ReadingWriter(connection, memory, state, mirror)
        untimed = Untimed(connection, writer, state, mirror)
        for pack in packs:
            self._write_pack(connection, pack, writer, untimed)
        if mirror:
            mirror.late = True
        untimed.release(release)
        writer.flush()
        if mirror:
            mirror.flush()
        changes = {
            "writes": state["writes"] + 1,
            "packs": state["packs"] + len(packs),
            "readings": state["readings"] + writer.readings,
            "duplicates": state["duplicates"] + writer.duplicates,
            "unusable": state["unusable"] + writer.unusable,
            "untimed": state["untimed"] + untimed.waiting,
            "retimed": state["retimed"] + untimed.retimed,
        }
        write_state(connection, changes)
        memory.writes = changes["writes"]

    def _write_pack(self, connection: sqlite3.Connection, pack: Pack, writer: ReadingWriter, untimed: Untimed) -> None:
        mirror = self._mirror
        match pack:
            case Readings():
                if mirror:
                    mirror.late = pack.seq < pack.live
                for batch in pack.records:
                    (untimed if batch.clock else writer).add(pack.agent, batch)
                for retimed in pack.retimed:
                    untimed.learn(pack.agent, retimed)
            case Alerts():
                alerts = [untimed.timed(alert) if alert.clock else alert for alert in pack.records]
                _write_alerts(connection, alerts, pack.at_ns)
                for alert in alerts:
                    if mirror and not alert.clock:
                        mirror.alert(alert)
            case Orders():
                _write_orders(connection, pack)
                for order in pack.records:
                    if mirror:
                        mirror.order(order)


def _write_alerts(connection: sqlite3.Connection, alerts: Sequence[Alert], committed_at_ns: int) -> None:
    versions, latest = [], []
    for alert in alerts:
        body = _encode(alert)
        versions.append((alert.id, alert.version, alert.state.value, alert.at_ns, committed_at_ns, body))
        latest.append((alert.id, alert.version, alert.state.value, alert.asset, alert.raised_at_ns, body))
    connection.executemany("INSERT OR IGNORE INTO alert_version VALUES (?, ?, ?, ?, ?, ?)", versions)
    connection.executemany(_PUT_ALERT, latest)


def _write_orders(connection: sqlite3.Connection, pack: Orders) -> None:
    versions, latest = [], []
    for order in pack.records:
        body = _encode(order)
        versions.append((order.id, order.version, order.state.value, order.alert, pack.at_ns, body))
        latest.append((order.id, order.version, order.state.value, order.asset, order.opened_at_ns, body))
    connection.executemany("INSERT OR IGNORE INTO workorder_version VALUES (?, ?, ?, ?, ?, ?)", versions)
    connection.executemany(_PUT_ORDER, latest)
