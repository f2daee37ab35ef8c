"""The score of the Numenta Anomaly Benchmark."""

from __future__ import annotations

import pytest

from edgemesh.launch.nab import nab_score, probation_rows

ROWS = 1000


def flags(*rows: int) -> list[bool]:
    return [row in rows for row in range(ROWS)]


def test_silence_is_worth_nothing_and_perfection_a_hundred() -> None:
    """The scale's two ends."""
    assert nab_score([(flags(), [(400, 499)])]) == 0.0
    assert nab_score([(flags(400), [(400, 499)])]) == pytest.approx(100.0)


def test_earlier_is_better_and_only_the_first_counts() -> None:
    """Within a window the reward falls towards its end; more flags inside change nothing."""
    early, late = (nab_score([(flags(row), [(400, 499)])]) for row in (410, 495))
    assert 100.0 > early > late > 50.0
    assert nab_score([(flags(410, 420, 499), [(400, 499)])]) == early


def test_false_alarms_cost_less_just_behind_a_window() -> None:
    """A flag outside costs up to 0.11 of a window."""
    base = nab_score([(flags(400), [(400, 499)])])
    near, far = (nab_score([(flags(400, row), [(400, 499)])]) for row in (505, 900))
    assert base > near > far
    assert base - far == pytest.approx(100.0 * 0.11 / 2.0)


def test_rows_of_probation_are_free() -> None:
    """The first 15 % (of at most 5,000 rows) are not scored."""
    assert (probation_rows(1000), probation_rows(50_000)) == (150, 750)
    assert nab_score([(flags(149), [(400, 499)])]) == 0.0
    assert nab_score([(flags(150), [(400, 499)])]) < 0.0
