"""What dispatch costs and whether it is right: `python -m benchmarks.dispatch [--json]`.

First what giving out one order costs with many open orders and executors, by strategy. Then each kind of event while
everybody is busy and most orders wait; these two without bus and disk. Then matching against an oracle, a flood of
alerts, and from an alert to its award over a broker, with executors that bid.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from benchmarks import assignment, award
from edgemesh.agents.core import Input
from edgemesh.agents.scheduler import SchedulerCore
from edgemesh.dispatch.settings import DispatchSettings, StrategyName
from edgemesh.model.agents import Card, Presence, Role
from edgemesh.model.alerts import Alert, AlertKind, AlertState, Evidence, Severity
from edgemesh.model.ids import derive_id
from edgemesh.model.orders import Answer, AnswerKind, OrderState, WorkOrder
from edgemesh.model.packs import Alerts, Answers, Cards

T = TypeVar("T")
SKILLS = ("operator", "fitter", "instrument", "electrician", "lubrication")
METRICS = ("suction_pressure", "vibration_velocity", "valve_position", "winding_temperature", "bearing_temperature")
S = 1_000_000_000
START = 1_700_000_000 * S


def main() -> None:
    """Print all figures; the unit stands in their names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=10_000)
    parser.add_argument("--executors", type=int, default=1_000)
    parser.add_argument("--events", type=int, default=1_000)
    parser.add_argument("--cases", type=int, default=10_000, help="compared with the oracle")
    parser.add_argument("--alerts", type=int, default=200, help="sent over the broker, by strategy")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = _named("assign", assignment.measure(options.orders, options.executors, min(options.events, 300)))
    figures |= measure(options.orders, options.executors, options.events)
    figures["matching_right_percent"] = assignment.right_percent(options.cases)
    figures |= _named("flood", assignment.flood())
    for strategy in (StrategyName.LEAST_LOADED, StrategyName.AUCTION):
        told = asyncio.run(award.measure(strategy, executors=50, alerts=options.alerts))
        figures |= _named(f"award_{strategy.value.replace('-', '_')}", told)
    if options.json:
        print(json.dumps(figures))
    else:
        for name, figure in figures.items():
            print(f"{name:32} {figure:12.1f}")


def _named(what: str, figures: Mapping[str, float]) -> dict[str, float]:
    return {f"{what}_{name}": figure for name, figure in figures.items()}


def measure(orders: int, executors: int, events: int) -> dict[str, float]:
    """Fill the core, then time single events of each kind."""
    core = SchedulerCore("scheduler", "bench", DispatchSettings(), {})
    core.tick(START)
    core.handle(Cards(tuple(_card(k) for k in range(executors))))
    current: dict[str, WorkOrder] = {}
    figures: dict[str, float] = {"orders": orders, "executors": executors}

    def run(pack: Input) -> None:
        current.update((one.id, one) for one in core.handle(pack) if isinstance(one, WorkOrder))

    figures["open_us"] = _mean_us(run, [_alerts(k) for k in range(orders)])
    figures["waiting"] = float(sum(one.escalated for one in current.values()))
    said = [_answers(one, AnswerKind.DONE) for one in current.values() if one.state is OrderState.DISPATCHED]
    figures["done_and_dispatch_next_us"] = _mean_us(run, said[:events])
    figures["open_all_busy_us"] = _mean_us(run, [_alerts(orders + k) for k in range(events)])
    said = [_answers(one, AnswerKind.REFUSED) for one in current.values() if one.state is OrderState.DISPATCHED]
    figures["refuse_us"] = _mean_us(run, said[:events])
    figures["tick_idle_us"] = _mean_us(lambda now_ns: core.tick(now_ns), [START + 1] * events)
    figures["tick_all_overdue_ms"] = _mean_us(lambda now_ns: core.tick(now_ns), [START + 31 * S]) / 1e3
    parts: dict[str, bytes] = {}
    figures["save_all_ms"] = _mean_us(lambda _: parts.update(_there(core.save())), [0]) / 1e3
    fresh = SchedulerCore("scheduler", "bench", DispatchSettings(), {})
    figures["load_all_ms"] = _mean_us(fresh.load, [parts]) / 1e3
    return figures


def _mean_us(call: Callable[[T], object], inputs: Sequence[T]) -> float:
    began = time.perf_counter()
    for one in inputs:
        call(one)
    return (time.perf_counter() - began) / max(1, len(inputs)) * 1e6


def _there(parts: Mapping[str, bytes | None]) -> dict[str, bytes]:
    return {key: part for key, part in parts.items() if part is not None}


def _card(k: int) -> Card:
    skills = {SKILLS[k % 5]: 0.5 + (k % 7) / 14, SKILLS[(k // 5) % 5]: 0.5 + (k % 3) / 6}
    return Card(
        agent=f"person-{k}", role=Role.EXECUTOR, state=Presence.UP, incarnation="i1", skills=skills, max_load=1 + k % 2
    )


def _answers(order: WorkOrder, said: AnswerKind) -> Answers:
    return Answers((Answer(executor=order.executor or "", order=order.id, attempt=order.attempt, answer=said),))


def _alerts(k: int) -> Alerts:
    evidence = Evidence(rule="limit", metric=METRICS[k % 5], device="d", value=9.0, normal="< 1", score=2.0)
    alert = Alert(
        id=derive_id("bench", k),
        version=1,
        asset=f"asset-{k}",
        kind=AlertKind.MACHINE,
        state=AlertState.FIRING,
        severity=(Severity.WARNING, Severity.CRITICAL)[k % 2],
        cause="high",
        evidence=(evidence,),
        onset_at_ns=START,
        raised_at_ns=START,
        at_ns=START,
        gateway="gw",
    )
    return Alerts(agent="d1", epoch="e", seq=k + 1, lowest=1, at_ns=START, records=(alert,))


if __name__ == "__main__":
    main()
