"""Readings whose time is not known yet: a gateway's clock gave it that could not be believed.

They wait in a table of their own, where retention and roll-ups leave them alone, and go the usual way once the gateway
says how far its clock was off. Alerts with such times are kept as they came and put right then.
"""

from __future__ import annotations

import sqlite3
from itertools import groupby

import msgspec

from edgemesh.model.alerts import Alert
from edgemesh.model.samples import Batch, Retimed, move
from edgemesh.store.contract import Mirror
from edgemesh.store.schema import State
from edgemesh.store.writer import Reading, ReadingWriter

CLOCKS_KEPT = 16
"""Of each gateway so many clocks are remembered; readings of an older one that nobody put right are past their age."""
_MORE = "INSERT OR IGNORE INTO untimed VALUES (?, ?, ?, ?, ?)"
_AGAIN = "INSERT OR REPLACE INTO untimed VALUES (?, ?, ?, ?, ?)"
_KNOWN = "SELECT clock, from_ns, until_ns, by_ns FROM untimed_clock WHERE gateway = ? AND clock = ? AND by_ns NOT NULL"
_NEXT = "SELECT at_ns, series, value, quality FROM untimed WHERE clock = ? ORDER BY at_ns, series LIMIT ?"

_decode = msgspec.json.Decoder(Alert).decode
_encode = msgspec.json.Encoder().encode


class Untimed:
    """What waits for its time, inside one transaction. `waiting` and `retimed` are changes of the state's counters."""

    def __init__(
        self, connection: sqlite3.Connection, writer: ReadingWriter, state: State, mirror: Mirror | None = None
    ) -> None:
        self._connection, self._writer, self._mirror = connection, writer, mirror
        self._before = state["untimed"]
        self.waiting = self.retimed = 0

    def add(self, gateway: str, batch: Batch) -> None:
        """Take the readings of a batch with a clock in doubt; if it is known by now, with their true times."""
        known = self.known(gateway, batch.clock)
        clock = self._clock(gateway, batch.clock)
        for series, readings in self._writer.readings_of(gateway, batch):
            if known is not None:
                self._writer.merge(series, _moved(readings, known.by_ns))
            else:
                self._keep(clock, series, readings)
        self._connection.execute(
            "UPDATE untimed_clock SET newest_ns = max(newest_ns, ?) WHERE id = ?", (max(batch.at_ns), clock)
        )

    def learn(self, gateway: str, retimed: Retimed) -> None:
        """A clock is known now: what it gave goes its way from here on, a step at a time (`release`)."""
        clock = self._clock(gateway, retimed.clock)
        self._connection.execute(
            "UPDATE untimed_clock SET from_ns = ?, until_ns = ?, by_ns = ? WHERE id = ?",
            (retimed.from_ns, retimed.until_ns, retimed.by_ns, clock),
        )
        self._put_alerts_right(clock, retimed)

    def release(self, limit: int) -> int:
        """Move up to `limit` readings whose clock is known to their true times; return how many."""
        released = 0
        if self._before + self.waiting <= 0:
            return 0
        clocks = self._connection.execute("SELECT id, by_ns FROM untimed_clock WHERE by_ns NOT NULL").fetchall()
        for clock, by_ns in clocks:
            rows = self._connection.execute(_NEXT, (clock, limit - released)).fetchall()
            if not rows:
                continue
            for series, group in groupby(sorted(rows, key=lambda row: row[1]), key=lambda row: row[1]):
                self._writer.merge(series, _moved([(at_ns, value, how) for at_ns, _, value, how in group], by_ns))
            self._connection.execute(
                "DELETE FROM untimed WHERE clock = ? AND (at_ns, series) <= (?, ?)", (clock, *rows[-1][:2])
            )
            released += len(rows)
            if released >= limit:
                break
        self.waiting -= released
        self.retimed += released
        return released

    def known(self, gateway: str, clock: int) -> Retimed | None:
        """How far a clock was off, where the gateway has said so."""
        found = self._connection.execute(_KNOWN, (gateway, clock)).fetchone()
        return Retimed(clock=found[0], from_ns=found[1], until_ns=found[2], by_ns=found[3]) if found else None

    def timed(self, alert: Alert) -> Alert:
        """The alert with its true times, if they are known; else it is noted as one to be put right."""
        known = self.known(alert.gateway, alert.clock)
        if known is not None:
            return alert.put_right(known)
        row = (self._clock(alert.gateway, alert.clock), alert.id, alert.version)
        self._connection.execute("INSERT OR IGNORE INTO untimed_alert VALUES (?, ?, ?)", row)
        return alert

    def _keep(self, clock: int, series: int, readings: list[Reading]) -> None:
        rows = [(clock, at_ns, series, value, quality) for at_ns, value, quality in readings]
        added = self._connection.executemany(_MORE, rows).rowcount if rows else 0
        if added < len(rows):  # a time that comes again replaces what it said before
            self._connection.executemany(_AGAIN, rows)
            self._writer.duplicates += len(rows) - added
        self.waiting += added

    def _clock(self, gateway: str, clock: int) -> int:
        self._connection.execute(
            "INSERT OR IGNORE INTO untimed_clock (gateway, clock, newest_ns) VALUES (?, ?, 0)", (gateway, clock)
        )
        found = self._connection.execute(
            "SELECT id FROM untimed_clock WHERE gateway = ? AND clock = ?", (gateway, clock)
        ).fetchone()
        return int(found[0])

    def _put_alerts_right(self, clock: int, retimed: Retimed) -> None:
        connection = self._connection
        found = connection.execute(
            "SELECT id, version, body FROM alert_version JOIN untimed_alert USING (id, version) WHERE clock = ?",
            (clock,),
        ).fetchall()
        for name, version, body in found:
            alert = _decode(body).put_right(retimed)
            true = _encode(alert)
            if self._mirror:
                self._mirror.alert(alert)
            connection.execute(
                "UPDATE alert_version SET at_ns = ?, body = ? WHERE id = ? AND version = ?",
                (alert.at_ns, true, name, version),
            )
            connection.execute(
                "UPDATE alert SET raised_at_ns = ?, body = ? WHERE id = ? AND version = ?",
                (alert.raised_at_ns, true, name, version),
            )
        connection.execute("DELETE FROM untimed_alert WHERE clock = ?", (clock,))


def trim_untimed(connection: sqlite3.Connection, age_ns: int, limit: int) -> int:
    """Delete up to `limit` readings that are past their age by their own clock, of the oldest clocks all; how many."""
    deleted = 0
    rank = "row_number() OVER (PARTITION BY gateway ORDER BY id DESC)"
    clocks = connection.execute(f"SELECT id, newest_ns, by_ns, {rank} FROM untimed_clock").fetchall()  # noqa: S608  our own text
    for clock, newest_ns, by_ns, age in clocks:
        if age > CLOCKS_KEPT:
            deleted += _delete(connection, clock, 2**63 - 1, limit - deleted)
            connection.execute("DELETE FROM untimed_alert WHERE clock = ?", (clock,))
            connection.execute(
                "DELETE FROM untimed_clock WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM untimed WHERE clock = ?1)",
                (clock,),
            )
        elif by_ns is None:
            deleted += _delete(connection, clock, newest_ns - age_ns, limit - deleted)
    return deleted


def _delete(connection: sqlite3.Connection, clock: int, before_ns: int, limit: int) -> int:
    rows = connection.execute(
        "SELECT at_ns, series FROM untimed WHERE clock = ? AND at_ns < ? ORDER BY at_ns, series LIMIT ?",
        (clock, before_ns, max(limit, 0)),
    ).fetchall()
    if rows:
        connection.execute("DELETE FROM untimed WHERE clock = ? AND (at_ns, series) <= (?, ?)", (clock, *rows[-1]))
    return len(rows)


def _moved(readings: list[Reading], by_ns: int) -> list[Reading]:
    return [(move(at_ns, by_ns), value, quality) for at_ns, value, quality in readings]
