"""Settings of rules, one struct per `kind`; each is a `[[detection.rule]]` of the configuration."""

from __future__ import annotations

import math
import string
from typing import Annotated, Literal

from msgspec import Meta

from edgemesh.detect.base.patterns import Glob, Name
from edgemesh.detect.rules.votes import parse_votes
from edgemesh.model.alerts import Severity
from edgemesh.model.schedules import Schedule, parse_schedule
from edgemesh.model.settings import Seconds, Settings

Advice = Annotated[str, Meta(max_length=300)]
PLACEHOLDERS = frozenset({"value", "unit", "level", "asset", "metric"})
SENTINELS = (65535.0, 32767.0, -32768.0, -127.0, 127.94)
"""What drivers and sensors say when there is no sensor: Modbus registers of ones, DS18B20 unplugged and unpowered."""
_NE43_UNSURE, _NE43_FAILED = (0.2 / 16, 0.5 / 16), (0.4 / 16, 1.0 / 16)
"""How far below and above its range, in spans, 4-20 mA may go: 3.8..20.5 mA is valid, < 3.6 and > 21 mA a failure."""


class Selector(Settings, frozen=True, kw_only=True):
    """Whom a rule watches: shell patterns (`*`, `?`, `[ab]`), all of which must fit.

    Of several rules with one name the first that fits a channel counts, so a special case goes before the general one.
    `when`: days and hours during which it raises, like `"Mon-Fri 06:00-22:00 Europe/Berlin"`; what it has raised may
    end at any time. `consequence` and `action`: what happens if nobody comes, and what is to be done.
    """

    name: Name = ""
    asset_class: Glob = "*"
    asset: Glob = "*"
    device: Glob = "*"
    severity: Severity = Severity.WARNING
    when: Annotated[str, Meta(max_length=200)] = ""
    consequence: Advice = ""
    action: Advice = ""

    def __post_init__(self) -> None:
        parse_schedule(self.when)

    @property
    def schedule(self) -> Schedule:
        """When the rule raises."""
        return parse_schedule(self.when)


class ChannelRule(Selector, frozen=True, kw_only=True):
    """What rules about one metric have in common.

    `hold`: how long beyond before it fires; the time leaks back while the value is good. `clear_hold`: how long back
    before it ends (default: as `hold`). `votes`: `"3 of 5"`, so many of the last samples have to agree. `smooth`: the
    time constant of an average that is looked at in the place of single values, once it has seen so much. `gate`: a
    metric of the same asset that must have been non-zero for `gate_for`; until then nothing counts and nothing clears.
    `cause`: the line for people, with `{value} {unit} {level} {asset} {metric}`.
    """

    metric: Glob
    hold: Seconds = Seconds(0.0)
    clear_hold: Seconds | None = None
    votes: Annotated[str, Meta(max_length=16)] = ""
    smooth: Seconds = Seconds(0.0)
    gate: Name = ""
    gate_for: Seconds = Seconds(30.0)
    cause: Annotated[str, Meta(max_length=200)] = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        parse_votes(self.votes)
        check_template(self.cause)

    @property
    def label(self) -> str:
        """The rule's name; a kind makes one of what it says where there is none."""
        return self.name


class LevelRule(ChannelRule, frozen=True, kw_only=True):
    """A rule with one level, either `above` or `below`, and a `clear` level inside that ends it."""

    above: float | None = None
    below: float | None = None
    clear: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        kind = type(self).__struct_config__.tag
        if (self.above is None) == (self.below is None):
            raise ValueError(f"a {kind} needs either `above` or `below`")
        if not (math.isfinite(self.level) and math.isfinite(self.clear_level)):
            raise ValueError("a level must be a finite number")
        if self.sign * self.clear_level > self.sign * self.level:
            raise ValueError(f"`clear` = {self.clear} lies beyond the level {self.level}")

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
        """The level that ends it (default: a tenth of the level back inside)."""
        return self.clear if self.clear is not None else self.level - self.sign * 0.1 * abs(self.level)

    @property
    def label(self) -> str:
        """The rule's name, or one made of what it says."""
        return self.name or f"{self.metric} {'>' if self.sign > 0 else '<'} {self.level:g} {self.severity.value}"

    @property
    def normal(self) -> str:
        """What is normal, for people."""
        return f"{'<' if self.sign > 0 else '>'} {self.level:g}"


class LimitRule(LevelRule, frozen=True, kw_only=True, tag_field="kind", tag="limit"):
    """A metric must stay `below` or `above` a level. `clear`: a tenth of the level back inside, if not given."""


class RateRule(LevelRule, frozen=True, kw_only=True, tag_field="kind", tag="rate"):
    """A metric must not rise faster than `above`, or fall faster than `below` (negative), per `per`.

    The rate is the slope of a line through the samples of the last `over`. It is unknown until three quarters of that
    time were seen, and starts over when the gate closes.
    """

    per: Seconds = Seconds(60.0)
    over: Seconds = Seconds(300.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.per <= 0.0 or self.over <= 0.0:
            raise ValueError("`per` and `over` of a rate must be longer than nothing")

    @property
    def label(self) -> str:
        """The rule's name, or one made of what it says."""
        way = "rises >" if self.sign > 0 else "falls <"
        return self.name or f"{self.metric} {way} {self.level:g} per {self.per:g} s {self.severity.value}"[:64]


class DeviationRule(ChannelRule, frozen=True, kw_only=True, tag_field="kind", tag="deviation"):
    """A metric must stay near its own baseline: `above` it, `below` it, or `away` from it to either side, by so much.

    `measure`: the distance is in the metric's unit (`absolute`), in `percent` of the baseline or in `spreads`, standard
    deviations of single samples. `clear` (default: 6/10 of the distance) ends it. The baseline is learnt from the first
    `learn` of counted time, then follows within `follow` (time constant) while the metric is within `clear`, and stands
    still while it is not. `and_beyond`: the value itself must be beyond this, too.
    """

    above: float | None = None
    below: float | None = None
    away: float | None = None
    clear: float | None = None
    measure: Literal["absolute", "percent", "spreads"] = "absolute"
    learn: Seconds = Seconds(3600.0)
    follow: Seconds = Seconds(7 * 86400.0)
    and_beyond: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        given = [value for value in (self.above, self.below, self.away) if value is not None]
        if len(given) != 1:
            raise ValueError("a deviation needs one of `above`, `below` and `away`")
        if not (math.isfinite(self.distance) and self.distance > 0.0):
            raise ValueError("the distance of a deviation must be a finite number above 0")
        if not 0.0 <= self.clear_distance <= self.distance:
            raise ValueError(f"`clear` = {self.clear} does not lie between 0 and the distance {self.distance}")
        if self.and_beyond is not None and (self.away is not None or not math.isfinite(self.and_beyond)):
            raise ValueError("`and_beyond` must be finite, and goes with `above` or `below`")
        if self.learn <= 0.0 or self.follow <= 0.0:
            raise ValueError("`learn` and `follow` must be longer than nothing")

    @property
    def sign(self) -> int:
        """+1 when high is strange, -1 when low is, 0 when both are."""
        return 1 if self.above is not None else -1 if self.below is not None else 0

    @property
    def distance(self) -> float:
        """How far from the baseline the level lies, in `measure`."""
        return next((value for value in (self.above, self.below, self.away) if value is not None), 0.0)

    @property
    def clear_distance(self) -> float:
        """How far from the baseline the level that ends it lies, in `measure`."""
        return 0.6 * self.distance if self.clear is None else self.clear

    @property
    def label(self) -> str:
        """The rule's name, or one made of what it says."""
        way = {1: "above", -1: "below", 0: "away from"}[self.sign]
        unit = {"absolute": "", "percent": " %", "spreads": " spreads"}[self.measure]
        return self.name or f"{self.metric} {self.distance:g}{unit} {way} baseline {self.severity.value}"[:64]


class RangeRule(ChannelRule, frozen=True, kw_only=True, tag_field="kind", tag="range"):
    """A sensor can only say what lies in its physical range, `low` to `high`; other rules compare nothing else.

    `sentinels` are values by which drivers say that there is no sensor. `ne43`: the range is that of a 4-20 mA signal,
    after NAMUR NE 43: a little beyond it (3.8..20.5 mA) is still valid, then nothing is sure, and from 3.6 or 21 mA on
    the sensor has failed.
    """

    low: float | None = None
    high: float | None = None
    sentinels: Annotated[tuple[float, ...], Meta(max_length=16)] = SENTINELS
    ne43: bool = False
    hold: Seconds = Seconds(5.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        ends = [end for end in (self.low, self.high) if end is not None]
        if not all(map(math.isfinite, (*ends, *self.sentinels))):
            raise ValueError("the ends of a range must be finite numbers")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"`low` = {self.low:g} does not lie below `high` = {self.high:g}")
        if self.ne43 and len(ends) < 2:
            raise ValueError("`ne43` needs `low` and `high`: what 4 mA and 20 mA stand for")
        if not ends and not self.sentinels:
            raise ValueError("a range needs `low`, `high` or `sentinels`")

    @property
    def valid(self) -> tuple[float, float]:
        """Least and greatest value that is believed."""
        return self._ends(_NE43_UNSURE)

    @property
    def possible(self) -> tuple[float, float]:
        """Beyond these the sensor has failed."""
        return self._ends(_NE43_FAILED)

    @property
    def label(self) -> str:
        """The rule's name, or one made of what it says."""
        return self.name or f"range {self.severity.value}"

    def _ends(self, beyond: tuple[float, float]) -> tuple[float, float]:
        low = -math.inf if self.low is None else self.low
        high = math.inf if self.high is None else self.high
        span = high - low if self.ne43 else 0.0
        return (low - beyond[0] * span, high + beyond[1] * span) if self.ne43 else (low, high)


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


Rule = LimitRule | RateRule | DeviationRule | RangeRule | SilentRule | StuckRule


def check_template(text: str) -> None:
    """Raise ValueError when the text holds other placeholders than PLACEHOLDERS, or a format of its own."""
    for _, name, spec, conversion in string.Formatter().parse(text):
        if name is not None and (name not in PLACEHOLDERS or spec or conversion):
            known = ", ".join(sorted(PLACEHOLDERS))
            raise ValueError(f"`cause` can hold {{placeholders}} of these names only: {known}; got {{{name}}}")
