"""Agents of one process share one connection for what they say and hear, and hear each other without the broker.

Each keeps a connection of its own too, which bears its name and its will and little else: so the broker still says of
each alone that it is gone. What a neighbour publishes is handed over on the next turn of the event loop, and goes to
the broker for everybody else. An MQTT 5 broker is asked not to bring it back (No Local); what an older one brings back
is dropped. So the way from a reading to an order has two passes of the broker less, and a process takes in a third of
the messages, where gateway, detector and scheduler live together.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from edgemesh.bus.contract import Bus, BusStats, Handler, LinkWatcher, Message
from edgemesh.bus.handlers import Handlers, fits

ECHOES = 1_024
"""Echoes that are waited for at most. One that comes after all is handed over a second time, which is lawful."""
RETAINED = 20_000
"""Retained topics of ours that are remembered at most, for neighbours that subscribe to them later."""


class Trunk(Bus, Protocol):
    """The shared connection. `echoes`: whether the broker brings us back what we publish."""

    @property
    def echoes(self) -> bool:
        """True unless the broker has been asked not to, and can do so."""
        ...


class Neighbourhood:
    """The connections of one process that hear each other over one `trunk`, which opens and closes with them."""

    def __init__(self, trunk: Trunk) -> None:
        self.trunk = trunk
        self._members: list[NeighbourBus] = []
        self._patterns: dict[str, int] = {}
        self._echoes: OrderedDict[tuple[str, bytes], int] = OrderedDict()
        self._retained: dict[str, bytes] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        trunk.on_link(self._link)

    def join(self, bus: Bus) -> Bus:
        """Wrap an agent's own connection, which was not opened yet. It belongs from its `open` to its `close`."""
        return NeighbourBus(self, bus)

    async def enter(self, member: NeighbourBus) -> None:
        """Open the trunk for its first member."""
        self._members.append(member)
        if len(self._members) == 1:
            self._loop = asyncio.get_running_loop()
            await self.trunk.open()

    async def leave(self, member: NeighbourBus) -> None:
        """Close the trunk after its last member."""
        if member in self._members:
            self._members.remove(member)
            if not self._members:
                self._loop = None
                await self.trunk.close()

    def subscribe(self, member: NeighbourBus, pattern: str, *, again: bool) -> None:
        """Have the broker bring what fits the pattern, and the member what is retained of ours."""
        self._patterns[pattern] = self._patterns.get(pattern, 0) + (not again)
        self.trunk.subscribe(pattern, self._hear)
        if self._loop is not None and not self.trunk.echoes:
            for topic, payload in self._retained.items():
                if fits(pattern, topic):
                    self._loop.call_soon(member.take, topic, payload, True, "", _nobody_waits)

    def unsubscribe(self, pattern: str) -> None:
        """Have the broker bring it no more, unless another member still wants it."""
        left = self._patterns.pop(pattern, 1) - 1
        if left > 0:
            self._patterns[pattern] = left
        else:
            self.trunk.unsubscribe(pattern)

    def publish(self, topic: str, payload: bytes, *, retain: bool, traceparent: str, bulk: bool) -> bool:
        """Give a message to the broker, and to every member that wants it."""
        if self._loop is None or not self.trunk.publish(
            topic, payload, retain=retain, traceparent=traceparent, bulk=bulk
        ):
            return False
        wanted = [member for member in self._members if member.wants(topic)]
        if wanted and self.trunk.echoes:
            self._expect_echo(topic, payload)
        for member in wanted:
            self._loop.call_soon(member.take, topic, payload, False, traceparent, _nobody_waits)
        if retain:
            self._remember(topic, payload)
        return True

    def _hear(self, message: Message) -> None:
        """Take what the broker brings, unless it is an echo."""
        echo = self._is_echo(message)
        members = () if echo else [member for member in self._members if member.wants(message.topic)]
        if not echo:
            self._retained.pop(message.topic, None)  # another has spoken since: the broker knows what stands there
        settle = _Count(len(members), message.settle).down if len(members) > 1 else message.settle
        for member in members:
            member.take(message.topic, message.payload, message.retained, message.traceparent, settle)
        if not members:
            message.settle()

    def _expect_echo(self, topic: str, payload: bytes) -> None:
        key = (topic, payload)
        self._echoes[key] = self._echoes.get(key, 0) + 1
        if len(self._echoes) > ECHOES:
            self._echoes.popitem(last=False)

    def _is_echo(self, message: Message) -> bool:
        if not self._echoes or message.retained:
            return False
        key = (message.topic, message.payload)
        awaited = self._echoes.pop(key, 0)
        if awaited > 1:
            self._echoes[key] = awaited - 1
        return awaited > 0

    def _remember(self, topic: str, payload: bytes) -> None:
        self._retained.pop(topic, None)
        if payload and len(self._retained) < RETAINED:
            self._retained[topic] = payload

    def _link(self, up: bool) -> None:
        self._echoes.clear()  # what was on its way to us is lost with the link
        for member in list(self._members):
            member.trunk_linked(up)


class _Count:
    """Calls `done` at the last of so many calls. Event loop only."""

    __slots__ = ("_done", "_left")

    def __init__(self, left: int, done: Callable[[], None]) -> None:
        self._left, self._done = left, done

    def down(self) -> None:
        """One less."""
        self._left -= 1
        if self._left == 0:
            self._done()


class NeighbourBus:
    """One agent's part of the trunk, and its own connection; see `edgemesh.bus.contract.Bus` for the verbs."""

    def __init__(self, neighbourhood: Neighbourhood, bus: Bus) -> None:
        self._neighbourhood, self._bus = neighbourhood, bus
        self._near = Handlers(bus.stats)
        self._link_said = False
        bus.on_link(lambda _: self._look_at_links())

    @property
    def linked(self) -> bool:
        """Whether the broker has both, the trunk and us."""
        return self._bus.linked and self._neighbourhood.trunk.linked

    @property
    def has_spare(self) -> bool:
        """Whether the trunk has room to spare."""
        return self._neighbourhood.trunk.has_spare

    @property
    def stats(self) -> BusStats:
        """The counters of our own connection; what came and went over the trunk is counted where it is ours."""
        return self._bus.stats

    def subscribe(self, pattern: str, handler: Handler) -> None:
        """See `Bus.subscribe`."""
        again = pattern in self._near.patterns
        self._near.add(pattern, handler)
        self._neighbourhood.subscribe(self, pattern, again=again)

    def unsubscribe(self, pattern: str) -> None:
        """See `Bus.unsubscribe`."""
        if self._near.remove(pattern):
            self._neighbourhood.unsubscribe(pattern)

    def publish(
        self, topic: str, payload: bytes, *, retain: bool = False, traceparent: str = "", bulk: bool = False
    ) -> bool:
        """See `Bus.publish`; the neighbours have it on the next turn of the event loop."""
        if not self._bus.linked or not self._neighbourhood.publish(
            topic, payload, retain=retain, traceparent=traceparent, bulk=bulk
        ):
            self.stats.refused += 1
            return False
        self.stats.published += 1
        return True

    def wants(self, topic: str) -> bool:
        """Whether one of our patterns fits the topic."""
        return bool(self._near.fitting(topic))

    def take(self, topic: str, payload: bytes, retained: bool, traceparent: str, done: Callable[[], None]) -> None:
        """Take a message; `done` is called on the loop when all our handlers have settled it."""
        self._near.hand_over(topic, payload, retained, traceparent, done)

    def trunk_linked(self, up: bool) -> None:
        """The trunk has a link, or none any more."""
        if not up and self._link_said:
            self._link_said = False
            self._near.tell_watchers(False)
        self._look_at_links()

    def on_link(self, watcher: LinkWatcher) -> None:
        """See `Bus.on_link`."""
        self._near.watch(watcher)

    def on_room(self, watcher: Callable[[], None]) -> None:
        """See `Bus.on_room`."""
        self._neighbourhood.trunk.on_room(watcher)

    async def open(self) -> None:
        """See `Bus.open`."""
        self._near.bind(asyncio.get_running_loop())
        await self._neighbourhood.enter(self)
        await self._bus.open()

    async def close(self) -> None:
        """See `Bus.close`."""
        for pattern in self._near.patterns:
            self.unsubscribe(pattern)
        self._link_said = False
        await self._neighbourhood.leave(self)
        await self._bus.close()

    def _look_at_links(self) -> None:
        if self.linked != self._link_said:
            self._link_said = self.linked
            self._near.tell_watchers(self._link_said)


def _nobody_waits() -> None:
    """A neighbour is not told that its message was settled."""
