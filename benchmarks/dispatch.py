"""How long the scheduler's core takes per event with many open orders: `python -m benchmarks.dispatch [--json]`.

Everybody is busy and most orders wait, then answers and new alerts come one at a time. Pure core: no bus, no disk.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence

from edgemesh.agents.scheduler import SchedulerCore
from edgemesh.dispatch.settings import DispatchSettings
from edgemesh.model.agents import Card, Presence, Role
from edgemesh.model.alerts import Alert, AlertKind, AlertState, Evidence, Severity
from edgemesh.model.ids import derive_id
from edgemesh.model.orders import Answer, AnswerKind, OrderState, WorkOrder
from edgemesh.model.packs import Alerts, Answers, Cards
from edgemesh.model.samples import Record

SKILLS = ("operator", "fitter", "instrument", "electrician", "lubrication")
METRICS = ("suction_pressure", "vibration_velocity", "valve_position", "winding_temperature", "bearing_temperature")
S = 1_000_000_000
START = 1_700_000_000 * S


def main() -> None:
    """Print microseconds per event."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=10_000)
    parser.add_argument("--executors", type=int, default=1_000)
    parser.add_argument("--events", type=int, default=1_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = measure(options.orders, options.executors, options.events)
    if options.json:
        print(json.dumps(figures))
    else:
        for name, figure in figures.items():
            print(f"{name:32} {figure:12.1f}")


def measure(orders: int, executors: int, events: int) -> dict[str, float]:
    """Fill the core, then time single events of each kind."""
    core = SchedulerCore("scheduler", "bench", DispatchSettings(), {})
    core.tick(START)
    core.handle(Cards(tuple(_card(k) for k in range(executors))))
    current: dict[str, WorkOrder] = {}
    figures: dict[str, float] = {"orders": orders, "executors": executors}

    def take(records: Sequence[Record]) -> None:
        current.update((one.id, one) for one in records if isinstance(one, WorkOrder))

    def done(order: WorkOrder) -> Answers:
        name = order.executor or ""
        return Answers((Answer(executor=name, order=order.id, attempt=order.attempt, answer=AnswerKind.DONE),))

    alerts = (_pack(k) for k in range(orders + 2 * events))
    filling = [pack for pack, _ in zip(alerts, range(orders), strict=False)]
    figures["open_us"] = _time((lambda pack=pack: take(core.handle(pack)) for pack in filling))
    busy = [one for one in current.values() if one.state is OrderState.DISPATCHED][:events]
    figures["waiting"] = float(sum(one.escalated for one in current.values()))
    figures["done_and_dispatch_next_us"] = _time((lambda o=o: take(core.handle(done(o))) for o in busy))
    late = [pack for pack, _ in zip(alerts, range(events), strict=False)]
    figures["open_all_busy_us"] = _time((lambda pack=pack: take(core.handle(pack)) for pack in late))
    refused = [one for one in current.values() if one.state is OrderState.DISPATCHED][:events]
    figures["refuse_us"] = _time((lambda o=o: take(core.handle(_refusal(o))) for o in refused))
    figures["tick_idle_us"] = _time((lambda: take(core.tick(START + 1)) for _ in range(events)))
    began = time.perf_counter()
    take(core.tick(START + 31 * S))
    figures["tick_all_overdue_ms"] = (time.perf_counter() - began) * 1e3
    began = time.perf_counter()
    parts = {key: part for key, part in core.save().items() if part is not None}
    figures["save_all_ms"] = (time.perf_counter() - began) * 1e3
    fresh = SchedulerCore("scheduler", "bench", DispatchSettings(), {})
    began = time.perf_counter()
    fresh.load(parts)
    figures["load_all_ms"] = (time.perf_counter() - began) * 1e3
    return figures


def _time(calls: Iterator[Callable[[], None]]) -> float:
    """Mean microseconds of a call."""
    count, spent = 0, 0.0
    for call in calls:
        began = time.perf_counter()
        call()
        spent += time.perf_counter() - began
        count += 1
    return spent / max(1, count) * 1e6


def _card(k: int) -> Card:
    skills = {SKILLS[k % 5]: 0.5 + (k % 7) / 14, SKILLS[(k // 5) % 5]: 0.5 + (k % 3) / 6}
    return Card(
        agent=f"person-{k}", role=Role.EXECUTOR, state=Presence.UP, incarnation="i1", skills=skills, max_load=1 + k % 2
    )


def _refusal(order: WorkOrder) -> Answers:
    name = order.executor or ""
    return Answers((Answer(executor=name, order=order.id, attempt=order.attempt, answer=AnswerKind.REFUSED),))


def _pack(k: int) -> Alerts:
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
