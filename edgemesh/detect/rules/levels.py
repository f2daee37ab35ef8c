"""Levels that move: a smoothed value, and a baseline that learns, then follows slowly."""

from __future__ import annotations

import math

import msgspec


class Smooth(msgspec.Struct, omit_defaults=True):
    """An average that forgets within a time, free of bias from its beginning; samples may come irregularly.

    >>> smooth = Smooth()
    >>> [round(smooth.step(value, 1.0, 10.0), 3) for value in (5.0, 5.0, 16.0)]
    [5.0, 5.0, 9.039]

    Source: exponential averages of irregular series; the correction of the bias as in Kingma and Ba, ICLR 2015.
    """

    mean: float = 0.0
    weight: float = 0.0

    @property
    def settled(self) -> bool:
        """Whether it has seen its time constant once."""
        return self.weight >= 1.0 - math.exp(-1.0)

    def step(self, value: float, elapsed_s: float, over_s: float) -> float:
        """Take a value that lasted for `elapsed_s`; return the mean over about `over_s` (time constant)."""
        share = -math.expm1(-max(elapsed_s, 1e-9) / over_s)
        self.mean += share * (value - self.mean)
        self.weight += share * (1.0 - self.weight)
        return self.mean / self.weight


class Baseline(msgspec.Struct, omit_defaults=True):
    """What is normal for a channel: mean and variance, and for how long (s) it has been learnt.

    >>> baseline = Baseline()
    >>> for value in (1.0, 3.0) * 30:
    ...     baseline.follow(value, 1.0, learn_s=60.0, follow_s=600.0)
    >>> baseline.knows(60.0), round(baseline.mean, 2), round(baseline.spread, 2)
    (True, 2.0, 1.0)
    """

    mean: float = 0.0
    variance: float = 0.0
    learnt_s: float = 0.0

    def knows(self, learn_s: float) -> bool:
        """Whether it has been learnt for long enough to be compared with."""
        return self.learnt_s >= learn_s

    @property
    def spread(self) -> float:
        """Standard deviation about the baseline."""
        return math.sqrt(max(0.0, self.variance))

    def follow(self, value: float, elapsed_s: float, *, learn_s: float, follow_s: float) -> None:
        """Take a calm value that lasted for `elapsed_s`: a plain mean at first, then one that forgets in `follow_s`."""
        memory_s = self.learnt_s + elapsed_s if self.learnt_s < learn_s else max(follow_s, learn_s)
        share = min(1.0, elapsed_s / memory_s) if memory_s > 0.0 else 1.0
        gap = value - self.mean
        self.mean += share * gap
        self.variance = (1.0 - share) * (self.variance + share * gap * gap)
        self.learnt_s = min(self.learnt_s + elapsed_s, 1e9)
