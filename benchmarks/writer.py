"""What a line for InfluxDB costs: `python benchmarks/writer.py [--lines 200000] [--url http://HOST:8086 --db NAME]`.

In one run: our way (history's mirror, spool with commits as a recorder makes them, sender), influxdb-client with Points
in synchronous mode, and its batching mode. CPU is that of this process with all its threads; the server is another one:
a stub that reads and says 204, or with `--url` an InfluxDB 1.x that is there.
"""

from __future__ import annotations

import argparse
import json
import math
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from edgemesh.launch.outlet import build_outlet
from edgemesh.model.packs import Readings
from edgemesh.model.samples import Batch
from edgemesh.store.influx.settings import InfluxSettings
from edgemesh.store.sink import HistorySink

START_NS = 1_714_521_600_000_000_000
METRICS = ("pressure", "flow", "temperature", "vibration", "current")
DEVICES = 20
PER_BATCH = 10
GROUP = 4
"""Packs of one commit, as a busy recorder makes them."""
ROUNDS = 3


def serve() -> None:
    """Answer 204 to whatever comes, until somebody ends the process; print the port first."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the library's own word
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


@contextmanager
def stub() -> Iterator[str]:
    process = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.kill()
        process.wait()


def value(device: int, metric: int, sample: int) -> float:
    return 20.0 + metric + device / 8 + math.sin(sample / 60)


def packs(lines: int) -> list[Readings]:
    per_pack = DEVICES * len(METRICS) * PER_BATCH
    made = []
    for seq in range(1, lines // per_pack + 1):
        first = (seq - 1) * PER_BATCH
        times = tuple(START_NS + (first + n) * 100_000_000 for n in range(PER_BATCH))
        batches = tuple(
            Batch(
                device=f"pump-{d}",
                asset=f"pump-{d}",
                metrics=METRICS,
                units=("1",) * len(METRICS),
                at_ns=times,
                values=tuple(tuple(value(d, m, first + n) for n in range(PER_BATCH)) for m in range(len(METRICS))),
            )
            for d in range(DEVICES)
        )
        made.append(Readings(agent="gateway", epoch="0", seq=seq, lowest=1, at_ns=times[-1], records=batches))
    return made


def measure(work: Callable[[], None]) -> tuple[float, float]:
    """Seconds, and seconds of CPU."""
    began, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began, time.process_time() - cpu


def record(made: list[Readings], settings: InfluxSettings | None, then: Callable[[sqlite3.Connection], None]) -> None:
    """Write packs as a recorder does, with or without a mirror, and go on with the database."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recorder.db"
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            outlet = build_outlet("plant", settings, path) if settings else None
            sink = HistorySink(mirror=outlet.mirror if outlet else None)
            sink.prepare(connection)
            for start in range(0, len(made), GROUP):
                connection.execute("BEGIN IMMEDIATE")
                sink.write(connection, made[start : start + GROUP])
                connection.execute("COMMIT")
            then(connection)
            if outlet:
                while not outlet.sender.step():
                    pass
                lines = sum(len(METRICS) * DEVICES * PER_BATCH for _ in made)
                assert outlet.mirror.stats()["influx_lines"] == lines, outlet.mirror.notice
                outlet.mirror.trim(connection, START_NS)


def points(lines: int) -> Iterator[Any]:
    """The same readings as Points."""
    from influxdb_client.client.write.point import Point
    from influxdb_client.domain.write_precision import WritePrecision

    make: Callable[..., Any] = Point
    for sample in range(lines // (DEVICES * len(METRICS))):
        at_ns = START_NS + sample * 100_000_000
        for d in range(DEVICES):
            for m, metric in enumerate(METRICS):
                yield (
                    make("reading")
                    .tag("asset", f"pump-{d}")
                    .tag("device", f"pump-{d}")
                    .tag("gateway", "gateway")
                    .tag("metric", metric)
                    .tag("site", "plant")
                    .field("value", value(d, m, sample))
                    .time(at_ns, WritePrecision.NS)
                )


def client(url: str) -> Any:
    from influxdb_client.client.influxdb_client import InfluxDBClient

    make: Callable[..., Any] = InfluxDBClient
    return make(url, token="any", org="any", timeout=30_000, enable_gzip=True)


def write_points(url: str, lines: int) -> None:
    from influxdb_client.client.write_api import SYNCHRONOUS

    with client(url) as each, each.write_api(write_options=SYNCHRONOUS) as api:
        lot: list[Any] = []
        for point in points(lines):
            lot.append(point)
            if len(lot) == 5_000:
                api.write("bucket", "any", lot)
                lot = []
        if lot:
            api.write("bucket", "any", lot)


def write_batching(url: str, lines: int) -> None:
    from influxdb_client.client.write_api import WriteOptions

    make: Callable[..., Any] = WriteOptions
    with client(url) as each, each.write_api(write_options=make(batch_size=5_000, flush_interval=1_000)) as api:
        for point in points(lines):
            api.write("bucket", "any", point)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=200_000)
    parser.add_argument("--url", help="an InfluxDB 1.x instead of the stub, for our way")
    parser.add_argument("--db", default="bench")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
        return
    made, fewer = packs(options.lines), options.lines // 4
    lines = len(made) * DEVICES * len(METRICS) * PER_BATCH
    spool: list[float] = []

    def look(connection: sqlite3.Connection) -> None:
        (size,) = connection.execute("SELECT sum(length(body)) FROM influx_spool").fetchone()
        spool.append(size / lines)

    with stub() as url:
        settings = InfluxSettings(url=url, org="any")
        if options.url:
            query = f"{options.url}/query?q=CREATE+DATABASE+{options.db}"
            urllib.request.urlopen(urllib.request.Request(query, method="POST"), timeout=10).close()
            settings = InfluxSettings(url=options.url, version=1, bucket=options.db)
        found: dict[str, list[tuple[float, float]]] = {}
        for _ in range(ROUNDS):
            for name, count, work in (
                ("history alone", lines, lambda: record(made, None, lambda connection: None)),
                ("history and InfluxDB", lines, lambda: record(made, settings, look)),
                ("Points, synchronous", fewer, lambda: write_points(url, fewer)),
                ("Points, batching", fewer, lambda: write_batching(url, fewer)),
            ):
                took, cpu = measure(work)
                found.setdefault(name, []).append((count / took, 1e6 * cpu / count))
    figures = {name: tuple(map(statistics.median, zip(*each, strict=True))) for name, each in found.items()}
    ours = [
        both[1] - alone[1] for both, alone in zip(found["history and InfluxDB"], found["history alone"], strict=True)
    ]
    mirror = statistics.median(ours)
    if options.json:
        print(json.dumps({"figures": figures, "mirror_us": mirror, "spool_bytes": spool[-1]}))
        return
    print(f"{lines:,} lines of ours, {fewer:,} of each other way; medians of {ROUNDS} rounds")
    for name, (per_s, us) in figures.items():
        print(f"{name:<24}{per_s:>12,.0f} lines/s  {us:>8.2f} µs of CPU a line")
    print(f"{'InfluxDB alone':<24}{'':>20}  {mirror:>8.2f} µs of CPU a line, {spool[-1]:.1f} bytes a line in the spool")
    for name in ("Points, synchronous", "Points, batching"):
        print(f"{name}: {figures[name][1] / mirror:.1f} times the CPU of ours")


if __name__ == "__main__":
    main()
