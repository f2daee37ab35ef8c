"""Why an order: from the sensor that began it to the sensor that agreed, with who was asked and what they said.

`explain_order` puts together what history, logs and audit hold of it; it draws and prints nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import msgspec

from edgemesh.console.why import Step, Why, alert_steps, explain, order_moves
from edgemesh.dispatch.moves import holder
from edgemesh.model.alerts import Alert
from edgemesh.model.decisions import Decision
from edgemesh.model.orders import OrderState, WorkOrder
from edgemesh.store.history import History

_SIGNS = 8


class OrderStep(Step, frozen=True, kw_only=True):
    """A step with the entry of the audit that decided it (0: none is held), and what that went by."""

    entry: int = 0
    because: str = ""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One dispatch: to whom, when, what was answered last, and how it ended (empty: it has not)."""

    number: int
    executor: str
    dispatched_at_ns: int
    said: str
    ended: str


class TicketPart(msgspec.Struct, frozen=True, kw_only=True):
    """The order's ticket in another system, as it stood when it was last looked at; `key` is empty while in doubt."""

    system: str
    key: str
    url: str
    state: str


class OrderWhy(msgspec.Struct, frozen=True, kw_only=True):
    """The whole story of an order. `alert` is the chain of the alert that opened it, where the history holds it;
    `joined` are ids of alerts that came to it later. `verdict` and `signed_by` are what was found, and by whom, once
    it is done. Instants in ns UTC; None: not yet. `decisions` of the audit are held of it. `told` counts events of it
    that went out, by channel.
    """

    id: str
    asset: str
    title: str
    cause: str
    state: str
    priority: str
    skills: dict[str, float]
    version: int
    reopened: int
    escalated: bool
    verdict: str | None
    signed_by: str | None
    occurred_at_ns: int | None
    detected_at_ns: int | None
    opened_at_ns: int
    dispatched_at_ns: int | None
    begun_at_ns: int | None
    repaired_at_ns: int | None
    back_at_ns: int | None
    decisions: int
    alert: Why | None
    joined: tuple[str, ...]
    attempts: tuple[Attempt, ...]
    steps: tuple[OrderStep, ...]
    tickets: tuple[TicketPart, ...] = ()
    told: dict[str, int] = {}


def explain_order(
    history: History | None, versions: Sequence[WorkOrder], decided: Mapping[int, tuple[int, Decision]]
) -> OrderWhy:
    """The story of an order by its versions, oldest first, and its decisions by version, each with its entry."""
    order = versions[-1]
    found = history.find_alerts(order.alert, limit=1) if history else []
    steps = [*_alert_part(history, found), *_order_part(versions, decided)]
    done = order.state in (OrderState.DONE, OrderState.VERIFIED)
    alerts = dict.fromkeys(seen.id for _, decision in decided.values() for seen in decision.alerts)
    return OrderWhy(
        id=order.id,
        asset=order.asset,
        title=order.title,
        cause=order.cause,
        state=order.state.value,
        priority=order.priority.value,
        skills=dict(order.skills),
        version=order.version,
        reopened=order.reopened,
        escalated=order.escalated,
        verdict=order.verdict.value if order.verdict else None,
        signed_by=order.executor if done else None,
        occurred_at_ns=order.occurred_at_ns,
        detected_at_ns=order.detected_at_ns,
        opened_at_ns=order.opened_at_ns,
        dispatched_at_ns=order.dispatched_at_ns,
        begun_at_ns=order.begun_at_ns,
        repaired_at_ns=order.repaired_at_ns,
        back_at_ns=order.back_at_ns,
        decisions=len(decided),
        alert=explain(history, found[0]) if history and found else None,
        joined=tuple(alert for alert in alerts if alert != order.alert),
        attempts=tuple(_attempts(versions)),
        steps=tuple(sorted(steps, key=lambda step: step.at_ns)),
    )


def _alert_part(history: History | None, found: Sequence[Alert]) -> list[OrderStep]:
    if history is None or not found:
        return []
    versions = history.alert_versions(found[0].id) or found
    return [OrderStep(at_ns=step.at_ns, what=step.what, text=step.text) for step in alert_steps(versions)]


def _order_part(versions: Sequence[WorkOrder], decided: Mapping[int, tuple[int, Decision]]) -> list[OrderStep]:
    steps: list[OrderStep] = []
    for before, after in pairwise([None, *versions]):
        assert after is not None
        entry, decision = decided.get(after.version, (0, None))
        because = because_of(decision) if decision else ""
        moves = order_moves(before, after)
        if before is None:
            moves.insert(0, Step(at_ns=after.at_ns, what="order", text=f"{after.priority} {after.title}"))
        steps += [
            OrderStep(at_ns=move.at_ns, what=move.what, text=move.text, entry=entry, because=because) for move in moves
        ]
    return steps


def because_of(decision: Decision) -> str:
    """What a decision went by, in a few words."""
    if decision.answers:
        return ", ".join(f"{each.executor} {each.answer} attempt {each.attempt}" for each in decision.answers)
    if decision.alerts:
        return ", ".join(f"alert {each.id[:_SIGNS]} v{each.version} {each.state}" for each in decision.alerts)
    if decision.cards:
        return f"card of {', '.join(decision.cards)}"
    others = {"alerts": "another alert", "answers": "another's answer", "cards": "another's card"}
    return others.get(decision.because, decision.because)


def _attempts(versions: Sequence[WorkOrder]) -> list[Attempt]:
    """Each dispatch that the versions tell of, and what became of it."""
    attempts: dict[int, Attempt] = {}
    before: WorkOrder | None = None
    for order in versions:
        held = holder(order)
        known = attempts.get(order.attempt)
        if held and order.attempt and known is None:
            known = Attempt(
                number=order.attempt,
                executor=held,
                dispatched_at_ns=order.dispatched_at_ns or order.at_ns,
                said="",
                ended="",
            )
        if known is not None and order.attempt == known.number:
            attempts[order.attempt] = _gone_on(known, before, order)
        before = order
    return list(attempts.values())


def _gone_on(attempt: Attempt, before: WorkOrder | None, order: WorkOrder) -> Attempt:
    state = order.state
    if state in (OrderState.ACCEPTED, OrderState.IN_PROGRESS, OrderState.DONE):
        return msgspec.structs.replace(attempt, said=state.value, ended="")
    if state in (OrderState.VERIFIED, OrderState.CANCELLED):
        return msgspec.structs.replace(attempt, ended=state.value)
    if state is OrderState.OPEN and before is not None and before.state is not OrderState.OPEN:
        return msgspec.structs.replace(attempt, ended=order.note or "taken back")
    return attempt
