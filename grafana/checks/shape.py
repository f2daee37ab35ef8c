"""Rules for what a person sees: words, units, places, variables and links."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from grafana.checks.parts import BUILT_IN, Json, links, panels, used, variables

WIDTH = 24


def has_words(board: Json) -> Iterator[str]:
    """Dashboard and panels have a title and a description, variables a label and a description."""
    if not board["title"] or not board["description"]:
        yield "the dashboard has no title or description"
    for panel in panels(board):
        if not panel["title"] or not panel["description"].endswith("."):
            yield f"panel {panel['id']} {panel['title']!r}: has no title, or a description that is no sentence"
        if not panel["fieldConfig"]["defaults"].get("noValue"):
            yield f"panel {panel['title']!r}: does not say what no data means"
    for variable in variables(board):
        if not variable["label"] or not variable["description"]:
            yield f"variable {variable['name']}: has no label or description"


def has_units(board: Json) -> Iterator[str]:
    """Each panel has a unit and thresholds."""
    for panel in panels(board):
        defaults = panel["fieldConfig"]["defaults"]
        if not defaults.get("unit") or not defaults.get("thresholds", {}).get("steps"):
            yield f"panel {panel['title']!r}: has no unit or thresholds"


def defines_variables(board: Json) -> Iterator[str]:
    """What is used is defined, above where it narrows something down, and asks the chosen source."""
    seen: set[str] = set()
    for variable in variables(board):
        if unknown := used(json.dumps(variable.get("query", ""))) - seen - BUILT_IN:
            yield f"variable {variable['name']}: {sorted(unknown)} is not defined above it"
        seen.add(variable["name"])
    for panel in panels(board):
        # Values behind an alias are tags of the series.
        text = re.sub(r"\$(tag_\w+|col)\b", "", json.dumps(panel))
        if unknown := used(text) - seen - BUILT_IN:
            yield f"panel {panel['title']!r}: {sorted(unknown)} is not defined"
        for target in panel["targets"]:
            if not used(target["datasource"]["uid"]) or target["datasource"]["type"] != "influxdb":
                yield f"panel {panel['title']!r}: has a fixed data source"


def has_room(board: Json) -> Iterator[str]:
    """Panels lie beside each other within the grid, and every id is there once."""
    taken: dict[tuple[int, int], str] = {}
    ids = [panel["id"] for panel in board["panels"]]
    if len(set(ids)) < len(ids):
        yield "two panels have the same id"
    for panel in board["panels"]:
        place = panel["gridPos"]
        if place["x"] + place["w"] > WIDTH:
            yield f"panel {panel['title']!r}: is beyond the right edge"
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                other = taken.setdefault((x, y), panel["title"])
                if other is not panel["title"]:
                    yield f"panel {panel['title']!r}: lies over {other!r}"
                    return


def leads_on(board: Json, all_boards: Mapping[str, Json]) -> Iterator[str]:
    """Links lead to dashboards that exist, set variables that they have, and keep time and source."""
    by_uid = {each["uid"]: each for each in all_boards.values()}
    for where, url in links(board):
        target = re.fullmatch(r"/d/([\w-]+)\?(.*)", url)
        if target is None or target[1] not in by_uid:
            yield f"{where}: {url} leads nowhere"
            continue
        theirs = {variable["name"] for variable in variables(by_uid[target[1]])}
        given = set(re.findall(r"var-(\w+)=|\$\{(\w+):queryparam\}", target[2]))
        for name in sorted(first or second for first, second in given):
            if name not in theirs:
                yield f"{where}: {target[1]} has no variable {name}"
        if "${__url_time_range}" not in url or "${source:queryparam}" not in url:
            yield f"{where}: {url} does not keep time or source"
