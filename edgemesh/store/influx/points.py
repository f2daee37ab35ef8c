"""Records as points: which tags and fields an alert, a work order or a card gives. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from edgemesh.model.agents import Card
from edgemesh.model.alerts import Alert
from edgemesh.model.orders import WorkOrder
from edgemesh.model.spans import Span
from edgemesh.model.told import LineLevel, Lines, Scores
from edgemesh.store.influx.lines import Value, head
from edgemesh.store.influx.measurements import CARD_NAMES, MEASUREMENTS, OVERFLOW

Fields = dict[str, Value]
_encode = msgspec.json.Encoder(order="deterministic").encode
SEVERITIES = {LineLevel.WARNING: ("WARN", 13), LineLevel.ERROR: ("ERROR", 17), LineLevel.CRITICAL: ("FATAL", 21)}
"""Short name and number of a level. Source: OpenTelemetry, Logs Data Model, SeverityNumber."""
_SECOND_NS = 1e9


def reading_head(measurement: str, site: str, gateway: str, asset: str, device: str, metric: str) -> str:
    """The series of a metric of a device."""
    tags = {"site": site, "gateway": gateway, "asset": asset, "device": device, "metric": metric}
    return head(measurement, tags)


def overflow_head(site: str, gateway: str) -> str:
    """The series of what is beyond the limit of series behind one gateway."""
    return head(OVERFLOW, {"site": site, "gateway": gateway})


def alert_point(site: str, alert: Alert) -> tuple[str, Fields]:
    """Series and fields of one version of an alert; what is empty is left out."""
    tags = {
        "site": site,
        "gateway": alert.gateway,
        "asset": alert.asset,
        "kind": alert.kind.value,
        "severity": alert.severity.value,
        "state": alert.state.value,
    }
    texts = {
        "id": alert.id,
        "cause": alert.cause,
        "consequence": alert.consequence,
        "action": alert.action,
        "model": alert.model,
        "stage": alert.stage.value,
        "review": alert.review.value if alert.review is not None else "",
    }
    fields: Fields = {
        "version": alert.version,
        "confidence": float(alert.confidence),
        "raised_after_s": (alert.raised_at_ns - alert.onset_at_ns) / _SECOND_NS,
    }
    if alert.evidence:
        first = alert.evidence[0]
        texts |= {"device": first.device, "metric": first.metric, "rule": first.rule}
        fields["score"] = float(first.score)
        if first.value is not None:
            fields["value"] = float(first.value)
    if alert.cleared_at_ns is not None:
        fields["lasted_s"] = (alert.cleared_at_ns - alert.onset_at_ns) / _SECOND_NS
    if alert.past:
        fields["past"] = 1
    return head("alert", tags), fields | _given(texts)


def order_point(site: str, order: WorkOrder) -> tuple[str, Fields]:
    """Series and fields of one version of a work order; what is empty is left out."""
    skill = max(sorted(order.skills), key=lambda name: order.skills[name], default="")
    tags = {
        "site": site,
        "asset": order.asset,
        "executor": order.executor or "",
        "priority": order.priority.value,
        "skill": skill,
        "state": order.state.value,
    }
    texts = {
        "id": order.id,
        "alert": order.alert,
        "title": order.title,
        "cause": order.cause,
        "note": order.note,
        "verdict": order.verdict.value if order.verdict is not None else "",
    }
    fields: Fields = {
        "version": order.version,
        "attempt": order.attempt,
        "reopened": order.reopened,
        "escalated": int(order.escalated),
        "age_s": (order.at_ns - order.opened_at_ns) / _SECOND_NS,
    }
    for name, at_ns in (
        ("dispatched_after_s", order.dispatched_at_ns),
        ("begun_after_s", order.begun_at_ns),
        ("repaired_after_s", order.repaired_at_ns),
        ("back_after_s", order.back_at_ns),
    ):
        if at_ns is not None:
            fields[name] = (at_ns - order.opened_at_ns) / _SECOND_NS
    if order.deadline_at_ns is not None:
        fields["due_s"] = (order.deadline_at_ns - order.at_ns) / _SECOND_NS
    return head("workorder", tags), fields | _given(texts)


def card_points(site: str, card: Card, *, up: bool) -> Iterator[tuple[str, Fields]]:
    """Series and fields of the measurements that an agent's card gives; numbers that they don't have are left out."""
    tags = {"site": site, "agent": card.agent, "role": card.role.value}
    fields: Fields = {"up": int(up), "load": card.load, "max_load": card.max_load, "lost": card.lost}
    fields |= _given({"trouble": card.trouble, "notice": card.notice})
    yield head("agent_health", tags), fields | _numbers("agent_health", card.stats)
    for measurement in ("mqtt_link", "pipeline"):
        numbers = _numbers(measurement, card.stats)
        if numbers:
            yield head(measurement, tags), numbers


def span_points(site: str, span: Span, *, ids_as_tags: bool = False) -> Iterator[tuple[str, str, Fields]]:
    """Measurement, series and fields of a span and of its links; with `ids_as_tags` its ids are tags."""
    ids = {"trace_id": span.trace_id, "span_id": span.span_id}
    tags = {"site": site, "service.name": span.role.value, "span.name": span.name}
    texts = {
        "parent_span_id": span.parent,
        "service.instance.id": span.agent,
        "span.kind": span.kind.name.capitalize(),
        "otel.status_code": "ERROR" if span.error else "OK",
        "otel.status_description": span.error,
        "attributes": _encode(span.attributes).decode() if span.attributes else "",
    }
    if not ids_as_tags:
        texts |= ids
    numbers: Fields = {"duration_nano": span.duration_ns, "end_time_unix_nano": span.end_ns}
    yield "spans", head("spans", tags | (ids if ids_as_tags else {})), numbers | _given(texts)
    for link in span.links:
        linked = {"linked_trace_id": link.trace_id, "linked_span_id": link.span_id}
        tags = {"site": site} | (ids if ids_as_tags else {})
        yield "span-links", head("span-links", tags), _given(linked | ({} if ids_as_tags else ids))


def score_points(site: str, told: Scores) -> Iterator[tuple[str, Fields, int]]:
    """Series, fields and time of each score that a detector tells; a channel that is empty is left out."""
    for each in told.scores:
        tags = {"site": site, "gateway": each.gateway, "asset": each.asset}
        fields: Fields = {"score": float(each.score), "method": each.method}
        yield head("score", tags), fields | _given({"device": each.device, "metric": each.metric}), each.at_ns


def line_points(site: str, told: Lines) -> Iterator[tuple[str, Fields, int]]:
    """Series, fields and time of each line that an agent tells, under the names of OpenTelemetry."""
    for each in told.lines:
        severity, number = SEVERITIES[each.level]
        about = {"logger.name": each.logger, "exception.stacktrace": each.exception}
        attributes = {name: text for name, text in about.items() if text}
        texts = {
            "body": each.body,
            "trace_id": each.trace_id,
            "span_id": each.span_id,
            "attributes": msgspec.json.encode(attributes).decode() if attributes else "",
        }
        tags = {"site": site, "agent": told.agent, "severity_text": severity}
        fields: Fields = {"severity_number": number}
        if told.left_out:
            fields["left_out"] = told.left_out
        yield head("logs", tags), fields | _given(texts), each.at_ns


def _numbers(measurement: str, stats: Mapping[str, float]) -> Fields:
    found: Fields = {}
    for field, (kind, _) in MEASUREMENTS[measurement].fields.items():
        name = CARD_NAMES.get(field, field)
        if kind == "float" and name in stats:
            found[field] = float(stats[name])
    return found


def _given(texts: Mapping[str, str]) -> Fields:
    return {name: text for name, text in texts.items() if text}
