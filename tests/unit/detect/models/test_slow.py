"""Temperatures that move unusually fast."""

from __future__ import annotations

import numpy as np
import pytest

from edgemesh.detect.models.slow import Slow, SlowNumbers, SlowState, fit_slow
from edgemesh.detect.models.smoothing import LevelsState

CHANCE = np.random.default_rng(6)
WARMUP = 50.0 + np.cumsum(CHANCE.normal(size=(400, 2)) * 0.01, axis=0) + CHANCE.normal(size=(400, 2)) * 0.02


def test_drift_is_settled_and_a_quick_fall_is_not() -> None:
    """What moves as in the warm-up stays near the limit; 0.1 K a row goes far beyond, and is over when it stops."""
    slow = fit_slow(WARMUP)
    assert slow.unsettled(np.tile(WARMUP[-1], (40, 1))).max() < 1.5
    falling = np.tile(WARMUP[-1], (160, 1)) - np.minimum(np.arange(160), 60)[:, None] * 0.1
    unsettled = slow.unsettled(falling)
    assert unsettled[40] > 3.0
    assert unsettled[-1] < 1.0


def test_the_size_of_blocks_plays_no_part() -> None:
    """One row at a time over snapshots gives what all at once gives."""
    rows = WARMUP[::-1]
    whole = fit_slow(WARMUP).unsettled(rows)
    slow, parts = fit_slow(WARMUP), []
    for row in rows:
        parts.append(slow.unsettled(row[None]))
        slow = Slow(slow.numbers, slow.snapshot())
    assert np.array_equal(np.concatenate(parts), whole)


def test_without_slow_channels_all_is_settled() -> None:
    """No channel, no say."""
    assert fit_slow(np.empty((400, 0))).unsettled(np.empty((3, 0))).tolist() == [0.0, 0.0, 0.0]


def test_what_does_not_fit_is_refused() -> None:
    """Numbers out of range, and states of another width."""
    with pytest.raises(ValueError, match="slow"):
        SlowNumbers(origin=(1.0,), limit=(0.0,))
    numbers = SlowNumbers(origin=(1.0,), limit=(1.0,))
    with pytest.raises(ValueError, match="width"):
        Slow(numbers, SlowState(recent=[[1.0, 2.0]]))
    with pytest.raises(ValueError, match="width"):
        Slow(numbers, SlowState(levels=LevelsState(mean=[1.0, 2.0], weight=[1.0, 1.0])))
