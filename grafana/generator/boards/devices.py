"""Devices: which speak, which have fallen silent, and whose readings are doubtful?"""

from __future__ import annotations

from grafana.generator import panels, rows
from grafana.generator.board import alert_marks, board, chosen, site
from grafana.generator.boards import shared
from grafana.generator.influxql import matches, select, series
from grafana.generator.panels import BAD, GOOD, WARN, Json, query

DESCRIPTION = "Which devices speak, which have fallen silent, and whose readings are doubtful or late?"
_WHERE = tuple(matches(name) for name in shared.PLACE)


def make() -> Json:
    """The dashboard."""
    silent = shared.alert_table(
        "Silent devices and bad sensors",
        "Standing alerts of two kinds: a device that is not heard, or one that no longer tells the truth.",
        *shared.PLACE,
        standing=True,
        empty="every device speaks",
        kinds="^(silent|sensor)$",
    )
    return board(
        "devices",
        "edgemesh: devices",
        DESCRIPTION,
        [
            (4, [(6, _heard()), (6, _doubtful()), (6, _late()), (6, _beyond())]),
            (8, [(24, silent)]),
            (11, [(12, _last_heard()), (12, _quality())]),
            (8, [(24, _flow())]),
        ],
        place_variables(),
        annotations=alert_marks(*_WHERE, "\"kind\" = 'silent'", what="Silent"),
    )


def place_variables() -> list[Json]:
    """Site, gateway and asset of readings, each narrowed down by those before it."""
    return [
        site("reading"),
        chosen("gateway", "Gateway", "Gateways that read devices", "reading", "site"),
        chosen("asset", "Asset", "What devices belong to", "reading", "site", "gateway"),
    ]


def _heard() -> Json:
    inner = select('last("value") AS "value"', "reading", *_WHERE, by="device")
    return panels.stat(
        "Devices heard",
        "Devices that gave at least one reading in the chosen time.",
        "none",
        query(f'SELECT count("value") FROM ({inner})'),
        empty="no device was heard",
    )


def _doubtful() -> Json:
    return panels.stat(
        "Doubtful readings",
        "Readings of the quality uncertain or bad.",
        "short",
        query(select('count("quality")', "reading", *_WHERE)),
        calc="sum",
        thresholds=((0, GOOD), (1, WARN)),
        empty="none",
    )


def _late() -> Json:
    return panels.stat(
        "Late readings",
        "Readings that had to wait: for a broken link, or for a clock to be set right. They are at their own time.",
        "short",
        query(select('count("late")', "reading", *_WHERE)),
        calc="sum",
        thresholds=((0, GOOD), (1, WARN)),
        empty="none",
    )


def _beyond() -> Json:
    return panels.stat(
        "Readings without a series",
        "Readings of metrics beyond `max_series`: InfluxDB has them in reading_overflow, no panel shows them.",
        "short",
        query(select('count("value")', "reading_overflow", matches("site"), matches("gateway"))),
        calc="sum",
        thresholds=((0, GOOD), (1, BAD)),
        empty="none",
    )


def _last_heard() -> Json:
    text = select('last("value") AS "value", "asset", "gateway", "metric"', "reading", *_WHERE, by="device")
    names = {
        "device": "Device",
        "Time": "Last heard",
        "asset": "Asset",
        "gateway": "Gateway",
        "metric": "Metric",
        "value": "Value",
    }
    here = panels.link("This device", "device", "site", device="Device")
    return panels.table(
        "Last heard",
        "The newest reading of each device, the longest silent first. A click on a device opens it.",
        query(text, table=True),
        sort="Last heard",
        descending=False,
        overrides=[
            panels.override("Last heard", unit="dateTimeFromNow", custom__width=150),
            panels.override("Device", links=[here]),
        ],
        transformations=[rows.columns(names)],
        empty="no device was heard",
    )


def _quality() -> Json:
    what = 'count("value") AS "Readings", count("quality") AS "Doubtful", count("late") AS "Late"'
    return panels.table(
        "Readings by device",
        "How many readings each device gave, how many of them are uncertain or bad, and how many came late.",
        query(select(what, "reading", *_WHERE, by="device"), table=True),
        sort="Doubtful",
        transformations=[rows.columns({"device": "Device"}, hidden=("Time",))],
        overrides=[panels.override("Device", links=[panels.link("This device", "device", "site", device="Device")])],
        empty="no device was heard",
    )


def _flow() -> Json:
    text = series('count("value")', "reading", *_WHERE, by="asset", fill="0")
    return panels.lines(
        "Readings by asset",
        "How many readings came in each interval. A line that falls to 0 is an asset that nobody sees any more.",
        "short",
        [query(text, alias="$tag_asset")],
        empty="no device was heard",
        step="10s",
    )
