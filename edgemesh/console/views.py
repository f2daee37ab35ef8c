"""Records as people see them: printable texts of bounded length, ages instead of instants, one step on the path."""

from __future__ import annotations

from edgemesh.console.snapshot import STEPS, AlertView, EvidenceView, OrderView
from edgemesh.model.alerts import Alert, Evidence
from edgemesh.model.orders import OrderState, WorkOrder

MAX_TEXT = 240
_NS = 1_000_000_000


def plain(text: str, limit: int = MAX_TEXT) -> str:
    """The text without control, escape and direction-changing characters, cut to `limit` characters.

    Whatever a peer wrote can neither steer a terminal nor turn a line of a page around.
    """
    shown = "".join(sign if sign.isprintable() else " " for sign in text[: limit * 2])
    shown = " ".join(shown.split())
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def age_s(then_ns: int, now_ns: int) -> float:
    """Seconds from then to now; an instant in the future is now."""
    return round(max(0, now_ns - then_ns) / _NS, 1)


def alert_view(alert: Alert, now_ns: int) -> AlertView:
    """The alert as it stands at `now_ns` (UTC)."""
    over = alert.cleared_at_ns
    return AlertView(
        id=alert.id,
        asset=alert.asset,
        kind=alert.kind.value,
        state=alert.state.value,
        severity=alert.severity.value,
        cause=plain(alert.cause),
        consequence=plain(alert.consequence),
        action=plain(alert.action),
        stage=alert.stage.value,
        review=alert.review.value if alert.review else "",
        gateway=alert.gateway,
        age_s=age_s(over if over is not None else alert.raised_at_ns, now_ns),
        lasted_s=None if over is None else age_s(alert.onset_at_ns, over),
        evidence=tuple(_evidence_view(evidence) for evidence in alert.evidence[:4]),
    )


def _evidence_view(evidence: Evidence) -> EvidenceView:
    return EvidenceView(
        device=evidence.device,
        metric=evidence.metric,
        rule=plain(evidence.rule, 80),
        value=evidence.value,
        unit=plain(evidence.unit, 16),
        normal=plain(evidence.normal, 80),
        score=evidence.score,
    )


def order_view(order: WorkOrder, now_ns: int) -> OrderView:
    """The order as it stands at `now_ns` (UTC)."""
    over = order.back_at_ns or order.at_ns
    due = None if order.deadline_at_ns is None or order.state.final else (order.deadline_at_ns - now_ns) / _NS
    return OrderView(
        id=order.id,
        asset=order.asset,
        title=plain(order.title, 120),
        cause=plain(order.cause),
        state=order.state.value,
        step=_step(order),
        priority=order.priority.value,
        executor=order.executor,
        attempt=order.attempt,
        tried=order.tried[:8],
        escalated=order.escalated,
        reopened=order.reopened,
        note=plain(order.note),
        age_s=age_s(over if order.state.final else order.opened_at_ns, now_ns),
        due_s=None if due is None else round(due, 1),
        took_s=age_s(order.opened_at_ns, over) if order.state.final else None,
    )


def _step(order: WorkOrder) -> int:
    """How far along STEPS; an order on hold or cancelled stays where its instants say it had come."""
    if order.state.value in STEPS:
        return STEPS.index(order.state.value)
    if order.repaired_at_ns is not None:
        return STEPS.index(OrderState.DONE)
    if order.begun_at_ns is not None:
        return STEPS.index(OrderState.IN_PROGRESS)
    return STEPS.index(OrderState.ACCEPTED) if order.executor is not None else 0
