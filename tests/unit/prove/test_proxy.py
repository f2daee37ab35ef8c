"""A TCP way with weather."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest

from edgemesh.prove.proxy import Proxy
from edgemesh.prove.weather import CALM, GONE, Weather

Talk = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def echoing() -> AsyncIterator[tuple[Proxy, Talk]]:
    """A proxy in front of a server that says everything again, and a connection through it."""
    writers: list[asyncio.StreamWriter] = []
    tasks: list[asyncio.Task[None]] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(65_536):
                writer.write(piece)
                await writer.drain()
        writer.close()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        tasks.append(asyncio.create_task(echo(reader, writer)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with Proxy(server.sockets[0].getsockname()[1]) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        yield proxy, (reader, writer)
        writer.close()
    server.close()
    for each in writers:
        each.close()
    await asyncio.gather(*tasks)


async def ask(talk: Talk, said: bytes, within_s: float = 5.0) -> bytes:
    talk[1].write(said)
    async with asyncio.timeout(within_s):
        return await talk[0].readexactly(len(said))


async def silent(talk: Talk, said: bytes) -> None:
    with pytest.raises(TimeoutError):
        await ask(talk, said, 0.2)


def test_calm_weather_carries_everything() -> None:
    """What is sent arrives whole, both ways."""

    async def scenario() -> None:
        async with echoing() as (_, talk):
            said = bytes(range(256)) * 1_000
            assert await ask(talk, said) == said

    asyncio.run(scenario())


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_direction_can_be_dropped_and_its_connections_break_afterwards(direction: str) -> None:
    """Nobody is told while it lasts; a connection with a hole ends when the weather gets better, a new one works."""

    async def scenario() -> None:
        async with echoing() as (proxy, talk):
            assert await ask(talk, b"first") == b"first"
            proxy.weather(**{direction: GONE})
            await silent(talk, b"lost")
            proxy.weather(**{direction: CALM})
            async with asyncio.timeout(5):
                with contextlib.suppress(ConnectionError):
                    assert await talk[0].read(10) == b""
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            assert await ask((reader, writer), b"again") == b"again"
            writer.close()

    asyncio.run(scenario())


def test_an_unplugged_way_goes_on_where_it_stood() -> None:
    """Connections survive a cut that is shorter than their patience, as TCP does, and nothing of them is lost."""

    async def scenario() -> None:
        async with echoing() as (proxy, talk):
            await proxy.unplug()
            await silent(talk, b"later")
            await proxy.plug()
            async with asyncio.timeout(5):
                assert await talk[0].readexactly(5) == b"later"

    asyncio.run(scenario())


def test_bad_weather_is_slow_but_loses_nothing() -> None:
    """With delay, losses and a rate a stream arrives late, in order and whole."""

    async def scenario() -> None:
        async with echoing() as (proxy, talk):
            proxy.weather(up=Weather(delay_s=0.05, jitter_s=0.05, loss=0.1, rate=40_000.0))
            said = bytes(range(256)) * 40
            began_s = time.monotonic()
            assert await ask(talk, said) == said
            assert time.monotonic() - began_s > 10_240 / 40_000

    asyncio.run(scenario())
