"""Broker domains for the suite of the bus: each can be killed, started empty, and cut off from one client."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from edgemesh.bus.address import Address
from edgemesh.bus.contract import Bus, Will
from edgemesh.bus.embedded import EmbeddedBroker, Kind, start_broker
from edgemesh.bus.memory import MemoryBroker
from edgemesh.bus.mqtt import MqttBus

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


@contextlib.asynccontextmanager
async def running(domain: MemoryDomain | MqttDomain, *, started: bool = True) -> AsyncIterator[Domain]:
    """Start the domain's broker (or not yet) and close everything at the end."""
    try:
        if started:
            await domain.start()
        yield domain
    finally:
        await domain.close()
