"""Rates: how many a second, smoothed, from counts that come in lumps."""

from __future__ import annotations

import math
from collections import deque

TRAIL = 60


class Rate:
    """Exponentially weighted mean of counts per second, time constant `tau_s`.

    It starts unbiased: the first second counts as a second, not as one fifth of one. Time never goes back.
    """

    def __init__(self, tau_s: float = 5.0) -> None:
        self._tau_s = tau_s
        self._sum = 0.0
        self._at_s = self._start_s = 0.0
        self._begun = False
        self.count = 0

    def add(self, count: int, now_s: float) -> None:
        """Count what has come in at `now_s` (monotonic seconds)."""
        if not self._begun:
            self._at_s = self._start_s = now_s
            self._begun = True
        self._sum = self._sum * self._decay(now_s) + count
        self._at_s = max(now_s, self._at_s)
        self.count += count

    def per_s(self, now_s: float) -> float:
        """The rate at `now_s`, which must not lie before the last count."""
        if not self._begun:
            return 0.0
        weight = 1.0 - math.exp(-max(now_s - self._start_s, 1.0) / self._tau_s)
        rate = self._sum * self._decay(now_s) / self._tau_s / weight
        return rate if rate >= 0.01 else 0.0

    def _decay(self, now_s: float) -> float:
        return math.exp(-max(0.0, now_s - self._at_s) / self._tau_s)


class Trail:
    """The rate at each of the last 60 whole seconds."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._points: deque[float] = deque(maxlen=TRAIL)
        self._second: int | None = None

    def catch_up(self, now_s: float) -> None:
        """Write down the seconds that have passed; call it before each count, so that each shows its own instant."""
        second = math.floor(now_s)
        last = second if self._second is None else self._second
        for past in range(max(last, second - TRAIL) + 1, second + 1):
            self._points.append(self._rate.per_s(float(past)))
        self._second = max(last, second)

    def points(self) -> tuple[float, ...]:
        """The rates, oldest first; fewer than 60 in the first minute."""
        return tuple(round(point, 2) for point in self._points)
