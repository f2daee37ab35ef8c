"""Slopes: how fast a channel rises or falls over a window of time, from a bounded memory."""

from __future__ import annotations

import msgspec

from edgemesh.model.samples import Retimed

PARTS = 12
_FULL = 0.75
_NS = 10**9


class Part(msgspec.Struct, array_like=True):
    """A twelfth of the window: when it began, and the count, mean time (s since then) and mean value of its samples."""

    from_ns: int
    count: int
    mean_s: float
    mean: float


class Slope(msgspec.Struct, omit_defaults=True):
    """A least-squares line through the means of at most 13 parts of the window.

    >>> slope = Slope()
    >>> rates = [slope.step(t * _NS, 2.0 * t, 60.0) for t in range(61)]
    >>> rates[30], round(rates[60], 6)
    (None, 2.0)

    Source: weighted least squares; the parts bound what has to be remembered.
    """

    parts: list[Part] = []

    def step(self, at_ns: int, value: float, over_s: float) -> float | None:
        """Take a sample; return the slope (units per second), None while three quarters of the window are not known."""
        over_ns = int(over_s * _NS)
        if self.parts and at_ns - self.parts[-1].from_ns > over_ns:
            self.parts = []
        if not self.parts or at_ns - self.parts[-1].from_ns >= over_ns // PARTS:
            self.parts.append(Part(at_ns, 0, 0.0, 0.0))
        part = self.parts[-1]
        part.count += 1
        part.mean_s += ((at_ns - part.from_ns) / _NS - part.mean_s) / part.count
        part.mean += (value - part.mean) / part.count
        while at_ns - self.parts[0].from_ns > over_ns:
            del self.parts[0]
        if len(self.parts) < 3 or at_ns - self.parts[0].from_ns < _FULL * over_ns:
            return None
        return self._fit()

    def put_right(self, retimed: Retimed) -> None:
        """The clock is known now: go on as if it had been right all the time."""
        for part in self.parts:
            part.from_ns = retimed.at(part.from_ns)

    def _fit(self) -> float:
        start = self.parts[0].from_ns
        points = [((part.from_ns - start) / _NS + part.mean_s, part.mean, part.count) for part in self.parts]
        count = sum(weight for _, _, weight in points)
        middle = sum(t * weight for t, _, weight in points) / count
        level = sum(x * weight for _, x, weight in points) / count
        spread = sum(weight * (t - middle) ** 2 for t, _, weight in points)
        return sum(weight * (t - middle) * (x - level) for t, x, weight in points) / spread if spread > 0.0 else 0.0
