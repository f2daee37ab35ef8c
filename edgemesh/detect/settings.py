"""The `[detection]` section of the configuration: rules in any mix, and models that learn what is normal.

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

import math
import string
from typing import Annotated

from msgspec import Meta

from edgemesh.detect.model_settings import ScoreSettings
from edgemesh.model.alerts import Severity
from edgemesh.model.settings import Seconds, Settings

Glob = Annotated[str, Meta(min_length=1, max_length=64)]
Name = Annotated[str, Meta(max_length=64)]
PLACEHOLDERS = frozenset({"value", "unit", "level", "asset", "metric"})


class Selector(Settings, frozen=True, kw_only=True):
    """Whom a rule watches: shell patterns (`*`, `?`, `[ab]`), all of which must fit.

    Of several rules with one name the first that fits a channel counts, so a special case goes before the general one.
    """

    name: Name = ""
    asset_class: Glob = "*"
    asset: Glob = "*"
    device: Glob = "*"
    severity: Severity = Severity.WARNING


class LimitRule(Selector, frozen=True, kw_only=True, tag_field="kind", tag="limit"):
    """A metric must stay `below` or `above` a level.

    `hold`: how long beyond before it fires; the time leaks back while the value is good. `clear`: the level that ends
    it (default: a tenth of the level back inside), after `clear_hold` (default: as `hold`). `gate`: a metric of the
    same asset that must have been non-zero for `gate_for`; until then nothing counts and nothing clears. `cause`: the
    line for people, with `{value} {unit} {level} {asset} {metric}`.
    """

    metric: Glob
    above: float | None = None
    below: float | None = None
    clear: float | None = None
    hold: Seconds = Seconds(0.0)
    clear_hold: Seconds | None = None
    gate: Name = ""
    gate_for: Seconds = Seconds(30.0)
    cause: Annotated[str, Meta(max_length=200)] = ""

    def __post_init__(self) -> None:
        if (self.above is None) == (self.below is None):
            raise ValueError("a limit needs either `above` or `below`")
        if not (math.isfinite(self.level) and math.isfinite(self.clear_level)):
            raise ValueError("a level must be a finite number")
        if self.sign * self.clear_level > self.sign * self.level:
            raise ValueError(f"`clear` = {self.clear} lies beyond the level {self.level}")
        check_template(self.cause)

    @property
    def sign(self) -> int:
        """+1 when high is strange, -1 when low is."""
        return 1 if self.above is not None else -1

    @property
    def level(self) -> float:
        """The level that must not be crossed."""
        return self.above if self.above is not None else self.below if self.below is not None else 0.0

    @property
    def clear_level(self) -> float:
        """The level that ends it."""
        return self.clear if self.clear is not None else self.level - self.sign * 0.1 * abs(self.level)

    @property
    def label(self) -> str:
        """The rule's name, or one made of what it says."""
        return self.name or f"{self.metric} {'>' if self.sign > 0 else '<'} {self.level:g} {self.severity.value}"

    @property
    def normal(self) -> str:
        """What is normal, for people."""
        return f"{'<' if self.sign > 0 else '>'} {self.level:g}"


class SilentRule(Selector, frozen=True, kw_only=True, tag_field="kind", tag="silent"):
    """A device must be heard: after `after`, or `periods` of its own observed periods and at least 10 s, it is silent.

    It is back after `clear_samples` new samples. Samples whose readings are all bad or missing do not count.
    """

    after: Seconds | None = None
    periods: Annotated[float, Meta(ge=1.0, le=1000.0)] = 3.0
    clear_samples: Annotated[int, Meta(ge=1, le=1000)] = 3

    @property
    def label(self) -> str:
        """The rule's name, or one made of what it says."""
        return self.name or f"silent {self.severity.value}"


class StuckRule(Selector, frozen=True, kw_only=True, tag_field="kind", tag="stuck"):
    """A metric that used to change must not stand still for `samples` samples; `clear_samples` changes end it."""

    metric: Glob = "*"
    samples: Annotated[int, Meta(ge=3, le=100_000)] = 60
    clear_samples: Annotated[int, Meta(ge=1, le=1000)] = 3
    gate: Name = ""
    gate_for: Seconds = Seconds(30.0)

    @property
    def label(self) -> str:
        """The rule's name, or one made of what it says."""
        return self.name or f"stuck {self.severity.value}"


class ModelSettings(ScoreSettings, frozen=True, kw_only=True):
    """A model per asset, learnt from its own first rows; of several the first that fits the asset counts.

    `metrics` and `exclude` are patterns of what it learns from. `gate`: only rows with this metric non-zero for
    `gate_for` are learnt and scored. `method` and what it does are those of the scoring engine.
    """

    asset_class: Glob = "*"
    asset: Glob = "*"
    metrics: tuple[Glob, ...] = ("*",)
    exclude: tuple[Glob, ...] = ()
    gate: Name = ""
    gate_for: Seconds = Seconds(30.0)
    severity: Severity = Severity.WARNING


Rule = LimitRule | SilentRule | StuckRule


class DetectSettings(Settings, frozen=True, kw_only=True):
    """What detectors look for; with nothing in it they stay quiet."""

    rule: tuple[Rule, ...] = ()
    model: tuple[ModelSettings, ...] = ()


def check_template(text: str) -> None:
    """Raise ValueError when the text holds other placeholders than PLACEHOLDERS, or a format of its own."""
    for _, name, spec, conversion in string.Formatter().parse(text):
        if name is not None and (name not in PLACEHOLDERS or spec or conversion):
            known = ", ".join(sorted(PLACEHOLDERS))
            raise ValueError(f"`cause` can hold {{placeholders}} of these names only: {known}; got {{{name}}}")
