"""Events: what is worth telling of alerts and orders, from one version to the next. Pure."""

from __future__ import annotations

from typing import Literal

import msgspec

from edgemesh.model.alerts import Alert, AlertState, Severity
from edgemesh.model.ids import derive_id
from edgemesh.model.orders import OrderState, Priority, WorkOrder
from edgemesh.model.samples import Record

What = Literal[
    "fired",
    "cleared",
    "opened",
    "dispatched",
    "escalated",
    "breached",
    "reopened",
    "done",
    "verified",
    "cancelled",
]
ORDER_EVENTS = frozenset({"opened", "dispatched", "escalated", "breached", "reopened", "done", "verified", "cancelled"})
_STATES: dict[OrderState, What] = {
    OrderState.DISPATCHED: "dispatched",
    OrderState.DONE: "done",
    OrderState.VERIFIED: "verified",
    OrderState.CANCELLED: "cancelled",
}


class Event(Record, frozen=True, kw_only=True):
    """One thing that happened. `id` is derived from what it is of, so the same event has one id for ever.

    `text` is a line for people. `alert` and `order` are the versions that tell it; one of them is there.
    """

    id: str
    what: What
    site: str
    asset: str
    at_ns: int
    text: str
    severity: Severity | None = None
    priority: Priority | None = None
    alert: Alert | None = None
    order: WorkOrder | None = None


def events_of_order(site: str, before: WorkOrder | None, after: WorkOrder) -> list[Event]:
    """What the next version of an order tells; `before` None: its first that we know."""
    whats: list[What] = []
    if after.version == 1:
        whats.append("opened")
    if before is not None and after.reopened > before.reopened:
        whats.append("reopened")
    elif before is not None and _breached(before, after):
        whats.append("breached")
    state = _STATES.get(after.state)
    if state and (before is None or before.state is not after.state or before.attempt != after.attempt):
        whats.append(state)
    if after.escalated and not (before is not None and before.escalated):
        whats.append("escalated")
    return [
        Event(
            id=derive_id("event", site, after.id, after.version, what),
            what=what,
            site=site,
            asset=after.asset,
            at_ns=after.at_ns,
            text=_text(what, after),
            priority=after.priority,
            order=after,
        )
        for what in whats
    ]


def _breached(before: WorkOrder, after: WorkOrder) -> bool:
    """Whether the executor's deadline had passed when the order was taken back."""
    late = before.deadline_at_ns is not None and after.at_ns >= before.deadline_at_ns
    return late and after.state is OrderState.OPEN and before.state is not OrderState.OPEN


def _text(what: What, order: WorkOrder) -> str:
    head = f"{order.priority} {order.asset}: {order.title}: {what}"
    who = f" to {order.executor}" if what == "dispatched" else f" by {order.executor}" if what == "done" else ""
    note = f" ({order.note})" if order.note and what in ("escalated", "breached", "reopened", "cancelled") else ""
    return head + who + note


def events_of_alert(site: str, before: Alert | None, after: Alert) -> list[Event]:
    """What the next version of an alert tells; a past one tells nothing, for it wakes nobody."""
    fired = after.state in (AlertState.FIRING, AlertState.ACKNOWLEDGED)
    worse = before is not None and after.severity.rank > before.severity.rank
    if after.past:
        return []
    what: What
    if fired and (before is None or before.state is AlertState.PENDING or worse):
        what = "fired"
    elif after.state is AlertState.CLEARED and before is not None and before.state is not AlertState.PENDING:
        what = "cleared"
    else:
        return []
    return [
        Event(
            id=derive_id("event", site, after.id, what, after.severity.value if what == "fired" else ""),
            what=what,
            site=site,
            asset=after.asset,
            at_ns=after.at_ns,
            text=f"{after.severity} {after.asset}: {after.cause}: {what}",
            severity=after.severity,
            alert=after,
        )
    ]


def encode(event: Event) -> bytes:
    """The event as JSON, the same bytes each time."""
    return msgspec.json.encode(event, order="deterministic")


_event = msgspec.json.Decoder(Event)


def decode(body: bytes) -> Event:
    """Undo `encode`. Raises ValueError for anything else."""
    return _event.decode(body)
