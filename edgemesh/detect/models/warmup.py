"""Warm-up: which of the first rows to learn from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgemesh.detect.models.smoothing import Levels

Floats = NDArray[np.float64]
LEAST_ROWS = 200
_STEP = 6.0
_SMOOTH = 0.1
_EDGE_ROWS = 25
_GRID_ROWS = 5
_MOSTLY = 0.9
_FARTHEST = 1e100
_WILD = 3.0


def usable_columns(rows: Floats) -> list[int]:
    """Which columns can be learnt from: known in nine of ten rows, and of finite spread that is not mere rounding.

    >>> table = np.array([[1.0, 5.0, np.nan], [2.0, 5.0, np.nan], [3.0, 5.0, 1.0]])
    >>> usable_columns(table)
    [0]
    """
    usable = []
    for k, column in enumerate(rows.T):
        known = column[~np.isnan(column)]
        if len(known) < max(2, _MOSTLY * len(rows)) or np.isin(known, (0.0, 1.0)).all():
            continue
        largest = float(np.abs(known).max())
        if largest <= _FARTHEST and float(known.std()) > max(1e-100, 1e-12 * largest):
            usable.append(k)
    return usable


def without_wild(rows: Floats) -> Floats:
    """A copy of the rows (n x channels) in which wild values are unknown (NaN): sentinels, single spikes.

    Wild is what lies further outside the range of 98 % of a column's values than three times that range.

    >>> without_wild(np.array([[1.0], [2.0], [3.0]] * 50 + [[65535.0]]))[-2:].ravel().tolist()
    [3.0, nan]
    """
    cleaned = rows.copy()
    for column in cleaned.T:
        known = column[~np.isnan(column)]
        if len(known):
            low, high = np.quantile(known, (0.01, 0.99))
            reach = _WILD * (high - low)
            if reach > 0.0:
                column[(column < low - reach) | (column > high + reach)] = np.nan
    return cleaned


def calm_start(z: Floats, least: int = LEAST_ROWS) -> int:
    """The first row after the last level step of a warm-up `z` (n x channels, standardised, NaN: unknown).

    A step is where means before and after differ by more than 6 pooled spreads of the smoothed values: noise stays
    below 4, one real step makes 10 and more. At least `least` rows are kept, so a later step stays in. It takes a
    machine that changes its load once during the warm-up for one that stepped: don't trim such a warm-up.

    >>> z = np.random.default_rng(1).normal(size=(400, 2))
    >>> calm_start(z)
    0
    >>> z[:120, 0] += 9.0
    >>> calm_start(z)
    125

    Source: the likelihood ratio of one change of the mean (Hinkley 1970), on a grid of 5 rows.
    """
    levels = Levels(np.full(z.shape[1], _SMOOTH)).run(z)
    start = 0
    while len(levels) - start > least:
        size, place = _largest_step(levels[start:])
        place = min(start + place, len(levels) - least)
        if size <= _STEP or place == start:
            break
        start = place
    return start


def _largest_step(levels: Floats) -> tuple[float, int]:
    """Size (in pooled spreads) and row of the largest difference between all before and all after."""
    rows = len(levels)
    cuts = np.arange(_EDGE_ROWS, rows - _EDGE_ROWS + 1, _GRID_ROWS)
    if not len(cuts):
        return 0.0, 0
    sums, squares = np.cumsum(levels, axis=0), np.cumsum(levels**2, axis=0)
    before, after = cuts[:, None], rows - cuts[:, None]
    first, second = sums[cuts - 1] / before, (sums[-1] - sums[cuts - 1]) / after
    spread = np.sqrt(np.maximum(squares[-1] - before * first**2 - after * second**2, 0.0) / rows)
    sizes = (np.abs(first - second) / np.maximum(spread, 1e-9)).max(axis=1)
    best = int(sizes.argmax())
    return float(sizes[best]), int(cuts[best])
