"""Asks all that a dashboard asks, with one, two and all values of its variables."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from grafana.awaited import AWAITED
from grafana.checks.parts import panels, variables
from grafana.observe.expectations import EVERY, QUIET
from grafana.observe.frames import columns_of, rows_of, transform
from grafana.observe.macros import ALL, fill
from grafana.observe.server import Influx

Json = dict[str, Any]
Chosen = dict[str, list[str] | str]
INTERVAL = "5s"


class Finding(NamedTuple):
    """What one panel, variable, annotation or alert rule found: rows with one, two and all values.

    `excuse`: why it may find nothing; empty: it must find rows.
    """

    board: str
    what: str
    one: int
    two: int
    all: int
    excuse: str

    @property
    def is_good(self) -> bool:
        """Whether there are rows, or a reason for none."""
        return bool(self.excuse) or min(self.one, self.two, self.all) > 0


@dataclass(frozen=True)
class Statement:
    """A statement with all that is needed to ask it; `steps` are transformations of its rows."""

    text: str
    database: str
    is_table: bool = True
    interval: str = INTERVAL
    steps: Sequence[Json] = ()


@dataclass(frozen=True)
class Lens:
    """A server, the databases behind the sources (by their variables) and the time to look at (ms)."""

    server: Influx
    databases: Mapping[str, str]
    start_ms: int
    end_ms: int

    def rows(self, asked: Statement, values: Chosen) -> int:
        """How many rows, or points of series, a statement finds."""
        text = fill(asked.text, start_ms=self.start_ms, end_ms=self.end_ms, interval=asked.interval, values=values)
        series = self.server.ask(text, asked.database)
        if not asked.is_table:
            return sum(value is not None for each in series for row in each["values"] for value in row[1:])
        if not series:
            return 0
        rows, _ = transform(rows_of(series), columns_of(series), asked.steps)
        return len(rows)

    def values(self, variable: Json, chosen: Chosen) -> list[str]:
        """What a variable can be."""
        text = fill(variable["query"]["query"], start_ms=0, end_ms=0, interval="", values=chosen)
        return [row[1] for each in self.server.ask(text, self.databases["${source}"]) for row in each["values"]]


def look_at(lens: Lens, name: str, board: Json) -> Iterator[Finding]:
    """Everything that a dashboard asks."""
    some = [variable for variable in variables(board) if variable["type"] == "query"]
    fixed: Chosen = {each["name"]: _trace(lens) for each in variables(board) if each["type"] == "textbox"}
    for variable in some:
        text = variable["query"]["query"]
        yield _finding(name, f"variable {variable['name']}", text, [len(lens.values(variable, _all(some)))] * 3)
    for panel in panels(board):
        for target in panel["targets"]:
            asked = Statement(
                target["query"],
                lens.databases[target["datasource"]["uid"]],
                target["resultFormat"] == "table",
                panel.get("interval", INTERVAL),
                panel.get("transformations", ()),
            )
            yield _finding(name, panel["title"], asked.text, _counts(lens, asked, some, fixed))
    for mark in board["annotations"]["list"]:
        asked = Statement(mark["target"]["query"], lens.databases[mark["datasource"]["uid"]])
        yield _finding(name, mark["name"], asked.text, _counts(lens, asked, some, fixed))


def look_at_rules(lens: Lens, rules: Sequence[Json]) -> Iterator[Finding]:
    """Every alert rule's query, over the time that it looks back."""
    for rule in rules:
        query = rule["data"][0]
        seconds = query["relativeTimeRange"]["from"]
        then = replace(lens, start_ms=lens.end_ms - 1000 * seconds)
        interval = f"{query['model']['intervalMs'] // 1000}s"
        asked = Statement(query["model"]["query"], lens.databases["${source}"], is_table=False, interval=interval)
        yield _finding("alert rules", rule["title"], asked.text, [then.rows(asked, {})] * 3)


def _counts(lens: Lens, asked: Statement, some: Sequence[Json], fixed: Chosen) -> list[int]:
    """Rows with one, with two and with all values. One value of each is sought that finds rows together."""
    every = _all(some) | fixed
    found = [lens.rows(asked, every)]
    if not found[0]:
        return [0, 0, 0]
    one, two = every, every
    for variable in some:
        if variable["multi"] and f"${{{variable['name']}:regex}}" in asked.text:
            options = lens.values(variable, one)
            one = _first(one, variable["name"], options, lambda chosen: lens.rows(asked, chosen))
            two = two | {variable["name"]: _pair(one[variable["name"]], lens.values(variable, every))}
    return [lens.rows(asked, one), lens.rows(asked, two), *found]


def _first(chosen: Chosen, name: str, options: Sequence[str], rows: Callable[[Chosen], int]) -> Chosen:
    for option in options:
        if rows(chosen | {name: [option]}):
            return chosen | {name: [option]}
    return chosen | {name: list(options[:1])}


def _pair(one: Sequence[str], options: Sequence[str]) -> list[str]:
    return [*one, *[option for option in options if option not in one][:1]]


def _all(some: Sequence[Json]) -> Chosen:
    return {variable["name"]: ALL for variable in some}


def _trace(lens: Lens) -> str:
    """The id of some trace; there may be none."""
    found = lens.server.ask('SELECT last("trace_id") FROM "spans"', lens.databases["${source}"])
    return str(found[0]["values"][0][1]) if found else ""


def _finding(board: str, what: str, text: str, counts: Sequence[int]) -> Finding:
    measurement = next(iter(re.findall(r'FROM "([^"]+)"', text)), "")
    excuse = QUIET.get((board, what)) or QUIET.get((EVERY, what), "")
    if measurement in AWAITED:
        excuse = f"nothing writes {measurement} yet"
    one, two, every = counts
    return Finding(board, what, one, two, every, excuse)
