"""Triage: from the evidences of an alert to cause, skills and priority."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemesh.dispatch.causes import name_cause
from edgemesh.dispatch.evidence import direction, normal_range, strongest_first
from edgemesh.dispatch.settings import DispatchSettings, TriageRule
from edgemesh.dispatch.triage import priority_of, triage
from edgemesh.model.agents import Asset
from edgemesh.model.alerts import AlertKind, Evidence, Severity
from edgemesh.model.orders import Priority
from edgemesh.model.settings import decode_amount
from tests.unit.dispatch.plant import alert, evidence

PUMP = Asset(id="P-101", asset_class="pump", criticality="A")


def low(metric: str, score: float = 1.5) -> Evidence:
    return evidence(metric, value=0.0, normal="> 1", score=score)


def high(metric: str, score: float = 1.5) -> Evidence:
    return evidence(metric, value=9.0, normal="< 1", score=score)


def named(shown: Iterable[Evidence]) -> str:
    return name_cause(AlertKind.MACHINE, strongest_first(tuple(shown)), "pump").cause.name


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("< 5.1", (float("-inf"), 5.1)),
        ("> 0.05", (0.05, float("inf"))),
        ("> -0.3", (-0.3, float("inf"))),
        ("≤ 80 Cel (120 s)", (float("-inf"), 80.0)),
        ("87..93 m3/h", (87.0, 93.0)),
        ("-1..-0.5", (-1.0, -0.5)),
        ("3.2 to 3.4 bar", (3.2, 3.4)),
        ("3-4", (3.0, 4.0)),
        ("3.25 ± 0.05", (3.2, 3.3)),
        ("3.25 +/- 0.05", (3.2, 3.3)),
        ("1e-05 .. 2e+3", (1e-5, 2000.0)),
        ("about 22.8 A", (22.8, 22.8)),
        ("m3/h", None),
        ("", None),
    ],
)
def test_what_is_normal_is_read_from_its_text(text: str, span: tuple[float, float] | None) -> None:
    """Limits, ranges and spreads are understood; digits of a unit are no numbers."""
    assert normal_range(text) == (pytest.approx(span) if span else None)


@given(st.text(max_size=300), st.none() | st.floats())
def test_any_text_has_some_direction(text: str, value: float | None) -> None:
    """Whatever a detector writes, the direction is up, down or unknown."""
    assert direction(evidence("flow", value=value, normal=text)) in (-1, 0, 1)


def test_no_value_has_no_direction() -> None:
    """Without a value, or inside what is normal, nobody can tell."""
    assert direction(evidence("flow", value=None, normal="< 1")) == 0
    assert direction(evidence("flow", value=2.5, normal="2..3")) == 0
    assert direction(evidence("flow", value=2.5, normal="soon")) == 0


@pytest.mark.parametrize(
    ("remedy", "shown"),
    [
        ("inlet", [low("suction_pressure")]),
        ("inlet", [low("flow"), low("discharge_pressure"), low("suction_pressure"), low("motor_current")]),
        ("inlet", [high("vibration_acceleration", 9.0), low("flow"), low("suction_pressure")]),
        ("outlet", [low("flow"), high("discharge_pressure"), low("motor_current")]),
        ("leak", [low("flow"), high("motor_current")]),
        ("leak", [low("head_residual"), high("current_residual")]),
        ("impeller", [low("head_residual"), low("flow"), low("discharge_pressure")]),
        ("cavitation", [high("vibration_acceleration"), low("flow"), high("vibration_velocity")]),
        ("starved", [low("flow"), low("discharge_pressure")]),
        ("mechanical", [high("vibration_velocity")]),
        ("mechanical", [high("vibration_velocity"), high("vibration_acceleration")]),
        ("bearing", [high("vibration_velocity"), high("bearing_temperature")]),
        ("lubrication", [high("vibration_acceleration"), high("bearing_temperature")]),
        ("meter", [low("flow"), high("head_residual")]),
    ],
)
def test_the_sign_table_names_the_cause(remedy: str, shown: list[Evidence]) -> None:
    """Signs separate the hydraulic and mechanical causes, in whatever order the evidence comes."""
    for order in itertools.permutations(shown):
        assert named(order) == remedy


def test_weak_contradictions_give_way() -> None:
    """When no row explains all signs, the weakest evidence is left out first."""
    shown = (low("suction_pressure", 5.0), low("flow", 4.0), low("bearing_temperature", 0.6))
    assert triage(alert(*shown), PUMP).skills == {"operator": 0.25}


@pytest.mark.parametrize(
    ("metric", "skill"),
    [
        ("suction_pressure", "operator"),
        ("flow", "operator"),
        ("Volume_Flow_RateRMS", "operator"),
        ("level", "operator"),
        ("inflow", "operator"),
        ("vibration_velocity", "fitter"),
        ("Accelerometer1RMS", "fitter"),
        ("kurtosis", "fitter"),
        ("leak_detector", "fitter"),
        ("bearing_temperature", "lubrication"),
        ("winding_temperature", "electrician"),
        ("current_l1", "electrician"),
        ("voltage", "electrician"),
        ("power_factor", "electrician"),
        ("valve_position", "instrument"),
        ("cpu_percent", "instrument"),
        ("temperature", "operator"),
        ("something_new", "operator"),
    ],
)
def test_the_strongest_evidence_names_the_skill(metric: str, skill: str) -> None:
    """Where the signs leave it open, the strongest evidence that anybody knows decides."""
    shown = (evidence("mystery", normal="", score=0.9), evidence(metric, normal="", score=5.0))
    assert skill in triage(alert(*shown), PUMP).skills


def test_phase_loss_is_electrical() -> None:
    """One current gone and the others up contradict each other in the sign table, and agree on the electrician."""
    shown = (low("current_l1", 9.0), high("current_l2", 3.0), high("current_l3", 3.0))
    assert triage(alert(*shown), PUMP).skills == {"electrician": 0.5}


@pytest.mark.parametrize("kind", [AlertKind.SENSOR, AlertKind.SILENT])
def test_sensors_and_silence_are_for_instruments(kind: AlertKind) -> None:
    """A sensor that lies or is silent says nothing of the machine."""
    plan = triage(alert(low("suction_pressure"), kind=kind), PUMP)
    assert "instrument" in plan.skills
    assert "d1" in plan.title


def test_rules_of_the_user_come_first() -> None:
    """The first of the user's rules that matches wins, whatever the built-in table says."""
    rules = (
        TriageRule(title="no", skills={}, metric="flow", asset_class="fan"),
        TriageRule(title="no", skills={}, metric="flow", kind=AlertKind.SENSOR),
        TriageRule(title="no", skills={}, metric="flow", rule="forest*"),
        TriageRule(title="Call {asset}/{device}/{metric}", skills={"boss": 0.9}, metric="FL*", asset_class="P*"),
        TriageRule(title="late", skills={}),
    )
    plan = triage(alert(low("suction_pressure"), low("flow"), cause="flow is low"), PUMP, rules)
    assert (plan.title, plan.skills, plan.cause) == ("Call P-101/d1/flow", {"boss": 0.9}, "flow is low")


def test_priority_is_severity_times_criticality() -> None:
    """Critical on A is P1; each step down in severity or criticality is one step, never below P4."""
    table = {
        (severity, grade): priority_of(severity, grade)
        for severity in (Severity.CRITICAL, Severity.WARNING)
        for grade in "ABC"
    }
    assert list(table.values()) == ["P1", "P2", "P3", "P2", "P3", "P4"]
    assert priority_of(Severity.INFO, "C") is Priority.P4
    assert priority_of(Severity.CRITICAL, "A", Priority.P3) is Priority.P3


def test_an_alert_without_evidence_has_a_plan() -> None:
    """Bad input from a detector still becomes an inspection."""
    bare = msgspec.structs.replace(alert(), evidence=())
    assert triage(bare, PUMP).skills == {"operator": 0.25}


def test_settings_from_text() -> None:
    """Durations carry their unit, rules are tables of an array, and no deadline may be zero."""
    loaded = msgspec.convert(
        {"answer_within": "2min", "when_cleared": "keep", "triage": [{"title": "x", "skills": {"fitter": 0.5}}]},
        DispatchSettings,
        dec_hook=decode_amount,
    )
    assert (loaded.answer_within, loaded.when_cleared.value) == (120.0, "keep")
    assert loaded.triage[0].priority is Priority.P1
    with pytest.raises(msgspec.ValidationError, match="answer_within"):
        msgspec.convert({"answer_within": "0s"}, DispatchSettings, dec_hook=decode_amount)
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.convert({"anser_within": "1s"}, DispatchSettings, dec_hook=decode_amount)


def test_what_a_rule_advises_reaches_the_order() -> None:
    """Consequence and action of the alert stand in the order's cause, for those who do the work."""
    advised = msgspec.structs.replace(alert(low("flow")), consequence="Output is lost.", action="Open the valve.")
    assert triage(advised, PUMP).cause.endswith(". If nobody comes: Output is lost. To do: Open the valve.")
    assert "To do" not in triage(alert(low("flow")), PUMP).cause


def test_scatter_and_unbalance_are_no_signs_of_direction() -> None:
    """An unsteady flow is not a high flow: the sign table does not count it."""
    signs = [low("flow"), low("suction_pressure"), low("discharge_pressure"), low("motor_current")]
    assert named([*signs, high("flow_scatter"), high("current_unbalance")]) == named(signs)
