"""Transformations that make rows of what InfluxQL gives: it can't group by a field, so Grafana does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from grafana.generator.panels import Json


def latest(key: str, order: str, fields: Sequence[str]) -> list[Json]:
    """One row for each `key`: of those with the same, the last by `order`.

    Columns become `name (last)`; the time of the first is beside that of the last.
    """
    kept: Json = {name: {"aggregations": ["last"], "operation": "aggregate"} for name in fields}
    if "Time" in kept:
        kept["Time"] = {"aggregations": ["first", "last"], "operation": "aggregate"}
    kept[key] = {"aggregations": [], "operation": "groupby"}
    return [
        {"id": "sortBy", "options": {"sort": [{"desc": False, "field": order}]}},
        {"id": "groupBy", "options": {"fields": kept}},
    ]


def only(field: str, pattern: str) -> Json:
    """Keep the rows in which a text fits a regular expression."""
    wanted = {"config": {"id": "regex", "options": {"value": pattern}}, "fieldName": field}
    return {"id": "filterByValue", "options": {"filters": [wanted], "match": "all", "type": "include"}}


def count(field: str, of: str) -> Json:
    """How many rows there are of each value of a field."""
    counted = {"aggregations": ["count"], "operation": "aggregate"}
    return {
        "id": "groupBy",
        "options": {"fields": {field: {"aggregations": [], "operation": "groupby"}, of: counted}},
    }


def columns(names: Mapping[str, str], *, hidden: Sequence[str] = ()) -> Json:
    """Put columns in this order under these names, and leave out the hidden ones."""
    return {
        "id": "organize",
        "options": {
            "excludeByName": dict.fromkeys(hidden, True),
            "indexByName": {name: index for index, name in enumerate(names)},
            "renameByName": dict(names),
        },
    }
