"""Scales: from values and instants to places on the paper, and where to put marks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from edgemesh.backtest.traces import Bucket

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200)
_DAY_S = 86_400
_MOST_GAPS = 4


@dataclass(frozen=True, slots=True)
class Scale:
    """A straight scale from `low`..`high` to `start`..`end` on the paper; what is beyond is put on the edge."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """The place of a value."""
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return self.start + min(1.0, max(0.0, share)) * (self.end - self.start)


def time_marks(begin_ns: int, end_ns: int, count: int = 5) -> list[tuple[int, str]]:
    """Round instants between begin and end with their texts, about `count` of them.

    >>> time_marks(0, 3600 * 10**9)[1]
    (900000000000, '00:15')
    """
    span_s = max(1.0, (end_ns - begin_ns) / 1e9)
    days = next(n for n in (1, 2, 7, 14, 30, 91, 365, 3650, 36_500) if n * _DAY_S * count >= span_s or n == 36_500)
    step_s = next((step for step in _STEPS_S if step * count >= span_s), days * _DAY_S)
    shape = "%H:%M:%S" if step_s < 60 else "%H:%M" if step_s < _DAY_S else "%Y-%m-%d"
    first = -(-begin_ns // (step_s * 10**9)) * step_s
    return [
        (second * 10**9, (_EPOCH + timedelta(seconds=second)).strftime(shape))
        for second in range(first, end_ns // 10**9 + 1, step_s)
    ]


def value_marks(low: float, high: float) -> list[float]:
    """Two to four round values between low and high.

    >>> value_marks(0.0, 1.7)
    [0.0, 0.5, 1.0, 1.5]
    """
    span = high - low
    if not (math.isfinite(span) and span > 0.0):
        return [low]
    size = 10.0 ** math.floor(math.log10(span / 2))
    step = next((size * factor for factor in (1, 2, 5) if span / (size * factor) <= 4), size * 10)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 12) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def value_range(buckets: Sequence[Bucket], levels: Sequence[float] = ()) -> tuple[float, float]:
    """Where the values lie, with a margin, and the levels that are not far from there."""
    low, high = min(bucket.low for bucket in buckets), max(bucket.high for bucket in buckets)
    span = high - low or abs(high) or 1.0
    near = [level for level in levels if low - span <= level <= high + span]
    low, high = min([low, *near]), max([high, *near])
    margin = 0.06 * (high - low or abs(high) or 1.0)
    return low - margin, high + margin


def runs_of(buckets: Sequence[Bucket]) -> list[list[Bucket]]:
    """Buckets that follow each other; a gap much longer than usual begins another run."""
    if len(buckets) < 2:
        return [list(buckets)] if buckets else []
    gaps = sorted(b.at_ns - a.at_ns for a, b in pairwise(buckets))
    limit_ns = _MOST_GAPS * gaps[len(gaps) // 2]
    runs = [[buckets[0]]]
    for before, bucket in pairwise(buckets):
        if bucket.at_ns - before.at_ns > limit_ns:
            runs.append([])
        runs[-1].append(bucket)
    return runs
