"""The archive: many series of a history at once, in steps that hold neither much memory nor the recorder's file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from edgemesh.model.alerts import Alert
from edgemesh.model.orders import WorkOrder
from edgemesh.store.curves import Resolution
from edgemesh.store.history import Series
from edgemesh.store.playback import LATEST_NS, Playback
from edgemesh.store.schema import MINUTE_NS, TEN

STEP_ROWS = 20_000
"""Rows that are read at a time: nothing is open in the file while they are dealt with."""
STEP_RECORDS = 200

RawRow = tuple[int, int, float, int]
"""Series, time in ns, value, quality."""
RollupRow = tuple[int, int, int, float, float, float, float]
"""Series, start of the bucket in ns, count, sum, least, greatest, last."""
Seen = Callable[[int], None]
"""Is told how far in time (ns) reading has come."""

WIDTHS: dict[Resolution, int] = {"raw": MINUTE_NS, "1min": MINUTE_NS, "10min": TEN * MINUTE_NS}
"""Length of a bucket in ns, by resolution."""

_RAW = """SELECT found.series, at_ns, value, quality FROM wanted CROSS JOIN reading AS found
ON found.minute = :bucket AND found.series = wanted.series
WHERE wanted.series >= :series AND (found.series, at_ns) > (:series, :after)
AND at_ns >= :start AND at_ns < :end ORDER BY found.series, at_ns LIMIT :limit"""
_RAW_OF_ALL = """SELECT series, at_ns, value, quality FROM reading
WHERE minute = :bucket AND (series, at_ns) > (:series, :after) AND series <= :most
AND at_ns >= :start AND at_ns < :end ORDER BY series, at_ns LIMIT :limit"""
_ROLLUP = """SELECT found.series, bucket * :width, n, total, low, high, last FROM wanted CROSS JOIN {table} AS found
ON bucket = :bucket AND found.series = wanted.series
WHERE wanted.series > :series AND n > 0 ORDER BY found.series LIMIT :limit"""
_ROLLUP_OF_ALL = """SELECT series, bucket * :width, n, total, low, high, last FROM {table}
WHERE (bucket, series) > (:bucket, :series) AND bucket <= :last AND series <= :most AND n > 0
ORDER BY bucket, series LIMIT :limit"""
_NEXT = "SELECT min({bucket}) FROM {table} WHERE {bucket} > ?"
_TABLES: dict[Resolution, str] = {"1min": "rollup_1min", "10min": "rollup_10min"}

_ALERTS = """SELECT raised_at_ns, id, body FROM alert WHERE (raised_at_ns, id) > (?, ?) AND raised_at_ns < ?
ORDER BY raised_at_ns, id LIMIT ?"""
_ORDERS = """SELECT opened_at_ns, id, body FROM workorder WHERE (opened_at_ns, id) > (?, ?) AND opened_at_ns < ?
ORDER BY opened_at_ns, id LIMIT ?"""
_VERSIONS = "SELECT rowid, body FROM {table} WHERE rowid > ? ORDER BY rowid LIMIT ?"

_alert = msgspec.json.Decoder(Alert).decode
_order = msgspec.json.Decoder(WorkOrder).decode


@dataclass(frozen=True, slots=True)
class Selection:
    """What is asked for: patterns (`*`, `?`, `[ab]`) for each name, none: any; from `start_ns` up to `end_ns`."""

    gateways: tuple[str, ...] = ()
    assets: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    start_ns: int = 0
    end_ns: int = LATEST_NS

    def takes(self, series: Series) -> bool:
        """Whether the names of a series fit."""
        return (
            _fits(series.gateway, self.gateways)
            and _fits(series.asset, self.assets)
            and _fits(series.device, self.devices)
            and _fits(series.metric, self.metrics)
        )

    def takes_alert(self, alert: Alert) -> bool:
        """Whether asset and gateway of an alert fit, and device and metric of one of its evidences."""
        evidence = not (self.devices or self.metrics) or any(
            _fits(each.device, self.devices) and _fits(each.metric, self.metrics) for each in alert.evidence
        )
        return evidence and _fits(alert.asset, self.assets) and _fits(alert.gateway, self.gateways)

    def takes_order(self, order: WorkOrder) -> bool:
        """Whether the asset of an order fits; the other names are none of its own."""
        return _fits(order.asset, self.assets)


class Archive(Playback):
    """A history that much is taken out of. Rows come bucket by bucket, in a bucket series by series.

    Series that come up while it is read are left out.
    """

    _wanted: Sequence[int] | None = None

    def select(self, selection: Selection) -> dict[int, Series]:
        """The series that fit, by their numbers."""
        return {each.id: each for each in self.series() if selection.takes(each)}

    def newest_ns(self) -> int | None:
        """The instant of the newest reading, or the end of the newest bucket, if only those are left; None: nothing."""
        extent = self.extent()
        if extent:
            return extent[1]
        (newest,) = self._ask("SELECT max(bucket) FROM rollup_10min")[0]
        return None if newest is None else (newest + 1) * WIDTHS["10min"] - 1

    def oldest_ns(self, resolution: Resolution) -> int | None:
        """The start of the oldest bucket of a resolution; None: there is none."""
        table, bucket = _place(resolution)
        (oldest,) = self._ask(f"SELECT min({bucket}) FROM {table}")[0]  # noqa: S608  our own names
        return None if oldest is None else int(oldest) * WIDTHS[resolution]

    def finest(self, start_ns: int) -> Resolution:
        """The finest resolution of which nothing after this instant was trimmed."""
        return self._kept(start_ns)[0]

    def raw(
        self, series: Sequence[int], start_ns: int = 0, end_ns: int = LATEST_NS, seen: Seen | None = None
    ) -> Iterator[list[RawRow]]:
        """Raw readings whose time is known, in steps that never reach over a minute."""
        values = {"start": start_ns, "end": end_ns, "limit": STEP_ROWS, "most": max(series, default=0)}
        query = _RAW_OF_ALL if self._are_all(series) else _RAW
        for bucket in self._buckets("raw", start_ns, end_ns, seen):
            last: tuple[int, int] = (-1, -1)
            while True:
                place = {"bucket": bucket, "series": last[0], "after": last[1]}
                rows = self._of(series, query, values | place)
                if rows:
                    yield rows
                    last = rows[-1][:2]
                if len(rows) < STEP_ROWS:
                    break

    def rollups(
        self,
        resolution: Resolution,
        series: Sequence[int],
        start_ns: int = 0,
        end_ns: int = LATEST_NS,
        seen: Seen | None = None,
    ) -> Iterator[list[RollupRow]]:
        """Roll-ups whose bucket overlaps the range."""
        width, table = WIDTHS[resolution], _TABLES[resolution]
        values = {"width": width, "limit": STEP_ROWS}
        if self._are_all(series):
            yield from self._rollups_of_all(series, table, values, (start_ns // width, (end_ns - 1) // width), seen)
            return
        for bucket in self._buckets(resolution, start_ns, end_ns, seen):
            last = -1
            while True:
                place = {"bucket": bucket, "series": last}
                rows = self._of(series, _ROLLUP.format(table=table), values | place)
                if rows:
                    yield rows
                    last = rows[-1][0]
                if len(rows) < STEP_ROWS:
                    break

    def _rollups_of_all(
        self, series: Sequence[int], table: str, values: dict[str, int], buckets: tuple[int, int], seen: Seen | None
    ) -> Iterator[list[RollupRow]]:
        place, query = (buckets[0], -1), _ROLLUP_OF_ALL.format(table=table)
        values |= {"last": buckets[1], "most": max(series, default=0)}
        while True:
            rows = self._ask(query, values | {"bucket": place[0], "series": place[1]})
            if rows:
                yield rows
                place = (rows[-1][1] // values["width"], rows[-1][0])
                if seen:
                    seen(rows[-1][1] + values["width"])
            if len(rows) < STEP_ROWS:
                return

    def alerts_between(self, start_ns: int, end_ns: int) -> Iterator[Alert]:
        """The latest version of each alert raised in the range, oldest first."""
        return map(_alert, self._records(_ALERTS, start_ns, end_ns))

    def orders_between(self, start_ns: int, end_ns: int) -> Iterator[WorkOrder]:
        """The latest version of each work order opened in the range, oldest first."""
        return map(_order, self._records(_ORDERS, start_ns, end_ns))

    def versions_of_alerts(self) -> Iterator[Alert]:
        """All versions that are kept, in the order in which they came."""
        return map(_alert, self._versions("alert_version"))

    def versions_of_orders(self) -> Iterator[WorkOrder]:
        """All versions that are kept, in the order in which they came."""
        return map(_order, self._versions("workorder_version"))

    def table(self, name: str, columns: str) -> list[tuple[object, ...]]:
        """All rows of a small table of the recorder's file, in the order of the first column; no such table: none."""
        if not self._ask("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)):
            return []
        return self._ask(f"SELECT {columns} FROM {name} ORDER BY 1")  # noqa: S608  our own names

    def _buckets(self, resolution: Resolution, start_ns: int, end_ns: int, seen: Seen | None) -> Iterator[int]:
        """Numbers of the buckets that overlap the range, of whatever series."""
        table, column = _place(resolution)
        query, width = _NEXT.format(table=table, bucket=column), WIDTHS[resolution]
        bucket, last = start_ns // width - 1, (end_ns - 1) // width
        while True:
            (bucket,) = self._ask(query, (bucket,))[0]
            if bucket is None or bucket > last:
                return
            yield bucket
            if seen:
                seen((bucket + 1) * width)

    def _are_all(self, series: Sequence[int]) -> bool:
        """Whether there is no series but these: then nobody has to look for each of them."""
        return bool(set(series) >= {number for (number,) in self._ask("SELECT id FROM series")})

    def _of(self, series: Sequence[int], query: str, values: Mapping[str, int]) -> list[Any]:
        """Ask for rows of these series, which a table `wanted` of our own holds meanwhile."""
        if self._wanted is not series:
            self._ask("CREATE TEMP TABLE IF NOT EXISTS wanted (series INTEGER PRIMARY KEY)")
            self._ask("DELETE FROM wanted")
            self._connection.executemany("INSERT INTO wanted VALUES (?)", [(number,) for number in series])
            self._connection.commit()
            self._wanted = series
        return self._ask(query, values)

    def _records(self, query: str, start_ns: int, end_ns: int) -> Iterator[bytes]:
        after: tuple[int, str] = (start_ns - 1, "~")  # no id is greater
        while True:
            rows = self._ask(query, (*after, end_ns, STEP_RECORDS))
            yield from (body for *_, body in rows)
            if len(rows) < STEP_RECORDS:
                return
            after = rows[-1][:2]

    def _versions(self, table: str) -> Iterator[bytes]:
        after = 0
        while True:
            rows = self._ask(_VERSIONS.format(table=table), (after, STEP_RECORDS))
            yield from (body for _, body in rows)
            if len(rows) < STEP_RECORDS:
                return
            after = rows[-1][0]


def _place(resolution: Resolution) -> tuple[str, str]:
    """Table and column of the buckets of a resolution."""
    return ("reading", "minute") if resolution == "raw" else (_TABLES[resolution], "bucket")


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)
