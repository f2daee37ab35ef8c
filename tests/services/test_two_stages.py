"""Two stages over a real Mosquitto: the uplink is cut, the gateway decides alone, and the site has the last word."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edgemesh.agents.items import Offered
from edgemesh.agents.sentry import SentryCore
from edgemesh.configuration.loading import load
from edgemesh.dispatch.provisional import Provisional
from edgemesh.launch.plant import Plant, build, journal_file
from edgemesh.launch.tap import alert_lines
from edgemesh.log.journal import Journal
from edgemesh.model.alerts import Alert, AlertState, Review, Stage
from edgemesh.model.orders import OrderState, WorkOrder
from edgemesh.testing import make_sample, make_source
from edgemesh.wire import codec

if TYPE_CHECKING:
    from tests.conftest import Mosquitto, Relay, Until

SITE = """
[site]
id = "hall"
data = "{data}"
broker = "mqtt://127.0.0.1:{port}"
clock = "any"
roles = ["gateway"]

[registry]
[scheduler]
[recorder]

[detector]
withdraw_after = "5s"

[[detection.rule]]
kind = "limit"
name = "flow low"
metric = "flow"
below = 50.0
"""
GATEWAY = """
[site]
id = "hall"
data = "{data}"
broker = "mqtt://127.0.0.1:{port}"
clock = "any"
roles = ["detector", "scheduler", "recorder"]

[[gateway]]
id = "gw"

[detector]
agents = ["gw-sentry"]
stage = "gateway"

[[detection.rule]]
kind = "limit"
name = "flow low"
metric = "flow"
below = 50.0

[[detection.rule]]
kind = "limit"
name = "hot"
metric = "heat"
above = 50.0
"""
PUMP = make_source("d-pump", asset="pump", metrics=("flow",))
FAN = make_source("d-fan", asset="fan", metrics=("heat",))


def written(folder: Path, text: str, port: int) -> Path:
    file = folder.with_suffix(".toml")
    file.write_text(text.format(data=folder, port=port))
    return file


def put(plant: Plant, first_s: int, flow: float, heat: float, count: int) -> int:
    """The gateway's drivers put in a sample of each device a second."""
    for second in range(first_s, first_s + count):
        samples = (
            make_sample(flow, source=PUMP, at_s=float(second)),
            make_sample(heat, source=FAN, at_s=float(second)),
        )
        plant.agents["gw"].offer(Offered(samples))
    return first_s + count


def log_of(plant: Plant, agent: str, kind: str) -> list[Alert | WorkOrder]:
    """What an agent has committed."""
    with closing(Journal.peek(journal_file(plant.configuration.data, agent))) as journal:
        rows = journal.rows(0, limit=10_000, max_bytes=2**30)
    return [each for row in rows for each in codec.decode_body(kind, row.body) if isinstance(each, Alert | WorkOrder)]


def alerts_of(plant: Plant, agent: str) -> list[Alert]:
    return [each for each in log_of(plant, agent, "alerts") if isinstance(each, Alert)]


def orders_of(plant: Plant) -> list[WorkOrder]:
    return [each for each in log_of(plant, "scheduler", "orders") if isinstance(each, WorkOrder)]


def standing(plant: Plant) -> dict[str, Review | None]:
    """What stands at the sentry, by asset, with the site's word."""
    core = plant.agents["gw-sentry"].engine.core
    assert isinstance(core, SentryCore)
    return {alert.asset: alert.review for alert in core.standing}


@pytest.mark.parametrize("guard", ["", "hold"])
def test_the_site_confirms_one_and_withdraws_another(
    mosquitto: Mosquitto,
    relay: Callable[[int], Relay],
    tmp_path: Path,
    until: Until,
    monkeypatch: pytest.MonkeyPatch,
    guard: str,
) -> None:
    """Cut off, the gateway finds two faults; healed, one is confirmed and has one order, the other one is withdrawn and
    has none. Without the guard `hold` the second one has an order, too.
    """
    if guard:
        hold = Provisional.hold
        monkeypatch.setattr(Provisional, "hold", lambda self, alert, now: hold(self, alert, now - 10**12))

    async def body() -> None:
        way = relay(mosquitto.port)
        site = await build(load(written(tmp_path / "site", SITE, mosquitto.port)))
        edge = await build(load(written(tmp_path / "edge", GATEWAY, way.port)))
        await site.start()
        await edge.start()
        try:
            now_s = put(edge, 0, 90.0, 20.0, 10)
            await until(lambda: site.agents["detector-1"].engine.stats.readings == 20, 20)
            way.cut()
            await until(lambda: not any(agent.bus.linked for agent in edge.agents.values()), 10)
            now_s = put(edge, now_s, 40.0, 90.0, 5)
            await until(lambda: len(alerts_of(edge, "gw-sentry")) == 2, 10)
            local = alerts_of(edge, "gw-sentry")
            assert {alert.stage for alert in local} == {Stage.GATEWAY}
            assert len(alert_lines(edge.configuration.data, limit=10)) == 2, "nobody at the machine can see it"
            assert alerts_of(site, "detector-1") == []
            way.heal()
            if guard:
                await until(lambda: {order.asset for order in orders_of(site)} == {"pump", "fan"}, 20)
            put(edge, now_s, 40.0, 90.0, 20)
            await until(lambda: standing(edge) == {"pump": Review.CONFIRMED, "fan": Review.WITHDRAWN}, 30)
            await until(lambda: any(order.asset == "pump" for order in orders_of(site)), 10)
            await until(lambda: is_written(site), 20)
            check(site, local, guard)
        finally:
            await edge.stop()
            await site.stop()

    asyncio.run(body())


def states(site: Plant) -> dict[str, Alert]:
    """The alerts in the history, in their last version, by id."""
    from edgemesh.store.history import History

    file = site.history()
    assert file is not None
    with History(file) as history:
        return {alert.id: alert for alert in history.alerts()}


def is_written(site: Plant) -> bool:
    """Whether the history has our alert and the end of both others."""
    return sorted(alert.state for alert in states(site).values()) == ["cleared", "cleared", "firing"]


def check(site: Plant, local: list[Alert], guard: str) -> None:
    by_asset = {alert.asset: alert for alert in local}
    words = {alert.id: alert.review for alert in alerts_of(site, "detector-1") if alert.review}
    assert words == {by_asset["pump"].id: Review.CONFIRMED, by_asset["fan"].id: Review.WITHDRAWN}
    history = states(site)
    over = [alert for alert in history.values() if alert.stage is Stage.GATEWAY]
    assert {(alert.asset, alert.state, alert.review) for alert in over} == {
        ("pump", AlertState.CLEARED, Review.CONFIRMED),
        ("fan", AlertState.CLEARED, Review.WITHDRAWN),
    }
    (ours,) = [alert for alert in history.values() if alert.stage is Stage.SITE]
    assert (ours.asset, ours.state) == ("pump", AlertState.FIRING)
    orders = {order.id: order for order in orders_of(site)}
    if guard:
        assert {order.asset for order in orders.values()} == {"pump", "fan"}
        return
    (order,) = orders.values()
    assert (order.asset, order.state, order.alert) == ("pump", OrderState.OPEN, ours.id)
