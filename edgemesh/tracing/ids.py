"""Ids of traces and spans, derived from what they are about: whoever knows that, knows them, and a step that is done
again gives the same ones. Pure.

The hash is as good as chance, so the last 56 bits of a trace id can say whether the trace is recorded, as with
https://www.w3.org/TR/trace-context-2/#random-trace-id-flag.
"""

from __future__ import annotations

from hashlib import blake2b

from edgemesh.model.alerts import Alert

_RANGE = 1 << 56


def _digest(size: int, parts: tuple[str | int, ...]) -> str:
    return blake2b("\x1f".join(map(str, parts)).encode(), digest_size=size, person=b"edgemesh").hexdigest()


def trace_of_row(agent: str, epoch: str, seq: int) -> str:
    """The trace of a row of a gateway's log."""
    return _digest(16, ("row", f"{agent}/{epoch}/{seq}"))


def trace_of_alert(alert: Alert) -> str:
    """The trace of the row whose reading raised the alert; where time alone did, one of its own."""
    return _digest(16, ("row", alert.origin)) if alert.origin else _digest(16, ("alert", alert.id))


def trace_continued(order: str) -> str:
    """The trace in which an order goes on once the one of its alert is long over."""
    return _digest(16, ("order", order))


def trace_refused(agent: str, origin: str, payload: bytes) -> str:
    """The trace of input that an agent has refused."""
    return _digest(16, ("refused", agent, origin, payload.hex()))


def span_id(trace_id: str, *about: str | int) -> str:
    """The span of a trace that is about this."""
    return _digest(8, (trace_id, *about))


def publish_id(trace_id: str, agent: str, epoch: str, seq: int) -> str:
    """The span in which a row goes out: what its readers do is done because of it."""
    return _digest(8, (trace_id, "publish", f"{agent}/{epoch}/{seq}"))


def is_sampled(trace_id: str, share: float) -> bool:
    """Whether a trace is recorded from its head, where `share` (0 to 1) of all traces are."""
    return int(trace_id[-14:], 16) >= round((1.0 - share) * _RANGE)
