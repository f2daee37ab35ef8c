"""A recorded CSV file: which columns it has, and its rows."""

from __future__ import annotations

import csv
import glob
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from edgemesh.drivers.names import id_from
from edgemesh.drivers.replay.cells import Counts, Report, Row, RowReader
from edgemesh.drivers.replay.heads import HEAD_ROWS, find_layout, find_separator
from edgemesh.drivers.replay.layout import Layout
from edgemesh.drivers.replay.settings import Settings
from edgemesh.drivers.templates import fill
from edgemesh.errors import InputError
from edgemesh.model.samples import Source

_DIGITS = re.compile(r"([0-9]+)")


@dataclass(frozen=True, slots=True)
class Recording:
    """A CSV file whose columns are known.

    `columns` are the heads of the metrics as the file writes them, in the order of `source.metrics`; `labels` the label
    columns that it has. `counts` describes the latest reading of `rows`.
    """

    path: Path
    source: Source
    columns: tuple[str, ...]
    labels: tuple[str, ...]
    layout: Layout
    counts: Counts = field(default_factory=Counts)

    def rows(self, report: Report | None = None) -> Iterator[Row]:
        """The rows in the order of the file, gaps, repeated and backward times as they are.

        A cell that is no number gives None; a row without a time is left out; both are counted and reported.
        InputError when the file can't be read (any more).
        """
        self.counts.rows = self.counts.bad_values = self.counts.bad_rows = 0
        self.counts.duplicates = self.counts.backwards = 0
        with _opened(self.path) as text:
            reader = RowReader(text, self.layout, str(self.path), self.counts, report)
            try:
                yield from reader
            except OSError as error:
                raise InputError(f"can't be read any more: {error.strerror}", source=str(self.path)) from error


def find_recordings(path: str | Path) -> list[Path]:
    """The files that a file, a folder (with the folders in it) or a pattern names, in natural order: 0, 1, 2, … 10.

    A folder gives its `*.csv`. InputError when there is none.
    """
    root = Path(path).expanduser()
    if root.is_file():
        return [root]
    if root.is_dir():
        found = [file for file in root.rglob("*") if file.suffix.lower() == ".csv" and file.is_file()]
        if not found:
            raise InputError(
                "no *.csv in this folder", source=str(path), wish="name a folder with CSV files, or a file"
            )
    else:
        names = glob.glob(str(root), recursive=True)  # noqa: PTH207  Path.glob takes no absolute pattern
        found = [Path(name) for name in names if Path(name).is_file()]
        if not found:
            raise InputError(
                "no such file or folder", source=str(path), wish="check the path; relative ones start here"
            )
    return sorted(found, key=_natural)


def open_recording(path: str | Path, settings: Settings) -> Recording:
    """Look into the file's head and find its columns; `settings.path` plays no part.

    InputError when it is missing, empty, no text, or has no column of times or numbers; its `wish` says what to do.
    """
    file = Path(path)
    with _opened(file) as text:
        try:
            start = text.read(65_536)
        except OSError as error:
            raise InputError(f"can't be read: {error.strerror}", source=str(file)) from error
    if not start.strip():
        raise InputError("the file is empty", source=str(file), wish="a line of column heads and rows are needed")
    if "\0" in start:
        raise InputError("the file is no text", source=str(file), wish="export it as CSV in UTF-8")
    lines = start.splitlines()
    if len(start) == 65_536 and len(lines) > 2:
        lines.pop()  # it may be cut off
    separator = find_separator(lines[0]) if settings.separator == "auto" else settings.separator
    table = list(csv.reader(lines[: HEAD_ROWS + 1], delimiter=separator))
    layout = find_layout(table, separator, settings, str(file))
    device, asset = _identify(file, settings)
    return Recording(
        file, Source(device, asset, layout.metrics, layout.units), layout.columns, layout.label_names, layout
    )


def _identify(file: Path, settings: Settings) -> tuple[str, str]:
    names = {"stem": file.stem, "folder": file.resolve().parent.name or "data"}
    device = id_from(fill(settings.device, names)).strip("_") or "recording"
    return device, id_from(fill(settings.asset, {"device": device, **names})).strip("_") or device


def _opened(file: Path) -> TextIO:
    try:
        return file.open(encoding="utf-8-sig", errors="replace", newline="")
    except FileNotFoundError:
        raise InputError("there is no such file", source=str(file), wish="check the path") from None
    except OSError as error:
        raise InputError(f"can't be opened: {error.strerror}", source=str(file)) from error


def _natural(path: Path) -> list[tuple[int, str]]:
    """A key that sorts `2.csv` before `10.csv`, and files of one folder together."""
    return [
        (int(part), "") if part.isdecimal() else (-1, part)
        for step in (*path.parent.parts, path.stem)
        for part in ("", *filter(None, _DIGITS.split(step)))
    ]
