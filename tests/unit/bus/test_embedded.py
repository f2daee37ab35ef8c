"""The embedded broker: which one, where, and that it leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edgemesh.bus import embedded
from edgemesh.bus.address import Address
from edgemesh.bus.contract import Message
from edgemesh.bus.embedded import EmbeddedBroker, Kind, start_broker
from edgemesh.bus.mqtt import MqttBus
from edgemesh.errors import BusUnavailable

if TYPE_CHECKING:
    from tests.conftest import WaitFor

PINGREQ, PINGRESP = b"\xc0\x00", b"\xd0\x00"
CONNECT = b"\x10\x0f\x00\x04MQTT%c\x02\x00\x3c%s\x00\x03abc"


@pytest.fixture(params=["mosquitto", "amqtt"])
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each kind of broker."""
    if request.param == "mosquitto":
        request.getfixturevalue("mosquitto_program")
    wanted: Kind = request.param
    return wanted


async def _retain(port: int) -> MqttBus:
    """Return a client that subscribed everything and published one retained message."""
    bus = MqttBus([Address("127.0.0.1", port)], "keeper")
    came = asyncio.Event()

    def note(message: Message) -> None:
        message.settle()
        came.set()

    bus.subscribe("#", note)
    await bus.open()
    while not came.is_set():
        bus.publish("kept", b"x", retain=True)
        await asyncio.sleep(0.01)
    return bus


def bare_connect(level: int) -> bytes:
    """CONNECT of a client of this protocol level."""
    properties = b"\x03\x21\x27\x10" if level == 5 else b""  # receive maximum: 10,000
    connect = CONNECT % (level, properties)
    return connect[:1] + bytes([len(connect) - 2]) + connect[2:]


def greet(port: int, level: int = 4) -> bytes:
    """Connect as a bare MQTT client and return the broker's answer."""
    with socket.create_connection(("127.0.0.1", port), 5) as client:
        client.sendall(bare_connect(level))
        return client.recv(64)


def is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def alive(pid: int) -> bool:
    """Whether the process runs; one that ended and was not reaped does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_a_broker_runs_on_a_free_port_and_stops_within_a_second(kind: Kind, tmp_path: Path) -> None:
    """It says what it is and where, serves when `start_broker` returns, and is gone when `stop` returns, in time."""

    async def scenario() -> None:
        broker = await start_broker(kind, folder=tmp_path)
        assert (broker.kind, broker.address.host) == (kind, "127.0.0.1")
        assert broker.version[0].isdigit()
        assert (broker.pid is None) == (kind == "amqtt")
        assert await asyncio.to_thread(greet, broker.address.port) == b"\x20\x02\x00\x00"
        idle = socket.create_connection(("127.0.0.1", broker.address.port))
        started = time.monotonic()
        await broker.stop()
        assert time.monotonic() - started < 1.0
        idle.close()
        assert not is_open(broker.address.port)
        await broker.stop()

    asyncio.run(scenario())


def test_the_same_port_can_be_used_again_at_once(kind: Kind, tmp_path: Path, free_port: int) -> None:
    """A broker that is started again after its end finds its port free, though clients were connected."""

    async def scenario() -> None:
        for _ in range(3):
            broker = await start_broker(kind, free_port, folder=tmp_path)
            assert broker.address.port == free_port
            await asyncio.to_thread(greet, free_port)
            await broker.stop()

    asyncio.run(scenario())


def test_the_port_is_free_however_long_amqtt_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its shutdown is not waited for for ever, and what it has not come to must not cost the port."""

    async def never(_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("amqtt.broker.Broker.shutdown", never)

    async def scenario() -> None:
        port = 0
        for _ in range(2):
            broker = await start_broker("amqtt", port, folder=tmp_path)
            port = broker.address.port
            assert await asyncio.to_thread(greet, port) == b"\x20\x02\x00\x00"
            await broker.stop()
            assert not is_open(port)

    asyncio.run(scenario())


def test_a_port_in_use_is_said_with_what_to_do(kind: Kind, tmp_path: Path) -> None:
    """A port that somebody has is BusUnavailable, and the wish names the ways out."""

    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            with pytest.raises(BusUnavailable, match=f"port {port}") as caught:
                await start_broker(kind, port, folder=tmp_path)
            assert "choose another port" in caught.value.wish

    asyncio.run(scenario())


def test_amqtt_refuses_mqtt_5_at_once(tmp_path: Path) -> None:
    """A client that speaks MQTT 5 is told so, instead of waiting for an answer that never comes."""

    async def scenario() -> None:
        broker = await start_broker("amqtt", folder=tmp_path)
        assert await asyncio.to_thread(greet, broker.address.port, 5) == b"\x20\x02\x00\x01"
        await broker.stop()

    asyncio.run(scenario())


def test_amqtt_hands_a_client_only_what_it_subscribed(tmp_path: Path) -> None:
    """A client without subscriptions gets no retained messages, whatever others have subscribed."""

    async def scenario() -> None:
        broker = await start_broker("amqtt", folder=tmp_path)
        keeper = await _retain(broker.address.port)
        reader, writer = await asyncio.open_connection("127.0.0.1", broker.address.port)
        writer.write(bare_connect(4) + PINGREQ)
        assert await reader.readexactly(6) == b"\x20\x02\x00\x00" + PINGRESP
        writer.write(PINGREQ)
        assert await reader.readexactly(2) == PINGRESP
        writer.close()
        await keeper.close()
        await broker.stop()

    asyncio.run(scenario())


def test_amqtt_stops_though_a_client_reads_nothing(tmp_path: Path) -> None:
    """A stalled client with megabytes on their way to it neither delays the end nor leaves a socket behind."""

    async def scenario() -> None:
        broker = await start_broker("amqtt", folder=tmp_path)
        with socket.create_connection(("127.0.0.1", broker.address.port), 5) as stalled:
            stalled.sendall(bare_connect(4) + b"\x82\x06\x00\x01\x00\x01#\x01")
            keeper = await _retain(broker.address.port)
            for _ in range(60):
                keeper.publish("t", b"x" * 200_000)
            await keeper.close()
            started = time.monotonic()
            await broker.stop()
            assert time.monotonic() - started < 1.0

    asyncio.run(scenario())
    gc.collect()


def test_amqtt_gives_up_a_client_that_is_silent(tmp_path: Path) -> None:
    """One and a half times its keep-alive after its last word its will is told."""

    async def scenario() -> None:
        broker = await start_broker("amqtt", folder=tmp_path)
        watcher, told = MqttBus([broker.address], "watcher"), asyncio.Event()

        def hear(message: Message) -> None:
            message.settle()
            told.set()

        watcher.subscribe("last/word", hear)
        await watcher.open()
        while not watcher.linked:
            await asyncio.sleep(0.01)
        silent = b"\x10\x1d\x00\x04MQTT\x04\x0e\x00\x01\x00\x03abc\x00\x09last/word\x00\x01x"
        with socket.create_connection(("127.0.0.1", broker.address.port), 5) as client:
            client.sendall(silent)
            async with asyncio.timeout(10):
                await told.wait()
        await watcher.close()
        await broker.stop()

    asyncio.run(scenario())


def test_amqtt_acknowledges_no_faster_than_it_hands_on(tmp_path: Path) -> None:
    """Who floods it is slowed down: it has no endless queue in which everybody's messages wait for seconds."""
    count = 4_000

    async def scenario() -> None:
        broker = await start_broker("amqtt", folder=tmp_path)
        port = broker.address.port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(bare_connect(4) + b"\x82\x06\x00\x01\x00\x01#\x00")
        await reader.readexactly(4 + 5)
        flood = CONNECT.replace(b"abc", b"xyz") % (4, b"")
        publish = b"".join(b"\x32\x06\x00\x01t" + number.to_bytes(2, "big") + b"x" for number in range(1, count + 1))
        acks, out = await asyncio.open_connection("127.0.0.1", port)
        out.write(flood + publish)
        handed_on = asyncio.create_task(reader.readexactly(count * 6))
        await acks.readexactly(4 + count * 4)
        async with asyncio.timeout(0.5):  # at 1 ms a message the whole flood takes seconds
            await handed_on
        writer.close()
        out.close()
        await broker.stop()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "bytes_", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\x10\xff\xff\xff\x7f", b"\x00" * 64, b"\x10\x0f\x00"]
)
def test_amqtt_survives_what_is_no_mqtt(tmp_path: Path, bytes_: bytes) -> None:
    """Other protocols and port scanners neither stop the broker nor make it talk."""

    async def scenario() -> None:
        broker = await start_broker("amqtt", folder=tmp_path)
        port = broker.address.port
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", port), 5) as client:
                client.sendall(bytes_)
        assert await asyncio.to_thread(greet, port) == b"\x20\x02\x00\x00"
        await broker.stop()

    asyncio.run(scenario())


def test_without_mosquitto_auto_takes_amqtt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Mosquitto is not installed, "auto" runs amqtt, and asking for Mosquitto says how to get it."""
    monkeypatch.setattr(embedded, "find_mosquitto", lambda: None)

    async def scenario() -> None:
        broker = await start_broker("auto", folder=tmp_path)
        assert broker.kind == "amqtt"
        await broker.stop()
        with pytest.raises(BusUnavailable, match="apt install mosquitto"):
            await start_broker("mosquitto", folder=tmp_path)

    asyncio.run(scenario())


def test_auto_takes_mosquitto_where_it_is(mosquitto_program: str, tmp_path: Path) -> None:
    """Installed means used, also where it is not on the PATH."""

    async def scenario() -> EmbeddedBroker:
        broker = await start_broker("auto", folder=tmp_path / "new" / "folder")
        await broker.stop()
        return broker

    assert asyncio.run(scenario()).kind == "mosquitto"


def test_a_mosquitto_that_does_not_start_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the program said before it ended is in the error."""
    broken = tmp_path / "mosquitto"
    broken.write_text("#!/bin/sh\necho no such luck >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(embedded, "find_mosquitto", lambda: str(broken))

    async def scenario() -> None:
        with pytest.raises(BusUnavailable, match="no such luck"):
            await start_broker("auto", folder=tmp_path)

    asyncio.run(scenario())


@pytest.fixture
def foreground(kind: Kind, free_port: int, tmp_path: Path) -> object:
    """`python -m edgemesh.bus.embedded`, started; killed after the test."""
    process = subprocess.Popen(
        [sys.executable, *f"-m edgemesh.bus.embedded --prefer {kind} --port {free_port} --folder {tmp_path}".split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_foreground_broker_stops_in_order(
    foreground: subprocess.Popen[str], kind: Kind, free_port: int, number: signal.Signals
) -> None:
    """It says what runs where, ends on SIGTERM and Ctrl-C with status 0, and says nothing more."""
    assert first_line(foreground).startswith(f"{kind} ")
    assert greet(free_port) == b"\x20\x02\x00\x00"
    foreground.send_signal(number)
    assert foreground.wait(5) == 0
    assert foreground.communicate() == ("", "")
    assert not is_open(free_port)


def test_nothing_is_left_when_the_parent_is_killed(
    foreground: subprocess.Popen[str], free_port: int, wait_for: WaitFor
) -> None:
    """`kill -9` of the process that started the broker ends the broker too."""
    first_line(foreground)
    foreground.kill()
    foreground.wait()
    wait_for(lambda: not is_open(free_port))


def test_ctrl_c_in_the_terminal_does_not_reach_mosquitto(
    mosquitto_program: str, tmp_path: Path, wait_for: WaitFor
) -> None:
    """It has a session of its own, so agents can say good-bye before their broker goes."""

    async def scenario() -> None:
        broker = await start_broker("mosquitto", folder=tmp_path)
        assert broker.pid is not None
        assert os.getsid(broker.pid) == broker.pid
        assert alive(broker.pid)
        await broker.stop()
        assert not alive(broker.pid)

    asyncio.run(scenario())


def test_the_foreground_broker_says_why_it_can_not_run(free_port: int) -> None:
    """A port in use: one line on standard error and status 1, no traceback."""
    with socket.create_server(("127.0.0.1", free_port)):
        run = subprocess.run(
            [sys.executable, "-m", "edgemesh.bus.embedded", "--port", str(free_port)],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    assert run.returncode == 1
    assert run.stderr.count("\n") == 1
    assert f"port {free_port}" in run.stderr
