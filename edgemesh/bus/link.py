"""One link of a client to a broker, on paho, from CONNECT to its end. The only importer of the MQTT library."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import struct
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edgemesh.bus.address import Address
from edgemesh.bus.contract import BusStats, Will
from edgemesh.bus.hearing import Hearing, Step
from edgemesh.bus.pace import Pace
from edgemesh.bus.sockets import BufferedSocket

log = logging.getLogger(__name__)

_USUAL_BYTES = 4_096  # of a message, to reckon how many of QoS 0 wait in so many bytes
_GOODBYE_S = 0.4  # for what is on its way, and once more for the broker to hang up
_RECEIVE_MAXIMUM = 10_000  # messages that an MQTT 5 broker may send before the first of them is settled
_DISCONNECT, _PING = b"\xe0\x00", b"\xc0\x00"
_UNSUPPORTED_PROTOCOL, _TAKEN_OVER = 132, 142
Version = MQTTProtocolVersion
V311, V5 = Version.MQTTv311, Version.MQTTv5
NAMES = {V311: "MQTT 3.1.1", V5: "MQTT 5"}
# What the library raises when a broker's packet makes no sense.
_LIBRARY_FAULTS = (ValueError, LookupError, TypeError, AttributeError, AssertionError, struct.error)

Take = Callable[[str, bytes, bool, str, Callable[[], None]], None]


class _Client(paho.Client):
    """The library's client on a socket that is connected already."""

    def __init__(self, sock: BufferedSocket, client_id: str, protocol: Version, answered: Callable[[], None]) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id,
            clean_session=None if protocol == V5 else True,
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


class Link:
    """One connection from CONNECT to its end.

    `answer` becomes "" when the broker accepts, else its refusal; `ended` is set once nothing can come any more.
    `taken_over`: the broker said that another client has our id now.
    `pace` says whether there is room for bulk; `has_room` is called when there is again after `turned_away` was set.
    """

    def __init__(
        self,
        address: Address,
        sock: BufferedSocket,
        protocol: Version,
        client_id: str,
        stats: BusStats,
        take: Take,
        has_room: Callable[[], None],
    ) -> None:
        self.address = address
        self.protocol = protocol
        self.answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.ended = asyncio.Event()
        self.why = ""
        self.refused = self.unsupported = self.turned_away = self.taken_over = False
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
        """Messages taken over that the broker has not acknowledged; at QoS 0 about as many as still wait here."""
        if not self.address.qos:
            return self._sock.unsent // _USUAL_BYTES
        return self._on_their_way + len(self._held_back)

    @property
    def roomy(self) -> bool:
        """Whether bulk may be sent: at QoS 0, of which we hear no more, while nothing waits here."""
        return self.pace.is_open and not self._held_back and (self.address.qos > 0 or not self._sock.unsent)

    @property
    def has_spare(self) -> bool:
        """Whether there is room for what nobody waits for."""
        return self.roomy and self.pace.has_spare

    def start(self, will: Will | None, keepalive_s: int) -> None:
        """Send CONNECT and listen."""
        address = self.address
        if will is not None:
            self._client.will_set(will.topic, will.payload, qos=1, retain=True)
        if address.username:
            self._client.username_pw_set(address.username, address.password.reveal() or None)
        self._loop.add_reader(self._descriptor, self._on_readable)
        if self.protocol == V5:
            properties = _properties(PacketTypes.CONNECT)
            properties.ReceiveMaximum = _RECEIVE_MAXIMUM
            self._client.connect(address.host, address.port, keepalive_s, clean_start=True, properties=properties)
        else:
            self._client.connect(address.host, address.port, keepalive_s)

    def publish(self, topic: str, payload: bytes, retain: bool, traceparent: str) -> bool:
        """Send a message, or hold it back while the broker wants no more; False: it was not taken over."""
        if self._on_their_way >= self._may_be_on_their_way:
            self._held_back.append((topic, payload, retain, traceparent))
            return True
        return self._send(topic, payload, retain, traceparent)

    def _send(self, topic: str, payload: bytes, retain: bool, traceparent: str) -> bool:
        properties = None
        if traceparent and self.protocol == V5:
            properties = _properties(PacketTypes.PUBLISH)
            properties.UserProperty = ("traceparent", traceparent)
        taken = self._client.publish(topic, payload, self.address.qos, retain, properties)
        if taken.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            return False
        if self.address.qos:
            self._on_their_way += 1
            self.pace.sent(taken.mid, len(topic) + len(payload), self._loop.time())
        return True

    def subscribe(self, patterns: Sequence[str], *, no_local: bool = False) -> None:
        """Ask for the messages of the patterns, and for the retained ones among them.

        `no_local`: but for those that we publish ourselves; MQTT 3.1.1 can't be asked that.
        """
        if not patterns:
            return
        qos: int = self.address.qos
        if no_local and self.protocol == V5:
            options = SubscribeOptions(qos=qos, noLocal=True)
            self._client.subscribe([(pattern, options) for pattern in patterns])
        else:
            self._client.subscribe([(pattern, qos) for pattern in patterns])

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
        self._sock.release()
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
        if not self.address.qos:
            self._tell_of_room()

    def _tell_of_room(self) -> None:
        if self.turned_away and self.roomy:
            self.turned_away = False
            self._loop.call_soon(self._has_room)

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
        self.taken_over = code.value == _TAKEN_OVER

    def _on_publish(
        self, _client: paho.Client, _userdata: Any, packet_id: int, code: ReasonCode, _properties: Any
    ) -> None:
        if not self.address.qos:  # it says no more than that the socket has it
            return
        self._on_their_way -= 1
        self._hearing.answered()
        self.pace.acknowledged(packet_id, self._loop.time())
        if code.is_failure:
            self._note("publishes_denied", f"the broker denied a publish: {code}")
        while self._held_back and self._on_their_way < self._may_be_on_their_way:
            self._send(*self._held_back.popleft())
        if self._on_their_way == 0:
            self._idle.set()
        self._tell_of_room()

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


def _properties(packet: int) -> Properties:
    make: Callable[[int], Properties] = Properties
    return make(packet)


def _nothing() -> None:
    """A message of QoS 0 needs no acknowledgement."""
