"""When a machine leaves normal, and when it is back or has settled elsewhere."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgemesh.detect.methods.episodes import MOVES, Episodes, EpisodeState, Fact, Pace, Phase

Floats = NDArray[np.float64]
CHANCE = np.random.default_rng(7)
NOISE = CHANCE.normal(size=(1500, 3)) * 0.2


def chart(deviations: Floats) -> Floats:
    return np.asarray(np.abs(deviations).max(axis=1))


def begin(pace: Pace | None = None) -> Episodes:
    return Episodes(chart, NOISE[:90], pace)


def spans(rows: Floats, unsettled: Floats | None = None, episodes: Episodes | None = None) -> list[tuple[int, int]]:
    flags = (episodes or begin()).judge(rows, np.zeros(len(rows)) if unsettled is None else unsettled).flags
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags, [0]]).astype(int))).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def fault(first: int, last: int, size: float = 3.0, channel: int = 1, rows: int = 600) -> Floats:
    table = NOISE[100 : 100 + rows].copy()
    table[first:last, channel] += size
    return table


def test_the_table_leads_from_every_phase_and_knows_every_fact() -> None:
    """No dead end, no fact without a move."""
    assert {phase for phase, _ in MOVES} == set(Phase) == set(MOVES.values())
    assert {fact for _, fact in MOVES} == set(Fact)


def test_calm_rows_are_calm() -> None:
    """Noise within the limit never starts an episode, and the baseline stays near it."""
    episodes = begin()
    assert spans(NOISE[90:], episodes=episodes) == []
    assert np.abs(episodes.baseline).max() < 0.1


def test_a_big_fault_within_three_rows_a_doubtful_one_later() -> None:
    """The sum of strangeness decides: the stronger, the sooner."""
    [(big, _)] = spans(fault(200, 300, 4.0))
    [(doubtful, _)] = spans(fault(200, 300, 1.5))
    assert big <= 203 < doubtful <= 225


def test_back_at_the_baseline_ends_it_after_a_hold() -> None:
    """One fault, one episode; it lasts until the machine has stayed back for 45 ticks."""
    [(first, last)] = spans(fault(200, 300))
    assert first < 210
    assert 340 <= last <= 350


def test_settled_elsewhere_ends_it_and_is_the_new_normal() -> None:
    """The machine comes back to another level: that is accepted, and the old normal still counts as normal."""
    table = fault(200, 300)
    table[300:, 2] += 1.6
    table[500:, 2] -= 1.6
    episodes = begin()
    [(_, last)] = spans(table[:500], episodes=episodes)
    assert 325 <= last <= 350
    assert episodes.baseline[2] == pytest.approx(1.6, abs=0.3)
    assert spans(table[500:], episodes=episodes) == []


def test_a_fault_that_comes_back_during_probation_is_the_same_fault() -> None:
    """Off for a moment, then on again at the same level: the alarm is resumed."""
    table = fault(200, 300)
    table[300:370, 2] += 1.6
    table[370:450, 1] += 3.0
    assert spans(table)[1][0] <= 380


def test_the_baseline_of_an_episode_is_the_one_before_its_onset() -> None:
    """What the baseline followed on the way into the fault is taken back."""
    table = NOISE[100:800].copy()
    table[200:400, 0] += np.minimum(np.arange(200) / 60.0, 2.5)
    episodes = begin()
    episodes.judge(table[:300], np.zeros(300))
    assert episodes.phase is Phase.ALARM
    assert episodes.baseline[0] < 0.25


def test_slow_channels_keep_an_episode_open_but_never_start_one() -> None:
    """While temperatures move unusually fast, nothing is over; alone they mean nothing."""
    unsettled = np.zeros(600)
    unsettled[250:420] = 2.0
    assert spans(NOISE[100:700], unsettled) == []
    [(_, later)] = spans(fault(200, 300), unsettled)
    assert later >= 450


def test_an_acknowledgement_takes_the_benefit_of_the_doubt_away() -> None:
    """A second, weaker fault soon after the first is seen sooner."""

    def seen(*, acknowledged: bool) -> int:
        episodes, table = begin(), fault(200, 300)
        table[450:560, 0] += 1.7
        episodes.judge(table[:430], np.zeros(430))
        assert episodes.phase is Phase.CALM
        if acknowledged:
            episodes.acknowledge()
        flags = episodes.judge(table[430:], np.zeros(170)).flags
        return flags.index(True) if any(flags) else 10_000

    assert seen(acknowledged=True) < seen(acknowledged=False)


def test_a_person_can_say_that_all_is_well() -> None:
    """Accepting ends the episode at once and makes the present level normal."""
    episodes = begin()
    assert episodes.judge(fault(200, 600)[:300], np.zeros(300)).flags[-1]
    episodes.accept()
    assert episodes.phase is Phase.CALM
    assert spans(fault(0, 300, rows=300), episodes=episodes) == []


def test_what_is_unknown_stands_at_its_baseline() -> None:
    """A channel that goes away neither starts nor hides an episode."""
    table = fault(200, 300)
    table[:, 0] = np.nan
    assert len(spans(table)) == 1
    table[:, 1] = np.nan
    assert spans(table) == []


@given(st.lists(st.integers(1, 599), max_size=5), st.integers(0, 3))
@settings(max_examples=25, deadline=None)
def test_neither_the_size_of_blocks_nor_a_snapshot_plays_a_part(cuts: list[int], kind: int) -> None:
    """Cut anywhere and carried over as JSON, the verdicts are the same to the last bit."""
    table = fault(200, 300)
    if kind:
        table[300:, 2] += 0.8 * kind
        table[450:, 0] -= 1.3
    whole = begin().judge(table, np.zeros(600))
    episodes, scores, flags = begin(), [], []
    for first, last in zip([0, *sorted(cuts)], [*sorted(cuts), 600], strict=True):
        verdicts = episodes.judge(table[first:last], np.zeros(last - first))
        scores.append(verdicts.scores)
        flags.append(verdicts.flags)
        state = msgspec.json.decode(msgspec.json.encode(episodes.snapshot()), type=EpisodeState)
        episodes = begin()
        episodes.restore(state)
    assert np.array_equal(np.concatenate(scores), whole.scores)
    assert np.array_equal(np.concatenate(flags), whole.flags)


def test_a_state_of_another_width_is_refused() -> None:
    """Nothing half-believed."""
    state = begin().snapshot()
    changes: list[dict[str, object]] = [{"baseline": [0.0]}, {"recent": [[0.0]]}, {"former": [1.0]}]
    for change in changes:
        with pytest.raises(ValueError, match="width"):
            begin().restore(msgspec.structs.replace(state, **change))
