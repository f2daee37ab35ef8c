"""What a detector tells of its scores: the greatest of each asset in each interval. Pure."""

from __future__ import annotations

import math

from edgemesh.detect.base.windows import Channel
from edgemesh.detect.watch import Watch
from edgemesh.model.told import Score

FIRST_NS = 946_684_800 * 10**9
"""2000: a Raspberry Pi without a network starts in 1970."""
SET_BACK_NS = 60 * 10**9
"""A row that is older by more is of a clock that was set back: what is open is of no time, and it begins anew."""


class ScoreBook:
    """Takes the score of each row, and has a point of an asset once a row of a later interval has come.

    Intervals are `every_s` long, by the time of the rows, and begin at whole multiples of it since 1970. What is open
    stands in the watch's state (`Peak`), so that a step that is taken back and comes again gives the same points. Rows
    that come late give none, nor do those of a clock that has not found its century.
    """

    def __init__(self, every_s: float) -> None:
        self._every_ns = max(1, round(every_s * 1e9))
        self._over: list[Score] = []

    def see(self, watch: Watch, at_ns: int, score: float, strangest: Channel | None) -> None:
        """A row was scored; `strangest` is the channel that deviates most, None while nothing is strange."""
        if not math.isfinite(score) or at_ns < FIRST_NS:
            return
        peak, interval = watch.state.peak, at_ns // self._every_ns
        if at_ns < peak.interval * self._every_ns - SET_BACK_NS:
            peak.interval = 0
        if interval < peak.interval or (interval == peak.interval and score <= peak.score):
            return
        if interval > peak.interval > 0:
            self._over.append(
                Score(
                    asset=watch.asset.id,
                    gateway=watch.state.gateway,
                    at_ns=peak.interval * self._every_ns,
                    score=round(max(0.0, peak.score), 4),
                    device=peak.device,
                    metric=peak.metric,
                )
            )
        peak.interval, peak.score = interval, score
        peak.device, peak.metric = strangest[:2] if strangest is not None else ("", "")

    def take(self) -> list[Score]:
        """Points that are complete since the last call, in the order in which they were."""
        over, self._over = self._over, []
        return over
