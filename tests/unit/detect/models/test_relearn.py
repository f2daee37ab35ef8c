"""Relearning a profile from windows: near the one before it, blind to slow change, and no wider for it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemesh.detect.models.kinds import Kind
from edgemesh.detect.models.normal import Floats, NormalNumbers
from edgemesh.detect.models.profile import Profile, learn_profile
from edgemesh.detect.models.relearn import MOST_CHANGE, relearn_profile
from edgemesh.detect.models.settings import ProfileSettings

KINDS = (Kind.FLOW, Kind.ELECTRICAL, Kind.OTHER, Kind.THERMAL)
NAMES = ("a", "b", "c", "d")
SETTINGS = ProfileSettings(trees=5, subsample=16)
CHANCE = np.random.default_rng(4)


def make_rows(count: int, chance: np.random.Generator = CHANCE, spread: float = 1.0) -> Floats:
    load = chance.normal(size=(count, 1))
    return np.asarray(spread * (chance.normal(size=(count, 4)) + load) + np.array([90.0, 22.0, 3.0, 40.0]))


def first() -> Profile:
    learnt = learn_profile(make_rows(400), NAMES, KINDS, SETTINGS)
    assert learnt is not None
    return learnt.profile


FORMER = first()


def reach(numbers: NormalNumbers) -> Floats:
    """How far each feature's limit is from its middle, in the unit of its channel."""
    owner = [0, 1, 2, 0, 1, 2, *numbers.long]
    return np.asarray(np.array(numbers.scale)[owner] / np.array(numbers.gain))


@settings(max_examples=20, deadline=None)
@given(st.floats(0.01, 100.0), st.integers(5, 16), st.integers(0, 3), st.integers(0, 1000))
def test_limits_move_by_a_quarter_at_most(spread: float, count: int, told: int, seed: int) -> None:
    """However much the rows have changed, one training moves no limit by more than 1.25 times, out or in."""
    chance = np.random.default_rng(seed)
    profile = relearn_profile([make_rows(128, chance, spread) for _ in range(count)], told, KINDS, SETTINGS, FORMER)
    assert profile is not None
    change = reach(profile.file.normal) / reach(FORMER.file.normal)
    assert change.max() <= MOST_CHANGE + 1e-9
    assert change.min() >= 1 / MOST_CHANGE - 1e-9


def test_slow_change_between_windows_makes_no_limit_wider() -> None:
    """Windows of a machine that drifts by twelve spreads give the limits of one that stands still."""
    windows = [make_rows(128) for _ in range(16)]
    still = relearn_profile(windows, 0, KINDS, SETTINGS, FORMER)
    drifts = relearn_profile([rows + 12.0 * k / 15 for k, rows in enumerate(windows)], 0, KINDS, SETTINGS, FORMER)
    assert still is not None
    assert drifts is not None
    levels = slice(0, 3)
    assert reach(drifts.file.normal)[levels] == pytest.approx(reach(still.file.normal)[levels], rel=0.15)


def test_rows_that_were_no_fault_make_limits_wider() -> None:
    """A disturbance that somebody has called normal counts for less than before."""
    windows = [make_rows(128) for _ in range(12)]
    shifted = make_rows(128)
    shifted[64:, 0] -= 4.0
    plain = relearn_profile(windows, 0, KINDS, SETTINGS, FORMER)
    told = relearn_profile([*windows, shifted, shifted, shifted], 3, KINDS, SETTINGS, FORMER)
    assert plain is not None
    assert told is not None
    assert reach(told.file.normal)[0] > 1.05 * reach(plain.file.normal)[0]


def test_it_refuses_what_it_cannot_learn_from() -> None:
    """Too few rows, or a channel that stands still now, are no reason to judge worse than before."""
    assert relearn_profile([make_rows(128)] * 3, 0, KINDS, SETTINGS, FORMER) is None
    stands = [make_rows(128) for _ in range(8)]
    for rows in stands:
        rows[:, 1] = 22.0
    assert relearn_profile(stands, 0, KINDS, SETTINGS, FORMER) is None
