"""Hostile bytes against every consumer: each is refused once, with a reason, and the good message after it counts."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgemesh.agents import runtime
from edgemesh.agents.detector import DetectorCore
from edgemesh.agents.gateway import GatewayCore
from edgemesh.agents.intake import Intake
from edgemesh.agents.recorder import RecorderCore
from edgemesh.agents.registry import RegistryCore
from edgemesh.agents.runtime import Runtime
from edgemesh.agents.scheduler import SchedulerCore
from edgemesh.bus.contract import Bus, Message
from edgemesh.bus.handlers import check_topic
from edgemesh.bus.memory import MemoryBroker
from edgemesh.console.overview import Overview
from edgemesh.detect.settings import DetectSettings, LimitRule
from edgemesh.dispatch.settings import DispatchSettings
from edgemesh.drivers import mqtt_json
from edgemesh.errors import Rejected
from edgemesh.launch.observer import follow
from edgemesh.launch.tap import describe
from edgemesh.log.journal import Cursor
from edgemesh.log.quarantine import BYTES, ROWS
from edgemesh.model.agents import Role
from edgemesh.model.ids import derive_id
from edgemesh.prove import hostile
from edgemesh.prove.drill import Ground
from edgemesh.prove.drills.hostile import DRILLS
from edgemesh.prove.hostile import EPOCH, FORBIDDEN_TOPICS, NOW_NS, Case, cases, sound
from edgemesh.prove.show import DrillReport, run_drill
from edgemesh.store.history import HistorySink
from edgemesh.testing import make_batch, make_pack, payload_of
from edgemesh.wire import codec
from edgemesh.wire.place import read_place
from edgemesh.wire.topics import Kind, parse
from firmware_sim.broker import Broker, Watch
from firmware_sim.crew import Member
from firmware_sim.executor import Now
from firmware_sim.people import Person
from tests.unit.agents.site import TOPICS, Keeper, Site, client, collect, running

Until = Callable[..., Awaitable[None]]
STRANGER = "gateway-9"
IDENTITY = derive_id("hostile state")


@dataclass(frozen=True, slots=True)
class Target:
    """A topic that somebody follows. `took` says whether an agent has taken the `number`th good message in."""

    kind: Kind
    topic: str
    name: str
    consumers: tuple[str, ...]
    took: Callable[[Runtime, int], bool]


def _cursor_at(agent: Runtime, number: int) -> bool:
    return agent.engine.journal.cursors().get(STRANGER) == Cursor(EPOCH, number)


def _watermark_at(agent: Runtime, number: int) -> bool:
    return agent.reader._marks.get(STRANGER) == Cursor(EPOCH, number)


def _presence_at(agent: Runtime, number: int) -> bool:
    known = agent._ears._presence._known.get("zed")
    if not agent._traits.watches_cards:  # it looks at writers of logs only
        return True
    return known is not None and known.card.beat == number


def _alert_at(agent: Runtime, number: int) -> bool:
    return any(alert.version == number for alert in agent.reader.open_alerts("nobody"))


def _answers_at(agent: Runtime, number: int) -> bool:
    core = agent.engine.core
    assert isinstance(core, SchedulerCore)
    return core.stats["answers_unknown_order"] >= number


TARGETS = (
    Target(Kind.READINGS, TOPICS.log("readings", STRANGER), STRANGER, ("detector", "recorder"), _cursor_at),
    Target(Kind.ALERTS, TOPICS.log("alerts", STRANGER), STRANGER, ("scheduler", "recorder"), _cursor_at),
    Target(Kind.ORDERS, TOPICS.log("orders", STRANGER), STRANGER, ("recorder",), _cursor_at),
    Target(Kind.WATERMARK, TOPICS.watermark(STRANGER, "detector"), STRANGER, ("detector",), _watermark_at),
    Target(
        Kind.WATERMARK,
        TOPICS.watermark("gateway", "stranger"),
        "gateway",
        ("gateway",),
        lambda agent, number: agent.feed is not None and agent.feed.feeder.strange == number,
    ),
    Target(Kind.CARD, TOPICS.card("zed"), "zed", ("detector", "scheduler", "recorder", "registry"), _presence_at),
    Target(Kind.OWNERS, TOPICS.owners(), "", ("detector",), lambda agent, n: agent.reader._owners_epoch == n),
    Target(Kind.ALERT, TOPICS.alert(IDENTITY), IDENTITY, ("detector",), _alert_at),
    Target(Kind.ANSWER, TOPICS.answer("zed"), "zed", ("scheduler",), _answers_at),
    Target(
        Kind.INGEST,
        TOPICS.ingest("device-9"),
        "device-9",
        ("gateway",),
        lambda agent, number: agent.engine.stats.readings == number,
    ),
)


def _names(target: Target) -> str:
    return target.topic.removeprefix(TOPICS.base).replace("/", "-")


@contextlib.asynccontextmanager
async def plant(
    folder: Path, *, registry: bool = False, broker: MemoryBroker | None = None
) -> AsyncIterator[tuple[Site, Bus, Overview]]:
    """Every agent, the overview and a hostile client on one bus in memory."""
    rule = LimitRule(name="flow low", metric="flow", below=80.0, clear=85.0)
    settings = DetectSettings(rule=(rule,))
    async with contextlib.AsyncExitStack() as stack:
        site = await stack.enter_async_context(running(folder))
        site.broker = broker or site.broker
        attacker = await stack.enter_async_context(client(site, "hostile"))
        console = await stack.enter_async_context(client(site, "console"))
        gateway = site.add("gateway", Role.GATEWAY, GatewayCore)
        site.add("detector", Role.DETECTOR, lambda: DetectorCore("detector", "site", settings, {}))
        site.add("scheduler", Role.SCHEDULER, lambda: SchedulerCore("scheduler", "site", DispatchSettings(), {}))
        site.add("recorder", Role.RECORDER, RecorderCore, sinks=[HistorySink()])
        if registry:
            site.add("registry", Role.REGISTRY, lambda: RegistryCore("registry", "site"))
        overview = Overview("site")
        follow(console, overview, TOPICS)
        intake = Intake(gateway)
        table = {"topic": f"{TOPICS.base}ingest/{{device}}", "metrics": {"flow": "flow"}}
        intake.start([("ingest", mqtt_json.create(msgspec.convert(table, mqtt_json.Settings)))])
        await site.start()
        try:
            yield site, attacker, overview
        finally:
            await intake.stop()


def rejected(site: Site, names: tuple[str, ...]) -> list[int]:
    return [site.agents[name].engine.stats.rejected for name in names]


def idle(site: Site) -> bool:
    return not any(agent.waiting for agent in site.agents.values())


def settled(site: Site) -> bool:
    """Whether everything that came is dealt with: nothing waits, and nothing will be given again."""
    busses = [agent.bus.stats for agent in site.agents.values()]
    return idle(site) and all(stats.received == stats.extra["settled"] for stats in busses)


def check_health(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """No handler failed, no task ended, no trace is in the log, everything was settled, the quarantine is capped."""
    for name, agent in site.agents.items():
        assert all(not task.done() for task in agent._tasks), name
        assert agent.bus.stats.handler_errors == 0, agent.bus.stats.last_error
        assert agent.bus.stats.received == agent.bus.stats.extra["settled"], name
        assert agent.engine.stats.rebuilds == 0, name
        assert agent.engine.stats.rejected == sum(agent.engine.journal.rejections().values()), name
        kept = agent.engine.journal.quarantine(limit=10**6)
        assert len(kept) <= ROWS
        assert sum(len(each.payload) for each in kept) <= BYTES
    bad = [record for record in caplog.records if record.exc_info or record.levelno >= logging.CRITICAL]
    assert not bad, [record.getMessage() for record in bad]


@pytest.mark.parametrize("target", TARGETS, ids=_names)
def test_each_case_is_refused_once_and_stops_nothing(
    target: Target, tmp_path: Path, until: Until, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One counted refusal with its reason at each consumer of the topic, then the good message takes effect there."""
    monkeypatch.setattr(runtime, "HEARTBEAT_S", 30.0)

    async def body() -> None:
        async with plant(tmp_path, registry=target.kind is Kind.CARD) as (site, attacker, overview):
            await until(lambda: all(agent.bus.linked for agent in site.agents.values()))
            if target.kind is Kind.READINGS:
                attacker.publish(TOPICS.owners(), b'{"epoch":1,"owners":{"%s":"detector"}}' % STRANGER.encode())
                await until(lambda: site.agents["detector"].reader.owns(STRANGER) and idle(site))
            if target.name == "gateway":  # marks of its own log, beyond its head: heard, counted, and of no effect
                feed = site.agents["gateway"].feed
                assert feed is not None
                feed.feeder.epoch = EPOCH
            number, wanted = 0, [0 for _ in target.consumers]
            expected: list[str] = []
            for some in _dozens(cases(target.kind, target.name, 1)):
                for case in some:
                    number += 1
                    fresh = _at(target, case, number)
                    expected += [] if not fresh.reason or _empties(target, fresh) else [fresh.reason]
                    attacker.publish(target.topic, fresh.payload)
                    attacker.publish(target.topic, sound(target.kind, target.name, number))
                wanted = [len(expected)] * len(target.consumers)
                await until(lambda n=number: all(target.took(site.agents[name], n) for name in target.consumers))
                await until(lambda wanted=wanted: rejected(site, target.consumers) == wanted and idle(site))
            for name in target.consumers:
                kept = site.agents[name].engine.journal.quarantine(limit=ROWS)
                assert [each.reason for each in reversed(kept)] == expected, name
                assert {each.origin for each in kept} == {target.topic}
            assert number >= len(hostile.BYTES)
            await until(lambda: settled(site), 10)
            overview.snapshot(1.0, NOW_NS)
            check_health(site, caplog)

    asyncio.run(body())


def _dozens(found: Iterable[Case]) -> list[list[Case]]:
    every = list(found)
    return [every[start : start + 12] for start in range(0, len(every), 12)]


def _at(target: Target, case: Case, number: int) -> Case:
    """The same case in the place of the `number`th good message."""
    found = [each for each in cases(target.kind, target.name, number) if each.name == case.name]
    assert len(found) == 1, case.name
    if found[0].treatment:  # it is lawful, so it may take effect: then it is not in the place of the next one
        return next(each for each in cases(target.kind, target.name, max(1, number - 1)) if each.name == case.name)
    return found[0]


def _empties(target: Target, case: Case) -> bool:
    """Whether the case empties a retained topic, which is lawful."""
    return case.payload == b"" and target.kind in (Kind.WATERMARK, Kind.CARD, Kind.OWNERS, Kind.ALERT)


def test_topics_that_are_none_are_refused(tmp_path: Path, until: Until, caplog: pytest.LogCaptureFixture) -> None:
    """A name that is no identifier is refused with its reason wherever it comes, whatever the message holds."""

    async def body() -> None:
        async with plant(tmp_path, registry=True) as (site, attacker, overview):
            await until(lambda: all(agent.bus.linked for agent in site.agents.values()))
            for target in TARGETS:
                if target.kind in (Kind.OWNERS, Kind.READINGS) or target.topic.endswith("/detector"):
                    continue  # without a name, or asked for by name
                before = [_total(site, name) for name in target.consumers]
                for _, name, reason in hostile.TOPICS:
                    topic = f"{target.topic.rpartition('/')[0]}/{name}"
                    with pytest.raises(Rejected) as caught:
                        parse(topic)
                    assert caught.value.reason == reason
                    payload = sound(target.kind, target.name, 1)
                    overview.take(topic, payload, False, 1.0, NOW_NS)
                    attacker.publish(topic, payload)
                wanted = [count + len(hostile.TOPICS) for count in before]
                await until(lambda t=target, w=wanted: [_total(site, name) for name in t.consumers] == w, 10)
            await until(lambda: settled(site), 10)
            check_health(site, caplog)

    asyncio.run(body())


def _total(site: Site, name: str) -> int:
    return sum(site.agents[name].engine.journal.rejections().values())


@pytest.mark.parametrize("topic", FORBIDDEN_TOPICS)
def test_topics_that_mqtt_forbids(topic: str) -> None:
    """Nobody of ours can publish on them, and should a broker let one through it is refused."""
    with pytest.raises(ValueError, match="no message can be published"):
        check_topic(topic)
    for one in (topic, f"{TOPICS.base}agent/{topic}", f"{TOPICS.base}log/readings/{topic}"):
        with pytest.raises(Rejected):
            parse(one)


def test_300_levels() -> None:
    """A topic of 300 levels is no topic of ours, below our prefix or not."""
    for topic in ("/".join(["a"] * 300), TOPICS.base + "/".join(["a"] * 200), "edgemesh/v1/" + "/" * 300):
        with pytest.raises(Rejected):
            parse(topic)


KINDS = {target.kind: target for target in TARGETS} | {
    Kind.ORDER: Target(Kind.ORDER, TOPICS.order(IDENTITY), IDENTITY, (), lambda agent, number: True),
    Kind.DISPATCH: Target(Kind.DISPATCH, TOPICS.dispatch("zed"), "zed", (), lambda agent, number: True),
}
SHOWN: dict[Kind, Callable[[Any], object]] = {
    Kind.CARD: lambda shown: [agent.max_load for agent in shown.agents],
    Kind.ALERT: lambda shown: shown.totals.alerts,
    Kind.ORDER: lambda shown: shown.totals.orders,
    Kind.READINGS: lambda shown: shown.totals.readings,
}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in (Kind.INGEST, Kind.ANSWER, Kind.WATERMARK)])
def test_the_overview_shows_what_is_good_after_everything_that_is_not(kind: Kind) -> None:
    """Whatever comes, nothing is raised, most is counted as refused, and the next good message is shown."""
    target, overview = KINDS[kind], Overview("site")
    overview.link(True, 0.0)
    for number, case in enumerate(cases(kind, target.name, 1), 1):
        overview.take(target.topic, case.payload, False, number / 10, NOW_NS)
        overview.take(target.topic, sound(kind, target.name, number), False, number / 10, NOW_NS)
        shown = overview.snapshot(number / 10, NOW_NS)
        msgspec.json.encode(shown)
        if kind in SHOWN:
            assert SHOWN[kind](shown), case.name
    assert sum(overview.snapshot(1e3, NOW_NS).rejected.values()) >= len(hostile.BYTES) - 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_tap_says_one_printable_line_for_each(kind: Kind) -> None:
    """What somebody wrote into a message or its topic neither breaks the line nor steers the terminal."""
    target = KINDS[kind]
    topics = [target.topic, *(f"{target.topic.rpartition('/')[0]}/{name}" for _, name, _ in hostile.TOPICS)]
    for case in cases(kind, target.name, 1):
        for topic in topics[: 1 + len(topics) * (case.name == "cut off")]:
            line = describe(Message(topic, case.payload))
            assert line.isprintable(), case.name
    steering = sound(Kind.CARD, "zed", 1).replace(b"hostile", "\x9b2J\u202e".encode())
    assert describe(Message(TOPICS.card("zed"), steering + b"\n")).isprintable()


def test_the_crew_works_on_after_everything_that_is_no_list(caplog: pytest.LogCaptureFixture) -> None:
    """A member of the crew ignores what is no list of its own, raises for nothing, and takes the next order."""

    async def body() -> None:
        broker = Broker("127.0.0.1", 1)
        member = Member(Person("zed", ("magic",)), "site", broker, Watch(broker))
        number = 0
        for number, case in enumerate(cases(Kind.DISPATCH, "zed", 1), 1):
            now = Now(float(number), NOW_NS + number)
            for topic in (member._dispatch_topic, member._repaired_topic):
                member._read(topic, _at(KINDS[Kind.DISPATCH], case, number).payload, now)
            member._read(member._dispatch_topic, sound(Kind.DISPATCH, "zed", number), now)
            assert member._executor.memory.epoch == number, case.name
        assert member._executor.load == 1
        assert number > len(hostile.BYTES)

    asyncio.run(body())
    assert not [record for record in caplog.records if record.exc_info]


def test_poison_that_is_retained_is_refused_at_each_reconnect_and_stops_nothing(
    tmp_path: Path, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    """A broker that keeps poison on every topic gives it to every agent at every connect: refused, settled, no more."""

    async def body() -> None:
        async with running(tmp_path / "before") as before:
            broker = before.broker
            async with client(before, "hostile") as attacker:
                for target in (*TARGETS, *KINDS.values()):
                    attacker.publish(target.topic, b'{"v":1,"a":NaN}', retain=True)
            async with plant(tmp_path, broker=broker) as (site, _attacker, _overview):
                names = list(site.agents)
                for round_ in (1, 2, 3):
                    wanted = {
                        name: round_
                        * sum(name in target.consumers for target in TARGETS if target.kind is not Kind.READINGS)
                        for name in names
                    }
                    wanted["recorder"] += round_  # a detector is given no log here, so its poison is nobody's
                    await until(lambda w=wanted: {name: _total(site, name) for name in names} == w, 10)
                    await until(lambda: settled(site), 10)
                    for name in names if round_ < 3 else ():
                        broker.cut(name)
                        broker.heal(name)
                check_health(site, caplog)

    asyncio.run(body())


# -- packs that are sound, and lie ---------------------------------------------------------------------------------


async def _flow(site: Site, disturb: Callable[[int], None], until: Until) -> list[float | None]:
    """Let 60 values flow from a gateway to a Keeper while something disturbs; what it has of the true gateway."""
    gateway = site.add("gateway", Role.GATEWAY, GatewayCore, readers=["recorder"])
    site.add("recorder", Role.RECORDER, Keeper)
    await site.start()
    await until(lambda: gateway.bus.linked and site.agents["recorder"].bus.linked)
    for value in range(60):
        site.put("gateway", float(value))
        await asyncio.sleep(0.002)
        disturb(value)

    def kept() -> list[float | None]:
        return [value for value in site.kept("recorder").get("gateway", []) if value is None or value >= 0.0]

    await until(lambda: len(kept()) >= 60, 10)
    assert site.agents["recorder"].engine.stats.lost == 0
    return kept()


def _stray(epoch: str, seq: int, *, lowest: int = 1, value: float = -1.0) -> bytes:
    batch = make_batch([value], device="stranger")
    return payload_of(make_pack([batch], agent="gateway", seq=seq, lowest=lowest, epoch=epoch))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heartbeats ten times as often."""
    monkeypatch.setattr(runtime, "HEARTBEAT_S", 0.1)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("every", [1, 7, 25])
def test_two_gateways_with_one_id(tmp_path: Path, until: Until, every: int) -> None:
    """Another log under the same name costs the true one nothing: each of its rows counts once and in order."""

    async def body() -> None:
        async with running(tmp_path) as site, client(site, "hostile") as attacker:
            topic = TOPICS.log("readings", "gateway")

            def disturb(value: int) -> None:
                if value % every == 0:
                    attacker.publish(topic, _stray("beef", value // every + 1))

            assert await _flow(site, disturb, until) == [float(value) for value in range(60)]

    asyncio.run(body())


@pytest.mark.usefixtures("quick")
def test_what_is_replayed_or_jumps_or_is_broken_under_a_true_name_costs_nothing(tmp_path: Path, until: Until) -> None:
    """Old packs again, rows far ahead, and broken copies of the very row that is due: each true row counts once."""

    async def body() -> None:
        async with running(tmp_path) as site, client(site, "hostile") as attacker:
            topic = TOPICS.log("readings", "gateway")
            seen = collect(attacker, topic)
            mine: set[bytes] = set()

            def disturb(value: int) -> None:
                true = [each.payload for each in seen if each.payload not in mine]
                if not true:
                    return
                place = read_place(true[-1], agent="gateway")
                assert place is not None
                due = _stray(place.epoch, place.seq + 1)
                lies = [
                    true[value % len(true)],
                    _stray(place.epoch, place.seq + 10_000, lowest=1),
                    _stray(place.epoch, 2**63 - 1, lowest=1),
                    due.replace(b'"values":[[', b'"values":[["x",'),
                    due[:-9],
                ]
                mine.update(lies[1:])
                attacker.publish(topic, lies[value % len(lies)])

            assert await _flow(site, disturb, until) == [float(value) for value in range(60)]

    asyncio.run(body())


@pytest.mark.usefixtures("quick")
def test_a_row_that_a_true_producer_can_only_send_broken_costs_itself(tmp_path: Path, until: Until) -> None:
    """A gateway with a fault writes a row that nobody can read: asked for again, then lost, and the log goes on."""

    async def body() -> None:
        async with running(tmp_path) as site:
            gateway = site.add("gateway", Role.GATEWAY, GatewayCore, readers=["recorder"])
            recorder = site.add("recorder", Role.RECORDER, Keeper)
            await site.start()
            site.put("gateway", 1.0)
            await until(lambda: site.kept("recorder") == {"gateway": [1.0]})
            with gateway.engine.journal.begin() as transaction:
                transaction.append("readings", b'[{"device":"a b"}]', at_ns=NOW_NS)
            assert gateway.feed is not None
            gateway.feed.committed(())
            site.put("gateway", 3.0)
            await until(lambda: site.kept("recorder") == {"gateway": [1.0, 3.0]}, 10)
            await until(lambda: settled(site))
            assert (recorder.engine.stats.lost, recorder.engine.stats.given_up) == (1, 1)
            assert _total(site, "recorder") == 3

    asyncio.run(body())


@pytest.mark.usefixtures("quick")
def test_a_newer_producer_is_waited_for_until_the_reader_is_upgraded(
    tmp_path: Path, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is skipped, the card says so, and a reader that understands the version goes on where it stood."""

    async def body() -> None:
        async with running(tmp_path) as site, client(site, "stranger") as stranger:
            gateway = site.add("gateway", Role.GATEWAY, GatewayCore, readers=["recorder"])
            recorder = site.add("recorder", Role.RECORDER, Keeper)
            cards = collect(stranger, TOPICS.card("recorder"))
            await site.start()
            site.put("gateway", 1.0)
            await until(lambda: site.kept("recorder") == {"gateway": [1.0]})
            head = codec._HEADS["readings"]
            monkeypatch.setitem(codec._HEADS, "readings", head.replace(b'"v":1', b'"v":2'))
            site.put("gateway", 2.0, 3.0)
            await until(lambda: cards and codec.decode_card(cards[-1].payload, agent="recorder").stats["halted"] == 1.0)
            assert gateway.feed is not None
            sent, beats = gateway.bus.stats.published, len(cards)
            await until(lambda: len(cards) >= beats + 5)  # the reader asks for nothing that it could not read
            assert _total(site, "recorder") == 1
            assert gateway.bus.stats.published - sent < 10
            assert site.kept("recorder") == {"gateway": [1.0]}
            monkeypatch.setitem(codec._HEADS, "readings", head)  # as a reader of that version would see it
            await site.kill("recorder")
            await site.revive("recorder")
            await until(lambda: site.kept("recorder") == {"gateway": [1.0, 2.0, 3.0]}, 10)
            assert recorder.engine.stats.lost == 0

    asyncio.run(body())


@pytest.mark.usefixtures("quick")
def test_a_detector_that_starts_with_poison_in_the_place_of_the_owners_gets_its_gateways(
    tmp_path: Path, until: Until
) -> None:
    """The registry says the map again when somebody comes, for another's word may stand retained in its place."""

    async def body() -> None:
        async with plant(tmp_path, registry=True) as (site, attacker, _):
            await until(lambda: site.agents["detector"].reader.owns("gateway"), 10)
            attacker.publish(TOPICS.owners(), b"{}", retain=True)
            await site.kill("detector")
            await site.revive("detector")
            await until(lambda: site.agents["detector"].reader.owns("gateway"), 10)

    asyncio.run(body())


# -- over a real broker ----------------------------------------------------------------------------------------------


def drill(name: str, folder: Path, *without: str) -> DrillReport:
    (found,) = (each for each in DRILLS if each.name == name)
    ground = Ground(folder=folder, broker="mosquitto", seed=2, short=True, without=without, say=lambda _: None)
    return run_drill(found, ground)


@pytest.mark.usefixtures("mosquitto_program")
def test_hostile_bytes_at_a_site_under_load(tmp_path: Path) -> None:
    """Drill F28: every reason is given, nothing stops, nothing is lost or doubled, no log has an exception in it."""
    report = drill("hostile_bytes", tmp_path)
    assert report.broken == ()
    assert int(report.figures["thrown"]) > 1_500
    assert int(report.figures["refused"]) > 300


@pytest.mark.usefixtures("mosquitto_program")
def test_poison_at_a_site_under_load(tmp_path: Path) -> None:
    """Drill F27: what makes cores and sinks raise is given up, the rest flows, and nothing else is lost."""
    report = drill("poison_messages", tmp_path)
    assert report.broken == ()
    assert int(report.figures["given_up"]) >= 4 * int(report.figures["poisoned"])


@pytest.mark.usefixtures("mosquitto_program")
@pytest.mark.skipif(not os.environ.get("LONG"), reason="LONG=1 runs it")
def test_without_the_quarantine_poison_stops_a_log(tmp_path: Path) -> None:
    """With no end of tries a poisoned log stands still, and the drill notices."""
    report = drill("poison_messages", tmp_path, "quarantine")
    assert any("stands still" in problem for problem in report.broken)
