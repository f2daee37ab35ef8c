"""InfluxDB 1.6.7 and VictoriaMetrics, the real ones: killed, frozen and started again, every reading is there once."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from edgemesh.bus.ports import take_ports
from edgemesh.launch.outlet import InfluxOutlet, build_outlet
from edgemesh.model.alerts import Alert, AlertKind, AlertState, Severity
from edgemesh.model.ids import derive_id
from edgemesh.model.packs import Alerts, Readings
from edgemesh.model.samples import Batch
from edgemesh.model.settings import Seconds, Secret
from edgemesh.model.told import Line, LineLevel, Lines, Score, Scores
from edgemesh.store.influx.measurements import MEASUREMENTS
from edgemesh.store.influx.settings import InfluxSettings
from edgemesh.store.schema import MINUTE_NS
from edgemesh.store.sink import HistorySink
from grafana.observe.server import CONFIGURATION
from tests.conftest import WaitFor

SECOND_NS = 10**9
START_NS = 28_500_000 * MINUTE_NS
"""In 2024: neither server keeps what is to come."""
DEVICES, METRICS = 10, ("flow", "pressure", "current")


def need(program: str, package: str) -> str:
    """Where the program is. Not installed: skip with a hint, but fail in CI."""
    found = shutil.which(program)
    if found is None:
        hint = f"needs a real {program}; install it (Debian: apt install {package})"
        if os.environ.get("CI"):
            pytest.fail(hint)
        pytest.skip(hint)
    return found


class Server:
    """A server in a folder of its own, on a port that stays the same over restarts."""

    def __init__(self, command: list[str], port: int, ping: str, log: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._command, self._ping, self._log = command, ping, log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Run it and return when it answers."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(self.url + self._ping, timeout=1).close()
                return
            except (OSError, urllib.error.URLError):
                assert self.process.poll() is None, self._log.read_text(errors="replace")[-2_000:]
                assert time.monotonic() < deadline, "the server did not start"
                time.sleep(0.02)

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it as a power cut would. May be called again."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None

    def stop(self) -> None:
        """End it in order."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        self.process.wait(20)
        self.process = None

    def ask(self, path: str, **query: str) -> bytes:
        with urllib.request.urlopen(f"{self.url}{path}?{urllib.parse.urlencode(query)}", timeout=10) as answer:
            body: bytes = answer.read()
            return body

    def influxql(self, query: str, database: str = "", **login: str) -> list[dict[str, Any]]:
        """The series that a query of 1.x gives."""
        data = urllib.parse.urlencode({"q": query, "db": database}).encode()
        with urllib.request.urlopen(f"{self.url}/query?{urllib.parse.urlencode(login)}", data, timeout=20) as answer:
            found = json.loads(answer.read())["results"][0]
        assert "error" not in found, found
        series: list[dict[str, Any]] = found.get("series", [])
        return series


@contextlib.contextmanager
def running(server: Server) -> Iterator[Server]:
    try:
        server.start()
        yield server
    finally:
        with contextlib.suppress(AssertionError, ProcessLookupError):
            server.signal(signal.SIGCONT)
        server.kill()


def make_influxd(folder: Path, *, auth: bool = False) -> Server:
    program = need("influxd", "influxdb")
    port, other = take_ports(2)
    file = folder / "influxd.toml"
    file.write_text(CONFIGURATION.format(folder=folder, port=port, other=other, auth=str(auth).lower()))
    return Server([program, "run", "-config", str(file)], port, "/ping", folder / "influxd.log")


@pytest.fixture
def influxd(tmp_path: Path) -> Iterator[Server]:
    """InfluxDB 1.x with the databases `plant` and `plant-long`."""
    with running(make_influxd(tmp_path)) as server:
        for database in ("plant", "plant-long"):
            server.influxql(f'CREATE DATABASE "{database}"')
        yield server


@pytest.fixture
def victoria(tmp_path: Path) -> Iterator[Server]:
    """VictoriaMetrics, which takes `/api/v2/write` as it is."""
    program = need("victoria-metrics", "victoria-metrics")
    (port,) = take_ports(1)
    command = [
        program,
        f"-httpListenAddr=127.0.0.1:{port}",
        f"-storageDataPath={tmp_path / 'vm'}",
        "-retentionPeriod=100y",
        "-dedup.minScrapeInterval=1ms",
        "-loggerLevel=ERROR",
    ]
    with running(Server(command, port, "/health", tmp_path / "victoria.log")) as server:
        yield server


class Recorder:
    """A recorder's database with history and outlet; `load` writes packs and keeps house in a thread, as an agent."""

    def __init__(self, path: Path, settings: InfluxSettings) -> None:
        self.path, self.settings = path, settings
        self.seq = 0
        self.written = 0
        self._ends = threading.Event()
        self.open()

    def open(self) -> None:
        self.connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.outlet: InfluxOutlet = build_outlet("hall", self.settings, self.path)
        self.sink = HistorySink(mirror=self.outlet.mirror, raw_s=1e9)
        with self.transaction():
            self.sink.prepare(self.connection)
        self.outlet.start()

    def close(self) -> None:
        self.outlet.stop()
        self.connection.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        self.connection.execute("BEGIN IMMEDIATE")
        yield
        self.connection.execute("COMMIT")

    def write(self, samples: int = 10) -> None:
        """One pack: so many samples of each metric of each device, each with a value of its own."""
        first, self.seq = self.seq * samples, self.seq + 1
        times = tuple(START_NS + (first + n) * SECOND_NS // 10 for n in range(samples))
        batches = tuple(
            Batch(
                device=f"d{d}",
                asset="pump-1",
                metrics=METRICS,
                units=("1",) * len(METRICS),
                at_ns=times,
                values=tuple(tuple(float(first + n + 1) for n in range(samples)) for _ in METRICS),
            )
            for d in range(DEVICES)
        )
        pack = Readings(agent="g1", epoch="0", seq=self.seq, lowest=1, at_ns=times[-1], records=batches)
        with self.transaction():
            self.sink.write(self.connection, [pack])
        self.written += samples

    def keep_house(self) -> None:
        with self.transaction():
            self.sink.trim(self.connection, START_NS + self.written * SECOND_NS // 10)

    @contextlib.contextmanager
    def load(self, per_s: float = 40.0) -> Iterator[None]:
        """Write so many packs a second while the block runs."""
        ends = threading.Event()

        def work() -> None:
            while not ends.wait(1 / per_s):
                self.write()
                if self.seq % 10 == 0:
                    self.keep_house()

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            ends.set()
            thread.join(20)

    def is_empty(self) -> bool:
        self.keep_house()
        (rows,) = self.connection.execute("SELECT count(*) FROM influx_spool").fetchone()
        return int(rows) == 0


@contextlib.contextmanager
def recording(path: Path, **settings: Any) -> Iterator[Recorder]:
    told = {"timeout": Seconds(1.0), "every": Seconds(0.1), "health": Seconds(1e6)} | settings
    made = Recorder(path / "recorder.db", InfluxSettings(**told))
    try:
        yield made
    finally:
        made.close()


def complete(server: Server, written: int) -> None:
    """Each reading is there, once, with its value."""
    many, total = float(written), written * (written + 1) / 2
    found = server.influxql("SELECT count(value), sum(value), max(value) FROM reading GROUP BY device, metric", "plant")
    assert {(each["tags"]["device"], each["tags"]["metric"]) for each in found} == {
        (f"d{d}", metric) for d in range(DEVICES) for metric in METRICS
    }
    for each in found:
        assert each["values"][0][1:] == [many, total, many], each


def test_every_reading_is_there_once_whatever_happens_to_the_server(
    influxd: Server, tmp_path: Path, wait_for: WaitFor
) -> None:
    """InfluxDB is killed under load, started again, frozen past the time-out, thawed; the recorder starts anew, too.

    Afterwards every reading is there exactly once, and the spool is empty. Nothing of the load waited for it.
    """
    with recording(tmp_path, url=influxd.url, version=1, bucket="plant", rollup_bucket="plant-long") as recorder:
        with recorder.load():
            wait_for(lambda: recorder.outlet.mirror.stats()["influx_lines"] > 3_000, 20)
            for _ in range(2):
                influxd.kill()
                before = recorder.seq
                wait_for(lambda: recorder.outlet.sender._progress.health.failing, 20)
                wait_for(lambda before=before: recorder.seq > before + 40, 20)
                influxd.start()
                wait_for(lambda: not recorder.outlet.sender._progress.health.failing, 20)
            influxd.signal(signal.SIGSTOP)
            wait_for(lambda: recorder.outlet.sender._progress.health.failing, 20)
            influxd.signal(signal.SIGCONT)
            wait_for(lambda: not recorder.outlet.sender._progress.health.failing, 20)
        recorder.close()
        recorder.open()
        with recorder.load():
            wait_for(lambda: recorder.outlet.mirror.stats()["influx_lines"] > 1_000, 20)
        wait_for(recorder.is_empty, 40)
        stats = recorder.outlet.mirror.stats()
        assert (stats["influx_dead"], stats["spool_dropped"]) == (0.0, 0.0)
        complete(influxd, recorder.written)
        rollups = influxd.influxql('SELECT sum("count") FROM reading_1m', "plant-long")
        over = (recorder.written // 10 - 5) // 60 * 60 * 10
        assert rollups[0]["values"][0][1] == over * DEVICES * len(METRICS) > 0


def test_a_long_outage_costs_no_memory(influxd: Server, tmp_path: Path, wait_for: WaitFor) -> None:
    """InfluxDB is down for long (EDGEMESH_OUTAGE_S; in CI a minute) under 4,500 readings a second: the recorder's
    memory stays flat, its writes do not wait, and afterwards everything is there.
    """
    outage_s = float(os.environ.get("EDGEMESH_OUTAGE_S", "60" if os.environ.get("CI") else "5"))
    with recording(tmp_path, url=influxd.url, version=1, bucket="plant") as recorder:
        health = recorder.outlet.sender._progress.health
        with recorder.load(15.0):
            wait_for(lambda: health.sent_lines > 5_000, 20)
            influxd.kill()
            wait_for(lambda: health.failing, 20)
            before, began_s, first = resident_bytes(), time.monotonic(), recorder.seq
            wait_for(lambda: time.monotonic() - began_s > outage_s, outage_s + 20)
            grown, packs = resident_bytes() - before, recorder.seq - first
            influxd.start()
        assert packs > 5 * outage_s, "the load waited for the server"
        waiting = recorder.written - health.sent_lines // (DEVICES * len(METRICS))
        assert waiting * DEVICES * len(METRICS) > 1_000 * outage_s
        assert grown < 30e6, f"{grown / 1e6:.1f} MB more after {packs} packs"
        wait_for(recorder.is_empty, 60 + outage_s)
        complete(influxd, recorder.written)


def feed(folder: str, url: str, first: int) -> None:
    """What a recorder's process does until it is killed; `first` is the pack to begin with."""
    with recording(Path(folder), url=url, version=1, bucket="plant") as recorder:
        recorder.seq = first
        while True:
            recorder.write()
            if recorder.seq % 5 == 0:
                recorder.keep_house()


def has_kept(database: Path, at_ns: int) -> bool:
    """Whether a history has come to this time; False as long as it is not there."""
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(database)) as look:
        query = "SELECT 1 FROM reading WHERE minute >= ? AND at_ns > ? LIMIT 1"
        return look.execute(query, (at_ns // MINUTE_NS, at_ns)).fetchone() is not None
    return False


def test_what_a_killed_recorder_has_kept_is_there_once(influxd: Server, tmp_path: Path, wait_for: WaitFor) -> None:
    """Recorders are killed in the middle of their work, again and again: what their history holds is in InfluxDB,
    reading by reading, and nothing else is.
    """
    database = tmp_path / "recorder.db"
    for run in range(4):
        first = run * 10_000
        call = f"from tests.services.test_influxdb import feed; feed({str(tmp_path)!r}, {influxd.url!r}, {first})"
        process = subprocess.Popen([sys.executable, "-c", call], cwd=Path(__file__).parents[2])
        try:
            wait_for(partial(has_kept, database, START_NS + (first + 20 + 3 * run) * SECOND_NS), 30)
            assert process.poll() is None
        finally:
            process.kill()
            process.wait(10)
    with recording(tmp_path, url=influxd.url, version=1, bucket="plant") as recorder:
        wait_for(recorder.is_empty, 60)
        query = "SELECT device, metric, at_ns, value FROM reading JOIN series ON series.id = reading.series"
        kept = sorted(recorder.connection.execute(query))
        found = influxd.influxql("SELECT value FROM reading GROUP BY device, metric", "plant", epoch="ns")
        there = [
            (each["tags"]["device"], each["tags"]["metric"], at_ns, float(value))
            for each in found
            for at_ns, value in each["values"]
        ]
        assert len(kept) > 20_000
        assert sorted(there) == kept


def resident_bytes() -> int:
    """What of this process is in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_what_is_written_has_the_documented_types(influxd: Server, tmp_path: Path, wait_for: WaitFor) -> None:
    """Tags and field types on a real server are those of docs/measurements.md."""
    with recording(
        tmp_path, url=influxd.url, version=1, bucket="plant", max_series=40, health=Seconds(0.1)
    ) as recorder:
        from edgemesh.model.agents import Card, Presence, Role
        from edgemesh.model.spans import Link, Span

        stats = dict.fromkeys((name for each in MEASUREMENTS.values() for name in each.fields), 1.0)
        card = Card(agent="g1", role=Role.GATEWAY, state=Presence.UP, incarnation="1", beat=1, stats=stats, trouble="x")
        recorder.outlet.mirror.see(card, retained=False)
        scored = Score(asset="pump-1", gateway="g1", at_ns=START_NS, score=1.5, device="p1", metric="flow")
        recorder.outlet.mirror.told.take_in(Scores(agent="d", every_s=10.0, scores=(scored,)))
        line = Line(at_ns=START_NS, level=LineLevel.ERROR, body="g1: hot", logger="x", trace_id="4b", span_id="0f")
        recorder.outlet.mirror.told.take_in(Lines(agent="g1", lines=(line,), left_out=2))
        alert = Alert(
            id=derive_id("x"), version=1, asset="pump-1", kind=AlertKind.MACHINE, state=AlertState.FIRING,
            severity=Severity.CRITICAL, cause='a "cause", with = and \\', evidence=(), onset_at_ns=START_NS,
            raised_at_ns=START_NS, at_ns=START_NS, gateway="g1", model="m",
        )  # fmt: skip
        link = Link(trace_id="b" * 32, span_id="c" * 16)
        span = Span(
            trace_id="a" * 32, span_id="d" * 16, parent="e" * 16, name="score", role=Role.DETECTOR, agent="d1",
            start_ns=START_NS, error="failed", attributes={"edgemesh.version": 1}, links=(link,),
        )  # fmt: skip
        with recorder.transaction():
            pack = Alerts(agent="d", epoch="0", seq=1, lowest=1, at_ns=1, records=(alert,))
            recorder.sink.write(recorder.connection, [pack])
            recorder.outlet.mirror.spans(recorder.connection, [span])
        recorder.write()
        wait_for(recorder.is_empty, 20)
        for name in (
            "reading",
            "alert",
            "agent_health",
            "mqtt_link",
            "pipeline",
            "spans",
            "span-links",
            "score",
            "logs",
        ):
            table = MEASUREMENTS[name]
            for field, kind in influxd.influxql(f'SHOW FIELD KEYS FROM "{name}"', "plant")[0]["values"]:
                assert table.fields[field][0] == kind
            tags = {tag for (tag,) in influxd.influxql(f'SHOW TAG KEYS FROM "{name}"', "plant")[0]["values"]}
            assert tags == table.tags.keys()
        found = influxd.influxql("SELECT cause FROM alert", "plant")[0]["values"][0][1]
        assert found == alert.cause


def test_a_type_that_does_not_fit_costs_only_its_lines(influxd: Server, tmp_path: Path, wait_for: WaitFor) -> None:
    """Somebody else has made `value` of one device a text: those lines are dead letters, the others are all there."""
    line = f'reading,site=hall,device=d3,gateway=g1,asset=pump-1,metric=flow value="text" {START_NS - MINUTE_NS}'
    urllib.request.urlopen(f"{influxd.url}/write?db=plant", line.encode(), timeout=10).close()
    with recording(tmp_path, url=influxd.url, version=1, bucket="plant") as recorder:
        recorder.write()
        wait_for(recorder.is_empty, 30)
        dead = recorder.connection.execute("SELECT sum(lines), max(reason) FROM influx_dead").fetchone()
        assert dead[0] > 0
        assert "field type conflict" in dead[1]
        assert recorder.outlet.mirror.notice.startswith("InfluxDB has refused lines for good")


def test_a_wrong_password_holds_until_it_is_right(tmp_path: Path, wait_for: WaitFor) -> None:
    """With a login that the server refuses nothing is lost and the card says why; after a restart with the right one
    everything is there.
    """
    with running(make_influxd(tmp_path, auth=True)) as server:
        login = {"u": "root", "p": "right"}
        server.influxql("CREATE USER root WITH PASSWORD 'right' WITH ALL PRIVILEGES")
        server.influxql('CREATE DATABASE "plant"', **login)
        told = {"url": server.url, "version": 1, "bucket": "plant", "user": "root"}
        with recording(tmp_path, **told, password=Secret("wrong")) as recorder:
            recorder.write()
            wait_for(lambda: "401" in recorder.outlet.mirror.trouble, 20)
            assert not recorder.is_empty()
        with recording(tmp_path, **told, password=Secret("right")) as recorder:
            wait_for(recorder.is_empty, 20)
            found = server.influxql("SELECT count(value) FROM reading", "plant", **login)
            assert found[0]["values"][0][1] == 10 * DEVICES * len(METRICS)


def test_a_missing_database_holds_until_it_is_made(influxd: Server, tmp_path: Path, wait_for: WaitFor) -> None:
    """A bucket that is not there holds its lines and says so."""
    with recording(tmp_path, url=influxd.url, version=1, bucket="nowhere") as recorder:
        recorder.write()
        wait_for(lambda: "`nowhere`: 404" in recorder.outlet.mirror.trouble, 20)
        assert not recorder.is_empty()


def test_victoria_metrics_has_every_reading_after_a_restart(
    victoria: Server, tmp_path: Path, wait_for: WaitFor
) -> None:
    """The unmodified way of InfluxDB 2, with a server that is stopped, started, frozen and thawed under load.

    It is not killed: it says yes before it has written, and what it loses then is its own promise. Points that come
    twice are one with its setting for that, at its resolution of a millisecond.
    """
    with recording(tmp_path, url=victoria.url, org="any", bucket="plant") as recorder:
        health = recorder.outlet.sender._progress.health
        with recorder.load():
            wait_for(lambda: health.sent_lines > 2_000, 20)
            victoria.stop()
            wait_for(lambda: health.failing, 20)
            victoria.start()
            wait_for(lambda: not health.failing, 20)
            victoria.signal(signal.SIGSTOP)
            wait_for(lambda: health.failing, 20)
            victoria.signal(signal.SIGCONT)
            wait_for(lambda: not health.failing, 20)
        wait_for(recorder.is_empty, 40)
        victoria.ask("/internal/force_flush")
        query = {"match[]": "reading_value", "start": str(START_NS // SECOND_NS - 10)}
        values: dict[tuple[str, str], list[float]] = {}
        for row in map(json.loads, victoria.ask("/api/v1/export", **query).splitlines()):
            values.setdefault((row["metric"]["device"], row["metric"]["metric"]), []).extend(row["values"])
        wanted = [float(n + 1) for n in range(recorder.written)]
        assert len(values) == DEVICES * len(METRICS)
        assert all(sorted(found) == wanted for found in values.values())
