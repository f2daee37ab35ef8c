"""Numbers as text for Prometheus: its text format 0.0.4, and OpenMetrics 1.0. Pure.

Source: Prometheus, "Exposition formats"; OpenMetrics 1.0.0, "Text format".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
TOTAL = "_total"

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Family:
    """One name with its samples. A counter's name ends with `_total`; `about` is for people."""

    name: str
    kind: Literal["counter", "gauge"]
    about: str
    samples: tuple[tuple[Labels, float], ...]


def content_type(accept: str) -> str:
    """The form for a client that accepts this: OpenMetrics if it is named, else the older text."""
    return OPEN_METRICS if "application/openmetrics-text" in accept.lower() else TEXT


def render(families: Iterable[Family], form: str = TEXT) -> str:
    """The families as text; those without a sample are left out. `form` is TEXT or OPEN_METRICS."""
    is_open = form == OPEN_METRICS
    lines: list[str] = []
    for each in families:
        if not each.samples:
            continue
        name = each.name.removesuffix(TOTAL) if is_open and each.kind == "counter" else each.name
        about = _escape(each.about, quotes=is_open)
        lines += [f"# HELP {name} {about}", f"# TYPE {name} {each.kind}"]
        lines += [f"{each.name}{_braces(labels)} {_number(value)}" for labels, value in each.samples]
    if is_open:
        lines.append("# EOF")
    return "\n".join(lines) + "\n"


def _braces(labels: Labels) -> str:
    inside = ",".join(f'{name}="{_escape(value, quotes=True)}"' for name, value in labels.items())
    return f"{{{inside}}}" if inside else ""


def _escape(text: str, *, quotes: bool) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quotes else text


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)
