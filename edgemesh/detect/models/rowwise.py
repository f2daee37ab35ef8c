"""Rows one at a time: what `Normal` makes of a row, mostly in plain floats, to the last bit, at a fraction of the cost.

A call of numpy costs as much as twenty of these multiplications; blocks of rows go through `Normal`.
"""

from __future__ import annotations

from math import sqrt

import numpy as np

from edgemesh.detect.models.normal import FARTHEST, NormalNumbers

FEW_ROWS = 3
"""Up to so many rows at once are cheaper row by row."""
MOST_CHANNELS = 64
"""With more channels than this, a row costs less in numpy."""


class RowNormal:
    """`Normal` for single rows in which every value is known."""

    def __init__(self, numbers: NormalNumbers) -> None:
        width = len(numbers.center)
        self._mean, self._middle, self._stretch = numbers.mean, numbers.middle, numbers.stretch
        self._precision = np.array(numbers.precision)
        place = (*range(width), *numbers.long)
        self._spread = [(k, numbers.center[k], numbers.scale[k]) for k in place]
        self._own = tuple(numbers.precision[k][k] for k in range(width))
        self._size = list(zip(numbers.offset, numbers.gain, strict=True))

    def standardise(self, row: list[float]) -> list[float]:
        """A row (one finite value per channel) in spreads, the channels with a long average twice."""
        z = [(row[k] - center) / scale for k, center, scale in self._spread]
        if max(z) > FARTHEST or min(z) < -FARTHEST:
            return [min(max(value, -FARTHEST), FARTHEST) for value in z]
        return z

    def features(self, levels: list[float]) -> list[float]:
        """Levels (one per rate) as features."""
        raw = [level - mean for level, mean in zip(levels, self._mean, strict=False)]
        pulled: list[float] = np.add.reduce(np.array(raw)[:, None] * self._precision, 0).tolist()
        outside = 0.0
        for deviation, pull in zip(raw, pulled, strict=True):
            outside += deviation * pull
        stretch, width = self._stretch, len(raw)
        for pull, own in zip(pulled, self._own, strict=True):
            residual = pull / own
            reach = outside - residual * pull
            raw.append(residual / sqrt(reach * stretch + 1.0) if reach > 0.0 else residual)
        raw += [level - middle for level, middle in zip(levels[width:], self._middle, strict=True)]
        return [(value - offset) * gain for value, (offset, gain) in zip(raw, self._size, strict=True)]
