"""A curve in a few lines of characters, with the band of what is normal. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from edgemesh.console.why import Spot
from edgemesh.detect.base.signals import number


class Signs(NamedTuple):
    """The characters to draw with."""

    inside: str
    outside: str
    edge: str
    onset: str


FINE = Signs("•", "█", "─", "┊")
COARSE = Signs("o", "#", "-", ":")
"""For terminals that know ASCII only."""

Row = list[tuple[str, str]]
"""Pieces of a line: text, and what it is: `axis`, `normal`, `strange`, `band`, `onset` or `blank`."""


def sketch(
    curve: Sequence[Spot],
    *,
    low: float | None,
    high: float | None,
    onset_at_ns: int | None,
    width: int = 64,
    height: int = 9,
    signs: Signs = FINE,
) -> list[Row]:
    """Lines from the top down: values at the left, least and greatest of each column, the edges of the band.

    Values beyond the band are drawn with another sign, so that colour is not needed. Nothing for an empty curve.
    """
    if not curve:
        return []
    columns = _columns(curve, width)
    bottom, top = _bounds(columns, low, high)
    step = (top - bottom) / max(1, height - 1) or 1.0
    onset = -1 if onset_at_ns is None else _place(onset_at_ns, curve, width)
    edges = {round((top - edge) / step): edge for edge in (low, high) if edge is not None and bottom <= edge <= top}
    rows = []
    for line in range(height):
        value = edges.get(line, top - line * step)
        label = number(value, step) if line in (0, height - 1) or line in edges else ""
        row: Row = [(f"{label:>10} ", "axis")]
        for k, column in enumerate(columns):
            row.append(_cell(column, (top, step, line), (low, high), (line in edges, k == onset), signs))
        rows.append(_joined(row))
    return rows


def _columns(curve: Sequence[Spot], width: int) -> list[tuple[float, float] | None]:
    """Least and greatest value of each column; None where there are none."""
    columns: list[tuple[float, float] | None] = [None] * width
    for at_ns, least, _, greatest in curve:
        k = _place(at_ns, curve, width)
        before = columns[k]
        columns[k] = (least, greatest) if before is None else (min(before[0], least), max(before[1], greatest))
    return columns


def _place(at_ns: int, curve: Sequence[Spot], width: int) -> int:
    begin_ns, end_ns = curve[0][0], curve[-1][0]
    return min(width - 1, max(0, (at_ns - begin_ns) * width // max(1, end_ns - begin_ns + 1)))


def _bounds(
    columns: Sequence[tuple[float, float] | None], low: float | None, high: float | None
) -> tuple[float, float]:
    """What to show: all values, and the edges of the band that are not far away."""
    there = [column for column in columns if column is not None]
    bottom, top = min(least for least, _ in there), max(greatest for _, greatest in there)
    span = top - bottom or abs(top) or 1.0
    near = [edge for edge in (low, high) if edge is not None and bottom - span <= edge <= top + span]
    bottom, top = min([bottom, *near]), max([top, *near])
    return (bottom, top) if top > bottom else (bottom - 0.5 * span, top + 0.5 * span)


def _cell(
    column: tuple[float, float] | None,
    place: tuple[float, float, int],
    band: tuple[float | None, float | None],
    marks: tuple[bool, bool],
    signs: Signs,
) -> tuple[str, str]:
    top, step, line = place
    low, high = band
    is_edge, is_onset = marks
    if column is not None and round((top - column[1]) / step) <= line <= round((top - column[0]) / step):
        value = min(column[1], max(column[0], top - line * step))
        strange = (high is not None and value > high) or (low is not None and value < low)
        return (signs.outside, "strange") if strange else (signs.inside, "normal")
    if is_onset:
        return signs.onset, "onset"
    return (signs.edge, "band") if is_edge else (" ", "blank")


def _joined(row: Row) -> Row:
    """Neighbours of one kind as one piece, without blanks at the end."""
    joined: Row = []
    for text, kind in row:
        if joined and joined[-1][1] == kind:
            joined[-1] = (joined[-1][0] + text, kind)
        else:
            joined.append((text, kind))
    return joined[:-1] if joined and joined[-1][1] == "blank" else joined
