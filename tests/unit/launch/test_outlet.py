"""A whole plant with InfluxDB: readings come there, and what goes wrong with it becomes an alert that ends again."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from edgemesh.bus.contract import Message
from edgemesh.bus.memory import MemoryBroker
from edgemesh.configuration.loading import Configuration, load
from edgemesh.errors import ConfigError
from edgemesh.launch.plant import build
from edgemesh.model.agents import Card
from edgemesh.model.alerts import Alert, AlertKind, AlertState
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
                for outlet in plant.outlets:
                    for lane in outlet.sender._lanes:
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
