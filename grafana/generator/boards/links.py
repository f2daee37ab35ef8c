"""Broker and links: does the broker carry everything, and whose link breaks?"""

from __future__ import annotations

from grafana.generator import panels, rows
from grafana.generator.board import board
from grafana.generator.boards.agents import STEP, agent_variables
from grafana.generator.boards.agents import WHERE as _WHERE
from grafana.generator.influxql import growth, rate, select, series, total
from grafana.generator.panels import BAD, GOOD, WARN, Json, query

DESCRIPTION = "Does the broker carry everything, and whose link breaks or refuses?"
_OUT = series(rate("link_published"), "mqtt_link", *_WHERE, by="agent")
_IN = series(rate("link_received"), "mqtt_link", *_WHERE, by="agent")


def make() -> Json:
    """The dashboard."""
    return board(
        "links",
        "edgemesh: broker and links",
        DESCRIPTION,
        [
            (4, [(6, _breaks()), (6, _refused()), (6, _sum("Published per second", _OUT)), (6, _gaps())]),
            (8, [(12, _rate("Published", _OUT)), (12, _rate("Received", _IN))]),
            (8, [(12, _broken()), (12, _refusals())]),
            (8, [(24, _each())]),
        ],
        agent_variables(),
    )


def _grown(counter: str, measurement: str) -> str:
    return total('sum("non_negative_difference")', series(growth(counter), measurement, *_WHERE, by="agent"))


def _breaks() -> Json:
    return panels.stat(
        "Links lost",
        "How often agents lost their link to the broker in the chosen time.",
        "none",
        query(_grown("link_disconnects", "mqtt_link")),
        calc="sum",
        thresholds=((0, GOOD), (1, WARN), (10, BAD)),
        empty="no agent was heard",
    ) | {"interval": STEP}


def _refused() -> Json:
    return panels.stat(
        "Publishes refused",
        "Publishes for which there was no link or no room; they are sent again, nothing is lost by that.",
        "short",
        query(_grown("link_refused", "mqtt_link")),
        calc="sum",
        thresholds=((0, GOOD), (1000, WARN)),
        empty="no agent was heard",
    ) | {"interval": STEP}


def _sum(title: str, text: str) -> Json:
    return panels.stat(
        title,
        "Messages of all chosen agents together.",
        "none",
        query(total('sum("non_negative_derivative")', text)),
        graph=True,
        empty="no agent was heard",
    ) | {"interval": STEP}


def _gaps() -> Json:
    return panels.stat(
        "Gaps asked for",
        "How often an agent missed rows and asked for them again: messages that the broker dropped or forgot.",
        "none",
        query(_grown("gaps", "pipeline")),
        calc="sum",
        thresholds=((0, GOOD), (10, WARN)),
        empty="no agent was heard",
    ) | {"interval": STEP}


def _rate(title: str, text: str) -> Json:
    return panels.lines(
        f"{title} by agent",
        f"Messages that each agent {title.lower()}, per second. One message holds a pack of many readings.",
        "none",
        [query(text, alias="$tag_agent")],
        step=STEP,
        empty="no agent was heard",
    )


def _broken() -> Json:
    return panels.lines(
        "Links lost by agent",
        "One agent alone: its network. All at once: the broker.",
        "none",
        [query(series(growth("link_disconnects"), "mqtt_link", *_WHERE, by="agent"), alias="$tag_agent")],
        bars=True,
        stacked=True,
        step=STEP,
        empty="no agent was heard",
    )


def _refusals() -> Json:
    return panels.lines(
        "Publishes refused by agent",
        "For want of a link, or of room while the broker is slow.",
        "short",
        [query(series(growth("link_refused"), "mqtt_link", *_WHERE, by="agent"), alias="$tag_agent")],
        bars=True,
        stacked=True,
        step=STEP,
        empty="no agent was heard",
    )


def _each() -> Json:
    shown = {
        "link_published": "Published",
        "link_received": "Received",
        "link_refused": "Refused",
        "link_disconnects": "Links lost",
    }
    what = ", ".join(f'last("{field}") AS "{name}"' for field, name in shown.items())
    return panels.table(
        "Since the start of each agent",
        "The counters as they stand.",
        query(select(what, "mqtt_link", *_WHERE, by="agent"), table=True),
        sort="Links lost",
        transformations=[rows.columns({"agent": "Agent"}, hidden=("Time",))],
        empty="no agent was heard",
    )
