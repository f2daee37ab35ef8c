"""Measurements that dashboards show but nothing writes yet: tags and fields as they are agreed upon.

An entry goes away once `edgemesh/store/influx/measurements.py` has the measurement; from then on its panels must find
data, too.
"""

from __future__ import annotations

AWAITED: dict[str, frozenset[str]] = {
    "spans": frozenset(
        {
            "site", "service.name", "span.name", "trace_id", "span_id", "parent_span_id", "span.kind",
            "otel.status_code", "attributes", "duration_nano", "end_time_unix_nano",
        }
    ),
    "span-links": frozenset({"trace_id", "span_id", "linked_trace_id", "linked_span_id"}),
}  # fmt: skip
