"""Settings of what is learnt: how a machine and how a slow series are scored, and which of the two it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta

from edgemesh.detect.base.patterns import Glob, Name
from edgemesh.detect.models.kinds import Kind
from edgemesh.model.alerts import Severity
from edgemesh.model.ids import Id
from edgemesh.model.settings import Seconds, Settings

LEAST_TRAIN_ROWS = 100
MEMORY_ROWS = 6400
"""So many rows of its past a series is judged by."""
FIRST_ROWS = 100
"""A series is not judged before, and until then it is open whether it is one."""


class ProfileSettings(Settings, frozen=True, kw_only=True):
    """How a machine is learnt and scored.

    `train_rows`: length of the warm-up; `trim`: leave out what came before its last level step (not for a machine that
    changes its load). `kinds`: patterns of metric names and what they measure, before units and names are asked.
    `forest_weight`: part of the forest in the score, 0 (chart alone) to 1 (forest alone); `margin`: how far beyond the
    99 % quantile of the warm-up its limit lies. `widen`: factors of the scaled copies that it learns as background.
    `pace`: by how much longer than 1 s a tick counts as: below 1 everything that lasts takes fewer rows.
    """

    train_rows: Annotated[int, Meta(ge=LEAST_TRAIN_ROWS, le=20_000)] = 400
    trim: bool = True
    kinds: Mapping[str, Kind] = {}
    forest_weight: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.15
    trees: Annotated[int, Meta(ge=1, le=1000)] = 100
    subsample: Annotated[int, Meta(ge=8, le=4096)] = 256
    margin: Annotated[float, Meta(gt=0.0, le=100.0)] = 1.2
    widen: tuple[Annotated[float, Meta(gt=1.0, le=1000.0)], ...] = (2.0, 4.0, 8.0, 16.0)
    pace: Annotated[float, Meta(ge=0.1, le=10.0)] = 1.0
    seed: Annotated[int, Meta(ge=0, lt=2**32)] = 0


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


Vote = Literal["any", "majority"] | Mapping[str, Annotated[float, Meta(gt=0.0, le=1000.0)]]


class ScoreSettings(Settings, frozen=True, kw_only=True):
    """`method`: `machine`, `series`, by the shape of the data (`auto`), or a detector that is installed as a plug-in.

    Of several methods `vote` says how many must agree: any one, more than half of them, or more than half of their
    weights. `machine` and `series` say how those work; `plugin` has a table for each plug-in, by its name.
    """

    method: Id | Annotated[tuple[Id, ...], Meta(min_length=1, max_length=8)] = "auto"
    vote: Vote = "majority"
    machine: ProfileSettings = ProfileSettings()
    series: SeriesSettings = SeriesSettings()
    plugin: Mapping[str, Mapping[str, Any]] = {}

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods, also where it is a single one."""
        return (self.method,) if isinstance(self.method, str) else self.method


class ModelSettings(ScoreSettings, frozen=True, kw_only=True):
    """A model per asset, learnt from its own first rows; of several the first that fits the asset counts.

    `scope`: what an asset that has not learnt yet begins with: its own warm-up (`asset`), or the newest model of its
    class that another asset has in use (`class`; its own warm-up where there is none). `places`: patterns of device
    names, and what they are to the asset, where several have the same metric (`classes/roles.py`).
    `metrics` and `exclude` are patterns of what it learns from. `gate`: only rows with this metric non-zero for
    `gate_for` are learnt and scored. `method` and what it does are those of the scoring engine. `retrain_every`: after
    so long a machine's next model is learnt from calm rows; 0: never.
    """

    asset_class: Glob = "*"
    asset: Glob = "*"
    scope: Literal["asset", "class"] = "asset"
    places: Mapping[Glob, Id] = {}
    metrics: tuple[Glob, ...] = ("*",)
    exclude: tuple[Glob, ...] = ()
    gate: Name = ""
    gate_for: Seconds = Seconds(30.0)
    severity: Severity = Severity.WARNING
    retrain_every: Seconds = Seconds(0.0)
