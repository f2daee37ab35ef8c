"""The cells of a CSV file as numbers, row by row."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import TextIO

from edgemesh.drivers.instants import reader_of
from edgemesh.drivers.replay.layout import Layout
from edgemesh.wire.reasons import Reason

Values = tuple[float | None, ...]

Row = tuple[int, Values, Values]
"""The time in ns UTC, the values of the metrics, the values of the label columns; None: no value."""

Report = Callable[[str, str, bytes, str], None]
"""Takes a rejection: reason code, `file:line`, the row, and what is wrong with it."""

_MISSING = frozenset({"", "nan", "na", "n/a", "null", "none", "-"})


@dataclass(slots=True)
class Counts:
    """What the rows read so far were like; `bad_values` are cells, the others are rows."""

    rows: int = 0
    bad_values: int = 0
    bad_rows: int = 0
    duplicates: int = 0
    backwards: int = 0


def is_missing(cell: str) -> bool:
    """Whether a recorder wrote down that there was no value; that is a gap, not an error."""
    return cell.strip().lower() in _MISSING


def number_of(cell: str, decimal: str = ".") -> float | None:
    """The finite number that a cell holds, or None."""
    if decimal == ",":
        cell = cell.replace(".", "").replace(",", ".")
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in cell else None


class RowReader:
    """Iterates over the rows below the heads; what it can't use is counted, reported and left out."""

    def __init__(self, text: TextIO, layout: Layout, source: str, counts: Counts, report: Report | None) -> None:
        self._reader = csv.reader(text, delimiter=layout.separator)
        self._layout, self._source, self._counts, self._report = layout, source, counts, report
        self._instant = reader_of(layout.time_example, layout.time_format)
        positions = (*layout.metrics_at, *layout.labels_at)
        self._pick = itemgetter(*positions, positions[0])  # one more than needed: always a tuple
        self._metrics = len(layout.metrics_at)
        self._latest_ns: int | None = None

    def __iter__(self) -> Iterator[Row]:
        self._next_cells()
        while (cells := self._next_cells()) is not None:
            if cells and (row := self._read(cells)) is not None:
                yield row

    def _next_cells(self) -> list[str] | None:
        """The next line's cells, or None at the end; a line that is no CSV gives none."""
        try:
            return next(self._reader, None)
        except csv.Error as error:
            self._refuse(Reason.BAD_VALUE, [], f"no CSV: {error}")
            return []

    def _read(self, cells: list[str]) -> Row | None:
        layout = self._layout
        if len(cells) != layout.width:
            self._refuse(Reason.BAD_VALUE, cells, f"{len(cells)} cells, the heads are {layout.width}")
            cells = (cells + [""] * layout.width)[: layout.width]
        try:
            at_ns = self._instant(cells[layout.time_at])
        except ValueError:
            self._refuse(Reason.BAD_TIME, cells, f"{cells[layout.time_at]!r:.40} is no time")
            return None
        picked = self._pick(cells)[:-1]
        try:
            values: Values = tuple(map(float, picked))
            sound = layout.decimal == "." and "_" not in "".join(picked) and math.isfinite(math.fsum(values))  # type: ignore[arg-type]
        except (ValueError, OverflowError):
            sound = False
        if not sound:
            values = tuple(self._number(at, cell, cells) for at, cell in enumerate(picked))
        self._note_time(at_ns)
        return at_ns, values[: self._metrics], values[self._metrics :]

    def _number(self, at: int, cell: str, cells: list[str]) -> float | None:
        value = number_of(cell, self._layout.decimal)
        if value is None and not is_missing(cell):
            self._counts.bad_values += 1
            heads = (*self._layout.columns, *self._layout.label_names)
            self._tell(Reason.BAD_VALUE, cells, f"{heads[at]}: {cell!r:.40} is no number")
        return value

    def _note_time(self, at_ns: int) -> None:
        counts = self._counts
        counts.rows += 1
        if self._latest_ns is not None and at_ns <= self._latest_ns:
            if at_ns == self._latest_ns:
                counts.duplicates += 1
            else:
                counts.backwards += 1
        self._latest_ns = at_ns

    def _refuse(self, reason: str, cells: list[str], problem: str) -> None:
        self._counts.bad_rows += 1
        self._tell(reason, cells, problem)

    def _tell(self, reason: str, cells: list[str], problem: str) -> None:
        if self._report is not None:
            payload = self._layout.separator.join(cells).encode()
            self._report(reason, f"{self._source}:{self._reader.line_num}", payload, problem)
