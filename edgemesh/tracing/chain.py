"""The way of a reading as spans, from what packs and their records say. Pure: the same pack gives the same spans.

What a pack's header says of its commit and its publishing was measured by who did it. The times of answer, work and
verification are those that the versions of an order carry: such spans are marked as derived.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgemesh.model.agents import Role
from edgemesh.model.alerts import Alert, Stage
from edgemesh.model.orders import OrderState, WorkOrder
from edgemesh.model.packs import Alerts, Header, Orders, Readings
from edgemesh.model.samples import Batch, Record
from edgemesh.model.spans import Link, Span, SpanKind
from edgemesh.tracing import names
from edgemesh.tracing.context import TraceContext, parse_traceparent
from edgemesh.tracing.ids import publish_id, span_id, trace_continued, trace_of_alert

APART_NS = 3_600 * 10**9
"""What an order comes to so long after it was opened is told in a trace of its own, linked to the alert's."""
LATEST_NS = 2**63 - 1
_LONGEST = 256
_MOST_LINKS = 8
Attributes = dict[str, str | int | float]


def ref(pack: Header) -> str:
    """A pack by name: `agent/epoch/seq`."""
    return f"{pack.agent}/{pack.epoch}/{pack.seq}"


def begun_by(record: Record) -> TraceContext | None:
    """Where in a trace of its own a device has read the samples of a batch; None: it has begun none."""
    return parse_traceparent(record.trace) if isinstance(record, Batch) and record.trace else None


def of_readings(pack: Readings, trace_id: str) -> list[Span]:
    """Sample, commit and publish of a pack of readings, as parts of a trace.

    Where that is a device's own, they go on from what the device says; traces of devices beside it are linked.
    """
    what = ref(pack)
    begun = [context for context in map(begun_by, pack.records) if context is not None]
    parent = next((context.span_id for context in begun if context.trace_id == trace_id), "")
    others = dict.fromkeys((each.trace_id, each.span_id) for each in begun if each.trace_id != trace_id)
    links = tuple(Link(trace_id=trace, span_id=span) for trace, span in list(others)[:_MOST_LINKS])
    believed = [batch for batch in pack.records if not batch.clock]
    attributes: Attributes = {
        names.DEVICES: len({batch.device for batch in pack.records}),
        names.READINGS: sum(batch.readings for batch in pack.records),
    }
    root = span_id(trace_id, "sample", what)
    taken_ns = min((batch.at_ns[0] for batch in believed), default=pack.at_ns)
    start_ns = min(taken_ns, pack.at_ns)
    sample = Span(
        trace_id=trace_id,
        span_id=root,
        parent=parent,
        name=names.SAMPLE,
        role=Role.GATEWAY,
        agent=pack.agent,
        start_ns=start_ns,
        duration_ns=pack.at_ns - start_ns,
        attributes=attributes,
        links=links,
    )
    committed = span_id(trace_id, "commit", what)
    commit = _committing(pack, trace_id, committed, names.COMMIT.format(kind="readings"), root, Role.GATEWAY)
    return [sample, commit, _publishing(pack, "readings", trace_id, committed, Role.GATEWAY, len(pack.records))]


def of_alerts(pack: Alerts) -> Iterator[Span]:
    """Each alert coming onto the disk of its detector, and going out from there, in the alert's own trace."""
    told: set[str] = set()
    for alert in pack.records:
        trace_id = trace_of_alert(alert)
        role = Role.SENTRY if alert.stage is Stage.GATEWAY else Role.DETECTOR
        itself = alert_span(trace_id, alert.id, alert.version)
        parent = alert_span(trace_id, alert.id, 1)
        if alert.version == 1:
            parent = span_id(trace_id, "score", pack.agent, alert.origin) if alert.origin else ""
        attributes: Attributes = {
            names.ALERT_ID: alert.id,
            names.VERSION: alert.version,
            names.ASSET: alert.asset,
            names.STATE: alert.state.value,
            names.SEVERITY: alert.severity.value,
            names.CAUSE: alert.cause[:_LONGEST],
        }
        yield _committing(pack, trace_id, itself, names.ALERT, parent, role, attributes)
        if trace_id not in told:
            told.add(trace_id)
            yield _publishing(pack, "alerts", trace_id, itself, role, len(pack.records))


def alert_span(trace_id: str, alert: str, version: int) -> str:
    """The span of a version of an alert."""
    return span_id(trace_id, "alert", alert, version)


def triage_span(trace_id: str, alert: str, version: int) -> str:
    """The span in which a scheduler takes in a version of an alert."""
    return span_id(trace_id, "triage", alert, version)


def context_of_order(alert: Alert) -> TraceContext:
    """Where in the trace of its alert an order comes about."""
    trace_id = trace_of_alert(alert)
    return TraceContext(trace_id, triage_span(trace_id, alert.id, alert.version))


def of_orders(pack: Orders) -> Iterator[Span]:
    """What each version of an order tells: dispatch, answer, work, verification."""
    for order in pack.records:
        context = parse_traceparent(order.trace)
        if context is not None:
            yield from _of_order(pack, order, context)


def _of_order(pack: Orders, order: WorkOrder, context: TraceContext) -> Iterator[Span]:
    told = _stage(order)
    if told is None:
        return
    name, start_ns, error = told
    start_ns, end_ns = min(start_ns, order.at_ns), order.at_ns
    if name == names.DISPATCH:
        start_ns, end_ns = pack.at_ns, _after(pack, pack.publish_us)
    trace_id, parent = context.trace_id, context.span_id
    links: tuple[Link, ...] = ()
    if start_ns - order.opened_at_ns > APART_NS:
        trace_id, parent = trace_continued(order.id), ""
        links = (Link(trace_id=context.trace_id, span_id=context.span_id),)
    elif name != names.DISPATCH and order.attempt:
        parent = _dispatch_span(trace_id, order)
    itself = span_id(trace_id, "order", order.id, order.version)
    if name == names.DISPATCH:
        itself = _dispatch_span(trace_id, order)
    executor = name in (names.ANSWER, names.WORK) and order.executor
    attributes: Attributes = {
        names.ORDER_ID: order.id,
        names.VERSION: order.version,
        names.ASSET: order.asset,
        names.STATE: order.state.value,
        names.ATTEMPT: order.attempt,
    }
    if name != names.DISPATCH:
        attributes[names.DERIVED] = 1
    if order.executor:
        attributes[names.EXECUTOR] = order.executor
    if order.note:
        attributes[names.SAID] = order.note[:_LONGEST]
    yield Span(
        trace_id=trace_id,
        span_id=itself,
        parent=parent,
        name=name,
        role=Role.EXECUTOR if executor else Role.SCHEDULER,
        agent=executor or pack.agent,
        kind=SpanKind.PRODUCER if name == names.DISPATCH else SpanKind.INTERNAL,
        start_ns=start_ns,
        duration_ns=end_ns - start_ns,
        error=error,
        attributes=attributes,
        links=links,
    )


def _dispatch_span(trace_id: str, order: WorkOrder) -> str:
    return span_id(trace_id, "dispatch", order.id, order.attempt)


def _stage(order: WorkOrder) -> tuple[str, int, str] | None:
    """What a version says was over: its name, since when it went on, and what went wrong; None: nothing."""
    given_ns = order.dispatched_at_ns if order.dispatched_at_ns is not None else order.opened_at_ns
    match order.state:
        case OrderState.DISPATCHED:
            return names.DISPATCH, order.at_ns, ""
        case OrderState.ACCEPTED | OrderState.IN_PROGRESS:
            return names.ANSWER, given_ns, ""
        case OrderState.DONE:
            begun_ns = order.begun_at_ns if order.begun_at_ns is not None else given_ns
            return names.WORK, begun_ns, ""
        case OrderState.VERIFIED:
            return names.VERIFY, order.repaired_at_ns or given_ns, ""
        case OrderState.CANCELLED:
            return names.CLOSE, order.at_ns, ""
        case OrderState.OPEN if order.attempt and order.version > 1:
            return (names.VERIFY if order.reopened else names.ANSWER), given_ns, order.note[:_LONGEST] or "given back"
        case _:
            return (names.ESCALATE, order.at_ns, "nobody is left") if order.escalated else None


def _after(pack: Header, delay_us: int) -> int:
    return min(pack.at_ns + 1_000 * delay_us, LATEST_NS)


def _committing(
    pack: Header,
    trace_id: str,
    itself: str,
    name: str,
    parent: str,
    role: Role,
    attributes: Attributes | None = None,
) -> Span:
    return Span(
        trace_id=trace_id,
        span_id=itself,
        parent=parent,
        name=name,
        role=role,
        agent=pack.agent,
        start_ns=pack.at_ns,
        duration_ns=_after(pack, pack.commit_us) - pack.at_ns,
        attributes=attributes or {},
    )


def _publishing(pack: Header, kind: str, trace_id: str, parent: str, role: Role, records: int) -> Span:
    """From the end of the commit until the pack was handed to the broker's client."""
    start_ns = _after(pack, pack.commit_us)
    return Span(
        trace_id=trace_id,
        span_id=publish_id(trace_id, pack.agent, pack.epoch, pack.seq),
        parent=parent,
        name=names.PUBLISH.format(kind=kind),
        role=role,
        agent=pack.agent,
        kind=SpanKind.PRODUCER,
        start_ns=start_ns,
        duration_ns=max(0, _after(pack, pack.publish_us) - start_ns),
        attributes=messaging("send", kind, pack.agent, pack.epoch, pack.seq) | {names.BATCH: records},
    )


def messaging(operation: str, kind: str, agent: str, epoch: str, seq: int) -> Attributes:
    """The attributes of a span that has to do with a pack of a log; `operation` is send or receive."""
    return {
        names.SYSTEM: "mqtt",
        names.OPERATION: "publish" if operation == "send" else operation,
        names.OPERATION_TYPE: operation,
        names.DESTINATION: f"log/{kind}/{agent}",
        names.MESSAGE: f"{epoch}/{seq}",
    }


def matters(span: Span) -> bool:
    """Whether its trace ends in an alert, an order or an error, so that it is kept for long."""
    if span.name == names.SAMPLE:  # its links lead to devices, not to work
        return False
    return bool(span.error) or span.name in (names.ALERT, names.DISPATCH, names.REFUSE) or bool(span.links)
