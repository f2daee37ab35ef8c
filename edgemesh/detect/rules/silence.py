"""Silence: a device that is no longer heard, by the receiver's own clock."""

from __future__ import annotations

from collections.abc import Sequence

from edgemesh.detect.base.columns import DeviceState
from edgemesh.detect.base.signals import Signal, source_name
from edgemesh.detect.rules.settings import SilentRule
from edgemesh.model.alerts import AlertKind, Evidence

METRIC = "silence"
NEVER = 2**63 - 1
_NS = 10**9
_LEAST_NS = 10 * _NS


def patience_ns(rule: SilentRule, device: DeviceState) -> int:
    """How long the device may keep silent.

    >>> patience_ns(SilentRule(), DeviceState(arrival_ns=60 * 10**9)) / 10**9
    180.0
    """
    if rule.after is not None:
        return int(rule.after * _NS)
    return max(_LEAST_NS, int(rule.periods * max(device.period_ns, device.arrival_ns)))


def note_heard(device: DeviceState, samples: int, clock_ns: int) -> None:
    """The device was heard just now; `clock_ns` is the receiver's."""
    waited = clock_ns - device.heard_clock_ns if device.heard_clock_ns >= 0 else 0
    device.arrival_ns += (min(waited, 4 * device.arrival_ns) - device.arrival_ns) // 8 if device.arrival_ns else waited
    device.heard_clock_ns = clock_ns
    if device.silent:
        device.returned += samples


def due_ns(rules: Sequence[SilentRule], device: DeviceState) -> int:
    """When, on the receiver's clock, the next rule finds the device silent; NEVER when none will."""
    waits = [patience_ns(rule, device) for rule in rules if rule.label not in device.silent]
    return device.heard_clock_ns + min(waits) if waits else NEVER


def find_silent(
    name: str, rules: Sequence[SilentRule], device: DeviceState, clock_ns: int, now_ns: int
) -> list[Signal]:
    """Say which rules find the device silent from now on. The onset is its newest sample."""
    signals = []
    for rule in rules:
        silent_ns, patience = clock_ns - device.heard_clock_ns, patience_ns(rule, device)
        if rule.label in device.silent or silent_ns <= patience or not rule.schedule.is_open(now_ns):
            continue
        device.silent.append(rule.label)
        device.returned = 0
        evidence = Evidence(
            rule=rule.label,
            metric=METRIC,
            device=name,
            value=silent_ns / _NS,
            unit="s",
            normal=f"< {patience / _NS:.0f}",
            score=min(1e6, silent_ns / max(1, patience)),
        )
        signals.append(
            Signal(
                now_ns,
                AlertKind.SILENT,
                source_name(rule.label, METRIC, name),
                firing=True,
                onset_at_ns=min(max(0, device.newest_ns), now_ns),
                severity=rule.severity,
                evidence=(evidence,),
                cause=f"{name} silent for {silent_ns / _NS:.0f} s, normal < {patience / _NS:.0f} s",
                consequence=rule.consequence,
                action=rule.action,
            )
        )
    return signals


def find_returned(name: str, rules: Sequence[SilentRule], device: DeviceState, now_ns: int) -> list[Signal]:
    """Say which rules hear the device again."""
    back = [rule.label for rule in rules if rule.label in device.silent and device.returned >= rule.clear_samples]
    device.silent = [label for label in device.silent if label not in back]
    return [Signal(now_ns, AlertKind.SILENT, source_name(label, METRIC, name), firing=False) for label in back]
