"""Signals: what a rule or a model says of one channel when its mind changes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgemesh.model.alerts import AlertKind, Evidence, Severity

_SEPARATOR = "\x1f"


@dataclass(frozen=True, slots=True)
class Signal:
    """One source fires or is over. `source` names rule, metric and device; the rest describes a signal that fires."""

    at_ns: int
    kind: AlertKind
    source: str
    firing: bool
    onset_at_ns: int = 0
    severity: Severity = Severity.WARNING
    evidence: tuple[Evidence, ...] = ()
    cause: str = ""
    confidence: float = 1.0
    model: str = "rules"
    consequence: str = ""
    action: str = ""


def source_name(rule: str, metric: str, device: str) -> str:
    """The source's name; an alert's evidence holds the same three words."""
    return _SEPARATOR.join((rule, metric, device))


def split_source(source: str) -> tuple[str, str, str]:
    """Rule, metric and device of a source."""
    rule, metric, device = source.split(_SEPARATOR)
    return rule, metric, device


def number(value: float, step: float | None = None) -> str:
    """The value for people: four digits, or as many decimals as tell values apart that differ by `step`.

    >>> number(51.23456), number(14801.2), number(20.0512, 0.06)
    ('51.23', '14801', '20.051')
    """
    if step is not None and 0.0 < step < math.inf:
        return f"{value:.{min(9, max(0, 1 - math.floor(math.log10(step))))}f}"
    return f"{value:.0f}" if 1000.0 <= abs(value) < 1e12 else f"{value:.4g}"


def amount(value: float, unit: str, step: float | None = None) -> str:
    """The value with its unit, for people; the unit of pure numbers is not written.

    >>> amount(51.2, "m3/h"), amount(3.1, "1")
    ('51.2 m3/h', '3.1')
    """
    return number(value, step) if unit == "1" else f"{number(value, step)} {unit}"


MODEL = "model"
MODEL_SOURCE = source_name(MODEL, "", "")
