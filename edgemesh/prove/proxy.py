"""A way to a TCP server through this process, with weather: for drills where no namespace can be made.

Bytes of a stream can't get lost alone, nor overtake each other: a loss is the wait for the packet that is sent again,
and only a direction that drops everything leaves a hole. Connections with a hole are broken when that weather ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections import deque
from dataclasses import dataclass, field

from edgemesh.prove.weather import Lane, Weather

_PIECE = 1_448  # as much as a packet holds
_AGAIN_S = (0.2, 1.0)  # what a lost packet costs
_POLL_S = 0.01
_UNSENT = 16_384
"""Bytes that the operating system holds for us at most, so that a slow lane is felt by the sender."""


@dataclass(slots=True, eq=False)
class _Stream:
    """One direction of one connection: pieces on their way with their times, and whether some were dropped."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    pieces: deque[tuple[float, bytes]] = field(default_factory=deque)
    waiting: int = 0
    ended: bool = False
    torn: bool = False


class Proxy:
    """A port of the loopback interface that leads to another. Used as `async with`.

    `up` is the lane from the clients to the server, `down` the one back. Two clients share no queue here.
    """

    how = "streams"

    def __init__(self, upstream_port: int, seed: int = 1) -> None:
        self.port = 0
        self.up = Lane(random.Random(f"{seed}:up"))
        self.down = Lane(random.Random(f"{seed}:down"))
        self._upstream_port = upstream_port
        self._plugged = True
        self._server: asyncio.Server | None = None
        self._streams: set[_Stream] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, limit=_UNSENT)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def weather(self, *, up: Weather | None = None, down: Weather | None = None) -> None:
        """Change the weather of one direction or both, for what is sent from now on."""
        for lane, new in ((self.up, up), (self.down, down)):
            if new is None:
                continue
            if lane.weather.drops and not new.drops:
                self._break_torn()
            lane.weather = new

    async def unplug(self) -> None:
        """Let everything stand still; connections stay open, and new ones get no answer."""
        self._plugged = False

    async def plug(self) -> None:
        """Let everything go on."""
        self._plugged = True

    def _break_torn(self) -> None:
        for stream in self._streams:
            if stream.torn:
                stream.writer.transport.abort()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve_or_break(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve_or_break(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._serve(reader, writer)
        except OSError:
            pass
        finally:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not self._plugged or self.up.weather.drops or self.down.weather.drops:  # no handshake comes through
            await asyncio.sleep(_POLL_S)
        back_reader, back_writer = await asyncio.open_connection("127.0.0.1", self._upstream_port, limit=_UNSENT)
        streams = (_Stream(reader, back_writer), _Stream(back_reader, writer))
        self._streams.update(streams)
        for end in (writer, back_writer):
            end.transport.set_write_buffer_limits(high=_UNSENT)
            sock = end.get_extra_info("socket")
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            async with asyncio.TaskGroup() as group:
                for stream, lane in zip(streams, (self.up, self.down), strict=True):
                    group.create_task(self._take(stream, lane))
                    group.create_task(self._give(stream))
        except* OSError:
            pass
        finally:
            self._streams.difference_update(streams)
            for end in (writer, back_writer):
                end.transport.abort()

    async def _take(self, stream: _Stream, lane: Lane) -> None:
        loop = asyncio.get_running_loop()
        latest_s = 0.0
        while True:
            while not self._plugged or stream.waiting > lane.weather.queue_bytes:
                await asyncio.sleep(_POLL_S)
            piece = await _read(stream.reader)
            if not piece:
                while not self._plugged or lane.weather.drops:  # a good-bye does not come through, either
                    await asyncio.sleep(_POLL_S)
                stream.ended = True
                return
            now_s = loop.time()
            if lane.weather.drops:
                stream.torn = True
                lane.lost += 1
                continue
            arrivals = lane.arrivals(len(piece), now_s)
            again_s = 0.0 if arrivals else lane.chance.uniform(*_AGAIN_S)
            latest_s = max(latest_s, lane.free_s, *arrivals[:1], now_s + again_s)
            stream.pieces.append((latest_s, piece))
            stream.waiting += len(piece)

    async def _give(self, stream: _Stream) -> None:
        loop = asyncio.get_running_loop()
        while stream.pieces or not stream.ended:
            if not stream.pieces or not self._plugged or stream.pieces[0][0] > loop.time():
                due_s = stream.pieces[0][0] - loop.time() if stream.pieces else _POLL_S
                await asyncio.sleep(min(max(due_s, 0.001), _POLL_S))
                continue
            piece = stream.pieces.popleft()[1]
            stream.waiting -= len(piece)
            stream.writer.write(piece)
            await stream.writer.drain()
        with contextlib.suppress(OSError):
            stream.writer.write_eof()


async def _read(reader: asyncio.StreamReader) -> bytes:
    """The next piece; empty at the end, however it came."""
    try:
        return await reader.read(_PIECE)
    except OSError:
        return b""
