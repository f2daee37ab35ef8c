"""Rows as Grafana makes them of an answer, and the transformations that the dashboards use. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

Json = dict[str, Any]
Row = dict[str, Any]
Rows = list[Row]


class Unknown(LookupError):
    """A transformation names a column that is not there."""


def rows_of(series: Sequence[Json]) -> Rows:
    """All rows of an answer in the table format: `Time`, the tags of the group, then the columns."""
    found: Rows = []
    for each in series:
        names = ["Time" if name == "time" else name for name in each["columns"]]
        found += [{**each.get("tags", {}), **dict(zip(names, row, strict=True))} for row in each["values"]]
    return found


def columns_of(series: Sequence[Json]) -> list[str]:
    """The columns of such rows."""
    names: dict[str, None] = {}
    for each in series:
        names |= dict.fromkeys(
            [*("Time" if name == "time" else name for name in each["columns"]), *each.get("tags", {})]
        )
    return list(names)


def transform(rows: Rows, columns: Sequence[str], steps: Sequence[Json]) -> tuple[Rows, list[str]]:
    """Rows and columns after all steps; Unknown where a step names a column that is not there."""
    names = list(columns)
    for step in steps:
        rows, names = _STEPS[step["id"]](rows, names, step["options"])
    return rows, names


def _sort(rows: Rows, names: list[str], options: Json) -> tuple[Rows, list[str]]:
    (order,) = options["sort"]
    _known(names, [order["field"]])
    return sorted(rows, key=lambda row: row[order["field"]], reverse=order["desc"]), names


def _group(rows: Rows, names: list[str], options: Json) -> tuple[Rows, list[str]]:
    fields: Json = options["fields"]
    _known(names, fields)
    keys = [name for name, each in fields.items() if each["operation"] == "groupby"]
    groups: dict[tuple[Any, ...], Rows] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    made = [dict(zip(keys, values, strict=True)) for values in groups]
    added = []
    for name, each in fields.items():
        for kind in each["aggregations"]:
            added.append(f"{name} ({kind})")
            for row, members in zip(made, groups.values(), strict=True):
                row[added[-1]] = _REDUCERS[kind]([member[name] for member in members])
    return made, [*keys, *added]


def _filter(rows: Rows, names: list[str], options: Json) -> tuple[Rows, list[str]]:
    (wanted,) = options["filters"]
    name, pattern = wanted["fieldName"], wanted["config"]["options"]["value"]
    _known(names, [name])
    return [row for row in rows if re.search(pattern, row[name] or "")], names


def _organize(rows: Rows, names: list[str], options: Json) -> tuple[Rows, list[str]]:
    hidden, renamed = options["excludeByName"], options["renameByName"]
    _known(names, [*hidden, *renamed])
    kept = {name: renamed.get(name) or name for name in names if name not in hidden}
    return [{new: row.get(old) for old, new in kept.items()} for row in rows], list(kept.values())


def _known(names: Sequence[str], wanted: Sequence[str] | Json) -> None:
    if missing := [name for name in wanted if name not in names]:
        raise Unknown(f"no column {missing} among {list(names)}")


_REDUCERS: dict[str, Callable[[list[Any]], Any]] = {
    "count": len,
    "first": lambda values: values[0],
    "last": lambda values: values[-1],
}
_STEPS: dict[str, Callable[[Rows, list[str], Json], tuple[Rows, list[str]]]] = {
    "sortBy": _sort,
    "groupBy": _group,
    "filterByValue": _filter,
    "organize": _organize,
}
