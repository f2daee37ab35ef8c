"""Neighbours in one process hear each other once, whatever the broker brings besides."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from edgemesh.bus.contract import Bus, Message
from edgemesh.bus.memory import MemoryBroker
from edgemesh.bus.neighbours import ECHOES, Neighbourhood


class Place:
    """A broker in memory, two neighbours `a` and `b`, and a `stranger` in another process."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        neighbourhood = Neighbourhood()
        self.a, self.b = (neighbourhood.join(self.broker.client(name)) for name in "ab")
        self.stranger = self.broker.client("stranger")
        self.heard: list[tuple[str, bytes]] = []

    def note(self, bus: Bus, pattern: str, name: str) -> None:
        def hear(message: Message) -> None:
            self.heard.append((name, message.payload))
            message.settle()

        bus.subscribe(pattern, hear)

    async def open(self) -> None:
        for bus in (self.a, self.b, self.stranger):
            await bus.open()
        await rest()
        assert all(bus.linked for bus in (self.a, self.b, self.stranger))

    async def close(self) -> None:
        for bus in (self.a, self.b, self.stranger):
            await bus.close()


async def rest() -> None:
    """Let everything that is on its way arrive: the broker in memory needs a few turns of the loop."""
    for _ in range(20):
        await asyncio.sleep(0)


def played(story: Callable[[Place], Awaitable[None]]) -> Place:
    async def play() -> Place:
        place = Place()
        await story(place)
        await place.close()
        return place

    return asyncio.run(play())


def test_a_neighbour_hears_once_and_a_stranger_too() -> None:
    """The echo from the broker is dropped, and settled; whoever lives elsewhere hears it from the broker."""

    async def story(place: Place) -> None:
        place.note(place.b, "log/+", "b")
        place.note(place.stranger, "log/+", "stranger")
        await place.open()
        assert all([place.a.publish("log/x", b"1"), place.a.publish("log/x", b"2")])
        await rest()
        assert place.b.stats.extra["settled"] >= 2

    heard = played(story).heard
    assert [payload for name, payload in heard if name == "b"] == [b"1", b"2"]
    assert [payload for name, payload in heard if name == "stranger"] == [b"1", b"2"]


def test_a_neighbour_hears_without_the_broker() -> None:
    """What the broker loses on its way reaches a neighbour all the same."""

    async def story(place: Place) -> None:
        place.note(place.b, "log/x", "b")
        await place.open()
        place.broker.cut("b")
        place.a.publish("log/x", b"1")
        await rest()

    assert played(story).heard == [("b", b"1")]


def test_the_same_bytes_said_twice_are_heard_twice() -> None:
    """An echo is dropped as often as its message was said, and no more: a resend gets through."""

    async def story(place: Place) -> None:
        place.note(place.b, "log/x", "b")
        await place.open()
        place.a.publish("log/x", b"1")
        place.a.publish("log/x", b"1")
        await rest()
        place.stranger.publish("log/x", b"1")
        await rest()

    assert played(story).heard == [("b", b"1")] * 3


def test_what_is_retained_comes_from_the_broker_alone() -> None:
    """The present is what the broker keeps: a neighbour's retained message is heard once."""

    async def story(place: Place) -> None:
        place.note(place.b, "state/#", "b")
        await place.open()
        place.a.publish("state/x", b"1", retain=True)
        await rest()

    assert played(story).heard == [("b", b"1")]


def test_two_handlers_of_one_neighbour_each_hear_once() -> None:
    """Patterns that overlap do not make an echo slip through."""

    async def story(place: Place) -> None:
        place.note(place.b, "log/#", "first")
        place.note(place.b, "log/x", "second")
        await place.open()
        place.a.publish("log/x", b"1")
        await rest()

    assert sorted(played(story).heard) == [("first", b"1"), ("second", b"1")]


def test_without_a_link_nothing_is_said() -> None:
    """`publish` says False and no neighbour hears: it will be published again."""

    async def story(place: Place) -> None:
        place.note(place.b, "log/x", "b")
        await place.open()
        place.broker.cut("a")
        await rest()
        assert not place.a.publish("log/x", b"1")
        await rest()

    assert played(story).heard == []


def test_who_has_left_or_unsubscribed_hears_nothing() -> None:
    """After `unsubscribe` and after `close` a neighbour is told nothing."""

    async def story(place: Place) -> None:
        place.note(place.b, "log/x", "b")
        await place.open()
        place.b.unsubscribe("log/x")
        place.a.publish("log/x", b"1")
        await rest()
        place.note(place.b, "log/x", "b")
        await place.b.close()
        place.a.publish("log/x", b"2")
        await rest()

    assert played(story).heard == []


def test_echoes_that_never_come_take_bounded_room() -> None:
    """A broker that loses every echo costs a handler no more than ECHOES messages of memory."""

    async def story(place: Place) -> None:
        place.note(place.b, "log/x", "b")
        await place.open()
        place.broker.cut("b")
        await rest()
        for number in range(ECHOES + 50):
            place.a.publish("log/x", b"%d" % number)
        await rest()
        (ear,) = place.b._ears.values()  # type: ignore[attr-defined]
        assert len(ear._echoes) == ECHOES

    assert len(played(story).heard) == ECHOES + 50


def test_a_handler_that_raises_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    """An exception over a neighbour's message is counted as over the broker's, and others still hear."""

    async def story(place: Place) -> None:
        def fail(_: Message) -> None:
            raise RuntimeError("broken")

        place.b.subscribe("log/x", fail)
        place.note(place.b, "log/#", "b")
        await place.open()
        place.a.publish("log/x", b"1")
        await rest()
        assert place.b.stats.handler_errors == 1

    assert played(story).heard == [("b", b"1")]
