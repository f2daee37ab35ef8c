"""Traces: what a rule remembers of its channel beside its switch."""

from __future__ import annotations

import msgspec

from edgemesh.detect.rules.levels import Baseline, Smooth
from edgemesh.detect.rules.slopes import Slope
from edgemesh.model.samples import Retimed


class Trace(msgspec.Struct, omit_defaults=True):
    """The parts that a rule needs, each empty until then: last votes, average, slope, baseline."""

    last_ns: int = -1
    ballots: list[int] = []
    smooth: Smooth = msgspec.field(default_factory=Smooth)
    slope: Slope = msgspec.field(default_factory=Slope)
    baseline: Baseline = msgspec.field(default_factory=Baseline)

    def pause(self) -> None:
        """The machine stands: the baseline stays, what spans a short time begins anew."""
        self.last_ns, self.ballots, self.smooth, self.slope = -1, [], Smooth(), Slope()

    def elapsed_s(self, at_ns: int, cap_ns: int) -> float:
        """Seconds since the sample before, at most `cap_ns` (0: no limit); 0 for the first one."""
        elapsed = max(0, at_ns - self.last_ns) if self.last_ns >= 0 else 0
        self.last_ns = at_ns
        return (min(elapsed, cap_ns) if cap_ns else elapsed) / 1e9

    def put_right(self, retimed: Retimed) -> None:
        """The clock is known now: go on as if it had been right all the time."""
        self.last_ns = retimed.at(self.last_ns)
        self.slope.put_right(retimed)
