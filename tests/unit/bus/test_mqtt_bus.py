"""MqttBus against servers that are no good brokers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

import pytest

from edgemesh.bus import search
from edgemesh.bus.address import Address
from edgemesh.bus.backoff import CONTESTED_LINKS, FIRST_S, BackOff
from edgemesh.bus.mqtt import MqttBus
from edgemesh.bus.pace import FIRST_BYTES

if TYPE_CHECKING:
    from tests.conftest import Until

CONNACK = b"\x20\x02\x00\x00"
CONNACK_5 = b"\x20\x03\x00\x00\x00"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def server(serve: Serve) -> AsyncIterator[Address]:
    """Run `serve` for each connection; at the end every one of them is over."""
    writers: list[asyncio.StreamWriter] = []
    tasks: list[asyncio.Task[None]] = []

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        tasks.append(asyncio.create_task(run(reader, writer)))

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await serve(reader, writer)
        writer.close()

    listening = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield Address("127.0.0.1", listening.sockets[0].getsockname()[1])
    finally:
        listening.close()
        for _ in range(3):  # a connection that was taken a moment ago reaches `connected` within these turns
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        for writer in writers:
            writer.close()
        for writer in writers:
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        for end in ends:
            if isinstance(end, Exception):
                raise end


async def read_packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The kind of the next MQTT packet (the upper half of its first byte) and what follows its length."""
    kind = (await reader.readexactly(1))[0] & 0xF0
    size = shift = 0
    while True:
        digit = (await reader.readexactly(1))[0]
        size, shift = size | (digit & 127) << shift, shift + 7
        if digit < 128:
            return kind, await reader.readexactly(size)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\xff" * 40,
        b"\x00" * 40,
        b"\x20\x02\x00",
        b"\x20\x00",
        b"\x20\xff\xff\xff\xff\xff",
        CONNACK + b"\x30\x02\xff\xff",
        CONNACK + b"\x32\x05\x00\x01\xff\x00\x01\xf0\x00",
        CONNACK + b"\x40\x01\x00",
        CONNACK + b"\x90\x00\x90\x02\x00\x01",
        CONNACK_5 + b"\x90\x04\x00\x01\x00\x07\x40\x04\x00\x01\x99\x00",
        CONNACK_5 + b"\x32\x09\x00\x01t\x00\x01\x03\x99\x00\x00",
        CONNACK_5 + b"\xe0\x02\xee\x00",
        b"\x20\x03\x00\x77\x00",
    ],
)
def test_a_server_that_talks_nonsense_is_left_and_tried_again(
    until: Until, said: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever a server sends, the bus ends that link, tries again, and can be closed; nothing is raised anywhere."""
    served = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal served
        await reader.read(1)
        served += 1
        writer.write(said)
        await writer.drain()

    async def scenario() -> None:
        unhandled: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
        async with server(serve) as address:
            bus = MqttBus([address], "brave")
            bus.subscribe("#", lambda message: message.settle())
            await bus.open()
            await until(lambda: served >= 4)
            await bus.close()
        assert not unhandled

    with caplog.at_level(logging.CRITICAL):
        asyncio.run(scenario())


def test_a_server_that_says_nothing_is_given_up(until: Until, monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer to CONNECT within the time-out: both protocol versions are tried, then the next address."""
    monkeypatch.setattr(search, "_CONNECT_S", 0.1)
    levels: list[int] = []

    async def mute(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        levels.append((await reader.readexactly(9))[8])
        await reader.read()

    async def good(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(9)
        writer.write(CONNACK_5)
        await reader.read()

    async def scenario() -> None:
        async with server(mute) as first, server(good) as second:
            bus = MqttBus([first, second], "patient")
            await bus.open()
            await until(lambda: bus.linked)
            assert levels == [5, 4]
            await bus.close()

    asyncio.run(scenario())


def test_protocol_5_is_tried_first_and_given_up_for_good_where_it_is_refused(until: Until) -> None:
    """A broker that knows only 3.1.1 is asked in 3.1.1 at once, and is not asked again in 5 after a loss."""
    levels: list[int] = []

    async def old(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        levels.append((await reader.readexactly(9))[8])
        writer.write(CONNACK if levels[-1] == 4 else b"\x20\x02\x00\x01")
        if levels[-1] == 4 and len(levels) > 2:
            await reader.read()

    async def scenario() -> None:
        async with server(old) as address:
            bus = MqttBus([address], "polyglot")
            started = time.monotonic()
            await bus.open()
            await until(lambda: bus.stats.connects == 2)
            assert time.monotonic() - started < 1
            assert levels == [5, 4, 4]
            await bus.close()

    asyncio.run(scenario())


def test_a_refusal_that_is_not_about_the_protocol_is_final(until: Until) -> None:
    """Where the login is wrong, MQTT 3.1.1 would not help: each round asks once, in MQTT 5."""
    levels: list[int] = []

    async def strict(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        levels.append((await reader.readexactly(9))[8])
        writer.write(b"\x20\x03\x00\x86\x00")

    async def scenario() -> None:
        async with server(strict) as address:
            bus = MqttBus([address], "a")
            await bus.open()
            await until(lambda: len(levels) >= 3)
            await bus.close()
        assert set(levels) == {5}
        assert "Bad user name or password" in bus.stats.last_error

    asyncio.run(scenario())


def test_a_hasty_end_does_not_condemn_protocol_5(until: Until) -> None:
    """A broker that breaks off before it answers is tried in 3.1.1, and in 5 again next time."""
    levels: list[int] = []

    async def restless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        levels.append((await reader.readexactly(9))[8])
        if len(levels) > 2:
            writer.write(CONNACK_5)
            await reader.read()

    async def scenario() -> None:
        async with server(restless) as address:
            bus = MqttBus([address], "a")
            await bus.open()
            await until(lambda: bus.linked)
            assert levels == [5, 4, 5]
            assert bus.stats.extra["mqtt5"] == 1
            await bus.close()

    asyncio.run(scenario())


def test_tries_are_spread_between_50_ms_and_1_s(until: Until, free_port: int, caplog: pytest.LogCaptureFixture) -> None:
    """Pauses have full jitter below a bound that doubles from 50 ms to 1 s; the person is told once."""

    async def scenario() -> None:
        bus = MqttBus([Address("127.0.0.1", free_port)], "a")
        bounds: list[float] = []

        class Spy(BackOff):
            def pause_s(self, chance: float) -> float:
                assert 0 <= chance <= 1
                bounds.append(super().pause_s(1.0))
                return 0.0

        bus._back_off = Spy()
        await bus.open()
        await until(lambda: len(bounds) >= 8)
        await bus.close()
        assert bounds[:8] == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0]

    with caplog.at_level(logging.INFO):
        asyncio.run(scenario())
    assert caplog.text.count("keeps trying") == 1


def test_a_host_that_does_not_exist_is_waited_for(until: Until) -> None:
    """Names that can't be looked up, or are none, are a broker that is not there yet."""

    async def scenario() -> None:
        bus = MqttBus([Address("no-such-host.invalid"), Address("a..b"), Address("x" * 300)], "a")
        await bus.open()
        await until(lambda: "mqtt://x" in bus.stats.last_error)
        assert not bus.linked
        await bus.close()

    asyncio.run(scenario())


def test_close_does_not_wait_for_a_broker_that_hangs(until: Until) -> None:
    """Good-bye to a broker that neither acknowledges nor hangs up takes less than a second."""

    async def hanging(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(9)
        writer.write(CONNACK_5)
        await asyncio.sleep(5)

    async def scenario() -> None:
        async with server(hanging) as address:
            bus = MqttBus([address], "a")
            await bus.open()
            await until(lambda: bus.linked)
            assert bus.publish("t", b"never acknowledged")
            started = time.monotonic()
            await bus.close()
            assert time.monotonic() - started < 1

    asyncio.run(scenario())


def test_the_good_bye_arrives_though_messages_are_unread(until: Until) -> None:
    """DISCONNECT reaches a broker that is just sending; a reset link would make it publish the will."""
    said = bytearray()
    ends: list[bytes] = []
    writers: list[asyncio.StreamWriter] = []

    async def talkative(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(CONNACK_5)
        while piece := await reader.read(1000):
            said.extend(piece)
        ends.append(bytes(said[-2:]))

    async def scenario() -> None:
        async with server(talkative) as address:
            bus = MqttBus([address], "a")
            await bus.open()
            await until(lambda: bus.linked)
            writers[0].write(b"\x30\x05\x00\x01t\x00." * 1000)
            await bus.close()
            await until(lambda: ends)
            assert ends == [b"\xe0\x00"]

    asyncio.run(scenario())


def test_no_more_is_on_its_way_than_an_mqtt_5_broker_wants(until: Until) -> None:
    """A receive maximum of 3 in CONNACK: the fourth message is sent after the first acknowledgement, in order."""
    came: list[bytes] = []
    unacknowledged: list[bytes] = []
    too_many: list[bytes] = []

    async def choosy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        start = await reader.readexactly(2)
        await reader.readexactly(start[1])
        writer.write(b"\x20\x06\x00\x00\x03\x21\x00\x03")
        while True:
            head = await reader.readexactly(2)
            body = await reader.readexactly(head[1])
            if head[0] & 0xF0 == 0x30:
                came.append(body[6:])
                unacknowledged.append(body[3:5])
            if len(came) == 3:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.05):
                        too_many.append(await reader.readexactly(1))
            if len(unacknowledged) == 3 or len(came) == 10:
                writer.write(b"\x40\x02" + unacknowledged.pop(0))

    async def scenario() -> None:
        async with server(choosy) as address:
            bus = MqttBus([address], "a")
            await bus.open()
            await until(lambda: bus.linked)
            for number in range(10):
                assert bus.publish("t", b"%d" % number)
            await until(lambda: too_many or len(came) == 10)
            assert not too_many
            assert came == [b"%d" % number for number in range(10)]
            await bus.close()

    asyncio.run(scenario())


def test_a_slow_reader_does_not_block_the_loop(until: Until) -> None:
    """A broker that reads nothing for a while gets all of it later; `publish` never waits for it."""
    received = 0

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        await reader.readexactly(9)
        writer.write(CONNACK_5)
        await may_read.wait()
        while piece := await reader.read(1 << 20):
            received += len(piece)

    async def scenario() -> None:
        async with server(slow) as address:
            bus = MqttBus([address], "a", keepalive_s=60)
            await bus.open()
            await until(lambda: bus.linked)
            started = time.monotonic()
            for _ in range(100):
                assert bus.publish("t", b"x" * 200_000)
            assert time.monotonic() - started < 2
            may_read.set()
            await until(lambda: received > 100 * 200_000)
            await bus.close()

    may_read = asyncio.Event()
    asyncio.run(scenario())


def test_bulk_leaves_room_for_what_is_urgent(until: Until) -> None:
    """Bulk is refused once as much is under way as a new link may hold; anything else still goes, and room is told."""
    room_told = 0

    async def forgetful(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while len(numbers) < urgent_at + 1:
            kind, body = await read_packet(reader)
            if kind == 0x10:
                writer.write(CONNACK)
            elif kind == 0x30:
                numbers.append(body[3:5])
        await may_acknowledge.wait()
        for number in numbers:
            writer.write(b"\x40\x02" + number)
        await reader.read()

    def told() -> None:
        nonlocal room_told
        room_told += 1

    async def scenario() -> None:
        async with server(forgetful) as address:
            bus = MqttBus([address], "a", protocol="3.1.1")
            bus.on_room(told)
            await bus.open()
            await until(lambda: bus.linked)
            taken = 0
            while bus.publish("t", b"x" * 1_000, bulk=True):
                taken += 1
            assert taken == urgent_at
            assert bus.publish("t", b"urgent")
            assert (room_told, bus.stats.refused) == (0, 1)
            may_acknowledge.set()
            await until(lambda: room_told == 1)
            assert bus.publish("t", b"x" * 1_000, bulk=True)
            await bus.close()

    urgent_at = -(-FIRST_BYTES // 1_001)
    numbers: list[bytes] = []
    may_acknowledge = asyncio.Event()
    asyncio.run(scenario())


@pytest.mark.parametrize("window", [0, 60_001])
def test_settings_that_can_not_work_are_refused(window: int) -> None:
    """A bus needs an address, and a window that fits the protocol's packet ids."""
    with pytest.raises(ValueError, match="window"):
        MqttBus([Address("a")], "a", window=window)
    with pytest.raises(ValueError, match="address"):
        MqttBus([], "a")


@pytest.mark.parametrize(
    ("farewell", "links", "said"),
    [(b"", CONTESTED_LINKS, "perhaps another client"), (b"\xe0\x02\x8e\x00", CONTESTED_LINKS // 2, "push each other")],
)
def test_a_broker_that_gives_links_and_takes_them_back_is_not_stormed(
    until: Until, caplog: pytest.LogCaptureFixture, farewell: bytes, links: int, said: str
) -> None:
    """Links that end as soon as they were given, one after the other, are called contested, once, and tried less.

    Half as many are enough where the broker says (MQTT 5) that another client took them.
    """
    given = 0

    async def fickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal given
        await reader.readexactly(9)
        given += 1
        writer.write(CONNACK_5 + farewell)

    async def scenario() -> None:
        async with server(fickle) as address:
            bus = MqttBus([address], "a")
            await bus.open()
            await until(lambda: bus.stats.extra.get("contested") == 1.0)
            assert given == links
            assert bus.stats.extra.get("taken_over", 0) == (links if farewell else 0)
            assert bus._back_off.pause_s(0.0) >= FIRST_S
            await bus.close()

    with caplog.at_level(logging.ERROR):
        asyncio.run(scenario())
    assert caplog.text.count("ends each link soon after it gave it") == 1
    assert said in caplog.text
