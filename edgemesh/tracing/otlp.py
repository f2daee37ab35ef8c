"""Spans as OTLP says them: the JSON form of its export request, and of the answer. Pure.

Source: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding (ids are hexadecimal, 64-bit integers texts).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from edgemesh.model.spans import Span
from edgemesh.tracing import names

_ERROR = 2


def export_request(site: str, version: str, spans: Sequence[Span]) -> bytes:
    """The body of one `POST /v1/traces`: each agent is a resource of its own. `version` is that of edgemesh."""
    agents: dict[tuple[str, str], list[Span]] = {}
    for span in spans:
        agents.setdefault((span.role.value, span.agent), []).append(span)
    return msgspec.json.encode(
        {"resourceSpans": [_resource(site, version, role, agent, told) for (role, agent), told in agents.items()]}
    )


class _Partial(msgspec.Struct, rename="camel"):
    rejected_spans: int | str = 0
    error_message: str = ""


class _Answer(msgspec.Struct, rename="camel"):
    partial_success: _Partial | None = None


_decode_answer = msgspec.json.Decoder(_Answer).decode


def refused_spans(answer: bytes) -> tuple[int, str]:
    """How many spans a collector that said 200 has refused all the same, and why; none where it says nothing readable.

    They must not be sent again.
    """
    try:
        partial = _decode_answer(answer).partial_success
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return 0, ""
    if partial is None:
        return 0, ""
    said = str(partial.rejected_spans)
    return (int(said) if said.isascii() and said.isdecimal() and len(said) < 19 else 0), partial.error_message


def _resource(site: str, version: str, role: str, agent: str, spans: Iterable[Span]) -> dict[str, Any]:
    about = {
        "service.name": role,
        "service.namespace": names.NAMESPACE,
        "service.instance.id": agent,
        "service.version": version,
        "edgemesh.site": site,
    }
    scope = {"scope": {"name": names.NAMESPACE, "version": version}, "spans": [_span(span) for span in spans]}
    return {"resource": {"attributes": _attributes(about)}, "scopeSpans": [scope], "schemaUrl": names.SCHEMA_URL}


def _span(span: Span) -> dict[str, Any]:
    said: dict[str, Any] = {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "name": span.name,
        "kind": int(span.kind),
        "startTimeUnixNano": str(span.start_ns),
        "endTimeUnixNano": str(span.end_ns),
        "attributes": _attributes(span.attributes),
        "links": [{"traceId": link.trace_id, "spanId": link.span_id} for link in span.links],
    }
    if span.parent:
        said["parentSpanId"] = span.parent
    if span.error:
        said["status"] = {"code": _ERROR, "message": span.error}
    return said


def _attributes(values: Mapping[str, str | int | float]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _value(value)} for name, value in values.items()]


def _value(value: str | int | float) -> dict[str, Any]:
    if isinstance(value, str):
        return {"stringValue": value}
    return {"intValue": str(value)} if isinstance(value, int) else {"doubleValue": value}
