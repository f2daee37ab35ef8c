"""Device detail: what does this device measure, is that usual, and what was said about it?"""

from __future__ import annotations

from grafana.generator import panels, rows
from grafana.generator.board import alert_marks, board, chosen, source
from grafana.generator.boards import devices, shared
from grafana.generator.influxql import matches, select, series
from grafana.generator.panels import LONG_SOURCE, WARN, Json, query

DESCRIPTION = "What does this device measure, is that usual, and what was said about its asset?"
_CHOICE = (*shared.PLACE, "device", "metric")
_WHERE = tuple(matches(name) for name in _CHOICE)


def make() -> Json:
    """The dashboard."""
    alerts = shared.alert_table(
        "Alerts of its asset",
        "What was raised in the chosen time about the assets that the devices belong to, also what is over.",
        *shared.PLACE,
        standing=False,
        empty="no alert",
    )
    return board(
        "device",
        "edgemesh: device detail",
        DESCRIPTION,
        [
            (7, [(14, _now()), (10, _band())]),
            (9, [(24, _values() | {"maxPerRow": 2, "repeat": "metric", "repeatDirection": "h"})]),
            (8, [(24, _doubtful())]),
            (9, [(24, _long())]),
            (8, [(24, alerts)]),
        ],
        [
            source("long", "Roll-ups", "edgemesh-long"),
            *devices.place_variables(),
            chosen("device", "Device", "Sensor units", "reading", *shared.PLACE),
            chosen("metric", "Metric", "What they measure, in the unit of the configuration", "reading", *_CHOICE[:-1]),
        ],
        annotations=alert_marks(matches("site"), matches("asset")),
    )


def _now() -> Json:
    text = select('last("value") AS "value", "device", "quality"', "reading", *_WHERE, by="metric")
    names = {"metric": "Metric", "device": "Device", "value": "Value", "quality": "Quality", "Time": "Read"}
    quality = {"0": ("good", "green"), "1": ("uncertain", "orange"), "2": ("bad", "red")}
    found = {key: {"color": color, "index": int(key), "text": text} for key, (text, color) in quality.items()}
    return panels.table(
        "Now",
        "The newest value of each metric, in the unit of the configuration.",
        query(text, table=True),
        sort="Metric",
        descending=False,
        overrides=[
            panels.override("Read", unit="dateTimeFromNow"),
            panels.override("Quality", mappings=[{"options": found, "type": "value"}], noValue="good"),
        ],
        transformations=[rows.columns(names)],
        empty="no reading came",
    )


def _band() -> Json:
    what = (
        'min("value") AS "Least", percentile("value", 5) AS "5 %", median("value") AS "Median", '
        'percentile("value", 95) AS "95 %", max("value") AS "Most", stddev("value") AS "Spread"'
    )
    return panels.table(
        "In the chosen time",
        "Where the values lay, over all chosen devices: 90 % of them between 5 % and 95 %.",
        query(select(what, "reading", *_WHERE, by="metric"), table=True),
        sort="metric",
        descending=False,
        transformations=[rows.columns({"metric": "Metric"}, hidden=("Time",))],
        empty="no reading came",
    )


def _values() -> Json:
    return panels.lines(
        "$metric",
        "The mean of each interval, in the unit of the configuration; the marks are alerts.",
        "short",
        [query(series('mean("value")', "reading", *_WHERE, by="device metric"), alias="$tag_device $tag_metric")],
        least=None,
        empty="no reading came",
    )


def _doubtful() -> Json:
    what = 'count("quality") AS "doubtful", count("late") AS "late"'
    return panels.lines(
        "Doubtful and late readings",
        "Readings of the quality uncertain or bad, and readings that had to wait, in each interval.",
        "short",
        [query(series(what, "reading", *_WHERE, by="device"), alias="$tag_device $col")],
        bars=True,
        thresholds=((0, "text"), (1, WARN)),
        empty="all were good and in time",
    )


def _long() -> Json:
    what = 'mean("mean") AS "mean", min("min") AS "least", max("max") AS "most"'
    text = series(what, "reading_1m", *_WHERE, by="device metric")
    return panels.lines(
        "Long ago",
        "Mean, least and most of each interval from the 1-minute roll-ups, which are kept much longer than readings. "
        "They need a second bucket (`rollup_bucket`).",
        "short",
        [query(text, alias="$tag_device $tag_metric $col", source=LONG_SOURCE)],
        least=None,
        empty="no roll-ups yet: they come with the end of each minute",
        step="1m",
    )
