"""The loop as a whole: reading, alert, order, dispatch, accepted, done, alert clears, verified; whoever is killed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from edgemesh.agents import runtime
from edgemesh.model.agents import Role
from edgemesh.model.alerts import Alert, AlertState
from edgemesh.model.orders import OrderState, WorkOrder
from tests.unit.launch.small_plant import SmallPlant, small_plant

Until = Callable[..., Awaitable[None]]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heartbeats and ticks ten times as often."""
    monkeypatch.setattr(runtime, "HEARTBEAT_S", 0.1)
    monkeypatch.setattr(runtime, "TICK_S", 0.025)


def _one(plant: SmallPlant) -> tuple[Alert, WorkOrder]:
    alerts, orders = plant.history()
    assert len(alerts) == 1
    assert len(orders) == 1
    return alerts[0], orders[0]


def _run(folder: Path, until: Until) -> tuple[Alert, WorkOrder]:
    async def body() -> tuple[Alert, WorkOrder]:
        async with small_plant(folder) as plant:
            await until(plant.is_verified, 20)
            return _one(plant)

    folder.mkdir(exist_ok=True)
    return asyncio.run(body())


def test_one_fault_goes_all_the_way_and_twice_gives_the_same_ids(tmp_path: Path, until: Until) -> None:
    """One fault is one alert and one order, from reading to verified; the same inputs give the same ids."""
    alert, order = _run(tmp_path / "a", until)
    assert (alert.asset, alert.state) == ("pump-1", AlertState.CLEARED)
    assert (order.state, order.executor, order.attempt, order.reopened) == (OrderState.VERIFIED, "ana", 1, 0)
    assert order.alert == alert.id
    times = (
        order.occurred_at_ns,
        order.detected_at_ns,
        order.dispatched_at_ns,
        order.begun_at_ns,
        order.repaired_at_ns,
    )
    assert None not in times
    again, same = _run(tmp_path / "b", until)
    assert (again.id, same.id) == (alert.id, order.id)


@pytest.mark.parametrize("role", [Role.GATEWAY, Role.DETECTOR, Role.SCHEDULER, Role.RECORDER, Role.REGISTRY])
@pytest.mark.parametrize("moment", [OrderState.DISPATCHED, OrderState.IN_PROGRESS])
def test_whoever_is_killed_it_stays_one_order(tmp_path: Path, until: Until, role: Role, moment: OrderState) -> None:
    """Any agent killed in the middle and built again from its files: one alert, one order, one dispatch, verified."""

    async def body() -> None:
        async with small_plant(tmp_path) as plant:
            plant.executor.patient_in = moment
            await until(lambda: plant.order_state() is moment, 15)
            await plant.kill(role)
            await plant.start(role)
            plant.executor.patient_in = None
            await until(plant.is_verified, 20)
            alert, order = _one(plant)
            assert alert.state is AlertState.CLEARED
            assert (order.attempt, order.reopened, order.tried) == (1, 0, ())
            assert len({each.order for dispatches in plant.executor.lists for each in dispatches.orders}) == 1

    asyncio.run(body())


def test_everybody_killed_at_once_and_a_broker_that_forgot(tmp_path: Path, until: Until) -> None:
    """A power cut in the middle of the work: from the files alone the one order is finished."""

    async def body() -> None:
        async with small_plant(tmp_path) as plant:
            plant.executor.patient_in = OrderState.ACCEPTED
            await until(lambda: plant.order_state() is OrderState.ACCEPTED, 15)
            roles = list(plant.parts)
            for role in roles:
                await plant.kill(role)
            plant.broker.restart()
            for role in roles:
                await plant.start(role)
            plant.executor.patient_in = None
            await until(plant.is_verified, 20)
            _, order = _one(plant)
            assert (order.attempt, order.reopened) == (1, 0)
            assert all(
                part.agents[name].engine.stats.lost == 0 for part in plant.parts.values() for name in part.agents
            )

    asyncio.run(body())
