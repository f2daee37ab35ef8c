"""The docket: which versions of orders were decided, and what they went by, until somebody writes it down."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import msgspec

from edgemesh.dispatch.moves import holder
from edgemesh.model.agents import Card
from edgemesh.model.alerts import Alert
from edgemesh.model.decisions import AlertSeen, Cause, Decision
from edgemesh.model.orders import Answer, OrderState, WorkOrder

MOST_ALERTS = 64
"""Alerts kept with one decision; of more the first."""
_canonical = msgspec.json.Encoder(order="deterministic").encode


def digest_of(order: WorkOrder) -> str:
    """The SHA-256 of a version in canonical JSON, as 64 hexadecimal digits."""
    return hashlib.sha256(_canonical(order)).hexdigest()


class Docket:
    """Decisions since the last `take`, in order. It remembers where each open order stood, to say what was before.

    Where it is not `kept` nobody takes them, and none are noted.
    """

    def __init__(self, by: str, *, kept: bool) -> None:
        self._by, self._kept = by, kept
        self._stood: dict[str, tuple[OrderState, str | None]] = {}
        self._decisions: list[Decision] = []

    def restore(self, order: WorkOrder) -> None:
        """Go on from an order as it was saved."""
        if self._kept and not order.state.final:
            self._stood[order.id] = order.state, holder(order)

    def note(
        self,
        orders: Sequence[WorkOrder],
        because: Cause,
        *,
        epoch: int,
        alerts: Iterable[tuple[Alert, str | None]] = (),
        answers: Sequence[Answer] = (),
        cards: Sequence[Card] = (),
    ) -> None:
        """Note versions that came about together, with what came in; each alert with the order that it belongs to."""
        if not (orders and self._kept):
            return
        belonging = [(alert, order) for alert, order in alerts]
        for order in orders:
            before, held_by = self._stood.pop(order.id, (None, None))
            held = holder(order)
            self.restore(order)
            seen = [alert for alert, its_order in belonging if order.id == its_order or alert.id == order.alert]
            self._decisions.append(
                Decision(
                    at_ns=order.at_ns,
                    by=self._by,
                    epoch=epoch,
                    order=order.id,
                    version=order.version,
                    asset=order.asset,
                    alert=order.alert,
                    before=before,
                    after=order.state,
                    executor=order.executor,
                    taken_from=held_by if held_by != held else None,
                    attempt=order.attempt,
                    escalated=order.escalated,
                    because=because,
                    alerts=tuple(
                        AlertSeen(id=alert.id, version=alert.version, state=alert.state, origin=alert.origin)
                        for alert in seen[:MOST_ALERTS]
                    ),
                    answers=tuple(answer for answer in answers if answer.order == order.id),
                    cards=tuple(card.agent for card in cards if card.agent in (held, held_by)),
                    note=order.note,
                    digest=digest_of(order),
                )
            )

    def take(self) -> list[Decision]:
        """Return what was decided since the last call."""
        taken, self._decisions = self._decisions, []
        return taken
