"""What the channels of a machine look like, each alone and together."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemesh.detect.models.kinds import Kind
from edgemesh.detect.models.normal import FARTHEST, SETTLING_ROWS, Normal, fit_normal
from edgemesh.detect.models.smoothing import Levels

CHANCE = np.random.default_rng(5)
LOAD = Levels(np.array([0.1])).run(CHANCE.normal(size=(400, 1)) * 3.0)
ROWS = np.hstack([LOAD * 2.0, LOAD * -1.0, LOAD * 0.0]) + CHANCE.normal(size=(400, 3)) * 0.3 + 50.0
KINDS = [Kind.FLOW, Kind.PRESSURE, Kind.OTHER]


def test_a_residual_is_what_a_ridge_regression_on_the_others_leaves() -> None:
    """The closed form with one inverse equals a regression of each channel on the others, leverage included."""
    normal, features, _ = fit_normal(ROWS, KINDS)
    numbers = normal.numbers
    z = (ROWS - np.array(numbers.center)) / np.array(numbers.scale)
    levels = Levels(np.full(3, 0.2)).run(z)[SETTLING_ROWS:]
    y = levels - levels.mean(axis=0)
    scatter, n = y.T @ y, len(y)
    for j in range(3):
        others = [k for k in range(3) if k != j]
        inverse = np.linalg.inv(scatter[np.ix_(others, others)] + 0.3 * n * np.eye(2))
        residual = y[:, j] - y[:, others] @ inverse @ scatter[others, j]
        reach = np.einsum("ni,ij,nj->n", y[:, others], inverse, y[:, others])
        residual /= np.sqrt(1.0 + numbers.stretch * reach)
        expected = (residual - numbers.offset[3 + j]) * numbers.gain[3 + j]
        assert np.allclose(features[:, 3 + j], expected, atol=1e-9)


def test_the_limit_is_where_one_percent_of_the_warm_up_lies() -> None:
    """99 % of the warm-up has no feature beyond 1."""
    _, features, _ = fit_normal(ROWS, KINDS)
    assert (np.abs(features).max(axis=1) > 1.0).mean() == pytest.approx(0.01, abs=0.005)


def test_pressure_has_a_long_memory() -> None:
    """Kinds that are coarse are looked at through a long average, too; features know their channel."""
    normal, _, _ = fit_normal(ROWS, KINDS)
    assert normal.numbers.long == (1,)
    assert normal.owner.tolist() == [0, 1, 2, 0, 1, 2, 1]


def test_an_absurd_value_is_forgotten_in_time() -> None:
    """However absurd, a value is cut off and forgotten in time; a lasting one is far beyond the limit."""
    normal, _, levels = fit_normal(ROWS, KINDS)
    rows = np.tile(np.median(ROWS, axis=0), (100, 1))
    rows[10, 0] = 65535.0
    rows[70:, 2] = 65535.0
    z = normal.standardise(rows)
    assert np.abs(z).max() <= FARTHEST
    strange = np.abs(normal.features(levels.run(z)))
    assert strange[12, 0] > 1.0 > strange[60, 0]
    assert (strange[72:, 2] > 1.0).all()


def test_unknown_channels_have_unknown_features() -> None:
    """Only the features of the channel that is missing are NaN."""
    normal, _, levels = fit_normal(ROWS, KINDS)
    rows = ROWS[:2].copy()
    rows[1, 1] = np.nan
    features = normal.features(levels.run(normal.standardise(rows)), np.isnan(rows))
    assert np.isnan(features).tolist() == [[False] * 7, [False, True, False, False, True, False, True]]


@given(st.integers(1, 9))
@settings(max_examples=9)
def test_the_size_of_blocks_plays_no_part(width: int) -> None:
    """A row alone gives the same features to the last bit as a row among others, whatever the number of channels."""
    rows = np.random.default_rng(width).normal(size=(300, width))
    normal, _, levels = fit_normal(rows, [Kind.ELECTRICAL] * width)
    levels_of = levels.run(normal.standardise(rows))
    alone = np.concatenate([normal.features(levels_of[i : i + 1]) for i in range(300)])
    assert np.array_equal(normal.features(levels_of), alone)


def test_a_feature_can_be_told_as_a_value() -> None:
    """The ends of a channel's range, in its own unit, are where its level gives a feature of -1 and 1."""
    normal, _, _ = fit_normal(ROWS, KINDS)
    middle = np.median(ROWS, axis=0)

    def judge(value: float) -> tuple[float, float]:
        levels = Levels(normal.rates).run(normal.standardise(np.array([[value, *middle[1:]]])))
        return float(levels[0, 0]), float(normal.features(levels)[0, 0])

    level, deviation = judge(middle[0] + 0.1)
    value, low, high = normal.range_of(0, level, deviation)
    assert value == pytest.approx(middle[0] + 0.1)
    assert low < value < high
    assert [judge(end)[1] for end in (low, high)] == [pytest.approx(-1.0), pytest.approx(1.0)]


@pytest.mark.parametrize(
    "change",
    [
        {"scale": (0.0, 1.0, 1.0)},
        {"center": (1.0, 1.0)},
        {"gain": (1.0,)},
        {"long": (3,)},
        {"stretch": float("inf")},
        {"precision": ((-1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))},
    ],
)
def test_numbers_that_are_no_normal_are_refused(change: dict[str, object]) -> None:
    """Widths, places and signs are checked before anything is scored."""
    numbers = fit_normal(ROWS, KINDS)[0].numbers
    with pytest.raises(ValueError, match="normal"):
        msgspec.structs.replace(numbers, **change)
    assert Normal(numbers).numbers == numbers
