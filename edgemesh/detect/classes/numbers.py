"""Classes: what the machines of one kind have in common, learnt from calm rows of several of them.

Where each of them lies, and how much it scatters, is its own (`binding.py`); in multiples of that scatter they are
taken together: how the channels move with each other, where limits lie, and an isolation forest. How far the scatter of
a short warm-up can be believed is learnt, too, by cutting short warm-ups out of the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgemesh.detect.models.kinds import LONG_MEMORY, Kind
from edgemesh.detect.models.normal import (
    AT_LIMIT,
    FARTHEST,
    LARGEST,
    LEAST_SCALE,
    SETTLING_ROWS,
    Fit,
    Normal,
    fit_levels,
    gain_of,
)
from edgemesh.detect.models.profile import ForestPart, fit_forest
from edgemesh.detect.models.settings import LEAST_TRAIN_ROWS, ProfileSettings
from edgemesh.detect.models.slow import fit_slow
from edgemesh.detect.models.smoothing import Levels
from edgemesh.detect.models.warmup import calm_start, usable_columns, without_wild

Floats = NDArray[np.float64]
LEAST_SHORT_ROWS = 40
_JUDGED_ROWS = 128
_FOLDS = 5
_UNKNOWN_SPREAD = float(np.log(2.0))
"""How far the logarithm of a machine's spread is from another's where only one is known: a factor of 2."""


class ClassNumbers(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="class"
):
    """A class as plain JSON. `fast` and `slow` are positions in `roles`; others were not fit to learn from.

    Per fast role: `scatter` and `differs`, mean and standard deviation over the machines of the logarithm of their
    spread (in the role's unit); `short_bias` and `short_error`, by how much the logarithm of a spread that is taken
    from `short_rows` rows lies off that of all rows, and how far that itself scatters. `precision`, `stretch`, `long`,
    `offset` and `gain` as in `normal.NormalNumbers`, in spreads; `short_doubt`: by how much wider limits are for a
    machine that is known from `short_rows` rows. `moves`: per slow role, how far it may move within 30 rows.
    """

    roles: tuple[str, ...]
    fast: tuple[int, ...]
    slow: tuple[int, ...]
    scatter: tuple[float, ...]
    differs: tuple[float, ...]
    short_rows: int
    short_bias: tuple[float, ...]
    short_error: tuple[float, ...]
    short_doubt: float
    long: tuple[int, ...]
    precision: tuple[tuple[float, ...], ...]
    stretch: float
    offset: tuple[float, ...]
    gain: tuple[float, ...]
    moves: tuple[float, ...] = ()
    forest: ForestPart | None = None

    def __post_init__(self) -> None:
        places, width = (*self.fast, *self.slow), len(self.fast)
        if not width or len(set(places)) != len(places) or any(not 0 <= k < len(self.roles) for k in places):
            raise ValueError("a role of the class is missing or taken twice")
        columns = (self.scatter, self.differs, self.short_bias, self.short_error, self.precision, *self.precision)
        features = 2 * width + len(self.long)
        if {len(column) for column in columns} != {width} or len(self.moves) != len(self.slow):
            raise ValueError("the columns of the class differ in length")
        if not len(self.offset) == len(self.gain) == features or any(not 0 <= k < width for k in self.long):
            raise ValueError("the features of the class differ in number, or point outside of it")
        inner = [value for row in self.precision for value in row]
        signed = (*self.scatter, *self.short_bias, *self.offset, *inner)
        positive = (*self.differs, *self.short_error, *self.gain, *self.moves, self.stretch, self.short_doubt)
        if not np.all(np.abs([*signed, *positive]) <= LARGEST) or min(positive) <= 0.0:
            raise ValueError("a number of the class is not finite or out of range")
        if max(map(abs, (*self.scatter, *self.short_bias, *self.differs, *self.short_error))) > _MOST_LOG:
            raise ValueError("a spread of the class is out of range")
        if min(self.precision[k][k] for k in range(width)) <= 0.0 or self.short_rows < LEAST_SHORT_ROWS:
            raise ValueError("the precision of the class is not positive, or its warm-up too short")
        if self.forest is not None and self.forest.trees.features != features:
            raise ValueError("the forest of the class has another number of features")


_MOST_LOG = 230.0  # e**230 is about the largest value that is believed


class Scatter(NamedTuple):
    """Logarithms of spreads (fast roles each), see `ClassNumbers`."""

    mean: Floats
    differs: Floats
    bias: Floats
    error: Floats

    def believe(self, spread: Floats, share: float) -> Floats:
        """The spreads of a machine, from what its warm-up shows and from the class, by how sure each of them is.

        `share` is how short the warm-up is: 1 for one of `short_rows` rows, less for a longer one. 0 in `spread`: it
        did not move.
        """
        moved = spread > 0.0
        own = np.log(np.where(moved, spread, 1.0)) - share * self.bias
        trust = np.where(moved, 1.0 / (share * self.error**2 + 1e-6), 0.0)
        given = 1.0 / self.differs**2
        return np.asarray(np.exp((trust * own + given * self.mean) / (trust + given)))


@dataclass(frozen=True, slots=True)
class _Machine:
    """Calm rows of one machine: `rows` (n x fast roles), and where it lies: `center`, `spread`."""

    rows: Floats
    center: Floats
    spread: Floats


def learn_class(
    tables: Sequence[Floats], roles: Sequence[str], kinds: Sequence[Kind], settings: ProfileSettings, short_rows: int
) -> ClassNumbers | None:
    """Learn from the calm rows of several machines (each n x roles, NaN: unknown, oldest first).

    Only roles that vary on all of them are learnt. `short_rows`: how long the warm-up of a newcomer is. None: nothing
    fast does, or one has fewer than 100 rows, or fewer than two short warm-ups.
    """
    tables = [without_wild(table) for table in tables]
    least = max(LEAST_TRAIN_ROWS, short_rows + _JUDGED_ROWS)
    if not tables or min(map(len, tables)) < least:
        return None
    usable = [k for k in range(len(roles)) if all(k in usable_columns(table) for table in tables)]
    fast = [k for k in usable if kinds[k] is not Kind.THERMAL]
    slow = [k for k in usable if kinds[k] is Kind.THERMAL]
    if not fast:
        return None
    machines = [_machine(table[:, fast], settings, least) for table in tables]
    if any(usable_columns(machine.rows) != list(range(len(fast))) for machine in machines):
        return None
    long = [place for place, k in enumerate(fast) if kinds[k] in LONG_MEMORY]
    scatter = _scatter(machines, short_rows)
    pieces = [settled(levels_of(machine.rows, machine.center, machine.spread, long)) for machine in machines]
    pieces = [piece - piece.mean(axis=0) for piece in pieces]
    fit, offset, gain, features = _limits(pieces, [kinds[k] for k in fast], long)
    moves = np.array([fit_slow(table[:, slow]).numbers.limit for table in tables]).max(axis=0)
    return ClassNumbers(
        roles=tuple(roles),
        fast=tuple(fast),
        slow=tuple(slow),
        scatter=tuple(scatter.mean.tolist()),
        differs=tuple(scatter.differs.tolist()),
        short_rows=short_rows,
        short_bias=tuple(scatter.bias.tolist()),
        short_error=tuple(scatter.error.tolist()),
        short_doubt=_short_doubt(machines, scatter, fit, offset, gain, long, short_rows),
        long=tuple(long),
        precision=tuple(map(tuple, fit.precision.tolist())),
        stretch=fit.stretch,
        offset=tuple(offset.tolist()),
        gain=tuple(gain.tolist()),
        moves=tuple(moves.tolist()),
        forest=fit_forest(features, settings) if settings.forest_weight > 0.0 else None,
    )


def levels_of(rows: Floats, center: Floats, spread: Floats, long: Sequence[int]) -> Floats:
    """Levels of rows (n x fast roles, NaN: unknown) in spreads, the roles with a long average twice."""
    z = np.clip((rows - center) / spread, -FARTHEST, FARTHEST)
    return Levels(Normal.rates_of(z.shape[1], len(long))).run(np.concatenate([z, z[:, list(long)]], axis=1))


def settled(levels: Floats) -> Floats:
    """What is left of the levels of a warm-up once they have settled."""
    return levels[min(SETTLING_ROWS, len(levels) // 4) :]


def _machine(rows: Floats, settings: ProfileSettings, least: int) -> _Machine:
    spread = np.nanstd(rows, axis=0)
    if settings.trim:
        rows = rows[calm_start((rows - np.nanmedian(rows, axis=0)) / spread, max(least, 200)) :]
    return _Machine(rows, np.nanmedian(rows, axis=0), np.nanstd(rows, axis=0))


def _short_ones(machine: _Machine, short_rows: int) -> list[tuple[Floats, Floats]]:
    """Short warm-ups of a machine, and the rows that came after each."""
    cuts = range(0, len(machine.rows) - short_rows - _JUDGED_ROWS + 1, max(1, short_rows // 2))
    return [
        (machine.rows[cut : cut + short_rows], machine.rows[cut + short_rows : cut + short_rows + _JUDGED_ROWS])
        for cut in cuts
    ]


def _scatter(machines: Sequence[_Machine], short_rows: int) -> Scatter:
    """What is known of the spreads of machines, and of those that short warm-ups show."""
    logs = np.log([machine.spread for machine in machines])
    off = []
    for machine, log in zip(machines, logs, strict=True):
        for short, _ in _short_ones(machine, short_rows):
            spread = spread_of(short)
            off.append(np.log(np.where(spread > 0.0, spread, machine.spread)) - log)
    between = ((logs - logs.mean(axis=0)) ** 2).sum(axis=0) + _UNKNOWN_SPREAD**2
    bias, error = np.mean(off, axis=0), np.std(off, axis=0)
    return Scatter(logs.mean(axis=0), np.sqrt(between / len(machines)), bias, np.maximum(error, 0.02))


def spread_of(rows: Floats) -> Floats:
    """The standard deviation of each column of rows (n x columns, NaN: unknown); 0: it did not move, or is unknown."""
    known = ~np.isnan(rows)
    count = np.maximum(1, known.sum(axis=0))
    mean = np.where(known, rows, 0.0).sum(axis=0) / count
    return np.asarray(np.sqrt((np.where(known, rows - mean, 0.0) ** 2).sum(axis=0) / count))


def _limits(pieces: Sequence[Floats], kinds: Sequence[Kind], long: Sequence[int]) -> tuple[Fit, Floats, Floats, Floats]:
    """How the levels of all machines hang together: the fit, offsets and gains of its features, and those of all rows.

    The spread of a feature is the larger of that inside of the fit and that of machines (or parts of a single one)
    which the fit has not seen.
    """
    width = len(kinds)
    together = np.concatenate(list(pieces))
    fit = fit_levels(together, width)
    raw = fit.apply(together)
    offset = np.median(raw, axis=0)
    folds = list(pieces) if len(pieces) > 1 else np.array_split(together, _FOLDS)
    total = np.zeros(raw.shape[1])
    for fold in range(min(_FOLDS, len(folds))):
        kept = np.concatenate([piece for place, piece in enumerate(folds) if place % _FOLDS != fold])
        left = np.concatenate([piece for place, piece in enumerate(folds) if place % _FOLDS == fold])
        other = fit_levels(kept, width)
        total += ((other.apply(left) - np.median(other.apply(kept), axis=0)) ** 2).sum(axis=0)
    spread = np.maximum(np.maximum(np.sqrt(total / len(together)), (raw - offset).std(axis=0)), LEAST_SCALE)
    gain = gain_of(raw - offset, spread, kinds, len(long), 1.0)
    return fit, offset, gain, (raw - offset) * gain


def _short_doubt(
    machines: Sequence[_Machine],
    scatter: Scatter,
    fit: Fit,
    offset: Floats,
    gain: Floats,
    long: Sequence[int],
    short_rows: int,
) -> float:
    """By how much the rows after short warm-ups exceed the limits: what wider limits have to make up for."""
    highest = []
    for machine in machines:
        for short, after in _short_ones(machine, short_rows):
            spread = scatter.believe(spread_of(short), 1.0)
            levels = levels_of(np.concatenate([short, after]), machine.center, spread, long)
            base = settled(levels[:short_rows]).mean(axis=0)
            highest.append(np.abs((fit.apply(levels[short_rows:] - base) - offset) * gain).max(axis=1))
    return max(1.0, float(np.quantile(np.concatenate(highest), AT_LIMIT)))
