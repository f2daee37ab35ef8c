"""Which column of a CSV file is what."""

from __future__ import annotations

from edgemesh.drivers.instants import reader_of
from edgemesh.drivers.names import metric_name, metric_names
from edgemesh.drivers.replay.cells import is_missing, number_of
from edgemesh.drivers.replay.layout import Layout
from edgemesh.drivers.replay.settings import Column, Settings
from edgemesh.errors import InputError
from edgemesh.model.samples import MAX_METRICS

HEAD_ROWS = 500
"""Rows that decide what a column holds."""

_SEPARATORS = (";", "\t", ",")
_TIME_NAMES = ("datetime", "timestamp", "date_time", "time", "date", "ts", "time_stamp", "at")


def find_separator(head: str) -> str:
    """The separator that the line of heads has most of; a comma when it has none."""
    return max(_SEPARATORS, key=lambda separator: (head.count(separator), separator == ","))


def find_layout(table: list[list[str]], separator: str, settings: Settings, source: str) -> Layout:
    """Find the columns from the first rows, heads first. InputError says which kind is missing and what to set."""
    heads = [head.strip() for head in table[0]]
    rows = [row for row in table[1:] if row]
    if not rows:
        raise InputError("there are heads but no rows", source=source, wish="record something first")
    time_at = _find_time(heads, rows, settings, source)
    labels_at = _find_labels(heads, settings.label_columns)
    metrics = _find_metrics(heads, rows, settings, {time_at, *labels_at}, source)
    names, units, metrics_at = zip(*metrics, strict=True)
    return Layout(
        separator=separator,
        decimal=settings.decimal,
        width=len(heads),
        time_at=time_at,
        time_format=settings.time_format,
        time_example=next((row[time_at] for row in rows if len(row) > time_at and row[time_at].strip()), ""),
        metrics=names,
        units=units,
        columns=tuple(heads[at] for at in metrics_at),
        metrics_at=metrics_at,
        label_names=tuple(heads[at] for at in labels_at),
        labels_at=tuple(labels_at),
    )


def _find_time(heads: list[str], rows: list[list[str]], settings: Settings, source: str) -> int:
    if settings.time_column != "auto":
        if settings.time_column not in heads:
            raise InputError(f"no column is named {settings.time_column!r}", source=source, wish=_have(heads))
        return heads.index(settings.time_column)
    known = [metric_name(head) for head in heads]
    for name in _TIME_NAMES:
        if name in known and _holds_times(known.index(name), rows, settings.time_format):
            return known.index(name)
    for at in range(len(heads)):
        if _holds_times(at, rows, "iso8601" if settings.time_format == "auto" else settings.time_format):
            return at
    raise InputError("no column of times was found", source=source, wish=f"set `time_column`; {_have(heads)}")


def _holds_times(at: int, rows: list[list[str]], time_format: str) -> bool:
    """Whether most of the first cells that are filled are times."""
    cells = [row[at] for row in rows[:20] if len(row) > at and row[at].strip()]
    return bool(cells) and 2 * sum(_is_time(cell, time_format) for cell in cells) > len(cells)


def _is_time(cell: str, time_format: str) -> bool:
    try:
        reader_of(cell, time_format)(cell)
    except ValueError:
        return False
    return True


def _find_labels(heads: list[str], names: tuple[str, ...]) -> list[int]:
    wanted = {name.strip().lower() for name in names}
    return [at for at, head in enumerate(heads) if head.lower() in wanted]


def _find_metrics(
    heads: list[str], rows: list[list[str]], settings: Settings, taken: set[int], source: str
) -> list[tuple[str, str, int]]:
    """Name, unit and position of each metric."""
    if settings.metrics:
        wanted = [(name, _as_column(value)) for name, value in settings.metrics.items()]
        for name, column in wanted:
            if column.column not in heads:
                raise InputError(f"metric {name}: no column {column.column!r}", source=source, wish=_have(heads))
        return [(name, column.unit, heads.index(column.column)) for name, column in wanted]
    numeric = [at for at in range(len(heads)) if at not in taken and _holds_numbers(at, rows, settings.decimal)]
    if not numeric:
        other = "," if settings.decimal == "." else "."
        if any(_holds_numbers(at, rows, other) for at in range(len(heads)) if at not in taken):
            raise InputError(
                "no column holds numbers", source=source, wish=f'they are there with `decimal = "{other}"`'
            )
        raise InputError("no column holds numbers", source=source, wish=_have(heads))
    if len(numeric) > MAX_METRICS:
        wish = "name the ones you want under [metrics]"
        raise InputError(f"{len(numeric)} columns, {MAX_METRICS} are allowed", source=source, wish=wish)
    return [(name, "1", at) for name, at in zip(metric_names(heads[at] for at in numeric), numeric, strict=True)]


def _as_column(value: str | Column) -> Column:
    return Column(column=value) if isinstance(value, str) else value


def _holds_numbers(at: int, rows: list[list[str]], decimal: str) -> bool:
    """Whether at least half of the filled cells are numbers."""
    cells = [row[at] for row in rows if len(row) > at and not is_missing(row[at])]
    return bool(cells) and 2 * sum(number_of(cell, decimal) is not None for cell in cells) >= len(cells)


def _have(heads: list[str]) -> str:
    text = ", ".join(repr(head) for head in heads[:20])
    return f"the file has {text}" + (" …" if len(heads) > 20 else "")
