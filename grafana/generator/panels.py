"""Panels as plain dicts: what Grafana's own editor would save, with the parts that a person needs in words.

Every maker takes title, description and unit first, so that none can be forgotten. Units are Grafana's names;
`thresholds` are pairs of (from this value on, colour), the first colour counts from the very bottom.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Json = dict[str, Any]
Steps = Sequence[tuple[float, str]]

SOURCE = {"type": "influxdb", "uid": "${source}"}
LONG_SOURCE = {"type": "influxdb", "uid": "${long}"}

NEUTRAL, GOOD, WARN, BAD = "text", "green", "orange", "red"
STATES = {"firing": BAD, "acknowledged": WARN, "pending": "yellow", "cleared": GOOD}
SEVERITIES = {"critical": BAD, "warning": WARN, "info": "blue"}


def query(text: str, *, ref: str = "A", alias: str = "", table: bool = False, source: Json = SOURCE) -> Json:
    """One query of a panel: a series for each group, or rows of a table."""
    made = {
        "datasource": source,
        "query": text,
        "rawQuery": True,
        "refId": ref,
        "resultFormat": "table" if table else "time_series",
    }
    return made | ({"alias": alias} if alias else {})


def stat(
    title: str,
    description: str,
    unit: str,
    target: Json,
    *,
    calc: str = "lastNotNull",
    field: str = "",
    thresholds: Steps = ((0, NEUTRAL),),
    graph: bool = False,
    empty: str = "no data",
    **more: Any,
) -> Json:
    """One large number: the last of a series, or `calc` (count, sum, …) of a field of a table."""
    options = {
        "colorMode": "value",
        "graphMode": "area" if graph else "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "percentChangeColorMode": "standard",
        "reduceOptions": {"calcs": [calc], "fields": f"/^{field}$/" if field else "", "values": False},
        "showPercentChange": False,
        "textMode": "value",
        "wideLayout": True,
    }
    return _panel("stat", title, description, [target], options, _defaults(unit, thresholds, empty), **more)


def lines(
    title: str,
    description: str,
    unit: str,
    targets: Sequence[Json],
    *,
    bars: bool = False,
    stacked: bool = False,
    thresholds: Steps = ((0, NEUTRAL),),
    marks: bool = False,
    least: float | None = 0.0,
    empty: str = "no data",
    step: str = "",
    **more: Any,
) -> Json:
    """Series over time. `marks` draws the thresholds; `least` None lets the axis begin anywhere; `step`: not finer."""
    custom = {
        "drawStyle": "bars" if bars else "line",
        "fillOpacity": 60 if bars else (20 if stacked else 5),
        "lineWidth": 1,
        "pointSize": 4,
        "showPoints": "auto",
        "spanNulls": 300_000,
        "stacking": {"group": "A", "mode": "normal" if stacked else "none"},
        "thresholdsStyle": {"mode": "dashed" if marks else "off"},
    }
    defaults = _defaults(unit, thresholds, empty) | {"color": {"mode": "palette-classic"}, "custom": custom}
    if least is not None:
        defaults["min"] = least
    options = {
        "legend": {"calcs": ["lastNotNull"], "displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    shown = _panel("timeseries", title, description, list(targets), options, defaults, **more)
    return shown | ({"interval": step} if step else {})


def table(
    title: str,
    description: str,
    target: Json,
    *,
    unit: str = "short",
    sort: str = "",
    descending: bool = True,
    overrides: Sequence[Json] = (),
    empty: str = "none",
    **more: Any,
) -> Json:
    """Rows. `unit` is that of numbers without an override of their own."""
    defaults = _defaults(unit, ((0, NEUTRAL),), empty) | {"custom": {"align": "auto", "filterable": True}}
    options = {
        "cellHeight": "sm",
        "showHeader": True,
        "frameIndex": 0,
        "sortBy": [{"desc": descending, "displayName": sort}] if sort else [],
    }
    return _panel("table", title, description, [target], options, defaults, overrides=overrides, **more)


def timeline(
    title: str, description: str, target: Json, *, mappings: Sequence[Json], empty: str = "no data", step: str = ""
) -> Json:
    """States over time, a row for each series."""
    defaults = _defaults("short", ((0, NEUTRAL),), empty)
    defaults |= {"custom": {"fillOpacity": 80, "lineWidth": 0}, "mappings": list(mappings)}
    options = {
        "alignValue": "left",
        "legend": {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": False},
        "mergeValues": True,
        "rowHeight": 0.9,
        "showValue": "never",
        "tooltip": {"mode": "single", "sort": "none"},
    }
    shown = _panel("state-timeline", title, description, [target], options, defaults)
    return shown | ({"interval": step} if step else {})


def bar_gauge(title: str, description: str, unit: str, target: Json, *, empty: str = "none") -> Json:
    """One horizontal bar for each series, with its name and its last value."""
    options = {
        "displayMode": "basic",
        "legend": {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": False},
        "maxVizHeight": 40,
        "minVizHeight": 16,
        "minVizWidth": 8,
        "namePlacement": "left",
        "orientation": "horizontal",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "showUnfilled": True,
        "sizing": "auto",
        "valueMode": "color",
    }
    defaults = _defaults(unit, ((0, NEUTRAL),), empty) | {"min": 0}
    return _panel("bargauge", title, description, [target], options, defaults)


def trace(title: str, description: str, target: Json, *, empty: str, **more: Any) -> Json:
    """Grafana's trace panel: it wants the seven columns of `boards.traces.COLUMNS`, times in milliseconds."""
    return _panel("traces", title, description, [target], {}, _defaults("ms", ((0, NEUTRAL),), empty), **more)


def override(field: str, **properties: Any) -> Json:
    """What is different for one column or series: `unit`, `links`, `mappings`, `custom.width`, …"""
    given = [{"id": name.replace("__", "."), "value": value} for name, value in properties.items()]
    return {"matcher": {"id": "byName", "options": field}, "properties": given}


def colours(texts: Mapping[str, str]) -> list[Json]:
    """A mapping that gives texts their colour."""
    found = {
        text: {"color": colour, "index": index, "text": text} for index, (text, colour) in enumerate(texts.items())
    }
    return [{"options": found, "type": "value"}]


def up_down() -> list[Json]:
    """A mapping for `up`."""
    found = {"0": {"color": BAD, "index": 0, "text": "down"}, "1": {"color": GOOD, "index": 1, "text": "up"}}
    return [{"options": found, "type": "value"}]


def coloured(field: str, texts: Mapping[str, str]) -> Json:
    """An override that colours the text of a column."""
    return override(field, mappings=colours(texts), custom__cellOptions={"type": "color-text"})


def link(title: str, board: str, *variables: str, **from_fields: str) -> Json:
    """A link to another dashboard that keeps the time and `variables`; others come from fields of the row."""
    kept = "".join(f"&${{{name}:queryparam}}" for name in ("source", *variables))
    taken = "".join(f"&var-{name}=${{__data.fields.{field}}}" for name, field in from_fields.items())
    return {"targetBlank": False, "title": title, "url": f"/d/edgemesh-{board}?${{__url_time_range}}{kept}{taken}"}


def _defaults(unit: str, thresholds: Steps, empty: str) -> Json:
    steps = [{"color": colour, "value": value if index else None} for index, (value, colour) in enumerate(thresholds)]
    return {
        "color": {"mode": "thresholds"},
        "noValue": empty,
        "thresholds": {"mode": "absolute", "steps": steps},
        "unit": unit,
    }


def _panel(
    kind: str,
    title: str,
    description: str,
    targets: list[Json],
    options: Json,
    defaults: Json,
    *,
    overrides: Sequence[Json] = (),
    transformations: Sequence[Json] = (),
    links: Sequence[Json] = (),
) -> Json:
    if links:
        defaults = defaults | {"links": list(links)}
    made = {
        "datasource": targets[0]["datasource"],
        "description": description,
        "fieldConfig": {"defaults": defaults, "overrides": list(overrides)},
        "options": options,
        "targets": targets,
        "title": title,
        "type": kind,
    }
    return made | ({"transformations": list(transformations)} if transformations else {})
