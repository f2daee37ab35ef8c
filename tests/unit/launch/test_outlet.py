"""A whole plant with InfluxDB: readings come there, and what goes wrong with it becomes an alert that ends again."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from edgemesh.agents import runtime
from edgemesh.bus.contract import Message
from edgemesh.bus.memory import MemoryBroker
from edgemesh.configuration.loading import Configuration, load
from edgemesh.errors import ConfigError, StoreError
from edgemesh.health import teller
from edgemesh.health.lines import LineKeeper
from edgemesh.health.logs import Speakers
from edgemesh.launch.plant import build, journal_file
from edgemesh.launch.spool import spool_lines
from edgemesh.model.agents import Card
from edgemesh.model.alerts import Alert, AlertKind, AlertState
from edgemesh.model.told import Score
from edgemesh.store.influx.progress import Dead, Progress
from edgemesh.store.influx.spool import Lane, Spool
from edgemesh.testing import START_NS
from edgemesh.wire import codec
from tests.conftest import Until
from tests.unit.launch.small_plant import FILE, TOPICS, Device
from tests.unit.store.influx.stub import STORED, Answer, serving


def write_config(folder: Path, influxdb: str, file: str = FILE) -> Path:
    path = folder / "plant.toml"
    path.write_text(file.format(data=folder / "data") + "\n[influxdb]\n" + influxdb)
    return path


def test_readings_come_and_a_refused_login_is_an_alert(tmp_path: Path, until: Until) -> None:
    """What gateways read and detectors find is in InfluxDB under its documented names. When the server refuses our
    login, the recorder's card says so and an alert is raised; once it takes lines again the trouble is over.
    """

    async def scenario() -> None:
        with serving() as stub:
            loaded = load(
                write_config(tmp_path, f'url = "{stub.url}"\norg = "o"\nrollup_bucket = "long"\nhealth = "1s"')
            )
            device = Device(healthy=40)
            drivers = {"gateway-1": (("script", device),)}
            broker = MemoryBroker()
            plant = await build(
                Configuration(loaded.file, loaded.settings, drivers),
                connect=lambda client, will: broker.client(client, will=will),
            )
            alerts: dict[str, Alert] = {}
            cards: dict[str, Card] = {}

            def hear(message: Message) -> None:
                if not message.payload:
                    return
                name = message.topic.rpartition("/")[2]
                if "/state/alert/" in message.topic:
                    alerts[name] = codec.decode_alert(message.payload, id=name)
                else:
                    cards[name] = codec.decode_card(message.payload, agent=name)

            def troubles(state: AlertState) -> list[Alert]:
                return [each for each in alerts.values() if each.kind is AlertKind.GATEWAY and each.state is state]

            client = broker.client("watcher")
            client.subscribe(TOPICS.alert("+"), hear)
            client.subscribe(TOPICS.card("+"), hear)
            await client.open()
            await plant.start()
            try:
                await until(lambda: {p.measurement for p in stub.points()} >= {"reading", "alert"}, 20)
                await until(lambda: any(p.measurement == "agent_health" for p in stub.points()), 20)
                device.quiet = True
                refused: Answer = (401, '{"message":"unauthorized access"}', {})
                stub.answer = lambda lines: refused
                await until(lambda: "unauthorized" in cards["recorder"].trouble, 20)
                await until(lambda: troubles(AlertState.FIRING), 20)
                assert troubles(AlertState.FIRING)[0].asset == "recorder"
                assert "unauthorized" in troubles(AlertState.FIRING)[0].cause
                stub.answer = lambda lines: STORED
                assert plant.outlet is not None
                for lane in plant.outlet.sender._lanes:
                    lane.due_s = 0.0
                await until(lambda: not cards["recorder"].trouble, 20)
                stats = cards["recorder"].stats
                assert stats["influx_lines"] > 0
            finally:
                await plant.stop()
                await client.close()
            readings = [p for p in stub.points() if p.measurement == "reading"]
            times = [point.at_ns for point in readings]
            assert len(set(times)) == len(times)
            assert {json.dumps(point.tags, sort_keys=True) for point in readings} == {
                '{"asset": "pump-1", "device": "pump-1", "gateway": "gateway-1", "metric": "flow", "site": "small"}'
            }

    asyncio.run(scenario())


def test_what_is_told_comes_to_influxdb(tmp_path: Path, until: Until, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores of a detector and warnings of agents go over the bus to the recorder, and from there to InfluxDB."""
    monkeypatch.setattr(runtime, "HOUSEKEEPING_S", 0.1)
    monkeypatch.setattr(teller, "EVERY_S", 0.02)

    async def scenario() -> None:
        with serving() as stub:
            loaded = load(write_config(tmp_path, f'url = "{stub.url}"\norg = "o"\nevery = "50ms"'))
            broker = MemoryBroker()
            plant = await build(loaded, connect=lambda client, will: broker.client(client, will=will))
            assert plant.teller is not None
            speakers = Speakers()
            speakers.know("small", {name: agent.role.value for name, agent in plant.agents.items()})
            plant.teller.keeper = LineKeeper(speakers)
            await plant.start()
            try:
                await until(lambda: all(agent.linked for agent in plant.agents.values()))
                plant.agents["detector-1"].asides.append(
                    Score(asset="pump-1", gateway="gateway-1", at_ns=START_NS, score=1.25)
                )
                line = logging.LogRecord("x", logging.WARNING, "f", 1, "%s: hot", ("gateway-1",), None)
                plant.teller.keeper.handle(line)
                await until(lambda: {"score", "logs"} <= {point.measurement for point in stub.points()}, 20)
            finally:
                await plant.stop()
            told = {point.measurement: point for point in stub.points() if point.measurement in ("score", "logs")}
            assert (told["score"].at_ns, told["score"].fields) == (START_NS, {"score": 1.25, "method": "model"})
            assert told["logs"].fields["body"] == "gateway-1: hot"
            assert told["logs"].tags == {"site": "small", "agent": "gateway-1", "severity_text": "WARN"}

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ('url = "ftp://x"', "influxdb.url: is no address of a server"),
        ('url = "http://me:geheim@x:8086"', "influxdb.url: may hold nothing but"),
        ('url = "http://x:8086"', "influxdb.org: is missing"),
        ('org = "o"\nbuket = "x"', "did you mean `bucket`?"),
        ('version = 1\ntoken = "geheim"', "influxdb.token: is not for version 1"),
        ('org = "o"\nuser = "x"\npassword = "geheim"', "influxdb.user: is not for version 2"),
        ('org = "o"\nrollup_bucket = "edgemesh"', "influxdb.rollup_bucket: is the bucket of the readings"),
        ('org = "o"\ntoken = "${NO_SUCH_VARIABLE_1}"', "NO_SUCH_VARIABLE_1 is not set"),
        ('org = "o"\nlines = 6000', "influxdb.lines"),
        ('org = "o"\nevery = "0s"', "influxdb.timeout: and every and health must be longer"),
    ],
)
def test_what_can_not_be_used_is_said_at_the_start(tmp_path: Path, section: str, said: str) -> None:
    """A wrong section is refused with its place and what would be right, and no secret is shown."""
    with pytest.raises(ConfigError) as caught:
        load(write_config(tmp_path, section))
    assert said in str(caught.value)
    assert "geheim" not in str(caught.value)


def test_without_a_recorder_there_is_nothing_to_write(tmp_path: Path) -> None:
    """[influxdb] without [recorder] is refused: it is the recorder that writes."""
    file = FILE.replace("[recorder]", "")
    with pytest.raises(ConfigError, match="recorder: is missing"):
        load(write_config(tmp_path, 'org = "o"', file))


def test_secrets_are_never_printed(tmp_path: Path) -> None:
    """Neither token nor password is in what settings look like."""
    loaded = load(write_config(tmp_path, 'org = "o"\ntoken = "geheim"'))
    assert "geheim" not in repr(loaded.settings)
    assert "***" in repr(loaded.settings)


def test_the_sample_can_be_used(tmp_path: Path) -> None:
    """The section that configs/factory.toml shows is right as it stands, once its signs are taken away."""
    sample = (Path(__file__).parents[3] / "configs" / "factory.toml").read_text()
    begin = sample.index("# [influxdb]")
    end = sample.index("\n\n", begin)
    section = "\n".join(line.removeprefix("# ") for line in sample[begin:end].splitlines())
    path = tmp_path / "factory.toml"
    path.write_text(sample[:begin] + section + "\n" + sample[end:])
    influx = load(path, environment={"INFLUX_TOKEN": "geheim"}).settings.influxdb
    assert influx is not None
    assert (influx.token.reveal(), influx.rollup_bucket) == ("geheim", "edgemesh-long")


def test_the_spool_is_shown(tmp_path: Path) -> None:
    """`edgemesh spool` says what waits, what gave way, and why what was refused was."""
    loaded = load(write_config(tmp_path, 'org = "o"'))
    path = journal_file(loaded.data, "recorder")
    with pytest.raises(StoreError, match="no recorder's file yet"):
        spool_lines(loaded, limit=5)
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE other (x)")
        assert "nothing was ever to go" in spool_lines(loaded, limit=5)[0]
        progress = Progress()
        spool = Spool(progress)
        spool.prepare(connection)
        spool.put(connection, Lane.READINGS, ["m v=1 1", "m v=2 2"])
        progress.bury(Dead("key", 1, 3, "400 no", b"bad v=1 1\nbad v=1 2"))
        spool.keep_house(connection, 1_700_000_000 * 10**9)
        lines = spool_lines(loaded, limit=5)
        assert lines[0].split()[:5] == ["readings", "and", "health", "2", "lines"]
        assert lines[1:] == [
            "0 lines gave way ever, 3 were refused for good",
            "2023-11-14 22:13:20Z  3 lines: 400 no",
            "    bad v=1 1",
        ]
