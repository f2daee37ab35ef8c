"""Fans, gearboxes, compressors, valves, heat exchangers and tanks."""

from __future__ import annotations

from typing import Any

from edgemesh.detect.templates.form import PRACTICE, Of, Parameter, Row, Stage, Template, Values, of
from edgemesh.detect.templates.vibration import HIGH_FREQUENCY


def _slip(values: Values) -> tuple[dict[str, Any], ...]:
    return ({"kind": "slip", "driven": "speed", "driving": "motor_speed", "ratio": values["ratio"]},)


def _lag(_: Values) -> tuple[dict[str, Any], ...]:
    channel = {"kind": "difference", "metric": "valve_deviation", "of": "valve_position", "less": "valve_command"}
    return ({**channel, "size_only": True},)


def _travel(values: Values) -> Values:
    return {"twice": f"{2.0 * of(values, 'travel_s'):g}s"}


def _conductance(values: Values) -> tuple[dict[str, Any], ...]:
    return ({"kind": "conductance", "heat": values["heat"], "fresh": "10min"},)


_FAN = (
    Row(
        "filter pressure", "filter_dp", "above", "filter of {asset} takes {value} {unit}, limit {level}",
        "Air flow falls and the fan needs more energy.", "Change the filter: in a week at warning, today at critical.",
        "practice for F7-F9 filters", warning=Stage(250.0, "30min"), critical=Stage(350.0, "30min"), clear=200.0,
        clear_hold="10min", gate_for="60s",
    ),
    Row(
        "belt slip", "belt_slip", "above", "belt of {asset} slips by {value} {unit}, limit {level}",
        "The belt heats up and breaks; air flow is lost.", "Tension or replace the belt; tension again after a day.",
        PRACTICE, warning=Stage(5.0, "30s"), critical=Stage(10.0, "5s"), clear=3.0, clear_hold="60s", gate_for="60s",
    ),
    Row(
        "air flow low", "air_flow", "below", "air flow of {asset} {value} {unit}, its baseline allows {level}",
        "Rooms or processes get too little air.", "Check damper, filter and belt.", PRACTICE, kind="deviation",
        warning=Stage(10.0, "10min"), critical=Stage(25.0, "120s"), clear=7.0, clear_hold="10min", gate_for="60s",
        more={"measure": "percent", "learn": "1h", "follow": "7d"},
    ),
)  # fmt: skip

_GEARBOX = (
    Row(
        "oil temperature", "oil_temperature", "above", "oil of {asset} at {value} {unit}, limit {level}",
        "The oil film gets thin and the oil ages: teeth and bearings wear.",
        "Check oil level, cooler and load; take a sample of the oil.",
        PRACTICE, warning=Stage(80.0, "10min"), critical=Stage(90.0, "2min"), clear=Of("level", 1.0, -5.0),
        clear_hold="10min",
    ),
    *HIGH_FREQUENCY[:1],
)  # fmt: skip

_COMPRESSOR = (
    Row(
        "discharge temperature", "discharge_temperature", "above",
        "{asset} discharges at {value} {unit}, limit {level}",
        "Oil carbonises; the compressor trips between 110 and 120 Cel.",
        "Check oil level, cooler, thermostat and air of the room.",
        "guides of compressor makers, from secondary copies", warning=Stage(100.0, "60s"), critical=Stage(110.0, "5s"),
        clear=95.0, clear_hold="60s",
    ),
    Row(
        "separator pressure", "separator_dp", "above", "oil separator of {asset} takes {value} {unit}, limit {level}",
        "Energy is lost, oil gets into the net.", "Change the separator element at the next service; at critical now.",
        PRACTICE, warning=Stage(0.7, "60s"), critical=Stage(1.0, "60s"), clear=0.6, clear_hold="60s", gate_for="60s",
    ),
    Row(
        "load share", "loaded", "above", "{asset} runs loaded for {value} of its time",
        "Air leaks out of the net or a valve does not close: energy is lost, there is no reserve left.",
        "Look for leaks at a quiet hour; check the inlet valve.", PRACTICE, warning=Stage(0.85, "10min"),
        critical=Stage(0.97, "30min"), clear=0.8, clear_hold="10min", more={"smooth": "20min"}, gate_for="30min",
    ),
)  # fmt: skip

_VALVE = (
    Row(
        "valve deviation", "valve_deviation", "above",
        "valve of {asset} is {value} {unit} off its command, limit {level}",
        "The loop no longer controls; at worst the valve is stuck.",
        "Stroke the valve; check supply air, packing and positioner.", PRACTICE, warning=Stage(3.0, "twice"),
        critical=Stage(10.0, "twice"), clear=1.5, clear_hold="60s",
    ),
    Row(
        "valve sticks", "valve_deviation", "above", "valve of {asset} lags by {value} {unit} on average",
        "Stiction: the loop hunts, the product scatters, the packing wears.",
        "Loosen and grease the packing, calibrate the positioner, within weeks.", PRACTICE,
        warning=Stage(1.0, "10min"), clear=0.7, clear_hold="10min", more={"smooth": "5min"},
    ),
)  # fmt: skip

_EXCHANGER = (
    Row(
        "conductance loss", "conductance", "below", "{asset} transfers {value} {unit}, its baseline allows {level}",
        "Fouling: outlet temperatures drift, pumps and chillers work more.",
        "Plan a cleaning; at critical within a week.", "mean of a day, engineering practice", kind="deviation",
        warning=Stage(15.0, "1h"), critical=Stage(30.0, "1h"), clear=10.0, clear_hold="6h",
        more={"measure": "percent", "smooth": "1d", "learn": "1d", "follow": "180d"},
    ),
    Row(
        "pressure drop", "exchanger_dp", "above", "{asset} takes {value} {unit}, its baseline allows {level}",
        "Plates or tubes are narrowed.", "Plan a cleaning.", PRACTICE, kind="deviation", warning=Stage(50.0, "1h"),
        critical=Stage(100.0, "1h"), clear=30.0, clear_hold="1h",
        more={"measure": "percent", "learn": "1d", "follow": "180d", "smooth": "10min"},
    ),
)  # fmt: skip

_TANK = (
    Row(
        "level high", "level", "above", "level of {asset} {value} {unit}, limit {level}",
        "The tank overflows.", "Stop the inflow, start the pumps; check the level sensor.",
        "practice after ISA-18.2: place the level by the time to overflow", warning=Stage(Of("full", 0.85), "30s"),
        critical=Stage(Of("full", 0.95), "5s"), clear=Of("full", 0.82), clear_hold="30s",
    ),
    Row(
        "level low", "level", "below", "level of {asset} {value} {unit}, limit {level}",
        "Pumps draw air and run dry.", "Stop the pumps, open the inflow; look for a leak.",
        "practice after ISA-18.2", warning=Stage(Of("full", 0.15), "30s"), critical=Stage(Of("full", 0.05), "5s"),
        clear=Of("full", 0.18), clear_hold="30s",
    ),
)  # fmt: skip

_VESSEL = (
    Row(
        "vessel pressure", "pressure", "above", "pressure of {asset} {value} {unit}, limit {level}",
        "The relief valve opens at 100 %.", "Reduce the inflow or vent; never shut the relief valve off.",
        PRACTICE, warning=Stage(Of("max_pressure", 0.9), "10s"), critical=Stage(Of("max_pressure", 0.98), "1s"),
        clear=Of("max_pressure", 0.87), clear_hold="10s",
    ),
)  # fmt: skip

TEMPLATES = (
    Template(
        "fan-air", "fan", "Filter, belt and air flow of a fan", _FAN,
        (Parameter("ratio", "speed of the fan over speed of the motor", 1.0, least=0.01, most=100.0),), channels=_slip,
    ),
    Template("gearbox-oil", "gearbox", "Oil and gears of a gearbox", _GEARBOX),
    Template("compressor-screw", "compressor", "Screw compressor, oil-injected", _COMPRESSOR),
    Template(
        "valve-position", "valve", "Control valve with position feedback", _VALVE,
        (Parameter("travel_s", "time of a full travel, s", 20.0, least=0.1, most=3600.0),), _travel, _lag,
    ),
    Template(
        "exchanger-fouling", "exchanger", "Heat exchanger, liquid to liquid", _EXCHANGER,
        (Parameter("heat", "of the cold liquid, kWh/(m3 K)", 1.16, least=0.01, most=10.0),), channels=_conductance,
    ),
    Template(
        "tank-level", "tank", "Level of a tank", _TANK,
        (
            Parameter("full", "what the level says when it is full: 100 for %, else the height", 100.0, least=0.001),
        ),
    ),
    Template(
        "vessel-pressure", "tank", "Pressure of a closed vessel", _VESSEL,
        (Parameter("max_pressure", "maximum allowable pressure, as it is measured", least=0.001),),
    ),
)  # fmt: skip
