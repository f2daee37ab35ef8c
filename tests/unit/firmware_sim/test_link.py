"""Lanes drop and count as firmware does, and keep what must not be lost."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, cast

import aiomqtt
import pytest

from firmware_sim.broker import Broker, Watch, parse_broker
from firmware_sim.link import Lane


class Slot:
    """Stands in for the MQTT library: takes messages until it is told to fail."""

    def __init__(self, capacity: int) -> None:
        self.taken: list[tuple[str, bytes, int, bool]] = []
        self.capacity = capacity

    async def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool) -> None:
        if len(self.taken) >= self.capacity:
            raise aiomqtt.MqttError("gone")
        self.taken.append((topic, payload, qos, retain))


def flow(lane: Lane, slot: Slot) -> None:
    """Opens the lane and lets it flow until the connection fails."""

    async def run() -> None:
        lane.open()
        lane.put("t", b"last")
        with pytest.raises(aiomqtt.MqttError):
            await lane.flow(cast("aiomqtt.Client", slot))
        lane.shut()

    asyncio.run(run())


def in_loop(make: Callable[[], Any]) -> Any:
    async def run() -> Any:
        return make()

    return asyncio.run(run())


def test_samples_are_dropped_and_counted_while_the_broker_is_away() -> None:
    """Real firmware has no memory for them."""
    lane = in_loop(Lane)
    lane.put("t", b"1")
    assert (lane.sent, lane.dropped) == (0, 1)


def test_a_durable_lane_keeps_its_messages_in_order() -> None:
    """Answers outlive the connection; one that failed on the way is sent again."""
    lane = in_loop(lambda: Lane(durable=True))
    for number in range(3):
        lane.put("t", str(number).encode(), retain=True)
    broken, whole = Slot(1), Slot(3)
    flow(lane, broken)
    flow(lane, whole)
    assert [payload for _, payload, _, _ in broken.taken + whole.taken] == [b"0", b"1", b"2", b"last"]
    assert broken.taken[0][2:] == (1, True)
    assert lane.dropped == 0


def test_what_is_on_the_way_when_the_broker_goes_counts_as_dropped() -> None:
    """Sent and dropped together are all."""
    lane = in_loop(Lane)

    async def run() -> None:
        lane.open()
        for _ in range(4):
            lane.put("t", b"x")

    asyncio.run(run())
    flow(lane, Slot(2))
    assert (lane.sent, lane.dropped) == (2, 3)


def test_a_slow_broker_costs_the_oldest() -> None:
    """The backlog is bounded."""

    async def run() -> Lane:
        lane = Lane(limit=2)
        lane.open()
        for number in range(5):
            lane.put("t", str(number).encode())
        return lane

    lane = asyncio.run(run())
    assert lane.dropped == 3
    assert ("t", b"4", False) in lane


def test_watch_says_one_line_each(caplog: pytest.LogCaptureFixture) -> None:
    """However many links there are, the broker goes once and returns once."""
    caplog.set_level("INFO", "firmware_sim")
    watch = Watch(Broker("host", 1883), lambda: ", 3 samples dropped")
    for link in ("hall", "ana", "ben"):
        watch.up(link)
    for _ in range(2):
        for link in ("hall", "ana", "ben"):
            watch.down(link, "refused")
    for link in ("hall", "ana", "ben"):
        watch.up(link)
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == "connected to broker host:1883"
    assert lines[1] == "broker host:1883 is gone (refused), trying again"
    assert lines[2].startswith("broker host:1883 is back after 0.")
    assert lines[2].endswith(" s, 3 samples dropped")
    assert len(lines) == 3


@pytest.mark.parametrize(
    ("url", "broker"),
    [
        ("mqtt://127.0.0.1:1883", Broker("127.0.0.1", 1883)),
        ("mqtt://plant", Broker("plant", 1883)),
        ("mqtts://me:p%40ss@plant:99/", Broker("plant", 99, "me", "p@ss", tls=True)),
    ],
)
def test_broker_urls(url: str, broker: Broker) -> None:
    """Scheme, credentials and port as everybody writes them."""
    assert parse_broker(url) == broker


@pytest.mark.parametrize("url", ["plant:1883", "http://plant", "mqtt://", "mqtt://plant/topic", "mqtt://plant:x"])
def test_bad_broker_urls(url: str) -> None:
    """Refused at the start."""
    with pytest.raises(ValueError, match=r"."):
        parse_broker(url)


def test_several_brokers_are_read_in_their_order() -> None:
    """After commas come those that are tried while the first is away."""
    broker = parse_broker("mqtt://a, mqtt://b:1884?qos=0,mqtts://c")
    assert str(broker) == "a:1883"
    assert [str(each) for each in broker.others] == ["b:1884", "c:8883"]
    with pytest.raises(ValueError, match="expected mqtt"):
        parse_broker("mqtt://a,")


def test_a_lane_that_is_shut_flows_no_more() -> None:
    """Even if the word to stop came with an acknowledgement and was lost: else it would hold its link for ever."""

    class Deaf(Slot):
        async def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool) -> None:
            await super().publish(topic, payload, qos=qos, retain=retain)
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    async def run() -> None:
        lane, slot = Lane(durable=True), Deaf(9)
        lane.open()
        lane.put("t", b"1")
        flowing = asyncio.create_task(lane.flow(cast("aiomqtt.Client", slot)))
        while not slot.taken:
            await asyncio.sleep(0)
        lane.shut()
        flowing.cancel()
        await asyncio.wait_for(flowing, 2)

    asyncio.run(run())
