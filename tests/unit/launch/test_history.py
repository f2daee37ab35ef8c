"""`edgemesh history` as a person and a program use it."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edgemesh.cli import main
from edgemesh.commands.history_options import bar
from edgemesh.launch.history_import import bookmark
from edgemesh.launch.plant import journal_file
from edgemesh.model.alerts import AlertState
from edgemesh.model.orders import OrderState
from edgemesh.model.packs import Readings
from edgemesh.model.samples import Batch
from edgemesh.store.influx.settings import InfluxSettings
from edgemesh.store.sink import HistorySink
from tests.unit.launch.small_plant import FILE
from tests.unit.store.influx.parser import parse
from tests.unit.store.influx.stub import serving
from tests.unit.store.test_history import SECOND_NS, START_NS, alert, alerts, order, orders

HOURS = 3


def fill(path: Path) -> None:
    """Three hours of two pumps with two metrics each, a sample a minute, an alert and an order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        sink = HistorySink()
        sink.prepare(connection)
        times = tuple(START_NS + minute * 60 * SECOND_NS for minute in range(HOURS * 60))
        curve = tuple(50.0 + 10.0 * math.sin(minute / 20) for minute in range(len(times)))
        records = tuple(
            Batch(device=f"p{n}", asset=f"pump-{n}", metrics=("flow", "head"), units=("m3/h", "m"), at_ns=times,
                  values=(curve, (float(n),) * len(times)))
            for n in (1, 2)
        )  # fmt: skip
        sink.write(connection, [Readings(agent="g1", epoch="0", seq=1, lowest=1, at_ns=1, records=records)])
        sink.write(connection, [alerts(1, alert(1, AlertState.FIRING)), orders(2, order(1, OrderState.OPEN))])
        connection.execute("COMMIT")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    fill(journal_file(tmp_path / "data", "recorder"))
    return tmp_path / "data"


def call(*words: object) -> Result:
    return CliRunner().invoke(main, ["history", *map(str, words)])


def lines(*words: object) -> list[str]:
    found = call(*words)
    assert found.exit_code == 0, found.output
    return found.stdout.splitlines()


def text_of(line: str) -> str:
    """The point of a line, however it is written."""
    return str(parse(line))


def test_many_series_are_a_table(data: Path) -> None:
    """A line each, with least, mean, greatest, last and a small curve; the last line says what was read."""
    head, *table, foot = lines("query", data, "--last", "3h")
    assert head.split() == ["ASSET", "DEVICE", "METRIC", "READINGS", "LEAST", "MEAN", "GREATEST", "LAST"]
    assert [line.split()[:3] for line in table][:2] == [["pump-1", "p1", "flow"], ["pump-1", "p1", "head"]]
    assert table[1].split()[4:8] == ["180", "1", "1", "1"]
    assert re.fullmatch("[▁▂▃▄▅▆▇█]{24}", table[0].split()[-1])
    assert foot.startswith("4 of 4 series, 720 readings, read as minutes, ")


def test_one_series_is_a_curve(data: Path) -> None:
    """Nine lines with least and greatest value at the left, and its numbers below."""
    head, *curve, axis, numbers, _ = lines("query", data, "--metric", "flow", "--device", "p1", "--last", "3h")
    assert head == "p1/flow [m3/h]  of pump-1, by g1"
    assert len(curve) == 9
    assert (curve[0].split()[0], curve[-1].split()[0]) == ("60.0", "40.0")
    assert all(line.count("•") for line in curve)
    assert axis.split()[0].endswith("Z")
    assert numbers.startswith("least 40.0, mean ")


def test_nothing_is_wider_than_the_terminal(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither table nor curve nor list of alerts breaks a line."""
    monkeypatch.setenv("COLUMNS", "70")
    for words in (["--last", "3h"], ["--metric", "head", "--device", "p2"], ["--what", "alerts"], ["--what", "orders"]):
        assert max(map(len, lines("query", data, *words)[:-1])) <= 70


def test_the_last_hour_counts_back_from_the_newest_reading(data: Path) -> None:
    """What was recorded long ago is shown as well as what is recorded now."""
    found = [json.loads(line) for line in lines("query", data, "--metric", "flow", "--device", "p1", "--json")]
    assert len(found) == 60
    assert found[0].keys() == {"time", "gateway", "asset", "device", "metric", "unit", "value", "quality"}
    some = lines("query", data, "--metric", "flow", "--device", "p1", "--json", "--last", "10min",
                 "--until", json.loads(lines("query", data, "--json", "--every", "raw")[0])["time"])  # fmt: skip
    assert len(some) == 10


def test_csv_in_utc_and_local(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """UTC is said as Z; with --local times carry the offset, and times that are given are of that zone."""
    import time

    words = ("query", data, "--device", "p2", "--metric", "head", "--every", "10m", "--since")
    try:
        monkeypatch.setenv("TZ", "Etc/GMT-5")
        time.tzset()
        utc = list(csv.DictReader(io.StringIO("\n".join(lines(*words, "2023-03-28T10:40", "--csv")))))
        local = list(csv.DictReader(io.StringIO("\n".join(lines(*words, "2023-03-28T15:40", "--csv", "--local")))))
    finally:
        monkeypatch.undo()
        time.tzset()
    assert utc[0]["time"] == "2023-03-28T10:40:00Z"
    assert local[0]["time"] == "2023-03-28T15:40:00+05:00"
    assert [row["count"] for row in utc] == [row["count"] for row in local] == ["10"] * 18


def test_rows_alerts_and_orders(data: Path) -> None:
    """Lists for people."""
    rows = lines("query", data, "--rows", "--metric", "flow", "--last", "2min")
    assert len(rows) == 4
    assert rows[0].split()[1:4] == ["pump-1", "p1/flow", "55.01"]
    head, one = lines("query", data, "--what", "alerts")
    assert head.split() == ["RAISED", "ALERT", "SEVERITY", "STATE", "ASSET", "CAUSE"]
    assert one.split()[2:5] == ["warning", "firing", "pump-1"]
    assert lines("query", data, "--what", "orders")[1].split()[2:5] == ["P2", "open", "pump-1"]


def test_what_is_not_there_is_said(data: Path, tmp_path: Path) -> None:
    """A name that is wrong, with one that is near; a time without readings; a history without any; no history."""
    found = call("query", data, "--metric", "flwo")
    assert found.exit_code == 2
    assert "no metric is called flwo (there are flow" in found.stderr
    found = call("query", data, "--until", "2020-01-01")
    assert (found.exit_code, found.stdout) == (0, "")
    assert "raw readings are kept from 2023-03-28T10:40:00Z" in found.stderr
    found = call("query", data, "--what", "alerts", "--until", "2020-01-01")
    assert (found.stdout, found.stderr) == ("", "no alerts in this time\n")
    assert call("query", tmp_path).exit_code == 2
    other = tmp_path / "x.db"
    other.write_bytes(b"x" * 5_000)
    assert "is no history" in call("query", other).stderr
    assert call("query", data, "--since", "2023-05-01", "--last", "1h").exit_code == 2
    assert call("query", data, "--since", "soon").exit_code == 2
    assert "nothing can lie between" in call("query", data, "--since", "2024-05-02", "--until", "2024-05-01").stderr


def test_a_file_is_whole_or_not_there(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An export that breaks off leaves the former file and no part of a new one."""
    file = tmp_path / "out.csv"
    assert call("export", file, data).exit_code == 0
    before = file.read_bytes()
    assert before.count(b"\n") == 721

    def broken(*_: object) -> Iterator[tuple[object, ...]]:
        yield (START_NS, "g", "a", "d", "m", "1", 1.0, 0)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("edgemesh.launch.history.rows", broken)
    found = call("export", file, data)
    assert found.exit_code == 2
    assert "No space left on device" in found.stderr
    assert file.read_bytes() == before
    assert sorted(each.name for each in tmp_path.iterdir()) == ["data", "out.csv"]


def test_parquet_without_its_library(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says which extra brings it, before any work."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "edgemesh.store.parquet", raising=False)
    found = call("export", tmp_path / "x.parquet", data, "--form", "parquet")
    assert found.exit_code == 2
    assert "pip install 'edgemesh[parquet]'" in found.stderr


def test_parquet(data: Path, tmp_path: Path) -> None:
    """One kind a file; never onto a terminal or pipe."""
    pq = pytest.importorskip("pyarrow.parquet", reason="needs the extra `parquet`")
    file = tmp_path / "x.parquet"
    assert call("export", file, data, "--form", "parquet", "--what", "alerts").exit_code == 0
    assert pq.read_table(file).column("state").to_pylist() == ["firing"]
    assert call("export", "-", data, "--form", "parquet").exit_code == 2
    assert call("export", file, data, "--form", "parquet", "--what", "alerts", "--what", "1m").exit_code == 2


def test_line_protocol_needs_a_site(data: Path, tmp_path: Path) -> None:
    """A data folder does not say which; a configuration does."""
    assert "name its configuration, or give --site" in call("export", "-", data, "--form", "line-protocol").stderr
    found = [parse(line) for line in lines("export", "-", data, "--form", "line-protocol", "--site", "hall")]
    assert [point.measurement for point in found].count("reading") == 720
    assert {point.measurement for point in found} == {"reading", "alert", "workorder"}
    config = tmp_path / "plant.toml"
    config.write_text(FILE.format(data=data))
    named = [parse(line) for line in lines("export", "-", config, "--form", "line-protocol", "--what", "10m")]
    assert {point.tags["site"] for point in named} == {"small"}
    assert len(named) == 72


def test_export_and_import_are_the_same_points(data: Path, tmp_path: Path) -> None:
    """A file that was exported, and the history itself, twice: the server holds the same points, each once."""
    file = tmp_path / "all.lp"
    assert call("export", file, data, "--form", "line-protocol", "--site", "hall").exit_code == 0
    wanted = {text_of(line) for line in file.read_text().splitlines()}
    with serving() as stub:
        target = ("--to", f"{stub.url}/plant", "--org", "o")
        for words in ((file,), ("--from", data, "--site", "hall"), (file,)):
            found = call("import", *words, *target)
            assert found.exit_code == 0, found.output
            assert found.stderr == "722 lines stored in bucket plant\n"
        assert len(stub.stored) == 3 * 722
        assert {text_of(line) for line in stub.stored} == wanted
    assert sorted(each.name for each in tmp_path.iterdir()) == ["all.lp", "data"]


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_readings_of_a_table_are_the_same_points(data: Path, tmp_path: Path, form: str) -> None:
    """CSV and Parquet give the points that line protocol gives; they need the name of the site, and are whole."""
    if form == "parquet":
        pytest.importorskip("pyarrow", reason="needs the extra `parquet`")
    file = tmp_path / f"all.{form}"
    assert call("export", file, data, "--form", form).exit_code == 0
    wanted = lines("export", "-", data, "--form", "line-protocol", "--site", "hall", "--what", "readings")
    with serving() as stub:
        target = ("--to", f"{stub.url}/plant", "--org", "o")
        assert "of which site is this?" in call("import", file, *target).stderr
        found = call("import", file, *target, "--site", "hall")
        assert found.exit_code == 0, found.output
        assert sorted(stub.stored) == sorted(wanted)
        file.write_bytes(file.read_bytes()[:-5])
        found = call("import", file, *target, "--site", "hall")
        assert found.exit_code == 2
        assert file.name in found.stderr


def test_import_says_what_it_needs(data: Path, tmp_path: Path) -> None:
    """From where, to where, and with which login."""
    assert call("import").exit_code == 2
    file = tmp_path / "x.lp"
    file.write_text("a b=1 1\n")
    for words, told in (
        ((), "influxdb: is missing"),
        (("--to", "http://x:1"), "names no bucket"),
        (("--to", "http://x:1/b"), "--org NAME"),
        (("--to", "ftp://x/b", "--org", "o"), "is no address of a server"),
        (("--to", "http://x/b", "--metric", "flow"), "is sent whole"),
    ):
        found = call("import", file, *words)
        assert found.exit_code == 2, words
        assert told in found.stderr
    with serving() as stub:
        stub.answer = lambda some: (401, "no such token", {})
        found = call("import", file, "--to", f"{stub.url}/b", "--org", "o")
        assert found.exit_code == 2
        assert "InfluxDB takes nothing: bucket `b`: 401 no such token" in found.stderr
        stub.answer = lambda some: (400, "bad line", {})
        found = call("import", file, "--to", f"{stub.url}/b", "--org", "o")
        assert found.exit_code == 1
        assert "1 lines refused for good: 400 bad line" in found.stderr


def test_it_goes_on_only_with_the_same(tmp_path: Path) -> None:
    """An interrupted import goes on if source, target and question are the same; a history may have grown."""
    file, influx = tmp_path / "x", InfluxSettings(org="o")
    file.write_text("1")
    for live, grown in ((False, None), (True, ("row", 3))):
        bookmark(file, influx, "a", live=live).keep(("row", 3))
        assert bookmark(file, influx, "a", live=live).read() == ("row", 3)
        assert bookmark(file, influx, "b", live=live).read() is None
        assert bookmark(file, InfluxSettings(org="o", bucket="x"), "a", live=live).read() is None
        file.write_text(file.read_text() + "2")
        assert bookmark(file, influx, "a", live=live).read() == grown


def test_the_configuration_says_where_to(data: Path, tmp_path: Path) -> None:
    """[influxdb] of a configuration: its buckets, roll-ups too."""
    with serving() as stub:
        config = tmp_path / "plant.toml"
        config.write_text(
            FILE.format(data=data) + f'\n[influxdb]\nurl = "{stub.url}"\norg = "o"\nrollup_bucket = "long"\n'
        )
        found = call("import", "--from", config)
        assert found.exit_code == 0, found.output
        assert {re.search("bucket=([a-z]+)", path)[1] for path in stub.paths} == {"edgemesh", "long"}  # type: ignore[index]
        assert {parse(line).measurement for line in stub.stored} == {
            "reading", "reading_1m", "reading_10m", "alert", "workorder",
        }  # fmt: skip


def test_a_bar_is_for_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing of it is in a log or a pipe."""
    with bar("x", 10) as draw:
        draw(5, "")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr("click._termui_impl.isatty", lambda stream: True)
    with bar("x", 10) as draw:
        draw(10, "the server is down")
    told = capsys.readouterr().err
    assert "100%" in told
    assert "waiting: the server is down" in told
