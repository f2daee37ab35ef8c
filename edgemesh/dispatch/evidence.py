"""What an evidence tells beyond its number: which way the metric went."""

from __future__ import annotations

import re

from edgemesh.model.alerts import Evidence

# A digit inside a unit such as `m3/h` is no number of its own.
_NUMBER = r"((?:(?<!\d)-)?(?<![A-Za-z_\d])\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)"
_SPREAD = re.compile(rf"{_NUMBER}\s*(?:±|\+/-)\s*{_NUMBER}")
_RANGE = re.compile(rf"{_NUMBER}\s*(?:\.\.\.?|…|–|-|to)\s*{_NUMBER}")
_MOST = re.compile(rf"(?:<|≤|below|under|at most|up to)\s*=?\s*{_NUMBER}")
_LEAST = re.compile(rf"(?:>|≥|above|over|at least)\s*=?\s*{_NUMBER}")
_POINT = re.compile(_NUMBER)


def normal_range(text: str) -> tuple[float, float] | None:
    """The least and greatest normal value in a text like `87..93 m3/h`, `3.3 ± 0.1`, `< 5.1`; None: no number in it."""
    text = text[:200].replace("\u2212", "-")
    if match := _SPREAD.search(text):
        centre, width = float(match[1]), abs(float(match[2]))
        return centre - width, centre + width
    if match := _RANGE.search(text):
        ends = float(match[1]), float(match[2])
        return min(ends), max(ends)
    most, least = _MOST.search(text), _LEAST.search(text)
    if most or least:
        return float(least[1]) if least else float("-inf"), float(most[1]) if most else float("inf")
    if match := _POINT.search(text):
        return float(match[1]), float(match[1])
    return None


def direction(evidence: Evidence) -> int:
    """+1 when the value is above what is normal, -1 when below, 0 when inside or when nobody can tell."""
    normal = normal_range(evidence.normal)
    if evidence.value is None or normal is None:
        return 0
    return (evidence.value > normal[1]) - (evidence.value < normal[0])


def strongest_first(evidence: tuple[Evidence, ...]) -> list[Evidence]:
    """By falling score; equal scores stay in the alert's own order."""
    return sorted(evidence, key=lambda one: -one.score)
