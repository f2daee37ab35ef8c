"""Stuck values: a channel that used to change and no longer does."""

from __future__ import annotations

import math

import msgspec

from edgemesh.detect.base.columns import NOT_BELIEVED, Columns, Values
from edgemesh.detect.base.signals import Signal, amount, source_name
from edgemesh.detect.rules.gates import GateTrack
from edgemesh.detect.rules.settings import StuckRule
from edgemesh.model.alerts import AlertKind, Evidence

_NS = 10**9
_FORGET = 0.02
_NOISY = 0.2
_SURE = 20.0  # -ln of the chance that a run is luck: 2e-9


class StuckState(msgspec.Struct, omit_defaults=True):
    """How one channel moves. `rate`: share of samples that differ from the one before, as it was at the last change."""

    value: float | None = None
    run: int = 0
    rate: float = 0.0
    since_ns: int = 0
    stuck: bool = False
    moved: int = 0

    def step(self, value: float, at_ns: int, rule: StuckRule) -> bool | None:
        """Take one value; return True when the channel is stuck from now on, False when it moves again.

        Stuck needs `samples` equal values on a channel that changed in a fifth of its samples or more, and a run that
        such a channel shows by luck once in 5e8 times: slow channels need longer runs.

        >>> state, rule = StuckState(), StuckRule(samples=10)
        >>> changes = [state.step(v, t, rule) for t, v in enumerate([1.0, 2.0] * 50 + [2.0] * 30)]
        >>> changes.index(True)
        109
        >>> [state.step(v, 200, rule) for v in (3.0, 4.0, 5.0)]
        [None, None, False]
        """
        if value != self.value:
            if self.value is not None:
                self.rate = self.rate * (1 - _FORGET) ** (self.run + 1) + _FORGET
            self.value, self.run, self.since_ns = value, 0, at_ns
            self.moved += self.stuck
            if self.stuck and self.moved >= rule.clear_samples:
                self.stuck, self.moved = False, 0
                return False
            return None
        self.run += 1
        self.moved = 0
        if self.stuck or self.run + 1 < rule.samples or self.rate < _NOISY:
            return None
        self.stuck = -math.log1p(-min(self.rate, 0.999)) * self.run >= _SURE
        return True if self.stuck else None


def scan_stuck(
    rule: StuckRule, state: StuckState, columns: Columns, k: int, values: Values, track: GateTrack | None
) -> tuple[list[Signal], Values]:
    """Follow metric `k` (`values`: its column, perhaps muted); return what changed, and NaN wherever it was stuck."""
    signals: list[Signal] = []
    muted: list[float | None] = []
    gate_ns, schedule = int(rule.gate_for * _NS), rule.schedule
    for at, value in zip(columns.at_ns, values, strict=True):
        if value is not None and value == value:
            shut = track is not None and not track.is_open(at, gate_ns)
            if shut or not (state.stuck or schedule.is_open(at)):
                state.value, state.run = None, 0
            else:
                change = state.step(value, at, rule)
                if change is not None:
                    signals.append(_signal(rule, state, columns, k, at, firing=change))
        muted.append(NOT_BELIEVED if state.stuck and value is not None else value)
    return signals, tuple(muted) if signals or state.stuck else values


def _signal(rule: StuckRule, state: StuckState, columns: Columns, k: int, at: int, *, firing: bool) -> Signal:
    metric, unit, device = columns.metrics[k], columns.units[k], columns.device
    source = source_name(rule.label, metric, device)
    if not firing:
        return Signal(at, AlertKind.SENSOR, source, firing=False)
    seconds = (at - state.since_ns) / _NS
    evidence = Evidence(
        rule=rule.label,
        metric=metric,
        device=device,
        value=state.value,
        unit=unit,
        normal=f"changes in {100 * state.rate:.0f} % of samples",
        score=(state.run + 1) / rule.samples,
    )
    return Signal(
        at,
        AlertKind.SENSOR,
        source,
        firing=True,
        onset_at_ns=state.since_ns,
        severity=rule.severity,
        evidence=(evidence,),
        cause=f"{metric} of {device} stuck at {amount(state.value or 0.0, unit)} for {seconds:.0f} s",
        consequence=rule.consequence,
        action=rule.action,
    )
