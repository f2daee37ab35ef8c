"""The transformations that the dashboards use, on rows."""

from __future__ import annotations

import pytest

from grafana.generator import rows
from grafana.observe.frames import Json, Unknown, columns_of, rows_of, transform

SERIES: list[Json] = [
    {
        "columns": ["time", "id", "version", "state"],
        "values": [[5, "a", 2, "cleared"], [4, "a", 1, "firing"], [1, "b", 1, "firing"]],
        "tags": {"asset": "pump"},
    }
]


def shown(*steps: Json) -> list[Json]:
    found, _ = transform(rows_of(SERIES), columns_of(SERIES), steps)
    return found


def test_the_newest_version_of_each_counts_whatever_the_order() -> None:
    """Versions may come in any order; the time of the first is kept, too."""
    found = shown(*rows.latest("id", "version", ("state", "Time", "asset")))
    times = {row["id"]: (row["Time (first)"], row["Time (last)"]) for row in found}
    assert times == {"a": (4, 5), "b": (1, 1)}
    assert {row["id"]: row["state (last)"] for row in found} == {"a": "cleared", "b": "firing"}
    assert {row["asset (last)"] for row in found} == {"pump"}


def test_only_rows_that_fit_are_kept_and_counted() -> None:
    """After the newest versions are found."""
    found = shown(
        *rows.latest("id", "version", ("state",)),
        rows.only("state (last)", "^firing$"),
        rows.count("state (last)", "id"),
    )
    assert found == [{"state (last)": "firing", "id (count)": 1}]


def test_columns_are_named_and_hidden() -> None:
    """In the form in which a person reads them."""
    assert shown(rows.columns({"id": "Id"}, hidden=("Time", "asset", "version")))[2] == {"Id": "b", "state": "firing"}


@pytest.mark.parametrize(
    "step",
    [
        rows.columns({"ids": "Id"}),
        rows.only("states", "x"),
        rows.count("state", "ids"),
        *rows.latest("id", "versions", ())[:1],
    ],
)
def test_a_column_that_is_not_there_is_noticed(step: Json) -> None:
    """Grafana would leave it out without a word."""
    with pytest.raises(Unknown):
        shown(step)
