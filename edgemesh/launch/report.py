"""What a demo has shown, in figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from edgemesh.console.lines import local_time
from edgemesh.launch.plant import Plant
from edgemesh.launch.truth import Span, Truth
from edgemesh.model.agents import Role
from edgemesh.model.alerts import Alert
from edgemesh.model.orders import OrderState, WorkOrder
from edgemesh.store.history import History

TIME_TO_SHOW_NS = 20 * 1_000_000_000
"""A fault that was injected less than this before the end had no time to be seen, and is not counted."""


class Quantiles(msgspec.Struct, frozen=True):
    """Median and 99 % quantile in milliseconds; None where there was nothing to measure."""

    p50: float | None = None
    p99: float | None = None


class DemoReport(msgspec.Struct, frozen=True, kw_only=True):
    """The one JSON object of `edgemesh demo --json`; `unexplained` are the alerts without a fault behind them."""

    readings: dict[str, int]
    faults: dict[str, int]
    alerts: dict[str, int]
    orders: dict[str, int]
    latency_ms: dict[str, Quantiles]
    broker: str
    seed: int
    unexplained: tuple[str, ...] = ()
    undrained: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """At least one order was verified and nothing was lost."""
        return self.orders["verified"] >= 1 and self.readings["lost"] == 0


def quantiles(values: Sequence[float]) -> Quantiles:
    """Median and 99 % quantile (nearest rank)."""
    if not values:
        return Quantiles()
    ordered = sorted(values)
    return Quantiles(
        p50=round(ordered[(len(ordered) - 1) // 2], 3),
        p99=round(ordered[min(len(ordered) - 1, round(0.99 * (len(ordered) - 1)))], 3),
    )


def report(plant: Plant, truth: Truth, *, seed: int, undrained: Sequence[str]) -> DemoReport:
    """Count what the stopped plant has left in its history."""
    path = plant.history()
    if path is None:
        raise ValueError("a report needs a recorder")
    with History(path) as history:
        alerts, orders = history.alerts(limit=100_000), history.orders(limit=100_000)
        delivered = history.counts().readings
        pairs = history.latencies()
    accepted = sum(agent.engine.stats.readings for agent in plant.of(Role.GATEWAY))
    now_ns = max((alert.at_ns for alert in alerts), default=0)
    last_ns = max((fault.begin_ns for fault in truth.faults.values()), default=0)
    judgement = truth.judge(_spans(alerts), before_ns=max(now_ns, last_ns) - TIME_TO_SHOW_NS)
    return DemoReport(
        readings={"accepted": accepted, "delivered": delivered, "lost": accepted - delivered},
        faults={"injected": judgement.injected, "detected": judgement.detected},
        alerts={"raised": judgement.alerts, "false": len(judgement.false)},
        orders=_orders(orders),
        latency_ms={
            "reading_to_alert": quantiles([pair.reading_to_alert_ms for pair in pairs]),
            "alert_to_dispatch": quantiles(
                [pair.alert_to_dispatch_ms for pair in pairs if pair.alert_to_dispatch_ms is not None]
            ),
        },
        broker=plant.broker_name,
        seed=seed,
        unexplained=tuple(f"{local_time(span.begin_ns)} {span.asset} {span.what}" for span in judgement.false),
        undrained=tuple(undrained),
    )


def _spans(alerts: Sequence[Alert]) -> list[Span]:
    return [Span(each.asset, each.raised_at_ns, each.cleared_at_ns, f"{each.kind}: {each.cause}") for each in alerts]


def _orders(orders: Sequence[WorkOrder]) -> dict[str, int]:
    states = Counter(order.state for order in orders)
    return {
        "opened": len(orders),
        "dispatched": sum(order.attempt > 0 for order in orders),
        "verified": states[OrderState.VERIFIED],
        "cancelled": states[OrderState.CANCELLED],
        "pending": sum(not order.state.final for order in orders),
        "reopened": sum(order.reopened for order in orders),
        "escalated": sum(order.escalated for order in orders),
    }
