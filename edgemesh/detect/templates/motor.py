"""Induction motors: overload, unbalance, lost phases, winding."""

from __future__ import annotations

from typing import Any

from edgemesh.detect.templates.form import PRACTICE, Of, Parameter, Row, Stage, Template, Values

_CLASSES = {"F": (130.0, 150.0), "B": (115.0, 130.0)}
_RATED = Parameter("rated_current", "on the name plate, A", least=0.01, most=10_000.0)


def _unbalances(_: Values) -> tuple[dict[str, Any], ...]:
    return (
        {"kind": "unbalance", "metric": "current_unbalance", "of": ["current_l1", "current_l2", "current_l3"]},
        {"kind": "unbalance", "metric": "voltage_unbalance", "of": ["voltage_l1", "voltage_l2", "voltage_l3"]},
    )


def _winding(values: Values) -> Values:
    warm, hot = _CLASSES[str(values["insulation"])]
    return {"warm": warm, "hot": hot}


def _residual(values: Values) -> tuple[dict[str, Any], ...]:
    names = {"rated": "rated_current", "rise": "rise", "ambient_cel": "ambient_cel"}
    return ({"kind": "winding", **{key: values[name] for key, name in names.items()}},)


_ELECTRICAL = (
    Row(
        "overload", "motor_current", "above", "motor of {asset} takes {value} {unit}, allowed {level}",
        "The winding overheats; 10 K more halve its life.", "Reduce load; look for friction, blockage, low voltage.",
        PRACTICE, warning=Stage(Of("rated_current", 1.05), "60s"), critical=Stage(Of("rated_current", 1.15), "30s"),
        clear=Of("rated_current"), clear_hold="120s", gate_for="30s",
    ),
    Row(
        "current unbalance", "current_unbalance", "above",
        "currents of {asset} differ by {value} {unit}, limit {level}",
        "A turn-to-turn fault, a bad contact or the mains: the winding overheats on one side.",
        "Measure the voltages and the insulation; tighten terminals; test the winding.",
        PRACTICE, warning=Stage(10.0, "60s"), critical=Stage(25.0, "3s"), clear=7.0, clear_hold="60s", gate_for="30s",
        more={"smooth": "10s"},
    ),
    Row(
        "phase lost", "current_l[123]", "below", "{metric} of {asset} {value} {unit}: a phase is open",
        "The motor runs on two phases and trips or burns within a minute.",
        "Switch off; check fuses, contactor and terminals (isolate and lock first).",
        PRACTICE, critical=Stage(Of("rated_current", 0.1), "3s"), clear=Of("rated_current", 0.2), clear_hold="10s",
        gate_for="3s",
    ),
    Row(
        "voltage unbalance", "voltage_unbalance", "above",
        "voltages of {asset} differ by {value} {unit}, limit {level}",
        "Current unbalance is 6 to 10 times that; above 5 % a motor must not run.",
        "Measure at the supply; tell the grid operator; derate the motor.",
        "NEMA MG 1 derating, from secondary copies", warning=Stage(1.0, "10min"), critical=Stage(3.0, "60s"), clear=0.8,
        clear_hold="60s", more={"smooth": "10s"},
    ),
)  # fmt: skip

_WINDING = (
    Row(
        "winding temperature", "winding_temperature", "above", "winding of {asset} at {value} {unit}, limit {level}",
        "Each 10 K more halve the life of the insulation.", "Clean fan and fins; reduce load; check the phases.",
        "IEC 60034-1 classes, from secondary copies", warning=Stage(Of("warm"), "120s"),
        critical=Stage(Of("hot"), "30s"), clear=Of("level", 1.0, -10.0), clear_hold="10min",
    ),
    Row(
        "winding residual", "winding_residual", "above",
        "winding of {asset} {value} {unit} warmer than its load explains",
        "Cooling is fouled, the air is hot, or a winding fault begins.",
        "Clean the cooling within days; if the currents differ, test the winding.",
        "thermal model of the motor, and engineering practice", warning=Stage(10.0, "10min"),
        critical=Stage(30.0, "10min"), clear=7.0, clear_hold="10min",
    ),
)  # fmt: skip

TEMPLATES = (
    Template("motor-electrical", "motor", "Currents and voltages of an induction motor", _ELECTRICAL, (_RATED,),
    channels=_unbalances),
    Template(
        "motor-winding", "motor", "Winding of an induction motor", _WINDING,
        (
            Parameter("insulation", "class of the insulation", "F", ("B", "F")),
            _RATED,
            Parameter("rise", "rise of the winding at rated current, K", 80.0, least=1.0, most=200.0),
            Parameter("ambient_cel", "air at the motor, Cel, if none is measured", 24.0, least=-40.0, most=70.0),
        ),
        _winding, _residual,
    ),
)  # fmt: skip
