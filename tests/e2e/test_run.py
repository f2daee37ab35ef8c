"""A plant that runs: hostile devices are refused, a broker that is killed in the middle loses nothing accepted."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from edgemesh.bus.address import Address
from edgemesh.bus.mqtt import MqttBus
from edgemesh.log.journal import Journal
from edgemesh.model.samples import Batch
from edgemesh.store.history import History
from edgemesh.wire import codec
from tests.conftest import Mosquitto
from tests.e2e.command import Running, call, running, wait_for

Until = Callable[..., Awaitable[None]]

PLANT = """
[site]
id = "plant"
data = "data"
broker = "{broker}"

[[gateway]]
id = "gateway-1"

[[gateway.driver]]
type = "mqtt_json"
topic = "hall/{{device}}/data"
device_field = "id"
time = "t"
time_format = "ms"

[gateway.driver.metrics]
flow = "flow"

[recorder]
keep_raw = "1000d"

[outbox]
keep = "1h"
"""
START_MS = int(time.time() * 1000) - 600_000


@pytest.fixture
def plant(tmp_path: Path) -> Callable[[str], Path]:
    """Write the plant's file for a broker."""

    def write(broker: str) -> Path:
        (tmp_path / "plant.toml").write_text(PLANT.format(broker=broker))
        return tmp_path / "plant.toml"

    return write


def _say(number: int, value: str = "", device: str = "pump-1") -> bytes:
    return f'{{"id":"{device}","t":{START_MS + number},"flow":{value or float(number)}}}'.encode()


def _accepted(folder: Path) -> Counter[tuple[int, float | None]]:
    """What the gateway has committed."""
    journal = Journal.peek(folder / "data" / "agents" / "gateway-1.db")
    try:
        rows = journal.rows(0, limit=1_000_000, max_bytes=2**40)
    finally:
        journal.close()
    found: Counter[tuple[int, float | None]] = Counter()
    for row in rows:
        for batch in codec.decode_body(row.kind, row.body):
            assert isinstance(batch, Batch)
            found.update(zip(batch.at_ns, batch.values[0], strict=True))
    return found


def _recorded(folder: Path) -> tuple[dict[int, float], int]:
    """What the history holds by time, and how many readings ever came to it."""
    file = folder / "data" / "agents" / "recorder.db"
    with History(file) as history:
        if not history.series():
            return {}, 0
        curve = history.readings(device="pump-1", metric="flow", resolution="raw", max_points=None)
        return {point.at_ns: point.mean for point in curve.points}, history.counts().readings


def _is_up(folder: Path) -> bool:
    return (folder / "data" / "agents" / "recorder.db").exists()


HOSTILE = {
    b'{"id":"pump-2","t":1,"flow":1}': "id_mismatch",
    b"not json": "not_json",
    b"": "empty",
    b'{"id":"pump-1","t":1,"flow":NaN}': "bad_value",
    b'{"id":"pump-1","t":1,"flow":1e999}': "bad_value",
    b'{"id":"a+b","t":1,"flow":1}': "id_mismatch",
    b'{"id":"a/#","t":1,"flow":1}': "id_mismatch",
    b'{"id":"pump-1\\u0000","t":1,"flow":1}': "id_mismatch",
    b'{"id":"pump-1","id":"pump-2","t":1,"flow":1}': "duplicate_key",
    b'{"id":"pump-1","t":1,"flow":"much"}': "bad_value",
    b'{"id":"pump-1","t":1}': "no_values",
    b"\xff\xfe": "not_utf8",
    b"[" * 5_000: "too_deep",
    b'{"id":"pump-1","x":"' + b"x" * 300_000 + b'"}': "too_large",
}


def test_hostile_devices_are_refused_and_the_rest_goes_on(
    tmp_path: Path, plant: Callable[[str], Path], mosquitto: Mosquitto, until: Until
) -> None:
    """A device that claims another's id or sends what is no reading: counted by reason, kept, shown by
    `tap --quarantine`; before, between and after it good readings go through.
    """
    file = plant(mosquitto.url)

    async def send() -> None:
        bus = MqttBus((Address("127.0.0.1", mosquitto.port),), "device")
        await bus.open()
        await until(lambda: bus.linked)
        try:
            for number, payload in enumerate(HOSTILE):
                bus.publish("hall/pump-1/data", _say(number))
                bus.publish("hall/pump-1/data", payload)
            bus.publish("hall/pu mp/data", _say(0, device="pu mp"))
            bus.publish("edgemesh/v1/plant/log/readings/gateway-1", b"{")
            bus.publish("edgemesh/v1/plant/watermark/gateway-1/recorder", b'{"epoch":"ff","through":-1}')
            bus.publish("hall/pump-1/data", _say(100))
            await until(lambda: len(_recorded(tmp_path)[0]) == len(HOSTILE) + 1, 15)
        finally:
            await bus.close()

    with running("run", file, cwd=tmp_path) as command:
        _wait_until_linked(command, tmp_path)
        asyncio.run(send())
        shown = call("tap", file, "--quarantine", "--count", "100", cwd=tmp_path)
        assert command.alive
        command.interrupt()
        assert command.wait(5) == 0
        assert "Traceback" not in command.complained
    assert shown.returncode == 0
    for reason in {*HOSTILE.values(), "bad_id", "wrong_shape"}:
        assert f" {reason} " in shown.stdout, shown.stdout
    assert shown.stdout.count("hall/pump-1/data") >= len(HOSTILE)
    assert _recorded(tmp_path)[1] == len(HOSTILE) + 1


def _wait_until_linked(command: Running, folder: Path) -> None:
    wait_for(lambda: command.complained.count(": connected") >= 2 and _is_up(folder), command)


def test_a_broker_that_is_killed_loses_nothing_that_was_accepted(
    tmp_path: Path, plant: Callable[[str], Path], mosquitto: Mosquitto, until: Until
) -> None:
    """SIGKILL for the broker in the middle, twice, and back on the same port: what the gateway had committed is in the
    history, each reading once.
    """
    file = plant(mosquitto.url)

    async def send(command: Running) -> None:
        bus = MqttBus((Address("127.0.0.1", mosquitto.port),), "device")
        await bus.open()
        await until(lambda: bus.linked)
        for number in range(3_000):
            while not bus.publish("hall/pump-1/data", _say(number)):
                await asyncio.sleep(0.01)
            if number in (1_000, 2_000):
                mosquitto.kill()
                mosquitto.start()
            if number % 20 == 0:
                await asyncio.sleep(0.01)
        await until(lambda: (START_MS + 2_999) * 1_000_000 in _recorded(tmp_path)[0], 20)
        await until(lambda: _recorded(tmp_path)[1] == sum(_accepted(tmp_path).values()), 20)
        await bus.close()

    with running("run", file, cwd=tmp_path) as command:
        _wait_until_linked(command, tmp_path)
        asyncio.run(send(command))
        command.interrupt()
        assert command.wait(5) == 0
        assert not command.survivors()
    accepted = _accepted(tmp_path)
    recorded, delivered = _recorded(tmp_path)
    assert len(accepted) > 2_000
    assert recorded == {at_ns: value for at_ns, value in accepted}  # noqa: C416  the counts are looked at below
    assert delivered == sum(accepted.values())


def test_it_starts_without_a_broker_and_waits(
    tmp_path: Path, plant: Callable[[str], Path], mosquitto: Mosquitto, until: Until
) -> None:
    """No broker at the start is no error: the agents wait and go on when it comes."""
    mosquitto.kill()
    with running("run", plant(mosquitto.url), cwd=tmp_path) as command:
        wait_for(lambda: "running as" in command.complained, command)
        mosquitto.start()
        _wait_until_linked(command, tmp_path)
        command.interrupt()
        assert command.wait(5) == 0


def test_an_agent_that_is_killed_goes_on_from_its_files(
    tmp_path: Path, plant: Callable[[str], Path], mosquitto: Mosquitto, until: Until
) -> None:
    """SIGKILL for the process of all agents; started again it delivers what was accepted, once."""
    file = plant(mosquitto.url)

    async def send(numbers: range) -> None:
        bus = MqttBus((Address("127.0.0.1", mosquitto.port),), "device")
        await bus.open()
        await until(lambda: bus.linked)
        for number in numbers:
            bus.publish("hall/pump-1/data", _say(number))
            if number % 20 == 0:
                await asyncio.sleep(0.01)
        await until(lambda: len(_accepted(tmp_path)) >= numbers.stop // 2, 10)
        await bus.close()

    with running("run", file, cwd=tmp_path) as command:
        _wait_until_linked(command, tmp_path)
        asyncio.run(send(range(500)))
        command._process.send_signal(signal.SIGKILL)
        command.wait(5)
    with running("run", file, cwd=tmp_path) as command:
        _wait_until_linked(command, tmp_path)
        wait_for(lambda: _recorded(tmp_path)[1] == sum(_accepted(tmp_path).values()), command, 20)
        asyncio.run(send(range(500, 600)))
        wait_for(lambda: (START_MS + 599) * 1_000_000 in _recorded(tmp_path)[0], command)
        command.interrupt()
        assert command.wait(5) == 0
    accepted = _accepted(tmp_path)
    recorded, delivered = _recorded(tmp_path)
    assert set(recorded) == {at_ns for at_ns, _ in accepted}
    assert delivered == sum(accepted.values())
