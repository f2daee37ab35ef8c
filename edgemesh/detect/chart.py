"""The chart: smoothed deviations of each channel, in spreads of their own normal."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgemesh.detect.memory import Smoother

Floats = NDArray[np.float64]
FARTHEST = 1e100
LEAST_SCALE = 1e-100
_FARTHEST_Z = 1e6
_LEAST_SPREAD = 0.02


def run_smoother(smoother: Smoother, rows: Floats, newest: float) -> Floats:
    """Return the smoothed rows (n x channels, finite) and move the smoother on; `newest`: the newest row's weight.

    >>> run_smoother(Smoother(), np.array([[1.0], [1.0], [3.0]]), 0.5).round(3).ravel().tolist()
    [1.0, 1.0, 2.143]

    Source: Roberts 1959; the correction of the bias as in Kingma and Ba 2015.
    """
    mean = np.array(smoother.mean) if smoother.mean else np.zeros(rows.shape[1])
    smooth = np.empty_like(rows)
    for place, row in enumerate(rows):
        mean += newest * (row - mean)
        smoother.weight += newest * (1.0 - smoother.weight)
        smooth[place] = mean / smoother.weight
    smoother.mean = mean.tolist()
    return smooth


class ChartNumbers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is normal for each channel: `center` and `scale` of the raw value, `middle` and `spread` of its EWMA.

    Units: `center` and `scale` the channel's own; `middle` and `spread` in scales. `smooth`: weight of the newest row.
    """

    smooth: float
    center: tuple[float, ...]
    scale: tuple[float, ...]
    middle: tuple[float, ...]
    spread: tuple[float, ...]


class Chart:
    """Says how far each channel's smoothed value is from normal. It misses what no single channel shows."""

    def __init__(self, numbers: ChartNumbers) -> None:
        """Raise ValueError when the numbers are of different lengths, not finite or out of range."""
        parts = (numbers.center, numbers.scale, numbers.middle, numbers.spread)
        if len({len(part) for part in parts}) != 1 or not numbers.center or not 0.0 < numbers.smooth <= 1.0:
            raise ValueError("the columns of the chart differ in length, or its weight is not within 0..1")
        if not all((np.abs(part) <= FARTHEST).all() for part in parts):
            raise ValueError("a number of the chart is not finite or out of range")
        if min(numbers.scale) < LEAST_SCALE or min(numbers.spread) < _LEAST_SPREAD:
            raise ValueError("a scale or spread of the chart is too small")
        self.numbers = numbers
        self._center, self._scale, self._middle, self._spread = map(np.array, parts)

    def deviations(self, rows: Floats, smoother: Smoother) -> Floats:
        """Return each row's smoothed deviation from normal in spreads; the smoother moves on. NaN counts as normal."""
        known = np.where(np.isnan(rows), self._center, np.minimum(np.maximum(rows, -FARTHEST), FARTHEST))
        z = (known - self._center) / self._scale
        levels = run_smoother(smoother, np.minimum(np.maximum(z, -_FARTHEST_Z), _FARTHEST_Z), self.numbers.smooth)
        return np.asarray((levels - self._middle) / self._spread)

    def level(self, channel: int, deviation: float) -> float:
        """The raw value at which the channel's smoothed value deviates by so many spreads."""
        numbers = self.numbers
        scales = numbers.middle[channel] + numbers.spread[channel] * deviation
        return numbers.center[channel] + numbers.scale[channel] * scales


def fit_chart(rows: Floats, smooth: float) -> tuple[Chart, Floats, Smoother]:
    """Learn from warm-up rows (n x channels, finite, each channel varying).

    Return the chart, the warm-up's own deviations without the first rows, in which the EWMA settles, and the smoother
    as it stands after the last row.
    """
    center, scale = np.median(rows, axis=0), rows.std(axis=0)
    smoother = Smoother()
    levels = run_smoother(smoother, (rows - center) / scale, smooth)[settling_rows(len(rows), smooth) :]
    middle, spread = np.median(levels, axis=0), np.maximum(levels.std(axis=0), _LEAST_SPREAD)
    numbers = ChartNumbers(
        smooth=smooth,
        center=tuple(center.tolist()),
        scale=tuple(scale.tolist()),
        middle=tuple(middle.tolist()),
        spread=tuple(spread.tolist()),
    )
    return Chart(numbers), (levels - middle) / spread, smoother


def settling_rows(rows: int, smooth: float) -> int:
    """How many first rows to leave out: ten time constants of the EWMA, at most a quarter of all."""
    return min(round(10.0 / smooth), rows // 4)
