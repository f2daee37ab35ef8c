"""Spans: what one stage of the way of a reading took, as agents tell it and the history keeps it."""

from __future__ import annotations

import enum
from typing import Annotated

from msgspec import Meta

from edgemesh.model.agents import Count, Role
from edgemesh.model.ids import Id
from edgemesh.model.samples import At, Record

TraceId = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}(?!\n)$", description="32 lower-case hexadecimal digits")]
SpanId = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}(?!\n)$", description="16 lower-case hexadecimal digits")]
ParentId = Annotated[str, Meta(pattern=r"^([0-9a-f]{16})?(?!\n)$", description="as a span's id; empty: none")]
Name = Annotated[str, Meta(min_length=1, max_length=64)]
Detail = Annotated[str, Meta(max_length=512)]
MAX_SPANS = 1_000
"""Of one message."""
MAX_ATTRIBUTES = 16


class SpanKind(enum.IntEnum):
    """What a span is in the talk between agents; the numbers are those of OTLP."""

    INTERNAL = 1
    SERVER = 2
    CLIENT = 3
    PRODUCER = 4
    CONSUMER = 5


class Link(Record, frozen=True, kw_only=True):
    """A span of another trace that this one goes on from."""

    trace_id: TraceId
    span_id: SpanId


class Span(Record, frozen=True, kw_only=True):
    """One stage of a trace. The same stage of the same thing always has the same `span_id`, however often it is told.

    `parent` is empty for the first one; `name` is one of `tracing.names`. `role` and `agent` say who worked; `error`
    is empty where all went well.
    """

    trace_id: TraceId
    span_id: SpanId
    parent: ParentId = ""
    name: Name
    role: Role
    agent: Id
    kind: SpanKind = SpanKind.INTERNAL
    start_ns: At
    duration_ns: Count = 0
    error: Detail = ""
    attributes: Annotated[dict[Name, Detail | int | float], Meta(max_length=MAX_ATTRIBUTES)] = {}
    links: Annotated[tuple[Link, ...], Meta(max_length=8)] = ()

    @property
    def end_ns(self) -> int:
        """The instant at which it was over."""
        return self.start_ns + self.duration_ns


class Spans(Record, frozen=True, kw_only=True, tag_field="v", tag=1):
    """What an agent has recorded since its last message; it goes once and may get lost. `dropped`: since its start."""

    agent: Id
    spans: Annotated[tuple[Span, ...], Meta(max_length=MAX_SPANS)]
    dropped: Count = 0
