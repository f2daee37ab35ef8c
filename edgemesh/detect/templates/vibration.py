"""Vibration by zones: pumps, machines in general, fans; and what bearings say at high frequency."""

from __future__ import annotations

from typing import Any

from edgemesh.detect.templates.form import PRACTICE, Of, Parameter, Row, Stage, Template, Values, of

_WORN = "Bearings, seals and couplings wear out early; above the zone boundary damage goes fast."
_LOOK = "Look at the spectrum for imbalance, misalignment, looseness or bearing; plan the repair within a week."
_STOP = "Reduce load or stop as soon as the process allows; inspect bearings, coupling and foundation today."

_ISO_7 = {
    ("I", False): (4.0, 6.6),
    ("I", True): (5.0, 7.6),
    ("II", False): (5.1, 8.5),
    ("II", True): (6.1, 9.5),
}
"""Boundaries B/C and C/D (mm/s) by category and above 200 kW, ISO 10816-7:2009."""
_ISO_3 = {
    ("1", "rigid"): (4.5, 7.1),
    ("1", "flexible"): (7.1, 11.0),
    ("2", "rigid"): (2.8, 4.5),
    ("2", "flexible"): (4.5, 7.1),
}
_ISO_1 = {"I": (1.8, 4.5), "II": (2.8, 7.1), "III": (4.5, 11.2), "IV": (7.1, 18.0)}
_FANS = {
    ("BV-3", "rigid"): (7.1, 9.0),
    ("BV-3", "flexible"): (11.8, 12.5),
    ("BV-2", "rigid"): (9.0, 11.25),
    ("BV-2", "flexible"): (14.0, 17.5),
}
"""Alarm and shutdown; BV-2 names no shutdown: 1.25 x alarm in its place."""


def zones(source: str) -> tuple[Row, ...]:
    """Two rows against the zones `bc` and `cd`, and two against the machine's own baseline."""
    common = {"learn": "1h", "follow": "7d"}
    return (
        Row(
            "vibration zone", "vibration_velocity", "above",
            "{metric} of {asset} {value} {unit}, zone boundary {level}", _WORN, _LOOK, source,
            warning=Stage(Of("bc"), "60s"), critical=Stage(Of("cd"), "10s"),
            clear=Of("level", 0.9), clear_hold="300s", gate_for="60s",
        ),
        Row(
            "vibration change", "vibration_velocity", "above",
            "{metric} of {asset} {value} {unit}, its baseline allows {level}",
            "A lasting change of a quarter of the B/C boundary is a beginning fault, also inside zone B.",
            "Compare the spectrum with the last one; balance, align or tighten at the next stop.",
            f"{source}; rule of 25 % of B/C ({PRACTICE})", kind="deviation",
            warning=Stage(Of("bc", 0.25), "600s"), clear=Of("bc", 0.15), clear_hold="30min", gate_for="60s",
            more=common,
        ),
        Row(
            "vibration multiple", "vibration_velocity", "above",
            "{metric} of {asset} {value} {unit}, 2.5 times its baseline", _WORN, _STOP, PRACTICE, kind="deviation",
            critical=Stage(150.0, "300s"), clear=120.0, clear_hold="30min", gate_for="60s",
            more={"measure": "percent", "and_beyond": Of("bc"), **common},
        ),
        Row(
            "vibration unsteady", "vibration_scatter", "above", "vibration of {asset} scatters by {value} {unit}",
            "Something is loose: a foot, a bearing seat, a bolt; it works itself out further.",
            "Torque the bolts of feet and bearing; look for cracks in the foundation.", PRACTICE, kind="deviation",
            warning=Stage(300.0, "300s"), clear=150.0, clear_hold="30min", gate_for="10min",
            more={"measure": "percent", **common},
        ),
    )  # fmt: skip


HIGH_FREQUENCY = (
    Row(
        "bearing acceleration", "vibration_acceleration", "above",
        "{metric} of {asset} {value} {unit}, its baseline allows {level}",
        "A bearing begins to fail or runs dry (or the pump cavitates): months to days are left.",
        "Listen and measure the envelope; regrease; order the bearing and plan its replacement.",
        PRACTICE, kind="deviation", warning=Stage(200.0, "300s"), critical=Stage(700.0, "300s"), clear=150.0,
        clear_hold="15min", gate_for="60s", more={"measure": "percent", "learn": "1h", "follow": "7d"},
    ),
    Row(
        "bearing kurtosis", "kurtosis", "above", "{metric} of {asset} {value}: impacts",
        "Single impacts in a bearing or gear; the figure falls back before the end, when all is rough.",
        "Confirm with the envelope spectrum within days; the acceleration says how urgent it is.",
        PRACTICE, warning=Stage(4.5, "0s"), clear=4.0, clear_hold="1h", gate_for="60s", more={"votes": "3 of 5"},
    ),
)  # fmt: skip


def _iso_7(values: Values) -> Values:
    bc, cd = _ISO_7[str(values["category"]), of(values, "power_kw") > 200.0]
    return {"bc": bc, "cd": cd}


def _iso_3(values: Values) -> Values:
    bc, cd = _ISO_3[str(values["group"]), str(values["mounting"])]
    return {"bc": bc, "cd": cd}


def _iso_1(values: Values) -> Values:
    bc, cd = _ISO_1[str(values["class"])]
    return {"bc": bc, "cd": cd}


def _fan(values: Values) -> Values:
    bc, cd = _FANS[str(values["category"]), str(values["mounting"])]
    return {"bc": bc, "cd": cd}


def _scatter(_: Values) -> tuple[dict[str, Any], ...]:
    return ({"kind": "scatter", "metric": "vibration_scatter", "of": "vibration_velocity", "over": "5min"},)


_MOUNTING = Parameter("mounting", "what the machine stands on", "rigid", ("rigid", "flexible"))

TEMPLATES = (
    Template(
        "pump-iso10816-7", "pump", "Vibration velocity of a rotodynamic pump above 1 kW",
        zones("ISO 10816-7:2009, from secondary copies"),
        (
            Parameter("category", "I: critical or hazardous liquid; II: general", "II", ("I", "II")),
            Parameter("power_kw", "rated power", 15.0, least=1.0, most=100_000.0),
        ),
        _iso_7, _scatter,
    ),
    Template(
        "machine-iso10816-3", "*", "Vibration velocity of an industrial machine above 15 kW",
        zones("ISO 10816-3:2009, from secondary copies"),
        (
            Parameter("group", "1: above 300 kW or shaft height from 315 mm; 2: 15 to 300 kW", "2", ("1", "2")),
            _MOUNTING,
        ),
        _iso_3, _scatter,
    ),
    Template(
        "machine-iso10816-1", "*", "Vibration velocity of a small or other machine",
        zones("ISO 10816-1:1995, from secondary copies"),
        (
            Parameter(
                "class", "I below 15 kW, II 15-75 kW, III large rigid, IV large soft", "II", ("I", "II", "III", "IV")
            ),
        ),
        _iso_1, _scatter,
    ),
    Template(
        "fan-iso14694", "fan", "Vibration velocity of a fan below 300 kW, in situ",
        zones("ISO 14694:2003, from memory"),
        (Parameter("category", "BV-2: ventilation; BV-3: industrial", "BV-3", ("BV-2", "BV-3")), _MOUNTING),
        _fan, _scatter,
        notes="BV-2 names no shutdown level; 1.25 x the alarm level stands in its place.",
    ),
)  # fmt: skip
