"""Rates: how many a second, smoothed, from counts that come in lumps."""

from __future__ import annotations

import math
from collections import deque

TRAIL = 60


class Rate:
    """Counts per second, each count weighted by its age t as t·e^(-t/τ), so that its mean age is `mean_age_s` = 2τ.

    Two exponentially weighted means in a row: lumps of one second come out flat within 2 %, where a single mean would
    jump by 20 % with each. It starts unbiased. Time never goes back.
    """

    def __init__(self, mean_age_s: float = 5.0) -> None:
        self._tau_s = mean_age_s / 2.0
        self._fresh = self._aged = 0.0  # sums of e^(-t/τ) and of t·e^(-t/τ) at `_at_s`
        self._at_s = self._start_s = 0.0
        self.count = 0

    def add(self, count: int, now_s: float) -> None:
        """Count what has come in at `now_s` (monotonic seconds)."""
        if not self.count:
            self._at_s, self._start_s = now_s, now_s - 0.5  # the first lump stands in the middle of its second
        self._fresh, self._aged = self._faded(now_s)
        self._fresh += count
        self._at_s = max(now_s, self._at_s)
        self.count += count

    def per_s(self, now_s: float) -> float:
        """The rate at `now_s`, which must not lie before the last count; below 0.01 it is 0."""
        if not self.count:
            return 0.0
        age = max(now_s - self._start_s, 0.5) / self._tau_s
        weight = 1.0 - (1.0 + age) * math.exp(-age)
        rate = self._faded(now_s)[1] / self._tau_s**2 / weight
        return rate if rate >= 0.01 else 0.0

    def _faded(self, now_s: float) -> tuple[float, float]:
        """Both sums, grown older by the time since the last count."""
        gone_s = max(0.0, now_s - self._at_s)
        fade = math.exp(-gone_s / self._tau_s)
        return self._fresh * fade, (self._aged + self._fresh * gone_s) * fade


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
