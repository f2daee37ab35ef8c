"""Curves: readings of a series over time, raw or rolled up."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Literal, NamedTuple

from edgemesh.store.schema import MINUTE_NS, TEN

Resolution = Literal["raw", "1min", "10min"]


class Point(NamedTuple):
    """One reading, or `n` of them rolled up; `at_ns` is then the start of the bucket. `mean`, `low`, `high` and `last`
    are in the unit of the series; `quality` is that of a raw reading, good otherwise.
    """

    at_ns: int
    n: int
    mean: float
    low: float
    high: float
    last: float
    quality: int = 0


class Curve(NamedTuple):
    """Points in the order of time, and the resolution that they were read at."""

    resolution: Resolution
    points: list[Point]


# Rows lie by bucket first: leap from one bucket that exists to the next one, and take the series' rows in each.
_LEAPS = """
WITH RECURSIVE leap(bucket) AS (
    SELECT min({bucket}) FROM {table} WHERE {bucket} >= :first
    UNION ALL
    SELECT (SELECT min({bucket}) FROM {table} WHERE {bucket} > leap.bucket) FROM leap WHERE leap.bucket < :last)
SELECT {columns} FROM leap CROSS JOIN {table} AS found
ON found.{bucket} = leap.bucket AND found.series = :series
WHERE leap.bucket <= :last {more} LIMIT :limit"""

_RAW = _LEAPS.format(
    table="reading",
    bucket="minute",
    columns="at_ns, 1, value, value, value, value, quality",
    more="AND at_ns >= :start AND at_ns < :end",
)


def _rollup(table: str, width_ns: int) -> str:
    columns = f"found.bucket * {width_ns}, n, total / n, low, high, last, 0"
    return _LEAPS.format(table=table, bucket="bucket", columns=columns, more="AND n > 0")


_QUERIES: dict[Resolution, tuple[str, int]] = {
    "raw": (_RAW, MINUTE_NS),
    "1min": (_rollup("rollup_1min", MINUTE_NS), MINUTE_NS),
    "10min": (_rollup("rollup_10min", TEN * MINUTE_NS), TEN * MINUTE_NS),
}


_UNTIMED = """
SELECT at_ns + coalesce(by_ns, 0) AS time, 1, value, value, value, value, max(quality, 1)
FROM untimed_clock CROSS JOIN untimed ON untimed.clock = untimed_clock.id
WHERE series = :series AND time >= :start AND time < :end LIMIT :limit"""
"""Raw readings whose time is not known yet, or not written down yet: of uncertain quality at best."""


def read_points(
    connection: sqlite3.Connection,
    series: Sequence[int],
    resolution: Resolution,
    start_ns: int,
    end_ns: int,
    limit: int | None,
    *,
    untimed: bool = False,
) -> list[Point]:
    """The points of these series from `start_ns` up to `end_ns`, in the order of time; buckets that overlap are whole.

    No more than `limit` of each series (None: all). With `untimed` raw points come with those that have no sure time.
    """
    query, width_ns = _QUERIES[resolution]
    points: list[Point] = []
    if start_ns >= end_ns:
        return points
    for each in series:
        values = {
            "series": each,
            "first": start_ns // width_ns,
            "last": (end_ns - 1) // width_ns,
            "start": start_ns,
            "end": end_ns,
            "limit": -1 if limit is None else limit,
        }
        points.extend(map(Point._make, connection.execute(query, values)))
        if untimed and resolution == "raw":
            points.extend(map(Point._make, connection.execute(_UNTIMED, values)))
    if len(series) > 1 or untimed:
        points.sort(key=lambda point: point.at_ns)
    return points


def merge(points: list[Point], max_points: int) -> list[Point]:
    """At most `max_points` points: as many neighbours as needed become one, with the time of the first."""
    size = -(-len(points) // max(1, max_points))
    if size <= 1:
        return points
    return [_merged(points[start : start + size]) for start in range(0, len(points), size)]


def _merged(points: list[Point]) -> Point:
    n = sum(point.n for point in points)
    return Point(
        points[0].at_ns,
        n,
        sum(point.mean * point.n for point in points) / n,
        min(point.low for point in points),
        max(point.high for point in points),
        points[-1].last,
        max(point.quality for point in points),
    )
