"""Ids of traces and spans, derived from what they are about: whoever knows that, knows them, and a step that is done
again gives the same ones. Pure.

The last 56 bits of a trace id are as good as chance and say whether the trace is recorded, as with
https://www.w3.org/TR/trace-context-2/#random-trace-id-flag. Those of a row are an additive sequence by the golden ratio
(Knuth, The Art of Computer Programming, vol. 3, 6.4), so that a row that is not recorded costs no hash.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from math import isqrt

from edgemesh.model.alerts import Alert

_RANGE = 1 << 56
_GOLDEN = (isqrt(5 << 112) - _RANGE) >> 1 | 1
"""The range divided by the golden ratio, made odd."""


def _digest(about: str, size: int) -> str:
    return blake2b(about.encode("utf-8", "replace"), digest_size=size, person=b"edgemesh").hexdigest()


@lru_cache(maxsize=4_096)
def _salt(agent: str, epoch: str) -> int:
    return int(_digest(f"log\x1f{agent}\x1f{epoch}", 7), 16)


def _chance(agent: str, epoch: str, seq: int) -> int:
    return (_salt(agent, epoch) + seq * _GOLDEN) % _RANGE


def trace_of_row(agent: str, epoch: str, seq: int) -> str:
    """The trace of a row of a gateway's log."""
    front = _digest(f"row\x1f{agent}/{epoch}/{seq}", 9)
    return f"{front}{_chance(agent, epoch, seq):014x}"


def trace_of_alert(alert: Alert) -> str:
    """The trace of the row whose reading raised the alert; where time alone did, one of its own."""
    agent, _, rest = alert.origin.partition("/")
    epoch, _, seq = rest.partition("/")
    if seq.isascii() and seq.isdigit() and len(seq) < 20:
        return trace_of_row(agent, epoch, int(seq))
    return _digest(f"alert\x1f{alert.id}", 16)


def trace_continued(order: str) -> str:
    """The trace in which an order goes on once the one of its alert is long over."""
    return _digest(f"order\x1f{order}", 16)


def trace_refused(agent: str, origin: str, payload: bytes) -> str:
    """The trace of input that an agent has refused."""
    return _digest(f"refused\x1f{agent}\x1f{origin}\x1f{payload.hex()}", 16)


def span_id(trace_id: str, *about: str | int) -> str:
    """The span of a trace that is about this."""
    return _digest("\x1f".join(map(str, (trace_id, *about))), 8)


def publish_id(trace_id: str, agent: str, epoch: str, seq: int) -> str:
    """The span in which a row goes out: what its readers do is done because of it."""
    return span_id(trace_id, "publish", f"{agent}/{epoch}/{seq}")


def threshold(share: float) -> int:
    """The least chance with which a trace is recorded, where `share` (0 to 1) of all traces are."""
    return round((1.0 - share) * _RANGE)


def is_sampled(trace_id: str, share: float) -> bool:
    """Whether a trace is recorded from its head, where `share` (0 to 1) of all traces are."""
    return int(trace_id[-14:], 16) >= threshold(share)


def is_row_sampled(agent: str, epoch: str, seq: int, least: int) -> bool:
    """Whether the trace of a row is; `least` is the `threshold` of the share."""
    return _chance(agent, epoch, seq) >= least
