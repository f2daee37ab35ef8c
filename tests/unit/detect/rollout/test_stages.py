"""Rollout decisions: what is too much, when a stage is over, and which moves there are."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemesh.detect.base.signals import MODEL_SOURCE, Signal
from edgemesh.detect.rollout.stages import RolloutSettings, RolloutState, Tally, decide, done
from edgemesh.model.alerts import AlertKind
from edgemesh.model.rollouts import ROLLOUT_MOVES, RolloutStage
from edgemesh.model.settings import Seconds

S = 10**9
SETTINGS = RolloutSettings(shadow_rows=50, shadow_for=Seconds(60.0), canary_for=Seconds(120.0))
SHADOW, CANARY = RolloutStage.SHADOW, RolloutStage.CANARY


def state(stage: RolloutStage, rows: int, *, alerts: int = 0, before: int = 0, high: int = 0) -> RolloutState:
    """After so many rows at 1 s, each with a score of 0.5 or (so many) 0.95."""
    made = RolloutState(revision=1, version=2)
    made.enter(stage, 0)
    instants = [S + i * S for i in range(rows)]
    gaps = made.pass_time(instants)
    for tally, count in ((made.new, alerts), (made.former, before)):
        tally.note(instants, gaps, [])
        tally.alerts = count
        for row in range(rows):
            tally.score(0.95 if tally is made.new and row < high else 0.5)
    return made


@pytest.mark.parametrize(
    ("before", "next_stage", "said"),
    [
        (state(SHADOW, 40), None, ""),
        (state(SHADOW, 60), None, ""),
        (state(SHADOW, 61), CANARY, ""),
        (state(SHADOW, 61, high=20), RolloutStage.REFUSED, "33% of its scores"),
        (state(SHADOW, 10, alerts=2), None, ""),
        (
            state(SHADOW, 10, alerts=3),
            RolloutStage.REFUSED,
            "raised 3 alerts where the former one raised 0, on 10 rows",
        ),
        (state(CANARY, 10, alerts=4, before=1), None, ""),
        (state(CANARY, 10, alerts=5, before=1), RolloutStage.ROLLED_BACK, "raised 5 alerts"),
        (state(CANARY, 120), None, ""),
        (state(CANARY, 121, high=121), RolloutStage.PROMOTED, ""),
        (state(RolloutStage.PROMOTED, 500, alerts=9), None, ""),
    ],
)
def test_counts_decide(before: RolloutState, next_stage: RolloutStage | None, said: str) -> None:
    """Enough rows and time without too much of anything lead on; too much ends it at once, and is said in words."""
    move = decide(before, SETTINGS)
    assert (move[0] if move else None) is next_stage
    assert said in (move[1] if move else "")
    assert next_stage is None or next_stage in ROLLOUT_MOVES[before.stage]


def test_who_stands_longer_is_sent_back() -> None:
    """One alert that does not end counts by its time: 30 s and 20 rows more than twice that of the former one."""
    made = state(CANARY, 0)
    made.former.rows = 1
    raised = Signal(2 * S, AlertKind.MACHINE, MODEL_SOURCE, firing=True)
    for row in range(60):
        instants = [S + row * S]
        made.new.note(instants, made.pass_time(instants), [raised] if row == 1 else [])
        if decide(made, SETTINGS) is not None:
            break
    assert (row, made.new.firing_ns, made.new.alerts) == (32, 31 * S, 1)
    made.former.firing_ns, made.former.firing_rows = 1 * S, 1
    assert decide(made, SETTINGS) is None


def test_where_there_was_none_before_more_is_allowed() -> None:
    """An alert may be true then: one that stands is too much after 60 s and half of the time, many are at eleven."""
    raised = Signal(S, AlertKind.MACHINE, MODEL_SOURCE, firing=True)
    made = state(CANARY, 0)
    for row in range(100):
        instants = [S + row * S]
        made.new.note(instants, made.pass_time(instants), [raised] if row == 20 else [])
        if decide(made, SETTINGS) is not None:
            break
    assert (row, made.new.firing_ns) == (81, 61 * S)
    made = state(CANARY, 0)
    made.new.alerts = 10
    assert decide(made, SETTINGS) is None
    made.new.alerts = 11
    move = decide(made, SETTINGS)
    assert move is not None
    assert move[0] is RolloutStage.ROLLED_BACK


def test_slow_machines_are_judged_by_rows_too() -> None:
    """With a row a minute, an alert of three rows is longer than 30 s, and no reason."""
    made = state(CANARY, 0)
    raised = [Signal(60 * S, AlertKind.MACHINE, MODEL_SOURCE, firing=True)]
    made.new.note([60 * S], made.pass_time([60 * S]), raised)
    made.new.note([120 * S, 180 * S], made.pass_time([120 * S, 180 * S]), [])
    assert made.new.firing_ns == 120 * S
    assert decide(made, SETTINGS) is None or decide(made, SETTINGS) == (RolloutStage.PROMOTED, "")


def test_a_stand_still_is_no_time_on_trial() -> None:
    """A night without rows counts as ten minutes; time that goes back counts as none."""
    made = state(SHADOW, 0)
    assert made.pass_time([S, 2 * S, 40_000 * S, 39_000 * S, 40_001 * S]) == [0, S, 600 * S, 0, S]
    assert done(made, SETTINGS) == 0.0


def test_cost_counts_where_somebody_takes_the_time() -> None:
    """Ten times as long for a row is too much; without a stopwatch it plays no part."""
    made = state(SHADOW, 61)
    made.new.spent_ns = 10**9
    assert decide(made, SETTINGS) == (CANARY, "")
    made.former.spent_ns = 10**7
    move = decide(made, SETTINGS)
    assert move is not None
    assert move[0] is RolloutStage.REFUSED
    assert "us for a row" in move[1]


@given(st.lists(st.floats(0.0, 100.0), min_size=1, max_size=60), st.floats(0.01, 1.0))
def test_a_quantile_is_that_of_the_scores(scores: list[float], share: float) -> None:
    """To 0.05 below, and no higher than 4; the share of high scores is exact."""
    tally = Tally()
    for score in scores:
        tally.score(score)
    ranked = sorted(scores)
    need = next(k for k in range(len(ranked)) if (k + 1) >= share * len(ranked) - 1e-9)
    assert min(4.0, ranked[need]) - 0.051 <= tally.quantile(share) <= ranked[need] + 1e-9
    assert tally.high == pytest.approx(sum(int(s / 0.05) >= 18 for s in scores) / len(scores))


def test_states_of_before_there_were_rollouts_still_load() -> None:
    """Fields that came later have defaults, and a state comes back as it was saved."""
    assert msgspec.json.decode(b"{}", type=RolloutState) == RolloutState()
    made = state(CANARY, 30, alerts=2, high=3)
    assert msgspec.json.decode(msgspec.json.encode(made), type=RolloutState) == made
