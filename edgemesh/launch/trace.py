"""`edgemesh trace`: find what is meant, gather the spans of its traces, and say them in lines for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from edgemesh.console.views import plain
from edgemesh.console.waterfall import coarse, in_order, took_text, waterfall
from edgemesh.errors import InputError, StoreError
from edgemesh.launch.lines import count_text, instant_text
from edgemesh.launch.why import LATEST
from edgemesh.model.alerts import Alert
from edgemesh.model.orders import WorkOrder
from edgemesh.model.spans import Span
from edgemesh.store.history import History
from edgemesh.tracing.context import parse_traceparent
from edgemesh.tracing.ids import trace_continued, trace_of_alert

_ID_SIGNS = 8
_SHOWN = 5
_STYLES: dict[str, dict[str, object]] = {
    "bar": {"fg": "cyan"},
    "error": {"fg": "red"},
    "axis": {"dim": True},
    "time": {"dim": True},
}


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """What was recorded of one thing. `about` is alert, order or trace, and `id` is its; `traces` are the ids of the
    traces it is told in, the first one first; `spans` are in the order in which they began, none before its
    parent.
    """

    about: str
    id: str
    title: str
    traces: tuple[str, ...]
    spans: tuple[Span, ...]


def trace(name: str, file: Path) -> Trace:
    """The trace of the alert, order or trace whose id begins like this, or of the `last` alert.

    InputError for an id that is none or of several, and where nothing was recorded.
    """
    try:
        with History(file) as history:
            return _trace(history, name.strip().lower().replace("-", ""))
    except StoreError as error:
        if error.retryable:
            raise
        raise InputError(f"is no history of edgemesh: {error}", source=str(file)) from error


def _trace(history: History, prefix: str) -> Trace:
    found = _candidates(history, prefix)
    if len(found) > 1:
        named = ", ".join(f"{kind} {id_[: len(prefix) + 4]}" for kind, id_, _, _ in found[:_SHOWN])
        raise InputError("several ids begin like this", source=prefix, wish=f"give more of it: {named}")
    if not found:
        latest = ", ".join(f"{alert.id[:_ID_SIGNS]} {alert.asset}" for alert in history.alerts(limit=3))
        wish = f"the latest alerts: {latest}" if latest else "the history holds no alert yet"
        raise InputError("no alert, order or trace begins like this", source=prefix or "''", wish=wish)
    about, id_, title, traces = found[0]
    spans = [span for trace_id in traces for span in history.spans(trace_id)]
    if not spans:
        wish = "is [traces] on, and is it within `keep`? `edgemesh why` tells what the records say"
        raise InputError(f"nothing was recorded of the trace of this {about}", source=id_, wish=wish)
    spans = in_order(spans)
    told = tuple(dict.fromkeys([traces[0], *(span.trace_id for span in spans)]))
    return Trace(about=about, id=id_, title=title, traces=told, spans=tuple(spans))


Candidate = tuple[str, str, str, list[str]]


def _candidates(history: History, prefix: str) -> list[Candidate]:
    if prefix == LATEST:
        return [_of_alert(history, alert) for alert in history.alerts(limit=1)]
    if not prefix or not set(prefix) <= set("0123456789abcdef"):
        return []
    found = [_of_alert(history, alert) for alert in history.find_alerts(prefix, limit=_SHOWN + 1)]
    found += [_of_order(order) for order in history.find_orders(prefix, limit=_SHOWN + 1)]
    if not found:
        ids = dict.fromkeys(span.trace_id for span in history.spans(prefix))
        found = [("trace", id_, f"trace {id_}", [id_]) for id_ in ids]
    return found


def _of_alert(history: History, alert: Alert) -> Candidate:
    later = [trace_continued(order.id) for order in history.orders_on(alert.asset) if order.alert == alert.id]
    return "alert", alert.id, f"{alert.asset}: {plain(alert.cause)}", [trace_of_alert(alert), *later]


def _of_order(order: WorkOrder) -> Candidate:
    context = parse_traceparent(order.trace)
    first = [context.trace_id] if context else []
    return "order", order.id, f"{order.asset}: {plain(order.title)}", [*first, trace_continued(order.id)]


def lines_of(told: Trace, *, width: int = 80, fine: bool = True) -> list[str]:
    """The trace as lines, with marks of colour that `click.echo` leaves out where there is no terminal."""
    spans = told.spans
    first_ns, last_ns = min(span.start_ns for span in spans), max(span.end_ns for span in spans)
    many = count_text(len(spans), "span")
    lines = [
        click.style(told.title, bold=True),
        *([f"{told.about} {told.id}"] if told.about != "trace" else []),
        *([f"trace {', '.join(told.traces)}"] if told.title != f"trace {told.traces[0]}" else []),
        f"{many} in {took_text(last_ns - first_ns)}, since {instant_text(first_ns)}; {_who(spans)}",
        "",
    ]
    drawn = waterfall(spans, width=width, fine=fine)
    lines += ["".join(_styled(text, kind) for text, kind in row) for row in drawn]
    return lines if fine else [coarse(line) for line in lines]


def _who(spans: Sequence[Span]) -> str:
    return " → ".join(dict.fromkeys(plain(span.agent) for span in spans))


def _styled(text: str, kind: str) -> str:
    return click.style(text, **_STYLES[kind]) if kind in _STYLES else text  # type: ignore[arg-type]
