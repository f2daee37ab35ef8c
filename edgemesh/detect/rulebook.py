"""The rulebook of one asset: which of the configured rules watch which of its channels."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TypeVar

from edgemesh.detect.base.signals import source_name, split_source
from edgemesh.detect.models.settings import ModelSettings
from edgemesh.detect.rules.derived_settings import Derived
from edgemesh.detect.rules.settings import ChannelRule, RangeRule, Rule, SilentRule, StuckRule
from edgemesh.detect.settings import DetectSettings
from edgemesh.model.agents import Asset

R = TypeVar("R", ChannelRule, RangeRule, StuckRule)


@dataclass(frozen=True, slots=True)
class Plan:
    """The rules that watch column `k` of a layout, each with the name of its source.

    `ranges` and `stuck` are about the sensor, `levels` about what it says.
    """

    k: int
    levels: list[tuple[str, ChannelRule]]
    ranges: list[tuple[str, RangeRule]]
    stuck: list[tuple[str, StuckRule]]


class Rulebook:
    """Looks rules up once per channel. Of several rules with one name the first that fits counts."""

    def __init__(self, settings: DetectSettings, asset: Asset) -> None:
        rules: list[Rule] = [
            rule
            for rule in settings.rule
            if fnmatchcase(asset.asset_class, rule.asset_class) and fnmatchcase(asset.id, rule.asset)
        ]
        self._ranges = [rule for rule in rules if isinstance(rule, RangeRule)]
        self._levels: list[ChannelRule] = [
            rule for rule in rules if isinstance(rule, ChannelRule) and not isinstance(rule, RangeRule)
        ]
        self._stuck = [rule for rule in rules if isinstance(rule, StuckRule)]
        self._silent = [rule for rule in rules if isinstance(rule, SilentRule)]
        self._plans: dict[tuple[str, tuple[str, ...]], list[Plan]] = {}
        self._silent_of: dict[str, list[SilentRule]] = {}
        self.model: ModelSettings | None = next(
            (
                model
                for model in settings.model
                if fnmatchcase(asset.asset_class, model.asset_class) and fnmatchcase(asset.id, model.asset)
            ),
            None,
        )
        self.derived: list[Derived] = [
            channel
            for channel in settings.derived
            if fnmatchcase(asset.asset_class, channel.asset_class) and fnmatchcase(asset.id, channel.asset)
        ]
        gates = [rule.gate for rule in rules if not isinstance(rule, SilentRule)]
        gates += [self.model.gate] if self.model else []
        self.gates: list[str] = list(dict.fromkeys(gate for gate in gates if gate))

    def plans(self, device: str, metrics: tuple[str, ...]) -> list[Plan]:
        """Which rules watch which of these columns; columns without rules are left out."""
        key = (device, metrics)
        if key not in self._plans:
            plans = [
                Plan(
                    k,
                    _pick(self._levels, device, metric),
                    _pick(self._ranges, device, metric),
                    _pick(self._stuck, device, metric),
                )
                for k, metric in enumerate(metrics)
            ]
            self._plans[key] = [plan for plan in plans if plan.levels or plan.ranges or plan.stuck]
        return self._plans[key]

    def silent(self, device: str) -> list[SilentRule]:
        """The silence rules that watch this device."""
        if device not in self._silent_of:
            fitting: dict[str, SilentRule] = {}
            for rule in self._silent:
                if fnmatchcase(device, rule.device):
                    fitting.setdefault(rule.label, rule)
            self._silent_of[device] = list(fitting.values())
        return self._silent_of[device]

    def learns(self, metric: str) -> bool:
        """Whether the model learns from this metric."""
        model = self.model
        return (
            model is not None
            and metric != model.gate
            and any(fnmatchcase(metric, pattern) for pattern in model.metrics)
            and not any(fnmatchcase(metric, pattern) for pattern in model.exclude)
        )

    def knows(self, source: str) -> bool:
        """Whether a rule of this name watches this channel with a switch, or with a stuck state."""
        return self.switched(source) or source in self._names(self._stuck, source)

    def switched(self, source: str) -> bool:
        """Whether it is a switch that a rule of this name keeps."""
        return source in self._names(self._levels, source) or source in self._names(self._ranges, source)

    def _names(self, rules: list[R], source: str) -> list[str]:
        _, metric, device = split_source(source)
        return [name for name, _ in _pick(rules, device, metric)]


def _pick(rules: list[R], device: str, metric: str) -> list[tuple[str, R]]:
    """The rules that fit the channel, each with the name of the source that they make of it."""
    fitting: dict[str, R] = {}
    for rule in rules:
        if fnmatchcase(device, rule.device) and fnmatchcase(metric, rule.metric):
            fitting.setdefault(source_name(rule.label, metric, device), rule)
    return list(fitting.items())
