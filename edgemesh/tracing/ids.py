"""Ids of traces and spans, derived from what they are about: whoever knows that, knows them, and a step that is done
again gives the same ones. Pure.

The hash is as good as chance, so the last 56 bits of a trace id can say whether the trace is recorded, as with
https://www.w3.org/TR/trace-context-2/#random-trace-id-flag.
"""

from __future__ import annotations

from hashlib import blake2b

from edgemesh.model.alerts import Alert

_RANGE = 1 << 56


def _trace(about: str) -> str:
    return blake2b(about.encode("utf-8", "replace"), digest_size=16, person=b"edgemesh").hexdigest()


def trace_of_row(agent: str, epoch: str, seq: int) -> str:
    """The trace of a row of a gateway's log."""
    return _trace(f"row\x1f{agent}/{epoch}/{seq}")


def trace_of_alert(alert: Alert) -> str:
    """The trace of the row whose reading raised the alert; where time alone did, one of its own."""
    return _trace(f"row\x1f{alert.origin}" if alert.origin else f"alert\x1f{alert.id}")


def trace_continued(order: str) -> str:
    """The trace in which an order goes on once the one of its alert is long over."""
    return _trace(f"order\x1f{order}")


def trace_refused(agent: str, origin: str, payload: bytes) -> str:
    """The trace of input that an agent has refused."""
    return _trace(f"refused\x1f{agent}\x1f{origin}\x1f{payload.hex()}")


def span_id(trace_id: str, *about: str | int) -> str:
    """The span of a trace that is about this."""
    text = "\x1f".join(map(str, (trace_id, *about)))
    return blake2b(text.encode("utf-8", "replace"), digest_size=8, person=b"edgemesh").hexdigest()


def publish_id(trace_id: str, agent: str, epoch: str, seq: int) -> str:
    """The span in which a row goes out: what its readers do is done because of it."""
    return span_id(trace_id, "publish", f"{agent}/{epoch}/{seq}")


def is_sampled(trace_id: str, share: float) -> bool:
    """Whether a trace is recorded from its head, where `share` (0 to 1) of all traces are."""
    return int(trace_id[-14:], 16) >= round((1.0 - share) * _RANGE)
