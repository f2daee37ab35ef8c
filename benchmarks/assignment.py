"""What giving out an order costs with many open ones and executors, whether matching is right, and floods of alerts."""

from __future__ import annotations

import time

import msgspec

from benchmarks.figures import peak_mb, percentile
from benchmarks.oracle import make_case, winner
from edgemesh.agents.scheduler import SchedulerCore
from edgemesh.dispatch.matching import need_of
from edgemesh.dispatch.roster import Roster
from edgemesh.dispatch.settings import DispatchSettings, StrategyName
from edgemesh.model.agents import Card, Presence, Role
from edgemesh.model.alerts import Alert, AlertKind, AlertState, Evidence, Severity
from edgemesh.model.ids import derive_id
from edgemesh.model.orders import Answer, AnswerKind, Bid, OrderState, WorkOrder
from edgemesh.model.packs import Alerts, Answers, Cards
from edgemesh.model.settings import Seconds

SKILLS = ("operator", "fitter", "instrument", "electrician", "lubrication")
METRICS = ("suction_pressure", "vibration_velocity", "valve_position", "winding_temperature", "bearing_temperature")
S = 1_000_000_000
START = 1_700_000_000 * S
BIDS = 50
FLOOD_PER_S, FLOOD_S, FLOOD_CAUSES = 40, 600, 400


def settings(strategy: StrategyName) -> DispatchSettings:
    """A strategy, and executors who may take their time."""
    return DispatchSettings(strategy=strategy, answer_within=Seconds(7 * 86_400.0))


def measure(orders: int, executors: int, events: int) -> dict[str, float]:
    """p99 in ms of giving out one order, for each strategy, and the most memory of the process meanwhile.

    `cpu` is the time for which it had a processor: on a machine that others use, the nearer one to what it takes.
    """
    core = SchedulerCore("scheduler", "bench", settings(StrategyName.LEAST_LOADED), {})
    core.tick(START)
    core.handle(Cards(tuple(_card(k, 3 * orders // executors) for k in range(executors))))
    for k in range(orders):
        core.handle(_alerts(k))
    parts = {key: part for key, part in core.save().items() if part is not None}
    figures: dict[str, float] = {}
    for strategy in StrategyName:
        core = SchedulerCore("scheduler", "bench", settings(strategy), {})
        core.load(parts)
        core.tick(START)
        took = [_give_out(core, orders + k, START + k * S) for k in range(events)]
        name = strategy.value.replace("-", "_")
        figures[f"{name}_p99_ms"] = percentile([wall_ms for wall_ms, _ in took], 99)
        figures[f"{name}_cpu_p99_ms"] = percentile([cpu_ms for _, cpu_ms in took], 99)
    figures["memory_mb"] = peak_mb()
    return figures


def _give_out(core: SchedulerCore, number: int, now_ns: int) -> tuple[float, float]:
    """Milliseconds from an alert to the dispatch, and those of them that the core worked; of an auction with its bids,
    without its window.
    """
    core.tick(now_ns)
    began_s, worked_s = time.perf_counter(), time.thread_time()
    order = _newest(core.handle(_alerts(number)))
    if order.state is OrderState.OPEN:
        for k in range(BIDS):
            said = Answer(executor=f"person-{5 * k + number % 5}", order=order.id, attempt=order.attempt + 1,
                          answer=AnswerKind.BID, bid=Bid(cost=float(k)))  # fmt: skip
            core.handle(Answers((said,)))
        order = _newest(core.tick(now_ns + S))
    took_ms, worked_ms = (time.perf_counter() - began_s) * 1e3, (time.thread_time() - worked_s) * 1e3
    if order.state is not OrderState.DISPATCHED:
        raise SystemExit(f"order {order.id} is {order.state}, nobody got it")
    return took_ms, worked_ms


def right_percent(cases: int) -> float:
    """In how many of 100 seeded cases index and oracle name the same executor."""
    right = 0
    for seed in range(cases):
        case = make_case(seed)
        roster = Roster()
        for one in case.people:
            state = Presence.UP if one.up else Presence.DOWN
            roster.put(Card(agent=one.name, role=Role.EXECUTOR, state=state, incarnation="i", skills=one.skills,
                            certificates=one.certificates, load=one.held, max_load=one.most))  # fmt: skip
        need = need_of(case.skills, case.certificates, case.weights, case.least_match)
        right += roster.best(need, case.without) == winner(case)
    return 100.0 * right / cases


def flood() -> dict[str, float]:
    """Ten simulated minutes of 40 alerts a second from 400 causes: how many are not remembered, how many orders."""
    core = SchedulerCore("scheduler", "bench", settings(StrategyName.LEAST_LOADED), {})
    core.tick(START)
    core.handle(Cards(tuple(_card(k, 100) for k in range(100))))
    opened: set[str] = set()
    parts: set[str] = set()
    began_s = time.perf_counter()
    for second in range(FLOOD_S):
        core.tick(START + second * S)
        for k in range(second * FLOOD_PER_S, (second + 1) * FLOOD_PER_S):
            records = core.handle(_alerts(k, asset=k % FLOOD_CAUSES))
            opened |= {record.id for record in records if isinstance(record, WorkOrder)}
        parts |= core.save().keys()
    remembered = sum(key.startswith("alert/") for key in parts)
    return {
        "alerts": float(FLOOD_S * FLOOD_PER_S),
        "lost": float(FLOOD_S * FLOOD_PER_S - remembered),
        "causes": float(FLOOD_CAUSES),
        "orders": float(len(opened)),
        "alerts_per_s": FLOOD_S * FLOOD_PER_S / (time.perf_counter() - began_s),
    }


def _newest(records: object) -> WorkOrder:
    assert isinstance(records, list)
    order = records[-1]
    assert isinstance(order, WorkOrder)
    return order


def _card(k: int, room: int) -> Card:
    skills = {SKILLS[k % 5]: 0.5 + (k % 7) / 14, SKILLS[(k // 5) % 5]: 0.5 + (k % 3) / 6}
    card = Card(agent=f"person-{k}", role=Role.EXECUTOR, state=Presence.UP, incarnation="i1", skills=skills)
    return msgspec.structs.replace(card, max_load=room, place=(float(k), float(k % 13)))


def _alerts(k: int, *, asset: int | None = None) -> Alerts:
    evidence = Evidence(rule="limit", metric=METRICS[(k if asset is None else asset) % 5], device="d", value=9.0,
                        normal="< 1", score=2.0)  # fmt: skip
    alert = Alert(id=derive_id("bench", k), version=1, asset=f"asset-{k if asset is None else asset}",
                  kind=AlertKind.MACHINE, state=AlertState.FIRING, severity=Severity.CRITICAL, cause="high",
                  evidence=(evidence,), onset_at_ns=START, raised_at_ns=START, at_ns=START, gateway="gw")  # fmt: skip
    return Alerts(agent="d1", epoch="e", seq=k + 1, lowest=1, at_ns=START, records=(alert,))
