"""The fast ways of rows (one at a time in plain floats, blocks scored ahead of the decision) and the plain way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgemesh.detect.methods.episodes import Episodes, Pace
from edgemesh.detect.methods.judgement import Judgement
from edgemesh.detect.methods.machine import WILD, MachineScorer
from edgemesh.detect.models.normal import FARTHEST
from edgemesh.detect.models.questions import Steps
from edgemesh.detect.models.settings import ProfileSettings
from edgemesh.detect.models.slow import Slow
from edgemesh.detect.models.smoothing import Levels

Floats = NDArray[np.float64]
NAMES = ("a", "b", "flow", "velocity", "winding_temperature", "c", "d", "pressure", "current", "e")
WARM, ROWS = 200, 720


def make_rows(seed: int, width: int, holes: float) -> list[list[float]]:
    """A machine with a load, two faults of chance size, and holes and sentinels after its warm-up."""
    chance = np.random.default_rng(seed)
    table = chance.normal(size=(ROWS, 1)) * chance.normal(size=width) + chance.normal(size=(ROWS, width))
    for begin in (280, 580):
        table[begin : begin + int(chance.integers(5, 140)), chance.integers(width)] += chance.uniform(2.0, 9.0)
    late = np.arange(ROWS)[:, None] >= WARM
    table[late & (chance.random(table.shape) < holes)] = np.nan
    table[late & (chance.random(table.shape) < holes / 4)] = 65535.0
    rows: list[list[float]] = table.tolist()
    return rows


def judge_plainly(warm: MachineScorer, rows: list[list[float]], pace: Pace) -> list[tuple[float, bool, int]]:
    """Score, flag and `since` of each row as the method is described, one row and one step after the other."""
    profile = warm.profile
    assert profile is not None
    state = warm.snapshot()
    normal, numbers, file = profile.normal, profile.file.normal, profile.file
    levels, slow = Levels(normal.rates, state.levels), Slow(file.slowness, state.slow)
    episodes = Episodes(profile.strange, np.zeros((1, len(normal.owner))), pace)
    episodes.restore(state.episode)
    order = sorted(range(len(warm.channels)), key=lambda k: NAMES[k])
    place, width = normal.place, len(numbers.center)
    was_wild = np.zeros(width, dtype=bool)
    judged = []
    for row in np.array(rows)[:, order]:
        fast = row[list(file.fast)]
        z = np.clip((fast - np.array(numbers.center)) / np.array(numbers.scale), -FARTHEST, FARTHEST)
        wild = np.abs(z) > WILD
        z[wild & ~was_wild] = np.nan
        was_wild, unknown = wild, np.isnan(z)
        level = levels.run(z[place][None])[0]
        faint = np.zeros(width, dtype=bool) if levels.faint is None else levels.faint[0, :width]
        y, precision = level[:width] - np.array(numbers.mean), np.array(numbers.precision)
        residual = precision @ y / np.diag(precision)
        reach = np.maximum(y @ precision @ y - residual**2 * np.diag(precision), 0.0)
        raw = np.concatenate(
            [y, residual / np.sqrt(1.0 + numbers.stretch * reach), level[width:] - np.array(numbers.middle)]
        )
        features = (raw - np.array(numbers.offset)) * np.array(numbers.gain)
        features[(unknown | faint)[normal.owner]] = np.nan
        verdict = episodes.judge(features[None], slow.unsettled(row[list(file.slow)][None]))
        judged.append((float(verdict.scores[0]), verdict.flags[0], verdict.since[0]))
    return judged


def judge_in_blocks(scorer: MachineScorer, rows: list[list[float]], sizes: list[int]) -> list[Judgement]:
    judged: list[Judgement] = []
    while len(judged) < len(rows):
        size = sizes[len(judged) % len(sizes)]
        judged += scorer.take(rows[len(judged) : len(judged) + size])
    return judged


@given(
    st.integers(0, 10**6),
    st.integers(1, len(NAMES)),
    st.sampled_from([0.0, 0.0, 0.004]),
    st.sampled_from([0.0, 0.15, 1.0]),
    st.sampled_from([0.1, 1.0]),
    st.lists(st.sampled_from([1, 1, 2, 5, 16, 64, 300]), min_size=1, max_size=5),
)
@settings(max_examples=6, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))  # shrinking is slow
def test_the_fast_ways_judge_as_the_plain_one(
    seed: int, width: int, holes: float, forest: float, pace: float, sizes: list[int]
) -> None:
    """Same flags and counts, same scores within 1e-12; blocks and single rows agree to the last bit, blame included."""
    rows = make_rows(seed, width, holes)
    chosen = ProfileSettings(train_rows=WARM, trees=5, forest_weight=forest, pace=pace)
    scorers = [MachineScorer(NAMES[:width], chosen) for _ in range(3)]
    for scorer in scorers:
        scorer.take(rows[:WARM])
    if scorers[0].profile is None:
        return
    plain = judge_plainly(scorers[0], rows[WARM:], scorers[0].pace)
    mixed = judge_in_blocks(scorers[1], rows[WARM:], sizes)
    assert [each[1:] for each in plain] == [(each.flag, each.since) for each in mixed]
    assert [each.score for each in mixed] == pytest.approx([each[0] for each in plain], rel=1e-12, abs=1e-12)
    assert judge_in_blocks(scorers[2], rows[WARM:], [1]) == mixed


def test_most_rows_take_the_fast_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of calm rows one at a time none goes through numpy's way; so the property above is about both."""
    tables: list[int] = []
    take = MachineScorer._table_steps

    def note(scorer: MachineScorer, rows: list[list[float | None]]) -> Steps[list[Judgement]]:
        tables.append(len(rows))
        return take(scorer, rows)

    monkeypatch.setattr(MachineScorer, "_table_steps", note)
    rows = np.random.default_rng(1).normal(size=(700, 8)).tolist()
    scorer = MachineScorer(NAMES[:8], ProfileSettings(train_rows=WARM, trees=5))
    scorer.take(rows[:600])
    judge_in_blocks(scorer, rows[600:], [1])
    assert tables == [600]
