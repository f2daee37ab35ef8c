"""Half-space trees: river's, as a detector. Needs the extra `river`; chosen by `method = "half_space_trees"`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from edgemesh.detect.base.windows import Channel
from edgemesh.detect.methods.judgement import NOT_YET, Blame, Judgement
from edgemesh.detect.models.warmup import without_wild
from edgemesh.model import settings

Floats = NDArray[np.float64]
_REACH = 8.0
"""Values so many spreads from the middle and beyond all look alike to the trees."""
_WEIGHT = 0.2
_AT_LIMIT = 0.99
_CLEAR = 0.75
_NORMAL = 3.0
_MOST_BLAMED = 3
_MOSTLY = 0.9


class Settings(settings.Settings, frozen=True, kw_only=True):
    """`trees` of `height`; `window`: rows that the trees compare with, and half of the warm-up.

    `margin`: the limit in 99 % quantiles of the warm-up. On white noise 2 flags no row in 1,000 and sees shifts of
    4 spreads; 1.2 flags six, 3 sees only shifts of 8 spreads.
    """

    trees: Annotated[int, Meta(ge=1, le=200)] = 10
    height: Annotated[int, Meta(ge=1, le=12)] = 8
    window: Annotated[int, Meta(ge=50, le=5000)] = 200
    margin: Annotated[float, Meta(gt=0.0, le=100.0)] = 2.0
    seed: Annotated[int, Meta(ge=0, lt=2**32)] = 0


class Scale(msgspec.Struct):
    """What was learnt. `usable`: channels that vary, by name; `center` and `spread` of each, in its unit.

    `middle` and `limit` of the trees' score.
    """

    usable: list[int]
    center: list[float]
    spread: list[float]
    middle: float = 0.0
    limit: float = 1.0


class State(msgspec.Struct):
    """What moves beside the rows: `taken` in since the warm-up began, the smoothed `level`, what it decides.

    `run`: rows in a row with signs of something strange; `held`: flagged ones. `river`: the version that grew trees.
    """

    river: str
    taken: int = 0
    scale: Scale | None = None
    learnt: bool = False
    level: float = 0.0
    flag: bool = False
    run: int = 0
    held: int = 0


class HalfSpaceTrees:
    """Rows are strange where the window before had few others, by random halvings of the space of all channels.

    The first `window` rows scale the channels and fill the trees, as many more say what scores are usual. The score is
    smoothed (weight 0.2); it flags above the limit until it is below 0.75 of it. Flagged rows are not learnt from, but
    for what goes on longer than a window. Blamed are the channels furthest from their middle: the trees do not say.

    It fails where only the relation between channels breaks and each alone stays within its range; on slow drifts; on
    faults that last two windows, which are normal from then on; and on a machine that changes its load, where each new
    level is strange for as long. Beyond 8 spreads all looks alike. An unknown value counts as the middle.

    Its state is the rows of the last two windows: the trees are the same again when they are given these again.

    >>> rows = np.random.default_rng(2).normal(size=(500, 2)).tolist()
    >>> rows[450:460] = [[5.0, 5.0]] * 10
    >>> judged = HalfSpaceTrees([("d", "x", "1"), ("d", "y", "1")], Settings()).take(rows)
    >>> [row for row, each in enumerate(judged) if each.flag][0] in range(450, 456)
    True

    Source: Tan, Ting, Liu: Fast Anomaly Detection for Streaming Data, IJCAI 2011.
    """

    def __init__(self, channels: Sequence[Channel], chosen: Settings) -> None:
        """ImportError: river is not installed."""
        self.settings = chosen
        self.names = [f"{device}/{metric}" if device else metric for device, metric, _ in channels]
        self._state = State(river=version("river"))
        self._rows = np.full((2 * chosen.window, len(channels)), np.nan)  # a ring
        self._trees = self._plant()

    @property
    def learnt(self) -> bool:
        """Whether the warm-up is over."""
        return self._state.learnt

    def take(self, rows: Sequence[Sequence[float | None]]) -> list[Judgement]:
        """Judge the next rows."""
        return [self._take([math.nan if value is None else value for value in row]) for row in rows]

    def snapshot(self) -> bytes:
        """The ring of rows as raw float64, and behind it the rest."""
        return self._rows.astype("<f8").tobytes() + msgspec.msgpack.encode(self._state)

    def restore(self, snapshot: bytes) -> None:
        """Go on from a snapshot: the trees take the rows of the window before, and those since, again."""
        size = self._rows.nbytes
        state = msgspec.msgpack.decode(snapshot[size:], type=State)
        if state.river != self._state.river:
            raise ValueError(f"its trees were grown by river {state.river}, this is {self._state.river}")
        scale, width = state.scale, len(self.names)
        if scale is not None and not all(0 <= k < width for k in scale.usable):
            raise ValueError("it has learnt from more channels than there are")
        self._rows = np.frombuffer(snapshot[:size], dtype="<f8").reshape(self._rows.shape).astype(np.float64)
        self._state, self._trees = state, self._plant()
        if scale is not None:
            window = self.settings.window
            begin, end = ((state.taken // window - 1) * window, state.taken) if state.learnt else (0, window)
            for number in range(begin, end):
                self._trees.learn_one(_scaled(scale, self._rows[number % len(self._rows)].tolist()))

    def _plant(self) -> Any:
        from river.anomaly import HalfSpaceTrees as Trees

        chosen = self.settings
        return Trees(n_trees=chosen.trees, height=chosen.height, window_size=chosen.window, seed=chosen.seed)

    def _take(self, row: list[float]) -> Judgement:
        state, window = self._state, self.settings.window
        if state.learnt and state.scale is not None:
            place = _scaled(state.scale, row)
            judgement = self._decide(state.scale, row, self._trees.score_one(place))
            state.held = state.held + 1 if state.flag else 0
            if not 0 < state.held <= window:
                self._keep(row)
                self._trees.learn_one(place)
            return judgement
        self._keep(row)
        if state.scale is None and state.taken == window:
            self._fill()
        elif state.scale is not None and state.taken == 2 * window:
            self._calibrate(state.scale)
        return NOT_YET

    def _keep(self, row: list[float]) -> None:
        self._rows[self._state.taken % len(self._rows)] = row
        self._state.taken += 1

    def _fill(self) -> None:
        """Scale the channels by the first window and give it to the trees; when nothing varies in it, begin anew."""
        state, table = self._state, self._rows[: self.settings.window]
        state.scale = scale = _fit(table, self.names)
        if not scale.usable:
            state.scale, state.taken = None, 0
            return
        for row in table.tolist():
            self._trees.learn_one(_scaled(scale, row))

    def _calibrate(self, scale: Scale) -> None:
        """See how the second window looks to trees that have seen only the first."""
        places = [_scaled(scale, row) for row in self._rows[self.settings.window :].tolist()]
        scores = np.array([self._trees.score_one(place) for place in places])
        for place in places:
            self._trees.learn_one(place)
        scale.middle = float(np.median(scores))
        reach, level, levels = np.maximum(scores - scale.middle, 0.0), 0.0, []
        for each in reach.tolist():
            level += _WEIGHT * (each - level)
            levels.append(level)
        scale.limit = max(1e-6, self.settings.margin * float(np.quantile(levels, _AT_LIMIT)))
        self._state.learnt = True

    def _decide(self, scale: Scale, row: list[float], score: float) -> Judgement:
        state = self._state
        strange = max(0.0, score - scale.middle) / scale.limit
        state.level += _WEIGHT * (strange - state.level)
        state.flag = state.level > (_CLEAR if state.flag else 1.0)
        state.run = state.run + 1 if state.flag or max(strange, state.level) > 1.0 else 0
        blame = self._blame(scale, row) if state.flag or state.level > 1.0 else ()
        return Judgement(state.level, state.flag, blame, state.run)

    def _blame(self, scale: Scale, row: list[float]) -> tuple[Blame, ...]:
        found = []
        for k, center, spread in zip(scale.usable, scale.center, scale.spread, strict=True):
            if not math.isnan(row[k]):
                reach = _NORMAL * spread
                far = round(abs(row[k] - center) / reach, 3)
                found.append(Blame(self.names[k], far, k, row[k], center - reach, center + reach))
        found.sort(key=lambda blame: -blame.score)
        return tuple(blame for blame in found[:_MOST_BLAMED] if blame.score >= 0.5 * found[0].score)


def create(channels: Sequence[Channel], chosen: Any) -> HalfSpaceTrees:
    """The detector of one asset. ImportError: river is not installed."""
    try:
        return HalfSpaceTrees(channels, chosen)
    except ImportError as error:
        raise ImportError("it needs river: pip install 'edgemesh[river]'") from error


def _fit(table: Floats, names: Sequence[str]) -> Scale:
    """Middle and spread of the channels (n x channels, NaN: unknown) that are mostly known and vary, by name."""
    scale, table = Scale([], [], []), without_wild(table)
    for k in sorted(range(len(names)), key=lambda k: names[k]):
        known = table[:, k][~np.isnan(table[:, k])]
        spread = float(known.std()) if len(known) >= _MOSTLY * len(table) else 0.0
        if spread > 1e-12 * float(np.abs(known).max(initial=0.0)):
            scale.usable.append(k)
            scale.center.append(float(np.median(known)))
            scale.spread.append(spread)
    return scale


def _scaled(scale: Scale, row: Sequence[float]) -> dict[str, float]:
    """The row as the trees see it: 0.5 in the middle, 0 and 1 at 8 spreads from it. Keys are in the order of names."""
    place = {}
    for number, (k, center, spread) in enumerate(zip(scale.usable, scale.center, scale.spread, strict=True)):
        far = (row[k] - center) / spread
        place[f"{number:03}"] = 0.5 if math.isnan(far) else min(1.0, max(0.0, 0.5 + far / (2.0 * _REACH)))
    return place
