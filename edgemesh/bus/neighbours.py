"""Agents of one process hear each other at once; the broker carries the same message to everybody else.

Each keeps a connection of its own, with its own will. What a neighbour publishes without asking the broker to retain it
is handed over on the next turn of the event loop, and its echo from the broker is dropped. So the way from a reading to
an order has two passes of the broker less where gateway, detector and scheduler share a process.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from edgemesh.bus.contract import Bus, BusStats, Handler, LinkWatcher, Message
from edgemesh.bus.handlers import Handlers

ECHOES = 512
"""Echoes that one handler waits for at most. One that comes after all is handed over a second time, which is lawful."""


class Neighbourhood:
    """The connections of one process that hear each other."""

    def __init__(self) -> None:
        self.members: list[NeighbourBus] = []

    def join(self, bus: Bus) -> Bus:
        """Wrap a connection that was not opened yet. It belongs from its `open` to its `close`."""
        return NeighbourBus(self, bus)


class _Ear:
    """One handler, with the messages that it had from a neighbour and that the broker will bring again."""

    __slots__ = ("_echoes", "_handler")

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._echoes: OrderedDict[tuple[str, bytes], int] = OrderedDict()

    def expect_echo(self, topic: str, payload: bytes) -> None:
        """Take note that a neighbour has said this, and that the broker will bring it too, sooner or later."""
        key = (topic, payload)
        self._echoes[key] = self._echoes.get(key, 0) + 1
        if len(self._echoes) > ECHOES:
            self._echoes.popitem(last=False)

    def __call__(self, message: Message) -> None:
        """Take what a neighbour said."""
        self._handler(message)

    def far(self, message: Message) -> None:
        """Take what the broker brings, unless it is an echo."""
        key = (message.topic, message.payload)
        awaited = 0 if message.retained else self._echoes.pop(key, 0)
        if not awaited:
            self._handler(message)
            return
        if awaited > 1:
            self._echoes[key] = awaited - 1
        message.settle()


class NeighbourBus:
    """A connection whose owner also hears its neighbours; see `edgemesh.bus.contract.Bus` for the verbs."""

    def __init__(self, neighbourhood: Neighbourhood, bus: Bus) -> None:
        self._neighbourhood, self._bus = neighbourhood, bus
        self._near = Handlers(bus.stats)
        self._ears: dict[Handler, _Ear] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def linked(self) -> bool:
        """Whether the broker has us."""
        return self._bus.linked

    @property
    def stats(self) -> BusStats:
        """The counters of the connection; what neighbours said counts as received."""
        return self._bus.stats

    def subscribe(self, pattern: str, handler: Handler) -> None:
        """See `Bus.subscribe`."""
        ear = self._ears.setdefault(handler, _Ear(handler))
        self._near.add(pattern, ear)
        self._bus.subscribe(pattern, ear.far)

    def unsubscribe(self, pattern: str) -> None:
        """See `Bus.unsubscribe`."""
        self._near.remove(pattern)
        self._bus.unsubscribe(pattern)

    def publish(
        self, topic: str, payload: bytes, *, retain: bool = False, traceparent: str = "", bulk: bool = False
    ) -> bool:
        """See `Bus.publish`; the neighbours have it on the next turn of the event loop."""
        taken = self._bus.publish(topic, payload, retain=retain, traceparent=traceparent, bulk=bulk)
        if taken and not retain:
            for member in self._neighbourhood.members:
                if member is not self:
                    member.overhear(topic, payload, traceparent)
        return taken

    def overhear(self, topic: str, payload: bytes, traceparent: str) -> None:
        """Take what a neighbour has published, if one of our patterns fits it."""
        ears = self._near.fitting(topic) if self._loop is not None else ()
        for ear in ears:
            assert isinstance(ear, _Ear)
            ear.expect_echo(topic, payload)
        if ears and self._loop is not None:
            self._loop.call_soon(self._near.hand_over, topic, payload, False, traceparent, _nobody_waits)

    def on_link(self, watcher: LinkWatcher) -> None:
        """See `Bus.on_link`."""
        self._bus.on_link(watcher)

    def on_room(self, watcher: Callable[[], None]) -> None:
        """See `Bus.on_room`."""
        self._bus.on_room(watcher)

    async def open(self) -> None:
        """See `Bus.open`."""
        self._loop = asyncio.get_running_loop()
        self._near.bind(self._loop)
        self._neighbourhood.members.append(self)
        await self._bus.open()

    async def close(self) -> None:
        """See `Bus.close`."""
        if self in self._neighbourhood.members:
            self._neighbourhood.members.remove(self)
        self._loop = None
        await self._bus.close()


def _nobody_waits() -> None:
    """A neighbour is not told that its message was settled."""
