"""Rows as a Parquet file, with pyarrow, which comes with the extra `parquet`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from edgemesh.store.forms import Column, Row, Write

GROUP_ROWS = 100_000
"""Rows of a row group; so many are in memory."""

_TYPES = {
    "time": pa.timestamp("ns", tz="UTC"),
    "text": pa.string(),
    "float": pa.float64(),
    "integer": pa.int64(),
}


@contextmanager
def parquet_writer(file: Path, columns: Sequence[Column]) -> Iterator[Write]:
    """Writes rows into a new file until the block ends; each call is a row group."""
    schema = pa.schema([(column.name, _TYPES[column.type]) for column in columns])
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:

        def write(some: Sequence[Row]) -> None:
            cells = zip(*some, strict=True)
            arrays = [pa.array(column, field.type) for column, field in zip(cells, schema, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))

        yield write
