"""The `[detection]` section of the configuration: rules in any mix, templates of rules, and models that learn what is
normal.

[[detection.rule]]
kind = "limit"
asset_class = "pump"
metric = "flow"
below = 78.0
hold = "60s"
gate = "running"

[[detection.model]]
asset_class = "pump"
exclude = ["running"]
gate = "running"
machine = { train_rows = 1800 }
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from edgemesh.detect.derived_settings import Derived
from edgemesh.detect.feedback import FeedbackSettings
from edgemesh.detect.model_settings import ScoreSettings
from edgemesh.detect.rollout import RolloutSettings
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
from edgemesh.model.ids import Id
from edgemesh.model.settings import Seconds, Settings

__all__ = [
    "DetectSettings",
    "DeviationRule",
    "LimitRule",
    "ModelSettings",
    "RangeRule",
    "RateRule",
    "Rule",
    "SilentRule",
    "StuckRule",
]


class ModelSettings(ScoreSettings, frozen=True, kw_only=True):
    """A model per asset, learnt from its own first rows; of several the first that fits the asset counts.

    `scope`: what an asset that has not learnt yet begins with: its own warm-up (`asset`), or the newest model of its
    class that another asset has in use (`class`; its own warm-up where there is none). `places`: patterns of device
    names, and what they are to the asset, where several have the same metric (`roles.py`).
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


class DetectSettings(Settings, frozen=True, kw_only=True):
    """What detectors look for; with nothing in it they stay quiet.

    A `template` is expanded as it is read: its rules and channels stand behind the ones that were written out, and
    `template` is empty again. So a rule of the same name in the file goes before that of the template.
    """

    rule: tuple[Rule, ...] = ()
    derived: tuple[Derived, ...] = ()
    template: tuple[TemplateUse, ...] = ()
    model: tuple[ModelSettings, ...] = ()
    rollout: RolloutSettings = RolloutSettings()
    feedback: FeedbackSettings = FeedbackSettings()

    def __post_init__(self) -> None:
        for use in self.template:
            expanded = expand(use)
            msgspec.structs.force_setattr(self, "rule", self.rule + expanded.rules)
            fresh = tuple(channel for channel in expanded.derived if channel not in self.derived)
            msgspec.structs.force_setattr(self, "derived", self.derived + fresh)
        msgspec.structs.force_setattr(self, "template", ())
