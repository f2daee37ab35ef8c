"""A broker in memory with the rules of a real one: for tests, replay and a plant in one process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from edgemesh.bus.contract import BusStats, Handler, LinkWatcher, Will
from edgemesh.bus.handlers import Handlers, check_topic, fits


def _nothing() -> None:
    """There is nobody to tell that a message was settled."""


class MemoryBroker:
    """Keeps retained messages, publishes wills, hands messages over with `loop.call_soon`, in the order of publishing.

    Deterministic: no clock, no chance, no thread. All clients live on one event loop. Like every broker of ours it
    forgets a client at the end of its link: what it had not received by then is lost. Starts running.
    """

    def __init__(self) -> None:
        self._running = True
        self._retained: dict[str, bytes] = {}
        self._cut: set[str] = set()
        self._open: dict[str, MemoryBus] = {}

    @property
    def running(self) -> bool:
        """True while clients can link."""
        return self._running

    @property
    def retained(self) -> dict[str, bytes]:
        """A copy of the retained messages by topic."""
        return dict(self._retained)

    def client(self, client_id: str, *, will: Will | None = None) -> MemoryBus:
        """Make a client. Opening a second one with the same id takes the first one's link for good."""
        return MemoryBus(self, client_id, will)

    def cut(self, client_id: str) -> None:
        """Break the client's link without a word (its will is published) and keep it broken until `heal`."""
        self._cut.add(client_id)
        client = self._open.get(client_id)
        if client is not None:
            self.lose(client)

    def heal(self, client_id: str) -> None:
        """Let the client link again."""
        self._cut.discard(client_id)
        client = self._open.get(client_id)
        if client is not None:
            self.admit(client)

    def stop(self) -> None:
        """End as if killed: every link breaks, no will is published, everything is forgotten."""
        self._running = False
        self._retained.clear()
        for client in list(self._open.values()):
            client.unlink()

    def start(self) -> None:
        """Run again, empty; open clients link again."""
        self._running = True
        for client in list(self._open.values()):
            self.admit(client)

    def restart(self) -> None:
        """`stop` and `start`: everything is forgotten and every link is a new one."""
        self.stop()
        self.start()

    def admit(self, client: MemoryBus) -> None:
        """Remember an open client and link it if nothing stands in the way."""
        other = self._open.get(client.client_id)
        self._open[client.client_id] = client
        if other is not None and other is not client:
            self.lose(other)
        if self._running and client.client_id not in self._cut:
            client.link()

    def lose(self, client: MemoryBus) -> None:
        """End the client's link without a word from it."""
        if client.unlink() and client.will is not None:
            self.route(client.will.topic, client.will.payload, True, "")

    def leave(self, client: MemoryBus) -> None:
        """Forget a client that said good-bye."""
        if self._open.get(client.client_id) is client:
            del self._open[client.client_id]

    def route(self, topic: str, payload: bytes, retain: bool, traceparent: str) -> None:
        """Take a message in: keep it if retained (empty: forget the topic) and hand it to every linked client."""
        if retain and payload:
            self._retained[topic] = payload
        elif retain:
            self._retained.pop(topic, None)
        for client in list(self._open.values()):
            if any(fits(pattern, topic) for pattern in client.patterns):
                client.deliver(topic, payload, False, traceparent)

    def send_retained(self, client: MemoryBus, pattern: str) -> None:
        """Hand the retained messages that fit the pattern to one client."""
        for topic, payload in self._retained.items():
            if fits(pattern, topic):
                client.deliver(topic, payload, True, "")


class MemoryBus:
    """One client of a `MemoryBroker`."""

    def __init__(self, broker: MemoryBroker, client_id: str, will: Will | None) -> None:
        self.client_id, self.will = client_id, will
        self._broker = broker
        self._stats = BusStats()
        self._handlers = Handlers(self._stats)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._link = 0  # number of the present link; a delivery for an older one is dropped
        self._has_link = False  # the broker knows us
        self._linked = False  # and the watchers know it

    @property
    def linked(self) -> bool:
        """As in the contract."""
        return self._linked

    @property
    def has_spare(self) -> bool:
        """As in the contract."""
        return self._linked

    @property
    def stats(self) -> BusStats:
        """As in the contract."""
        return self._stats

    @property
    def patterns(self) -> list[str]:
        """The patterns that the broker knows of."""
        return self._handlers.patterns if self._linked else []

    @property
    def echoes(self) -> bool:
        """The broker brings back what we publish, as MQTT 3.1.1 does."""
        return True

    def subscribe(self, pattern: str, handler: Handler) -> None:
        """As in the contract. Raises ValueError when it is not a pattern."""
        self._handlers.add(pattern, handler)
        if self._linked:
            self._broker.send_retained(self, pattern)

    def unsubscribe(self, pattern: str) -> None:
        """As in the contract."""
        self._handlers.remove(pattern)

    def publish(
        self, topic: str, payload: bytes, *, retain: bool = False, traceparent: str = "", bulk: bool = False
    ) -> bool:
        """As in the contract. Raises ValueError for a topic that MQTT forbids."""
        check_topic(topic)
        if not self._linked:
            self._stats.refused += 1
            return False
        self._stats.published += 1
        self._broker.route(topic, payload, retain, traceparent)
        return True

    def on_link(self, watcher: LinkWatcher) -> None:
        """As in the contract."""
        self._handlers.watch(watcher)

    def on_room(self, watcher: Callable[[], None]) -> None:
        """As in the contract; there is always room."""

    async def open(self) -> None:
        """As in the contract. Raises RuntimeError when it is open already."""
        if self._loop is not None:
            raise RuntimeError("the bus is open already")
        self._loop = asyncio.get_running_loop()
        self._handlers.bind(self._loop)
        self._broker.admit(self)

    async def close(self) -> None:
        """As in the contract; the watchers are not told."""
        self._broker.leave(self)
        self._has_link = self._linked = False
        self._link += 1
        self._loop = None

    def link(self) -> None:
        """The broker's word that a link stands; the client notices it in its next turn of the loop."""
        if self._loop is not None and not self._has_link:
            self._has_link = True
            self._link += 1
            self._loop.call_soon(self._greet, self._link)

    def unlink(self) -> bool:
        """The broker's word that the link is gone; True if there was one."""
        had_link, was_linked = self._has_link, self._linked
        self._has_link = self._linked = False
        self._link += 1
        if was_linked and self._loop is not None:
            self._stats.disconnects += 1
            self._loop.call_soon(self._tell_loss)
        return had_link

    def deliver(self, topic: str, payload: bytes, retained: bool, traceparent: str) -> None:
        """Take a message from the broker; the handlers get it in a later turn of the loop."""
        if self._loop is not None:
            self._loop.call_soon(self._take, self._link, topic, payload, retained, traceparent)

    def _greet(self, link: int) -> None:
        if link != self._link:
            return
        self._linked = True
        self._stats.connects += 1
        for pattern in self._handlers.patterns:
            self._broker.send_retained(self, pattern)
        self._handlers.tell_watchers(True)

    def _tell_loss(self) -> None:
        if self._loop is not None:
            self._handlers.tell_watchers(False)

    def _take(self, link: int, topic: str, payload: bytes, retained: bool, traceparent: str) -> None:
        if link == self._link:
            self._handlers.hand_over(topic, payload, retained, traceparent, _nothing)
