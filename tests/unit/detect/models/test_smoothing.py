"""Averages that forget."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemesh.detect.models.smoothing import Levels, LevelsState

RATES = np.array([0.2, 0.05, 1.0])
CHANCE = np.random.default_rng(4)
ROWS = CHANCE.normal(size=(700, 3))
ROWS[CHANCE.random(ROWS.shape) < 0.05] = np.nan


@given(st.lists(st.integers(1, 699), max_size=4))
def test_the_size_of_blocks_plays_no_part(cuts: list[int]) -> None:
    """Rows give the same levels to the last bit, however they are cut, also over snapshots."""
    whole = Levels(RATES).run(ROWS)
    levels, parts = Levels(RATES), []
    for first, last in zip([0, *sorted(cuts)], [*sorted(cuts), 700], strict=True):
        parts.append(levels.run(ROWS[first:last]))
        levels = Levels(RATES, levels.snapshot())
    assert np.array_equal(np.concatenate(parts), whole)


def test_a_level_is_the_weighted_mean_of_the_past() -> None:
    """Beside the formula: weights 0.8^age, normalised."""
    rows = CHANCE.normal(size=(60, 1))
    weights = 0.8 ** np.arange(60)[::-1]
    assert Levels(np.array([0.2])).run(rows)[-1, 0] == pytest.approx(float(weights @ rows[:, 0] / weights.sum()))


def test_an_unknown_value_keeps_the_level() -> None:
    """A hole changes nothing; before any value a level is 0."""
    levels = Levels(np.array([0.5])).run(np.array([[np.nan], [4.0], [np.nan], [4.0]]))
    assert levels.ravel().tolist() == [0.0, 4.0, 4.0, 4.0]


def test_a_state_of_another_width_is_refused() -> None:
    """Nothing half-believed."""
    with pytest.raises(ValueError, match="width"):
        Levels(RATES, LevelsState(mean=[0.0], weight=[0.0]))
