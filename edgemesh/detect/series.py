"""Series: a slow single metric (minutes to hours), judged by how unusual it is in its own past.

Only the first signs of something count here: single rows are flagged, and then for a while only stranger
ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from edgemesh.detect.forest import Forest, Trees, train
from edgemesh.detect.judgement import NOT_YET, Judgement
from edgemesh.model.settings import Settings

Floats = NDArray[np.float64]
MEMORY_ROWS = 6400
FIRST_ROWS = 100
REFIT_ROWS = 250
REACH_ROWS = 96
"""Rows that the features of a row look back."""
_TAIL_WEIGHT = 0.025
_TAIL_CAP = 5.0
_LEAST_SPREAD = 1e-3
_FARTHEST = 1e30


class SeriesSettings(Settings, frozen=True, kw_only=True):
    """`limit`: the strangeness from which a row is flagged: 0.73 in the middle of where little depends on it.

    `cooldown_rows`: a row only counts if it is stranger than all of so many before. Rows before `train_rows` are never
    flagged. `trees`, `subsample`, `seed`: of the forest; with 100 trees the limit is crossed by chance now and then.
    """

    train_rows: Annotated[int, Meta(ge=FIRST_ROWS, le=MEMORY_ROWS)] = FIRST_ROWS
    limit: Annotated[float, Meta(gt=0.0, le=2.0)] = 0.73
    cooldown_rows: Annotated[int, Meta(ge=1, le=100_000)] = 300
    trees: Annotated[int, Meta(ge=1, le=1000)] = 250
    subsample: Annotated[int, Meta(ge=8, le=4096)] = 256
    seed: Annotated[int, Meta(ge=0, lt=2**32)] = 0


class SeriesState(msgspec.Struct, omit_defaults=True):
    """A series in motion: rows `seen`, its newest `values`, and `peaks`, (row, strangeness) of those in the cooldown
    that nothing later exceeded. `spread` of the first rows; `trees` as grown at the last refit.
    """

    seen: int = 0
    values: list[float] = []
    peaks: list[tuple[int, float]] = []
    spread: float = 0.0
    trees: Trees | None = None


class SeriesScorer:
    """An isolation forest on windows of the past, grown anew every 250 rows, helped by a Gaussian tail.

    Features: value, change, mean of 10, step between the means of adjacent 12 rows, log spread of 24, mean of 48, log
    spread of 96. The tail: how many spreads value or change are from their mean over the last 6,400 rows, at most 5.
    It fails on seasons longer than its windows, and never clears: it names rows.

    >>> rows = [[float(i % 7)] for i in range(400)]
    >>> rows[350] = [40.0]
    >>> judged = SeriesScorer("v", SeriesSettings(trees=20)).take(rows)
    >>> [i for i, each in enumerate(judged) if each.flag]
    [350, 351]

    Sources: Liu, Ting, Zhou 2008 (forest); Ahmad et al., Neurocomputing 2017 (Gaussian tail of a score's history).
    """

    def __init__(self, channel: str, settings: SeriesSettings | None = None, state: SeriesState | None = None) -> None:
        """`state`: to go on from a snapshot; ValueError when its trees can't be walked."""
        self.channel, self.settings = channel, settings or SeriesSettings()
        self._state = state or SeriesState()
        self._forest = Forest(self._state.trees) if self._state.trees is not None else None

    def take(self, rows: Sequence[Sequence[float | None]]) -> list[Judgement]:
        """Judge the next rows of one entry each; an unknown one counts as the last known value."""
        judged = []
        place = 0
        while place < len(rows):
            room = REFIT_ROWS - (self._state.seen - FIRST_ROWS) % REFIT_ROWS
            part = rows[place : place + room]
            judged += self._take_part([row[0] for row in part])
            place += len(part)
            if self._state.seen >= FIRST_ROWS and (self._state.seen - FIRST_ROWS) % REFIT_ROWS == 0:
                self._refit()
        return judged

    def snapshot(self) -> SeriesState:
        """What is needed to go on from here."""
        state = self._state
        return msgspec.structs.replace(state, values=state.values[:], peaks=state.peaks[:])

    def _take_part(self, entries: Sequence[float | None]) -> list[Judgement]:
        state = self._state
        known = []
        last = state.values[-1] if state.values else None
        for entry in entries:
            if entry is not None and math.isfinite(entry):
                last = min(max(float(entry), -_FARTHEST), _FARTHEST)
            known.append(last)
        unknown = known.count(None)
        values = [value for value in known if value is not None]
        past = len(state.values)
        state.values += values
        strange = self._strangeness(np.array(state.values), past) if self._forest is not None else [0.0] * len(values)
        judged = [NOT_YET] * unknown + [self._decide(value) for value in strange]
        del state.values[: -MEMORY_ROWS - REACH_ROWS]
        state.seen += unknown
        return judged

    def _decide(self, strange: float) -> Judgement:
        state, settings = self._state, self.settings
        peaks = state.peaks
        state.seen += 1
        if peaks and peaks[0][0] <= state.seen - settings.cooldown_rows - 1:
            del peaks[0]
        kept = not peaks or strange > peaks[0][1]
        while peaks and peaks[-1][1] <= strange:
            peaks.pop()
        peaks.append((state.seen, strange))
        if self._forest is None or not kept or state.seen <= settings.train_rows:
            return NOT_YET
        score = strange / settings.limit
        return Judgement(score, score >= 1.0, ((self.channel, round(score, 3)),) if score >= 1.0 else ())

    def _strangeness(self, values: Floats, first: int) -> list[float]:
        assert self._forest is not None
        rarity = self._forest.score(_features(values, first, self._state.spread))
        tails = np.maximum(_tails(values, first), _tails(np.diff(values), first - 1))
        strange: list[float] = (rarity + _TAIL_WEIGHT * np.minimum(tails, _TAIL_CAP)).tolist()
        return strange

    def _refit(self) -> None:
        state, settings = self._state, self.settings
        if not state.values:
            return
        values = np.array(state.values)
        state.spread = state.spread or float(values.std())
        first = max(0, len(values) - MEMORY_ROWS)
        features = _features(values, first, state.spread)
        self._forest = train(features, trees=settings.trees, subsample=settings.subsample, seed=settings.seed)
        state.trees = self._forest.trees


def _features(values: Floats, first: int, spread: float) -> Floats:
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


def _tails(values: Floats, first: int) -> Floats:
    """How many spreads each of `values[first:]` is from the mean of the 6,400 before it."""
    tails = np.zeros(len(values) - first)
    for i in range(len(tails)):
        past = values[max(0, first + i - MEMORY_ROWS) : first + i]
        if len(past) > 1:
            mean = past.mean()
            spread = math.sqrt(float(((past - mean) ** 2).mean()))
            tails[i] = abs(values[first + i] - mean) / max(spread, 1e-9 * (1.0 + abs(mean)))
    return tails
