"""The tracer of an agent: which rows are recorded, and what its own stages took.

It stands beside the core and the log, never in their way: what it has recorded is sent once, may get lost, and is
counted where it gave way. Ids are derived (`tracing.ids`), so a step that is done again tells the same spans again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from edgemesh.agents.clock import Clock
from edgemesh.agents.items import Heard
from edgemesh.model.agents import Role
from edgemesh.model.alerts import Alert
from edgemesh.model.orders import WorkOrder
from edgemesh.model.packs import Alerts, Pack, Readings
from edgemesh.model.samples import Record
from edgemesh.model.spans import Span, SpanKind, Spans
from edgemesh.tracing import names
from edgemesh.tracing.chain import Attributes, messaging, of_readings, ref, triage_span
from edgemesh.tracing.context import TraceContext, format_traceparent, parse_traceparent
from edgemesh.tracing.ids import is_sampled, publish_id, span_id, trace_of_alert, trace_of_row, trace_refused

MOST_WAITING = 2_000
"""Spans that wait to be sent; more of them give way."""
MESSAGE_SPANS = 256
"""Of one message at most: it has to stay below what a message may hold."""
DETAIL = 128


class Tracer:
    """Records for one agent; `share` (0 to 1) of the packs of readings are recorded from the head."""

    def __init__(self, agent: str, role: Role, clock: Clock, *, share: float) -> None:
        self._agent, self._role, self._clock, self._share = agent, role, clock, share
        self._waiting: deque[Span] = deque()
        self.dropped = 0

    # -- rows of our own log ------------------------------------------------------------------------------------------

    def traceparent(self, records: Sequence[Record], epoch: str, seq: int) -> str:
        """What a row says of its trace: where it goes out; empty for readings that are not recorded."""
        first = records[0] if records else None
        if isinstance(first, Alert):
            trace_id = trace_of_alert(first)
        elif isinstance(first, WorkOrder):
            context = parse_traceparent(first.trace)
            if context is None:
                return ""
            trace_id = context.trace_id
        else:
            trace_id = trace_of_row(self._agent, epoch, seq)
            if not is_sampled(trace_id, self._share):
                return ""
        return format_traceparent(TraceContext(trace_id, publish_id(trace_id, self._agent, epoch, seq)))

    # -- what we have taken in ----------------------------------------------------------------------------------------

    def now_ns(self) -> int:
        """The time of the agent."""
        return self._clock.now_ns()

    def handled(self, item: Heard, pack: Pack, began_ns: int, records: Sequence[Record]) -> Iterable[Span]:
        """What it took to take a pack in: until its turn had come at `began_ns`, and from there until now."""
        if self._role is Role.RECORDER:  # it works on nothing: what it keeps is told by the packs themselves
            return ()
        if isinstance(pack, Readings):
            return self._readings(item, pack, began_ns, records) if pack.trace or records else ()
        return self._alerts(item, pack, began_ns) if isinstance(pack, Alerts) else ()

    def _readings(self, item: Heard, pack: Readings, began_ns: int, records: Sequence[Record]) -> list[Span]:
        now_ns, spans = self.now_ns(), []
        what = ref(pack)
        context = parse_traceparent(pack.trace)
        if context is not None and context.sampled:
            spans += self._stages(item, pack, context.trace_id, began_ns, now_ns, what)
        if any(isinstance(record, Alert) and record.origin == what for record in records):
            trace_id = trace_of_row(pack.agent, pack.epoch, pack.seq)
            if context is None or not context.sampled or context.trace_id != trace_id:
                spans += of_readings(pack, trace_id)
                spans += self._stages(item, pack, trace_id, began_ns, now_ns, what)
        return spans

    def _alerts(self, item: Heard, pack: Alerts, began_ns: int) -> list[Span]:
        now_ns = self.now_ns()
        spans: list[Span] = []
        for alert in pack.records:
            trace_id = trace_of_alert(alert)
            triage = triage_span(trace_id, alert.id, alert.version)
            spans += self._stages(item, pack, trace_id, began_ns, now_ns, "", triage)
        return spans

    def _stages(
        self, item: Heard, pack: Pack, trace_id: str, began_ns: int, now_ns: int, about: str, process_id: str = ""
    ) -> list[Span]:
        came_ns = min(item.at_ns, began_ns)
        received = span_id(trace_id, "receive", self._agent, ref(pack))
        receive = Span(
            trace_id=trace_id,
            span_id=received,
            parent=publish_id(trace_id, pack.agent, pack.epoch, pack.seq),
            name=names.RECEIVE.format(kind=item.kind),
            role=self._role,
            agent=self._agent,
            kind=SpanKind.CONSUMER,
            start_ns=came_ns,
            duration_ns=began_ns - came_ns,
            attributes=messaging("receive", item.kind, pack),
        )
        process = Span(
            trace_id=trace_id,
            span_id=process_id or span_id(trace_id, "score", self._agent, about),
            parent=received,
            name=names.PROCESS[item.kind],
            role=self._role,
            agent=self._agent,
            start_ns=began_ns,
            duration_ns=max(0, now_ns - began_ns),
        )
        return [receive, process]

    def refused(self, at_ns: int, origin: str, payload: bytes, reason: str, detail: str) -> Span:
        """The trace of input that broke the rules; the same input gives the same one."""
        trace_id = trace_refused(self._agent, origin, payload)
        attributes: Attributes = {names.ERROR: reason, names.DESTINATION: origin[:DETAIL]}
        return Span(
            trace_id=trace_id,
            span_id=span_id(trace_id, "refuse"),
            name=names.REFUSE,
            role=self._role,
            agent=self._agent,
            start_ns=at_ns,
            error=f"{reason}: {detail}"[:DETAIL],
            attributes=attributes,
        )

    # -- on their way -------------------------------------------------------------------------------------------------

    def add(self, spans: Sequence[Span]) -> None:
        """What a step has recorded, now that it is on the disk; may be called in any thread."""
        room = MOST_WAITING - len(self._waiting)
        self._waiting.extend(spans[:room])
        self.dropped += max(0, len(spans) - room)

    def take(self) -> Spans | None:
        """The next message; None: there is nothing to tell."""
        spans = [self._waiting.popleft() for _ in range(min(len(self._waiting), MESSAGE_SPANS))]
        return Spans(agent=self._agent, spans=tuple(spans), dropped=self.dropped) if spans else None

    def lost(self, spans: Spans) -> None:
        """A message could not be sent."""
        self.dropped += len(spans.spans)
