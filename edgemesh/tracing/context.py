"""Trace context: the header `traceparent`, read leniently and written strictly. Pure.

Source: https://www.w3.org/TR/trace-context/
"""

from __future__ import annotations

import re
from typing import NamedTuple

SAMPLED = 0x01
_RANDOM = 0x02
_HEADER = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)


class TraceContext(NamedTuple):
    """Where in which trace something happens: 32 and 16 hexadecimal digits, neither of them all zeros.

    `sampled`: whether its spans are recorded. `random`: whether the last 56 bits of the trace id are as good as chance,
    which ours are; of a trace of others only they know.
    """

    trace_id: str
    span_id: str
    sampled: bool = True
    random: bool = True


def parse_traceparent(text: str) -> TraceContext | None:
    """The context that a header names; None, never an error, for one that names none: then a new trace begins.

    Blanks around it and what later versions have added behind it are passed over.
    """
    match = _HEADER.fullmatch(text.strip(" \t"))
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == "ff" or (version == "00" and more) or not (trace_id.strip("0") and span_id.strip("0")):
        return None
    bits = int(flags, 16)
    return TraceContext(trace_id, span_id, bool(bits & SAMPLED), bool(bits & _RANDOM))


def format_traceparent(context: TraceContext) -> str:
    """The header of version 00, 55 characters. ValueError when the ids are none."""
    text = f"00-{context.trace_id}-{context.span_id}-{_RANDOM * context.random | SAMPLED * context.sampled:02x}"
    if parse_traceparent(text) is None:
        raise ValueError(f"no ids of a trace: {context}")
    return text
