"""The rulebook of one asset: which of the configured rules watch which of its channels."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TypeVar

from edgemesh.detect.settings import DetectSettings, LimitRule, ModelSettings, Rule, SilentRule, StuckRule
from edgemesh.detect.signals import source_name, split_source
from edgemesh.model.agents import Asset

R = TypeVar("R", LimitRule, StuckRule)


@dataclass(frozen=True, slots=True)
class Plan:
    """The rules that watch column `k` of a layout, each with the name of its source."""

    k: int
    limits: list[tuple[str, LimitRule]]
    stuck: list[tuple[str, StuckRule]]


class Rulebook:
    """Looks rules up once per channel. Of several rules with one name the first that fits counts."""

    def __init__(self, settings: DetectSettings, asset: Asset) -> None:
        rules: list[Rule] = [
            rule
            for rule in settings.rule
            if fnmatchcase(asset.asset_class, rule.asset_class) and fnmatchcase(asset.id, rule.asset)
        ]
        self._limits = [rule for rule in rules if isinstance(rule, LimitRule)]
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
        gates = [rule.gate for rule in self._limits] + [rule.gate for rule in self._stuck]
        gates += [self.model.gate] if self.model else []
        self.gates: list[str] = list(dict.fromkeys(gate for gate in gates if gate))

    def plans(self, device: str, metrics: tuple[str, ...]) -> list[Plan]:
        """Which rules watch which of these columns; columns without rules are left out."""
        key = (device, metrics)
        if key not in self._plans:
            plans = [
                Plan(k, _pick(self._limits, device, metric), _pick(self._stuck, device, metric))
                for k, metric in enumerate(metrics)
            ]
            self._plans[key] = [plan for plan in plans if plan.limits or plan.stuck]
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
        """Whether a limit or a stuck rule of this name watches this channel."""
        _, metric, device = split_source(source)
        rules = (*_pick(self._limits, device, metric), *_pick(self._stuck, device, metric))
        return source in [name for name, _ in rules]


def _pick(rules: list[R], device: str, metric: str) -> list[tuple[str, R]]:
    """The rules that fit the channel, each with the name of the source that they make of it."""
    fitting: dict[str, R] = {}
    for rule in rules:
        if fnmatchcase(device, rule.device) and fnmatchcase(metric, rule.metric):
            fitting.setdefault(source_name(rule.label, metric, device), rule)
    return list(fitting.items())
