"""Blending: one score out of the chart's and the forest's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def blend(chart: Floats, forest: Floats, forest_weight: float) -> Floats:
    """The weighted geometric mean of two scores in multiples of their limits; 1.0 is at the limit, high is strange.

    Each must find a row strange for the blend to be high: the chart knows how far, the forest how rare together.

    >>> blend(np.array([4.0, 4.0]), np.array([1.0, 0.0]), 0.5).tolist()
    [2.0, 0.0]
    """
    if forest_weight == 0.0:
        return chart
    return np.asarray(np.maximum(forest, 0.0) ** forest_weight * chart ** (1.0 - forest_weight))
