"""Rules for the statements: the InfluxQL that all servers share, over the chosen time, over columns that exist."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from edgemesh.store.influx.measurements import MEASUREMENTS
from grafana.awaited import AWAITED
from grafana.checks.parts import Json, queries, selects

FORBIDDEN = (
    r"SLIMIT", r"SOFFSET", r"SHOW\s+SERIES", r"CARDINALITY", r"INTEGRAL", r"SAMPLE", r"HOLT_WINTERS", r"MODE",
    r"CONTINUOUS", r"INTO", r"CREATE", r"DROP", r"DELETE", r"ALTER", r"KILL", r"GRANT", r"REVOKE",
)  # fmt: skip
"""What not all of InfluxDB 1.x, 2.x (by its mapping) and 3 Core can do, and what writes."""
_WORDS = re.compile(rf"(?<!\w)(?:{'|'.join(FORBIDDEN)})(?!\w)", re.IGNORECASE)
_BY_FUNCTION = ("non_negative_derivative", "non_negative_difference")
"""What a column is called that has no name of its own."""
_NAME = re.compile(r'(AS\s+)?"([^"]+)"', re.IGNORECASE)


def columns() -> Mapping[str, frozenset[str]]:
    """Measurements, each with its tags and fields."""
    return {name: frozenset({*each.tags, *each.fields}) for name, each in MEASUREMENTS.items()} | AWAITED


def has_time_filter(board: Json) -> Iterator[str]:
    """Each statement of a panel or annotation is over the chosen time."""
    return (f"{each.where}: has no $timeFilter" for each in selects(board) if "$timeFilter" not in each.text)


def has_interval(board: Json) -> Iterator[str]:
    """Steps are as wide as the panel needs."""
    for each in selects(board):
        steps = re.findall(r"\btime\(([^)]*)\)", each.text)
        if any(step != "$__interval" for step in steps):
            yield f"{each.where}: groups by time({steps[0]}), not by $__interval"


def is_shared(board: Json) -> Iterator[str]:
    """No word that one of the servers does not know, or that writes."""
    for each in queries(board):
        if found := _WORDS.search(each.text):
            yield f"{each.where}: {found.group()} is not for all servers"


def is_anywhere(board: Json) -> Iterator[str]:
    """No database, policy or host is fixed in a statement."""
    for each in queries(board):
        if re.search(r'FROM\s+"?[^"\s(]+"?\.|\sON\s', each.text) or "//" in each.text:
            yield f"{each.where}: names a database or a host"


def groups_rows_once(board: Json) -> Iterator[str]:
    """Rows of a table are grouped by one tag at most: Grafana mixes up the columns of several."""
    for each in selects(board):
        grouped = each.text.rpartition("GROUP BY")[2] if "GROUP BY" in each.text else ""
        if each.is_table and grouped.count('"') > 2:
            yield f"{each.where}: a table is grouped by more than one tag"


def takes_many(board: Json) -> Iterator[str]:
    """A variable stands in a regular expression, in the form that may be several values or all."""
    for each in queries(board):
        rest = re.sub(r"=~ /\^\$\{\w+:regex\}\$/", "", each.text)
        rest = re.sub(r"= '\$\{trace\}'", "", rest)
        if found := re.search(r"\$\{\w+[^}]*\}|\$(?!__interval\b|timeFilter\b)\w+", rest):
            yield f"{each.where}: {found.group()} can't be several values"


def knows_columns(board: Json) -> Iterator[str]:
    """Measurements, tags and fields are those of docs/measurements.md."""
    known = columns()
    for each in queries(board):
        (measurement, *_) = re.findall(r'FROM "([^"]+)"', each.text) or [""]
        if measurement not in known:
            yield f"{each.where}: there is no measurement {measurement!r}"
            continue
        names = _NAME.findall(each.text)
        given = {name for is_given, name in names if is_given} | {measurement, *_BY_FUNCTION}
        for strange in {name for is_given, name in names if not is_given} - given - known[measurement]:
            yield f"{each.where}: {measurement} has no {strange!r}"
