"""The rulebook of one asset: which of the configured rules watch which of its channels."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TypeVar

from edgemesh.detect.settings import DetectSettings, ForestSettings, LimitRule, Rule, SilentRule, StuckRule
from edgemesh.detect.signals import split_source
from edgemesh.model.agents import Asset

R = TypeVar("R", LimitRule, StuckRule)


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
        self._limits_of: dict[tuple[str, str], list[LimitRule]] = {}
        self._stuck_of: dict[tuple[str, str], list[StuckRule]] = {}
        self._silent_of: dict[str, list[SilentRule]] = {}
        forest = settings.forest
        fits = forest is not None and fnmatchcase(asset.asset_class, forest.asset_class)
        self.forest: ForestSettings | None = forest if fits else None
        gates = [rule.gate for rule in self._limits] + [rule.gate for rule in self._stuck]
        gates += [self.forest.gate] if self.forest else []
        self.gates: list[str] = list(dict.fromkeys(gate for gate in gates if gate))

    def limits(self, device: str, metric: str) -> list[LimitRule]:
        """The limits that watch this channel."""
        key = (device, metric)
        if key not in self._limits_of:
            self._limits_of[key] = _pick(self._limits, device, metric)
        return self._limits_of[key]

    def stuck(self, device: str, metric: str) -> list[StuckRule]:
        """The stuck rules that watch this channel; a gate's own metric may stand still."""
        key = (device, metric)
        if key not in self._stuck_of:
            self._stuck_of[key] = _pick(self._stuck, device, metric)
        return self._stuck_of[key]

    def silent(self, device: str) -> list[SilentRule]:
        """The silence rules that watch this device."""
        if device not in self._silent_of:
            fitting = {rule.label: rule for rule in reversed(self._silent) if fnmatchcase(device, rule.device)}
            self._silent_of[device] = list(reversed(fitting.values()))
        return self._silent_of[device]

    def learns(self, metric: str) -> bool:
        """Whether the forest learns this metric."""
        forest = self.forest
        return (
            forest is not None
            and metric != forest.gate
            and any(fnmatchcase(metric, pattern) for pattern in forest.metrics)
            and not any(fnmatchcase(metric, pattern) for pattern in forest.exclude)
        )

    def knows(self, source: str) -> bool:
        """Whether a limit or a stuck rule of this name watches this channel."""
        label, metric, device = split_source(source)
        labels = [rule.label for rule in self.limits(device, metric)]
        return label in labels or label in [rule.label for rule in self.stuck(device, metric)]


def _pick(rules: list[R], device: str, metric: str) -> list[R]:
    fitting = {
        rule.label: rule
        for rule in reversed(rules)
        if fnmatchcase(device, rule.device) and fnmatchcase(metric, rule.metric)
    }
    return list(reversed(fitting.values()))
