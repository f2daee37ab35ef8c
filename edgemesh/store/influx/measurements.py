"""What is written into InfluxDB: measurements, their tags, and one type per field for ever. Pure.

`docs/measurements.md` holds the same tables; tests hold both against what is really written. A field is never given
another type: a server refuses it from then on. New fields may be added.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

MARKER = "<!-- tables -->\n"
FieldType = Literal["float", "integer", "string"]

OVERFLOW = "reading_overflow"
ROLLUPS = {1: "reading_1m", 10: "reading_10m"}
"""By the minutes of a bucket."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """`tags` and `fields` by name, each with what it says; a field has its type first. `about` is one sentence."""

    about: str
    tags: dict[str, str]
    fields: dict[str, tuple[FieldType, str]]


_SITE = {"site": "the site"}
_SERIES = _SITE | {
    "gateway": "the gateway that read it",
    "asset": "what the device belongs to",
    "device": "the device",
    "metric": "the metric; its unit is that of the configuration",
}
_AGENT = _SITE | {"agent": "the agent", "role": "its role"}


def _rollup(minutes: str) -> Measurement:
    return Measurement(
        f"Good and uncertain readings of {minutes}, at its start; in the second bucket.",
        _SERIES,
        {
            "count": ("integer", "readings"),
            "mean": ("float", "their mean"),
            "min": ("float", "the least"),
            "max": ("float", "the greatest"),
            "last": ("float", "the last"),
        },
    )


def _numbers(names: dict[str, str]) -> dict[str, tuple[FieldType, str]]:
    return {name: ("float", about) for name, about in names.items()}


MEASUREMENTS: dict[str, Measurement] = {
    "reading": Measurement(
        "One reading, at its own time; the same time again replaces it.",
        _SERIES,
        {
            "value": ("float", "the value"),
            "quality": ("integer", "0 good, 1 uncertain, 2 bad; absent: good"),
            "late": ("integer", "1: it had to wait (an outage, a clock in doubt); absent: it came at once"),
        },
    ),
    OVERFLOW: Measurement(
        "Readings of series beyond `max_series`: what would be tags are fields.",
        {"site": "the site", "gateway": "the gateway that read it"},
        {
            "asset": ("string", "what the device belongs to"),
            "device": ("string", "the device"),
            "metric": ("string", "the metric"),
            "value": ("float", "the value"),
            "quality": ("integer", "as in `reading`"),
            "late": ("integer", "as in `reading`"),
        },
    ),
    "reading_1m": _rollup("a minute"),
    "reading_10m": _rollup("ten minutes"),
    "alert": Measurement(
        "One version of an alert, at the time of that version.",
        _SITE
        | {
            "gateway": "the gateway whose readings raised it",
            "asset": "what is in trouble",
            "kind": "machine, sensor, silent, gateway",
            "severity": "info, warning, critical",
            "state": "pending, firing, acknowledged, cleared",
        },
        {
            "id": ("string", "the alert's id"),
            "version": ("integer", "rises with every change"),
            "cause": ("string", "a line for people"),
            "consequence": ("string", "what happens if nobody comes"),
            "action": ("string", "what is to be done"),
            "device": ("string", "of the first evidence"),
            "metric": ("string", "of the first evidence"),
            "rule": ("string", "of the first evidence"),
            "value": ("float", "of the first evidence"),
            "score": ("float", "of the first evidence, in multiples of its threshold"),
            "confidence": ("float", "0 to 1"),
            "model": ("string", "version of the model, where one raised it"),
            "stage": ("string", "who decided: site, or gateway: provisional, by a sentry"),
            "review": ("string", "what the site made of a provisional one: confirmed, withdrawn; absent: nothing yet"),
            "raised_after_s": ("float", "from the onset until it was raised"),
            "lasted_s": ("float", "from the onset to the end, once it is cleared"),
            "past": ("integer", "1: it was over before anybody could know of it; absent: no"),
        },
    ),
    "workorder": Measurement(
        "One version of a work order, at the time of that version.",
        _SITE
        | {
            "asset": "what is to be maintained",
            "executor": "who holds it now",
            "priority": "P1 to P4",
            "skill": "the skill of which most is needed",
            "state": "open, dispatched, accepted, in_progress, on_hold, done, verified, cancelled",
        },
        {
            "id": ("string", "the order's id"),
            "version": ("integer", "rises with every move"),
            "alert": ("string", "id of the alert that opened it"),
            "title": ("string", "what is to be done"),
            "cause": ("string", "why"),
            "note": ("string", "what was said last"),
            "verdict": ("string", "what was found: real_fault, false_alarm, replaced_part; absent: nobody said"),
            "attempt": ("integer", "dispatches so far"),
            "reopened": ("integer", "how often it was reopened"),
            "escalated": ("integer", "1: nobody was left; 0: no"),
            "age_s": ("float", "since it was opened"),
            "dispatched_after_s": ("float", "from its opening to the latest dispatch"),
            "begun_after_s": ("float", "from its opening until work began"),
            "repaired_after_s": ("float", "from its opening until it was done"),
            "back_after_s": ("float", "from its opening until it was back in service"),
            "due_s": ("float", "until its deadline; negative: past it"),
        },
    ),
    "score": Measurement(
        "The greatest score of an asset in each interval (`[detector] scores`), at its start; of what is judged.",
        _SITE | {"gateway": "the gateway that read it", "asset": "what was judged"},
        {
            "score": ("float", "high is strange; 1.0: at the limit of its model, or at the level of its worst rule"),
            "method": ("string", "model; or rules: the asset has no model, and 0 is within clear levels"),
            "device": ("string", "what deviated most then; absent: nothing was strange"),
            "metric": ("string", "what deviated most then; absent: nothing was strange"),
        },
    ),
    "logs": Measurement(
        "A line of an agent's own log, warnings and worse, 60 a minute at most.",
        _SITE | {"agent": "the agent", "severity_text": "WARN, ERROR, FATAL"},
        {
            "body": ("string", "the line"),
            "severity_number": ("integer", "13, 17, 21"),
            "trace_id": ("string", "the trace that it belongs to; absent: none"),
            "span_id": ("string", "the span that it belongs to; absent: none"),
            "attributes": ("string", "JSON: `logger.name`, `exception.stacktrace`"),
            "left_out": ("integer", "lines that were more than 60 a minute, since the agent's start; absent: none"),
        },
    ),
    "agent_health": Measurement(
        "How an agent is, from its card, every `health`.",
        _AGENT,
        {
            "up": ("integer", "1: its heartbeat rises; 0: it does not"),
            "load": ("integer", "orders held (executors)"),
            "max_load": ("integer", "orders that it may hold"),
            "lost": ("integer", "of its log, gone for good though not every reader had it"),
            "trouble": ("string", "what it can't do now; absent: all is well"),
            "notice": ("string", "what goes badly but harms nothing so far; absent: nothing"),
            **_numbers(
                {
                    "waiting": "items that no step has finished",
                    "halted": "logs that it can't read",
                    "namesakes": "agents of the same name",
                    "clock_doubted": "1: its clock is not believed",
                    "clock_turns": "how often its clock was put right",
                    "damaged": "damaged rows",
                    "spans_dropped": "stages of traces that gave way, since its start",
                    "traces_ignored": "traceparents of devices that could not be read, since its start (gateway)",
                    "readings_dropped": "readings that gave way",
                    "written_mb_per_day": "written to its disk",
                    "commit_rest_ms": "pause between commits for a write budget",
                    "full_in_s": "until its log is full; absent: it does not fill",
                }
            ),
        },
    ),
    "mqtt_link": Measurement(
        "An agent's link to the broker, from its card, every `health`; counters since its start.",
        _AGENT,
        _numbers(
            {
                "link_published": "messages published",
                "link_received": "messages received",
                "link_refused": "publishes for which there was no link or room",
                "link_disconnects": "links lost",
            }
        ),
    ),
    "pipeline": Measurement(
        "What passes through an agent, from its card, every `health`; counters since its start.",
        _AGENT,
        _numbers(
            {
                "packs": "packs taken in",
                "records": "records written to its log",
                "readings": "readings accepted or taken in",
                "rejected": "items refused",
                "gaps": "gaps that were asked for",
                "outbox_rows": "rows held in its log",
                "rows_lost": "rows that are gone for good (`lost` among the numbers of the card)",
                "given_up": "those among them that came but could not be read",
                "spool_lines": "lines waiting for InfluxDB (recorder)",
                "spool_mb": "what they take up, in MB",
                "spool_age_s": "the age of the oldest of them",
                "spool_dropped": "lines that gave way, ever",
                "influx_lines": "lines that InfluxDB has taken, since the start",
                "influx_dead": "lines that InfluxDB has refused for good, ever",
                "influx_failing_s": "for how long it has not taken any",
                "series_refused": "series beyond `max_series`",
            }
        ),
    ),
    "spans": Measurement(
        "One stage of a trace, at its start; names are those of influxdb-observability, ids fields (tags, where"
        " `trace_ids_as_tags` says so).",
        _SITE | {"service.name": "the role that worked", "span.name": "the stage"},
        {
            "trace_id": ("string", "32 hexadecimal digits"),
            "span_id": ("string", "16 hexadecimal digits"),
            "parent_span_id": ("string", "of the stage before it; absent: it is the first"),
            "service.instance.id": ("string", "the agent, or the executor"),
            "span.kind": ("string", "Internal, Producer, Consumer"),
            "otel.status_code": ("string", "OK, ERROR"),
            "otel.status_description": ("string", "what went wrong; absent: nothing"),
            "duration_nano": ("integer", "what it took, in ns"),
            "end_time_unix_nano": ("integer", "its end, in ns since 1970"),
            "attributes": ("string", "the rest as a JSON object: ids of alert and order, message, state, cause"),
        },
    ),
    "span-links": Measurement(
        "A span that goes on from one of another trace, at its start.",
        _SITE,
        {
            "trace_id": ("string", "of the span"),
            "span_id": ("string", "of the span"),
            "linked_trace_id": ("string", "of the one that it goes on from"),
            "linked_span_id": ("string", "of the one that it goes on from"),
        },
    ),
}

CARD_NAMES = {"rows_lost": "lost"}
"""Fields whose name among the numbers of a card is another."""


def markdown() -> str:
    """The tables, as `docs/measurements.md` holds them."""
    blocks = []
    for name, each in MEASUREMENTS.items():
        lines = [f"### {name}", "", each.about, "", "| | type | |", "|---|---|---|"]
        lines += [f"| `{tag}` | tag | {about} |" for tag, about in each.tags.items()]
        lines += [f"| `{field}` | {kind} | {about} |" for field, (kind, about) in each.fields.items()]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def main() -> None:
    """Write the tables anew into the document that is named: everything after its marker."""
    file = Path(sys.argv[1])
    text, marker, _ = file.read_text(encoding="utf-8").partition(MARKER)
    file.write_text(text + marker + markdown(), encoding="utf-8")


if __name__ == "__main__":
    main()
