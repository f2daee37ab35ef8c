"""All rules over all dashboards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from grafana.checks import queries, shape
from grafana.checks.parts import Json

RULES: dict[str, Callable[[Json], Iterable[str]]] = {
    each.__name__: each
    for each in (
        shape.has_words, shape.has_units, shape.defines_variables, shape.has_room, queries.has_time_filter,
        queries.has_interval, queries.is_shared, queries.is_anywhere, queries.groups_rows_once, queries.takes_many,
        queries.knows_columns,
    )
}  # fmt: skip


def lint(boards: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    """Every breach, as the name of its rule and what is wrong where."""
    uids = [board["uid"] for board in boards.values()]
    if len(set(uids)) < len(uids):
        yield "leads_on", f"two dashboards have the same uid: {sorted(uids)}"
    for name, board in boards.items():
        for rule, check in RULES.items():
            yield from ((rule, f"{name}: {problem}") for problem in check(board))
        yield from (("leads_on", f"{name}: {problem}") for problem in shape.leads_on(board, boards))
