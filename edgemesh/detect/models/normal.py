"""Normal: what the channels of a machine look like, each alone and together, while it is well."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgemesh.detect.models.kinds import LONG_MEMORY, WEIGHTS, Kind
from edgemesh.detect.models.smoothing import Levels

Floats = NDArray[np.float64]
FAST, LONG = 0.2, 0.05
SETTLING_ROWS = 50
LARGEST = 1e100
"""Values beyond this are not to be believed."""
FARTHEST = 1000.0
"""Where a value is cut off, in spreads: far enough for a machine that has settled at quite another level."""
_RIDGE = 0.3
FOLDS = 5
LONG_WEIGHT = 0.8
AT_LIMIT = 0.99
LEAST_SCALE = 1e-3
_MEMORY_ROWS = (3.0, 60.0)
_SURE_ROWS = 400


class NormalNumbers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Normal as plain numbers.

    Per channel: `center` and `scale` of the raw value (its unit), `mean` of its level (in scales). `long`: positions of
    the channels with a long average, `middle` its median. `precision`: inverse of the levels' ridged scatter.
    `stretch`: rows per independent row. Per feature: `offset` is taken off, `gain` makes 1 of what is at the limit.
    """

    center: tuple[float, ...]
    scale: tuple[float, ...]
    mean: tuple[float, ...]
    long: tuple[int, ...]
    middle: tuple[float, ...]
    precision: tuple[tuple[float, ...], ...]
    stretch: float
    offset: tuple[float, ...]
    gain: tuple[float, ...]

    def __post_init__(self) -> None:
        width, features = len(self.center), 2 * len(self.center) + len(self.long)
        widths = {len(self.scale), len(self.mean), len(self.precision), *map(len, self.precision)}
        if not width or widths != {width} or len(self.middle) != len(self.long):
            raise ValueError("the columns of a normal differ in length")
        if not len(self.offset) == len(self.gain) == features or any(not 0 <= k < width for k in self.long):
            raise ValueError("the features of a normal differ in number, or point outside of it")
        numbers = (*self.center, *self.scale, *self.mean, *self.middle, *self.offset, *self.gain, self.stretch)
        inner = [value for row in self.precision for value in row]
        if not np.all(np.abs([*numbers, *inner]) <= LARGEST) or min(*self.scale, *self.gain, self.stretch) <= 0.0:
            raise ValueError("a number of a normal is not finite or out of range")
        if min(self.precision[k][k] for k in range(width)) <= 0.0:
            raise ValueError("the precision of a normal is not positive")


class Normal:
    """Turns rows into features: 0 is as usual, ±1 at the limit of what the warm-up showed.

    Three kinds of features: the level of each channel; what is left of it when the others have explained their part
    (so a change of load counts less than one channel that leaves the others); the long average of some channels.
    """

    def __init__(self, numbers: NormalNumbers) -> None:
        self.numbers = numbers
        width = len(numbers.center)
        self.rates = self.rates_of(width, len(numbers.long))
        self.owner = np.array([*range(width), *range(width), *numbers.long], dtype=np.intp)
        """Which channel each feature belongs to."""
        self.place = np.array([*range(width), *numbers.long], dtype=np.intp)
        """Which channel each level belongs to."""
        self._center, self._scale = np.array(numbers.center)[self.place], np.array(numbers.scale)[self.place]
        self._offset, self._gain = np.array(numbers.offset), np.array(numbers.gain)
        self._fit = Fit(np.array(numbers.mean), np.array(numbers.precision), numbers.stretch, np.array(numbers.middle))

    @staticmethod
    def rates_of(width: int, long: int) -> Floats:
        """The rates of the levels of so many channels, of which so many have a long average."""
        return np.array([FAST] * width + [LONG] * long)

    def standardise(self, rows: Floats) -> Floats:
        """Raw rows (n x channels, NaN: unknown) as deviations in spreads, the channels with a long average twice."""
        z = rows.take(self.place, axis=1)
        z -= self._center
        z /= self._scale
        np.maximum(z, -FARTHEST, out=z)
        return np.minimum(z, FARTHEST, out=z)

    def features(self, levels: Floats, unknown: NDArray[np.bool_] | None = None) -> Floats:
        """Levels (n x rates) as features; those of channels that are `unknown` (n x channels) now are NaN."""
        features = self._fit.apply(levels)
        features -= self._offset
        features *= self._gain
        if unknown is not None:
            features[unknown[:, self.owner]] = np.nan
        return features

    def range_of(self, feature: int, level: float, deviation: float, reach: float = 1.0) -> tuple[float, float, float]:
        """In the channel's unit: its `level`, and between what it may lie by this feature, which deviates so much.

        `reach`: by how many limits it may deviate.
        """
        numbers, channel = self.numbers, int(self.owner[feature])
        center, scale = numbers.center[channel], numbers.scale[channel]
        low, high = (level - (deviation + side) / numbers.gain[feature] for side in (reach, -reach))
        return center + scale * level, center + scale * low, center + scale * high


class Fit:
    """What is learnt from levels; fitted once on all of them, and once for each block left out."""

    def __init__(self, mean: Floats, precision: Floats, stretch: float, middle: Floats) -> None:
        self.mean, self.precision, self.stretch, self.middle = mean, precision, stretch, middle
        self._own = np.diag(precision).copy()

    def apply(self, levels: Floats) -> Floats:
        """Levels as raw features: deviations, residuals, long averages.

        With the precision K of the ridged scatter, (K y)_j / K_jj is what is left of channel j after a ridge regression
        on the others, and y'Ky - (K y)_j² / K_jj how far the others lie outside what the warm-up covered: there, a
        residual counts less. No BLAS, so that a row gives the same to the last bit in a block of any size.
        """
        width = len(self.mean)
        features = np.empty((len(levels), 2 * width + len(self.middle)))
        deviations, residuals = features[:, :width], features[:, width : 2 * width]
        np.subtract(levels[:, :width], self.mean, out=deviations)
        pulled = (deviations[:, :, None] * self.precision).sum(axis=1)
        np.divide(pulled, self._own, out=residuals)
        outside = np.add.accumulate(deviations * pulled, axis=1)[:, -1:]  # one after the other, as `RowNormal` adds
        reach = outside - residuals * pulled
        np.maximum(reach, 0.0, out=reach)
        reach *= self.stretch
        reach += 1.0
        residuals /= np.sqrt(reach, out=reach)
        if len(self.middle):
            np.subtract(levels[:, width:], self.middle, out=features[:, 2 * width :])
        return features


def fit_levels(levels: Floats, width: int) -> Fit:
    """How the first `width` columns of settled levels (n x rates) hang together."""
    mean = levels[:, :width].mean(axis=0)
    deviations = levels[:, :width] - mean
    rows = len(levels)
    precision = np.linalg.inv(deviations.T @ deviations + _RIDGE * rows * np.eye(width))
    stretch = min(max(_memory_rows(deviations), _MEMORY_ROWS[0]), _MEMORY_ROWS[1])
    return Fit(mean, (precision + precision.T) / 2.0, stretch, np.median(levels[:, width:], axis=0))


def fit_normal(rows: Floats, kinds: Sequence[Kind]) -> tuple[Normal, Floats, Levels]:
    """Learn from warm-up rows (n x channels, NaN: unknown, every channel varying), at least 100, oldest first.

    Return the normal, the features of the warm-up after the levels have settled, and the levels as they stand. The
    scale of a feature is the larger of its spread inside the warm-up and on blocks that were left out of the fit, so
    that many channels and few rows do not make it over-confident.
    """
    center = np.nanmedian(rows, axis=0)
    scale = np.nanstd(rows, axis=0)
    width = rows.shape[1]
    long = [k for k, kind in enumerate(kinds) if kind in LONG_MEMORY]
    z = np.clip((rows - center) / scale, -FARTHEST, FARTHEST)
    averages = Levels(Normal.rates_of(width, len(long)))
    levels = averages.run(np.concatenate([z, z[:, long]], axis=1))[min(SETTLING_ROWS, len(rows) // 4) :]
    fit = fit_levels(levels, width)
    raw = fit.apply(levels)
    offset = np.median(raw, axis=0)
    spread = np.maximum(np.maximum(_unseen_spread(levels, width), (raw - offset).std(axis=0)), LEAST_SCALE)
    gain = gain_of(raw - offset, spread, kinds, len(long), doubt(len(rows)))
    normal = Normal(numbers_of(center, scale, fit, long, offset, gain))
    return normal, normal.features(levels), averages


def gain_of(deviations: Floats, spread: Floats, kinds: Sequence[Kind], longs: int, doubted: float) -> Floats:
    """Gains (features) by which deviations (rows x features) of calm become multiples of their limit.

    `spread` is how far each feature usually lies out, `longs` how many of the last ones are long averages, `doubted`
    by how much wider all limits are to be.
    """
    weights = [WEIGHTS.get(kind, 1.0) for kind in kinds]
    gain = np.array(weights * 2 + [LONG_WEIGHT] * longs) / spread
    scaled: Floats = gain / (np.quantile(np.abs(deviations * gain).max(axis=1), AT_LIMIT) * doubted)
    return scaled


def numbers_of(
    center: Floats, scale: Floats, fit: Fit, long: Sequence[int], offset: Floats, gain: Floats
) -> NormalNumbers:
    """What was learnt, as plain numbers."""
    return NormalNumbers(
        center=tuple(center.tolist()),
        scale=tuple(scale.tolist()),
        mean=tuple(fit.mean.tolist()),
        long=tuple(long),
        middle=tuple(fit.middle.tolist()),
        precision=tuple(map(tuple, fit.precision.tolist())),
        stretch=fit.stretch,
        offset=tuple(offset.tolist()),
        gain=tuple(gain.tolist()),
    )


def doubt(rows: int) -> float:
    """By how much wider limits are that were learnt from so few rows: a short warm-up may happen to be a quiet one.

    On white noise the largest of 16 99 % quantiles of later scores is 1.4 times as high after 100 rows as after 400.
    """
    return float(max(1.0, (_SURE_ROWS / rows) ** 0.25))


def _unseen_spread(levels: Floats, width: int) -> Floats:
    """Root mean square of the features of rows that a fit has not seen, over contiguous blocks left out in turn."""
    total = np.zeros(2 * width + levels.shape[1] - width)
    for block in np.array_split(np.arange(len(levels)), FOLDS):
        kept = np.delete(levels, block, axis=0)
        fit = fit_levels(kept, width)
        unseen = fit.apply(levels[block]) - np.median(fit.apply(kept), axis=0)
        total += (unseen**2).sum(axis=0)
    return np.asarray(np.sqrt(total / len(levels)))


def _memory_rows(deviations: Floats) -> float:
    """Mean integrated autocorrelation time of the columns, in rows (Sokal 1997), cut at the first lag below 0.05."""
    variance = np.maximum((deviations**2).sum(axis=0), 1e-12)
    times = np.ones(deviations.shape[1])
    going = np.ones(deviations.shape[1], dtype=bool)
    for lag in range(1, len(deviations) // 4):
        likeness = (deviations[lag:] * deviations[:-lag]).sum(axis=0) / variance
        going &= likeness >= 0.05
        if not going.any():
            break
        times[going] += 2.0 * likeness[going]
    return float(times.mean())
