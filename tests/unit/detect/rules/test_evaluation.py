"""Limit rules over columns."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from edgemesh.detect.base.columns import Columns
from edgemesh.detect.base.decision import Switch
from edgemesh.detect.base.signals import Signal
from edgemesh.detect.rules.evaluation import scan_rule
from edgemesh.detect.rules.gates import Gate, GateTrack, track_gate
from edgemesh.detect.settings import LimitRule
from edgemesh.model.alerts import AlertKind
from edgemesh.model.settings import Seconds

S = 10**9
NAN = math.nan


def columns(values: list[float | None], start: int = 0, step: int = 1, metric: str = "flow", cap: int = 0) -> Columns:
    at = tuple((start + i * step) * S for i in range(len(values)))
    return Columns("d", (metric,), ("m3/h",), at, (tuple(values),), cap * S)


def scan(rule: LimitRule, part: Columns, switch: Switch, track: GateTrack | None = None) -> list[tuple[int, bool]]:
    signals: list[Signal] = scan_rule(rule, switch, None, part, 0, part.values[0], track, "P-1")
    return [(signal.at_ns // S, signal.firing) for signal in signals]


RULE = LimitRule(metric="flow", below=78.0, clear=80.0, hold=Seconds(3), clear_hold=Seconds(2))


def test_a_limit_raises_after_its_hold_and_clears_after_its_own() -> None:
    """Three seconds below raise; two seconds above the clear level, not merely above the level, clear."""
    values: list[float | None] = [90.0, 70.0, 70.0, 70.0, 70.0, 79.0, 79.0, 79.0, 90.0, 90.0, 90.0, 90.0]
    assert scan(RULE, columns(values), Switch()) == [(4, True), (10, False)]


def test_evidence_says_what_was_and_what_is_normal() -> None:
    """The alert's line and evidence hold value, unit, normal range and multiples of the threshold."""
    rule = LimitRule(metric="flow", below=78.0, clear=80.0, cause="{metric} of {asset}: {value} {unit} under {level}")
    part = columns([74.0])
    (signal,) = scan_rule(rule, Switch(), None, part, 0, part.values[0], None, "P-1")
    assert signal.cause == "flow of P-1: 74 m3/h under 78"
    evidence = signal.evidence[0]
    assert (evidence.value, evidence.unit, evidence.normal, evidence.score) == (74.0, "m3/h", "> 78", 3.0)
    assert signal.kind is AlertKind.MACHINE
    (signal,) = scan_rule(LimitRule(metric="flow", below=78.0), Switch(), None, part, 0, part.values[0], None, "P-1")
    assert signal.cause == "flow 74 m3/h, normal > 78"


def test_unknown_values_hold() -> None:
    """What is missing lets time pass; what can't be believed stops it; neither raises nor clears."""
    assert scan(RULE, columns([70.0, None, None, None, 70.0]), Switch()) == [(4, True)]
    assert scan(RULE, columns([70.0, 70.0, 70.0, NAN, NAN, NAN, 70.0, 70.0]), Switch()) == [(7, True)]
    switch = Switch()
    assert scan(RULE, columns([70.0] * 4), switch) == [(3, True)]
    assert scan(RULE, columns([None, NAN, NAN, None], start=4), switch) == []
    assert switch.firing


def test_a_hole_in_the_data_does_not_fill_the_hold() -> None:
    """Two spikes with a dropout between them are not 60 s beyond; slow devices keep their full time."""
    rule = LimitRule(metric="flow", above=100.0, hold=Seconds(60))
    assert scan(rule, columns([120.0, 120.0], step=300, cap=3), Switch()) == []
    assert scan(rule, columns([120.0, 120.0], step=300, cap=900), Switch()) == [(300, True)]


def test_a_stopped_pump_is_no_alarm() -> None:
    """Behind a gate nothing counts until the machine has run for `gate_for`, and a stop holds what was raised."""
    rule = LimitRule(metric="flow", below=78.0, gate="running", gate_for=Seconds(5))
    gate = Gate()
    running = columns([0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0], metric="running")
    track = track_gate(gate, "running", [running])
    switch = Switch()
    low: list[float | None] = [0.0] * 12
    assert scan(rule, columns(low), switch, track) == [(7, True)]
    assert gate.since_ns is None
    assert scan(rule, columns([90.0] * 9, start=12), switch, track_gate(gate, "running", [])) == []


@given(st.lists(st.sampled_from([70.0, 79.0, 90.0, None, NAN]), max_size=30), st.integers(1, 29))
def test_how_samples_are_packed_does_not_matter(values: list[float | None], cut: int) -> None:
    """One batch or two: the same decisions at the same samples."""
    whole = scan(RULE, columns(values), Switch()) if values else []
    switch = Switch()
    parts = [(0, values[:cut]), (cut, values[cut:])]
    assert whole == [move for start, part in parts if part for move in scan(RULE, columns(part, start), switch)]
