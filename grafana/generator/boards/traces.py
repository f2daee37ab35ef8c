"""Traces: what was slow or failed, and where did the time go, from the sample to the answer?"""

from __future__ import annotations

from collections.abc import Sequence

from grafana.generator import panels, rows
from grafana.generator.board import board, chosen, site
from grafana.generator.influxql import matches, select, series
from grafana.generator.panels import BAD, GOOD, Json, query

DESCRIPTION = "What was slow or failed, and where did the time go, from the sample to the answer?"
COLUMNS = {
    "trace_id": "traceID",
    "span_id": "spanID",
    "parent_span_id": "parentSpanID",
    "span.name": "operationName",
    "service.name": "serviceName",
}
"""Texts of a span, and the columns in which the trace panel wants them; beside `startTime` and `duration`, in ms."""
_WHERE = (matches("site"), matches("service.name", "service"))
_THIS = "\"trace_id\" = '${trace}'"
_NO_SPANS = "no span was kept"


def make() -> Json:
    """The dashboard."""
    return board(
        "traces",
        "edgemesh: traces",
        DESCRIPTION,
        [
            (4, [(8, _count()), (8, _failures()), (8, _slow())]),
            (10, [(12, _slowest()), (12, _failed())]),
            (14, [(24, _trace())]),
            (9, [(16, _spans()), (8, _linked())]),
            (8, [(24, _durations())]),
        ],
        [
            site("spans"),
            chosen("service", "Service", "Who made the spans", "spans", "site", tag="service.name"),
            _trace_variable(),
        ],
        refresh="1m",
    )


def _trace_variable() -> Json:
    return {
        "current": {"selected": True, "text": "", "value": ""},
        "description": "The id of a trace; a click in one of the tables fills it in",
        "hide": 0,
        "label": "Trace",
        "name": "trace",
        "options": [{"selected": True, "text": "", "value": ""}],
        "query": "",
        "type": "textbox",
    }


def _count() -> Json:
    return panels.stat(
        "Spans",
        "Spans that were kept: a share of ordinary traces, and all of those with an alert, an error or an order.",
        "short",
        query(select('count("duration_nano")', "spans", *_WHERE)),
        calc="sum",
        empty=_NO_SPANS,
    )


def _failures() -> Json:
    return panels.stat(
        "Failed spans",
        "Spans that ended in an error.",
        "short",
        query(select('count("duration_nano")', "spans", *_WHERE, "\"otel.status_code\" = 'ERROR'")),
        calc="sum",
        thresholds=((0, GOOD), (1, BAD)),
        empty="none",
    )


def _slow() -> Json:
    return panels.stat(
        "99 % are faster than",
        "The time within which 99 of 100 spans ended.",
        "ns",
        query(select('percentile("duration_nano", 99)', "spans", *_WHERE)),
        empty=_NO_SPANS,
    )


def _found(title: str, description: str, text: str, empty: str) -> Json:
    names = {
        "Time": "Began",
        "duration": "Took",
        "span.name": "What",
        "service.name": "Service",
        "trace_id": "Trace",
    }
    return panels.table(
        title,
        f"{description} A click on a trace opens it below.",
        query(text, table=True),
        sort="Took",
        overrides=[
            panels.override("Took", unit="ns"),
            panels.override("Trace", links=[panels.link("This trace", "traces", "site", trace="Trace")]),
        ],
        transformations=[rows.columns(names)],
        empty=empty,
    )


def _slowest() -> Json:
    what = 'top("duration_nano", 50) AS "duration", "span.name", "service.name", "trace_id"'
    return _found("Slowest", "The 50 spans that took longest.", select(what, "spans", *_WHERE), _NO_SPANS)


def _failed() -> Json:
    what = '"duration_nano" AS "duration", "span.name", "service.name", "trace_id"'
    text = select(what, "spans", *_WHERE, "\"otel.status_code\" = 'ERROR'", tail="ORDER BY time DESC LIMIT 100")
    return _found("Failed", "The newest 100 spans that ended in an error.", text, "none")


def _trace() -> Json:
    texts = ", ".join(f'"{name}" AS "{column}"' for name, column in COLUMNS.items())
    start = '("end_time_unix_nano" - "duration_nano") / 1000000.0 AS "startTime"'
    length = '"duration_nano" / 1000000.0 AS "duration"'
    text = select(f"{texts}, {start}, {length}", "spans", _THIS)
    kept = (*COLUMNS.values(), "startTime", "duration")
    return panels.trace(
        "Trace",
        "The spans of the chosen trace: what waited for what, and where the time went.",
        query(text, table=True),
        empty="choose a trace in one of the tables above",
        transformations=[rows.columns(dict.fromkeys(kept, ""), hidden=("Time",))],
    )


def _spans() -> Json:
    text = select('"span.name", "service.name", "duration_nano", "otel.status_code", "attributes"', "spans", _THIS)
    names = {
        "Time": "Began",
        "span.name": "What",
        "service.name": "Service",
        "duration_nano": "Took",
        "otel.status_code": "Status",
        "attributes": "Attributes",
    }
    return _of_trace("Spans of this trace", "The same spans as rows, with their attributes.", text, names, ("Took",))


def _linked() -> Json:
    text = select('"linked_trace_id", "linked_span_id"', "span-links", _THIS)
    names = {"Time": "When", "linked_trace_id": "Trace", "linked_span_id": "Span"}
    return _of_trace(
        "Linked traces", "Traces that this one goes on from: work of days is a chain of traces.", text, names, ()
    )


def _of_trace(title: str, description: str, text: str, names: dict[str, str], times: Sequence[str]) -> Json:
    return panels.table(
        title,
        description,
        query(text, table=True),
        overrides=[
            *(panels.override(name, unit="ns") for name in times),
            panels.override("Trace", links=[panels.link("That trace", "traces", "site", trace="Trace")]),
        ],
        transformations=[rows.columns(names)],
        empty="choose a trace in one of the tables above",
    )


def _durations() -> Json:
    text = series('percentile("duration_nano", 95)', "spans", *_WHERE, by="span.name")
    return panels.lines(
        "How long each step takes",
        "The time within which 95 of 100 spans of each name ended.",
        "ns",
        [query(text, alias="[[tag_span.name]]")],
        empty=_NO_SPANS,
    )
