"""Agents: does the mesh live, who owns what, and does everybody keep up?"""

from __future__ import annotations

from grafana.generator import panels, rows
from grafana.generator.board import board, chosen, site
from grafana.generator.influxql import matches, rate, select, series
from grafana.generator.panels import BAD, GOOD, WARN, Json, query

DESCRIPTION = "Does the mesh live, who has the work, does everybody keep up, and how long will their disks last?"
WHERE = tuple(matches(name) for name in ("site", "role", "agent"))
STEP = "10s"
"""Cards are written every `health`, 10 s by default."""


def make() -> Json:
    """The dashboard."""
    return board(
        "agents",
        "edgemesh: agents",
        DESCRIPTION,
        [
            (4, [(6, _down()), (6, _waiting()), (6, _lost()), (6, _full())]),
            (9, [(24, _up())]),
            (7, [(12, _trouble()), (12, _notice())]),
            (8, [(12, _taken()), (12, _lag())]),
            (8, [(8, _outbox()), (8, _written()), (8, _rest())]),
            (8, [(24, _health())]),
            (9, [(24, _logs())]),
        ],
        agent_variables(),
    )


def agent_variables() -> list[Json]:
    """Site, role and agent of cards."""
    return [
        site("agent_health"),
        chosen("role", "Role", "What agents do", "agent_health", "site"),
        chosen("agent", "Agent", "Agents of the mesh, and executors", "agent_health", "site", "role"),
    ]


def _down() -> Json:
    inner = select('1 - last("up") AS "down"', "agent_health", *WHERE, by="agent")
    return panels.stat(
        "Down",
        "Agents and executors whose heartbeat does not rise.",
        "none",
        query(f'SELECT sum("down") FROM ({inner})'),
        thresholds=((0, GOOD), (1, BAD)),
        empty="no agent was heard",
    )


def _waiting() -> Json:
    inner = select('last("waiting") AS "waiting"', "agent_health", *WHERE, by="agent")
    return panels.stat(
        "Waiting",
        "Items that reached an agent and that no step has finished yet, all together. Some hundreds are no lag.",
        "short",
        query(f'SELECT sum("waiting") FROM ({inner})'),
        thresholds=((0, GOOD), (1000, WARN), (10_000, BAD)),
        empty="no agent was heard",
    )


def _lost() -> Json:
    inner = select('last("lost") AS "lost"', "agent_health", *WHERE, by="agent")
    return panels.stat(
        "Rows lost",
        "Rows of agents' logs that are gone for good though not every reader had them, ever.",
        "short",
        query(f'SELECT sum("lost") FROM ({inner})'),
        thresholds=((0, GOOD), (1, BAD)),
        empty="no agent was heard",
    )


def _full() -> Json:
    inner = select('last("full_in_s") AS "full"', "agent_health", *WHERE, by="agent")
    return panels.stat(
        "First log full in",
        "When the first of the logs is full if it goes on like that; then its oldest readings give way.",
        "s",
        query(f'SELECT min("full") FROM ({inner})'),
        thresholds=((0, BAD), (3600, WARN), (86_400, GOOD)),
        empty="none fills",
    )


def _up() -> Json:
    return panels.timeline(
        "Heartbeats",
        "Green: the heartbeat rises. Red: it did not at some moment of the interval.",
        query(series('min("up")', "agent_health", *WHERE, by="agent"), alias="$tag_agent"),
        mappings=panels.up_down(),
        step=STEP,
        empty="no agent was heard",
    )


def _trouble() -> Json:
    return _said("trouble", "What agents said that they can't do, the last of each.", "nobody is in trouble")


def _notice() -> Json:
    what = "What agents said that goes badly but harms nothing so far, the last of each. It wakes nobody; see to it."
    return _said("notice", what, "nobody noticed anything")


def _said(field: str, description: str, empty: str) -> Json:
    """The last text that each agent said in a field of its card."""
    title = field.capitalize()
    text = select(f'last("{field}") AS "{field}", "role"', "agent_health", *WHERE, by="agent")
    return panels.table(
        title,
        description,
        query(text, table=True),
        sort="Said",
        overrides=[panels.override("Said", unit="dateTimeFromNow", custom__width=150)],
        transformations=[rows.columns({"agent": "Agent", "role": "Role", field: title, "Time": "Said"})],
        empty=empty,
    )


def _taken() -> Json:
    text = series(rate("readings"), "pipeline", *WHERE, "\"role\" = 'detector'", by="agent")
    return panels.lines(
        "Ownership: readings taken in by detectors",
        "Which detector has the work: the owner of a gateway takes in its readings. After a takeover another one does.",
        "none",
        [query(text, alias="$tag_agent")],
        step=STEP,
        empty="no detector is among the chosen agents",
    )


def _lag() -> Json:
    return panels.lines(
        "Lag: items waiting",
        "What reached each agent and is not finished. A line that rises without end is an agent that does not keep up.",
        "short",
        [query(series('max("waiting")', "agent_health", *WHERE, by="agent"), alias="$tag_agent")],
        step=STEP,
        empty="no agent was heard",
    )


def _outbox() -> Json:
    return panels.lines(
        "Outbox",
        "Rows that each agent holds in its log: those of the last minutes, and all that some reader has not got yet.",
        "short",
        [query(series('max("outbox_rows")', "pipeline", *WHERE, by="agent"), alias="$tag_agent")],
        step=STEP,
        empty="no agent was heard",
    )


def _written() -> Json:
    return panels.lines(
        "Written to disk per day",
        "What each agent writes, as MB of a day. An SD card bears some tens of GB a day for years.",
        "decmbytes",
        [query(series('max("written_mb_per_day")', "agent_health", *WHERE, by="agent"), alias="$tag_agent")],
        thresholds=((0, GOOD), (20_000, WARN)),
        marks=True,
        step=STEP,
        empty="no agent was heard",
    )


def _rest() -> Json:
    return panels.lines(
        "Pause for the write budget",
        "How long an agent lets items gather before it commits; above 0 its `write_budget` slows it down.",
        "ms",
        [query(series('max("commit_rest_ms")', "agent_health", *WHERE, by="agent"), alias="$tag_agent")],
        step=STEP,
        empty="no agent was heard",
    )


def _health() -> Json:
    shown = {
        "up": "Up",
        "waiting": "Waiting",
        "halted": "Halted logs",
        "namesakes": "Namesakes",
        "clock_doubted": "Clock doubted",
        "clock_turns": "Clock set",
        "damaged": "Damaged rows",
        "spans_dropped": "Spans dropped",
        "readings_dropped": "Readings dropped",
        "load": "Orders",
        "max_load": "Orders at most",
    }
    what = ", ".join(f'last("{field}") AS "{name}"' for field, name in shown.items())
    return panels.table(
        "Health of each agent",
        "The last number of each. Halted logs to damaged rows, and what was dropped: 0 is right.",
        query(select(what, "agent_health", *WHERE, by="agent"), table=True),
        sort="agent",
        descending=False,
        overrides=[panels.override("Up", mappings=panels.up_down())],
        transformations=[rows.columns({"agent": "Agent"}, hidden=("Time",))],
        empty="no agent was heard",
    )


def _logs() -> Json:
    text = select(
        '"severity_text", "agent", "body", "trace_id"',
        "logs",
        matches("site"),
        matches("agent"),
        tail="ORDER BY time DESC LIMIT 200",
    )
    names = {
        "Time": "When",
        "severity_text": "Severity",
        "agent": "Agent",
        "body": "What",
        "trace_id": "Trace",
    }
    return panels.table(
        "Log",
        "The newest warnings and errors of agents. A click on a trace opens it.",
        query(text, table=True),
        sort="When",
        overrides=[
            panels.override("Trace", links=[panels.link("This trace", "traces", "site", trace="Trace")]),
            panels.override("What", custom__minWidth=400),
        ],
        transformations=[rows.columns(names)],
        empty="nothing was said",
    )
