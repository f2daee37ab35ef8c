"""Work orders: maintenance to be done, who was asked, what they said."""

from __future__ import annotations

import enum
from typing import Annotated

from msgspec import Meta

from edgemesh.model.ids import Id, Uuid
from edgemesh.model.samples import At, Record

Traceparent = Annotated[str, Meta(max_length=64)]
MOST_BID = 1e9
"""No number of a bid is larger."""
Parts = Annotated[tuple[Annotated[str, Meta(max_length=100)], ...], Meta(max_length=16)]
Length = Annotated[float, Meta(ge=0.0, le=100 * 366 * 86_400.0)]
Skills = dict[Id, Annotated[float, Meta(ge=0.0, le=1.0)]]


class OrderState(enum.StrEnum):
    """Where a work order stands. ORDER_MOVES lists the moves there are."""

    OPEN = "open"
    DISPATCHED = "dispatched"
    ACCEPTED = "accepted"
    IN_PROGRESS = "in_progress"
    ON_HOLD = "on_hold"
    DONE = "done"
    VERIFIED = "verified"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Verified and cancelled orders are never left again."""
        return self in (OrderState.VERIFIED, OrderState.CANCELLED)


_O = OrderState
ORDER_MOVES: dict[OrderState, frozenset[OrderState]] = {
    _O.OPEN: frozenset({_O.DISPATCHED, _O.ON_HOLD, _O.CANCELLED}),
    _O.DISPATCHED: frozenset({_O.ACCEPTED, _O.IN_PROGRESS, _O.DONE, _O.OPEN, _O.CANCELLED}),
    _O.ACCEPTED: frozenset({_O.IN_PROGRESS, _O.DONE, _O.OPEN, _O.ON_HOLD, _O.CANCELLED}),
    _O.IN_PROGRESS: frozenset({_O.DONE, _O.OPEN, _O.ON_HOLD, _O.CANCELLED}),
    _O.ON_HOLD: frozenset({_O.OPEN, _O.IN_PROGRESS, _O.CANCELLED}),
    _O.DONE: frozenset({_O.VERIFIED, _O.OPEN}),
    _O.VERIFIED: frozenset(),
    _O.CANCELLED: frozenset(),
}


class Priority(enum.StrEnum):
    """P1 safety or plant stopped, P2 degraded, P3 wear, P4 improvement."""

    P1 = "P1"
    P2 = "P2"
    P3 = "P3"
    P4 = "P4"


class Verdict(enum.StrEnum):
    """What whoever did the work has found: a fault that the alert was right about, none at all, or a part that is new
    now, so that what was normal before says nothing any more.
    """

    REAL_FAULT = "real_fault"
    FALSE_ALARM = "false_alarm"
    REPLACED_PART = "replaced_part"


class WorkOrder(Record, frozen=True, kw_only=True):
    """One state of a work order; `version` rises with every move, and consumers keep the highest.

    `id` is derived from the alert that opened it. `attempt` counts dispatches (0: none yet), `executor` is who holds
    it now, `tried` who refused, failed or kept silent. `skills` maps a skill to the least grade (0..1) that is needed.
    `verdict` is what was found, once it is done and if anybody said so. Open with a `deadline_at_ns`, the order is a
    call: until then executors may bid for the next attempt.
    `confidence` (0..1) is that of the cause; `parts` are likely to be needed, and the work takes about `duration_s`
    (0: unknown). `trace` is a W3C traceparent: where in its alert's trace the order came about.
    Instants as in ISO 14224: occurred, detected, dispatched, begun, repaired, back in service; None: not yet.
    """

    id: Uuid
    version: int
    asset: Id
    alert: Uuid
    state: OrderState
    title: str
    cause: str
    priority: Priority
    skills: Skills
    at_ns: At
    opened_at_ns: At
    attempt: int = 0
    executor: Id | None = None
    tried: tuple[Id, ...] = ()
    epoch: int = 0
    escalated: bool = False
    reopened: int = 0
    note: str = ""
    verdict: Verdict | None = None
    deadline_at_ns: At | None = None
    occurred_at_ns: At | None = None
    detected_at_ns: At | None = None
    dispatched_at_ns: At | None = None
    begun_at_ns: At | None = None
    repaired_at_ns: At | None = None
    back_at_ns: At | None = None
    trace: Traceparent = ""
    confidence: Annotated[float, Meta(ge=0.0, le=1.0)] = 1.0
    parts: Parts = ()
    duration_s: Length = 0.0


class Dispatch(Record, frozen=True, kw_only=True):
    """One order as its executor sees it. Work is done once per order and `reopened` count, whatever the attempt."""

    order: Uuid
    attempt: int
    asset: Id
    title: str
    cause: str
    skills: Skills
    priority: Priority
    alert: Uuid
    state: OrderState
    reopened: int = 0
    deadline_at_ns: At | None = None
    trace: Traceparent = ""
    parts: Parts = ()
    duration_s: Length = 0.0


class DispatchList(Record, frozen=True, kw_only=True, tag_field="v", tag=1):
    """All orders given to one executor now (retained on its dispatch topic); empty: nothing to do.

    `epoch` only grows; an executor refuses lists of a lower one (the fence).
    """

    executor: Id
    epoch: int
    orders: tuple[Dispatch, ...] = ()


class AnswerKind(enum.StrEnum):
    """What an executor can say of an order."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    STARTED = "started"
    DONE = "done"
    FAILED = "failed"
    BID = "bid"


class Bid(Record, frozen=True, kw_only=True):
    """What an executor offers to do an order for: money, seconds until it is there, orders in hand, units of energy.

    What is left out the scheduler takes from its own books: the card, the way, what it has given out.
    """

    cost: Annotated[float, Meta(ge=0.0, le=MOST_BID)] | None = None
    travel_s: Annotated[float, Meta(ge=0.0, le=MOST_BID)] | None = None
    load: Annotated[int, Meta(ge=0, le=int(MOST_BID))] | None = None
    energy: Annotated[float, Meta(ge=0.0, le=MOST_BID)] | None = None


class Answer(Record, frozen=True, kw_only=True, tag_field="v", tag=1):
    """What an executor said of one attempt of one order; the same answer twice counts once.

    `verdict`: what was found; it counts with `done`. A `bid` answers a call: an order that is open with a deadline. Its
    `attempt` is one more than that of the order, the one it is for; `bid` says the offer.
    """

    executor: Id
    order: Uuid
    attempt: Annotated[int, Meta(ge=1)]
    answer: AnswerKind
    at_ns: At = 0
    note: Annotated[str, Meta(max_length=2000)] = ""
    verdict: Verdict | None = None
    bid: Bid | None = None
