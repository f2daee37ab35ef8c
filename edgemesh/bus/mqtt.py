"""The bus over MQTT: paho on the asyncio event loop, without threads. The only importer of the MQTT library.

Every link gets a client of its own from the library, so nothing of an old link (packet ids, unacknowledged messages)
can reach a new one. What was on its way when a link broke is lost to the bus; the log publishes it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
import struct
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edgemesh.bus.address import Address
from edgemesh.bus.contract import BusStats, Handler, LinkWatcher, Will
from edgemesh.bus.handlers import Handlers, check_topic
from edgemesh.bus.hearing import CHECK_S, Hearing, Step
from edgemesh.bus.pace import Pace
from edgemesh.bus.sockets import BufferedSocket, open_socket

log = logging.getLogger(__name__)

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 1.0
_STEADY_S = 5.0  # a link that lasted this long makes the next pause the first one again
_REACH_S = 1.5  # for TCP: the first packet may be lost once, after a second it is sent again
_CONNECT_S = 3.0  # for TLS, and once more for the broker's answer
_GOODBYE_S = 0.4  # for what is on its way, and once more for the broker to hang up
_RECEIVE_MAXIMUM = 10_000  # messages that an MQTT 5 broker may send before the first of them is settled
_PAYLOAD_BYTES = 256 * 1024 * 1024 - 70_000  # an MQTT packet holds 256 MiB, topic and properties included
_DISCONNECT, _PING = b"\xe0\x00", b"\xc0\x00"
_UNSUPPORTED_PROTOCOL = 132
_V311, _V5 = MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5
_CHOICES = {"auto": (_V5, _V311), "3.1.1": (_V311,), "5": (_V5,)}
_NAMES = {_V311: "MQTT 3.1.1", _V5: "MQTT 5"}
# What the library raises when a broker's packet makes no sense.
_LIBRARY_FAULTS = (ValueError, LookupError, TypeError, AttributeError, AssertionError, struct.error)

Protocol = Literal["auto", "3.1.1", "5"]
Take = Callable[[str, bytes, bool, str, Callable[[], None]], None]


class _Client(paho.Client):
    """The library's client on a socket that is connected already."""

    def __init__(
        self, sock: BufferedSocket, client_id: str, protocol: MQTTProtocolVersion, answered: Callable[[], None]
    ) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id,
            clean_session=None if protocol == _V5 else True,
            protocol=protocol,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        self._connected = sock
        self._answered = answered

    def _create_socket(self) -> BufferedSocket:
        return self._connected

    def _handle_pingresp(self) -> MQTTErrorCode:
        self._answered()
        return super()._handle_pingresp()


class _Link:
    """One connection from CONNECT to its end.

    `answer` becomes "" when the broker accepts, else its refusal; `ended` is set once nothing can come any more.
    `pace` says whether there is room for bulk; `has_room` is called when there is again after `turned_away` was set.
    """

    def __init__(
        self,
        sock: BufferedSocket,
        protocol: MQTTProtocolVersion,
        client_id: str,
        stats: BusStats,
        take: Take,
        has_room: Callable[[], None],
    ) -> None:
        self.protocol = protocol
        self.answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.ended = asyncio.Event()
        self.why = ""
        self.refused = self.unsupported = self.turned_away = False
        self.pace = Pace()
        self._hearing = Hearing()
        self._has_room = has_room
        self._stats, self._take = stats, take
        self._loop = asyncio.get_running_loop()
        self._sock, self._descriptor = sock, sock.fileno()
        self._flush_planned = self._waits_for_room = self._leaving = False
        self._idle = asyncio.Event()
        self._on_their_way = 0
        self._may_be_on_their_way = 65_535  # MQTT 5 brokers can say less
        self._held_back: deque[tuple[str, bytes, bool, str]] = deque()
        self._client = client = _Client(sock, client_id, protocol, self._hearing.answered)
        client.max_inflight_messages_set(0)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_socket_register_write = self._on_want_write

    @property
    def unacknowledged(self) -> int:
        """Messages that were taken over and are not yet acknowledged by the broker."""
        return self._on_their_way + len(self._held_back)

    @property
    def roomy(self) -> bool:
        """Whether bulk may be sent."""
        return self.pace.is_open and not self._held_back

    def start(self, address: Address, will: Will | None, keepalive_s: int) -> None:
        """Send CONNECT and listen."""
        if will is not None:
            self._client.will_set(will.topic, will.payload, qos=1, retain=True)
        if address.username:
            self._client.username_pw_set(address.username, address.password.reveal() or None)
        self._loop.add_reader(self._descriptor, self._on_readable)
        if self.protocol == _V5:
            properties = _properties(PacketTypes.CONNECT)
            properties.ReceiveMaximum = _RECEIVE_MAXIMUM
            self._client.connect(address.host, address.port, keepalive_s, clean_start=True, properties=properties)
        else:
            self._client.connect(address.host, address.port, keepalive_s)

    def publish(self, topic: str, payload: bytes, retain: bool, traceparent: str) -> bool:
        """Send a message at QoS 1, or hold it back while the broker wants no more; False: it was not taken over."""
        if self._on_their_way >= self._may_be_on_their_way:
            self._held_back.append((topic, payload, retain, traceparent))
            return True
        return self._send(topic, payload, retain, traceparent)

    def _send(self, topic: str, payload: bytes, retain: bool, traceparent: str) -> bool:
        properties = None
        if traceparent and self.protocol == _V5:
            properties = _properties(PacketTypes.PUBLISH)
            properties.UserProperty = ("traceparent", traceparent)
        taken = self._client.publish(topic, payload, 1, retain, properties)
        if taken.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            return False
        self._on_their_way += 1
        self.pace.sent(taken.mid, len(topic) + len(payload), self._loop.time())
        return True

    def subscribe(self, patterns: Sequence[str]) -> None:
        """Ask for the messages of the patterns, and for the retained ones among them."""
        if patterns:
            self._client.subscribe([(pattern, 1) for pattern in patterns])

    def unsubscribe(self, pattern: str) -> None:
        """Ask for no more messages of the pattern."""
        self._client.unsubscribe(pattern)

    def check(self) -> None:
        """Send a ping when it is time for one; end the link when nothing comes over it any more."""
        self._run(self._client.loop_misc)
        if self.ended.is_set():
            return
        self._sock.limit_patience()
        step = self._hearing.check(*self._sock.progress())
        if step is Step.END:
            self.end("nothing came over it any more")
        elif step is Step.ASK:
            self._sock.send(_PING)
            self._flush()

    async def leave(self) -> None:
        """Wait shortly for what is on its way, send DISCONNECT, and let the broker hang up."""
        if self.unacknowledged:
            self._idle.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GOODBYE_S):
                    await self._idle.wait()
        self._flush()
        if self.ended.is_set():
            return
        self._leaving = True
        self._sock.send_last(_DISCONNECT)
        try:
            async with asyncio.timeout(_GOODBYE_S):
                await self.ended.wait()
        except TimeoutError:
            self.end("the broker did not hang up")

    def end(self, why: str) -> None:
        """Close the socket; the first call says why."""
        if self.ended.is_set():
            return
        self.why = self.why or why
        self._loop.remove_reader(self._descriptor)
        self._loop.remove_writer(self._descriptor)
        self._sock.close()
        self.ended.set()
        self._idle.set()
        if not self.answer.done():
            self.answer.set_result(self.why or "no answer")

    def _run(self, step: Callable[[], object]) -> None:
        try:
            step()
        except _LIBRARY_FAULTS as fault:
            log.debug("the MQTT library failed", exc_info=True)
            self.end(f"the broker sent what makes no sense: {fault!r}")
        if self._sock.closed:
            self.end("the link broke")

    def _on_readable(self) -> None:
        if self._leaving:
            if self._sock.at_end():
                self.end("")
            return
        self._hearing.heard()
        self._run(self._client.loop_read)
        while self._sock.unread and not self.ended.is_set():
            self._run(self._client.loop_read)

    def _on_want_write(self, _client: paho.Client, _userdata: Any, _sock: Any) -> None:
        if not self._flush_planned:
            self._flush_planned = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_planned = False
        if self.ended.is_set():
            return
        self._run(self._client.loop_write)
        try:
            sent_all = self._sock.flush()
        except OSError as broken:
            self.end(str(broken))
            return
        if not sent_all and not self._waits_for_room:
            self._loop.add_writer(self._descriptor, self._flush)
        elif sent_all and self._waits_for_room:
            self._loop.remove_writer(self._descriptor)
        self._waits_for_room = not sent_all

    def _on_connect(self, _client: paho.Client, _userdata: Any, _flags: Any, code: ReasonCode, properties: Any) -> None:
        if self.answer.done():
            return
        self.refused, self.unsupported = code.is_failure, code.value == _UNSUPPORTED_PROTOCOL
        self._may_be_on_their_way = getattr(properties, "ReceiveMaximum", 65_535)
        self.answer.set_result(str(code) if code.is_failure else "")

    def _on_disconnect(
        self, _client: paho.Client, _userdata: Any, _flags: Any, code: ReasonCode, _properties: Any
    ) -> None:
        self.why = self.why or self._sock.problem or str(code)

    def _on_publish(
        self, _client: paho.Client, _userdata: Any, packet_id: int, code: ReasonCode, _properties: Any
    ) -> None:
        self._on_their_way -= 1
        self._hearing.answered()
        self.pace.acknowledged(packet_id, self._loop.time())
        if code.is_failure:
            self._note("publishes_denied", f"the broker denied a publish: {code}")
        while self._held_back and self._on_their_way < self._may_be_on_their_way:
            self._send(*self._held_back.popleft())
        if self._on_their_way == 0:
            self._idle.set()
        if self.turned_away and self.roomy:
            self.turned_away = False
            self._loop.call_soon(self._has_room)

    def _on_subscribe(
        self, _client: paho.Client, _userdata: Any, _packet_id: int, codes: Any, _properties: Any
    ) -> None:
        for code in codes:
            if code.is_failure:
                self._note("subscriptions_denied", f"the broker denied a subscription: {code}")
                log.warning("%s", self._stats.last_error)

    def _on_message(self, _client: paho.Client, _userdata: Any, message: paho.MQTTMessage) -> None:
        done = partial(self._acknowledge, message.mid) if message.qos else _nothing
        try:
            topic = message.topic
        except UnicodeDecodeError:
            self._note("topics_unreadable", "the broker sent a topic that is not UTF-8")
            done()
            return
        traceparent = ""
        if message.properties is not None:
            pairs = getattr(message.properties, "UserProperty", ())
            traceparent = next((value for name, value in pairs if name == "traceparent"), "")
        self._take(topic, bytes(message.payload), message.retain, traceparent, done)

    def _acknowledge(self, packet_id: int) -> None:
        if not self.ended.is_set() and not self._leaving:
            self._client.ack(packet_id, 1)

    def _note(self, counter: str, problem: str) -> None:
        self._stats.extra[counter] = self._stats.extra.get(counter, 0.0) + 1
        self._stats.last_error = problem


class MqttBus:
    """One client's connection to one broker domain over MQTT.

    `addresses` are tried in order, from the first one after every loss, with pauses of 50 ms to 1 s (full jitter) after
    each round. `window` is how many messages may wait for the broker's acknowledgement before `publish` says False;
    bulk is taken over only as far as it gets through in about a second. A link on which nothing comes is asked with a
    ping after 0.9 s and given up after 2.4 s; `keepalive_s` (whole seconds, at least 1) is for the broker, which gives
    up a client that is silent for one and a half of it. `protocol`: "auto" tries MQTT 5 and falls back to 3.1.1 where
    it is refused.
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
    ) -> None:
        if not addresses or not 1 <= window <= 60_000:
            raise ValueError("a bus needs an address, and a window of 1 to 60,000 messages")
        self._addresses, self._client_id, self._will = tuple(addresses), client_id, will
        self._window, self._keepalive_s = window, max(1, math.ceil(keepalive_s))
        self._protocols = dict.fromkeys(self._addresses, _CHOICES[protocol])
        self._stats = BusStats()
        self._handlers = Handlers(self._stats)
        self._random = random.Random()
        self._link: _Link | None = None
        self._task: asyncio.Task[None] | None = None
        self._complained = False
        self._room_watchers: list[Callable[[], None]] = []

    @property
    def linked(self) -> bool:
        """As in the contract."""
        return self._link is not None and not self._link.ended.is_set()

    @property
    def stats(self) -> BusStats:
        """As in the contract; `extra["mqtt5"]` is 1 while the link speaks MQTT 5."""
        return self._stats

    def subscribe(self, pattern: str, handler: Handler) -> None:
        """As in the contract. Raises ValueError when it is not a pattern."""
        self._handlers.add(pattern, handler)
        if self._link is not None:
            self._link.subscribe([pattern])

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
            await link.leave()
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _keep_linked(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            lasted_s = 0.0
            for address in self._addresses:
                lasted_s = await self._serve(address)
                if lasted_s:
                    break
            if lasted_s >= _STEADY_S:
                pause_s = _FIRST_PAUSE_S
            await asyncio.sleep(self._random.uniform(0, pause_s))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _serve(self, address: Address) -> float:
        """Link to one broker and return, when the link is gone, how many seconds it lasted; 0: there was none."""
        problem = ""
        for protocol in self._protocols[address]:
            try:
                sock = await open_socket(address, reach_s=_REACH_S, secure_s=_CONNECT_S)
            except OSError as failed:
                problem = problem or str(failed) or "no answer"
                break
            link = _Link(sock, protocol, self._client_id, self._stats, self._handlers.hand_over, self._has_room)
            try:
                problem = await self._introduce(link, address)
                if not problem:
                    return await self._tend(link, address)
            finally:
                link.end("closed")
            if link.refused and not link.unsupported:
                break
        self._complain(address, problem)
        return 0.0

    async def _introduce(self, link: _Link, address: Address) -> str:
        """Send CONNECT and return what the broker has against it, "" if it accepts."""
        link.start(address, self._will, self._keepalive_s)
        try:
            async with asyncio.timeout(_CONNECT_S):
                problem = await link.answer
        except TimeoutError:
            return f"no answer to {_NAMES[link.protocol]}"
        if link.unsupported:
            log.debug("%s: %s is refused by %s", self._client_id, _NAMES[link.protocol], address)
            self._protocols[address] = self._protocols[address][1:] or self._protocols[address]
        return problem

    async def _tend(self, link: _Link, address: Address) -> float:
        """Serve an accepted link until it ends."""
        started_s = asyncio.get_running_loop().time()
        link.subscribe(self._handlers.patterns)
        self._link = link
        self._complained = False
        self._stats.connects += 1
        self._stats.extra["mqtt5"] = float(link.protocol == _V5)
        log.info("%s is linked to %s (%s)", self._client_id, address, _NAMES[link.protocol])
        self._handlers.tell_watchers(True)
        while not link.ended.is_set():
            try:
                async with asyncio.timeout(CHECK_S):
                    await link.ended.wait()
            except TimeoutError:
                link.check()
        if self._link is link:  # else it was us who closed
            self._link = None
            self._stats.disconnects += 1
            self._stats.last_error = link.why
            log.warning("%s lost its link to %s: %s", self._client_id, address, link.why)
            self._handlers.tell_watchers(False)
        return asyncio.get_running_loop().time() - started_s

    def _complain(self, address: Address, problem: str) -> None:
        self._stats.last_error = f"{address}: {problem}"
        level = logging.DEBUG if self._complained else logging.WARNING
        self._complained = True
        log.log(level, "%s has no link to %s and keeps trying: %s", self._client_id, address, problem)


def _properties(packet: int) -> Properties:
    make: Callable[[int], Properties] = Properties
    return make(packet)


def _nothing() -> None:
    """A message of QoS 0 needs no acknowledgement."""
