"""Anomalies: what is strange, by how much, since when, and was that to be trusted?"""

from __future__ import annotations

from grafana.generator import panels
from grafana.generator.board import RAISED, alert_marks, board, chosen
from grafana.generator.boards import devices, shared
from grafana.generator.influxql import matches, select, series
from grafana.generator.panels import BAD, GOOD, WARN, Json, query

DESCRIPTION = "What is strange, by how much, since when, and how fast was it seen?"
_WHERE = tuple(matches(name) for name in shared.PLACE)
_SIGNAL = (*_WHERE, matches("metric"))
LIMITS = ((0.0, GOOD), (0.75, WARN), (1.0, BAD))
"""Of a score, in multiples of the threshold: at 1 it fires, below 0.75 it is over."""


def make() -> Json:
    """The dashboard."""
    alerts = shared.alert_table(
        "Alerts",
        "Every alert of the chosen time, with what was strange and what was normal. Score: multiples of the threshold.",
        *shared.PLACE,
        standing=False,
        empty="no alert was raised",
    )
    return board(
        "anomalies",
        "edgemesh: anomalies",
        DESCRIPTION,
        [
            (4, [(6, _standing()), (6, _raised()), (6, _after()), (6, _lasted())]),
            (8, [(24, _score())]),
            (9, [(24, _signal())]),
            (10, [(24, alerts)]),
            (8, [(8, _strangest()), (8, _kinds()), (8, _assets())]),
        ],
        [
            *devices.place_variables(),
            chosen("metric", "Metric", "What is measured", "reading", *shared.PLACE),
        ],
        annotations=alert_marks(*_WHERE),
    )


def _standing() -> Json:
    return panels.stat(
        "Standing alerts",
        "Alerts that are not over.",
        "none",
        shared.alert_versions(),
        calc="count",
        field="id",
        thresholds=((0, GOOD), (1, BAD)),
        empty="none",
        transformations=shared.newest_alerts(standing=True),
    )


def _raised() -> Json:
    return panels.stat(
        "Raised",
        "New alerts in the chosen time.",
        "none",
        query(select('count("version")', "alert", *_WHERE, *RAISED)),
        calc="sum",
        empty="none",
    )


def _after() -> Json:
    return panels.stat(
        "Raised after",
        "From the onset until the alert was raised: the median.",
        "s",
        query(select('median("raised_after_s")', "alert", *_WHERE, *RAISED)),
        empty="no alert was raised",
    )


def _lasted() -> Json:
    return panels.stat(
        "Lasted",
        "From the onset to the end, of alerts that are over: the median.",
        "s",
        query(select('median("lasted_s")', "alert", *_WHERE, "\"state\" = 'cleared'")),
        empty="none is over",
    )


def _score() -> Json:
    return panels.lines(
        "Score",
        "How strange each asset is: from 1 on an alert is due. By its model, where it is over below 0.75; by its rules "
        "where it has no model: 0 is within the clear level of the worst of them, 1 at its level.",
        "none",
        [query(series('max("score")', "score", *_WHERE, by="asset"), alias="$tag_asset")],
        thresholds=LIMITS,
        marks=True,
        empty="no score was told",
    )


def _signal() -> Json:
    return panels.lines(
        "Signal",
        "What was measured, in the unit of the configuration: the mean of each interval. Choose one asset.",
        "short",
        [query(series('mean("value")', "reading", *_SIGNAL, by="device metric"), alias="$tag_device $tag_metric")],
        least=None,
        empty="no reading came",
    )


def _strangest() -> Json:
    text = select(
        '"score", "method", "device", "metric", "asset"', "score", *_WHERE, tail="ORDER BY time DESC LIMIT 100"
    )
    return panels.table(
        "Strangest now",
        "The newest scores, whose they are, and the device and metric that are strangest.",
        query(text, table=True),
        sort="Time",
        overrides=[panels.override("Time", unit="dateTimeFromNow")],
        empty="no score was told",
    )


def _kinds() -> Json:
    text = series('count("version")', "alert", *_WHERE, *RAISED, by="kind")
    return panels.lines(
        "Raised by kind",
        "New alerts in each interval: of a machine, a sensor, a silent device or a gateway.",
        "none",
        [query(text, alias="$tag_kind")],
        bars=True,
        stacked=True,
        empty="no alert was raised",
    )


def _assets() -> Json:
    return panels.bar_gauge(
        "Raised by asset",
        "Which assets raise the most alerts: the candidates for another limit, or for a repair.",
        "none",
        query(select('count("version")', "alert", *_WHERE, *RAISED, by="asset"), alias="$tag_asset"),
        empty="no alert was raised",
    )
