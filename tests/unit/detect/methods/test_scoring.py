"""One object that takes rows strictly forwards and judges each of them."""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgemesh.detect.methods.judgement import Judgement
from edgemesh.detect.methods.machine import MachineScorer, MachineState
from edgemesh.detect.methods.scoring import AutoScorer
from edgemesh.detect.methods.series import SeriesScorer
from edgemesh.detect.models.settings import ProfileSettings, ScoreSettings

Floats = NDArray[np.float64]
NAMES = ("flow", "pressure", "current", "velocity", "winding_temperature")
SETTINGS = ProfileSettings(train_rows=200, trees=20)
CHART = ProfileSettings(train_rows=200, forest_weight=0.0)


def machine(seed: int, rows: int = 500) -> Floats:
    chance = np.random.default_rng(seed)
    load = chance.normal(size=(rows, 1))
    table = load * [1.0, 2.0, -0.5, 0.0, 0.0] + chance.normal(size=(rows, 5)) * [0.5, 1.0, 0.3, 0.1, 0.05]
    return np.asarray(table + np.array([90.0, 3.2, 22.0, 1.3, 70.0]))


TABLE = machine(1)
TABLE[350:420, 3] += 1.0
ROWS = TABLE.tolist()
V = [("", "v", "1"), ("", "w", "1")]


def judge(rows: list[list[float]], settings: ProfileSettings = SETTINGS) -> list[Judgement]:
    return MachineScorer(NAMES, settings).take(rows)


def test_a_fault_is_seen_and_its_sensor_named() -> None:
    """Flags from soon after the onset until the machine has stayed back; the channel that left is blamed first."""
    judged = judge(ROWS)
    flagged = [row for row, each in enumerate(judged) if each.flag]
    assert 350 < flagged[0] < 360
    assert flagged == list(range(flagged[0], flagged[-1] + 1))
    assert 430 < flagged[-1] < 490
    assert judged[380].blame[0][0] == "velocity"
    assert judged[380].score > 1.0


@pytest.mark.parametrize("seed", [12, 15, 19, 20, 28, 31])
def test_a_short_warm_up_is_not_believed_too_much(seed: int) -> None:
    """Noise after 100 rows of noise is no fault; with limits as after 400 rows each of these seeds raised one."""
    table = np.random.default_rng(seed).normal(size=(1600, 6))
    judged = MachineScorer(tuple("abcdef"), ProfileSettings(train_rows=100, trees=50)).take(table.tolist())
    assert not any(each.flag for each in judged)
    table[1200:, 2] += 5.0
    judged = MachineScorer(tuple("abcdef"), ProfileSettings(train_rows=100, trees=50)).take(table.tolist())
    assert 1200 < next(row for row, each in enumerate(judged) if each.flag) < 1210


@given(st.lists(st.integers(1, 499), max_size=5))
@settings(max_examples=20, deadline=None)
def test_neither_the_size_of_blocks_nor_a_snapshot_plays_a_part(cuts: list[int]) -> None:
    """Cut anywhere and carried over as JSON with the profile's content, the judgements are the same to the last bit."""
    whole = judge(ROWS)
    scorer, judged = MachineScorer(NAMES, SETTINGS), []
    for first, last in zip([0, *sorted(cuts)], [*sorted(cuts), 500], strict=True):
        judged += scorer.take(ROWS[first:last])
        state = msgspec.json.decode(msgspec.json.encode(scorer.snapshot()), type=MachineState)
        content = scorer.profile.content if scorer.profile else None
        scorer = MachineScorer(NAMES, SETTINGS)
        scorer.restore(state, content)
    assert judged == whole


@given(st.integers(1, 499), st.integers(0, 100))
@settings(max_examples=20, deadline=None)
def test_no_row_knows_what_comes_after_it(cut: int, seed: int) -> None:
    """Whatever follows a row, it is judged the same."""
    other = TABLE.copy()
    other[cut:] = machine(seed, 500 - cut) * 7.0
    assert judge(other.tolist(), CHART)[:cut] == judge(ROWS, CHART)[:cut]


@given(st.permutations(range(5)))
@settings(max_examples=10, deadline=None)
def test_the_order_of_channels_plays_no_part(order: list[int]) -> None:
    """A machine with its sensors in another order is judged the same, to the last bit."""
    scorer = MachineScorer([NAMES[k] for k in order], SETTINGS)
    judged = scorer.take(TABLE[:, order].tolist())
    assert [each._replace(blame=()) for each in judged] == [each._replace(blame=()) for each in judge(ROWS)]
    named = [[(part.name, part.score, part.value) for part in each.blame] for each in judged]
    assert named == [[(part.name, part.score, part.value) for part in each.blame] for each in judge(ROWS)]
    assert all(NAMES[order[part.channel]] == part.name for each in judged for part in each.blame)


@given(
    st.lists(st.floats(0.01, 100.0), min_size=5, max_size=5), st.lists(st.floats(-10.0, 10.0), min_size=5, max_size=5)
)
@settings(max_examples=15, deadline=None)
def test_units_play_no_part(factors: list[float], shifts: list[float]) -> None:
    """Channels in other units give the same flags."""
    table = TABLE * factors + shifts
    assert [each.flag for each in judge(table.tolist(), CHART)] == [each.flag for each in judge(ROWS, CHART)]


@given(st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_sensors_that_come_and_go_raise_nothing(seed: int) -> None:
    """Holes of any length in single channels, also in the warm-up, are no fault; neither are single wild values."""
    chance = np.random.default_rng(seed)
    table = machine(2, 700)
    for start in chance.integers(0, 680, 6):
        table[start : start + chance.integers(1, 30), chance.integers(5)] = np.nan
    table[chance.integers(0, 700, 3), chance.integers(0, 5, 3)] = 65535.0
    judged = judge(table.tolist(), CHART)
    assert np.isfinite([each.score for each in judged]).all()
    assert sum(each.flag for each in judged) <= 100


@given(st.integers(0, 10_000), st.floats(-1e9, 1e9))
@settings(max_examples=15, deadline=None)
def test_a_single_wild_value_never_starts_an_episode(seed: int, value: float) -> None:
    """Whatever it is, and wherever: only from the second one in a row on it counts."""
    chance, table = np.random.default_rng(seed), machine(2, 700)
    for row in (230 + 45 * k for k in range(10)):
        table[row, chance.integers(5)] = value
    assert not any(each.flag for each in judge(table.tolist(), CHART))
    table[600:603, 0] = 1e9
    assert any(each.flag for each in judge(table.tolist(), CHART))


def test_rows_that_hold_nothing_are_judged_without_a_fuss() -> None:
    """All unknown, all infinite, none at all."""
    scorer = MachineScorer(NAMES, CHART)
    assert scorer.take([]) == []
    scorer.take(ROWS[:300])
    judged = scorer.take([[None] * 5, [float("inf")] * 5, [1e308, -1e308, 0.0, 1e-308, float("nan")]])
    assert np.isfinite([each.score for each in judged]).all()
    with pytest.raises(ValueError, match="entries"):
        scorer.take([[1.0]])


def test_a_warm_up_that_teaches_nothing_is_tried_again() -> None:
    """A machine that stood still at first is learnt once it moves."""
    scorer = MachineScorer(NAMES, CHART)
    scorer.take([[5.0] * 5] * 300)
    assert scorer.profile is None
    scorer.take(machine(3, 400).tolist())
    assert scorer.profile is not None


def test_what_does_not_fit_is_refused() -> None:
    """A state of other channels, or without its profile."""
    scorer = MachineScorer(NAMES, CHART)
    scorer.take(ROWS[:300])
    assert scorer.profile is not None
    state, content = scorer.snapshot(), scorer.profile.content
    with pytest.raises(ValueError, match="other channels"):
        MachineScorer(("a", "b"), CHART).restore(state, content)
    with pytest.raises(ValueError, match="width"):
        MachineScorer(NAMES, CHART).restore(MachineState(), content)
    with pytest.raises(ValueError, match="width"):
        MachineScorer(NAMES, CHART).restore(MachineState(warmup=[[1.0]]), None)


def test_a_person_can_say_that_all_is_well() -> None:
    """Accepting ends an episode; acknowledging goes without one, too."""
    scorer = MachineScorer(NAMES, CHART)
    scorer.acknowledge()
    scorer.accept()
    assert scorer.take(ROWS[:400])[-1].flag
    scorer.acknowledge()
    scorer.accept()
    assert not scorer.take([ROWS[400]])[0].flag


def test_the_shape_of_the_data_chooses() -> None:
    """One metric each five minutes is a series; each second, or several metrics, a machine. A setting overrules it."""
    minutes, seconds = [i * 300 * 10**9 for i in range(101)], [i * 10**9 for i in range(101)]

    def chosen(width: int, at_ns: list[int], method: Literal["auto", "machine"] = "auto") -> type:
        scorer = AutoScorer(V[:width], ScoreSettings(method=method))
        assert len(scorer.take(at_ns, [[1.0, 2.0][:width]] * 101)) == 101
        return type(scorer.scorer)

    assert chosen(1, minutes) is SeriesScorer
    assert chosen(1, seconds) is MachineScorer
    assert chosen(2, minutes) is MachineScorer
    assert chosen(1, minutes, "machine") is MachineScorer


@pytest.mark.parametrize("first", [50, 150])
def test_channels_may_join_until_something_is_learnt(first: int) -> None:
    """Of what came before nothing is known; enough of them afterwards, and they are learnt, too. Then it is closed."""
    settings = ScoreSettings(machine=ProfileSettings(train_rows=600, forest_weight=0.0))
    scorer, at_ns = AutoScorer(V[:1], settings), [i * 10**9 for i in range(700)]
    scorer.take(at_ns[:first], [[value] for value in TABLE[:first, 0].tolist()])
    scorer.widen(V)
    scorer.take(at_ns, [[*row[:2]] for row in machine(4, 700 - first).tolist()])
    assert isinstance(scorer.scorer, MachineScorer)
    assert scorer.scorer.profile is not None
    assert len(scorer.scorer.profile.file.fast) == 1 + (first == 50)
    with pytest.raises(ValueError, match="no more channels"):
        scorer.widen([*V, ("", "x", "1")])


def test_a_short_file_is_judged_too() -> None:
    """Fewer rows than the choice needs: one judgement each."""
    scorer = AutoScorer(V[:1])
    assert [each.flag for each in scorer.take([0, 10**9], [[1.0], [2.0]])] == [False, False]
