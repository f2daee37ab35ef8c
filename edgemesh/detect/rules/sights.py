"""Sights: what each kind of rule sees in one value, and the levels that it compares it with."""

from __future__ import annotations

from typing import NamedTuple

from edgemesh.detect.base.decision import Seen
from edgemesh.detect.base.signals import number
from edgemesh.detect.rules.settings import ChannelRule, DeviationRule, LevelRule, RangeRule, RateRule
from edgemesh.detect.rules.trace import Trace


class Sight(NamedTuple):
    """One value as a rule sees it: where it lies, the value, what is normal in words, the score (1 at the level)."""

    seen: Seen
    value: float
    normal: str
    score: float
    level: float


def beyond(x: float, level: float, clear: float, sign: int) -> Seen:
    """Where `x` lies; `sign` is +1 when high is strange, -1 when low is.

    >>> [beyond(value, 78.0, 80.0, -1).name for value in (77.9, 78.0, 79.0, 80.0)]
    ['BEYOND', 'BETWEEN', 'BETWEEN', 'WITHIN']
    """
    if sign * x > sign * level:
        return Seen.BEYOND
    return Seen.WITHIN if sign * x <= sign * clear else Seen.BETWEEN


def look(rule: ChannelRule, trace: Trace, value: float, at_ns: int, elapsed_s: float) -> Sight | None:
    """See a good value with the rule's own eyes; None while it knows too little. The trace moves on."""
    if isinstance(rule, RangeRule):
        return look_at_range(rule, value)
    if rule.smooth > 0.0:
        value = trace.smooth.step(value, elapsed_s or 1e-3, rule.smooth)
        if not trace.smooth.settled:
            return None
    if isinstance(rule, DeviationRule):
        return look_at_deviation(rule, trace, value)
    assert isinstance(rule, LevelRule)
    if isinstance(rule, RateRule):
        slope = trace.slope.step(at_ns, value, rule.over)
        if slope is None:
            return None
        value = slope * rule.per
    return _sight(value, rule.level, rule.clear_level, rule.sign, rule.normal)


def look_at_range(rule: RangeRule, value: float) -> Sight:
    """Beyond what is possible, or a sentinel: the sensor has failed; between that and what is valid nothing is sure.

    >>> rule = RangeRule(metric="p", low=0.0, high=16.0, ne43=True)
    >>> [look_at_range(rule, value).seen.name for value in (-0.5, -0.3, -0.1, 16.4, 16.6, 17.1, 65535.0)]
    ['BEYOND', 'BETWEEN', 'WITHIN', 'WITHIN', 'BETWEEN', 'BEYOND', 'BEYOND']

    Source: NAMUR NE 43.
    """
    (low, high), (least, most) = rule.valid, rule.possible
    if value in rule.sentinels or value < least or value > most or (rule.ne43 and value in (least, most)):
        seen = Seen.BEYOND
    else:
        seen = Seen.WITHIN if low <= value <= high else Seen.BETWEEN
    ends = [f"> {low:g}" if low > float("-inf") else "", f"< {high:g}" if high < float("inf") else ""]
    normal = f"{low:g}..{high:g}" if all(ends) else "".join(ends) or "no sentinel"
    return Sight(seen, value, normal, 2.0, high)


def look_at_deviation(rule: DeviationRule, trace: Trace, value: float) -> Sight | None:
    """Compare with the baseline; None while that is being learnt."""
    base = trace.baseline
    if not base.knows(rule.learn):
        return None
    unit = {"absolute": 1.0, "percent": abs(base.mean) / 100.0, "spreads": base.spread}[rule.measure]
    if unit <= 0.0:
        return None  # nothing can be told in % of 0, or in spreads of what never moves
    distance, clear = unit * rule.distance, unit * rule.clear_distance
    sign = rule.sign or (1 if value >= base.mean else -1)
    level = base.mean + sign * distance
    normal = f"{'<' if sign > 0 else '>'} {number(level)}"
    if not rule.sign:
        normal = f"{number(base.mean - distance)}..{number(base.mean + distance)}"
    sight = _sight(value, level, base.mean + sign * clear, sign, normal)
    if rule.and_beyond is not None and sight.seen is Seen.BEYOND and sign * value <= sign * rule.and_beyond:
        return sight._replace(seen=Seen.BETWEEN)
    return sight


def settle(rule: ChannelRule, trace: Trace, sight: Sight | None, value: float, elapsed_s: float, firing: bool) -> None:
    """Let the baseline follow what is calm; it stands still while the rule fires, or sees more than its clear level."""
    if not isinstance(rule, DeviationRule):
        return
    if sight is None or (sight.seen is Seen.WITHIN and not firing):
        trace.baseline.follow(value, elapsed_s, learn_s=rule.learn, follow_s=rule.follow)


def _sight(value: float, level: float, clear: float, sign: int, normal: str) -> Sight:
    """The score grows by 1 for each distance between level and clear level beyond the level."""
    width = abs(level - clear) or max(abs(level), 1.0)
    score = min(1e6, max(0.0, 1.0 + sign * (value - level) / width))
    return Sight(beyond(value, level, clear, sign), value, normal, score, level)
