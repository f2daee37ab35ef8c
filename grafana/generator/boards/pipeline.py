"""Pipeline cost: what passes through, what does that cost, and does InfluxDB have it all?"""

from __future__ import annotations

from grafana.generator import panels
from grafana.generator.board import board
from grafana.generator.boards.agents import STEP, agent_variables
from grafana.generator.boards.agents import WHERE as _WHERE
from grafana.generator.influxql import rate, select, series, total
from grafana.generator.panels import BAD, GOOD, WARN, Json, query

DESCRIPTION = "What passes through, what does that cost, and does InfluxDB have it all?"


def make() -> Json:
    """The dashboard."""
    return board(
        "pipeline",
        "edgemesh: pipeline cost",
        DESCRIPTION,
        [
            (4, [(4, each) for each in (_behind(), _failing(), _refused(), _series(), _lines(), _per_message())]),
            (8, [(12, _readings()), (12, _records())]),
            (8, [(12, _spool()), (12, _age())]),
            (8, [(8, _packs()), (8, _disk()), (8, _rejected())]),
        ],
        agent_variables(),
    )


def _last(
    title: str, description: str, unit: str, field: str, thresholds: panels.Steps, empty: str, what: str = "last"
) -> Json:
    text = select(f'{what}("{field}")', "pipeline", *_WHERE, "\"role\" = 'recorder'")
    return panels.stat(title, description, unit, query(text), thresholds=thresholds, empty=empty)


def _behind() -> Json:
    return _last(
        "InfluxDB is behind by",
        "The age of the oldest line that waits in the recorder's spool.",
        "s",
        "spool_age_s",
        ((0, GOOD), (60, WARN), (300, BAD)),
        "no recorder was heard",
    )


def _failing() -> Json:
    return _last(
        "Longest without success",
        "For how long, at most, InfluxDB took no lines. While it takes none, this panel stands still.",
        "s",
        "influx_failing_s",
        ((0, GOOD), (60, WARN), (300, BAD)),
        "no recorder was heard",
        "max",
    )


def _refused() -> Json:
    return _last(
        "Lines refused for good",
        "Lines that InfluxDB refused, ever; `edgemesh spool CONFIG` shows why.",
        "short",
        "influx_dead",
        ((0, GOOD), (1, BAD)),
        "no recorder was heard",
    )


def _series() -> Json:
    return _last(
        "Series refused",
        "Series beyond `max_series`: their readings are in reading_overflow.",
        "short",
        "series_refused",
        ((0, GOOD), (1, BAD)),
        "no recorder was heard",
    )


def _lines() -> Json:
    text = series(rate("influx_lines"), "pipeline", *_WHERE, "\"role\" = 'recorder'", by="agent")
    return panels.stat(
        "Lines per second",
        "What InfluxDB takes.",
        "none",
        query(text),
        graph=True,
        empty="no recorder was heard",
    ) | {"interval": STEP}


def _per_message() -> Json:
    text = select('sum("readings") / sum("packs")', "pipeline", *_WHERE, "\"role\" = 'detector'")
    return panels.stat(
        "Readings per pack",
        "How many readings one message held, at the detectors, since they started: more is cheaper.",
        "none",
        query(text),
        empty="no detector is among the chosen agents",
    )


def _by_agent(title: str, description: str, unit: str, what: str, empty: str) -> Json:
    text = series(what, "pipeline", *_WHERE, by="agent")
    return panels.lines(title, description, unit, [query(text, alias="$tag_agent")], step=STEP, empty=empty)


def _readings() -> Json:
    return _by_agent(
        "Readings per second",
        "What gateways accept, and what detectors and the recorder take in. Those should run side by side.",
        "none",
        rate("readings"),
        "no agent was heard",
    )


def _records() -> Json:
    return _by_agent(
        "Records per second",
        "What each agent writes to its log.",
        "none",
        rate("records"),
        "no agent was heard",
    )


def _spool() -> Json:
    text = series('max("spool_lines") AS "lines"', "pipeline", *_WHERE, "\"role\" = 'recorder'", by="agent")
    return panels.lines(
        "Spool",
        "Lines that wait for InfluxDB. It grows while the server is down, and empties afterwards.",
        "short",
        [query(text, alias="$tag_agent $col")],
        step=STEP,
        empty="no recorder was heard",
    )


def _age() -> Json:
    what = 'max("spool_mb") AS "MB", max("spool_dropped") AS "lines dropped, ever"'
    text = series(what, "pipeline", *_WHERE, "\"role\" = 'recorder'", by="agent")
    return panels.lines(
        "Spool on disk, and what gave way",
        "What the spool takes of the recorder's disk, in MB. When it is full or too old, readings are dropped first.",
        "short",
        [query(text, alias="$tag_agent $col")],
        step=STEP,
        empty="no recorder was heard",
    )


def _packs() -> Json:
    return _by_agent(
        "Packs per second",
        "Messages of the logs of others that each agent takes in.",
        "none",
        rate("packs"),
        "no agent was heard",
    )


def _disk() -> Json:
    each = series('max("written_mb_per_day") AS "written"', "agent_health", *_WHERE, by="agent")
    text = total('sum("written")', each)
    return panels.lines(
        "Written to disk per day, all agents",
        "What the chosen agents write together, as MB of a day.",
        "decmbytes",
        [query(text, alias="all")],
        step=STEP,
        empty="no agent was heard",
    )


def _rejected() -> Json:
    what = 'max("rejected") AS "refused", max("rows_lost") AS "rows lost", max("given_up") AS "unreadable"'
    text = series(what, "pipeline", *_WHERE, by="agent")
    return panels.lines(
        "Refused and lost, since the start",
        "Items that an agent refused (see `edgemesh tap --quarantine`), and rows that are gone for good.",
        "short",
        [query(text, alias="$tag_agent $col")],
        thresholds=((0, GOOD), (1, WARN)),
        step=STEP,
        empty="no agent was heard",
    )
