"""Decisions: what the scheduler made of an order, and what it went by."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from edgemesh.model.alerts import AlertState
from edgemesh.model.ids import Id, Uuid
from edgemesh.model.orders import Answer, OrderState
from edgemesh.model.samples import At, Record

Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}(?!\n)$", description="64 lower-case hexadecimal digits")]
Cause = Literal["alerts", "answers", "cards", "time", "command"]


class AlertSeen(Record, frozen=True, kw_only=True):
    """A version of an alert that the scheduler went by; `origin` is the pack whose reading raised it."""

    id: Uuid
    version: int
    state: AlertState
    origin: str = ""


class Decision(Record, frozen=True, kw_only=True):
    """One version of an order, as it was decided.

    `by` is the scheduler, `epoch` its fence. `before` is the state of the version before (None: there was none),
    `after` that of this one; `executor` has the order now, `taken_from` had it until now. `because` says what came in:
    alerts, answers or cards, of which those that concern the order are kept, a command of a
    person, or that time has passed. `digest` is the SHA-256 of the order's version in canonical JSON, so that a copy of
    it anywhere can be held against the decision.
    """

    at_ns: At
    by: Id
    epoch: int
    order: Uuid
    version: int
    asset: Id
    alert: Uuid
    after: OrderState
    because: Cause
    digest: Sha256
    before: OrderState | None = None
    executor: Id | None = None
    taken_from: Id | None = None
    attempt: int = 0
    escalated: bool = False
    alerts: tuple[AlertSeen, ...] = ()
    answers: tuple[Answer, ...] = ()
    cards: tuple[Id, ...] = ()
    note: str = ""
