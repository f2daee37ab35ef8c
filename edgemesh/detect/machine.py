"""The model of one machine: what its channels looked like, each alone and together, while it was well."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgemesh.detect.blend import blend
from edgemesh.detect.chart import FARTHEST, LEAST_SCALE, Chart, ChartNumbers, fit_chart
from edgemesh.detect.forest import Forest, Trees, train, widen
from edgemesh.detect.memory import Smoother
from edgemesh.detect.settings import ForestSettings
from edgemesh.detect.windows import Channel

Floats = NDArray[np.float64]
_WIDENED_SHARE = 25
_MOSTLY = 0.9


class MachineFile(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="machine"
):
    """A model as plain JSON. `forest_middle` and `forest_limit`: median and limit of its score on the warm-up."""

    channels: tuple[Channel, ...]
    chart: ChartNumbers
    trees: Trees
    forest_middle: float
    forest_limit: float

    def __post_init__(self) -> None:
        if not len(self.channels) == len(self.chart.center) == self.trees.features:
            raise ValueError("channels, chart and forest of the model differ in width")
        if not 0.0 <= self.forest_middle < self.forest_limit <= 1.0:
            raise ValueError("the forest's limit does not lie above its middle")


class MachineModel:
    """Two verbs: `learn` makes one from a warm-up, `deviations` and `score` judge rows. It decides nothing."""

    def __init__(self, content: bytes) -> None:
        """Raise ValueError (msgspec's DecodeError among them) when the content is no sound model."""
        self.content = content
        self.file = msgspec.json.decode(content, type=MachineFile)
        self.chart = Chart(self.file.chart)
        self.forest = Forest(self.file.trees)
        self.version = f"forest-1@{hashlib.sha256(content).hexdigest()[:8]}"

    def deviations(self, rows: Floats, smoother: Smoother) -> Floats:
        """Smoothed deviations of raw rows (n x channels, NaN: unknown) in spreads; the smoother moves on."""
        return self.chart.deviations(rows, smoother)

    def score(self, deviations: Floats, settings: ForestSettings) -> Floats:
        """One score per row of deviations from the present baseline, in multiples of the limit; high is strange."""
        chart = np.abs(deviations).max(axis=1) / settings.sigma
        if settings.forest_weight == 0.0:
            return np.asarray(chart)
        middle, limit = self.file.forest_middle, self.file.forest_limit
        forest = (self.forest.score(deviations) - middle) / ((limit - middle) * settings.margin)
        return blend(chart, forest, settings.forest_weight)


def usable_channels(rows: Floats) -> list[int]:
    """Which columns can be learnt from: known in nine of ten rows, finite spread, and not a mere switch (0 and 1)."""
    usable = []
    for k, column in enumerate(rows.T):
        known = column[~np.isnan(column)]
        if len(known) < _MOSTLY * len(rows) or np.isin(known, (0.0, 1.0)).all():
            continue
        largest = np.abs(known).max()
        if largest <= FARTHEST and known.std() > max(LEAST_SCALE, 1e-12 * largest):
            usable.append(k)
    return usable


def learn(
    rows: Floats, channels: Sequence[Channel], settings: ForestSettings, seed: int
) -> tuple[MachineModel, Smoother] | None:
    """Learn from warm-up rows (n x channels, NaN: unknown), oldest first; None when they hold nothing to learn from.

    Return the model and the smoother as it stands after the last row.
    """
    usable = usable_channels(rows)
    if not usable:
        return None
    rows = rows[:, usable]
    rows = rows[~np.isnan(rows).any(axis=1)]
    if 2 * len(rows) < settings.train_rows or (rows.std(axis=0) == 0.0).any():
        return None
    chart, deviations, smoother = fit_chart(rows, settings.smooth)
    widened = widen(deviations, settings.widen, _WIDENED_SHARE, seed)
    forest = train(widened, trees=settings.trees, subsample=settings.subsample, seed=seed)
    scores = forest.score(deviations)
    middle = float(np.median(scores))
    limit = float(np.quantile(scores, 1.0 - settings.contamination))
    file = MachineFile(
        channels=tuple(channels[k] for k in usable),
        chart=chart.numbers,
        trees=forest.trees,
        forest_middle=middle,
        forest_limit=max(limit, min(1.0, middle + 0.01)),
    )
    return MachineModel(msgspec.json.encode(file)), smoother
