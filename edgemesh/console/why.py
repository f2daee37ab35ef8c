"""Why: the chain of one alert, from the reading that began it to the sensor that agreed, out of the history.

`explain` gives one record that a page, an API and the command line can all show; it draws and prints nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

import msgspec
from msgspec import Meta

from edgemesh.dispatch.evidence import normal_range
from edgemesh.model.alerts import Alert, AlertKind, AlertState, Evidence
from edgemesh.model.orders import OrderState, WorkOrder
from edgemesh.store.curves import merge
from edgemesh.store.history import History

MOST_POINTS = 240
_MOST_READ = 20_000
_SHORTEST_NS = 30 * 10**9
_LONGEST_NS = 3600 * 10**9

Spot = tuple[int, float, float, float]
"""Instant in ns, and the least, mean and greatest value around it."""


class Sensor(msgspec.Struct, frozen=True, kw_only=True):
    """One metric's part: what it was when it was named, and what is normal as text and, where known, as a range.

    `off` is how far outside of the range it was, in its unit and with its sign (0: inside, None: nobody can tell);
    `score` is in multiples of the limit of `rule`. `curve` is the metric around the onset, at most 240 spots, of the
    `resolution` that is still kept.
    """

    device: str
    metric: str
    unit: str
    rule: str
    value: float | None
    normal: str
    low: float | None
    high: float | None
    off: float | None
    score: float
    resolution: str
    curve: tuple[Spot, ...]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened; `what` is a word of the chain: reading, rule, model, alert, order, dispatch, answer or
    verification.
    """

    at_ns: int
    what: str
    text: str


class OrderPart(msgspec.Struct, frozen=True, kw_only=True):
    """A work order of the alert; `opened`: this alert opened it, else it joined one that stood already."""

    id: str
    title: str
    cause: str
    state: str
    priority: str
    executor: str | None
    attempt: int
    opened: bool


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """The whole chain. `origin` is the pack (`gateway/epoch/seq`) whose reading raised it; `model` the version of the
    detector that did, `rules` for rules. Instants in ns UTC; `lasted_s` from the onset to the end, None: it stands.
    """

    id: str
    asset: str
    kind: str
    state: str
    severity: str
    cause: str
    gateway: str
    origin: str
    model: str
    confidence: float
    onset_at_ns: int
    raised_at_ns: int
    cleared_at_ns: int | None
    lasted_s: float | None
    sensors: Annotated[tuple[Sensor, ...], Meta(description="strongest first")]
    orders: tuple[OrderPart, ...]
    steps: tuple[Step, ...]


def explain(history: History, alert: Alert) -> Why:
    """The chain of an alert of this history (its latest version). StoreError when the history can't be read."""
    versions = history.alert_versions(alert.id) or [alert]
    orders = _orders_of(history, alert)
    steps = [*alert_steps(versions)]
    for order in orders:
        steps += _order_steps(history.order_versions(order.id) or [order], alert)
    begin_ns, end_ns = _window(alert)
    over = alert.cleared_at_ns
    strongest = sorted(alert.evidence, key=lambda evidence: -evidence.score)
    return Why(
        id=alert.id,
        asset=alert.asset,
        kind=alert.kind.value,
        state=alert.state.value,
        severity=alert.severity.value,
        cause=alert.cause,
        gateway=alert.gateway,
        origin=alert.origin,
        model=alert.model,
        confidence=alert.confidence,
        onset_at_ns=alert.onset_at_ns,
        raised_at_ns=alert.raised_at_ns,
        cleared_at_ns=over,
        lasted_s=None if over is None else round((over - alert.onset_at_ns) / 1e9, 1),
        sensors=tuple(_sensor(history, evidence, begin_ns, end_ns) for evidence in strongest),
        orders=tuple(_order_part(order, alert) for order in orders),
        steps=tuple(sorted(steps, key=lambda step: step.at_ns)),
    )


def _window(alert: Alert) -> tuple[int, int]:
    """As long before the onset as it lasted, and twice as long after it; between 30 s and an hour."""
    lasted_ns = (alert.cleared_at_ns or alert.at_ns) - alert.onset_at_ns
    width_ns = min(_LONGEST_NS, max(_SHORTEST_NS, lasted_ns))
    return max(0, alert.onset_at_ns - width_ns), alert.onset_at_ns + 2 * width_ns


def _sensor(history: History, evidence: Evidence, begin_ns: int, end_ns: int) -> Sensor:
    bounds = normal_range(evidence.normal)
    low, high = (None if bounds is None or math.isinf(bound) else bound for bound in bounds or (0.0, 0.0))
    curve = history.readings(
        device=evidence.device, metric=evidence.metric, start_ns=begin_ns, end_ns=end_ns, max_points=_MOST_READ
    )
    return Sensor(
        device=evidence.device,
        metric=evidence.metric,
        unit=evidence.unit,
        rule=evidence.rule,
        value=evidence.value,
        normal=evidence.normal,
        low=low,
        high=high,
        off=_off(evidence.value, low, high) if bounds else None,
        score=evidence.score,
        resolution=curve.resolution,
        curve=tuple((spot.at_ns, spot.low, spot.mean, spot.high) for spot in merge(curve.points, MOST_POINTS)),
    )


def _off(value: float | None, low: float | None, high: float | None) -> float | None:
    if value is None:
        return None
    if high is not None and value > high:
        return value - high
    return value - low if low is not None and value < low else 0.0


def _orders_of(history: History, alert: Alert) -> list[WorkOrder]:
    """The orders that the alert opened, or else the one that stood for its asset and kind when it fired."""
    orders = history.orders_on(alert.asset)
    own = [order for order in orders if order.alert == alert.id]
    if own:
        return own
    joined = [order for order in orders if _stood(order, alert) and _kind_of(history, order) is alert.kind]
    return joined[-1:]


def _stood(order: WorkOrder, alert: Alert) -> bool:
    return order.opened_at_ns <= alert.at_ns and not (order.state.final and order.at_ns < alert.raised_at_ns)


def _kind_of(history: History, order: WorkOrder) -> AlertKind | None:
    versions = history.alert_versions(order.alert)
    return versions[-1].kind if versions else None


def _order_part(order: WorkOrder, alert: Alert) -> OrderPart:
    return OrderPart(
        id=order.id,
        title=order.title,
        cause=order.cause,
        state=order.state.value,
        priority=order.priority.value,
        executor=order.executor,
        attempt=order.attempt,
        opened=order.alert == alert.id,
    )


def alert_steps(versions: Sequence[Alert]) -> list[Step]:
    """What the versions of an alert tell, oldest first."""
    first = versions[0]
    delay_s = (first.raised_at_ns - first.onset_at_ns) / 1e9
    judge = "rule" if first.model in ("", "rules") else "model"
    rules = ", ".join(dict.fromkeys(evidence.rule for evidence in first.evidence))
    who = f"`{rules}`" if judge == "rule" else f"`{rules}`, {first.model}"
    held = f" after {delay_s:g} s" if delay_s > 0 else ""
    steps = [
        Step(at_ns=first.onset_at_ns, what="reading", text=f"the first beyond what is normal{_from(first)}"),
        Step(at_ns=first.raised_at_ns, what=judge, text=f"{who} fires{held}, confidence {first.confidence:g}"),
        Step(at_ns=first.raised_at_ns, what="alert", text=f"{first.severity}: {first.cause}"),
    ]
    for before, after in pairwise(versions):
        said = _changes(before, after)
        steps += [Step(at_ns=after.at_ns, what="alert", text=said)] if said else []
    if len(versions) == 1 and first.state is AlertState.CLEARED:
        steps.append(
            Step(at_ns=first.at_ns, what="alert", text="cleared; earlier versions are forgotten or never were")
        )
    return steps


def _from(alert: Alert) -> str:
    return f", of gateway {alert.gateway}" if alert.gateway else ""


def _changes(before: Alert, after: Alert) -> str:
    """What the later version says that the earlier one did not."""
    if after.state is not before.state:
        by = f" by {after.by}" if after.by and after.state is AlertState.ACKNOWLEDGED else ""
        return f"{after.state}{by}"
    said = [f"now {after.severity}"] if after.severity is not before.severity else []
    known = {(one.rule, one.metric, one.device) for one in before.evidence}
    news = [one for one in after.evidence if (one.rule, one.metric, one.device) not in known]
    said += [f"{one.metric} of {one.device}, too, by `{one.rule}`" for one in news]
    return "; ".join(said)


_SAID = {
    OrderState.ACCEPTED: "accepted by {executor}",
    OrderState.IN_PROGRESS: "started by {executor}",
    OrderState.DONE: "done by {executor}",
    OrderState.ON_HOLD: "on hold",
}


def _order_steps(versions: Sequence[WorkOrder], alert: Alert) -> list[Step]:
    first = versions[0]
    joined = "" if first.alert == alert.id else " (stood already, for an earlier alert)"
    steps = [Step(at_ns=first.at_ns, what="order", text=f"{first.priority} {first.title}{joined}")]
    for before, after in pairwise([None, *versions]):
        if after is not None:
            steps += order_moves(before, after)
    return steps


def order_moves(before: WorkOrder | None, after: WorkOrder) -> list[Step]:
    """What happened between two versions of an order."""
    steps: list[tuple[str, str]] = []
    note = after.note if before is not None and after.note != before.note else ""
    moved = before is None or after.state is not before.state or after.attempt != before.attempt
    if before is not None and after.reopened > before.reopened:
        steps.append(("verification", f"reopened: {note}"))
    elif note and after.state is OrderState.OPEN:
        steps.append(("answer", note))
    if moved and after.state is OrderState.DISPATCHED:
        steps.append(("dispatch", f"to {after.executor}, attempt {after.attempt}"))
    elif moved and after.state in _SAID:
        said = _SAID[after.state].format(executor=after.executor)
        steps.append(("answer", f"{said}: {note}" if note else said))
    elif moved and after.state is OrderState.VERIFIED:
        steps.append(("verification", "the sensor agrees, back in service"))
    elif moved and after.state is OrderState.CANCELLED:
        steps.append(("order", f"cancelled: {note}" if note else "cancelled"))
    if after.escalated and not (before is not None and before.escalated):
        steps.append(("dispatch", "nobody is left who can do it: escalated"))
    return [Step(at_ns=after.at_ns, what=what, text=text) for what, text in steps]
