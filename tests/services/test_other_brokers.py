"""NATS and RabbitMQ as we configure them, and the processes that we start for them."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edgemesh.bus.address import Address
from edgemesh.bus.contract import Message
from edgemesh.bus.mqtt import MqttBus
from edgemesh.bus.ports import take_ports
from edgemesh.errors import BusUnavailable, InputError
from edgemesh.prove import brokers
from edgemesh.prove.brokers import KINDS, accepts, find_program, own_nodes
from edgemesh.prove.site import Program

if TYPE_CHECKING:
    from tests.conftest import Until

CONFIGS = Path(__file__).parents[2] / "configs"


def settings(text: str) -> set[str]:
    """The lines of a configuration that say something."""
    return {line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")}


def command_of(pid: int) -> str:
    """The command line of a process."""
    return Path(f"/proc/{pid}/cmdline").read_text()


def test_the_configuration_for_nats_runs(need_server: Callable[[str], None], tmp_path: Path, until: Until) -> None:
    """configs/nats/edgemesh.conf is accepted as it stands, agents can link, and what is kept comes to newcomers."""
    need_server("nats")
    client, mqtt = take_ports(2)
    text = (CONFIGS / "nats" / "edgemesh.conf").read_text()
    for old, new in (("1:4222", f"1:{client}"), ("1:1883", f"1:{mqtt}"), ("/var/lib/nats/edgemesh", str(tmp_path))):
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "nats.conf").write_text(text)
    command = [find_program("nats-server") or "", "-c", str(tmp_path / "nats.conf"), "-l", str(tmp_path / "log")]
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    async def scenario() -> None:
        await accepts(mqtt, 10)
        bus = MqttBus([Address("127.0.0.1", mqtt)], "a")
        await bus.open()
        await until(lambda: bus.linked)
        came: list[Message] = []
        bus.publish("kept/1", b"x", retain=True)
        bus.subscribe("kept/+", came.append)
        await until(lambda: came)
        await bus.close()

    try:
        asyncio.run(scenario())
    finally:
        server.terminate()
        server.wait(5)


def test_the_configuration_for_rabbitmq_is_the_one_that_is_proven() -> None:
    """What configs/rabbitmq says is what the proof starts RabbitMQ with, but for the port."""
    shipped = settings((CONFIGS / "rabbitmq" / "rabbitmq.conf").read_text())
    assert {line.replace("127.0.0.1:1883", "127.0.0.1:{port}") for line in shipped} <= settings(brokers._RABBITMQ)
    assert (CONFIGS / "rabbitmq" / "enabled_plugins").read_text() == "[rabbitmq_mqtt].\n"


def test_a_broker_is_one_process_that_is_gone_when_killed(
    need_server: Callable[[str], None], tmp_path: Path, until: Until
) -> None:
    """What we start becomes the server; killed and started again it has forgotten what it had kept."""
    need_server("nats")
    (node,) = own_nodes("nats", tmp_path)
    program = Program(node.name, node.module, list(node.arguments), tmp_path / "log")

    async def kept() -> bool:
        bus = MqttBus([Address("127.0.0.1", node.port)], "a")
        came: list[Message] = []
        end: list[Message] = []
        bus.subscribe("kept", came.append)
        bus.subscribe("end", end.append)
        await bus.open()
        await until(lambda: bus.linked and bus.publish("end", b"") and end)
        bus.publish("kept", b"x", retain=True)
        await bus.close()
        return any(message.retained for message in came)

    async def scenario() -> None:
        for end in (program.stop, program.kill):
            await program.start()
            await accepts(node.port, KINDS["nats"].ready_s)
            assert program.process is not None
            assert "nats-server" in command_of(program.process.pid)
            assert [await kept(), await kept()] == [False, True]
            await end()
        with pytest.raises(BusUnavailable):
            await accepts(node.port, 0.2)

    asyncio.run(scenario())


def test_a_server_that_is_missing_is_said_with_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`--broker rabbitmq` where there is none names the package; an address is nobody's word."""
    monkeypatch.setattr(brokers, "find_program", lambda _: None)
    with pytest.raises(InputError, match="rabbitmq-server is not installed") as caught:
        own_nodes("rabbitmq", tmp_path)
    assert "apt install" in caught.value.wish
    assert own_nodes("mqtt://somewhere", tmp_path) == []


def test_ports_are_different() -> None:
    """Ports that are taken together are not the same one."""
    ports = take_ports(20)
    assert len(set(ports)) == 20
