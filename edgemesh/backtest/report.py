"""What a backtest says: records for `--json`, and how they are made from what the chain has left."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from edgemesh.launch.truth import Confusion, Span
from edgemesh.launch.verdict import FileResult, Subject, judge_subject, sum_up
from edgemesh.model.alerts import Alert, Evidence
from edgemesh.model.orders import WorkOrder


class AlertResult(msgspec.Struct, frozen=True, kw_only=True):
    """An alert that would have fired.

    `metrics` are `device/metric`, strongest first as in `evidence`; `lasted_s` counts from `raised_at_ns`, None: it
    stood at the end of the data. `order` is the work order that it opened, if it opened one.
    """

    id: str
    asset: str
    kind: str
    severity: str
    cause: str
    model: str
    metrics: tuple[str, ...]
    onset_at_ns: int
    raised_at_ns: int
    cleared_at_ns: int | None
    lasted_s: float | None
    evidence: tuple[Evidence, ...]
    order: str | None = None


class OrderResult(msgspec.Struct, frozen=True, kw_only=True):
    """A work order that would have been opened; nobody answers in a backtest, so none is dispatched."""

    id: str
    asset: str
    alert: str
    title: str
    priority: str
    opened_at_ns: int


class BacktestReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one configuration would have said of the data. `files` has a line per file, or per asset of a history.

    `from_ns` and `to_ns` are the first and last instant played; `alarm_s` is how long anything was firing, assets added
    up. `total` is as in `edgemesh replay --json`. All but `seconds` and `rows_per_s` follow from the input alone.
    """

    config: str
    data: str
    from_ns: int
    to_ns: int
    rows: int
    readings: int
    files: tuple[FileResult, ...]
    total: dict[str, float | int | None]
    alarm_s: float
    alerts: tuple[AlertResult, ...]
    orders: tuple[OrderResult, ...]
    notes: tuple[str, ...]
    seconds: float
    rows_per_s: float


class Played(msgspec.Struct, frozen=True, kw_only=True):
    """What a chain has left: the newest versions of alerts and orders, what is judged, how much came and how fast."""

    subjects: Sequence[Subject]
    alerts: Sequence[Alert]
    orders: Sequence[WorkOrder]
    begin_ns: int
    end_ns: int
    rows: int
    readings: int
    seconds: float
    notes: Sequence[str]


def make_report(played: Played, *, config: str, data: str, train_rows: int) -> BacktestReport:
    """Judge what was played; rows after the first `train_rows` of each file count for the rates."""
    pooled = Confusion()
    files = []
    for subject in played.subjects:
        spans = [_span(alert) for alert in played.alerts if alert.asset == subject.asset]
        count = sum(order.asset == subject.asset for order in played.orders)
        result, confusion = judge_subject(subject, spans, count, train_rows)
        files.append(result)
        pooled += confusion
    opened = {order.alert: order.id for order in played.orders}
    total = sum_up(files, pooled) | {"alerts": len(played.alerts), "orders": len(played.orders)}
    return BacktestReport(
        config=config,
        data=data,
        from_ns=played.begin_ns,
        to_ns=played.end_ns,
        rows=played.rows,
        readings=played.readings,
        files=tuple(files),
        total=total,
        alarm_s=round(_alarm_s(played), 1),
        alerts=tuple(_alert_result(alert, opened.get(alert.id)) for alert in _in_time(played.alerts)),
        orders=tuple(_order_result(order) for order in played.orders),
        notes=tuple(played.notes),
        seconds=round(played.seconds, 2),
        rows_per_s=round(played.rows / max(played.seconds, 1e-9), 1),
    )


def _span(alert: Alert) -> Span:
    return Span(alert.asset, alert.raised_at_ns, alert.cleared_at_ns)


def _in_time(alerts: Iterable[Alert]) -> list[Alert]:
    return sorted(alerts, key=lambda alert: (alert.raised_at_ns, alert.id))


def _alarm_s(played: Played) -> float:
    ends: dict[str, int] = {}
    for subject in played.subjects:
        ends[subject.asset] = max(ends.get(subject.asset, 0), *subject.times_ns)
    total_ns = 0
    for asset in {alert.asset for alert in played.alerts}:
        open_until_ns = 0
        for alert in _in_time(alert for alert in played.alerts if alert.asset == asset):
            end_ns = alert.cleared_at_ns if alert.cleared_at_ns is not None else ends.get(asset, played.end_ns)
            total_ns += max(0, end_ns - max(alert.raised_at_ns, open_until_ns))
            open_until_ns = max(open_until_ns, end_ns)
    return total_ns / 1e9


def _alert_result(alert: Alert, order: str | None) -> AlertResult:
    evidence = tuple(sorted(alert.evidence, key=lambda one: -one.score))
    over = alert.cleared_at_ns
    return AlertResult(
        id=alert.id,
        asset=alert.asset,
        kind=alert.kind.value,
        severity=alert.severity.value,
        cause=alert.cause,
        model=alert.model,
        metrics=tuple(dict.fromkeys(f"{one.device}/{one.metric}" for one in evidence)),
        onset_at_ns=alert.onset_at_ns,
        raised_at_ns=alert.raised_at_ns,
        cleared_at_ns=over,
        lasted_s=None if over is None else round((over - alert.raised_at_ns) / 1e9, 1),
        evidence=evidence,
        order=order,
    )


def _order_result(order: WorkOrder) -> OrderResult:
    return OrderResult(
        id=order.id,
        asset=order.asset,
        alert=order.alert,
        title=order.title,
        priority=order.priority.value,
        opened_at_ns=order.opened_at_ns,
    )
