"""What the history keeps, as lines for InfluxDB: part of the recorder's own transaction, so nothing is sent half."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Sequence

from edgemesh.model.agents import Card
from edgemesh.model.alerts import Alert
from edgemesh.model.orders import WorkOrder
from edgemesh.store.influx.census import Census
from edgemesh.store.influx.guard import MAX_SERIES, Guard
from edgemesh.store.influx.lines import Value, line
from edgemesh.store.influx.measurements import OVERFLOW
from edgemesh.store.influx.places import place, trim_places
from edgemesh.store.influx.points import Fields, alert_point, card_points, order_point, overflow_head, reading_head
from edgemesh.store.influx.progress import Progress
from edgemesh.store.influx.rollups import DueRollups
from edgemesh.store.influx.spool import Lane, Spool
from edgemesh.store.influx.tables import add_to_state
from edgemesh.store.influx.told import Told

logger = logging.getLogger(__name__)

DROPPING_S = 60.0
"""So long after lines had to give way it is told."""
REFUSED_S = 600.0
FAILING_S = 3.0
"""A shorter failure is worth no word."""
_SERIES = "SELECT gateway, asset, device, metric FROM series WHERE id = ?"


class InfluxMirror:
    """Writes what the history keeps into the spool; see `edgemesh.store.contract.Mirror` for the verbs.

    `site` is a tag of every point. `health_s`: how often agents are told of. Without `rollups` none are sent.
    """

    def __init__(
        self,
        site: str,
        spool: Spool,
        progress: Progress,
        *,
        rollups: bool = False,
        health_s: float = 10.0,
        max_series: int = MAX_SERIES,
    ) -> None:
        self.late = False
        self._census = Census()
        self.told = Told(site)
        self._site, self._spool, self._progress = site, spool, progress
        self._due = DueRollups() if rollups else None
        self._health_ns, self._told_ns = round(health_s * 1e9), 0
        self._guard = Guard(max_series)
        self._connection: sqlite3.Connection | None = None
        self._heads: dict[int, str | None] = {}
        self._names: dict[int, tuple[str, str, str, str]] = {}
        self._readings: list[str] = []
        self._events: list[str] = []
        self._refused = 0
        self._dropping = False

    # -- with the history's own writes --------------------------------------------------------------------------------

    def prepare(self, connection: sqlite3.Connection) -> None:
        """Create what is missing in the recorder's database."""
        self._spool.prepare(connection)
        self.forget()

    def forget(self) -> None:
        """What was noted since the last commit is not on the disk, or series have got other numbers."""
        self._heads.clear()
        self._names.clear()
        self._guard.forget()
        if self._due:
            self._due.forget()

    def begin(self, connection: sqlite3.Connection) -> None:
        """A write begins, inside this transaction."""
        self._connection = connection
        self._readings.clear()
        self._events.clear()
        self._refused = 0
        self.late = False

    def readings(
        self,
        minute: int,
        series: int,
        times: Sequence[int],
        values: Sequence[float],
        quality: Sequence[int] | None,
    ) -> None:
        """Readings of one series in one minute since 1970, finite all; without `quality` all are good."""
        if not times:
            return
        head = self._heads[series] if series in self._heads else self._meet(series)
        if head is None:
            self._overflow(series, times, values, quality)
            return
        if self._due:
            self._due.touch(minute, series)
        if quality is None and not self.late:
            self._readings += [f"{head} value={value!r} {at_ns}" for at_ns, value in zip(times, values, strict=True)]
            return
        late = ",late=1i" if self.late else ""
        # Where a time comes again its quality has to be said though it is good: fields that are not written stay.
        marks = [f",quality={int(how)}i" for how in quality] if quality else [""] * len(times)
        self._readings += [
            f"{head} value={value!r}{mark}{late} {at_ns}"
            for at_ns, value, mark in zip(times, values, marks, strict=True)
        ]

    def alert(self, alert: Alert) -> None:
        """A version of an alert whose times are right."""
        head, fields = alert_point(self._site, alert)
        self._event("alert", head, fields, alert.at_ns, f"{alert.id}/{alert.version}")

    def order(self, order: WorkOrder) -> None:
        """A version of a work order."""
        head, fields = order_point(self._site, order)
        self._event("workorder", head, fields, order.at_ns, f"{order.id}/{order.version}")

    def flush(self) -> None:
        """Write what came since `begin` into the spool."""
        connection = self._open()
        if self._events:
            self._spool.put(connection, Lane.EVENTS, self._events)
        if self._readings:
            self._spool.put(connection, Lane.READINGS, self._readings)
        if self._due:
            self._due.note(connection)
        if self._refused:
            add_to_state(connection, {"refused": self._refused})
        self.begin(connection)

    def trim(self, connection: sqlite3.Connection, now_ns: int) -> None:
        """Add what time brings (roll-ups, health) and agents tell, and let go what is sent, too old or too much."""
        self.begin(connection)
        if self._due:
            lines = self._due.take(connection, now_ns, self._rollup_head)
            if lines:
                self._spool.put(connection, Lane.ROLLUPS, lines)
        if now_ns - self._told_ns >= self._health_ns or now_ns < self._told_ns:
            self._told_ns = now_ns
            self._tell_of_agents(now_ns)
        self._pass_on()
        self.flush()
        trim_places(connection)
        self._spool.keep_house(connection, now_ns)
        self._say()

    # -- what the card says -------------------------------------------------------------------------------------------

    @property
    def trouble(self) -> str:
        """What somebody must see to, for people; empty: nothing."""
        health, dropped_s = self._progress.health, self._spool.dropped_at_s
        if health.held:
            return f"InfluxDB takes nothing: {health.held}"
        if dropped_s is not None and time.monotonic() - dropped_s < DROPPING_S:
            why = f" ({health.failing})" if health.failing else ""
            return f"the spool for InfluxDB is full: the oldest lines give way{why}"
        if self._guard.refused:
            many = ", ".join(f"`{name}`" for name in sorted(self._guard.refused))
            return f"too many series for InfluxDB (max_series): {many}"
        return ""

    @property
    def notice(self) -> str:
        """What goes badly, but harms nothing so far; empty: nothing."""
        health, now_s = self._progress.health, time.monotonic()
        if health.failing and now_s - health.since_s >= FAILING_S:
            return f"InfluxDB can't be written, lines wait: {health.failing}"
        if health.refused and now_s - health.refused_at_s < REFUSED_S:
            return f"InfluxDB has refused lines for good: {health.refused}"
        return ""

    def see(self, card: Card, *, retained: bool) -> None:
        """A card of an agent came; see `edgemesh.store.contract.Outlet`."""
        self._census.see(card, retained=retained)

    def stats(self) -> dict[str, float]:
        """Health numbers for the card."""
        spool, health = self._spool, self._progress.health
        failing = bool(health.failing or health.held)
        return {
            "spool_lines": float(spool.waiting),
            "spool_mb": round(spool.size / 1e6, 3),
            "spool_age_s": round(spool.age_s, 1),
            "spool_dropped": float(spool.dropped),
            "influx_lines": float(health.sent_lines),
            "influx_dead": float(spool.dead),
            "influx_failing_s": round(time.monotonic() - health.since_s) if failing else 0.0,
            "series_refused": float(sum(self._guard.refused.values())),
        }

    def _say(self) -> None:
        """Say once when lines begin to give way, and when they do no more."""
        dropped_s = self._spool.dropped_at_s
        dropping = dropped_s is not None and time.monotonic() - dropped_s < DROPPING_S
        if dropping and not self._dropping:
            logger.error("the spool for InfluxDB is full or too old: its oldest lines give way")
        elif self._dropping and not dropping:
            logger.warning("the spool for InfluxDB has room again; %d lines were dropped ever", self._spool.dropped)
        self._dropping = dropping

    # -- points -------------------------------------------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        assert self._connection is not None, "`begin` comes first"
        return self._connection

    def _meet(self, series: int) -> str | None:
        """The head of a series that we did not know; None: it is kept out."""
        connection = self._open()
        head = reading_head("reading", self._site, *self._name(series))
        admitted = self._guard.admits(connection, "reading", head)
        self._heads[series] = head if admitted else None
        return self._heads[series]

    def _name(self, series: int) -> tuple[str, str, str, str]:
        names = self._names.get(series)
        if names is None:
            names = self._names[series] = self._open().execute(_SERIES, (series,)).fetchone()
        return names

    def _rollup_head(self, series: int, measurement: str) -> str | None:
        found = self._open().execute(_SERIES, (series,)).fetchone()
        if found is None or self._meet(series) is None:
            return None
        return reading_head(measurement, self._site, *found)

    def _overflow(
        self, series: int, times: Sequence[int], values: Sequence[float], quality: Sequence[int] | None
    ) -> None:
        gateway, asset, device, metric = self._name(series)
        head = overflow_head(self._site, gateway)
        for index, (at_ns, value) in enumerate(zip(times, values, strict=True)):
            fields: dict[str, Value] = {"asset": asset, "device": device, "metric": metric, "value": float(value)}
            if quality and quality[index]:
                fields["quality"] = int(quality[index])
            if self.late:
                fields["late"] = 1
            self._point(self._readings, OVERFLOW, head, fields, at_ns, f"{device}/{metric}/{at_ns}")

    def _event(self, measurement: str, head: str, fields: Fields, at_ns: int, identity: str) -> None:
        self._point(self._events, measurement, head, fields, at_ns, identity)

    def _point(self, lines: list[str], measurement: str, head: str, fields: Fields, at_ns: int, identity: str) -> None:
        """A point that must not fall on another of its series."""
        connection = self._open()
        if not self._guard.admits(connection, measurement, head):
            self._refused += 1
            return
        if text := line(head, fields, place(connection, head, at_ns, identity)):
            lines.append(text)

    def _tell_of_agents(self, now_ns: int) -> None:
        for card, up in self._census.count():
            for head, fields in card_points(self._site, card, up=up):
                if self._guard.admits(self._open(), head.partition(",")[0], head):
                    self._readings.append(line(head, fields, now_ns))

    def _pass_on(self) -> None:
        """What agents have told of scores and of their logs."""
        for waiting in self.told.give():
            if self._guard.admits(self._open(), waiting.measurement, waiting.head):
                self._readings.append(waiting.text)
            else:
                self._refused += 1
