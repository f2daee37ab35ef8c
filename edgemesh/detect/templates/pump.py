"""Pumps: hydraulics against their own baseline, bearings, strainer, and residuals of the pump's equations."""

from __future__ import annotations

from typing import Any

from edgemesh.detect.templates.form import PRACTICE, Of, Parameter, Row, Stage, Template, Values
from edgemesh.detect.templates.vibration import HIGH_FREQUENCY

_RUN = "simulated reference pump, and engineering practice"
_FROM_BASELINE = {"measure": "percent", "learn": "1h", "follow": "7d"}
_LIMITS = {"normal": (80.0, 90.0), "hot": (93.0, 115.0)}


def _bearing(values: Values) -> Values:
    warm, hot = _LIMITS[str(values["service"])]
    return {"warm": warm, "hot": hot}


def _rise(_: Values) -> tuple[dict[str, Any], ...]:
    return (
        {"kind": "difference", "metric": "bearing_rise", "of": "bearing_temperature", "less": "ambient_temperature"},
    )


def _scatter(_: Values) -> tuple[dict[str, Any], ...]:
    return ({"kind": "scatter", "metric": "flow_scatter", "of": "flow", "over": "60s"},)


def _residuals(values: Values) -> tuple[dict[str, Any], ...]:
    curve = {name: values[name] for name in ("shut_off", "curve")}
    electric = {
        name: values[name] for name in ("best_flow", "magnetising", "pump_efficiency", "motor_efficiency", "volts")
    }
    return ({"kind": "head", **curve}, {"kind": "pump_current", **curve, **electric})


BEARING = (
    Row(
        "bearing temperature", "bearing_temperature", "above", "bearing of {asset} at {value} {unit}, limit {level}",
        "Grease ages fast, then the bearing seizes.",
        "Check grease, load and alignment; stop before the critical level.",
        "practice; API 610 and pump makers, from secondary copies", warning=Stage(Of("warm"), "120s"),
        critical=Stage(Of("hot"), "30s"), clear=Of("level", 1.0, -5.0), clear_hold="600s",
    ),
    Row(
        "bearing rise", "bearing_rise", "above", "bearing of {asset} {value} {unit} above the air, limit {level}",
        "Too much friction: too much or too little grease, misalignment, overload.",
        "Check grease and alignment within days; after regreasing a rise of 17 K for a day is normal.",
        "API 610 (rise 40 K), from secondary copies", warning=Stage(40.0, "600s"), critical=Stage(50.0, "120s"),
        clear=Of("level", 1.0, -4.0), clear_hold="600s",
    ),
    Row(
        "bearing heats up", "bearing_temperature", "above", "bearing of {asset} heats up by {value} {unit}",
        "Sudden friction: lubrication is gone or a cage breaks.", "Regrease at once; watch it, stop if it goes on.",
        PRACTICE, kind="rate", warning=Stage(4.0, "60s"), clear=1.5, clear_hold="10min", gate_for="2h",
        more={"per": "10min", "over": "10min"},
    ),
)  # fmt: skip

HYDRAULICS = (
    Row(
        "flow low", "flow", "below", "flow of {asset} {value} {unit}, its baseline allows {level}",
        "Output is lost; far from its best point the pump vibrates and heats up.",
        "Check valves, strainer and suction level first, then look for wear and leaks.",
        _RUN, kind="deviation", warning=Stage(10.0, "60s"), critical=Stage(25.0, "30s"), clear=7.0, clear_hold="120s",
        gate_for="30s", more=_FROM_BASELINE,
    ),
    Row(
        "minimum flow", "flow", "below", "flow of {asset} {value} {unit}, least allowed {level}",
        "The liquid in the pump heats up by kelvins per minute; seals run dry.",
        "Open the outlet or the bypass now, or stop the pump.",
        PRACTICE, warning=Stage(Of("best_flow", 0.3), "60s"), critical=Stage(Of("best_flow", 0.1), "10s"),
        clear=Of("best_flow", 0.35), clear_hold="60s", gate_for="30s",
    ),
    Row(
        "suction low", "suction_pressure", "below", "suction of {asset} {value} {unit}, its baseline allows {level}",
        "The pump begins to cavitate, which erodes its impeller.",
        "Open the inlet valve, clean the strainer, check the level.",
        _RUN, kind="deviation", warning=Stage(0.3, "60s"), critical=Stage(0.6, "30s"), clear=0.2, clear_hold="60s",
        gate_for="30s", more={"learn": "1h", "follow": "7d"},
    ),
    Row(
        "discharge off", "discharge_pressure", "away", "discharge of {asset} {value} {unit}, off its baseline",
        "High: something closes behind the pump. Low: suction, wear or a leak.",
        "High: open the outlet valve. Low: compare flow and suction pressure.",
        _RUN, kind="deviation", warning=Stage(8.0, "60s"), critical=Stage(20.0, "30s"), clear=5.5, clear_hold="60s",
        gate_for="30s", more=_FROM_BASELINE,
    ),
    Row(
        "current off", "motor_current", "away", "current of {asset} {value} {unit}, off its baseline",
        "High: overload, leak, friction or a phase. Low: the pump moves less liquid, or runs dry.",
        "Compare with the flow; check phases, valves and suction.",
        _RUN, kind="deviation", warning=Stage(9.0, "60s"), critical=Stage(25.0, "30s"), clear=6.0, clear_hold="60s",
        gate_for="30s", more=_FROM_BASELINE,
    ),
    Row(
        "flow unsteady", "flow_scatter", "above", "flow of {asset} scatters by {value} {unit}",
        "Cavitation or air in the liquid; or the meter is loose.",
        "Listen for gravel in the pump; restore suction pressure and level; check the meter.",
        _RUN, kind="deviation", warning=Stage(150.0, "60s"), clear=80.0, clear_hold="300s", gate_for="120s",
        more=_FROM_BASELINE,
    ),
)  # fmt: skip

RESIDUALS = (
    Row(
        "head residual", "head_residual", "below", "head of {asset} {value} {unit} off its curve",
        "The pump gives less head than its curve says: wear, air, or a leak before the meter.",
        "Compare current: higher means leak, the same means wear. Plan impeller and wear rings, or seal the leak.",
        _RUN, warning=Stage(-0.8, "120s"), critical=Stage(-3.0, "60s"), clear=-0.5, clear_hold="300s", gate_for="60s",
        more={"smooth": "60s"},
    ),
    Row(
        "current residual", "current_residual", "above", "current of {asset} {value} {unit} above what its flow needs",
        "Energy goes where no meter sees it: a leak before the meter, friction, or a meter that reads low.",
        "Look for water, feel the bearings, compare the meter with another one.",
        _RUN, warning=Stage(Of("magnetising", 0.025), "300s"), critical=Stage(Of("magnetising", 0.2), "60s"),
        clear=Of("level", 0.6), clear_hold="300s", gate_for="60s", more={"smooth": "120s"},
    ),
)  # fmt: skip

_STRAINER = (
    Row(
        "strainer pressure", "strainer_dp", "above", "strainer of {asset} takes {value} {unit}, limit {level}",
        "Suction pressure falls; the pump will cavitate.", "Clean the strainer (20 min) within the shift.",
        PRACTICE, warning=Stage(0.35, "10min"), critical=Stage(0.7, "5min"), clear=0.25, clear_hold="60s",
        gate_for="30s",
    ),
)  # fmt: skip

_SEAL = (
    Row(
        "seal temperature", "seal_temperature", "above",
        "seal of {asset} at {value} {unit}, its baseline allows {level}",
        "The faces of the seal run dry; it will leak soon.",
        "Check barrier fluid and flush; order a seal, plan four hours.",
        PRACTICE, kind="deviation", warning=Stage(10.0, "10min"), critical=Stage(25.0, "120s"), clear=6.0,
        clear_hold="10min", gate_for="30min", more={"learn": "1h", "follow": "7d"},
    ),
    Row(
        "seal pot level", "seal_pot_level", "below",
        "seal pot of {asset} at {value} {unit}, its baseline allows {level}",
        "Barrier fluid is lost through the seal; the pumped liquid comes next.",
        "Refill, look where it goes; replace the seal within days.",
        PRACTICE, kind="deviation", warning=Stage(8.0, "10min"), critical=Stage(25.0, "120s"), clear=4.0,
        clear_hold="60s", more={"learn": "1h", "follow": "30d"},
    ),
)  # fmt: skip

_BEST = Parameter("best_flow", "flow at the best point, m3/h", least=0.001, most=1e6)

TEMPLATES = (
    Template("pump-hydraulics", "pump", "Flow, pressures and current of a pump", HYDRAULICS, (_BEST,),
    channels=_scatter),
    Template(
        "pump-bearing", "pump", "Bearings of a pump: heat and high-frequency vibration", BEARING + HIGH_FREQUENCY,
        (Parameter("service", "hot: slurry or hot liquid", "normal", ("normal", "hot")),), _bearing, _rise,
        notes="`bearing rise` needs an `ambient_temperature`. No critical level for kurtosis: the acceleration has it.",
    ),
    Template(
        "pump-residuals", "pump", "What a pump does against what its equations say", RESIDUALS,
        (
            _BEST,
            Parameter("shut_off", "head at no flow, m", least=0.1, most=10_000.0),
            Parameter("curve", "fall of the head, m per (m3/h)²", least=1e-9, most=1e3),
            Parameter("magnetising", "reactive part of the motor current, A", least=0.001, most=10_000.0),
            Parameter("pump_efficiency", "at the best point", 0.75, least=0.05, most=1.0),
            Parameter("motor_efficiency", "at rated load", 0.92, least=0.05, most=1.0),
            Parameter("volts", "of the mains, V", 400.0, least=1.0, most=50_000.0),
        ),
        channels=_residuals,
    ),
    Template("pump-strainer", "pump", "Strainer before a pump", _STRAINER),
    Template("pump-seal", "pump", "Mechanical seal with a seal pot", _SEAL),
)  # fmt: skip
