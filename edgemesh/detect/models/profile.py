"""Profile: the model of one machine, learnt from a warm-up: normal, slow channels, isolation forest."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

import edgemesh
from edgemesh.detect.models.blend import blend
from edgemesh.detect.models.forest import Trees, shared_forest, train, widen
from edgemesh.detect.models.kinds import Kind
from edgemesh.detect.models.normal import Normal, NormalNumbers, fit_normal
from edgemesh.detect.models.questions import Question, Steps, answer
from edgemesh.detect.models.rowwise import RowNormal
from edgemesh.detect.models.settings import LEAST_TRAIN_ROWS, ProfileSettings
from edgemesh.detect.models.slow import Slow, SlowNumbers, fit_slow
from edgemesh.detect.models.smoothing import Levels
from edgemesh.detect.models.warmup import calm_start, usable_columns, without_wild

Floats = NDArray[np.float64]
IN_DOUBT = 0.7
"""The forest is asked from this chart value on; below it, a row is near its baseline whatever the forest says."""
_WIDENED_SHARE = 25
_AT_LIMIT = 0.99


class ForestPart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The forest, the median of its score on the warm-up, its limit, and its weight in the blend."""

    trees: Trees
    middle: float
    limit: float
    weight: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.middle < self.limit <= 10.0 or not 0.0 < self.weight <= 1.0:
            raise ValueError("the forest's limit does not lie above its middle, or its weight is not within 0..1")


class ProfileFile(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="profile"
):
    """A profile as plain JSON. `fast` and `slow` are positions in `channels`; others were not fit to learn from."""

    channels: tuple[str, ...]
    fast: tuple[int, ...]
    slow: tuple[int, ...]
    normal: NormalNumbers
    slowness: SlowNumbers
    forest: ForestPart | None = None

    def __post_init__(self) -> None:
        places = (*self.fast, *self.slow)
        if len(set(places)) != len(places) or any(not 0 <= k < len(self.channels) for k in places):
            raise ValueError("a channel of the profile is missing or taken twice")
        if len(self.fast) != len(self.normal.center) or len(self.slow) != len(self.slowness.origin):
            raise ValueError("channels and numbers of the profile differ in width")
        if self.forest is not None and self.forest.trees.features != len(self.normal.gain):
            raise ValueError("the forest of the profile has another number of features")


class Profile:
    """What is normal for one machine; it scores and decides nothing by itself. `number` is its version."""

    def __init__(self, content: bytes, number: int = 1) -> None:
        """Raise ValueError (msgspec's DecodeError among them) when the content is no sound profile."""
        self.content = content
        self.file = msgspec.json.decode(content, type=ProfileFile)
        self.normal = Normal(self.file.normal)
        self.row_normal = RowNormal(self.file.normal)
        self.forest = shared_forest(self.file.forest.trees) if self.file.forest else None
        if self.file.forest and self.forest:  # the same numbers, kept once
            part = msgspec.structs.replace(self.file.forest, trees=self.forest.trees)
            self.file = msgspec.structs.replace(self.file, forest=part)
        self.version = f"profile-{number}@{hashlib.sha256(content).hexdigest()[:8]}"

    def strange(self, deviations: Floats) -> Floats:
        """Deviations of features from a baseline as one number per row, 1 at the limit; high is strange.

        The chart is the largest single deviation. The forest, where the chart is in doubt, says how rare they are
        together.
        """
        return answer(self.strange_steps(deviations))

    def strange_steps(self, deviations: Floats) -> Steps[Floats]:
        """`strange`, in steps."""
        chart = np.asarray(np.abs(deviations).max(axis=1))
        part = self.file.forest
        if part is None or self.forest is None:
            return chart
        if part.weight < 1.0:
            asked = chart >= IN_DOUBT
            if not asked.any():
                return chart
            if not asked.all():
                scores = yield Question(self.forest, deviations[asked])
                chart[asked] = self._blend(part, scores, chart[asked])
                return chart
        scores = yield Question(self.forest, deviations)
        return self._blend(part, scores, chart)

    def strange_row(self, deviations: Sequence[float], chart: float) -> Steps[float]:
        """What `strange` says of one row, whose largest deviation is `chart`, in steps."""
        part = self.file.forest
        if part is None or self.forest is None or (part.weight < 1.0 and chart < IN_DOUBT):
            return chart
        scores = yield Question(self.forest, np.array([deviations]))
        return float(self._blend(part, scores, np.array([chart]))[0])

    @staticmethod
    def _blend(part: ForestPart, scores: Floats, chart: Floats) -> Floats:
        rarity = (scores - part.middle) / (part.limit - part.middle)
        return blend(chart, rarity, part.weight)


class Learnt(msgspec.Struct, frozen=True, kw_only=True):
    """A profile, and everything as it stands after the last row of its warm-up. `start`: first row learnt from.

    `libraries`: what it was made with, and their versions.
    """

    profile: Profile
    levels: Levels
    slow: Slow
    features: Floats
    start: int
    libraries: dict[str, str]


def learn_profile(
    rows: Floats, channels: Sequence[str], kinds: Sequence[Kind], settings: ProfileSettings
) -> Learnt | None:
    """Learn from warm-up rows (n x channels, NaN: unknown), oldest first; None when nothing fast varies in them."""
    rows = without_wild(rows)
    usable = usable_columns(rows)
    fast = [k for k in usable if kinds[k] is not Kind.THERMAL]
    slow = [k for k in usable if kinds[k] is Kind.THERMAL]
    if not fast or len(rows) < LEAST_TRAIN_ROWS:
        return None
    start = _calm_start(rows[:, fast]) if settings.trim else 0
    rows = rows[start:]
    fast = [fast[k] for k in usable_columns(rows[:, fast])]
    slow = [slow[k] for k in usable_columns(rows[:, slow])]
    if not fast:
        return None
    normal, features, levels = fit_normal(rows[:, fast], [kinds[k] for k in fast])
    slowness = fit_slow(rows[:, slow])
    file = ProfileFile(
        channels=tuple(channels),
        fast=tuple(fast),
        slow=tuple(slow),
        normal=normal.numbers,
        slowness=slowness.numbers,
        forest=fit_forest(features, settings) if settings.forest_weight > 0.0 else None,
    )
    profile = Profile(msgspec.json.encode(file))
    return Learnt(
        profile=profile, levels=levels, slow=slowness, features=features, start=start, libraries=libraries_now()
    )


def libraries_now() -> dict[str, str]:
    """What profiles are made with here, and its versions."""
    made = {"edgemesh": edgemesh.__version__, "numpy": np.__version__}
    if "sklearn" in sys.modules:
        made["scikit-learn"] = str(sys.modules["sklearn"].__version__)
    return made


def _calm_start(rows: Floats) -> int:
    scale = np.nanstd(rows, axis=0)
    return calm_start((rows - np.nanmedian(rows, axis=0)) / scale)


def fit_forest(features: Floats, settings: ProfileSettings) -> ForestPart:
    """The forest of a profile whose limits make these features of calm rows (1 at the limit)."""
    widened = widen(features, settings.widen, _WIDENED_SHARE, settings.seed)
    forest = train(widened, trees=settings.trees, subsample=settings.subsample, seed=settings.seed)
    scores = forest.score(features)
    middle = float(np.median(scores))
    reach = max(0.01, float(np.quantile(scores, _AT_LIMIT)) - middle)
    limit = middle + settings.margin * reach
    return ForestPart(trees=forest.trees, middle=middle, limit=limit, weight=settings.forest_weight)
