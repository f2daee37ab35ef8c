"""The bus over MQTT, on the asyncio event loop, without threads.

Every link gets a client of its own from the library, so nothing of an old link (packet ids, unacknowledged messages)
can reach a new one. What was on its way when a link broke is lost to the bus; the log publishes it again.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Callable, Sequence
from typing import Any

from edgemesh.bus.address import Address
from edgemesh.bus.backoff import BackOff
from edgemesh.bus.contract import BusStats, Handler, LinkWatcher, Will
from edgemesh.bus.handlers import Handlers, check_topic
from edgemesh.bus.hearing import CHECK_S
from edgemesh.bus.link import NAMES, V5, Link, Version
from edgemesh.bus.search import Protocol, Search
from edgemesh.bus.sockets import BufferedSocket

log = logging.getLogger(__name__)

_LOOK_BACK_S = 2.0  # the longest pause before another look whether an earlier address of the list is back
_PAYLOAD_BYTES = 256 * 1024 * 1024 - 70_000  # an MQTT packet holds 256 MiB, topic and properties included


class MqttBus:
    """One client's connection to one broker domain over MQTT.

    `addresses` are tried in order, from the first one after every loss, with the pauses of `BackOff` after each round.
    While a later one is in use the earlier ones are tried again, and gone back to at once when one accepts: else the
    two halves of a site could sit on different brokers for ever. `window` is how many messages may wait for the
    broker's acknowledgement before `publish` says False; bulk is taken over only as far as it gets through in about
    half a second. A link on which nothing comes is asked with a ping after 0.9 s and given up after 2.4 s, after 30 s
    when messages come but no answer; `keepalive_s` (whole seconds, at least 1) is for the broker, which gives up a
    client that is silent for one and a half of it. `protocol`: "auto" tries MQTT 5 and falls back to 3.1.1 where it is
    refused. `no_local`: ask an MQTT 5 broker not to bring back what we publish ourselves.
    """

    def __init__(
        self,
        addresses: Sequence[Address],
        client_id: str,
        *,
        will: Will | None = None,
        window: int = 1000,
        keepalive_s: float = 10,
        protocol: Protocol = "auto",
        no_local: bool = False,
    ) -> None:
        if not addresses or not 1 <= window <= 60_000:
            raise ValueError("a bus needs an address, and a window of 1 to 60,000 messages")
        self._addresses, self._client_id, self._window = tuple(addresses), client_id, window
        self._no_local = no_local
        self._stats = BusStats()
        self._search = Search(
            self._addresses, protocol, self._make_link, will=will, keepalive_s=max(1, math.ceil(keepalive_s))
        )
        self._handlers = Handlers(self._stats)
        self._random = random.Random()
        self._back_off = BackOff()
        self._parting: set[asyncio.Task[None]] = set()
        self._link: Link | None = None
        self._task: asyncio.Task[None] | None = None
        self._complained = False
        self._room_watchers: list[Callable[[], None]] = []

    @property
    def linked(self) -> bool:
        """As in the contract."""
        return self._link is not None and not self._link.ended.is_set()

    @property
    def has_spare(self) -> bool:
        """As in the contract."""
        return self._link is not None and self._link.has_spare

    @property
    def echoes(self) -> bool:
        """Whether the broker brings back what we publish on patterns of ours: not with `no_local` over MQTT 5."""
        return not self._no_local or self._link is None or self._link.protocol != V5

    @property
    def stats(self) -> BusStats:
        """As in the contract.

        In `extra`: `mqtt5` is 1 while the link speaks MQTT 5, `contested` 1 while links keep being taken away from us;
        `taken_over` counts those that the broker gave to another client of our id, `went_back` returns to an earlier
        address.
        """
        return self._stats

    def subscribe(self, pattern: str, handler: Handler) -> None:
        """As in the contract. Raises ValueError when it is not a pattern."""
        self._handlers.add(pattern, handler)
        if self._link is not None:
            self._link.subscribe([pattern], no_local=self._no_local)

    def unsubscribe(self, pattern: str) -> None:
        """As in the contract."""
        if self._handlers.remove(pattern) and self._link is not None:
            self._link.unsubscribe(pattern)

    def publish(
        self, topic: str, payload: bytes, *, retain: bool = False, traceparent: str = "", bulk: bool = False
    ) -> bool:
        """As in the contract. Raises ValueError for a topic or a size (256 MiB) that MQTT forbids."""
        check_topic(topic)
        if len(payload) > _PAYLOAD_BYTES:
            raise ValueError(f"{len(payload)} bytes do not fit an MQTT message")
        link = self._link
        full = link is not None and (link.unacknowledged >= self._window or (bulk and not link.roomy))
        if link is not None and full:
            link.turned_away = True
        if link is None or link.ended.is_set() or full or not link.publish(topic, payload, retain, traceparent):
            self._stats.refused += 1
            return False
        self._stats.published += 1
        return True

    def on_link(self, watcher: LinkWatcher) -> None:
        """As in the contract."""
        self._handlers.watch(watcher)

    def on_room(self, watcher: Callable[[], None]) -> None:
        """As in the contract."""
        self._room_watchers.append(watcher)

    def _has_room(self) -> None:
        for watcher in self._room_watchers:
            watcher()

    async def open(self) -> None:
        """As in the contract. Raises RuntimeError when it is open already."""
        if self._task is not None:
            raise RuntimeError("the bus is open already")
        loop = asyncio.get_running_loop()
        self._handlers.bind(loop)
        self._task = loop.create_task(self._keep_linked(), name=f"bus {self._client_id}")

    async def close(self) -> None:
        """As in the contract, within a second; the watchers are not told."""
        task, self._task = self._task, None
        link, self._link = self._link, None
        if link is not None:
            self._part(link)
        if self._parting:
            await asyncio.wait(self._parting)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _keep_linked(self) -> None:
        while True:
            link = await self._search.find(self._addresses, self._failed)
            while link is not None:
                link = await self._tend(link)
            await asyncio.sleep(self._back_off.pause_s(self._random.random()))

    async def _tend(self, link: Link) -> Link | None:
        """Serve an accepted link until it ends (None), or until a link to an earlier address takes its place."""
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        link.subscribe(self._handlers.patterns, no_local=self._no_local)
        self._link = link
        self._complained = False
        self._stats.connects += 1
        self._stats.extra["mqtt5"] = float(link.protocol == V5)
        log.info("%s is linked to %s (%s)", self._client_id, link.address, NAMES[link.protocol])
        self._handlers.tell_watchers(True)
        earlier = self._addresses[: self._addresses.index(link.address)]
        looking = loop.create_task(self._look_back(earlier)) if earlier else None
        try:
            await self._wait(link, looking)
            better = looking.result() if looking is not None and looking.done() else None
            looking = None if better is not None else looking
        finally:
            if looking is not None:
                await _call_off(looking)
        if self._link is not link:  # it was us who closed
            if better is not None:
                better.end("closed")
            return None
        self._lose(link, loop.time() - started_s, better)
        return better

    async def _wait(self, link: Link, looking: asyncio.Task[Link] | None) -> None:
        """Check the link until it has ended, or until a better one is found."""
        ended = asyncio.ensure_future(link.ended.wait())
        awaited: set[asyncio.Future[Any]] = {ended} if looking is None else {ended, looking}
        try:
            while not link.ended.is_set() and not (looking is not None and looking.done()):
                done, _ = await asyncio.wait(awaited, timeout=CHECK_S, return_when=asyncio.FIRST_COMPLETED)
                if not done:
                    link.check()
        finally:
            ended.cancel()

    def _lose(self, link: Link, lasted_s: float, better: Link | None) -> None:
        """Tell that the link is no more ours: it has ended, or there is a better one."""
        self._link = None
        self._stats.disconnects += 1
        if better is not None:
            self._count("went_back")
            log.info("%s goes back from %s to %s", self._client_id, link.address, better.address)
            self._part(link)
        else:
            self._stats.last_error = link.why
            log.warning("%s lost its link to %s: %s", self._client_id, link.address, link.why)
            if link.taken_over:
                self._count("taken_over")
            if self._back_off.ended(lasted_s, taken_over=link.taken_over):
                self._cry_foul(link)
            self._stats.extra["contested"] = float(self._back_off.contested)
        self._handlers.tell_watchers(False)

    async def _look_back(self, earlier: Sequence[Address]) -> Link:
        """Try the earlier addresses until one accepts us."""
        back_off = BackOff(_LOOK_BACK_S)
        while True:
            await asyncio.sleep(back_off.pause_s(self._random.random()))
            link = await self._search.find(earlier, _no_news)
            if link is not None:
                return link

    def _part(self, link: Link) -> None:
        """Leave a link in peace, in the background."""
        parting = asyncio.get_running_loop().create_task(link.leave())
        self._parting.add(parting)
        parting.add_done_callback(self._parting.discard)

    def _cry_foul(self, link: Link) -> None:
        why = (
            f"another client has the id {self._client_id!r}, and the two push each other out"
            if link.taken_over
            else f"perhaps another client has the id {self._client_id!r}, or it bears no topic of ours"
        )
        self._stats.last_error = why
        log.error("%s: %s ends each link soon after it gave it: %s", self._client_id, link.address, why)

    def _count(self, counter: str) -> None:
        self._stats.extra[counter] = self._stats.extra.get(counter, 0.0) + 1

    def _failed(self, address: Address, problem: str) -> None:
        self._back_off.failed()
        self._stats.last_error = f"{address}: {problem}"
        level = logging.DEBUG if self._complained else logging.WARNING
        self._complained = True
        log.log(level, "%s has no link to %s and keeps trying: %s", self._client_id, address, problem)

    def _make_link(self, address: Address, sock: BufferedSocket, protocol: Version) -> Link:
        return Link(address, sock, protocol, self._client_id, self._stats, self._handlers.hand_over, self._has_room)


async def _call_off(looking: asyncio.Task[Link]) -> None:
    """End the search for a better link, and a link that it has found."""
    looking.cancel()
    await asyncio.wait([looking])
    if not looking.cancelled() and looking.exception() is None:
        looking.result().end("closed")


def _no_news(_address: Address, _problem: str) -> None:
    """That an earlier broker is still away was said when it went."""
