"""Slow single metrics."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemesh.detect.methods.judgement import Judgement
from edgemesh.detect.methods.series import KEPT_ROWS, SeriesScorer, SeriesState
from edgemesh.detect.models.settings import MEMORY_ROWS, SeriesSettings

SETTINGS = SeriesSettings(trees=10)
CHANCE = np.random.default_rng(9)
DAY = 60.0 + 20.0 * np.sin(np.arange(1000) * 2 * np.pi / 144) + CHANCE.normal(size=1000) * 2.0


def judge(values: np.ndarray, settings: SeriesSettings = SETTINGS) -> list[Judgement]:
    return SeriesScorer("v", settings).take([[float(value)] for value in values])


def flagged(values: np.ndarray, settings: SeriesSettings = SETTINGS) -> list[int]:
    return [row for row, each in enumerate(judge(values, settings)) if each.flag]


@pytest.mark.parametrize("shape", ["spike", "level", "burst"])
def test_what_was_never_there_is_named(shape: str) -> None:
    """Spikes, level shifts and bursts in a series with a season are flagged within 24 rows, and little else."""
    values = DAY.copy()
    if shape == "spike":
        values[700] += 120.0
    elif shape == "level":
        values[700:] += 90.0
    else:
        values[700:740] += CHANCE.normal(size=40) * 60.0
    rows = flagged(values, SeriesSettings(limit=0.7))
    assert any(700 <= row < 724 for row in rows)
    assert sum(not 700 <= row < 796 for row in rows) <= 2


def test_rows_of_the_warm_up_are_never_flagged() -> None:
    """Whatever comes, the first rows teach; how many is a setting."""
    values = DAY.copy()
    values[[60, 350]] += 500.0
    assert 60 not in flagged(values)
    assert 350 in flagged(values)
    assert min(flagged(values, SeriesSettings(trees=10, train_rows=400)), default=999) > 400


def test_after_a_flag_only_stranger_rows_count() -> None:
    """The same spike again within the cooldown is no news; after it, it is."""
    values = np.full(1200, 5.0) + CHANCE.normal(size=1200) * 0.1
    values[[400, 500, 900]] += 8.0
    rows = flagged(values)
    assert 400 in rows
    assert 500 not in rows


@given(st.lists(st.integers(1, 799), max_size=4))
@settings(max_examples=8, deadline=None)
def test_neither_the_size_of_blocks_nor_a_snapshot_plays_a_part(cuts: list[int]) -> None:
    """Cut anywhere and carried over as JSON, the judgements are the same to the last bit."""
    rows: list[list[float | None]] = [[float(value)] for value in DAY[:800]]
    rows[600], rows[77] = [300.0], [None]
    whole = SeriesScorer("v", SETTINGS).take(rows)
    scorer, judged = SeriesScorer("v", SETTINGS), []
    for first, last in zip([0, *sorted(cuts)], [*sorted(cuts), 800], strict=True):
        judged += scorer.take(rows[first:last])
        state = msgspec.json.decode(msgspec.json.encode(scorer.snapshot()), type=SeriesState)
        scorer = SeriesScorer("v", SETTINGS, state)
    assert judged == whole


def test_no_row_knows_what_comes_after_it() -> None:
    """A truncated copy is judged as the whole."""
    whole = judge(DAY)
    for cut in (150, 351, 600):
        assert judge(DAY[:cut]) == whole[:cut]


def test_values_from_hell_are_scored_without_a_fuss() -> None:
    """Unknown, infinite, huge and constant values give finite scores, one per row."""
    values = [None] * 30 + [5.0] * 150 + [float("inf"), 1e308, float("nan")] + [None] * 30
    rows: list[list[float | None]] = [[value] for value in values]
    judged = SeriesScorer("v", SETTINGS).take(rows)
    assert len(judged) == len(rows)
    assert np.isfinite([each.score for each in judged]).all()


def test_memory_is_bounded() -> None:
    """However long it runs, it keeps no more than it looks back."""
    scorer = SeriesScorer("v", SeriesSettings(trees=2, subsample=16))
    scorer.take([[float(i % 13)] for i in range(MEMORY_ROWS + 1000)])
    state = scorer.snapshot()
    assert len(state.values) <= KEPT_ROWS
    assert len(state.peaks) <= 301
