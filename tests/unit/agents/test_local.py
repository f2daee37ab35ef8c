"""A sentry follows the outbox of its gateway in the same process, with or without a broker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from edgemesh.agents import local
from edgemesh.agents.core import Core, Input
from edgemesh.agents.gateway import GatewayCore
from edgemesh.agents.items import Offered
from edgemesh.agents.local import LocalLog
from edgemesh.agents.recorder import RecorderCore
from edgemesh.agents.sentry import SentryCore
from edgemesh.detect.settings import DetectSettings, LimitRule
from edgemesh.errors import LogError
from edgemesh.log.journal import Journal
from edgemesh.log.outbox import Row
from edgemesh.model.agents import Role
from edgemesh.model.alerts import Alert, AlertState, Stage
from edgemesh.model.packs import Readings
from edgemesh.model.samples import Record, Retimed
from edgemesh.testing import make_sample
from edgemesh.wire import codec
from tests.unit.agents.site import SOURCE, TOPICS, Keeper, Site, client, collect, running

Until = Callable[..., Awaitable[None]]
SETTINGS = DetectSettings(rule=(LimitRule(name="low", metric="flow", below=50.0),))


def make_sentry() -> SentryCore:
    return SentryCore("sentry", "site", SETTINGS, {})


def add_pair(site: Site, make_core: Callable[[], Core] = make_sentry) -> None:
    site.add("gw", Role.GATEWAY, GatewayCore)
    site.add("sentry", Role.SENTRY, make_core)


def link(site: Site) -> LocalLog:
    log = LocalLog(site.agents["gw"], site.agents["sentry"], TOPICS)
    log.start()
    return log


def alerts_of(site: Site) -> list[Alert]:
    """What the sentry has committed."""
    with closing(Journal.peek(site.folder / "sentry.db")) as journal:
        rows = journal.rows(0, limit=10_000, max_bytes=2**30)
    return [alert for row in rows for alert in codec.decode_body("alerts", row.body) if isinstance(alert, Alert)]


def put(site: Site, *values: float) -> None:
    """A driver puts in a sample a second."""
    for second, value in enumerate(values):
        site.agents["gw"].offer(Offered((make_sample(value, source=SOURCE, at_s=float(second)),)))


def kept(site: Site) -> list[float | None]:
    return site.kept("sentry").get("gw", [])


def test_it_goes_on_without_a_broker_and_delivers_afterwards(tmp_path: Path, until: Until) -> None:
    """Cut off, it decides on what its gateway commits; connected again, its alerts go out and stand on their topics."""

    async def body() -> None:
        async with running(tmp_path) as site, client(site) as ear:
            add_pair(site)
            logs, states = collect(ear, TOPICS.log("alerts", "+")), collect(ear, TOPICS.alert("+"))
            for name in site.agents:
                site.broker.cut(name)
            await site.start()
            log = link(site)
            put(site, 90.0, 40.0, 90.0, 30.0)
            await until(lambda: len(alerts_of(site)) == 3)
            said = alerts_of(site)
            assert {alert.stage for alert in said} == {Stage.GATEWAY}
            assert [alert.state for alert in said] == [AlertState.FIRING, AlertState.CLEARED, AlertState.FIRING]
            assert (logs, states) == ([], [])
            for name in site.agents:
                site.broker.heal(name)
            await until(lambda: states)
            await until(lambda: len(logs) > 0)
            assert {message.topic for message in logs} == {TOPICS.log("alerts", "sentry")}
            assert states[-1].topic == TOPICS.alert(said[-1].id)
            await log.stop()

    asyncio.run(body())


def test_it_says_nothing_of_how_far_it_is(tmp_path: Path, until: Until) -> None:
    """The uplink carries neither its watermarks nor its wishes: they are nobody's business but its own."""

    async def body() -> None:
        async with running(tmp_path) as site, client(site) as ear:
            add_pair(site)
            marks = collect(ear, TOPICS.watermark("gw", "+"))
            await site.start()
            log = link(site)
            put(site, *[90.0] * 20, 40.0)
            await until(lambda: alerts_of(site))
            await until(lambda: site.agents["sentry"].reader.position("gw") is not None)
            assert marks == []
            await log.stop()

    asyncio.run(body())


@pytest.mark.parametrize("victims", [("gw",), ("sentry",), ("gw", "sentry")])
def test_a_kill_loses_and_doubles_nothing(tmp_path: Path, until: Until, victims: tuple[str, ...]) -> None:
    """Whoever is killed in the middle: each value that the gateway has accepted comes to the sentry once, in order."""

    async def body() -> None:
        async with running(tmp_path) as site:
            add_pair(site, Keeper)
            await site.start()
            log = link(site)
            values = [float(number) for number in range(300)]
            for number in range(0, 300, 3):
                site.put("gw", *values[number : number + 3])
                if number in (90, 180):
                    await until(lambda: len(kept(site)) > 10)
                    while site.agents["gw"].waiting:
                        await asyncio.sleep(0)
                    await log.stop()
                    for victim in victims:
                        await site.kill(victim)
                    for victim in victims:
                        await site.revive(victim)
                    log = link(site)
                await asyncio.sleep(0)
            await until(lambda: len(kept(site)) == 300)
            assert kept(site) == values
            await log.stop()

    asyncio.run(body())


def test_a_sentry_that_is_new_begins_near_the_end(
    tmp_path: Path, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It need not read days of history first; of what it does not read nothing counts as lost."""
    monkeypatch.setattr(local, "BEGIN_ROWS", 2)

    async def body() -> None:
        async with running(tmp_path) as site:
            add_pair(site, Keeper)
            await site.start("gw")
            for value in range(10):
                head = site.agents["gw"].engine.journal.head
                site.put("gw", float(value))
                await until(lambda head=head: site.agents["gw"].engine.journal.head > head)
            await site.start("sentry")
            log = link(site)
            await until(lambda: len(kept(site)) == 2)
            assert kept(site) == [8.0, 9.0]
            assert site.agents["sentry"].engine.stats.lost == 0
            await log.stop()

    asyncio.run(body())


def test_a_log_that_began_anew_is_followed(tmp_path: Path, until: Until) -> None:
    """The gateway's log goes on under another epoch: what it holds comes once more, and the rest after it."""

    async def body() -> None:
        async with running(tmp_path) as site:
            add_pair(site, Keeper)
            await site.start()
            log = link(site)
            site.put("gw", 1.0)
            await until(lambda: kept(site) == [1.0])
            gateway = site.agents["gw"]
            assert gateway.feed is not None
            await gateway.steps.in_worker(partial(gateway.engine.journal.renew, "a test"))
            gateway.feed.begin_anew()
            site.put("gw", 2.0)
            await until(lambda: kept(site) == [1.0, 1.0, 2.0])
            await log.stop()

    asyncio.run(body())


def test_a_disk_that_can_not_be_read_now_is_read_again(
    tmp_path: Path, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that is not there at this moment stops nothing for good."""
    monkeypatch.setattr(local, "RETRY_S", 0.01)

    async def body() -> None:
        async with running(tmp_path) as site:
            add_pair(site, Keeper)
            await site.start()
            gateway = site.agents["gw"]
            assert gateway.feed is not None
            rows, failures = gateway.feed.rows, list[range]()

            async def fail_once(span: range) -> object:
                if not failures:
                    failures.append(span)
                    raise LogError("the disk is away")
                return await rows(span)

            monkeypatch.setattr(gateway.feed, "rows", fail_once)
            log = link(site)
            site.put("gw", 1.0, 2.0)
            await until(lambda: kept(site) == [1.0, 2.0])
            assert failures
            await log.stop()

    asyncio.run(body())


def test_what_is_known_of_a_clock_comes_in_its_place(tmp_path: Path, until: Until) -> None:
    """Rows of another kind in the log of readings are handed over in order, too."""
    known = Retimed(clock=7, from_ns=1, until_ns=2, by_ns=3)

    class Times(Keeper):
        """Keeps what became known of clocks as values, too."""

        def handle(self, pack: Input) -> Sequence[Record]:
            super().handle(pack)
            if isinstance(pack, Readings) and pack.retimed:
                self.kept[pack.agent].append(float(pack.retimed[0].by_ns))
            return []

    def append(journal: Journal) -> Row:
        with journal.begin() as transaction:
            return transaction.append(codec.RETIMED, codec.encode_records([known]), at_ns=0)

    async def body() -> None:
        async with running(tmp_path) as site:
            add_pair(site, Times)
            await site.start()
            log = link(site)
            gateway = site.agents["gw"]
            assert gateway.feed is not None
            site.put("gw", 1.0)
            await until(lambda: kept(site) == [1.0])
            gateway.feed.committed([await gateway.steps.in_worker(partial(append, gateway.engine.journal))])
            site.put("gw", 2.0)
            await until(lambda: kept(site) == [1.0, 3.0, 2.0])
            await log.stop()

    asyncio.run(body())


def test_only_who_has_a_log_can_be_followed(tmp_path: Path) -> None:
    """A recorder keeps no log of its own."""

    async def body() -> None:
        async with running(tmp_path) as site:
            recorder = site.add("rec", Role.RECORDER, RecorderCore)
            sentry = site.add("sentry", Role.SENTRY, Keeper)
            with pytest.raises(ValueError, match="no log"):
                LocalLog(recorder, sentry, TOPICS)

    asyncio.run(body())
