"""What the embedded history costs: `python -m benchmarks.history [--hours 24] [--series 200]`.

Rows written in a second, the share of a core at 2,000 readings a second, bytes of a row, and the seconds that it takes
to read all series of a day. Medians of `--rounds`.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from benchmarks.store import METRICS, make_packs, write
from edgemesh.model.packs import Readings
from edgemesh.store.archive import Archive, Selection
from edgemesh.store.curves import Resolution
from edgemesh.store.sink import HistorySink

RATE = 2_000
"""Readings a second of the steady load."""


def steady_share(folder: Path, seconds: int, per_batch: int) -> float:
    """CPU seconds for each second of 2,000 series at 1 Hz, with `per_batch` samples of each in a commit."""
    packs = list(make_packs(RATE // len(METRICS), seconds, per_batch))
    with closing(sqlite3.connect(folder / "steady.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        sink = HistorySink()
        sink.prepare(connection)
        sink_one(connection, sink, packs[:1])
        began = time.process_time()
        for pack in packs[1:]:
            sink_one(connection, sink, [pack])
        return (time.process_time() - began) / (seconds - per_batch)


def sink_one(connection: sqlite3.Connection, sink: HistorySink, packs: Sequence[Readings]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    sink.write(connection, packs)
    connection.execute("COMMIT")


def in_parts(packs: Iterator[Readings], size: int) -> Iterator[list[Readings]]:
    part = []
    for pack in packs:
        part.append(pack)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part


def fill(path: Path, devices: int, seconds: int) -> tuple[int, float, int]:
    """Rows, seconds of writing alone, and bytes of raw readings, a part at a time so that memory stays flat."""
    took = 0.0
    rows = 0
    for part in in_parts(make_packs(devices, seconds, 60), 32):
        total, spent = write(path, part, 8)
        rows, took = total, took + spent
    with closing(sqlite3.connect(path)) as connection:
        page = connection.execute("PRAGMA page_size").fetchone()[0]
        count, free = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count"))
    return rows, took, page * (count - free)


def read(archive: Archive, resolution: Resolution) -> tuple[int, float]:
    """Rows of all series, and the seconds that it takes to have them in Python."""
    series = list(archive.select(Selection()))
    began = time.perf_counter()
    steps = archive.raw(series) if resolution == "raw" else archive.rollups(resolution, series)
    rows = sum(map(len, steps))
    return rows, time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--series", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="Where files lie, to choose the disk.")
    options = parser.parse_args()
    devices, seconds = options.series // len(METRICS), round(options.hours * 3600)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        for per_batch in (1, 10):
            shares = []
            for round_ in range(options.rounds):
                place = folder / f"{per_batch}-{round_}"
                place.mkdir()
                shares.append(steady_share(place, 60, per_batch))
            print(
                f"steady {RATE:,} readings/s, {per_batch} of each series in a commit:"
                f" {100 * statistics.median(shares):.2f} % of a core"
            )
        rows, took, size = fill(folder / "day.db", devices, seconds)
        print(f"write a backlog: {rows / took:,.0f} rows/s ({rows:,} rows in {took:.1f} s)")
        print(f"size: {size / rows:.1f} bytes/row, roll-ups included")
        with Archive(folder / "day.db") as archive:
            for resolution in ("1min", "10min", "raw"):
                times = []
                for _ in range(options.rounds if resolution != "raw" else 1):
                    rows, spent = read(archive, resolution)
                    times.append(spent)
                print(f"read {options.series} series x {options.hours:g} h, {resolution}: "
                      f"{statistics.median(times):.2f} s ({rows:,} rows)")  # fmt: skip


if __name__ == "__main__":
    main()
