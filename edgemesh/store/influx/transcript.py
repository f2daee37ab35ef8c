"""The transcript: lines for InfluxDB of what a history holds, made by the mirror itself, after the event."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter

from edgemesh.model.alerts import Alert
from edgemesh.model.orders import WorkOrder
from edgemesh.store.archive import Archive, RawRow, RollupRow
from edgemesh.store.curves import Resolution
from edgemesh.store.history import Series
from edgemesh.store.influx.guard import MAX_SERIES
from edgemesh.store.influx.mirror import InfluxMirror
from edgemesh.store.influx.progress import Progress
from edgemesh.store.influx.spool import Lane, Spool
from edgemesh.store.influx.tables import create as create_tables
from edgemesh.store.schema import MINUTE_NS, TEN
from edgemesh.store.schema import create as create_history

_WIDTHS: dict[Resolution, tuple[str, int]] = {"1min": ("rollup_1min", 1), "10min": ("rollup_10min", TEN)}
_LATEST_NS = 2**63 - 1
_TIDY_EVERY = 1_000
_NOTES = (("influx_series", "head, measurement"), ("influx_place", "id, head, at_ns, identity"))
"""What the recorder's mirror has noted that decides how a point is written."""


class _Caught(Spool):
    """Lines come to be taken, not to wait."""

    def __init__(self) -> None:
        super().__init__(Progress())
        self.lines: list[str] = []

    def prepare(self, connection: sqlite3.Connection) -> None:
        create_tables(connection)

    def put(self, connection: sqlite3.Connection, lane: Lane, lines: Sequence[str]) -> None:
        self.lines += lines

    def keep_house(self, connection: sqlite3.Connection, at_ns: int) -> None:
        pass


class Transcript:
    """Makes the lines that the mirror makes of the same data, but for `late`, which no history keeps.

    `site` is a tag of every point. Its notes (series that are let in, places in time) lie in memory; `learn` takes
    those of a recorder over, so that what the mirror has written gets the same lines again. To be used by one thread.
    """

    def __init__(self, site: str, *, max_series: int = MAX_SERIES) -> None:
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        create_history(self._connection)
        self._caught = _Caught()
        self._mirror = InfluxMirror(site, self._caught, Progress(), max_series=max_series)
        self._rollups = InfluxMirror(site, self._caught, Progress(), rollups=True, max_series=max_series)
        for mirror in (self._mirror, self._rollups):
            mirror.prepare(self._connection)
        self._told = 0

    def close(self) -> None:
        """Let go of the notes."""
        self._connection.close()

    def learn(self, archive: Archive) -> None:
        """Take over what the recorder's mirror has noted, where it has one."""
        for table, columns in _NOTES:
            rows = archive.table(table, columns)
            places = ", ".join("?" * (columns.count(",") + 1))
            self._connection.executemany(f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({places})", rows)  # noqa: S608  our own names

    def name(self, series: Iterable[Series]) -> None:
        """Series that readings and roll-ups will be of."""
        self._connection.executemany(
            "INSERT OR REPLACE INTO series (id, gateway, device, asset, metric, unit) VALUES (?, ?, ?, ?, ?, ?)", series
        )

    def raw(self, rows: Sequence[RawRow]) -> list[str]:
        """Lines of readings, ordered by series and then time, all in one minute."""
        self._mirror.begin(self._connection)
        for series, group in groupby(rows, key=itemgetter(0)):
            _, times, values, quality = zip(*group, strict=True)
            self._mirror.readings(times[0] // MINUTE_NS, series, times, values, quality if any(quality) else None)
        return self._written(self._mirror)

    def rolled_up(self, resolution: Resolution, rows: Iterable[RollupRow]) -> list[str]:
        """Lines of roll-ups."""
        table, width = _WIDTHS[resolution]
        buckets = [(start // (width * MINUTE_NS), series, *rest, 0) for series, start, *rest in rows]
        self._connection.executemany(f"INSERT INTO {table} VALUES (?, ?, ?, ?, ?, ?, ?, ?)", buckets)  # noqa: S608  our own names
        due = [(width, bucket, series) for bucket, series, *_ in buckets]
        self._connection.executemany("INSERT INTO influx_due VALUES (?, ?, ?)", due)
        while self._connection.execute("SELECT 1 FROM influx_due LIMIT 1").fetchone():
            self._rollups.trim(self._connection, _LATEST_NS)
        self._connection.execute(f"DELETE FROM {table}")  # noqa: S608  our own names
        return self._taken()

    def alert(self, alert: Alert) -> list[str]:
        """The line of a version of an alert; none while the clock that gave its times is in doubt."""
        if alert.clock:
            return []
        self._mirror.begin(self._connection)
        self._mirror.alert(alert)
        return self._written(self._mirror)

    def order(self, order: WorkOrder) -> list[str]:
        """The line of a version of a work order."""
        self._mirror.begin(self._connection)
        self._mirror.order(order)
        return self._written(self._mirror)

    def _written(self, mirror: InfluxMirror) -> list[str]:
        mirror.flush()
        self._told += 1
        if self._told % _TIDY_EVERY == 0:
            mirror.trim(self._connection, 0)
        return self._taken()

    def _taken(self) -> list[str]:
        lines, self._caught.lines = self._caught.lines, []
        return lines
