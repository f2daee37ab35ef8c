"""Raw readings that were exported as CSV or Parquet, read again."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from edgemesh.errors import InputError
from edgemesh.store.forms import COLUMNS, read_instant

PARQUET = ".parquet"
SUFFIXES = (".csv", PARQUET)
BATCH_ROWS = 20_000
_READ_BYTES = 1_000_000


class Line(NamedTuple):
    """One reading with the names of its series, in the order of the columns of an export."""

    at_ns: int
    gateway: str
    asset: str
    device: str
    metric: str
    unit: str
    value: float
    quality: int


_NAMES = [column.name for column in COLUMNS["raw"]]


def read_lines(file: Path) -> Iterator[Line]:
    """The readings of a file, in its order. InputError says where it is no export of raw readings."""
    try:
        yield from _read_parquet(file) if file.suffix == PARQUET else _read_csv(file)
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror or error}", source=str(file)) from error


def count_lines(file: Path) -> int:
    """How many readings there are, about. InputError as for `read_lines`."""
    try:
        if file.suffix == PARQUET:
            import pyarrow as pa
            import pyarrow.parquet as pq

            try:
                return int(pq.read_metadata(file).num_rows)
            except pa.ArrowException as error:
                raise InputError(f"holds no readings of ours: {error}", source=str(file)) from error
        with file.open("rb") as stream:
            return sum(part.count(b"\n") for part in iter(lambda: stream.read(_READ_BYTES), b""))
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror or error}", source=str(file)) from error


def _read_csv(file: Path) -> Iterator[Line]:
    with file.open(encoding="utf-8", newline="") as stream:
        reader = csv.reader(stream)
        try:
            _check(file, next(reader, []))
            for cells in reader:
                at, *names, value, quality = cells
                yield _line(read_instant(at), names, float(value), int(quality))
        except (ValueError, csv.Error, TypeError) as error:
            raise InputError(f"line {reader.line_num} is no reading: {error}", source=str(file)) from error


def _read_parquet(file: Path) -> Iterator[Line]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as table:
            _check(file, table.schema_arrow.names)
            for batch in table.iter_batches(BATCH_ROWS):
                columns = [batch.column(0).cast("int64").to_pylist()]
                columns += [batch.column(number).to_pylist() for number in range(1, len(_NAMES))]
                for at_ns, *names, value, quality in zip(*columns, strict=True):
                    yield _line(at_ns, names, value, quality)
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise InputError(f"holds no readings of ours: {error}", source=str(file)) from error


def _line(at_ns: int, names: Sequence[str], value: float, quality: int) -> Line:
    gateway, asset, device, metric, unit = names
    if not all(names) or not math.isfinite(value) or quality not in (0, 1, 2):
        raise ValueError("a name is missing, the value is not finite, or the quality is none")
    return Line(at_ns, gateway, asset, device, metric, unit, value, quality)


def _check(file: Path, names: Sequence[str]) -> None:
    if list(names) != _NAMES:
        wish = "`edgemesh history export` of readings, or of anything as line protocol"
        raise InputError(f"has not the columns {', '.join(_NAMES)}", source=str(file), wish=wish)
