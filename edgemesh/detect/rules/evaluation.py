"""Rules over one channel: every kind the same way from a value to a decision."""

from __future__ import annotations

from edgemesh.detect.base.columns import NOT_BELIEVED, Columns, Values
from edgemesh.detect.base.decision import Seen, Switch
from edgemesh.detect.base.signals import Signal, amount, number, source_name
from edgemesh.detect.rules.gates import GateTrack
from edgemesh.detect.rules.settings import ChannelRule, LevelRule, LimitRule, RangeRule, RateRule
from edgemesh.detect.rules.sights import Sight, look, look_at_range, settle
from edgemesh.detect.rules.trace import Trace
from edgemesh.detect.rules.votes import parse_votes, vote
from edgemesh.model.alerts import AlertKind, Evidence

_NS = 10**9


def scan_rule(
    rule: ChannelRule,
    switch: Switch,
    trace: Trace | None,
    columns: Columns,
    k: int,
    values: Values,
    track: GateTrack | None,
    asset: str,
) -> list[Signal]:
    """Follow metric `k` through its new samples (`values`: its column, perhaps muted) and say when the rule changes.

    Rules that are plain need no `trace`.

    Source: ISA-18.2 on- and off-delay and deadband.
    """
    if switch.idle and is_plain(rule) and _all_calm(rule, values):
        switch.seen, switch.last_ns = Seen.WITHIN, columns.at_ns[-1]
        return []
    trace = trace or Trace()
    hold = int(rule.hold * _NS)
    clear_hold = hold if rule.clear_hold is None else int(rule.clear_hold * _NS)
    gate_ns, schedule = int(rule.gate_for * _NS), rule.schedule
    needed, among = parse_votes(rule.votes)
    signals = []
    for at, value in zip(columns.at_ns, values, strict=True):
        if value is None:
            continue
        if track is not None and not track.is_open(at, gate_ns):
            trace.pause()
            switch.lose_sight()
            continue
        if value != value:
            trace.last_ns = -1
            switch.lose_sight()
            continue
        step_s = trace.elapsed_s(at, columns.cap_ns)
        sight = look(rule, trace, value, at, step_s)
        if sight is not None and among > 1:
            sight = sight._replace(seen=vote(trace.ballots, sight.seen, needed, among))
        settle(rule, trace, sight, value, step_s, switch.firing)
        if sight is None or not (switch.firing or schedule.is_open(at)):
            switch.lose_sight()
            continue
        elapsed = max(0, at - switch.last_ns)
        if columns.cap_ns:
            elapsed = min(elapsed, max(columns.cap_ns, (clear_hold if switch.firing else hold) // 2))
        change = switch.step(sight.seen, elapsed, hold=hold, clear_hold=clear_hold, at_ns=at)
        if change is not None:
            signals.append(_signal(rule, switch, columns, k, at, sight, asset, firing=change))
    return signals


def mute_impossible(rule: RangeRule, values: Values) -> Values:
    """The column with NaN wherever the range does not hold it for valid, so that no other rule compares that.

    >>> mute_impossible(RangeRule(metric="p", low=0.0, high=10.0), (5.0, None, 10.5, 65535.0))
    (5.0, None, nan, nan)
    """
    low, high = rule.valid
    sentinels = rule.sentinels
    if all(value is None or value != value or (low <= value <= high and value not in sentinels) for value in values):
        return values
    return tuple(
        NOT_BELIEVED
        if value is not None and value == value and look_at_range(rule, value).seen is not Seen.WITHIN
        else value
        for value in values
    )


def is_plain(rule: ChannelRule) -> bool:
    """Whether calm values leave no trace."""
    return isinstance(rule, LimitRule | RangeRule) and not rule.votes and not rule.smooth


def _all_calm(rule: ChannelRule, values: Values) -> bool:
    """Whether all values are there, can be believed and are not beyond the level."""
    if None in values:
        return False
    if isinstance(rule, RangeRule):
        return mute_impossible(rule, values) is values and not any(value != value for value in values)
    assert isinstance(rule, LevelRule)
    sign, level = rule.sign, rule.sign * rule.level
    return all(sign * value <= level for value in values if value is not None)


def _signal(
    rule: ChannelRule, switch: Switch, columns: Columns, k: int, at: int, sight: Sight, asset: str, *, firing: bool
) -> Signal:
    metric, unit, device = columns.metrics[k], columns.units[k], columns.device
    source = source_name(rule.label, metric, device)
    kind = AlertKind.SENSOR if isinstance(rule, RangeRule) else AlertKind.MACHINE
    if not firing:
        return Signal(at, kind, source, firing=False)
    if isinstance(rule, RateRule):
        unit = f"{unit}/{_span(rule.per)}"
    words = "out of range: " if kind is AlertKind.SENSOR else ""
    text = rule.cause or words + "{metric} {value}, normal " + sight.normal.replace("{", "{{")
    shown = {"value": amount(sight.value, "1" if rule.cause else unit), "unit": unit, "metric": metric}
    evidence = Evidence(
        rule=rule.label,
        metric=metric,
        device=device,
        value=sight.value,
        unit=unit[:32],
        normal=sight.normal,
        score=max(1.0, sight.score),
    )
    return Signal(
        at,
        kind,
        source,
        firing=True,
        onset_at_ns=switch.onset_at_ns,
        severity=rule.severity,
        evidence=(evidence,),
        cause=text.format(**shown, level=number(sight.level), asset=asset),
        consequence=rule.consequence,
        action=rule.action,
    )


def _span(seconds: float) -> str:
    """The name of a span of time, in UCUM where it has one.

    >>> _span(60.0), _span(3600.0), _span(90.0)
    ('min', 'h', '(90.s)')
    """
    return {1.0: "s", 60.0: "min", 3600.0: "h", 86400.0: "d"}.get(seconds, f"({seconds:g}.s)")
