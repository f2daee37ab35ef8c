"""The tracer of an agent: which rows are recorded, and what its own stages took.

It stands beside the core and the log, never in their way: what it has recorded is sent once, may get lost, and is
counted where it gave way. Ids are derived (`tracing.ids`), so a step that is done again tells the same spans again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from edgemesh.agents.clock import Clock
from edgemesh.agents.items import Heard
from edgemesh.model.agents import Role
from edgemesh.model.alerts import Alert
from edgemesh.model.orders import WorkOrder
from edgemesh.model.packs import Alerts, Pack, Readings
from edgemesh.model.samples import Record
from edgemesh.model.spans import Span, SpanKind, Spans
from edgemesh.tracing import names
from edgemesh.tracing.chain import Attributes, begun_by, messaging, of_readings, ref, triage_span
from edgemesh.tracing.context import TraceContext, format_traceparent, parse_traceparent
from edgemesh.tracing.ids import (
    is_row_sampled,
    publish_id,
    span_id,
    threshold,
    trace_of_alert,
    trace_of_row,
    trace_refused,
)

MOST_WAITING = 2_000
"""Stages that wait to be sent; more of them give way."""
MESSAGE_SPANS = 16
"""Of one message at most, some 5 KB: on a link of 64 kbit/s an alert waits behind it for no longer than 0.7 s."""
DETAIL = 128
HEADER_SIGNS = 512
"""What a device sends as traceparent and is longer is none, whatever it begins with."""


class Stage(NamedTuple):
    """That a pack was taken in, as noted on the way; the two spans are made of it when they are sent.

    `traceparent` is what the header of the pack says, where no `trace_id` is given; `process_id` names the second
    span where its parts don't.
    """

    kind: str
    traceparent: str
    agent: str
    epoch: str
    seq: int
    came_ns: int
    began_ns: int
    over_ns: int
    trace_id: str = ""
    process_id: str = ""


Told = Span | Stage


class Tracer:
    """Records for one agent; `share` (0 to 1) of the packs of readings are recorded from the head."""

    def __init__(self, agent: str, role: Role, clock: Clock, *, share: float) -> None:
        self._agent, self._role, self._clock, self._least = agent, role, clock, threshold(share)
        self._waiting: deque[Told] = deque()
        self.dropped = self.ignored = 0

    def continued(self, said: str) -> str:
        """The traceparent that a device has sent, written strictly; empty for one that says it is not recorded, and for
        what is none: that is counted as `ignored`.
        """
        context = parse_traceparent(said) if len(said) <= HEADER_SIGNS else None
        if context is None:
            self.ignored += 1
            return ""
        return format_traceparent(context) if context.sampled else ""

    # -- rows of our own log ------------------------------------------------------------------------------------------

    def traceparent(self, records: Sequence[Record], epoch: str, seq: int) -> str:
        """What a row says of its trace: where it goes out; empty for readings that are not recorded.

        A row of readings continues the first trace that a device has begun in it, else it may begin one of its own.
        """
        first = records[0] if records else None
        random = True
        if isinstance(first, Alert):
            trace_id = trace_of_alert(first)
        elif isinstance(first, WorkOrder):
            context = parse_traceparent(first.trace)
            if context is None:
                return ""
            trace_id = context.trace_id
        elif begun := next(filter(None, map(begun_by, records)), None):
            trace_id, random = begun.trace_id, begun.random
        else:
            if not is_row_sampled(self._agent, epoch, seq, self._least):
                return ""
            trace_id = trace_of_row(self._agent, epoch, seq)
        itself = publish_id(trace_id, self._agent, epoch, seq)
        return format_traceparent(TraceContext(trace_id, itself, random=random))

    # -- what we have taken in ----------------------------------------------------------------------------------------

    def now_ns(self) -> int:
        """The time of the agent."""
        return self._clock.now_ns()

    def handled(self, item: Heard, pack: Pack, began_ns: int, records: Sequence[Record]) -> Sequence[Told]:
        """What it took to take a pack in: until its turn had come at `began_ns`, and from there until now."""
        if self._role is Role.RECORDER:  # it works on nothing: what it keeps is told by the packs themselves
            return ()
        if isinstance(pack, Readings):
            return self._readings(item, pack, began_ns, records) if pack.trace or records else ()
        return self._alerts(item, pack, began_ns) if isinstance(pack, Alerts) else ()

    def _readings(self, item: Heard, pack: Readings, began_ns: int, records: Sequence[Record]) -> Sequence[Told]:
        now_ns = self._clock.now_ns()
        if not records:
            return (Stage("readings", pack.trace, pack.agent, pack.epoch, pack.seq, item.at_ns, began_ns, now_ns),)
        told: list[Told] = []
        context = parse_traceparent(pack.trace)
        head = context.trace_id if context is not None and context.sampled else ""
        own = trace_of_row(pack.agent, pack.epoch, pack.seq)
        raised = any(isinstance(record, Alert) and record.origin == ref(pack) for record in records)
        if raised and head != own:
            told += of_readings(pack, own)
        for trace_id in dict.fromkeys([head] * bool(head) + [own] * raised):
            told.append(self._stage(item, pack, began_ns, now_ns, trace_id))
        return told

    def _alerts(self, item: Heard, pack: Alerts, began_ns: int) -> list[Told]:
        now_ns = self._clock.now_ns()
        told: list[Told] = []
        for alert in pack.records:
            trace_id = trace_of_alert(alert)
            triage = triage_span(trace_id, alert.id, alert.version)
            told.append(self._stage(item, pack, began_ns, now_ns, trace_id, triage))
        return told

    def _stage(self, item: Heard, pack: Pack, began_ns: int, now_ns: int, trace_id: str, process_id: str = "") -> Stage:
        return Stage(
            item.kind, "", pack.agent, pack.epoch, pack.seq, item.at_ns, began_ns, now_ns, trace_id, process_id
        )

    def _spans(self, stage: Stage) -> list[Span]:
        """Receive and process of a pack; none where its header names no trace that is recorded."""
        trace_id = stage.trace_id
        if not trace_id:
            context = parse_traceparent(stage.traceparent)
            if context is None or not context.sampled:
                return []
            trace_id = context.trace_id
        what = f"{stage.agent}/{stage.epoch}/{stage.seq}"
        came_ns = min(stage.came_ns, stage.began_ns)
        received = span_id(trace_id, "receive", self._agent, what)
        receive = Span(
            trace_id=trace_id,
            span_id=received,
            parent=publish_id(trace_id, stage.agent, stage.epoch, stage.seq),
            name=names.RECEIVE.format(kind=stage.kind),
            role=self._role,
            agent=self._agent,
            kind=SpanKind.CONSUMER,
            start_ns=came_ns,
            duration_ns=stage.began_ns - came_ns,
            attributes=messaging("receive", stage.kind, stage.agent, stage.epoch, stage.seq),
        )
        process = Span(
            trace_id=trace_id,
            span_id=stage.process_id or span_id(trace_id, "score", self._agent, what),
            parent=received,
            name=names.PROCESS[stage.kind],
            role=self._role,
            agent=self._agent,
            start_ns=stage.began_ns,
            duration_ns=max(0, stage.over_ns - stage.began_ns),
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

    def add(self, told: Sequence[Told]) -> None:
        """What a step has recorded, now that it is on the disk; may be called in any thread."""
        room = max(0, MOST_WAITING - len(self._waiting))
        self._waiting.extend(told[:room])
        self.dropped += max(0, len(told) - room)

    def take(self) -> Spans | None:
        """The next message; None: there is nothing to tell."""
        spans: list[Span] = []
        while self._waiting and len(spans) < MESSAGE_SPANS:
            told = self._waiting.popleft()
            spans += self._spans(told) if isinstance(told, Stage) else [told]
        return Spans(agent=self._agent, spans=tuple(spans), dropped=self.dropped) if spans else None

    def put_back(self, spans: Spans) -> None:
        """A message could not be sent now: its spans are the next."""
        self._waiting.extendleft(reversed(spans.spans))
