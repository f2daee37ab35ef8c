"""What the broker in memory promises beyond the contract: it is deterministic, and tests may break its links."""

from __future__ import annotations

import asyncio

from edgemesh.bus.contract import Bus, Message, Will
from edgemesh.bus.memory import MemoryBroker


async def opened(broker: MemoryBroker, client_id: str, will: Will | None = None) -> Bus:
    bus = broker.client(client_id, will=will)
    await bus.open()
    await asyncio.sleep(0)
    assert bus.linked
    return bus


def test_a_message_arrives_in_the_next_turn_of_the_loop() -> None:
    """Nothing is handed over inside `publish`; one turn of the loop later all of it is, in order."""

    async def scenario() -> None:
        bus = await opened(MemoryBroker(), "a")
        came: list[bytes] = []
        bus.subscribe("t", lambda message: came.append(message.payload))
        bus.publish("t", b"1")
        bus.publish("t", b"2")
        assert came == []
        await asyncio.sleep(0)
        assert came == [b"1", b"2"]

    asyncio.run(scenario())


def test_a_restart_forgets_everything_and_links_everybody_anew() -> None:
    """Watchers see False and True, retained messages are gone, what was under way is lost, no will is published."""

    async def scenario() -> None:
        broker = MemoryBroker()
        bus = await opened(broker, "a", Will("w", b"will"))
        events: list[bool] = []
        came: list[Message] = []
        bus.on_link(events.append)
        bus.subscribe("#", came.append)
        bus.publish("kept", b"x", retain=True)
        broker.restart()
        assert not bus.publish("t", b"no link yet")
        await asyncio.sleep(0)
        assert (events, came, broker.retained, bus.linked) == ([False, True], [], {}, True)

    asyncio.run(scenario())


def test_retained_messages_can_be_looked_at() -> None:
    """`retained` shows what stands, wills included, without what was emptied."""

    async def scenario() -> None:
        broker = MemoryBroker()
        bus = await opened(broker, "a", Will("w", b"gone"))
        bus.publish("x", b"1", retain=True)
        bus.publish("y", b"2", retain=True)
        bus.publish("y", b"", retain=True)
        bus.publish("z", b"3")
        broker.cut("a")
        assert broker.retained == {"x": b"1", "w": b"gone"}

    asyncio.run(scenario())


def test_a_traceparent_is_carried() -> None:
    """As with MQTT 5."""

    async def scenario() -> None:
        bus = await opened(MemoryBroker(), "a")
        came: list[Message] = []
        bus.subscribe("t", came.append)
        bus.publish("t", b"", traceparent="00-1-2-01")
        await asyncio.sleep(0)
        assert came[0].traceparent == "00-1-2-01"

    asyncio.run(scenario())


def test_a_client_may_be_cut_before_it_opens() -> None:
    """A cut holds for whoever comes with that id, until it is healed."""

    async def scenario() -> None:
        broker = MemoryBroker()
        broker.cut("a")
        bus = broker.client("a")
        await bus.open()
        await asyncio.sleep(0)
        assert not bus.linked
        broker.heal("a")
        await asyncio.sleep(0)
        assert bus.linked

    asyncio.run(scenario())
