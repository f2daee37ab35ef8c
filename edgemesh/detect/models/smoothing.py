"""Smoothing: averages that forget, one rate per column, exact whatever the size of the blocks."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_NOTHING = 1e-300
_WHOLE = 1.0 - 1e-12
_LEAST = 1e-6
_FAINT = 0.6


class LevelsState(msgspec.Struct, omit_defaults=True):
    """What the averages know: `mean` and the `weight` (0..1) of what came so far, one each per column."""

    mean: list[float] = []
    weight: list[float] = []


class Levels:
    """Bias-corrected EWMAs of several columns. A column without a value (NaN) keeps its level; the past loses weight.

    >>> Levels(np.array([0.5])).run(np.array([[1.0], [np.nan], [3.0]])).round(3).ravel().tolist()
    [1.0, 1.0, 2.6]

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
        self._floats: list[float] | None = None  # the means, while rows come one at a time
        self._rates: list[float] = rates.tolist()
        self.faint: NDArray[np.bool_] | None = None
        """Which levels of the last run rest on little: after a hole, of a few rows only. None: none of them."""
        self._settle()

    def run(self, rows: Floats, *, holes: bool = True) -> Floats:
        """Take rows (n x columns) and return the level of each column after each of them; 0 before any value.

        `holes`: whether there may be entries that are unknown.
        """
        self._gather()
        if not self._settled or (holes and np.isnan(rows).any()):
            return self._run_with_holes(rows)
        self.faint = None
        levels = np.empty_like(rows)
        mean, rates = self._mean, self.rates
        step = np.empty_like(mean)
        for row, level in zip(rows, levels, strict=True):
            np.subtract(row, mean, step)
            np.multiply(rates, step, step)
            mean = np.add(mean, step, level)
        self._mean = mean.copy()
        return levels

    @property
    def settled(self) -> bool:
        """Whether the whole past of all columns counts as known."""
        return self._settled

    def step(self, row: list[float]) -> list[float]:
        """What `run` makes of one row without holes, in plain floats, to the last bit; only once it is `settled`."""
        means = self._mean.tolist() if self._floats is None else self._floats
        means = [mean + rate * (value - mean) for mean, rate, value in zip(means, self._rates, row, strict=True)]
        self._floats, self.faint = means, None
        return means

    def _gather(self) -> None:
        """Go on with the columns where single rows have left off."""
        if self._floats is not None:
            self._mean, self._floats = np.array(self._floats), None

    def _run_with_holes(self, rows: Floats) -> Floats:
        levels, weights = np.empty_like(rows), np.empty_like(rows)
        holes = np.isnan(rows)
        known = np.where(holes, 0.0, rows)
        pierced: list[bool] = np.asarray(holes.any(axis=1)).tolist()
        for i, row in enumerate(known):
            rates = self.rates
            if pierced[i]:
                rates = np.where(holes[i] & (self._weight < _LEAST), 0.0, rates)
            self._mean += rates * (row - self._mean)
            self._weight += rates * (~holes[i] - self._weight)
            self._weight[self._weight >= _WHOLE] = 1.0
            levels[i], weights[i] = self._mean, self._weight
        self.faint = weights < _FAINT
        self._settle()
        levels /= np.maximum(weights, _NOTHING)
        return levels

    def _settle(self) -> None:
        """Note whether the whole past of all columns counts as known: then there is nothing to divide by."""
        self._settled = bool((self._weight == 1.0).all())

    def snapshot(self) -> LevelsState:
        """What is needed to go on from here."""
        self._gather()
        return LevelsState(mean=self._mean.tolist(), weight=self._weight.tolist())
