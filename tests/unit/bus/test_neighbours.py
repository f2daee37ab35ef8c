"""Neighbours in one process hear each other once, whatever the broker brings besides."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from edgemesh.bus.contract import Bus, Message
from edgemesh.bus.memory import MemoryBroker, MemoryBus
from edgemesh.bus.neighbours import ECHOES, Neighbourhood


class Place:
    """A broker in memory, two neighbours `a` and `b`, and a `stranger` in another process."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.neighbourhood = neighbourhood = Neighbourhood(self.broker.client("trunk"))
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


class Quiet(MemoryBus):
    """A client to whom the broker brings nothing of its own, as MQTT 5 brokers do with No Local."""

    @property
    def echoes(self) -> bool:
        return False


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
        place.a.publish("log/x", b"1")
        place.broker.cut("trunk")
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


def test_what_is_retained_is_heard_once() -> None:
    """A neighbour hears what is retained as it is said, and the broker's echo of it is dropped."""

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


def test_one_hears_oneself() -> None:
    """As on any broker, what one publishes on a pattern of one's own comes back, once."""

    async def story(place: Place) -> None:
        place.note(place.a, "log/x", "a")
        await place.open()
        place.a.publish("log/x", b"1")
        await rest()

    assert played(story).heard == [("a", b"1")]


@pytest.mark.parametrize("lost", ["a", "trunk"])
def test_without_a_link_nothing_is_said(lost: str) -> None:
    """`publish` says False and no neighbour hears: it will be published again. One link alone is none."""

    async def story(place: Place) -> None:
        links: list[bool] = []
        place.a.on_link(links.append)
        place.note(place.b, "log/x", "b")
        await place.open()
        place.broker.cut(lost)
        await rest()
        assert not place.a.publish("log/x", b"1")
        await rest()
        assert (place.a.linked, links) == (False, [True, False])
        place.broker.heal(lost)
        await rest()
        assert (place.a.linked, links) == (True, [True, False, True])

    assert played(story).heard == []


def test_what_a_pattern_brings_to_two_is_settled_when_both_have_settled() -> None:
    """A message from elsewhere that two neighbours want is one message for the broker, settled once both are done."""

    async def story(place: Place) -> None:
        settles: list[Callable[[], None]] = []
        for bus in (place.a, place.b):
            bus.subscribe("log/x", lambda message: settles.append(message.settle))
        await place.open()
        trunk = place.neighbourhood.trunk
        place.stranger.publish("log/x", b"1")
        await rest()
        before = trunk.stats.extra["settled"]
        assert len(settles) == 2
        settles[0]()
        assert trunk.stats.extra["settled"] == before
        settles[1]()
        assert trunk.stats.extra["settled"] == before + 1

    played(story)


def test_one_who_unsubscribes_leaves_the_others_their_pattern() -> None:
    """The broker is asked for a pattern as long as one neighbour wants it."""

    async def story(place: Place) -> None:
        place.note(place.a, "log/x", "a")
        place.note(place.b, "log/x", "b")
        await place.open()
        place.a.unsubscribe("log/x")
        place.stranger.publish("log/x", b"1")
        await rest()
        place.b.unsubscribe("log/x")
        place.stranger.publish("log/x", b"2")
        await rest()

    assert played(story).heard == [("b", b"1")]


def test_a_late_subscriber_has_what_a_neighbour_retained() -> None:
    """Where the broker brings nobody his own, what neighbours retain comes from them, and what was emptied does not."""

    async def story(place: Place) -> None:
        place.neighbourhood = Neighbourhood(Quiet(place.broker, "quiet", None))
        c, d = (place.neighbourhood.join(place.broker.client(name)) for name in "cd")
        for bus in (c, d):
            await bus.open()
        await rest()
        c.publish("state/x", b"1", retain=True)
        c.publish("state/y", b"2", retain=True)
        c.publish("state/y", b"", retain=True)
        place.note(d, "state/+", "d")
        await rest()
        c.publish("state/x", b"3", retain=True)
        await rest()
        for bus in (c, d):
            await bus.close()
        assert place.broker.retained == {"state/x": b"3"}

    assert ("d", b"1") in played(story).heard
    assert [payload for _, payload in played(story).heard][-1] == b"3"


def test_what_a_stranger_has_emptied_comes_from_no_neighbour() -> None:
    """What a neighbour has retained is forgotten once somebody elsewhere has spoken on the topic."""

    async def story(place: Place) -> None:
        place.neighbourhood = Neighbourhood(Quiet(place.broker, "quiet", None))
        c, d = (place.neighbourhood.join(place.broker.client(name)) for name in "cd")
        c.subscribe("state/#", lambda message: message.settle())
        for bus in (c, d, place.stranger):
            await bus.open()
        await rest()
        c.publish("state/x", b"1", retain=True)
        await rest()
        place.stranger.publish("state/x", b"", retain=True)
        await rest()
        place.note(d, "state/+", "d")
        await rest()
        for bus in (c, d, place.stranger):
            await bus.close()

    assert (b"1" in [payload for _, payload in played(story).heard]) is False


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
    """No more than ECHOES messages are remembered; an echo of one that was forgotten is heard a second time."""

    async def story(place: Place) -> None:
        place.note(place.b, "log/x", "b")
        await place.open()
        for number in range(ECHOES + 50):
            place.a.publish("log/x", b"%d" % number)
        assert len(place.neighbourhood._echoes) == ECHOES
        await rest()

    heard = [int(payload) for _, payload in played(story).heard]
    assert (set(heard), len(heard)) == (set(range(ECHOES + 50)), ECHOES + 100)


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
