"""From an alert to its award over a real broker: the scheduler's runtime and disk, and executors that bid over MQTT."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from random import Random

from benchmarks.figures import percentile
from edgemesh.agents.clock import SystemClock
from edgemesh.agents.engine import Engine
from edgemesh.agents.runtime import Runtime
from edgemesh.agents.scheduler import SchedulerCore
from edgemesh.bus.contract import Message
from edgemesh.bus.embedded import start_broker
from edgemesh.bus.mqtt import MqttBus
from edgemesh.dispatch.settings import DispatchSettings, StrategyName
from edgemesh.log.journal import Journal
from edgemesh.model.agents import Card, Presence, Role
from edgemesh.model.alerts import Alert, AlertKind, AlertState, Evidence, Severity
from edgemesh.model.ids import derive_id
from edgemesh.model.orders import Answer, AnswerKind, Bid, OrderState
from edgemesh.model.packs import Alerts
from edgemesh.model.settings import Seconds
from edgemesh.wire import codec
from edgemesh.wire.topics import Topics, parse

TOPICS = Topics("bench")
THINK_S = 0.1
"""Executors bid after 0 to this."""
PATIENCE_S = 30.0
METRIC = "suction_pressure"


class Crew:
    """Executors on one connection; all of them bid but one, so that the window always runs to its end."""

    def __init__(self, bus: MqttBus, size: int) -> None:
        self._bus, self._names, self._rng = bus, [f"person-{k}" for k in range(size)], Random(7)
        self._beat = 0
        self.awarded_s: dict[str, float] = {}
        bus.subscribe(TOPICS.dispatch("+"), self._hear_list)
        bus.subscribe(TOPICS.order("+"), self._hear_order)

    async def beat(self) -> None:
        """Show every card once a second until cancelled."""
        while True:
            self._beat += 1
            for name in self._names:
                card = Card(agent=name, role=Role.EXECUTOR, state=Presence.UP, incarnation="i", beat=self._beat,
                            skills={"operator": 1.0, "instrument": 1.0}, max_load=1_000)  # fmt: skip
                self._bus.publish(TOPICS.card(name), codec.encode(card), retain=True)
            await asyncio.sleep(1.0)

    def _hear_list(self, message: Message) -> None:
        message.settle()
        if message.payload:
            listed = codec.decode_dispatch(message.payload, executor=parse(message.topic).name)
            for job in listed.orders:
                self.awarded_s.setdefault(job.alert, time.perf_counter())

    def _hear_order(self, message: Message) -> None:
        message.settle()
        if not message.payload:
            return
        order = codec.decode_order(message.payload, id=parse(message.topic).name)
        if order.state is OrderState.OPEN and order.deadline_at_ns is not None:
            loop = asyncio.get_running_loop()
            for name in self._names[1:]:
                loop.call_later(self._rng.uniform(0.0, THINK_S), self._bid, name, order.id, order.attempt + 1)

    def _bid(self, name: str, order: str, attempt: int) -> None:
        bid = Bid(cost=self._rng.uniform(0.0, 10.0), travel_s=self._rng.uniform(0.0, 600.0))
        said = Answer(executor=name, order=order, attempt=attempt, answer=AnswerKind.BID, bid=bid)
        self._bus.publish(TOPICS.answer(name), codec.encode(said))


async def measure(strategy: StrategyName, *, executors: int, alerts: int) -> dict[str, float]:
    """Milliseconds from the publishing of an alert to the list that gives its order to somebody, one by one."""
    settings = DispatchSettings(strategy=strategy, answer_within=Seconds(3600.0))
    with tempfile.TemporaryDirectory(prefix="edgemesh-bench-") as name:
        folder = Path(name)
        broker = await start_broker("auto", folder=folder)
        bus = MqttBus((broker.address,), "crew")
        crew = Crew(bus, executors)
        engine = Engine(
            Journal.open(folder / "scheduler.db", "scheduler"),
            lambda: SchedulerCore("scheduler", "bench", settings, {}),
            SystemClock(),
            writes="orders",
        )
        scheduler = Runtime(engine, MqttBus((broker.address,), "scheduler"), TOPICS, Role.SCHEDULER, window=10_000)
        await bus.open()
        await scheduler.start()
        beating = asyncio.ensure_future(crew.beat())
        try:
            await _until(lambda: len(_known(engine)) == executors, "the executors are known")
            sent_s: dict[str, float] = {}
            for number in range(alerts):
                alert = _alert(number)
                sent_s[alert.id] = time.perf_counter()
                bus.publish(TOPICS.log("alerts", "d1"), _pack(number + 1, alert))
                await _until(partial(crew.awarded_s.__contains__, alert.id), "the alert has its award")
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
            await scheduler.stop()
            await bus.close()
            await broker.stop()
    took_ms = [(crew.awarded_s[alert] - began_s) * 1e3 for alert, began_s in sent_s.items()]
    return {"p50_ms": percentile(took_ms, 50), "p99_ms": percentile(took_ms, 99), "bids": _taken(engine)}


def _known(engine: Engine) -> Collection[str]:
    assert isinstance(engine.core, SchedulerCore)
    return engine.core.executors


def _taken(engine: Engine) -> float:
    assert isinstance(engine.core, SchedulerCore)
    return float(engine.core.stats["bids_taken"])


async def _until(holds: Callable[[], bool], what: str) -> None:
    ends_s = time.perf_counter() + PATIENCE_S
    while not holds():
        if time.perf_counter() > ends_s:
            raise SystemExit(f"not within {PATIENCE_S:.0f} s: {what}")
        await asyncio.sleep(0.002)


def _alert(number: int) -> Alert:
    now_ns = time.time_ns()
    evidence = Evidence(rule="limit", metric=METRIC, device="d", value=9.0, normal="< 1", score=2.0)
    return Alert(id=derive_id("bench", number), version=1, asset=f"asset-{number}", kind=AlertKind.MACHINE,
                 state=AlertState.FIRING, severity=Severity.CRITICAL, cause="high", evidence=(evidence,),
                 onset_at_ns=now_ns, raised_at_ns=now_ns, at_ns=now_ns, gateway="gw")  # fmt: skip


def _pack(seq: int, alert: Alert) -> bytes:
    return codec.encode(Alerts(agent="d1", epoch="e", seq=seq, lowest=1, at_ns=alert.at_ns, records=(alert,)))
