"""The runtime: agents on a bus that forgets, cuts and lies; what was committed arrives once and in order."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from edgemesh.agents import reader, runtime
from edgemesh.agents.core import Input
from edgemesh.agents.gateway import GatewayCore
from edgemesh.agents.items import Offered
from edgemesh.bus.contract import Bus, Message
from edgemesh.errors import LogFull
from edgemesh.model.agents import Owners, Presence, Role, Watermark
from edgemesh.model.alerts import AlertState
from edgemesh.model.packs import Pack, Readings
from edgemesh.model.samples import Record
from edgemesh.testing import make_alert, make_card, make_pack, make_readings, make_sample, payload_of
from edgemesh.wire import codec
from tests.unit.agents.site import SOURCE, TOPICS, Keeper, Site, client, collect, running

Until = Callable[..., Awaitable[None]]
COUNT = 60


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heartbeats ten times as often, so that what rests on them takes tenths of a second."""
    monkeypatch.setattr(runtime, "HEARTBEAT_S", 0.1)


def _pair(site: Site) -> None:
    site.add("gw", Role.GATEWAY, GatewayCore, readers=["recorder"])
    site.add("rec", Role.RECORDER, Keeper)


async def _nothing(site: Site) -> None:
    """No fault at all."""


async def _cut_producer(site: Site) -> None:
    site.broker.cut("gw")
    await asyncio.sleep(0.02)
    site.broker.heal("gw")


async def _cut_consumer(site: Site) -> None:
    site.broker.cut("rec")
    await asyncio.sleep(0.02)
    site.broker.heal("rec")


async def _restart_broker(site: Site) -> None:
    site.broker.restart()


async def _kill_producer(site: Site) -> None:
    agent = site.agents["gw"]
    while agent.waiting:  # what it had not committed was never accepted
        await asyncio.sleep(0.001)
    await site.kill("gw")
    await site.revive("gw")


async def _kill_consumer(site: Site) -> None:
    await site.kill("rec")
    await site.revive("rec")


@pytest.mark.parametrize(
    "fault", [_nothing, _cut_producer, _cut_consumer, _restart_broker, _kill_producer, _kill_consumer]
)
def test_every_record_arrives_once_and_in_order(
    tmp_path: Path, until: Until, fault: Callable[[Site], Awaitable[None]]
) -> None:
    """Whatever happens to link, broker, producer or consumer, and as often as it does: once, in order, all."""

    async def body() -> None:
        async with running(tmp_path) as site:
            _pair(site)
            await site.start()
            for value in range(COUNT):
                site.put("gw", float(value))
                await asyncio.sleep(0.001)
                if value % 15 == 7:
                    await fault(site)
            await until(lambda: len(site.kept("rec").get("gw", [])) >= COUNT, 10)
            assert site.kept("rec") == {"gw": [float(value) for value in range(COUNT)]}
            assert site.agents["rec"].engine.stats.lost == 0

    asyncio.run(body())


def test_a_consumer_that_comes_later_gets_everything(tmp_path: Path, until: Until) -> None:
    """Rows wait for a required reader; one that comes later than the last of them gets them all."""

    async def body() -> None:
        async with running(tmp_path) as site:
            _pair(site)
            await site.start("gw")
            site.put("gw", *map(float, range(COUNT)))
            await until(lambda: not site.agents["gw"].waiting)
            await site.start("rec")
            await until(lambda: len(site.kept("rec").get("gw", [])) >= COUNT)
            assert site.kept("rec") == {"gw": [float(value) for value in range(COUNT)]}

    asyncio.run(body())


def test_an_agent_starts_without_a_broker_and_waits(tmp_path: Path, until: Until) -> None:
    """With no broker samples are accepted all the same; they go out when there is one."""

    async def body() -> None:
        async with running(tmp_path) as site:
            site.broker.stop()
            _pair(site)
            await site.start()
            site.put("gw", 1.0, 2.0)
            await until(lambda: site.agents["gw"].engine.stats.readings == 2)
            assert site.kept("rec") == {}
            site.broker.start()
            await until(lambda: site.kept("rec") == {"gw": [1.0, 2.0]})

    asyncio.run(body())


class Deaf:
    """A bus that loses the first watermark (not an ask) on its way, though it says that it took it."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.lost: list[bytes] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._bus, name)

    def publish(
        self, topic: str, payload: bytes, *, retain: bool = False, traceparent: str = "", bulk: bool = False
    ) -> bool:
        if "/watermark/" in topic and retain and not self.lost:
            self.lost.append(payload)
            return True
        return self._bus.publish(topic, payload, retain=retain, traceparent=traceparent)


def test_a_watermark_that_was_lost_is_said_again(tmp_path: Path, until: Until) -> None:
    """A producer that never heard how far its reader is sends the row again, and is told; so rows can be pruned."""

    async def body() -> None:
        async with running(tmp_path) as site:
            site.add("gw", Role.GATEWAY, GatewayCore, readers=["recorder"])
            site.add("rec", Role.RECORDER, Keeper, bus=lambda bus: Deaf(bus))  # type: ignore[arg-type,return-value]
            await site.start()
            await until(lambda: site.agents["rec"].bus.linked and site.agents["gw"].bus.linked)
            site.put("gw", 1.0)
            await until(lambda: site.kept("rec") == {"gw": [1.0]})
            feed = site.agents["gw"].feed
            assert feed is not None
            assert feed.feeder.prunable == 0
            await until(lambda: feed.feeder.prunable == 1, 6)
            assert site.kept("rec") == {"gw": [1.0]}

    asyncio.run(body())


def test_watermarks_are_retained_and_rows_pruned(tmp_path: Path, until: Until, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader's watermark stays on the broker; what every required reader has is deleted once it is old enough."""
    monkeypatch.setattr(runtime, "HOUSEKEEPING_S", 0.05)

    async def body() -> None:
        async with running(tmp_path) as site:
            _pair(site)
            await site.start()
            site.put("gw", 1.0, 2.0)
            journal = site.agents["gw"].engine.journal
            await until(lambda: journal.head > 0 and journal.lowest == journal.head + 1)
            mark = codec.decode_watermark(site.broker.retained[TOPICS.watermark("gw", "recorder")])
            assert (mark.epoch, mark.through, mark.resend) == (journal.epoch, journal.head, False)

    asyncio.run(body())


def test_rows_stay_while_a_required_reader_is_away(
    tmp_path: Path, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of two required groups has everything: nothing is pruned."""
    monkeypatch.setattr(runtime, "HOUSEKEEPING_S", 0.02)

    async def body() -> None:
        async with running(tmp_path) as site:
            gateway = site.add("gw", Role.GATEWAY, GatewayCore, readers=["recorder", "detector"])
            site.add("rec", Role.RECORDER, Keeper)
            await site.start()
            site.put("gw", 1.0, 2.0)
            await until(lambda: site.kept("rec") == {"gw": [1.0, 2.0]})
            feed, journal = gateway.feed, gateway.engine.journal
            assert feed is not None
            await until(lambda: feed.feeder.watermarks().get("recorder") == journal.head)
            await asyncio.sleep(0.1)  # five rounds of housekeeping
            assert journal.lowest == 1

    asyncio.run(body())


# -- presence -----------------------------------------------------------------------------------------------------


def test_card_heartbeat_good_bye_and_last_will(tmp_path: Path, until: Until) -> None:
    """A card is retained with head and epoch, its beat rises; good-bye and Last Will leave `down`."""

    async def body() -> None:
        async with running(tmp_path) as site, client(site) as stranger:
            _pair(site)
            cards = collect(stranger, TOPICS.card("+"))
            await site.start()
            site.put("gw", 1.0)

            def seen(name: str) -> list[tuple[Presence, int, int]]:
                found = [codec.decode_card(each.payload, agent=name) for each in cards if each.topic.endswith(name)]
                return [(card.state, card.beat, card.head) for card in found]

            await until(lambda: seen("gw") and seen("gw")[-1][1] >= 3 and seen("gw")[-1][2] == 1)
            beats = [beat for _, beat, _ in seen("gw")]
            assert beats == sorted(beats)
            assert TOPICS.card("gw") in site.broker.retained
            await site.kill("gw")
            await until(lambda: seen("gw")[-1][0] is Presence.DOWN)
            await site.agents["rec"].stop()
            await until(lambda: seen("rec")[-1][0] is Presence.DOWN)

    asyncio.run(body())


# -- ownership ----------------------------------------------------------------------------------------------------


def _own(bus: Bus, epoch: int, **owners: str) -> None:
    bus.publish(TOPICS.owners(), codec.encode(Owners(epoch=epoch, owners=owners)), retain=True)


def test_the_owners_map_moves_a_log_from_one_detector_to_another(tmp_path: Path, until: Until) -> None:
    """The new owner reads the log that is held; the old one stops and forgets; an older map changes nothing."""

    async def body() -> None:
        async with running(tmp_path) as site, client(site) as registry:
            site.add("gw", Role.GATEWAY, GatewayCore, readers=["detector"])
            site.add("one", Role.DETECTOR, Keeper)
            site.add("two", Role.DETECTOR, Keeper)
            await site.start()
            site.put("gw", 1.0)
            _own(registry, 1, gw="one")
            await until(lambda: site.kept("one") == {"gw": [1.0]})
            _own(registry, 2, gw="two")
            await until(lambda: site.kept("two") == {"gw": [1.0]})
            await until(lambda: site.peek("one").cursors() == {})
            _own(registry, 1, gw="one")
            site.put("gw", 2.0)
            await until(lambda: site.kept("two") == {"gw": [1.0, 2.0]})
            assert site.kept("one") == {}
            core = site.core("two")
            assert isinstance(core, Keeper)
            assert core.adopted == ["gw"]

    asyncio.run(body())


def test_a_detector_that_comes_back_gives_up_what_became_anothers(tmp_path: Path, until: Until) -> None:
    """A gateway that was given away while its detector was down leaves nothing behind when it is up again."""

    async def body() -> None:
        async with running(tmp_path) as site, client(site) as registry:
            site.add("gw", Role.GATEWAY, GatewayCore, readers=["detector"])
            site.add("one", Role.DETECTOR, Keeper)
            site.add("two", Role.DETECTOR, Keeper)
            await site.start()
            site.put("gw", 1.0)
            _own(registry, 1, gw="one")
            await until(lambda: site.kept("one") == {"gw": [1.0]})
            await site.kill("one")
            _own(registry, 2, gw="two")
            await until(lambda: site.kept("two") == {"gw": [1.0]})
            await site.revive("one")
            await until(lambda: site.kept("one") == {} and site.peek("one").cursors() == {})

    asyncio.run(body())


@pytest.mark.parametrize("moved", [True, False])
def test_a_detector_that_was_cut_off_waits_for_the_map(
    tmp_path: Path, until: Until, monkeypatch: pytest.MonkeyPatch, moved: bool
) -> None:
    """What was its own may be another's by now: it judges nothing before it knows; then it goes on."""
    monkeypatch.setattr(reader, "MOVED_S", 0.0)
    monkeypatch.setattr(reader, "DOUBT_S", 60.0)
    heard: list[float | None] = []

    class Noting(Keeper):
        def handle(self, pack: Input) -> Sequence[Record]:
            if isinstance(pack, Readings):
                heard.extend(pack.records[0].values[0])
            return super().handle(pack)

    async def body() -> None:
        async with running(tmp_path) as site, client(site) as registry:
            site.add("gw", Role.GATEWAY, GatewayCore, readers=["detector"])
            one = site.add("one", Role.DETECTOR, Noting)
            site.add("two", Role.DETECTOR, Keeper)
            await site.start()
            site.put("gw", 1.0)
            _own(registry, 1, gw="one")
            await until(lambda: site.kept("one") == {"gw": [1.0]})
            site.broker.cut("one")
            registry.publish(TOPICS.owners(), b"", retain=True)
            await until(lambda: not one.bus.linked)
            site.broker.heal("one")
            await until(lambda: one.bus.linked)
            site.put("gw", 2.0)
            await until(lambda: site.agents["gw"].engine.journal.head == 2)
            await asyncio.sleep(0.1)
            assert heard == [1.0]
            _own(registry, 2, gw="two" if moved else "one")
            await until(lambda: site.kept("two" if moved else "one") == {"gw": [1.0, 2.0]})
            assert heard == ([1.0] if moved else [1.0, 2.0])

    asyncio.run(body())


def test_what_was_on_its_way_when_a_log_became_anothers_is_nothing_to_us(tmp_path: Path, until: Until) -> None:
    """A pack that comes after the map is settled and judged by nobody here."""

    async def body() -> None:
        async with running(tmp_path) as site, client(site) as registry:
            one = site.add("one", Role.DETECTOR, Keeper)
            await site.start()
            await until(lambda: one.bus.linked)
            settled: list[int] = []
            payload = payload_of(make_readings([1.0], agent="gw"))
            one._ears._hear_log(Message(TOPICS.log("readings", "gw"), payload, settle=lambda: settled.append(1)))
            assert (settled, one.waiting) == ([1], 0)
            _own(registry, 1, gw="one")
            await until(lambda: one.reader.owns("gw"))
            one._ears._hear_log(Message(TOPICS.log("readings", "gw"), payload, settle=lambda: settled.append(2)))
            await until(lambda: site.kept("one") == {"gw": [1.0]})

    asyncio.run(body())


def test_a_new_owner_is_given_the_alerts_that_stand(tmp_path: Path, until: Until) -> None:
    """Alerts of the gateway that are retained and open are handed over; those of others are not."""
    given: list[str] = []

    class Heir(Keeper):
        def adopt(self, gateway: str, alerts: Sequence[object], through: object = None) -> None:
            given.extend(f"{gateway} {getattr(alert, 'asset', '')}" for alert in alerts)

    async def body() -> None:
        async with running(tmp_path) as site, client(site) as stranger:
            for asset, gateway in (("pump-1", "gw"), ("pump-2", "other")):
                alert = make_alert(asset=asset, gateway=gateway)
                stranger.publish(TOPICS.alert(alert.id), codec.encode(alert), retain=True)
            over = make_alert(asset="pump-3", gateway="gw", state=AlertState.CLEARED)
            stranger.publish(TOPICS.alert(over.id), codec.encode(over), retain=True)
            stranger.publish(TOPICS.alert(over.id), b"", retain=True)
            site.add("one", Role.DETECTOR, Heir)
            await site.start()
            await until(lambda: site.agents["one"].bus.linked)
            _own(stranger, 1, gw="one")
            await until(lambda: given == ["gw pump-1"])

    asyncio.run(body())


# -- bad input and failing steps ----------------------------------------------------------------------------------

HOSTILE = [
    (TOPICS.below("log/readings/gw"), b"{", "not_json"),
    (TOPICS.below("log/readings/gw"), b'{"v":1,"v":1}', "duplicate_key"),
    (TOPICS.below("log/readings/other"), payload_of(make_readings([1.0], agent="gw")), "id_mismatch"),
    (TOPICS.below("log/readings/b\u00f6se"), payload_of(make_readings([1.0])), "bad_id"),
    (TOPICS.below("log/alerts/" + "x" * 65), payload_of(make_pack([make_alert()], agent="d")), "bad_id"),
    (TOPICS.below("agent/gw"), b"[]", "wrong_shape"),
    (TOPICS.below("agent/gw"), codec.encode(make_card("liar")), "id_mismatch"),
    (TOPICS.below("agent/a b"), codec.encode(make_card("a")), "bad_id"),
    (TOPICS.below("log/orders/s"), b"\xff\xfe", "not_utf8"),
]


@pytest.mark.parametrize(("topic", "payload", "reason"), HOSTILE)
def test_hostile_messages_are_refused_and_counted(
    tmp_path: Path, until: Until, topic: str, payload: bytes, reason: str
) -> None:
    """A message that breaks the rules is in the quarantine with its reason; the next good one is taken."""

    async def body() -> None:
        async with running(tmp_path) as site, client(site) as stranger:
            recorder = site.add("rec", Role.RECORDER, Keeper)
            await site.start()
            await until(lambda: recorder.bus.linked)
            stranger.publish(topic, payload)
            stranger.publish(TOPICS.log("readings", "gw"), payload_of(make_readings([5.0], agent="gw")))
            await until(lambda: site.kept("rec") == {"gw": [5.0]})
            assert site.peek("rec").rejections() == {reason: 1}
            (kept,) = site.peek("rec").quarantine(limit=9)
            assert (kept.origin, kept.payload) == (topic, payload[:4096])
            assert recorder.bus.stats.handler_errors == 0

    asyncio.run(body())


def test_hostile_watermarks_owners_and_alerts_are_refused(tmp_path: Path, until: Until) -> None:
    """The same for the topics that producers and detectors follow; a watermark beyond the head prunes nothing."""

    async def body() -> None:
        async with running(tmp_path) as site, client(site) as stranger:
            gateway = site.add("gw", Role.GATEWAY, GatewayCore, readers=["recorder"])
            detector = site.add("det", Role.DETECTOR, Keeper)
            await site.start()
            await until(lambda: gateway.bus.linked and detector.bus.linked)
            site.put("gw", 1.0)
            stranger.publish(TOPICS.watermark("gw", "recorder"), b"nonsense")
            ahead = Watermark(epoch=gateway.engine.journal.epoch, through=10**9)
            stranger.publish(TOPICS.watermark("gw", "recorder"), codec.encode(ahead))
            stranger.publish(TOPICS.owners(), b'{"epoch":-1,"owners":{}}')
            stranger.publish(TOPICS.owners(), b'{"epoch":1,"owners":{"gw":"a/b"}}')
            stranger.publish(TOPICS.alert("0" * 32), codec.encode(make_alert()))
            await until(lambda: site.peek("gw").rejections() == {"not_json": 1})
            await until(lambda: site.peek("det").rejections() == {"wrong_shape": 1, "bad_id": 1, "id_mismatch": 1})
            assert gateway.feed is not None
            assert gateway.feed.feeder.prunable == 0

    asyncio.run(body())


class Breaking:
    """A sink that fails a few times with the given error, then writes nothing but lets through."""

    def __init__(self, error: Exception, times: int) -> None:
        self._errors = [error] * times

    def prepare(self, connection: sqlite3.Connection) -> None:
        """Nothing to make."""

    def write(self, connection: sqlite3.Connection, packs: Sequence[Pack]) -> None:
        if self._errors:
            raise self._errors.pop()

    def trim(self, connection: sqlite3.Connection, now_ns: int) -> None:
        """Nothing to trim."""


@pytest.mark.parametrize("error", [LogFull("no room"), RuntimeError("a fault")], ids=["full", "fault"])
def test_a_failing_step_loses_no_item(tmp_path: Path, until: Until, error: Exception) -> None:
    """Items of a step that failed are tried again until they are kept, once and in order."""

    async def body() -> None:
        async with running(tmp_path) as site:
            site.add("gw", Role.GATEWAY, GatewayCore, readers=["recorder"])
            site.add("rec", Role.RECORDER, Keeper, sinks=[Breaking(error, 2)])
            await site.start()
            for value in range(20):
                site.put("gw", float(value))
                await asyncio.sleep(0.001)
            await until(lambda: len(site.kept("rec").get("gw", [])) >= 20)
            assert site.kept("rec") == {"gw": [float(value) for value in range(20)]}

    asyncio.run(body())


# -- the end ------------------------------------------------------------------------------------------------------


def test_stop_commits_what_came_and_is_quick(tmp_path: Path, until: Until) -> None:
    """Stopping takes less than a second, commits what was taken over, settles it, and leaves no task behind."""
    settled: list[int] = []

    async def body() -> None:
        site = Site(tmp_path)
        gateway = site.add("gw", Role.GATEWAY, GatewayCore)
        await site.start()
        await until(lambda: gateway.bus.linked)
        for number in range(500):
            sample = make_sample(float(number), source=SOURCE)
            gateway.offer(Offered((sample,), lambda number=number: settled.append(number)))  # type: ignore[misc]
        began_s = time.monotonic()
        await gateway.stop()
        assert time.monotonic() - began_s < 1.0
        assert settled == list(range(500))
        assert gateway.engine.stats.readings == 500
        assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []

    asyncio.run(body())


def test_stop_does_not_wait_for_a_disk_that_stays_full(tmp_path: Path, until: Until) -> None:
    """With a step that can't be kept the agent still stops, within three seconds."""

    async def body() -> None:
        async with running(tmp_path) as site, client(site) as stranger:
            recorder = site.add("rec", Role.RECORDER, Keeper, sinks=[Breaking(LogFull("no room"), 10_000)])
            await site.start()
            await until(lambda: recorder.bus.linked)
            stranger.publish(TOPICS.log("readings", "gw"), payload_of(make_readings([5.0], agent="gw")))
            await until(lambda: recorder.engine.stats.rebuilds > 0)
            began_s = time.monotonic()
            await recorder.stop()
            del site.agents["rec"]
            assert time.monotonic() - began_s < 3.0

    asyncio.run(body())


def test_a_tick_brings_records_out_while_nothing_comes_in(tmp_path: Path, until: Until) -> None:
    """Time alone reaches the core at least four times a second; what it brings about is published."""

    class Bell(Keeper):
        rings = 0

        def tick(self, now_ns: int) -> Sequence[Record]:
            Bell.rings += 1
            return [make_alert()] if Bell.rings == 3 else []

        def handle(self, pack: Input) -> Sequence[Record]:
            return []

    async def body() -> None:
        async with running(tmp_path) as site, client(site) as stranger:
            alerts = collect(stranger, TOPICS.log("alerts", "+"))
            site.add("det", Role.DETECTOR, Bell)
            await site.start()
            await until(lambda: alerts, 2)
            pack = codec.decode_pack(alerts[0].payload, kind="alerts", agent="det")
            assert pack.records == (make_alert(),)

    asyncio.run(body())
