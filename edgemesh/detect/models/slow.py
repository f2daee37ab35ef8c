"""Slow channels: temperatures drift, so their level says little; that they move unusually fast says something."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgemesh.detect.models.smoothing import Levels, LevelsState

Floats = NDArray[np.float64]
_SMOOTH = 0.1
_LAG_ROWS = 30
_SETTLING_ROWS = 60
_USUAL = 0.98
_MARGIN = 1.2
_FARTHEST = 100.0


class SlowNumbers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Per slow channel: `origin` (its unit), and by how much its smoothed value may move within 30 rows."""

    origin: tuple[float, ...] = ()
    limit: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        numbers = (*self.origin, *self.limit)
        if (
            len(self.origin) != len(self.limit)
            or not np.all(np.abs(numbers) <= 1e100)
            or min(self.limit, default=1) <= 0
        ):
            raise ValueError("the numbers of slow channels differ in length or are out of range")


class SlowState(msgspec.Struct, omit_defaults=True):
    """The averages, and the levels after each of the last 30 rows."""

    levels: LevelsState = msgspec.field(default_factory=LevelsState)
    recent: list[list[float]] = []


class Slow:
    """Says of each row whether the machine is unsettled thermally: 1 where a slow channel moves at its limit.

    It fails when the warm-up was itself thermally unsettled: then nothing later is.
    """

    def __init__(self, numbers: SlowNumbers, state: SlowState | None = None) -> None:
        """Raise ValueError when the state has another width than the numbers."""
        width = len(numbers.origin)
        self.numbers = numbers
        self._origin, self._limit = np.array(numbers.origin), np.array(numbers.limit)
        self._levels = Levels(np.full(width, _SMOOTH), state.levels if state else None)
        self._recent = np.array(state.recent) if state and state.recent else np.empty((0, width))
        self._rows: list[list[float]] | None = None  # the same, while rows come one at a time
        if self._recent.shape[1:] != (width,):
            raise ValueError("the recent levels have another width than their limits")

    def unsettled(self, rows: Floats) -> Floats:
        """Raw rows (n x slow channels, NaN: unknown) as one number each: the fastest move in multiples of its limit."""
        if not len(self._origin):
            return np.zeros(len(rows))
        near = np.clip(rows - self._origin, -_FARTHEST * self._limit, _FARTHEST * self._limit)
        levels = np.concatenate([self._gathered(), self._levels.run(near)])
        ages = np.arange(len(self._recent), len(levels))
        moved = np.abs(levels[ages] - levels[np.maximum(ages - _LAG_ROWS, 0)])
        moved[ages < _LAG_ROWS] = 0.0
        self._recent = levels[-_LAG_ROWS:]
        return np.asarray((moved / self._limit).max(axis=1))

    @property
    def settled(self) -> bool:
        """Whether rows may be taken one at a time."""
        return self._levels.settled

    def step(self, row: Sequence[float]) -> float:
        """What `unsettled` makes of one row in which all is known, in plain floats; only once it is `settled`."""
        if self._rows is None:
            self._rows = self._recent.tolist()
        near = [
            min(max(value - origin, -_FARTHEST * limit), _FARTHEST * limit)
            for value, origin, limit in zip(row, self.numbers.origin, self.numbers.limit, strict=True)
        ]
        rows: list[list[float]] = self._rows
        levels = self._levels.step(near)
        rows.append(levels)
        if len(rows) <= _LAG_ROWS:
            return 0.0
        past = rows.pop(0)
        limits = self.numbers.limit
        return max([abs(level - before) / limit for level, before, limit in zip(levels, past, limits, strict=True)])

    def _gathered(self) -> Floats:
        """The recent levels, those of single rows included."""
        if self._rows is not None:
            self._recent, self._rows = np.array(self._rows), None
        return self._recent

    def snapshot(self) -> SlowState:
        """What is needed to go on from here."""
        return SlowState(levels=self._levels.snapshot(), recent=self._gathered().tolist())


def fit_slow(rows: Floats) -> Slow:
    """Learn from warm-up rows (n x slow channels, NaN: unknown), at least 100, oldest first."""
    if not rows.shape[1]:
        return Slow(SlowNumbers())
    origin = np.nanmedian(rows, axis=0)
    levels = Levels(np.full(rows.shape[1], _SMOOTH)).run(rows - origin)[_SETTLING_ROWS - _LAG_ROWS :]
    usual = np.quantile(np.abs(levels[_LAG_ROWS:] - levels[:-_LAG_ROWS]), _USUAL, axis=0)
    limit = np.maximum(_MARGIN * usual, 1e-9 * (1.0 + np.abs(origin)))
    slow = Slow(SlowNumbers(origin=tuple(origin.tolist()), limit=tuple(limit.tolist())))
    slow.unsettled(rows)
    return slow
