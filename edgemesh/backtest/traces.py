"""Traces: what a curve looked like, in a few hundred buckets, however long it was."""

from __future__ import annotations

from typing import NamedTuple

CAPACITY = 600
_FIRST_WIDTH_NS = 1_000_000


class Bucket(NamedTuple):
    """The start of a stretch of time, and the least, greatest and mean value in it."""

    at_ns: int
    low: float
    high: float
    mean: float


class Trace:
    """Takes points in any order and keeps at most 600 buckets; when more are needed, their width doubles.

    >>> trace = Trace()
    >>> for second in range(10_000):
    ...     trace.add(second * 10**9, float(second))
    >>> len(trace.buckets()) <= CAPACITY, trace.buckets()[-1].high
    (True, 9999.0)
    """

    def __init__(self) -> None:
        self._width_ns = _FIRST_WIDTH_NS
        self._start_ns: int | None = None
        self._buckets: dict[int, list[float]] = {}

    def add(self, at_ns: int, value: float) -> None:
        """Take a point."""
        if self._start_ns is None:
            self._start_ns = at_ns
        elif at_ns < self._start_ns:
            self._begin_at(at_ns)
        index = (at_ns - self._start_ns) // self._width_ns
        while index >= CAPACITY:
            self._widen()
            index //= 2
        bucket = self._buckets.get(index)
        if bucket is None:
            self._buckets[index] = [value, value, value, 1.0]
            return
        bucket[0], bucket[1] = min(bucket[0], value), max(bucket[1], value)
        bucket[2] += value
        bucket[3] += 1.0

    def buckets(self) -> list[Bucket]:
        """The buckets that hold something, in the order of time."""
        start_ns, width_ns = self._start_ns or 0, self._width_ns
        return [
            Bucket(start_ns + index * width_ns, low, high, total / n)
            for index, (low, high, total, n) in sorted(self._buckets.items())
        ]

    @property
    def width_ns(self) -> int:
        """How long a bucket is."""
        return self._width_ns

    def _begin_at(self, at_ns: int) -> None:
        """Move the start back, by whole buckets, so that this instant is in the first."""
        old_ns = self._start_ns or 0
        steps = -(-(old_ns - at_ns) // self._width_ns)
        while steps >= CAPACITY:
            self._widen()
            steps = -(-(old_ns - at_ns) // self._width_ns)
        self._start_ns = old_ns - steps * self._width_ns
        self._buckets = {index + steps: bucket for index, bucket in self._buckets.items()}
        while self._buckets and max(self._buckets) >= CAPACITY:
            self._widen()

    def _widen(self) -> None:
        wider: dict[int, list[float]] = {}
        for index, bucket in self._buckets.items():
            other = wider.setdefault(index // 2, [bucket[0], bucket[1], 0.0, 0.0])
            other[0], other[1] = min(other[0], bucket[0]), max(other[1], bucket[1])
            other[2] += bucket[2]
            other[3] += bucket[3]
        self._buckets, self._width_ns = wider, 2 * self._width_ns
