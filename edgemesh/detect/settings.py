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

import msgspec

from edgemesh.detect.feedback.thresholds import FeedbackSettings
from edgemesh.detect.models.settings import ModelSettings
from edgemesh.detect.rollout.stages import RolloutSettings
from edgemesh.detect.rules.derived_settings import Derived
from edgemesh.detect.rules.settings import DeviationRule, LimitRule, RangeRule, RateRule, Rule, SilentRule, StuckRule
from edgemesh.detect.templates import TemplateUse, expand
from edgemesh.model.settings import Settings

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
