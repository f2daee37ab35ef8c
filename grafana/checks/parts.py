"""The parts of a dashboard that rules look at."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

Json = dict[str, Any]

BUILT_IN = frozenset({"__interval", "timeFilter", "__url_time_range", "__data", "__value", "__field", "__all"})
_USED = re.compile(r"\$\{(\w+)(?:[:.\[][^}]*)?\}|\$(\w+)")


class Query(NamedTuple):
    """One statement, where it stands, and whether its rows are shown as a table."""

    where: str
    text: str
    is_table: bool


def panels(board: Json) -> Iterator[Json]:
    """Every panel, those inside of rows too; the rows themselves are none."""
    for each in board["panels"]:
        if each["type"] == "row":
            yield from each["panels"]
        else:
            yield each


def variables(board: Json) -> list[Json]:
    """The variables, in their order."""
    found: list[Json] = board["templating"]["list"]
    return found


def selects(board: Json) -> Iterator[Query]:
    """The statements of panels and annotations."""
    for panel in panels(board):
        for target in panel["targets"]:
            where = f"panel {panel['title']!r}, query {target['refId']}"
            yield Query(where, target["query"], target["resultFormat"] == "table")
    for mark in board["annotations"]["list"]:
        yield Query(f"annotation {mark['name']!r}", mark["target"]["query"], True)


def queries(board: Json) -> Iterator[Query]:
    """All statements, those of variables too."""
    yield from selects(board)
    for variable in variables(board):
        if variable["type"] == "query":
            yield Query(f"variable {variable['name']}", variable["query"]["query"], False)


def links(board: Json) -> Iterator[tuple[str, str]]:
    """Addresses of links of panels and columns, with where they stand."""
    for panel in panels(board):
        found = re.findall(r'"url": "([^"]*)"', json.dumps(panel))
        yield from ((f"panel {panel['title']!r}", url) for url in found)


def used(text: str) -> set[str]:
    """Names of variables in a text."""
    return {braced or plain for braced, plain in _USED.findall(text)}
