"""Speed of the embedded history: `python benchmarks/store.py [--hours 24] [--devices 20]`.

Writes as a recorder does (WAL, synchronous=FULL, one commit per group of packs), then reads as a console does.
"""

from __future__ import annotations

import argparse
import math
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from edgemesh.model.packs import Readings
from edgemesh.model.samples import Batch
from edgemesh.store.history import History, HistorySink

START_NS = 1_714_521_600_000_000_000
SECOND_NS = 1_000_000_000
METRICS = ("pressure", "flow", "temperature", "vibration", "current")


def make_packs(device_count: int, seconds: int, per_batch: int) -> Iterator[Readings]:
    """Packs of all devices at 1 Hz, `per_batch` samples of each device in a pack."""
    units = ("1",) * len(METRICS)
    for seq, start in enumerate(range(0, seconds, per_batch), start=1):
        times = tuple(START_NS + (start + i) * SECOND_NS for i in range(min(per_batch, seconds - start)))
        columns = tuple(tuple(20.0 + m + math.sin((start + i) / 60) for i in range(len(times))) for m in range(5))
        batches = tuple(
            Batch(device=f"pump-{d}", asset=f"pump-{d}", metrics=METRICS, units=units, at_ns=times, values=columns)
            for d in range(device_count)
        )
        yield Readings(agent="gateway", epoch="0", seq=seq, lowest=1, at_ns=times[-1], records=batches)


def write(path: Path, packs: list[Readings], group: int) -> tuple[int, float]:
    """Rows written, and the seconds it took with all commits."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    sink = HistorySink()
    sink.prepare(connection)
    began = time.perf_counter()
    for start in range(0, len(packs), group):
        connection.execute("BEGIN IMMEDIATE")
        sink.write(connection, packs[start : start + group])
        connection.execute("COMMIT")
    took = time.perf_counter() - began
    rows = connection.execute("SELECT value FROM history_state WHERE name = 'readings'").fetchone()[0]
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return rows, took


def best_ms(work: Callable[[], object]) -> float:
    """The least of five durations."""
    durations = []
    for _ in range(5):
        began = time.perf_counter()
        work()
        durations.append(time.perf_counter() - began)
    return 1000 * min(durations)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--devices", type=int, default=20)
    options = parser.parse_args()
    seconds = int(options.hours * 3600)
    print(f"{options.devices} devices x {len(METRICS)} metrics at 1 Hz")
    with tempfile.TemporaryDirectory() as folder:
        for name, per_batch, length, group in (
            ("live, 1 sample per batch, 1 pack per commit", 1, 600, 1),
            ("busy, 10 samples per batch, 4 packs per commit", 10, 3600, 4),
            ("backlog, 60 samples per batch, 8 packs per commit", 60, seconds, 8),
        ):
            path = Path(folder) / f"{per_batch}.db"
            packs = list(make_packs(options.devices, min(length, seconds), per_batch))
            rows, took = write(path, packs, group)
            size = path.stat().st_size
            print(f"write {name}: {rows / took:,.0f} rows/s, {size / rows:.1f} bytes/row ({rows:,} rows)")
        with History(path) as history:
            for resolution in ("raw", "1min", "10min", "auto"):
                points = len(history.readings(device="pump-3", metric="flow", resolution=resolution).points)
                ms = best_ms(lambda r=resolution: history.readings(device="pump-3", metric="flow", resolution=r))  # type: ignore[misc]
                print(f"read {options.hours:g} h of one series, {resolution}: {ms:.1f} ms, {points} points")
            print(f"read counts: {best_ms(history.counts):.2f} ms")


if __name__ == "__main__":
    main()
