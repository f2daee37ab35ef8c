"""A dashboard out of rows of panels, with its variables, links and annotations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from grafana.generator.influxql import matches, select, tag_values
from grafana.generator.panels import SEVERITIES, SOURCE, Json

TAG = "edgemesh"
WIDTH = 24
SCHEMA = 42
RAISED = ("\"state\" != 'cleared'", '"version" = 1')
"""The version with which an alert begins; one that was over before anybody could know of it has none."""
Row = tuple[int, Sequence[tuple[int, Json]]]
"""The height of a row, and its panels with their widths; together at most 24."""


def board(
    name: str,
    title: str,
    description: str,
    rows: Sequence[Row],
    variables: Sequence[Json],
    *,
    since: str = "now-1h",
    annotations: Sequence[Json] = (),
    refresh: str = "10s",
) -> Json:
    """The dashboard `edgemesh-{name}`."""
    return {
        "annotations": {"list": list(annotations)},
        "description": description,
        "editable": True,
        "graphTooltip": 1,
        "id": None,
        "links": [_menu()],
        "panels": _laid(rows),
        "refresh": refresh,
        "schemaVersion": SCHEMA,
        "tags": [TAG],
        "templating": {"list": [source("source", "Data source", "edgemesh"), *variables]},
        "time": {"from": since, "to": "now"},
        "timepicker": {"refresh_intervals": ["5s", "10s", "30s", "1m", "5m"]},
        "timezone": "browser",
        "title": title,
        "uid": f"edgemesh-{name}",
        "version": 1,
    }


def source(name: str, label: str, uid: str) -> Json:
    """The variable that says which InfluxDB is asked; the provisioned one to begin with."""
    return {
        "current": {"selected": True, "text": uid, "value": uid},
        "description": "An InfluxDB data source in the InfluxQL language",
        "hide": 0,
        "includeAll": False,
        "label": label,
        "multi": False,
        "name": name,
        "query": "influxdb",
        "refresh": 1,
        "regex": "",
        "type": "datasource",
    }


def chosen(
    name: str, label: str, description: str, measurement: str, *above: str, multi: bool = True, tag: str = ""
) -> Json:
    """A variable of tag values. `above`: variables that narrow it down. `multi`: several, or all (the start)."""
    text = tag_values(tag or name, measurement, *(matches(each) for each in above))
    everything = {"selected": True, "text": ["All"], "value": ["$__all"]}
    made: Json = {
        "current": everything if multi else {},
        "datasource": SOURCE,
        "description": description,
        "hide": 0,
        "includeAll": multi,
        "label": label,
        "multi": multi,
        "name": name,
        "query": {"query": text, "refId": f"variable-{name}"},
        "refresh": 2,
        "regex": "",
        "sort": 7,
        "type": "query",
    }
    return made | ({"allValue": ".*"} if multi else {})


def site(measurement: str) -> Json:
    """The variable `site`."""
    return chosen("site", "Site", "Places: one broker domain each", measurement)


def alert_marks(*conditions: str, what: str = "Alerts") -> list[Json]:
    """Annotations where alerts were raised, a colour for each severity; the text is the cause."""
    return [_mark(what, severity, colour, conditions) for severity, colour in SEVERITIES.items()]


def _mark(what: str, severity: str, colour: str, conditions: Sequence[str]) -> Json:
    where = (f"\"severity\" = '{severity}'", *RAISED, *conditions)
    text = select('"cause", "asset", "version"', "alert", *where, tail="LIMIT 500")
    name = f"{what}: {severity}"
    target = {
        "fromAnnotations": True,
        "name": name,
        "query": text,
        "queryType": "tags",
        "rawQuery": True,
        "refId": f"alerts-{severity}",
        "resultFormat": "table",
        "tagsColumn": "asset",
        "textColumn": "cause",
        "textEditor": True,
    }
    return {"datasource": SOURCE, "enable": True, "hide": False, "iconColor": colour, "name": name, "target": target}


def _menu() -> Json:
    return {
        "asDropdown": True,
        "icon": "external link",
        "includeVars": True,
        "keepTime": True,
        "tags": [TAG],
        "targetBlank": False,
        "title": "edgemesh",
        "tooltip": "The other dashboards, with the same time and choice",
        "type": "dashboards",
        "url": "",
    }


def _laid(rows: Sequence[Row]) -> list[Json]:
    laid: list[Json] = []
    top = 0
    for height, panels in rows:
        left = 0
        for width, panel in panels:
            place = {"h": height, "w": width, "x": left, "y": top}
            laid.append(panel | {"gridPos": place, "id": len(laid) + 1})
            left += width
        if left > WIDTH:
            raise ValueError(f"a row is {left} wide, {WIDTH} is the most: {[panel['title'] for _, panel in panels]}")
        top += height
    return laid


def heading(title: str) -> tuple[int, list[tuple[int, Json]]]:
    """A row that only names what follows."""
    made: dict[str, Any] = {"collapsed": False, "panels": [], "title": title, "type": "row"}
    return 1, [(WIDTH, made)]
