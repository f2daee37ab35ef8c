"""Rollout: from a model that is offered to one that judges alone, or is sent back. Pure decisions on counted rows.

    waiting -> shadow -> canary -> promoted
         |        |         `----> rolled back
         `--------`--------------> refused

In shadow the new model judges the same rows as the present one and nobody hears of it; as a canary it judges, and the
former one goes on in its shadow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from edgemesh.detect.base.signals import Signal
from edgemesh.detect.learning.memory import LearnerState
from edgemesh.model.rollouts import ModelFigures, RolloutStage
from edgemesh.model.samples import Retimed
from edgemesh.model.settings import Seconds, Settings

HIGH = 0.9
"""A score from here on is high: near its limit, or beyond."""
_BIN = 0.05
_BINS = 80
_LONGEST_GAP_NS = 600 * 10**9
_EXCESS_ROWS = 20
_ALONE_TIMES = 2
_ALONE_ALERTS = 6


class RolloutSettings(Settings, frozen=True, kw_only=True):
    """How long a new model is watched, and by how much it may be worse than the former one on the same rows.

    In shadow for so many rows and so long, then as a canary for so long; only time in which rows come counts. It may
    begin `excess_times` the alerts of the former one and `excess_alerts` more, and let them stand `excess_times` as
    long and `excess_for` (and 20 rows) longer; `excess_share` more of its scores may be high; `excess_cost`: it may
    take so many times as long for a row.
    """

    shadow_rows: Annotated[int, Meta(ge=1, le=1_000_000)] = 300
    shadow_for: Seconds = Seconds(600.0)
    canary_for: Seconds = Seconds(1800.0)
    excess_alerts: Annotated[int, Meta(ge=0, le=1000)] = 2
    excess_times: Annotated[float, Meta(ge=1.0, le=100.0)] = 2.0
    excess_for: Seconds = Seconds(30.0)
    excess_share: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.2
    excess_cost: Annotated[float, Meta(ge=1.0, le=1000.0)] = 10.0


class Tally(msgspec.Struct, omit_defaults=True):
    """What one of the two models makes of the rows of a stage. `bins`: scores by steps of 0.05, the last one open.

    `firing`: whether an alert of its own stands; `firing_rows` and `firing_ns`: how long any did.
    """

    rows: int = 0
    alerts: int = 0
    firing: bool = False
    firing_rows: int = 0
    firing_ns: int = 0
    spent_ns: int = 0
    bins: list[int] = []

    def note(self, instants: Sequence[int], gaps: Sequence[int], signals: Sequence[Signal]) -> None:
        """Rows were judged, each so long after the one before; `signals` are what came of it, in order of time."""
        place = 0
        for at_ns, gap in zip(instants, gaps, strict=True):
            self.rows += 1
            if self.firing:
                self.firing_rows += 1
                self.firing_ns += gap
            while place < len(signals) and signals[place].at_ns <= at_ns:
                self.firing = signals[place].firing
                self.alerts += self.firing
                place += 1

    def score(self, score: float) -> None:
        """A row had this score."""
        place = min(_BINS, max(0, int(score / _BIN)))
        self.bins += [0] * (place + 1 - len(self.bins))
        self.bins[place] += 1

    @property
    def high(self) -> float:
        """The share of rows whose score was high."""
        return sum(self.bins[round(HIGH / _BIN) :]) / max(1, sum(self.bins))

    def quantile(self, share: float) -> float:
        """The score that this share of the rows does not exceed, to 0.05 and up to 4; 0 without rows.

        >>> tally = Tally()
        >>> for score in (0.11, 0.12, 0.31, 7.0): tally.score(score)
        >>> tally.quantile(0.5), tally.quantile(0.75), tally.quantile(0.99), tally.high
        (0.1, 0.3, 4.0, 0.25)
        """
        left = share * sum(self.bins)
        for place, count in enumerate(self.bins):
            left -= count
            if left <= 0.0 and count:
                return round(place * _BIN, 2)
        return 0.0

    @property
    def us_per_row(self) -> float:
        """Microseconds for a row; 0 where nobody took the time."""
        return self.spent_ns / 1000 / max(1, self.rows)

    @property
    def figures(self) -> ModelFigures:
        """All of it for others."""
        return ModelFigures(
            rows=self.rows,
            alerts=self.alerts,
            firing_s=round(self.firing_ns / 1e9, 3),
            high=round(self.high, 4),
            median=self.quantile(0.5),
            top=self.quantile(0.99),
            us_per_row=round(self.us_per_row, 1),
        )


class RolloutState(msgspec.Struct, omit_defaults=True):
    """The newest offer that was looked at, and how far it is; `revision` 0: there was none.

    `since_ns`: when the stage began, by the receiver's clock. `last_ns` and `lasted_ns`: the newest row, and how long
    rows have come in this stage. `tenth`: how many tenths of the stage are over. `beside` is what the model in the
    shadow remembers; None: there is none. `renewed_ns`: when a part was replaced last; 0: never.
    """

    revision: int = 0
    version: int = 0
    stage: RolloutStage = RolloutStage.WAITING
    reason: str = ""
    since_ns: int = 0
    last_ns: int = 0
    lasted_ns: int = 0
    tenth: int = 0
    new: Tally = msgspec.field(default_factory=Tally)
    former: Tally = msgspec.field(default_factory=Tally)
    beside: LearnerState | None = None
    renewed_ns: int = 0

    @property
    def runs(self) -> bool:
        """Whether rows count."""
        return self.revision > 0 and self.stage in (RolloutStage.SHADOW, RolloutStage.CANARY)

    def enter(self, stage: RolloutStage, now_ns: int, reason: str = "") -> None:
        """Begin a stage; what was counted stays until rows of it come only where it is the last."""
        self.stage, self.reason, self.since_ns = stage, reason[:1024], now_ns
        if not stage.over:
            self.last_ns = self.lasted_ns = self.tenth = 0
            self.new, self.former = Tally(), Tally()

    def put_right(self, retimed: Retimed) -> None:
        """The gateway's clock is known now."""
        self.last_ns = retimed.at(self.last_ns)
        if self.beside is not None:
            self.beside.switch.put_right(retimed)

    def pass_time(self, instants: Sequence[int]) -> list[int]:
        """Rows have come: how long each came after the one before, in ns; a stand-still counts as ten minutes."""
        gaps = []
        for at_ns in instants:
            gaps.append(min(_LONGEST_GAP_NS, max(0, at_ns - self.last_ns)) if self.last_ns else 0)
            self.last_ns = max(self.last_ns, at_ns)
        self.lasted_ns += sum(gaps)
        return gaps


def done(state: RolloutState, settings: RolloutSettings) -> float:
    """How much of the stage is over, 0 to 1."""
    if state.stage is RolloutStage.CANARY:
        return _share(state.lasted_ns / 1e9, settings.canary_for) if state.new.rows else 0.0
    if state.stage is RolloutStage.SHADOW:
        return min(_share(state.new.rows, settings.shadow_rows), _share(state.lasted_ns / 1e9, settings.shadow_for))
    return float(state.stage.over)


def decide(state: RolloutState, settings: RolloutSettings) -> tuple[RolloutStage, str] | None:
    """The next stage and why; None: go on."""
    if not state.runs:
        return None
    shadow = state.stage is RolloutStage.SHADOW
    alone = not state.former.rows and not shadow
    if why := excess_alone(state, settings) if alone else excess(state.new, state.former, settings):
        return (RolloutStage.REFUSED if shadow else RolloutStage.ROLLED_BACK), why
    if done(state, settings) < 1.0:
        return None
    if shadow and (why := worse(state.new, state.former, settings)):
        return RolloutStage.REFUSED, why
    return (RolloutStage.CANARY if shadow else RolloutStage.PROMOTED), ""


def excess(new: Tally, former: Tally, settings: RolloutSettings) -> str:
    """What is clearly too much of alerts, in words; empty: nothing."""
    times = settings.excess_times
    if new.alerts > times * former.alerts + settings.excess_alerts:
        return f"it raised {new.alerts} alerts where the former one raised {former.alerts}, on {new.rows} rows"
    longer = new.firing_ns > times * former.firing_ns + settings.excess_for * 1e9
    if longer and new.firing_rows > times * former.firing_rows + _EXCESS_ROWS:
        new_s, former_s = new.firing_ns / 1e9, former.firing_ns / 1e9
        return f"its alerts stood for {new_s:.0f} s where those of the former one stood for {former_s:.0f} s"
    return ""


def excess_alone(state: RolloutState, settings: RolloutSettings) -> str:
    """What is too much where there was no model before: more may be true then, so much more is allowed."""
    new, least_ns = state.new, _ALONE_TIMES * settings.excess_for * 1e9
    if new.alerts > _ALONE_TIMES * settings.excess_alerts + _ALONE_ALERTS:
        return f"it raised {new.alerts} alerts on {new.rows} rows"
    if new.firing_ns > max(least_ns, state.lasted_ns / 2) and new.firing_rows > _EXCESS_ROWS:
        return f"its alerts stood for {new.firing_ns / 1e9:.0f} of {state.lasted_ns / 1e9:.0f} s"
    return ""


def worse(new: Tally, former: Tally, settings: RolloutSettings) -> str:
    """What of scores and cost is clearly worse, in words; empty: nothing."""
    if new.high > former.high + settings.excess_share:
        return f"{new.high:.0%} of its scores are 0.9 and more, of the former one's {former.high:.0%}"
    if former.spent_ns and new.us_per_row > settings.excess_cost * former.us_per_row:
        return f"it takes {new.us_per_row:.0f} us for a row, the former one {former.us_per_row:.0f}"
    return ""


def _share(part: float, whole: float) -> float:
    return min(1.0, part / whole) if whole > 0.0 else 1.0
