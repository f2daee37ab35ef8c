"""Moves: each thing that can happen to a work order, as a function from one version to the next."""

from __future__ import annotations

from typing import Any

import msgspec

from edgemesh.dispatch.triage import Plan
from edgemesh.model.alerts import Alert
from edgemesh.model.orders import ORDER_MOVES, Answer, AnswerKind, OrderState, WorkOrder
from edgemesh.model.samples import Retimed
from edgemesh.model.samples import move as shift
from edgemesh.tracing.chain import context_of_order
from edgemesh.tracing.context import format_traceparent

_S = OrderState
HELD = frozenset({_S.DISPATCHED, _S.ACCEPTED, _S.IN_PROGRESS})
"""States in which an executor has the order."""
NOT_BEGUN = frozenset({_S.OPEN, _S.DISPATCHED, _S.ACCEPTED})
"""States in which nobody has laid a hand on the machine."""

ANSWERS: dict[AnswerKind, tuple[frozenset[OrderState], OrderState]] = {
    AnswerKind.ACCEPTED: (frozenset({_S.DISPATCHED}), _S.ACCEPTED),
    AnswerKind.STARTED: (frozenset({_S.DISPATCHED, _S.ACCEPTED}), _S.IN_PROGRESS),
    AnswerKind.DONE: (HELD, _S.DONE),
    AnswerKind.REFUSED: (frozenset({_S.DISPATCHED, _S.ACCEPTED}), _S.OPEN),
    AnswerKind.FAILED: (HELD, _S.OPEN),
}
"""In which states an answer counts, and where it leads. Answers can overtake each other or be lost."""
_LATER = {
    AnswerKind.ACCEPTED: {_S.ACCEPTED, _S.IN_PROGRESS, _S.DONE, _S.VERIFIED},
    AnswerKind.STARTED: {_S.IN_PROGRESS, _S.DONE, _S.VERIFIED},
    AnswerKind.DONE: {_S.DONE, _S.VERIFIED},
}

_PAST = ("at_ns", "opened_at_ns", "dispatched_at_ns", "begun_at_ns", "repaired_at_ns", "back_at_ns")


class IllegalMove(ValueError):
    """A move that ORDER_MOVES does not have."""


def holder(order: WorkOrder) -> str | None:
    """The executor who has the order now; None: nobody, or no longer."""
    return order.executor if order.state in HELD else None


def objection(order: WorkOrder | None, answer: Answer) -> str | None:
    """Why an answer doesn't count: a code for the counters; None: it counts."""
    if order is None:
        return "unknown_order"
    if answer.attempt != order.attempt:
        return "other_attempt"
    if answer.executor != order.executor:
        return "other_executor"
    if order.state in _LATER.get(answer.answer, ()):
        return "again"
    return None if order.state in ANSWERS[answer.answer][0] else "out_of_order"


def move(order: WorkOrder, state: OrderState, at_ns: int, **changes: Any) -> WorkOrder:
    """The next version in another state. Raises IllegalMove when ORDER_MOVES has no such move."""
    if state not in ORDER_MOVES[order.state]:
        raise IllegalMove(f"an order can't go from {order.state} to {state}")
    return amend(order, at_ns, state=state, **changes)


def retimed(order: WorkOrder, known: Retimed) -> WorkOrder:
    """The same version with the times that it has in truth, now that the scheduler's clock is known."""
    changes: dict[str, Any] = {name: known.at(at_ns) for name in _PAST if (at_ns := getattr(order, name)) is not None}
    if order.deadline_at_ns is not None:
        changes["deadline_at_ns"] = shift(order.deadline_at_ns, known.by_ns)
    return msgspec.structs.replace(order, **changes)


def amend(order: WorkOrder, at_ns: int, **changes: Any) -> WorkOrder:
    """The next version in the same state."""
    if order.state.final:
        raise IllegalMove(f"an order is never changed once {order.state}")
    return msgspec.structs.replace(order, version=order.version + 1, at_ns=at_ns, **changes)


def opened(order: str, alert: Alert, plan: Plan, at_ns: int, epoch: int, note: str = "", place: str = "") -> WorkOrder:
    """The first version; `place`: what is to be mended, where that is not the alert's asset."""
    return WorkOrder(
        id=order,
        version=1,
        asset=place or alert.asset,
        alert=alert.id,
        state=OrderState.OPEN,
        title=plan.title,
        cause=plan.cause,
        priority=plan.priority,
        skills=plan.skills,
        at_ns=at_ns,
        opened_at_ns=at_ns,
        epoch=epoch,
        note=note,
        occurred_at_ns=alert.onset_at_ns,
        detected_at_ns=alert.raised_at_ns,
        trace=format_traceparent(context_of_order(alert)),
        **_work(plan),
    )


def dispatched(order: WorkOrder, executor: str, at_ns: int, deadline_at_ns: int, epoch: int) -> WorkOrder:
    """Given to an executor, who has until the deadline to answer."""
    return move(
        order,
        OrderState.DISPATCHED,
        at_ns,
        executor=executor,
        attempt=order.attempt + 1,
        escalated=False,
        dispatched_at_ns=at_ns,
        deadline_at_ns=deadline_at_ns,
        epoch=epoch,
    )


def answered(order: WorkOrder, answer: Answer, at_ns: int, deadline_at_ns: int) -> WorkOrder:
    """Accepted, started or done, as the executor says; `deadline_at_ns` is when it has to be done."""
    state = ANSWERS[answer.answer][1]
    changes: dict[str, Any] = {"note": answer.note or order.note}
    if state is OrderState.ACCEPTED or order.state is OrderState.DISPATCHED:
        changes["deadline_at_ns"] = deadline_at_ns
    if state in (OrderState.IN_PROGRESS, OrderState.DONE) and order.begun_at_ns is None:
        changes["begun_at_ns"] = at_ns
    if state is OrderState.DONE:
        changes |= {"repaired_at_ns": at_ns, "deadline_at_ns": None, "verdict": answer.verdict}
    return move(order, state, at_ns, **changes)


def given_back(order: WorkOrder, at_ns: int, tried: tuple[str, ...], note: str) -> WorkOrder:
    """Open again: refused, failed, silent, down, or the alert came back after done."""
    return move(
        order,
        OrderState.OPEN,
        at_ns,
        executor=None,
        tried=tried,
        note=note,
        deadline_at_ns=None,
        begun_at_ns=None,
        repaired_at_ns=None,
        verdict=None,
        reopened=order.reopened + (order.state is OrderState.DONE),
    )


def replanned(order: WorkOrder, plan: Plan) -> WorkOrder:
    """The same version in the words, skills and priority of a newer plan."""
    return msgspec.structs.replace(
        order, title=plan.title, cause=plan.cause, skills=plan.skills, priority=plan.priority, **_work(plan)
    )


def called(order: WorkOrder, until_ns: int) -> WorkOrder:
    """The same open version as a call for bids."""
    return msgspec.structs.replace(order, deadline_at_ns=until_ns)


def _work(plan: Plan) -> dict[str, Any]:
    """What the work needs, and how sure its cause is."""
    return {"parts": plan.parts, "duration_s": plan.duration_s, "confidence": plan.confidence}


def escalated(order: WorkOrder, note: str) -> WorkOrder:
    """The same open version with a call for people: nobody is left; everybody may be tried anew."""
    return msgspec.structs.replace(order, escalated=True, tried=(), note=note, deadline_at_ns=None)


def verified(order: WorkOrder, at_ns: int, back_at_ns: int) -> WorkOrder:
    """The sensor agrees since `back_at_ns`."""
    return move(order, OrderState.VERIFIED, at_ns, back_at_ns=back_at_ns)


def cancelled(order: WorkOrder, at_ns: int, note: str) -> WorkOrder:
    """Nothing to do any more."""
    return move(order, OrderState.CANCELLED, at_ns, executor=None, deadline_at_ns=None, note=note)
