"""Gates: rules that count only while the machine runs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from edgemesh.detect.base.columns import Columns


class Gate(msgspec.Struct, omit_defaults=True):
    """Since when a gate's metric has been non-zero; None: it is zero, or was never seen."""

    since_ns: int | None = None


@dataclass(slots=True)
class GateTrack:
    """How a gate stood over the time of one pack.

    >>> track = GateTrack([-1, 100, 200], [None, 100, None])
    >>> [track.is_open(at, 50) for at in (120, 150, 199, 250)]
    [False, True, True, False]
    """

    times: list[int]
    since: list[int | None]

    def is_open(self, at_ns: int, for_ns: int) -> bool:
        """Whether the metric had been non-zero for `for_ns` at that instant."""
        since = self.since[max(0, bisect_right(self.times, at_ns) - 1)]
        return since is not None and at_ns - since >= for_ns


def track_gate(gate: Gate, metric: str, columns: Sequence[Columns]) -> GateTrack:
    """Follow the gate through the pack and leave it as it stands at the end. Unknown changes nothing."""
    readings = [
        (at, value)
        for part in columns
        if metric in part.metrics
        for at, value in zip(part.at_ns, part.values[part.metrics.index(metric)], strict=True)
        if value is not None and value == value
    ]
    track = GateTrack([-1], [gate.since_ns])
    for at, value in sorted(readings, key=lambda reading: reading[0]):
        since = (at if gate.since_ns is None else gate.since_ns) if value != 0.0 else None
        if since != gate.since_ns:
            gate.since_ns = since
            track.times.append(at)
            track.since.append(since)
    return track
