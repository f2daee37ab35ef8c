"""Which rows to learn from."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemesh.detect.models.smoothing import Levels
from edgemesh.detect.models.warmup import LEAST_ROWS, calm_start, usable_columns, without_wild


@given(st.integers(0, 10_000))
@settings(max_examples=30)
def test_a_warm_up_without_a_step_is_kept_whole(seed: int) -> None:
    """Noise, also noise with a memory of some rows, is no step."""
    chance = np.random.default_rng(seed)
    assert calm_start(chance.normal(size=(400, 6))) == 0
    assert calm_start(Levels(np.full(3, 0.3)).run(chance.normal(size=(400, 3)))) == 0


@given(st.integers(0, 10_000), st.integers(50, 195), st.floats(4.0, 100.0), st.sampled_from([-1.0, 1.0]))
@settings(max_examples=30)
def test_what_came_before_a_step_is_left_out(seed: int, row: int, size: float, sign: float) -> None:
    """The first row learnt from lies at the step or a few rows behind it."""
    z = np.random.default_rng(seed).normal(size=(400, 4))
    z[:row, 2] += sign * size
    assert row - 5 <= calm_start(z) <= row + 25


def test_enough_rows_are_kept() -> None:
    """A step near the end stays in: a short warm-up is worse than a wide one."""
    z = np.random.default_rng(1).normal(size=(400, 2))
    z[:350] += 30.0
    assert calm_start(z) == 400 - LEAST_ROWS


def test_wild_values_are_unknown_and_the_rest_is_untouched() -> None:
    """Sentinels and spikes go; what lies within the usual range, and a column that never moves, stays."""
    rows = np.random.default_rng(2).normal(size=(400, 3))
    rows[:, 2] = 5.0
    spiked = rows.copy()
    spiked[[3, 77], [0, 1]] = 65535.0, -127.0
    cleaned = without_wild(spiked)
    assert np.argwhere(np.isnan(cleaned)).tolist() == [[3, 0], [77, 1]]
    assert np.array_equal(without_wild(rows), rows)


def test_only_channels_that_tell_something_are_learnt() -> None:
    """Constant, unknown, absurd and mere on-off channels are left out."""
    n = 400
    table = np.column_stack([
        np.arange(n) % 7.0, np.full(n, 5.0), np.full(n, np.nan), np.arange(n) % 2,
        np.where(np.arange(n) % 4 == 0, 1.0, np.nan), np.where(np.arange(n) == 7, 1e308, np.arange(n)),
    ])  # fmt: skip
    assert usable_columns(table) == [0]
