"""What a commit of the journal costs: `python benchmarks/log.py [FOLDER]`.

Rows of 1 KB, 1, 10 and 100 to a commit, with and without a cursor and one part of a checkpoint as the runtime has them,
for two seconds each; beside it the same bytes with write and fsync, the least that any durable log must pay.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from edgemesh.log.journal import Cursor, Journal

SECONDS = 2.0
BODY = b"x" * 1_000


def timed(step: Callable[[int], None]) -> list[float]:
    """Run the step for `SECONDS` and return how long each took, in seconds, shortest first."""
    taken: list[float] = []
    end = time.perf_counter() + SECONDS
    while (started := time.perf_counter()) < end:
        step(len(taken))
        taken.append(time.perf_counter() - started)
    return sorted(taken)


def bytes_written() -> int:
    """What this process has handed to the file system so far; 0 where the system doesn't tell."""
    counters = Path("/proc/self/io")
    if not counters.exists():
        return 0
    return next(int(line.split()[1]) for line in counters.read_text().splitlines() if line.startswith("wchar"))


def report(name: str, rows: int, taken: list[float], written: int, cpu_s: float) -> None:
    count = len(taken)
    p50, p99 = taken[count // 2] * 1e3, taken[count * 99 // 100] * 1e3
    print(
        f"{name:<16} {rows:>4} rows  {count / SECONDS:>7.0f} commits/s  {count * rows / SECONDS:>8.0f} rows/s"
        f"  p50 {p50:6.3f} ms  p99 {p99:6.3f} ms  {written / (count * rows):>7.0f} bytes/row"
        f"  {cpu_s / (count * rows) * 1e6:>6.1f} us CPU/row"
    )


def measure(name: str, rows: int, step: Callable[[int], None]) -> None:
    written, cpu_s = bytes_written(), time.process_time()
    taken = timed(step)
    report(name, rows, taken, bytes_written() - written, time.process_time() - cpu_s)


def bench(folder: Path, rows: int) -> None:
    with closing(Journal.open(folder / f"journal-{rows}.db", "bench")) as journal:

        def plain(number: int) -> None:
            with journal.begin() as transaction:
                for _ in range(rows):
                    transaction.append("readings", BODY, at_ns=number)

        def whole(number: int) -> None:
            with journal.begin() as transaction:
                for _ in range(rows):
                    transaction.append("readings", BODY, at_ns=number)
                transaction.set_cursor("gw1", Cursor("ab", number))
                transaction.put_parts({"asset/pump-7": b"y" * 200})

        def pruned(number: int) -> None:
            plain(number)
            if journal.head - journal.lowest >= 1_000:
                empty()

        def empty() -> None:
            while journal.prune(journal.head, before_ns=2**63 - 1):
                pass

        measure("rows only", rows, plain)
        measure("cursor and part", rows, whole)
        empty()
        measure("rows and pruning", rows, pruned)

        while journal.head - journal.lowest < 1_000:
            plain(0)
        started = time.perf_counter()
        after, read = journal.lowest - 1, 0
        while found := journal.rows(after, limit=512, max_bytes=10**6):
            after, read = found[-1].seq, read + len(found)
        print(f"{'reading':<16} {read:>4} rows  {(time.perf_counter() - started) / max(read, 1) * 1e6:.1f} us/row")
    with (folder / "probe").open("wb", buffering=0) as file:

        def probe(_: int) -> None:
            file.write(BODY * rows)
            os.fsync(file.fileno())

        measure("write and fsync", rows, probe)


def main() -> None:
    parent = sys.argv[1] if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        for rows in (1, 10, 100):
            bench(Path(folder), rows)


if __name__ == "__main__":
    main()
