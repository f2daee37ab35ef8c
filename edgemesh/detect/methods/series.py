"""Series: a slow single metric (minutes to hours), judged by how unusual it is in its own past.

Only the first signs of something count here: single rows are flagged, and then for a while only stranger
ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgemesh.detect.methods.contract import Method
from edgemesh.detect.methods.judgement import NOT_YET, Blame, Judgement
from edgemesh.detect.methods.lessons import Nothing, Result, SeriesLearnt, SeriesLesson
from edgemesh.detect.methods.past import REACH_ROWS, features, grow, tails
from edgemesh.detect.methods.tail import Tail
from edgemesh.detect.models.forest import Forest
from edgemesh.detect.models.settings import FIRST_ROWS, MEMORY_ROWS, SeriesSettings

Floats = NDArray[np.float64]
REFIT_ROWS = 250
_TAIL_WEIGHT = 0.025
_TAIL_CAP = 5.0
_USUAL_ROWS = 1000
_FARTHEST = 1e30
_TAIL_ROWS = 64

KEPT_ROWS = MEMORY_ROWS + REACH_ROWS + REFIT_ROWS
"""As many of the newest values as the last refit was made from, and those since."""


class SeriesState(msgspec.Struct, omit_defaults=True):
    """A series in motion: rows `seen`, the newest `values` of `known` ones, and `peaks`, (row, strangeness) of those in
    the cooldown that nothing later exceeded. `spread` of the first rows; `grown`: values known at the last refit.
    """

    seen: int = 0
    known: int = 0
    values: list[float] = []
    peaks: list[tuple[int, float]] = []
    spread: float = 0.0
    grown: int = 0


class SeriesScorer(Method):
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

    name = "series"
    learnt = True
    version = "series-1"

    def __init__(
        self,
        channel: str,
        settings: SeriesSettings | None = None,
        state: SeriesState | None = None,
        *,
        puts_off: bool = False,
    ) -> None:
        """Go on from a state, if one is given. The forest is the same again: it is grown anew from the same values.

        `puts_off`: it takes no more rows while it `wants` a forest, which others grow (`material`) and hand in.
        """
        self.channel, self.settings, self.puts_off = channel, settings or SeriesSettings(), puts_off
        self._forest: Forest | None = None
        self._former: Forest | None = None
        self._state = _checked(state or SeriesState())
        self._ease = 1.0
        self._saved_rows = 0

    @property
    def values(self) -> list[float]:
        """The newest values."""
        return self._state.values

    @property
    def known(self) -> int:
        """How many values there have been."""
        return self._state.known

    @property
    def wants(self) -> bool:
        """Whether a forest is due."""
        return self._state.grown > 0 and self._forest is None

    @property
    def room(self) -> int:
        """How many rows are missing until the forest is grown again."""
        return REFIT_ROWS - (self._state.seen - FIRST_ROWS) % REFIT_ROWS

    @property
    def material(self) -> tuple[Floats, float]:
        """What a forest that is due is grown from: the values known at the last refit, and the spread of the first."""
        state = self._state
        values = np.array(state.values[: len(state.values) - (state.known - state.grown)])
        return values, state.spread or float(values.std())

    def lesson(self) -> SeriesLesson:
        """The forest that is due, as plain values."""
        values, spread = self.material
        return SeriesLesson(values=values.astype("<f8").tobytes(), spread=spread, settings=self.settings)

    def learn(self, result: Result) -> None:
        """Take the forest of the `lesson`, or that there is none. ValueError: it is not sound, or of something else."""
        if not isinstance(result, SeriesLearnt | Nothing):
            raise ValueError("what was learnt is of another kind of scorer")
        self.use(Forest(result.trees) if isinstance(result, SeriesLearnt) else None)

    def use(self, forest: Forest | None) -> None:
        """Take the forest that was due. None: there is none; go on with the one before, or without."""
        values, spread = self.material
        if forest is not None and forest.trees.features != features(values[:1], 0, spread).shape[1]:
            raise ValueError("the forest has another number of features than a series")
        self._state.spread = spread
        self._forest, self._former = forest or self._former, None
        if self._forest is None:
            self._state.grown = 0

    def take(self, rows: Sequence[Sequence[float | None]]) -> list[Judgement]:
        """Judge the next rows of one entry each; an unknown one counts as the last known value.

        Fewer judgements than rows: the rest is to come again once there is the forest that is due.
        """
        judged: list[Judgement] = []
        place = 0
        if self.wants and not self.puts_off:
            self._grow()
        while place < len(rows) and not self.wants:
            part = rows[place : place + self.room]
            judged += self._take_part([row[0] for row in part])
            place += len(part)
            if self._state.seen >= FIRST_ROWS and (self._state.seen - FIRST_ROWS) % REFIT_ROWS == 0:
                self._refit()
        return judged

    def snapshot(self, *, values: bool = True) -> SeriesState:
        """What is needed to go on from here; without `values` those of the property of that name belong to it."""
        state = self._state
        return msgspec.structs.replace(state, values=state.values[:] if values else [], peaks=state.peaks[:])

    def capture(self) -> bytes:
        """All that moves; see `Method`."""
        return msgspec.msgpack.encode(self.snapshot())

    def twin(self, moving: bytes) -> SeriesScorer:
        """Another one that goes on from what was captured of this one."""
        state = msgspec.msgpack.decode(moving, type=SeriesState)
        twin = SeriesScorer(self.channel, self.settings, state)
        if state.grown == self._state.grown:
            twin._forest = self._forest
        twin._ease = self._ease
        return twin

    def ease(self, factor: float) -> None:
        """Have the limit lie so many times as far out; see `Method`."""
        self._ease = factor

    def parts(self) -> dict[str, bytes | None]:
        """What moves, and the newest values in parts of 64."""
        rows = np.array(self.values).reshape(-1, 1)
        changed = Tail(KEPT_ROWS, _TAIL_ROWS).save(rows, self.known, self._saved_rows)
        self._saved_rows = self.known
        return {"moving": msgspec.msgpack.encode(self.snapshot(values=False)), **changed}

    def save_anew(self) -> None:
        """The whole tail is due again."""
        self._saved_rows = 0

    def resume(self, parts: Mapping[str, bytes], number: int) -> None:
        """Go on from saved parts; the forest is grown anew."""
        state = msgspec.msgpack.decode(parts["moving"], type=SeriesState)
        kept = min(state.known, KEPT_ROWS)
        state.values = Tail(KEPT_ROWS, _TAIL_ROWS).load(parts, state.known, kept, 1).ravel().tolist()
        self._state, self._saved_rows = _checked(state), state.known
        self._forest = self._former = None

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
        state.known += len(values)
        strange = self._strangeness(np.array(state.values), past) if self._forest is not None else [0.0] * len(values)
        judged = [NOT_YET] * unknown + [self._decide(each, past + place) for place, each in enumerate(strange)]
        state.seen += unknown
        del state.values[:-KEPT_ROWS]
        return judged

    def _decide(self, strange: float, place: int) -> Judgement:
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
        score = strange / (settings.limit * self._ease)
        if score < 1.0:
            return Judgement(score, flag=False)
        past = state.values[max(0, place - _USUAL_ROWS) : place]
        low, high = np.quantile(past, (0.01, 0.99)).tolist()
        blame = Blame(self.channel, round(score, 3), 0, state.values[place], low, high)
        return Judgement(score, flag=True, blame=(blame,), since=1)

    def _strangeness(self, values: Floats, first: int) -> list[float]:
        assert self._forest is not None
        rarity = self._forest.score(features(values, first, self._state.spread))
        apart = np.maximum(tails(values, first), tails(np.diff(values), first - 1))
        strange: list[float] = (rarity + _TAIL_WEIGHT * np.minimum(apart, _TAIL_CAP)).tolist()
        return strange

    def _refit(self) -> None:
        if self._state.values:
            self._state.grown = self._state.known
            self._former, self._forest = self._forest, None
            if not self.puts_off:
                self._grow()

    def _grow(self) -> None:
        values, spread = self.material
        self.use(grow(values, spread, self.settings))


def _checked(state: SeriesState) -> SeriesState:
    if state.grown > state.known or len(state.values) > state.known:
        raise ValueError("the series has more values than it has known")
    return state
