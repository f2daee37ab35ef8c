"""The `[detection]` section of the configuration: rules in any mix, templates of rules, and one forest.

[[detection.rule]]
kind = "limit"
asset_class = "pump"
metric = "flow"
below = 78.0
hold = "60s"
gate = "running"
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from edgemesh.detect.derived_settings import Derived
from edgemesh.detect.rule_settings import (
    DeviationRule,
    Glob,
    LimitRule,
    Name,
    RangeRule,
    RateRule,
    Rule,
    SilentRule,
    StuckRule,
)
from edgemesh.detect.templates import TemplateUse, expand
from edgemesh.model.alerts import Severity
from edgemesh.model.settings import Seconds, Settings

__all__ = [
    "DetectSettings",
    "DeviationRule",
    "ForestSettings",
    "LimitRule",
    "RangeRule",
    "RateRule",
    "Rule",
    "SilentRule",
    "StuckRule",
]

Fraction = Annotated[float, Meta(gt=0.0, le=1.0)]


class ForestSettings(Settings, frozen=True, kw_only=True):
    """One model per asset, learnt from its first `train_rows` rows: an isolation forest blended with a chart.

    `metrics` and `exclude` are patterns; slow thermal sensors belong into `exclude`. `smooth`: weight of the newest row
    (EWMA). `sigma`: limit of the chart, in spreads of the smoothed value. `contamination`: share of the warm-up that
    the forest may call strange, `margin`: how far beyond that its limit lies. `forest_weight`: part of the forest in
    the blend, 0..1. `follow_rows`: time constant of the baseline while calm. A blend above 1 for `hold_rows` raises,
    below `clear_ratio` for `clear_rows` clears. `widen`: factors of the scaled copies that the forest learns as
    background. `gate`: only rows with this metric non-zero for `gate_for` are learnt and scored.
    """

    asset_class: Glob = "*"
    metrics: tuple[Glob, ...] = ("*",)
    exclude: tuple[Glob, ...] = ()
    gate: Name = ""
    gate_for: Seconds = Seconds(30.0)
    train_rows: Annotated[int, Meta(ge=50, le=20_000)] = 400
    trees: Annotated[int, Meta(ge=1, le=1000)] = 100
    subsample: Annotated[int, Meta(ge=8, le=4096)] = 256
    contamination: Annotated[float, Meta(gt=0.0, lt=0.5)] = 0.01
    margin: Annotated[float, Meta(gt=0.0, le=100.0)] = 1.6
    sigma: Annotated[float, Meta(gt=0.0, le=100.0)] = 4.0
    forest_weight: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.25
    smooth: Fraction = 0.2
    follow_rows: Annotated[float, Meta(ge=1.0)] = 200.0
    hold_rows: Annotated[int, Meta(ge=1, le=10_000)] = 3
    clear_rows: Annotated[int, Meta(ge=1, le=10_000)] = 15
    clear_ratio: Fraction = 0.75
    widen: tuple[Annotated[float, Meta(gt=1.0, le=1000.0)], ...] = (2.0, 4.0, 8.0, 16.0)
    severity: Severity = Severity.WARNING
    seed: Annotated[int, Meta(ge=0, lt=2**32)] = 0


class DetectSettings(Settings, frozen=True, kw_only=True):
    """What detectors look for; with nothing in it they stay quiet.

    A `template` is expanded as it is read: its rules and channels stand behind the ones that were written out, and
    `template` is empty again. So a rule of the same name in the file goes before that of the template.
    """

    rule: tuple[Rule, ...] = ()
    derived: tuple[Derived, ...] = ()
    template: tuple[TemplateUse, ...] = ()
    forest: ForestSettings | None = None

    def __post_init__(self) -> None:
        for use in self.template:
            expanded = expand(use)
            msgspec.structs.force_setattr(self, "rule", self.rule + expanded.rules)
            fresh = tuple(channel for channel in expanded.derived if channel not in self.derived)
            msgspec.structs.force_setattr(self, "derived", self.derived + fresh)
        msgspec.structs.force_setattr(self, "template", ())
