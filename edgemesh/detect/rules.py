"""Limit rules: one metric against one level."""

from __future__ import annotations

from edgemesh.detect.columns import Columns, Values
from edgemesh.detect.decision import Seen, Switch
from edgemesh.detect.gates import GateTrack
from edgemesh.detect.settings import LimitRule
from edgemesh.detect.signals import Signal, amount, source_name
from edgemesh.model.alerts import AlertKind, Evidence

_NS = 10**9


def observe(rule: LimitRule, value: float) -> Seen:
    """Where the value lies.

    >>> rule = LimitRule(metric="flow", below=78.0, clear=80.0)
    >>> [observe(rule, value).name for value in (77.9, 78.0, 79.0, 80.0)]
    ['BEYOND', 'BETWEEN', 'BETWEEN', 'WITHIN']
    """
    sign = rule.sign
    if sign * value > sign * rule.level:
        return Seen.BEYOND
    return Seen.WITHIN if sign * value <= sign * rule.clear_level else Seen.BETWEEN


def scan_limit(
    rule: LimitRule, switch: Switch, columns: Columns, k: int, values: Values, track: GateTrack | None, asset: str
) -> list[Signal]:
    """Follow metric `k` through its new samples (`values`: its column, perhaps muted) and say when the rule changes.

    Source: ISA-18.2 on- and off-delay and deadband.
    """
    if switch.idle and _all_calm(rule, values):
        switch.seen, switch.last_ns = Seen.WITHIN, columns.at_ns[-1]
        return []
    hold = int(rule.hold * _NS)
    clear_hold = hold if rule.clear_hold is None else int(rule.clear_hold * _NS)
    gate_ns = int(rule.gate_for * _NS)
    signals = []
    for at, value in zip(columns.at_ns, values, strict=True):
        if value is None:
            continue
        if value != value or (track is not None and not track.is_open(at, gate_ns)):
            switch.lose_sight()
            continue
        elapsed = max(0, at - switch.last_ns)
        if columns.cap_ns:
            elapsed = min(elapsed, max(columns.cap_ns, (clear_hold if switch.firing else hold) // 2))
        change = switch.step(observe(rule, value), elapsed, hold=hold, clear_hold=clear_hold, at_ns=at)
        if change is not None:
            signals.append(_signal(rule, switch, columns, k, at, value, asset, firing=change))
    return signals


def _all_calm(rule: LimitRule, values: Values) -> bool:
    """Whether all values are there, can be believed and are not beyond the level."""
    if None in values:
        return False
    sign, level = rule.sign, rule.sign * rule.level
    return all(sign * value <= level for value in values if value is not None)


def _signal(
    rule: LimitRule, switch: Switch, columns: Columns, k: int, at: int, value: float, asset: str, *, firing: bool
) -> Signal:
    metric, unit, device = columns.metrics[k], columns.units[k], columns.device
    source = source_name(rule.label, metric, device)
    if not firing:
        return Signal(at, AlertKind.MACHINE, source, firing=False)
    text = rule.cause or "{metric} {value}, normal " + rule.normal.replace("{", "{{")
    shown = {"value": amount(value, unit) if not rule.cause else amount(value, "1"), "unit": unit, "metric": metric}
    evidence = Evidence(
        rule=rule.label,
        metric=metric,
        device=device,
        value=value,
        unit=unit,
        normal=rule.normal,
        score=_score(rule, value),
    )
    return Signal(
        at,
        AlertKind.MACHINE,
        source,
        firing=True,
        onset_at_ns=switch.onset_at_ns,
        severity=rule.severity,
        evidence=(evidence,),
        cause=text.format(**shown, level=f"{rule.level:g}", asset=asset),
    )


def _score(rule: LimitRule, value: float) -> float:
    """1.0 at the level, and 1 more for each distance between level and clear level beyond it."""
    width = abs(rule.level - rule.clear_level) or max(abs(rule.level), 1.0)
    return min(1e6, 1.0 + rule.sign * (value - rule.level) / width)
