"""Broker domains for the suite of the bus: each can be killed, started empty, and cut off from one client."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from edgemesh.bus.address import Address
from edgemesh.bus.contract import Bus, Will
from edgemesh.bus.embedded import EmbeddedBroker, Kind, start_broker
from edgemesh.bus.memory import MemoryBroker
from edgemesh.bus.mqtt import MqttBus
from edgemesh.prove.brokers import KINDS, Node, accepts, own_nodes

if TYPE_CHECKING:
    from tests.conftest import Relay


class Domain(Protocol):
    """One broker and its clients. A client's link goes through something that can be cut."""

    def client(self, client_id: str, *, will: Will | None = None) -> Bus:
        """Make a client; the domain closes it at the end if the test did not."""
        ...

    def cut(self, client_id: str) -> None:
        """Break the link of all clients with this id without a word."""
        ...

    def heal(self, client_id: str) -> None:
        """Let them link again."""
        ...

    async def start(self) -> None:
        """Run the broker, empty."""
        ...

    async def kill(self) -> None:
        """End the broker without a word."""
        ...


class MemoryDomain:
    """The broker in memory."""

    def __init__(self) -> None:
        self._broker = MemoryBroker()
        self._broker.stop()
        self._clients: list[Bus] = []

    def client(self, client_id: str, *, will: Will | None = None) -> Bus:
        self._clients.append(self._broker.client(client_id, will=will))
        return self._clients[-1]

    def cut(self, client_id: str) -> None:
        self._broker.cut(client_id)

    def heal(self, client_id: str) -> None:
        self._broker.heal(client_id)

    async def start(self) -> None:
        self._broker.start()

    async def kill(self) -> None:
        self._broker.stop()

    async def close(self) -> None:
        for client in self._clients:
            await client.close()


class MqttDomain:
    """A broker on a port, and MqttBus clients that reach it through relays."""

    def __init__(self, kind: Kind, port: int, folder: Path, relay: Callable[[int], Relay]) -> None:
        self._kind: Kind = kind
        self._port, self._folder, self._relay = port, folder, relay
        self._broker: EmbeddedBroker | None = None
        self._clients: list[Bus] = []
        self._relays: dict[str, Relay] = {}

    def client(self, client_id: str, *, will: Will | None = None) -> Bus:
        relay = self._relays.setdefault(client_id, self._relay(self._port))
        self._clients.append(MqttBus([Address("127.0.0.1", relay.port)], client_id, will=will, keepalive_s=1))
        return self._clients[-1]

    def cut(self, client_id: str) -> None:
        self._relays[client_id].cut()

    def heal(self, client_id: str) -> None:
        self._relays[client_id].heal()

    async def start(self) -> None:
        self._broker = await start_broker(self._kind, self._port, folder=self._folder)

    async def kill(self) -> None:
        broker, self._broker = self._broker, None
        if broker is None:
            return
        if broker.pid is not None:
            os.kill(broker.pid, signal.SIGKILL)
        await broker.stop()

    async def close(self) -> None:
        await asyncio.gather(*(client.close() for client in self._clients))
        await self.kill()


class Servers:
    """Real servers of one kind (`edgemesh.prove.brokers`), which stand from test to test until one kills them."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind, self._folder, self._log = kind, folder, folder / "servers.log"
        self.nodes = own_nodes(kind, folder)
        self._processes: list[subprocess.Popen[bytes]] = []

    async def start(self) -> None:
        """Run them, empty, and return when they accept clients; nothing happens when they run."""
        if not self._processes:
            self._processes = [self._run(node) for node in self.nodes]
        for node in self.nodes:
            await accepts(node.port, KINDS[self.kind].ready_s)

    def _run(self, node: Node) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", node.module, *node.arguments]
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def kill(self) -> None:
        """`kill -9` them all, and empty their stores."""
        processes, self._processes = self._processes, []
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()
        for store in self._folder.glob("*/store"):
            shutil.rmtree(store)


class _Remembering(MqttBus):
    """Notes the topics on which something is kept."""

    kept: set[str]

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, **more: Any) -> bool:
        if retain:
            self.kept.add(topic)
        return super().publish(topic, payload, retain=retain, **more)


class ServersDomain:
    """Servers that stand, and clients that reach them through relays, each the next server.

    Before `start` and after `kill` the relays refuse. What the clients had kept is emptied at the end.
    """

    def __init__(self, servers: Servers, relay: Callable[[int], Relay]) -> None:
        self._servers, self._relay = servers, relay
        self._clients: list[Bus] = []
        self._relays: dict[str, Relay] = {}
        self._kept: set[str] = set()
        self._there = False

    def client(self, client_id: str, *, will: Will | None = None) -> Bus:
        if client_id not in self._relays:
            nodes = self._servers.nodes
            self._relays[client_id] = relay = self._relay(nodes[len(self._relays) % len(nodes)].port)
            if not self._there:
                relay.cut()
        address = Address("127.0.0.1", self._relays[client_id].port, qos=KINDS[self._servers.kind].qos)
        # NATS rounds the one and a half keepalives that it waits down to whole seconds: one second has no slack.
        made = _Remembering([address], client_id, will=will, keepalive_s=2)
        made.kept = self._kept
        if will is not None:
            self._kept.add(will.topic)
        self._clients.append(made)
        return made

    def cut(self, client_id: str) -> None:
        self._relays[client_id].cut()

    def heal(self, client_id: str) -> None:
        self._relays[client_id].heal()

    async def start(self) -> None:
        await self._servers.start()
        self._there = True
        for relay in self._relays.values():
            relay.heal()

    async def kill(self) -> None:
        self._servers.kill()
        self._there = False
        for relay in self._relays.values():
            relay.cut()

    async def close(self) -> None:
        await asyncio.gather(*(client.close() for client in self._clients))
        if self._kept and self._there:
            await self._empty()

    async def _empty(self) -> None:
        cleaner = MqttBus([Address("127.0.0.1", self._servers.nodes[0].port)], "cleaner")
        came: list[bytes] = []
        cleaner.subscribe("cleaned", lambda message: came.append(message.payload))
        await cleaner.open()
        async with asyncio.timeout(10):
            while not came:
                for topic in self._kept:
                    cleaner.publish(topic, b"", retain=True)
                cleaner.publish("cleaned", b"")
                await asyncio.sleep(0.05)
        await cleaner.close()


@contextlib.asynccontextmanager
async def running(domain: MemoryDomain | MqttDomain | ServersDomain, *, started: bool = True) -> AsyncIterator[Domain]:
    """Start the domain's broker (or not yet) and close everything at the end."""
    try:
        if started:
            await domain.start()
        yield domain
    finally:
        await domain.close()
