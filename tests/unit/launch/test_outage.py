"""A gateway was cut off for long: live data is in history and detection first, the backlog follows, nothing is lost."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import msgspec
import pytest

from edgemesh.agents import runtime
from edgemesh.agents.runtime import Runtime
from edgemesh.launch.plant import journal_file
from edgemesh.log import feeder
from edgemesh.log.journal import Journal
from edgemesh.model.agents import Role
from edgemesh.model.alerts import Alert, AlertKind
from edgemesh.model.samples import Batch
from edgemesh.store.history import History
from edgemesh.testing import at
from edgemesh.wire import codec
from tests.unit.launch.small_plant import SmallPlant, small_plant

Until = Callable[..., Awaitable[None]]
ROWS = 4_000
CLIENT = "edgemesh-small-gateway-1"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heartbeats and ticks ten times as often; rows are late after a fifth of a second."""
    monkeypatch.setattr(runtime, "HEARTBEAT_S", 0.1)
    monkeypatch.setattr(runtime, "TICK_S", 0.025)
    monkeypatch.setattr(feeder, "LATE_S", 0.2)


def append(journal: Journal, flows: list[tuple[int, float]]) -> None:
    """Commit a row per sample, as a gateway does that is cut off; all at once."""
    with journal.begin() as transaction:
        for second, flow in flows:
            batch = Batch(
                device="pump-1",
                asset="pump-1",
                metrics=("flow",),
                units=("m3/h",),
                at_ns=(at(float(second)),),
                values=((flow,),),
            )
            transaction.append("readings", codec.encode_records([batch]), at_ns=time.time_ns())


async def gather(plant: SmallPlant, until: Until, flow: Callable[[int], float]) -> int:
    """Cut the gateway off until ROWS rows more have become late; return the second after them."""
    gateway = plant.parts[Role.GATEWAY].agents["gateway-1"]
    assert gateway.feed is not None
    await until(lambda: kept(plant)[0] > 20, 15)
    plant.broker.cut(CLIENT)
    plant.device.quiet = True
    await settled(gateway)
    first = plant.device.taken
    await gateway.steps.in_worker(partial(append, gateway.engine.journal, [(first + k, flow(k)) for k in range(ROWS)]))
    gateway.feed.committed(())
    head = gateway.engine.journal.head
    await until(lambda: gateway.feed is not None and gateway.feed.feeder._late >= head, 10)
    plant.device.taken = first + ROWS
    return first + ROWS


async def settled(gateway: Runtime) -> None:
    """Wait until what the device had put is on the disk."""
    before = -1
    while before != gateway.engine.journal.head or gateway.waiting:
        before = gateway.engine.journal.head
        await asyncio.sleep(0.05)


def kept(plant: SmallPlant, since_s: int = 0) -> tuple[int, int]:
    """How many readings the history holds, and how many of them are not older than `since_s`."""
    with History(journal_file(plant.configuration.data, "recorder")) as history:
        counts = history.counts()
        assert counts.duplicates == 0
        curve = history.readings(
            device="pump-1", metric="flow", start_ns=at(float(since_s)), resolution="raw", max_points=None
        )
        return counts.readings, len(curve.points)


def accepted(plant: SmallPlant) -> int:
    """How many readings the gateway has committed: it still holds them all."""
    with closing(Journal.peek(journal_file(plant.configuration.data, "gateway-1"))) as journal:
        assert journal.lowest == 1
        rows = journal.rows(0, limit=10**6, max_bytes=10**9)
        return sum(len(batch.at_ns) for row in rows for batch in msgspec.json.decode(row.body, type=list[Batch]))


def alerts_of(plant: SmallPlant) -> list[Alert]:
    return [alert for alert in plant.history()[0] if alert.kind is AlertKind.MACHINE]


def test_live_data_comes_before_the_backlog(tmp_path: Path, until: Until) -> None:
    """The newest samples are in the history while most of the backlog is not; then all of it is, once."""

    async def body() -> None:
        async with small_plant(tmp_path) as plant:
            plant.device.healthy = 10**9
            live_s = await gather(plant, until, lambda k: 60.0 if 2_000 <= k < 2_020 else 90.0)
            plant.broker.heal(CLIENT)
            plant.device.quiet = False
            healed_s = time.monotonic()
            await until(lambda: kept(plant, live_s)[1] > 0, 15)
            live_after_s, had = time.monotonic() - healed_s, kept(plant)[0]
            assert had < live_s - ROWS // 4, "live samples waited behind the backlog"
            await until(lambda: kept(plant)[0] >= live_s, 60)
            took_s = time.monotonic() - healed_s
            logging.getLogger(__name__).info("live after %.2f s, %d rows after %.2f s", live_after_s, ROWS, took_s)
            plant.device.quiet = True
            await until(lambda: kept(plant)[0] == accepted(plant), 15)
            await until(lambda: len(alerts_of(plant)) == 1, 15)
            (alert,) = alerts_of(plant)
            assert alert.past
            assert alert.onset_at_ns == at(live_s - ROWS + 2_000.0)
            assert plant.history()[1] == []
            assert plant.executor.lists == []

    asyncio.run(body())


@pytest.mark.parametrize("role", [Role.GATEWAY, Role.DETECTOR, Role.RECORDER])
def test_a_kill_in_the_middle_of_the_backlog_loses_nothing(tmp_path: Path, until: Until, role: Role) -> None:
    """Whoever is killed while both lanes flow: every reading is kept once, and a fault that stands has one order."""

    async def body() -> None:
        async with small_plant(tmp_path) as plant:
            plant.device.healthy = 10**9
            live_s = await gather(plant, until, lambda k: 60.0 if k >= ROWS - 50 else 90.0)
            plant.device.healthy = 0
            plant.broker.heal(CLIENT)
            plant.device.quiet = False
            await until(lambda: kept(plant, live_s)[1] > 0, 15)
            await plant.kill(role)
            await plant.start(role)
            await until(lambda: plant.device.repaired, 30)
            await until(lambda: kept(plant)[0] >= live_s, 60)
            await until(plant.is_verified, 30)
            plant.device.quiet = True
            (alert,) = [alert for alert in alerts_of(plant) if not alert.past]
            (order,) = plant.history()[1]
            assert order.alert == alert.id
            await until(lambda: kept(plant)[0] == accepted(plant), 15)

    asyncio.run(body())
