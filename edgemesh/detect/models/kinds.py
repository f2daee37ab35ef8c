"""Kinds of channels: what a sensor measures decides how fast its values may be believed to move."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase


class Kind(enum.StrEnum):
    """What a channel measures. Thermal ones are slow and drift: they never start an episode."""

    VIBRATION = "vibration"
    FLOW = "flow"
    ELECTRICAL = "electrical"
    PRESSURE = "pressure"
    THERMAL = "thermal"
    OTHER = "other"


WEIGHTS = {Kind.VIBRATION: 0.8, Kind.FLOW: 1.2}
"""How much a deviation of a kind counts; kinds that are not here count 1."""

LONG_MEMORY = frozenset({Kind.ELECTRICAL, Kind.PRESSURE})
"""Kinds that are also looked at through a long average: often coarse or aliased, never slow."""

_UNITS = {
    Kind.THERMAL: ("Cel", "K", "[degF]", "degC", "°C"),
    Kind.VIBRATION: ("mm/s", "[g]", "m/s2", "um"),
    Kind.FLOW: ("m3/h", "m3/s", "L/min", "L/s", "L/h", "kg/h", "kg/s"),
    Kind.PRESSURE: ("bar", "mbar", "Pa", "hPa", "kPa", "MPa", "[psi]"),
    Kind.ELECTRICAL: ("A", "mA", "V", "mV", "kV", "W", "kW", "V.A", "kV.A"),
}
_OF_UNIT = {unit: kind for kind, units in _UNITS.items() for unit in units}
_NAMES = (
    (Kind.THERMAL, re.compile(r"temp|thermo|therm")),
    (Kind.VIBRATION, re.compile(r"accel|vibr|velocity|kurtosis|crest")),
    (Kind.FLOW, re.compile(r"flow")),
    (Kind.PRESSURE, re.compile(r"press")),
    (Kind.ELECTRICAL, re.compile(r"current|volt|power|amp(ere|s)?\b")),
)


def find_kind(metric: str, unit: str = "1", declared: Mapping[str, Kind] | None = None) -> Kind:
    """The kind of a channel: as declared (patterns of names, the first that fits), else by its unit, else by its name.

    >>> find_kind("Thermocouple").value, find_kind("x", "bar").value, find_kind("Volume Flow RateRMS").value
    ('thermal', 'pressure', 'flow')
    >>> find_kind("level_7").value, find_kind("level_7", declared={"level_*": Kind.PRESSURE}).value
    ('other', 'pressure')
    """
    for pattern, kind in (declared or {}).items():
        if fnmatchcase(metric, pattern):
            return kind
    if unit in _OF_UNIT:
        return _OF_UNIT[unit]
    name = metric.lower()
    return next((kind for kind, pattern in _NAMES if pattern.search(name)), Kind.OTHER)
