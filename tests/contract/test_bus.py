"""The contract of the bus, kept by every implementation: in memory, and on each of the brokers that we know."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from edgemesh.bus.contract import Bus, Handler, Message, Will
from tests.contract.broker_domains import Domain, MemoryDomain, MqttDomain, Servers, ServersDomain, running

if TYPE_CHECKING:
    from tests.conftest import Relay, Until

Scenario = Callable[[Domain], Coroutine[Any, Any, None]]
Play = Callable[..., None]
Stock = Callable[[str], Servers]


SERVERS = ("nats", "nats-cluster", "rabbitmq")
_PATTERNS = "RabbitMQ keeps messages for subscriptions of their very topic only"
_SILENT_TAKEOVER = "says no will for a client whose id another one takes"
CANNOT = {
    ("rabbitmq", "test_retained_messages_come_at_each_subscription"): _PATTERNS,
    ("rabbitmq", "test_an_empty_retained_message_empties_the_topic"): _PATTERNS,
    ("nats", "test_the_will_of_a_client_whose_id_is_taken_is_said"): _SILENT_TAKEOVER,
    ("nats-cluster", "test_the_will_of_a_client_whose_id_is_taken_is_said"): _SILENT_TAKEOVER,
    ("rabbitmq", "test_the_will_of_a_client_whose_id_is_taken_is_said"): _SILENT_TAKEOVER,
}
"""What a broker can't do, by kind and test, with the reason; docs/brokers.md has it in its table."""


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, need_server: Callable[[str], None]) -> Iterator[Stock]:
    """Servers by kind; each kind is started once, when its first test comes."""
    stock: dict[str, Servers] = {}

    def get(kind: str) -> Servers:
        need_server(kind)
        if kind not in stock:
            stock[kind] = Servers(kind, tmp_path_factory.mktemp(kind))
        return stock[kind]

    yield get
    for each in stock.values():
        each.kill()


@pytest.fixture(params=["memory", "amqtt", "mosquitto", *SERVERS])
def play(
    request: pytest.FixtureRequest, tmp_path: Path, free_port: int, relay: Callable[[int], Relay], servers: Stock
) -> Play:
    """Run a scenario in a broker domain of each kind."""
    kind = request.param
    if kind == "mosquitto":
        request.getfixturevalue("mosquitto_program")
    reason = CANNOT.get((kind, request.node.originalname))
    if reason:
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
    standing = servers(kind) if kind in SERVERS else None

    def domain() -> MemoryDomain | MqttDomain | ServersDomain:
        if standing is not None:
            return ServersDomain(standing, relay)
        return MemoryDomain() if kind == "memory" else MqttDomain(kind, free_port, tmp_path, relay)

    def run(scenario: Scenario, *, started: bool = True) -> None:
        async def whole() -> None:
            async with running(domain(), started=started) as ready:
                await scenario(ready)

        asyncio.run(whole())

    return run


class Inbox:
    """A handler that settles at once and keeps what came."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def __call__(self, message: Message) -> None:
        self.messages.append(message)
        message.settle()

    @property
    def payloads(self) -> list[bytes]:
        return [message.payload for message in self.messages]


async def linked(domain: Domain, until: Until, *ids: str, will: Will | None = None) -> list[Bus]:
    """Open clients and wait for their links."""
    clients = [domain.client(each, will=will) for each in ids]
    for client in clients:
        await client.open()
    await until(lambda: all(client.linked for client in clients))
    return clients


async def listen(bus: Bus, publisher: Bus, pattern: str, handler: Handler, until: Until) -> None:
    """Subscribe and return when the broker certainly has the subscription: a probe sent afterwards has come through."""
    bus.subscribe(pattern, handler)
    probe = Inbox()
    bus.subscribe("probe/#", probe)
    publisher.publish("probe/1", b"probe")
    deadline = asyncio.get_running_loop().time() + 5
    while not probe.messages:
        assert asyncio.get_running_loop().time() < deadline
        publisher.publish("probe/1", b"probe")
        await asyncio.sleep(0.01)
    bus.unsubscribe("probe/#")


def test_a_message_is_handed_to_the_handlers_of_its_topic(play: Play, until: Until) -> None:
    """What one client publishes reaches the handlers of another whose pattern fits, and is not called retained."""

    async def scenario(domain: Domain) -> None:
        a, b = await linked(domain, until, "a", "b")
        inbox = Inbox()
        await listen(b, a, "site/+/x", inbox, until)
        assert a.publish("site/1/x", b"\x00\xff payload")
        assert a.publish("site/1/y", b"not for b")
        assert a.publish("site/2/x", b"")
        await until(lambda: len(inbox.messages) >= 2)
        assert [(m.topic, m.payload, m.retained) for m in inbox.messages] == [
            ("site/1/x", b"\x00\xff payload", False),
            ("site/2/x", b"", False),
        ]
        assert a.stats.published >= 3
        assert b.stats.extra["settled"] == b.stats.received

    play(scenario)


def test_a_client_hears_itself(play: Play, until: Until) -> None:
    """Subscriptions also catch what the same client publishes."""

    async def scenario(domain: Domain) -> None:
        (a,) = await linked(domain, until, "a")
        inbox = Inbox()
        a.subscribe("me", inbox)
        a.publish("me", b"1")
        await until(lambda: inbox.payloads == [b"1"])

    play(scenario)


def test_retained_messages_come_at_each_subscription(play: Play, until: Until) -> None:
    """A retained message waits for subscribers, comes as retained, and comes again when they subscribe again."""

    async def scenario(domain: Domain) -> None:
        a, b = await linked(domain, until, "a", "b")
        a.publish("state/1", b"old", retain=True)
        a.publish("state/1", b"new", retain=True)
        a.publish("state/2", b"two", retain=True)
        late = Inbox()
        await listen(a, a, "nothing", late, until)
        inbox = Inbox()
        b.subscribe("state/#", inbox)
        await until(lambda: len(inbox.messages) >= 2)
        assert sorted((m.topic, m.payload, m.retained) for m in inbox.messages) == [
            ("state/1", b"new", True),
            ("state/2", b"two", True),
        ]
        b.subscribe("state/#", inbox)
        await until(lambda: len(inbox.messages) >= 4)
        assert sorted(inbox.payloads) == [b"new", b"new", b"two", b"two"]

    play(scenario)


def test_an_empty_retained_message_empties_the_topic(play: Play, until: Until) -> None:
    """After an empty retained message a new subscriber finds nothing on the topic; those present get it as it is."""

    async def scenario(domain: Domain) -> None:
        a, b, c = await linked(domain, until, "a", "b", "c")
        present, late = Inbox(), Inbox()
        await listen(b, a, "state/+", present, until)
        a.publish("state/gone", b"x", retain=True)
        a.publish("state/gone", b"", retain=True)
        a.publish("state/kept", b"y", retain=True)
        await until(lambda: len(present.messages) == 3)
        assert present.payloads == [b"x", b"", b"y"]
        c.subscribe("state/+", late)
        await until(lambda: late.messages)
        assert [m.topic for m in late.messages] == ["state/kept"]

    play(scenario)


def test_what_is_kept_on_one_topic_waits_for_who_asks_for_it(play: Play, until: Until) -> None:
    """A retained message comes to a subscriber of its very topic, the newest only, and none once it is emptied."""

    async def scenario(domain: Domain) -> None:
        a, b, c = await linked(domain, until, "a", "b", "c")
        nothing, kept, emptied, end = Inbox(), Inbox(), Inbox(), Inbox()
        a.publish("kept/one", b"old", retain=True)
        a.publish("kept/one", b"new", retain=True)
        await listen(a, a, "nothing", nothing, until)
        b.subscribe("kept/one", kept)
        await until(lambda: kept.messages)
        assert [(m.payload, m.retained) for m in kept.messages] == [(b"new", True)]
        a.publish("kept/one", b"", retain=True)
        await until(lambda: kept.payloads == [b"new", b""])
        c.subscribe("kept/one", emptied)
        await listen(c, a, "end", end, until)
        assert not emptied.messages

    play(scenario)


def test_wildcards_follow_mqtt(play: Play, until: Until) -> None:
    """`+` is one level, `#` is the level before it and all that follow; levels may be empty and have a case."""
    wanted = {
        "a/+/c": {"a/b/c", "a//c"},
        "a/#": {"a", "a/b", "a/b/c", "a//c"},
        "+/b": {"a/b", "/b"},
        "+": {"a"},
        "/+": {"/b"},
        "#": {"a", "a/b", "a/b/c", "a//c", "/b", "A/b/c/d"},
    }
    topics = ["a", "a/b", "a/b/c", "a//c", "/b", "A/b/c/d"]

    async def scenario(domain: Domain) -> None:
        (a,) = await linked(domain, until, "a")
        inboxes = {pattern: Inbox() for pattern in wanted}
        end = Inbox()
        a.subscribe("end", end)
        for pattern, inbox in inboxes.items():
            await listen(a, a, pattern, inbox, until)
        for topic in topics:
            a.publish(topic, b"w")
        a.publish("end", b"")
        await until(lambda: end.messages)
        got = {pattern: {m.topic for m in inbox.messages if m.payload == b"w"} for pattern, inbox in inboxes.items()}
        assert got == wanted

    play(scenario)


@pytest.mark.parametrize("pattern", ["", "a/#/b", "a+", "a/b#", "#/", "a\0b"])
def test_what_is_no_pattern_is_refused_at_once(play: Play, pattern: str) -> None:
    """A wrong pattern is a ValueError where it is written, not a broken link later."""

    async def scenario(domain: Domain) -> None:
        with pytest.raises(ValueError, match="not an MQTT pattern"):
            domain.client("a").subscribe(pattern, Inbox())

    play(scenario, started=False)


@pytest.mark.parametrize("topic", ["", "a/+", "#", "a\0b", "x" * 65_536, "a\ud800"])
def test_what_is_no_topic_is_refused_at_once(play: Play, until: Until, topic: str) -> None:
    """A topic that MQTT forbids is a ValueError for the publisher and leaves the link alone."""

    async def scenario(domain: Domain) -> None:
        (a,) = await linked(domain, until, "a")
        with pytest.raises(ValueError, match=r"topic|surrogates"):
            a.publish(topic, b"")
        assert a.linked

    play(scenario)


def test_order_is_kept_on_each_topic(play: Play, until: Until) -> None:
    """Messages of one publisher on one topic arrive in the order in which they were published."""

    async def scenario(domain: Domain) -> None:
        a, b = await linked(domain, until, "a", "b")
        inbox = Inbox()
        await listen(b, a, "order/#", inbox, until)
        for number in range(200):
            assert a.publish(f"order/{number % 4}", b"%d" % number)
        await until(lambda: len(inbox.messages) >= 200)
        for lane in range(4):
            came = [int(m.payload) for m in inbox.messages if m.topic == f"order/{lane}"]
            assert came == list(range(lane, 200, 4))

    play(scenario)


def test_a_burst_of_a_thousand_arrives_whole(play: Play, until: Until) -> None:
    """On a healthy link nothing that `publish` took over is lost, even a window full at once."""

    async def scenario(domain: Domain) -> None:
        a, b = await linked(domain, until, "a", "b")
        inbox = Inbox()
        await listen(b, a, "burst", inbox, until)
        for number in range(1000):
            while not a.publish("burst", b"%d" % number + b"." * 200):
                await asyncio.sleep(0.001)
        await until(lambda: len(inbox.messages) >= 1000, 15)
        assert [int(payload.rstrip(b".")) for payload in inbox.payloads] == list(range(1000))

    play(scenario)


def test_every_fitting_handler_gets_the_message(play: Play, until: Until) -> None:
    """Two handlers of one pattern get a message once each; one handler of two fitting patterns at least once."""

    async def scenario(domain: Domain) -> None:
        (a,) = await linked(domain, until, "a")
        first, second, both = Inbox(), Inbox(), Inbox()
        a.subscribe("t/x", first)
        a.subscribe("t/x", second)
        await listen(a, a, "t/x", first, until)
        a.publish("t/x", b"1")
        await until(lambda: first.messages and second.messages)
        assert first.payloads == second.payloads == [b"1"]
        a.unsubscribe("t/x")
        a.subscribe("u/+", both)
        await listen(a, a, "u/#", both, until)
        a.publish("u/x", b"2")
        await until(lambda: both.messages)
        assert set(both.payloads) == {b"2"}

    play(scenario)


def test_unsubscribe_ends_delivery(play: Play, until: Until) -> None:
    """After `unsubscribe` the handlers of the pattern get nothing more; other patterns and unknown ones do not care."""

    async def scenario(domain: Domain) -> None:
        a, b = await linked(domain, until, "a", "b")
        left, kept = Inbox(), Inbox()
        await listen(b, a, "x/#", left, until)
        await listen(b, a, "x/1", kept, until)
        b.unsubscribe("x/#")
        b.unsubscribe("never/subscribed")
        a.publish("x/1", b"1")
        a.publish("x/2", b"2")
        await listen(b, a, "nothing", left, until)
        await until(lambda: kept.messages)
        assert (left.payloads, set(kept.payloads)) == ([], {b"1"})

    play(scenario)


def test_the_will_is_published_when_a_client_is_gone_without_a_word(play: Play, until: Until) -> None:
    """A link that breaks makes the broker publish the will, retained; healing the link links the client again."""

    async def scenario(domain: Domain) -> None:
        (watcher,) = await linked(domain, until, "watcher")
        inbox, late = Inbox(), Inbox()
        watcher.subscribe("agent/+", inbox)
        (frail,) = await linked(domain, until, "frail", will=Will("agent/frail", b"gone"))
        frail.publish("agent/frail", b"here", retain=True)
        await until(lambda: inbox.payloads == [b"here"])
        domain.cut("frail")
        await until(lambda: inbox.payloads == [b"here", b"gone"])
        await until(lambda: not frail.linked)
        watcher.subscribe("agent/frail", late)
        await until(lambda: late.messages)
        assert [(m.payload, m.retained) for m in late.messages] == [(b"gone", True)]
        domain.heal("frail")
        await until(lambda: frail.linked)

    play(scenario)


def test_no_will_is_published_after_a_good_bye(play: Play, until: Until) -> None:
    """`close` takes the will back, and what was published just before it still arrives."""

    async def scenario(domain: Domain) -> None:
        (watcher,) = await linked(domain, until, "watcher")
        inbox, end = Inbox(), Inbox()
        await listen(watcher, watcher, "agent/+", inbox, until)
        (polite,) = await linked(domain, until, "polite", will=Will("agent/polite", b"gone"))
        words = [b"%d" % number for number in range(20)]
        for word in words:
            polite.publish("agent/polite", word)
        await polite.close()
        assert not polite.linked
        await listen(watcher, watcher, "end", end, until)
        await until(lambda: len(inbox.messages) >= len(words))
        assert inbox.payloads == words

    play(scenario)


def test_publish_says_no_without_a_link(play: Play, until: Until) -> None:
    """Before the link, without it and after the end `publish` is False and counted, and never raises or blocks."""

    async def scenario(domain: Domain) -> None:
        bus = domain.client("a")
        assert not bus.publish("t", b"before open")
        await bus.open()
        assert not bus.publish("t", b"no broker")
        await domain.start()
        await until(lambda: bus.linked)
        assert bus.publish("t", b"linked")
        await bus.close()
        assert not bus.publish("t", b"after close")
        assert (bus.stats.published, bus.stats.refused) == (1, 3)

    play(scenario, started=False)


def test_watchers_see_each_link_and_each_loss(play: Play, until: Until) -> None:
    """Watchers get True once publishing works and False at each loss, in turn; `close` is no loss and calls nobody."""

    async def scenario(domain: Domain) -> None:
        bus = domain.client("a")
        seen: list[tuple[bool, bool]] = []
        bus.on_link(lambda up: seen.append((up, bus.publish("t", b"x"))))
        await bus.open()
        await until(lambda: len(seen) == 1)
        domain.cut("a")
        await until(lambda: len(seen) == 2)
        assert not bus.linked
        domain.heal("a")
        await until(lambda: len(seen) == 3)
        await bus.close()
        assert seen == [(True, True), (False, False), (True, True)]
        assert (bus.stats.connects, bus.stats.disconnects) == (2, 1)

    play(scenario)


def test_subscriptions_survive_a_lost_link(play: Play, until: Until) -> None:
    """After a reconnect the old subscriptions work, with those that were added or removed while there was no link."""

    async def scenario(domain: Domain) -> None:
        a, b = await linked(domain, until, "a", "b")
        old, added, removed = Inbox(), Inbox(), Inbox()
        await listen(b, a, "old", old, until)
        b.subscribe("removed", removed)
        domain.cut("b")
        await until(lambda: not b.linked)
        b.subscribe("added", added)
        b.unsubscribe("removed")
        domain.heal("b")
        await until(lambda: b.linked)
        await listen(b, a, "nothing", old, until)
        for topic in ("old", "added", "removed"):
            a.publish(topic, b"again")
        await until(lambda: old.messages and added.messages)
        assert (old.payloads, added.payloads, removed.payloads) == ([b"again"], [b"again"], [])

    play(scenario)


def test_clients_wait_for_a_broker_that_comes_later(play: Play, until: Until) -> None:
    """`open` returns without a broker; once there is one, the client links and its subscriptions work."""

    async def scenario(domain: Domain) -> None:
        a, b = domain.client("a"), domain.client("b")
        inbox = Inbox()
        b.subscribe("t", inbox)
        await a.open()
        await b.open()
        assert [a.linked, b.linked] == [False, False]
        await domain.start()
        await until(lambda: a.linked and b.linked)
        await listen(b, a, "nothing", inbox, until)
        a.publish("t", b"1")
        await until(lambda: inbox.payloads == [b"1"])

    play(scenario, started=False)


def test_clients_survive_a_broker_that_is_killed_and_forgets(play: Play, until: Until) -> None:
    """A killed broker that comes back empty gets its clients and subscriptions back; retained messages are gone."""

    async def scenario(domain: Domain) -> None:
        a, b = await linked(domain, until, "a", "b")
        inbox = Inbox()
        await listen(b, a, "t/#", inbox, until)
        a.publish("t/kept", b"before", retain=True)
        await until(lambda: inbox.payloads == [b"before"])
        await domain.kill()
        await until(lambda: not a.linked and not b.linked)
        assert not a.publish("t/kept", b"meanwhile")
        await domain.start()
        await until(lambda: a.linked and b.linked)
        await listen(b, a, "nothing", inbox, until)
        a.publish("t/live", b"after")
        await until(lambda: len(inbox.messages) >= 2)
        assert inbox.payloads == [b"before", b"after"]

    play(scenario)


def test_a_failing_handler_harms_nobody(play: Play, until: Until, caplog: pytest.LogCaptureFixture) -> None:
    """An exception in a handler is counted, logged and settled; other handlers and later messages are not touched."""

    async def scenario(domain: Domain) -> None:
        a, b = await linked(domain, until, "a", "b")

        def fail(message: Message) -> None:
            raise KeyError(message.topic)

        inbox = Inbox()
        await listen(b, a, "t", fail, until)
        await listen(b, a, "t", inbox, until)
        a.publish("t", b"1")
        a.publish("t", b"2")
        await until(lambda: inbox.payloads == [b"1", b"2"])
        assert b.linked
        assert b.stats.handler_errors == 2
        assert "KeyError" in b.stats.last_error
        assert b.stats.extra["settled"] == b.stats.received
        assert "a handler of t failed" in caplog.text

    play(scenario)


def test_a_failing_watcher_harms_nobody(play: Play, until: Until, caplog: pytest.LogCaptureFixture) -> None:
    """An exception in a link watcher is counted and logged; the next watcher is called."""

    async def scenario(domain: Domain) -> None:
        bus = domain.client("a")
        seen: list[bool] = []

        def fail(up: bool) -> None:
            raise ValueError("watcher")

        bus.on_link(fail)
        bus.on_link(seen.append)
        await bus.open()
        await until(lambda: seen == [True])
        assert bus.stats.handler_errors == 1
        assert "a link watcher failed" in caplog.text

    play(scenario)


def test_settling_works_from_another_thread_and_once(play: Play, until: Until) -> None:
    """A message is settled when all its handlers have settled, from whatever thread, however often they say so."""

    async def scenario(domain: Domain) -> None:
        a, b = await linked(domain, until, "a", "b")
        first: list[Message] = []
        second: list[Message] = []
        await listen(b, a, "t", first.append, until)
        b.subscribe("t", second.append)
        before = b.stats.extra["settled"]
        for number in range(50):
            a.publish("t", b"%d" % number)
        await until(lambda: len(first) == len(second) == 50)

        def settle(messages: list[Message]) -> None:
            for message in messages:
                message.settle()
                message.settle()

        await asyncio.to_thread(settle, first)
        await asyncio.sleep(0)
        assert b.stats.extra["settled"] == before
        threads = [threading.Thread(target=settle, args=(second[half::2],)) for half in (0, 1)]
        for thread in threads:
            thread.start()
        await until(lambda: b.stats.extra["settled"] == before + 50)
        for thread in threads:
            thread.join()

    play(scenario)


def test_who_settles_late_may_speak_meanwhile(play: Play, until: Until) -> None:
    """A client with unsettled messages, retained ones among them, can publish and subscribe as if it had none."""

    async def scenario(domain: Domain) -> None:
        a, b = await linked(domain, until, "a", "b")
        unsettled: list[Message] = []
        inbox, heard = Inbox(), Inbox()
        await listen(a, a, "t", inbox, until)
        a.publish("kept", b"1", retain=True)
        await listen(a, a, "nothing", inbox, until)
        b.subscribe("kept", unsettled.append)
        await until(lambda: unsettled)
        b.subscribe("more", heard)
        b.publish("t", b"from the late one")
        await until(lambda: inbox.messages, 2)
        a.publish("more", b"2")
        await until(lambda: heard.messages, 2)
        for message in unsettled:
            message.settle()

    play(scenario)


def test_a_handler_may_publish_and_subscribe(play: Play, until: Until) -> None:
    """Handlers use the bus they are called by."""

    async def scenario(domain: Domain) -> None:
        a, b = await linked(domain, until, "a", "b")
        answers = Inbox()

        def answer(message: Message) -> None:
            b.subscribe("more", answers)
            b.publish("reply", message.payload)
            message.settle()

        await listen(a, b, "reply", answers, until)
        await listen(b, a, "ask", answer, until)
        a.publish("ask", b"?")
        await until(lambda: answers.payloads == [b"?"])

    play(scenario)


def test_a_second_client_of_the_same_id_takes_over(play: Play, until: Until) -> None:
    """The older link ends; the newer one works."""

    async def scenario(domain: Domain) -> None:
        (watcher,) = await linked(domain, until, "watcher")
        inbox = Inbox()
        (older,) = await linked(domain, until, "twin")
        losses: list[bool] = []
        older.on_link(losses.append)
        newer = domain.client("twin")
        newer.subscribe("t", inbox)
        await newer.open()
        await until(lambda: losses[:1] == [False])
        await older.close()
        await until(lambda: newer.linked)
        await listen(newer, watcher, "nothing", inbox, until)
        watcher.publish("t", b"1")
        await until(lambda: inbox.payloads == [b"1"])

    play(scenario)


def test_the_will_of_a_client_whose_id_is_taken_is_said(play: Play, until: Until) -> None:
    """The older link's end is one without a word, so its will is said."""

    async def scenario(domain: Domain) -> None:
        (watcher,) = await linked(domain, until, "watcher")
        wills = Inbox()
        await listen(watcher, watcher, "will", wills, until)
        (older,) = await linked(domain, until, "twin", will=Will("will", b"older is gone"))
        losses: list[bool] = []
        older.on_link(losses.append)
        await domain.client("twin").open()
        await until(lambda: losses[:1] == [False])
        await older.close()
        await until(lambda: wills.payloads[:1] == [b"older is gone"], 3)

    play(scenario)


def test_no_callback_comes_after_close(play: Play, until: Until) -> None:
    """When `close` has returned, no handler and no watcher is called any more, whatever was on its way."""

    async def scenario(domain: Domain) -> None:
        a, b = await linked(domain, until, "a", "b")
        inbox = Inbox()
        events: list[bool] = []
        await listen(b, a, "t", inbox, until)
        b.on_link(events.append)
        for number in range(100):
            a.publish("t", b"%d" % number)
        await b.close()
        came = len(inbox.messages)
        await listen(a, a, "nothing", inbox, until)
        domain.cut("b")
        await listen(a, a, "nothing_at_all", inbox, until)
        assert (len(inbox.messages), events) == (came, [])
        await b.close()

    play(scenario)


def test_a_closed_bus_may_be_opened_again(play: Play, until: Until) -> None:
    """`open` after `close` is a new start with the same subscriptions; opening an open bus is an error of ours."""

    async def scenario(domain: Domain) -> None:
        (a,) = await linked(domain, until, "a")
        inbox = Inbox()
        a.subscribe("t", inbox)
        with pytest.raises(RuntimeError):
            await a.open()
        await a.close()
        await a.open()
        await until(lambda: a.linked)
        await listen(a, a, "nothing", inbox, until)
        a.publish("t", b"1")
        await until(lambda: inbox.payloads == [b"1"])

    play(scenario)
