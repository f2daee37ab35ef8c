"""A trace as lines of text: each stage with who worked, a bar on an axis of time, when it began and what it took. Pure.

What leads to the dispatch takes milliseconds and what comes of it minutes, so each part has an axis of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from edgemesh.console.views import plain
from edgemesh.model.spans import Span
from edgemesh.tracing import names

BAR, POINT = "█", "▏"
COARSE_BAR, COARSE_POINT = "#", "|"
_LEAST, _NARROWEST, _WIDEST = 60, 12, 60
_FIXED = 2 + 10 + 2 + 10
"""What the two times take up."""
_MUCH = 20
_COARSE = str.maketrans({"µ": "u", "…": ".", "→": ">"})
_AFTER = frozenset({names.ANSWER, names.WORK, names.VERIFY, names.CLOSE})

Row = list[tuple[str, str]]
"""Pieces of a line: text, and what it is: `name`, `who`, `bar`, `error`, `time` or `axis`."""


class Columns(NamedTuple):
    """How wide names, agents and bars are."""

    name: int
    who: int
    bar: int


def waterfall(spans: Sequence[Span], *, width: int = 80, fine: bool = True) -> list[Row]:
    """Lines for spans in the order in which they began, none wider than `width` (84 at least); nothing for no spans."""
    columns = _columns(spans, max(_LEAST, width))
    rows: list[Row] = []
    if not spans:
        return rows
    zero_ns, before = min(span.start_ns for span in spans), ""
    for part in parts(spans):
        begin_ns, end_ns = min(span.start_ns for span in part), max(span.end_ns for span in part)
        rows.append(_axis(begin_ns - zero_ns, end_ns - zero_ns, columns))
        for span in part:
            rows.append(_line(span, columns, (begin_ns, end_ns, zero_ns), fine))
            if (said := _said(span, columns)) and said != before:
                rows.append([(f"{'':<{columns.name + 2}}{said}", "error" if span.error else "axis")])
                before = said
    return rows if fine else [[(coarse(text), kind) for text, kind in row] for row in rows]


def coarse(text: str) -> str:
    """The text for a terminal that knows ASCII only."""
    return text.translate(_COARSE).encode("ascii", "replace").decode()


def in_order(spans: Sequence[Span]) -> list[Span]:
    """Spans in the order in which they began, but none before its parent, whatever the clocks of two hosts say."""
    known = {span.span_id: span for span in spans}
    places: dict[str, tuple[int, int]] = {}
    for span in spans:
        line = [span]
        while line[-1].span_id not in places and (parent := known.get(line[-1].parent)) and len(line) < len(spans):
            line.append(parent)
        for each in reversed(line):
            after_ns, depth = places.get(each.parent, (0, 0))
            places.setdefault(each.span_id, (max(each.start_ns, after_ns), depth + 1))
    return sorted(spans, key=lambda span: places[span.span_id])


def parts(spans: Sequence[Span]) -> list[list[Span]]:
    """What leads to the first dispatch (or to the alert, where there is none), and what comes of it; no empty ones.

    A sample that waited for longer than all the rest took is a part of its own.
    """
    over = [span.end_ns for span in spans if span.name == names.DISPATCH] or [
        span.end_ns for span in spans if span.name == names.ALERT
    ]
    until_ns = over[0] if over else max((span.end_ns for span in spans), default=0)
    before = [span for span in spans if span.name not in _AFTER and span.start_ns <= until_ns]
    found = [before, [span for span in spans if span not in before]]
    if len(before) > 1 and before[0].duration_ns > _MUCH * (max(s.end_ns for s in before) - before[0].end_ns):
        found = [before[:1], before[1:], found[1]]
    return [part for part in found if part]


def took_text(span_ns: int) -> str:
    """A duration in the unit that tells it best.

    >>> [took_text(ns) for ns in (850, 12_345, 4_200_000, 1_500_000_000, 90 * 10**9, 7_200 * 10**9, 3 * 86_400 * 10**9)]
    ['1 µs', '12 µs', '4.2 ms', '1.5 s', '90.0 s', '2.0 h', '3.0 d']
    """
    for limit_ns, size_ns, digits, unit in (
        (1_000_000, 1_000, 0, "µs"),
        (1_000_000_000, 1_000_000, 1, "ms"),
        (100 * 10**9, 10**9, 1, "s"),
        (5_400 * 10**9, 60 * 10**9, 0, "min"),
        (129_600 * 10**9, 3_600 * 10**9, 1, "h"),
    ):
        if span_ns < limit_ns:
            return f"{span_ns / size_ns:.{digits}f} {unit}"
    return f"{span_ns / (86_400 * 10**9):.1f} d"


def _columns(spans: Sequence[Span], width: int) -> Columns:
    name = max((len(_label(span)) for span in spans), default=0)
    who = min(20, max((len(span.agent) for span in spans), default=0))
    bar = min(_WIDEST, max(_NARROWEST, width - name - who - _FIXED - 4))
    return Columns(name, who, bar)


def _axis(begin_ns: int, end_ns: int, columns: Columns) -> Row:
    begin, end = f"+{took_text(begin_ns)}" if begin_ns else "0", f"+{took_text(end_ns)}"
    room = max(1, columns.bar - len(begin) - len(end))
    return [(f"{'':<{columns.name + columns.who + 4}}{begin}{'':<{room}}{end}", "axis")]


def _line(span: Span, columns: Columns, times: tuple[int, int, int], fine: bool) -> Row:
    begin_ns, end_ns, zero_ns = times
    scale = columns.bar / max(1, end_ns - begin_ns)
    start = min(columns.bar - 1, int((span.start_ns - begin_ns) * scale))
    length = min(columns.bar - start, round(span.duration_ns * scale))
    bar, point = (BAR, POINT) if fine else (COARSE_BAR, COARSE_POINT)
    drawn = bar * length if length else point
    after = columns.bar - start - len(drawn)
    since, took = took_text(span.start_ns - zero_ns), took_text(span.duration_ns)
    return [
        (f"{_label(span):<{columns.name}}  ", "name"),
        (f"{plain(span.agent, columns.who):<{columns.who}}  ", "who"),
        (f"{'':<{start}}{drawn}{'':<{after}}", "error" if span.error else "bar"),
        (f"  {'+' + since:>10}  {took:>10}", "time"),
    ]


def _label(span: Span) -> str:
    """Name of a span, with what was answered."""
    said = f" {span.attributes.get(names.STATE, '')}" if span.name == names.ANSWER and not span.error else ""
    return plain(f"{span.name}{said}", 24)


def _said(span: Span, columns: Columns) -> str:
    """What is worth a line of its own: what went wrong, what an alert says, that a trace was left behind."""
    room = columns.who + columns.bar + _FIXED + 2
    if span.error:
        return plain(span.error, room)
    if span.name == names.ALERT:
        return plain(f"{span.attributes.get(names.STATE)}: {span.attributes.get(names.CAUSE)}", room)
    return plain(f"goes on from trace {span.links[0].trace_id}", room) if span.links else ""
