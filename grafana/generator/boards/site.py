"""Site overview: is anything wrong, is somebody on it, and does the mesh itself work?"""

from __future__ import annotations

from grafana.generator import panels
from grafana.generator.board import RAISED, alert_marks, board, site
from grafana.generator.boards import shared
from grafana.generator.influxql import matches, rate, select, series, total
from grafana.generator.panels import BAD, GOOD, WARN, Json, query

DESCRIPTION = "Is anything wrong, is somebody on it, and does edgemesh itself work?"
_READ = series(rate("readings"), "pipeline", matches("site"), "\"role\" = 'gateway'", by="agent")


def make() -> Json:
    """The dashboard."""
    return board(
        "site",
        "edgemesh: site overview",
        DESCRIPTION,
        [
            (4, [(4, each) for each in (_alerts(), _orders(), _unanswered(), _down(), _newest(), _readings())]),
            (
                9,
                [
                    (
                        24,
                        shared.alert_table(
                            "Standing alerts",
                            "What is wrong now, one line for each alert. A click on the asset shows its signals.",
                            "site",
                            standing=True,
                            empty="no alert stands",
                        ),
                    )
                ],
            ),
            (
                9,
                [
                    (
                        24,
                        shared.order_table(
                            "Open work orders",
                            "What is being done about it, the oldest first. Orders without a move in the chosen "
                            "time are not here: choose a longer one.",
                            "site",
                            empty="no order is open",
                        ),
                    )
                ],
            ),
            (8, [(12, _raised()), (12, _flow())]),
            (8, [(24, _agents())]),
        ],
        [site("agent_health")],
        since="now-6h",
        annotations=alert_marks(matches("site")),
    )


def _alerts() -> Json:
    return panels.stat(
        "Standing alerts",
        "Alerts that are not over, of all assets.",
        "none",
        shared.alert_versions("site"),
        calc="count",
        field="id",
        thresholds=((0, GOOD), (1, BAD)),
        empty="none",
        transformations=shared.newest_alerts(standing=True),
        links=[panels.link("Anomalies", "anomalies", "site")],
    )


def _orders() -> Json:
    return panels.stat(
        "Open work orders",
        "Work orders that are neither verified nor cancelled.",
        "none",
        shared.order_versions("site"),
        calc="count",
        field="id",
        thresholds=((0, GOOD), (1, WARN)),
        empty="none",
        transformations=shared.open_orders(),
        links=[panels.link("Work orders", "workorders", "site")],
    )


def _unanswered() -> Json:
    text = select('sum("escalated")', "workorder", matches("site"), "\"state\" = 'open'")
    return panels.stat(
        "Nobody was left",
        "How often, in the chosen time, an order found no executor who could take it.",
        "none",
        query(text),
        calc="sum",
        thresholds=((0, GOOD), (1, BAD)),
        empty="never",
        links=[panels.link("Work orders", "workorders", "site")],
    )


def _down() -> Json:
    inner = select('1 - last("up") AS "down"', "agent_health", matches("site"), "\"role\" != 'executor'", by="agent")
    return panels.stat(
        "Agents down",
        "Agents of the mesh whose heartbeat no longer rises; executors are not counted.",
        "none",
        query(f'SELECT sum("down") FROM ({inner})'),
        thresholds=((0, GOOD), (1, BAD)),
        empty="no agent was heard",
        links=[panels.link("Agents", "agents", "site")],
    )


def _newest() -> Json:
    text = select('last("value")', "reading", matches("site"))
    return panels.stat(
        "Newest reading",
        "How old the newest reading is that InfluxDB has. Old: look at the writer first.",
        "dateTimeFromNow",
        query(text, table=True),
        field="Time",
        empty="no reading came",
        links=[panels.link("Pipeline", "pipeline", "site")],
    )


def _readings() -> Json:
    return panels.stat(
        "Readings per second",
        "What all gateways accept now.",
        "none",
        query(total('sum("non_negative_derivative")', _READ)),
        graph=True,
        empty="no gateway was heard",
        links=[panels.link("Devices", "devices", "site")],
    ) | {"interval": "10s"}


def _raised() -> Json:
    text = series('count("version")', "alert", matches("site"), *RAISED, by="severity")
    return panels.lines(
        "Alerts raised",
        "New alerts in each interval, by severity.",
        "none",
        [query(text, alias="$tag_severity")],
        bars=True,
        stacked=True,
        empty="no alert was raised",
    )


def _flow() -> Json:
    return panels.lines(
        "Readings per second by gateway",
        "What each gateway accepts. A line that ends is a gateway that is gone.",
        "none",
        [query(_READ, alias="$tag_agent")],
        step="10s",
        empty="no gateway was heard",
    )


def _agents() -> Json:
    text = series('min("up")', "agent_health", matches("site"), "\"role\" != 'executor'", by="agent")
    return panels.timeline(
        "Agents",
        "Green: its heartbeat rises. Red: it did not at some moment of the interval.",
        query(text, alias="$tag_agent"),
        mappings=panels.up_down(),
        step="10s",
        empty="no agent was heard",
    )
