"""Past: what a series is judged by, features of its newest values, the forest on them, and a Gaussian tail."""

from __future__ import annotations

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from edgemesh.detect.models.forest import Forest, train
from edgemesh.detect.models.settings import MEMORY_ROWS, SeriesSettings

Floats = NDArray[np.float64]
REACH_ROWS = 96
"""Rows that the features of a row look back."""
_LEAST_SPREAD = 1e-3


def grow(values: Floats, spread: float, settings: SeriesSettings) -> Forest:
    """Grow the forest of a series on its newest values; `spread` is that of its first rows."""
    table = features(values, max(0, len(values) - MEMORY_ROWS), spread)
    return train(table, trees=settings.trees, subsample=settings.subsample, seed=settings.seed)


def features(values: Floats, first: int, spread: float) -> Floats:
    """The features (n x 7) of `values[first:]`; before the first value there was nothing but it."""
    padded = np.concatenate([np.full(REACH_ROWS, values[0]), values])
    windows = np.ascontiguousarray(sliding_window_view(padded, REACH_ROWS)[first + 1 :])
    least = _LEAST_SPREAD * spread + 1e-9
    recent, before = windows[:, -12:].mean(axis=1), windows[:, -24:-12].mean(axis=1)
    columns = (
        windows[:, -1],
        windows[:, -1] - windows[:, -2],
        windows[:, -10:].mean(axis=1),
        recent - before,
        np.log(windows[:, -24:].std(axis=1) + least),
        windows[:, -48:].mean(axis=1),
        np.log(windows.std(axis=1) + least),
    )
    return np.column_stack(columns)


def tails(values: Floats, first: int) -> Floats:
    """How many spreads each of `values[first:]` is from the mean of the 6,400 before it."""
    found = np.zeros(len(values) - first)
    for i in range(len(found)):
        past = values[max(0, first + i - MEMORY_ROWS) : first + i]
        if len(past) > 1:
            mean = past.mean()
            spread = math.sqrt(float(((past - mean) ** 2).mean()))
            found[i] = abs(values[first + i] - mean) / max(spread, 1e-9 * (1.0 + abs(mean)))
    return found
