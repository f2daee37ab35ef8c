"""The chart: smoothed deviations of each channel, in spreads of their own normal."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgemesh.detect.memory import Smoother

Floats = NDArray[np.float64]
_FARTHEST = 1e6
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


class Chart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is normal for each channel: `center` and `scale` of the raw value, `middle` and `spread` of its EWMA.

    It misses what no single channel shows. Units: `center`, `scale` the channel's; `middle`, `spread` scales.
    """

    smooth: float
    center: tuple[float, ...]
    scale: tuple[float, ...]
    middle: tuple[float, ...]
    spread: tuple[float, ...]

    def __post_init__(self) -> None:
        parts = (self.center, self.scale, self.middle, self.spread)
        if len({len(part) for part in parts}) != 1 or not self.center:
            raise ValueError("the columns of the chart differ in length")
        if not all(np.isfinite(part).all() for part in parts) or min(self.scale) <= 0.0 or min(self.spread) <= 0.0:
            raise ValueError("a number of the chart is not finite or out of range")
        if not 0.0 < self.smooth <= 1.0:
            raise ValueError("the chart's weight of the newest row is not within 0..1")

    def deviations(self, rows: Floats, smoother: Smoother) -> Floats:
        """Return each row's smoothed deviation from normal in spreads; the smoother moves on. NaN counts as normal."""
        with np.errstate(over="ignore", invalid="ignore"):
            far = (rows - np.array(self.center)) / np.array(self.scale)
        z = np.clip(np.nan_to_num(far, nan=0.0), -_FARTHEST, _FARTHEST)
        levels: Floats = run_smoother(smoother, z, self.smooth)
        return np.asarray((levels - np.array(self.middle)) / np.array(self.spread))

    def level(self, channel: int, deviation: float) -> float:
        """The raw value at which the channel's smoothed value deviates by so many spreads."""
        return self.center[channel] + self.scale[channel] * (self.middle[channel] + self.spread[channel] * deviation)


def fit_chart(rows: Floats, smooth: float) -> tuple[Chart, Floats, Smoother]:
    """Learn from warm-up rows (n x channels, finite, each channel varying).

    Return the chart, the warm-up's own deviations without the first rows, in which the EWMA settles, and the smoother
    as it stands after the last row.
    """
    center, scale = np.median(rows, axis=0), rows.std(axis=0)
    smoother = Smoother()
    levels = run_smoother(smoother, (rows - center) / scale, smooth)[settling_rows(len(rows), smooth) :]
    middle, spread = np.median(levels, axis=0), np.maximum(levels.std(axis=0), _LEAST_SPREAD)
    chart = Chart(
        smooth=smooth,
        center=tuple(center.tolist()),
        scale=tuple(scale.tolist()),
        middle=tuple(middle.tolist()),
        spread=tuple(spread.tolist()),
    )
    return chart, (levels - middle) / spread, smoother


def settling_rows(rows: int, smooth: float) -> int:
    """How many first rows to leave out: ten time constants of the EWMA, at most a quarter of all."""
    return min(round(10.0 / smooth), rows // 4)
