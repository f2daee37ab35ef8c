"""The pure Python broker amqtt in a thread of its own, so that agents on the main event loop are not slowed.

Imported only when there is no Mosquitto: it takes 0.1 s and 19 MB.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import logging
import threading
from collections.abc import Coroutine, Sequence
from typing import Any

from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter
from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig, ListenerConfig
from amqtt.errors import AMQTTError
from amqtt.session import Session

from edgemesh.errors import BusUnavailable

log = logging.getLogger(__name__)

_STOP_S, _CONNECT_S = 0.6, 10.0
_WAITING = 16  # so many messages of one client may wait to be handed on before more are read from it
_READS = 32  # so many reads, three or four a message, come between two turns of the loop for others
_TURNS = 5  # from a message read to the message handed on
_DISCONNECT = b"\xe0"
_REFUSED_VERSION = b"\x20\x02\x00\x01"  # CONNACK: unacceptable protocol version


class _Reader(StreamReaderAdapter):  # type: ignore[misc]  # amqtt has no types
    """A stream of which the first bytes were read already. It ends when the client is silent for `silence_s`.

    While more than a few messages are `waiting` to be handed on, no more is read; before it ends, all of them are.
    """

    def __init__(self, first: bytes, reader: asyncio.StreamReader) -> None:
        super().__init__(reader)
        self._first = first
        self._reads = 0
        self.waiting: asyncio.Queue[Any] | None = None
        self.silence_s: float | None = None

    async def read(self, n: int = -1) -> bytes:
        """Return exactly n bytes, or all that come when n is -1."""
        self._reads += 1
        if self._reads % _READS == 0:
            await asyncio.sleep(0)
        while self.waiting is not None and self.waiting.qsize() > _WAITING:
            await asyncio.sleep(0)
        if not self._first:
            return await self._read_on(n)
        cut = len(self._first) if n < 0 else n
        piece, self._first = self._first[:cut], self._first[cut:]
        return piece + (await self._read_on(n - len(piece)) if n > len(piece) else b"")

    async def _read_on(self, n: int) -> bytes:
        try:
            async with asyncio.timeout(self.silence_s):
                piece = bytes(await super().read(n))
        except TimeoutError:
            self.feed_eof()
            piece = b""
        except asyncio.IncompleteReadError:
            await self._let_pass()
            raise
        if piece in (b"", _DISCONNECT):
            await self._let_pass()
        return piece or bytes(await super().read(n))

    async def _let_pass(self) -> None:
        """Let what was read before reach those whom it is for: amqtt would throw it away when the client goes."""
        for _ in range(_TURNS):
            await asyncio.sleep(0)
            while self.waiting is not None and not self.waiting.empty():
                await asyncio.sleep(0)


async def _read_start(reader: asyncio.StreamReader) -> bytes:
    """Return a CONNECT packet up to its protocol version."""
    first = await reader.readexactly(2)
    while first[-1] & 0x80 and len(first) < 5:
        first += await reader.readexactly(1)
    return first + await reader.readexactly(7)


class _Broker(Broker):  # type: ignore[misc]  # amqtt has no types
    """amqtt with six of its habits mended. `streams` are the open connections."""

    def __init__(self, configuration: BrokerConfig, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(configuration, loop)
        self.streams: set[asyncio.StreamWriter] = set()
        self._sending: set[asyncio.Task[Any]] = set()

    async def stop_listening(self) -> None:
        """Give the ports back first thing. It would do so late in its shutdown, which is not waited for for ever.

        A connection that was accepted this moment has to come in first: a closed server would lose its socket
        (https://github.com/python/cpython/issues/109564).
        """
        servers = [server.instance for server in self._servers.values()]
        for sock in [sock for server in servers for sock in server.sockets]:
            asyncio.get_running_loop().remove_reader(sock.fileno())
        for _ in range(3):
            await asyncio.sleep(0)
        for server in servers:
            server.close()

    def stream_connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener_name: str
    ) -> Coroutine[Any, Any, None]:
        """Serve a connection, noted before its task runs: in a shutdown it may be cancelled before it ever does."""
        self.streams.add(writer)
        return self._serve_stream(reader, writer, listener_name)

    async def _serve_stream(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener_name: str
    ) -> None:
        """Refuse MQTT 5: it would let such a client wait for ever."""
        try:
            async with asyncio.timeout(_CONNECT_S):
                first = await _read_start(reader)
            if first[-7:-1] == b"\x00\x04MQTT" and first[-1] != 4:
                writer.write(_REFUSED_VERSION)
            else:
                await self._client_connected(listener_name, _Reader(first, reader), StreamWriterAdapter(writer))
        except (OSError, asyncio.IncompleteReadError):
            log.debug("a connection to amqtt ended before it began")
        finally:
            writer.close()
            self.streams.discard(writer)

    async def _handle_client_session(
        self, reader: _Reader, writer: StreamWriterAdapter, client_session: Session, handler: Any, *rest: Any
    ) -> None:
        reader.waiting = client_session.delivered_message_queue
        if client_session.keep_alive:
            reader.silence_s = 1.5 * client_session.keep_alive
        # It would not give up a client that is silent. With these two it would let one message of a client in and out
        # in each turn of the loop: what is urgent would wait for seconds behind acknowledgements.
        client_session.keep_alive = 0
        handler._write_lock = contextlib.nullcontext()  # noqa: SLF001  there is no other way
        await super()._handle_client_session(reader, writer, client_session, handler, *rest)

    async def _broadcast_message(
        self, session: Session | None, topic: str, data: bytes, force_qos: int | None = None
    ) -> None:
        # It would acknowledge a message and put it at the end of one endless queue for all. A publisher that is
        # acknowledged sends on; what it sends is minutes late then, is asked for again, and comes on top.
        for pattern, subscriptions in self._subscriptions.items():
            if not self._matches(topic, pattern):
                continue
            for target, qos in subscriptions:
                handler = self._get_handler(target)
                if handler is None or target.transitions.state != "connected":
                    continue
                self._send(handler.mqtt_publish(topic, data, qos if force_qos is None else force_qos, retain=False))

    def _send(self, message: Coroutine[Any, Any, Any]) -> None:
        sending = asyncio.ensure_future(message)
        self._sending.add(sending)
        sending.add_done_callback(self._sent)

    def _sent(self, sending: asyncio.Task[Any]) -> None:
        self._sending.discard(sending)
        if not sending.cancelled() and sending.exception() is not None:
            log.debug("amqtt: a message did not arrive", exc_info=sending.exception())

    async def _publish_retained_messages_for_subscription(self, subscription: tuple[str, int], session: Any) -> None:
        # It would hand a new client the retained messages of other clients' subscriptions, and would take nothing from
        # a client that lets it wait for an acknowledgement.
        pattern = subscription[0]
        if any(held.client_id == session.client_id for held, _ in self._subscriptions.get(pattern, ())):
            self._send(super()._publish_retained_messages_for_subscription(subscription, session))
            await asyncio.sleep(0)

    async def _delete_session(self, client_id: str) -> None:
        # It would let an older client of the same id sit on a link over which nothing comes.
        handler = self._sessions.get(client_id, (None, None))[1]
        await super()._delete_session(client_id)
        if handler is not None:
            await handler.handle_connection_closed()


class AmqttThread:
    """A broker on a port of the loopback interface."""

    def __init__(self) -> None:
        self.version = importlib.metadata.version("amqtt")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="amqtt", daemon=True)
        self._broker: _Broker | None = None

    @classmethod
    async def start(cls, port: int, also: Sequence[str] = ()) -> AmqttThread:
        """Start it, on 127.0.0.1 and the addresses of `also`; return when it accepts connections.

        Raises BusUnavailable in its own words when it does not.
        """
        for name in ("amqtt", "transitions"):
            if logging.getLogger(name).level == logging.NOTSET:
                logging.getLogger(name).setLevel(logging.CRITICAL)
        started = cls()
        started._thread.start()
        try:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(started._serve(port, also), started._loop))
        except (AMQTTError, OSError) as problem:
            await started.stop()
            raise BusUnavailable(f"amqtt did not start on port {port}: {problem}", "choose another port") from problem
        return started

    async def stop(self) -> None:
        """End it and its thread, within a second."""
        if not self._thread.is_alive():
            return
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._shut_down(), self._loop))
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.set_exception_handler(_log_quietly)
        try:
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    async def _serve(self, port: int, also: Sequence[str]) -> None:
        listeners = {"default": ListenerConfig(bind=f"127.0.0.1:{port}")}
        listeners |= {host: ListenerConfig(bind=f"{host}:{port}") for host in also}
        configuration = BrokerConfig(
            listeners=listeners,
            plugins={"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        )
        broker = _Broker(configuration, self._loop)
        await broker.start()
        self._broker = broker

    async def _shut_down(self) -> None:
        streams: set[asyncio.StreamWriter] = set()
        if self._broker is not None:
            streams |= self._broker.streams
            await self._broker.stop_listening()
            await asyncio.wait([asyncio.ensure_future(self._broker.shutdown())], timeout=_STOP_S)
            streams |= self._broker.streams  # those that were on their way in
        own = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not own]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for stream in streams:  # a client that reads nothing would keep its socket open
            stream.transport.abort()
        await asyncio.sleep(0)


def _log_quietly(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Let the errors of broken connections go by: amqtt does not catch them, and they are no news."""
    log.debug("amqtt: %s", context.get("message"), exc_info=context.get("exception"))
