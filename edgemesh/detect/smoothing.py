"""Smoothing: averages that forget, one rate per column, exact whatever the size of the blocks."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_NOTHING = 1e-300
_WHOLE = 1.0 - 1e-12


class LevelsState(msgspec.Struct, omit_defaults=True):
    """What the averages know: `mean` and the `weight` (0..1) of what came so far, one each per column."""

    mean: list[float] = []
    weight: list[float] = []


class Levels:
    """Bias-corrected EWMAs of several columns. A column without a value (NaN) keeps its level.

    >>> Levels(np.array([0.5])).run(np.array([[1.0], [np.nan], [3.0]])).round(3).ravel().tolist()
    [1.0, 1.0, 2.333]

    Source: Roberts, Technometrics 1959; the correction of the bias as in Kingma and Ba, ICLR 2015.
    """

    def __init__(self, rates: Floats, state: LevelsState | None = None) -> None:
        """`rates`: weight of the newest row per column, 0..1. Raise ValueError when the state has another width."""
        self.rates = rates
        known = state is not None and bool(state.mean)
        self._mean = np.array(state.mean) if state and known else np.zeros(len(rates))
        self._weight = np.array(state.weight) if state and known else np.zeros(len(rates))
        if not len(self._mean) == len(self._weight) == len(rates):
            raise ValueError("the averages have another width than their rates")
        self._settled = False
        self._settle()

    def run(self, rows: Floats, *, holes: bool = True) -> Floats:
        """Take rows (n x columns) and return the level of each column after each of them; 0 before any value.

        `holes`: whether there may be entries that are unknown.
        """
        if not self._settled or (holes and np.isnan(rows).any()):
            return self._run_with_holes(rows)
        levels = np.empty_like(rows)
        mean, rates = self._mean, self.rates
        step = np.empty_like(mean)
        for row, level in zip(rows, levels, strict=True):
            np.subtract(row, mean, step)
            np.multiply(rates, step, step)
            mean = np.add(mean, step, level)
        self._mean = mean.copy()
        return levels

    def _run_with_holes(self, rows: Floats) -> Floats:
        levels = np.empty_like(rows)
        holes: list[bool] = np.asarray(np.isnan(rows).any(axis=1)).tolist()
        for i, row in enumerate(rows):
            rates = self.rates
            if holes[i]:
                hole = np.isnan(row)
                rates, row = np.where(hole, 0.0, rates), np.where(hole, self._mean, row)
            self._mean += rates * (row - self._mean)
            levels[i] = self._mean
            if not self._settled:
                self._weight += rates * (1.0 - self._weight)
                levels[i] /= np.maximum(self._weight, _NOTHING)
                self._settle()
        return levels

    def _settle(self) -> None:
        """Take the whole past for known once next to nothing of it is not: divisions cost time."""
        self._settled = bool((self._weight >= _WHOLE).all())
        if self._settled:
            self._weight[:] = 1.0

    def snapshot(self) -> LevelsState:
        """What is needed to go on from here."""
        return LevelsState(mean=self._mean.tolist(), weight=self._weight.tolist())
