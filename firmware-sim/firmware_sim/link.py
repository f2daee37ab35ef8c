"""One MQTT connection that is kept up, and the lanes on which messages leave."""

import asyncio
import contextlib
import socket
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from random import Random
from types import TracebackType
from typing import Self

import aiomqtt

from firmware_sim.broker import Broker, Watch

BACK_OFF_S = (0.05, 2.0)
"""First and longest pause between two attempts to connect; the real one is 50..100 % of it."""
TIMEOUT_S = 2.0
"""For every answer of the broker."""
CONNECT_S = 1.0
"""For the TCP connection."""
KEEPALIVE_S = 5
NODELAY = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
FAREWELL_S = 0.4
"""For the last messages before a clean disconnect."""

Outgoing = tuple[str, bytes, bool]
"""Topic, payload, retained."""


class Lane:
    """Messages that leave one after the other at QoS 1, each after the broker has acknowledged the one before.

    Several lanes share a connection, so that a slow acknowledgement holds up only its own lane. A `durable` lane
    keeps its messages while the connection is away; any other drops and counts them, as firmware without a memory
    does. Beyond `limit` messages the oldest go, counted as well.
    """

    def __init__(self, *, durable: bool = False, limit: int = 1000) -> None:
        self.durable, self.limit = durable, limit
        self.sent = self.dropped = 0
        self._waiting: deque[Outgoing] = deque()
        self._stir = asyncio.Event()
        self._open = False

    def put(self, topic: str, payload: bytes, retain: bool = False) -> None:
        """Hands a message over; never blocks."""
        if not self._open and not self.durable:
            self.dropped += 1
            return
        if len(self._waiting) >= self.limit:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append((topic, payload, retain))
        self._stir.set()

    def __contains__(self, item: object) -> bool:
        return item in self._waiting

    def open(self) -> None:
        """A connection is there."""
        self._open = True

    def shut(self) -> None:
        """The connection is gone."""
        self._open = False
        if not self.durable:
            self.dropped += len(self._waiting)
            self._waiting.clear()

    async def flow(self, client: aiomqtt.Client) -> None:
        """Sends what is put, until `client` is no more connected (`aiomqtt.MqttError`) or the lane is shut."""
        self._stir.set()
        while self._open:  # a cancellation at the instant of an acknowledgement gets lost in Python 3.11's wait_for
            await self._stir.wait()
            self._stir.clear()
            await self.drain(client)

    async def drain(self, client: aiomqtt.Client) -> None:
        """Sends what waits now."""
        while self._waiting:
            outgoing = self._waiting[0]
            topic, payload, retain = outgoing
            await client.publish(topic, payload, qos=1, retain=retain)
            self.sent += 1
            if self._waiting and self._waiting[0] is outgoing:
                self._waiting.popleft()


class _Client(aiomqtt.Client):
    """An aiomqtt client whose TCP connection attempt ends after `CONNECT_S`, so that a stop need not wait."""

    def __init__(self, broker: Broker, identifier: str, will: aiomqtt.Will | None) -> None:
        super().__init__(
            broker.host,
            broker.port,
            username=broker.username,
            password=broker.password,
            identifier=identifier,
            will=will,
            timeout=TIMEOUT_S,
            keepalive=KEEPALIVE_S,
            tls_context=ssl.create_default_context() if broker.tls else None,
            socket_options=[NODELAY],
        )
        self.pending_calls_threshold = 1000
        self._client.connect_timeout = CONNECT_S

    async def __aenter__(self) -> Self:
        entering = asyncio.ensure_future(super().__aenter__())
        try:
            return await asyncio.shield(entering)
        except aiomqtt.MqttError:
            self._client.disconnect()  # else the socket of a broker that accepts but never answers stays open
            raise
        except asyncio.CancelledError:
            # A connection that is half made leaves callbacks behind: see it through, then leave in good order.
            await asyncio.wait([entering], timeout=FAREWELL_S)
            if entering.done() and entering.exception() is None:
                await self.__aexit__(None, None, None)
            raise

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        try:
            await super().__aexit__(exc_type, exc, tb)
        finally:
            if self._disconnected.done():
                self._disconnected.exception()  # seen; else asyncio reports it when the future is collected


class Link:
    """One connection under `name`: subscribes, reads, sends the lanes, and comes back when the broker does.

    The broker's others are tried in their order; from one of them it goes back when an earlier one can be reached.
    `on_message(topic, payload)` and `on_up()` are called in the event loop and must not block. `farewell` is put
    last, before a clean disconnect.
    """

    def __init__(
        self,
        broker: Broker,
        name: str,
        watch: Watch,
        lanes: Sequence[Lane],
        *,
        topics: Sequence[str] = (),
        on_message: Callable[[str, bytes], None] | None = None,
        on_up: Callable[[], None] | None = None,
        will: aiomqtt.Will | None = None,
        farewell: Callable[[], Outgoing] | None = None,
    ) -> None:
        self._broker, self._name, self._watch, self._lanes = broker, name, watch, lanes
        self._topics, self._on_message, self._on_up = topics, on_message, on_up
        self._will, self._farewell = will, farewell
        self._chance = Random()
        self._identifier = f"fs-{name}-{self._chance.randrange(16**6):06x}"

    async def run(self) -> None:
        """Keeps the connection up until cancelled."""
        failures = 0
        brokers = (self._broker, *self._broker.others)
        while True:
            reason = ""
            reached: list[bool] = []
            for place, broker in enumerate(brokers):
                try:
                    await self._session(broker, brokers[:place], reached)
                except* aiomqtt.MqttError as group:
                    reason = _reason(group)
                for lane in self._lanes:
                    lane.shut()
                if reached:
                    break
            failures = 0 if reached else failures + 1
            self._watch.down(self._name, reason)
            longest = min(BACK_OFF_S[1], BACK_OFF_S[0] * 2.0 ** min(failures, 10))
            await asyncio.sleep(longest * self._chance.uniform(0.5, 1.0))

    async def _session(self, broker: Broker, earlier: Sequence[Broker], reached: list[bool]) -> None:
        """One connection, from connect to loss; appends to `reached` once it is up."""
        async with _Client(broker, self._identifier, self._will) as client:
            for topic in self._topics:
                await client.subscribe(topic, qos=1)
            reached.append(True)
            self._watch.up(self._name)
            for lane in self._lanes:
                lane.open()
            if self._on_up is not None:
                self._on_up()
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._read(client))
                    for lane in self._lanes:
                        group.create_task(lane.flow(client))
                    if earlier:
                        group.create_task(self._look_back(earlier))
            except asyncio.CancelledError:
                await self._part(client)
                raise

    async def _read(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            if self._on_message is not None and isinstance(message.payload, bytes):
                self._on_message(message.topic.value, message.payload)

    async def _look_back(self, earlier: Sequence[Broker]) -> None:
        """Raises `aiomqtt.MqttError` as soon as one of these can be reached again."""
        while True:
            await asyncio.sleep(CONNECT_S * self._chance.uniform(0.25, 0.5))
            for broker in earlier:
                with contextlib.suppress(OSError):
                    async with asyncio.timeout(CONNECT_S):
                        _, writer = await asyncio.open_connection(broker.host, broker.port)
                    writer.close()
                    for lane in self._lanes:
                        lane.shut()
                    message = f"broker {broker} is back"
                    raise aiomqtt.MqttError(message)

    async def _part(self, client: aiomqtt.Client) -> None:
        """The last words of a clean stop; a broker that does not listen any more is not waited for."""
        try:
            async with asyncio.timeout(FAREWELL_S):
                for lane in self._lanes:
                    if lane.durable:
                        await lane.drain(client)
                if self._farewell is not None:
                    topic, payload, retain = self._farewell()
                    await client.publish(topic, payload, qos=1, retain=retain)
        except (TimeoutError, aiomqtt.MqttError):
            return


def _reason(error: BaseException) -> str:
    """What lies behind an exception, or a group of groups of them, in words."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error.__cause__ or error)
