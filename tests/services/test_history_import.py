"""A history that is sent to a real InfluxDB later, beside what was mirrored, again and interrupted, is there once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgemesh.cli import main
from edgemesh.model.agents import Role
from edgemesh.store.influx.client import InfluxClient
from edgemesh.store.influx.verdict import Reply
from tests.conftest import WaitFor
from tests.services.test_influxdb import DEVICES, METRICS, Server, make_influxd, recording, running
from tests.unit.launch.small_plant import FILE

CONFIG = """
[influxdb]
url = "{url}"
version = 1
bucket = "plant"
rollup_bucket = "plant-long"
"""
QUERIES = (
    ("plant", "SELECT * FROM reading GROUP BY *"),
    ("plant-long", "SELECT * FROM reading_1m GROUP BY *"),
    ("plant-long", "SELECT * FROM reading_10m GROUP BY *"),
)


@pytest.fixture
def influxd(tmp_path: Path) -> Iterator[Server]:
    """InfluxDB 1.x with the databases `plant` and `plant-long`."""
    with running(make_influxd(tmp_path)) as server:
        for database in ("plant", "plant-long"):
            server.influxql(f'CREATE DATABASE "{database}"')
        yield server


def held(server: Server) -> list[object]:
    return [server.influxql(query, database, epoch="ns") for database, query in QUERIES]


def call(*words: object) -> int:
    found = CliRunner().invoke(main, ["history", "import", *map(str, words)])
    return found.exit_code


def test_twice_is_once(influxd: Server, tmp_path: Path, wait_for: WaitFor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of a history was mirrored, half came while there was no InfluxDB; then all of it is sent, while the recorder
    goes on, twice, and once more after an interruption: each reading and roll-up is there once, with its value.
    """
    data = tmp_path / "data"
    (data / "agents").mkdir(parents=True)
    config = tmp_path / "plant.toml"
    config.write_text(FILE.replace('"small"', '"hall"').format(data=data) + CONFIG.format(url=influxd.url))
    told = {"url": influxd.url, "version": 1, "bucket": "plant", "rollup_bucket": "plant-long"}
    with recording(data / "agents", **told) as recorder:
        for _ in range(70):
            recorder.write()
        wait_for(recorder.is_empty, 40)
    with closing(sqlite3.connect(data / "agents" / f"{Role.RECORDER}.db")) as connection:
        connection.execute("DELETE FROM influx_due")
        connection.commit()
    with recording(data / "agents", url="http://127.0.0.1:9", version=1, bucket="plant") as recorder:
        recorder.seq = 70
        recorder.written = 700
        for _ in range(70):
            recorder.write()
        assert call("--from", config) == 0
        once = held(influxd)
        found = influxd.influxql("SELECT count(value), sum(value) FROM reading GROUP BY device, metric", "plant")
        assert len(found) == DEVICES * len(METRICS)
        assert {tuple(each["values"][0][1:]) for each in found} == {(1_400, 1_400 * 1_401 / 2)}
        minutes = influxd.influxql('SELECT sum("count") FROM reading_1m', "plant-long")
        assert minutes[0]["values"][0][1] == 1_400 * DEVICES * len(METRICS)
        assert call("--from", config) == 0
        assert held(influxd) == once

        sent: list[int] = []
        write = InfluxClient.write

        def breaks(self: InfluxClient, bucket: str, body: bytes) -> Reply:
            sent.append(body.count(b"\n") + 1)
            if len(sent) == 3:
                raise KeyboardInterrupt
            return write(self, bucket, body)

        monkeypatch.setattr(InfluxClient, "write", breaks)
        assert call("--from", config) == 130
        monkeypatch.setattr("edgemesh.launch.history_import.SAVE_EVERY_S", 0.0)
        assert call("--from", config) == 0
        assert held(influxd) == once
    assert [each.name for each in (data / "agents").glob("*import*")] == []
