"""The model of one machine: chart and forest."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from edgemesh.detect.chart import Chart, fit_chart
from edgemesh.detect.machine import MachineModel, learn, usable_channels
from edgemesh.detect.memory import Smoother
from edgemesh.detect.settings import ForestSettings

CHANCE = np.random.default_rng(11)
ROWS = CHANCE.normal(size=(400, 3)) * [0.5, 2.0, 0.01] + [90.0, 20.0, 1.3]
CHANNELS = [("d", "flow", "m3/h"), ("d", "current", "A"), ("d", "velocity", "mm/s")]
SETTINGS = ForestSettings(trees=30)


def test_only_channels_that_tell_something_are_learnt() -> None:
    """Constant, unknown, absurd and mere on-off channels are left out."""
    n = len(ROWS)
    table = np.column_stack([
        ROWS[:, 0], np.full(n, 5.0), np.full(n, np.nan), np.arange(n) % 2, np.where(np.arange(n) % 4 == 0, 1.0, np.nan),
        np.where(np.arange(n) == 7, 1e308, ROWS[:, 1]), np.full(n, 1e-300) * np.arange(n),
    ])  # fmt: skip
    assert usable_channels(table) == [0]


def test_a_machine_as_it_was_scores_low_and_a_broken_one_high() -> None:
    """Fresh normal rows stay below the limit of 1; a lasting shift of four spreads goes beyond it within a few rows."""
    learnt = learn(ROWS, CHANNELS, SETTINGS, seed=1)
    assert learnt is not None
    model, smoother = learnt
    fresh = CHANCE.normal(size=(300, 3)) * [0.5, 2.0, 0.01] + [90.0, 20.0, 1.3]
    assert (model.score(model.deviations(fresh, smoother), SETTINGS) > 1.0).mean() < 0.03
    fresh[:, 0] -= 2.0
    scores = model.score(model.deviations(fresh, smoother), SETTINGS)
    assert (scores[10:] > 1.0).all()


def test_values_from_hell_are_scored_without_a_fuss() -> None:
    """Unknown, huge and tiny values give finite scores."""
    learnt = learn(ROWS, CHANNELS, SETTINGS, seed=1)
    assert learnt is not None
    model, smoother = learnt
    rows = np.array([[np.nan] * 3, [1e308, -1e308, 1e-308], [np.inf, -np.inf, 0.0], [90.0, 20.0, 1.3]])
    assert np.isfinite(model.score(model.deviations(rows, smoother), SETTINGS)).all()


def test_a_model_is_its_content() -> None:
    """The version names the bytes, and the bytes give back the same model."""
    learnt = learn(ROWS, CHANNELS, SETTINGS, seed=1)
    assert learnt is not None
    model = learnt[0]
    back = MachineModel(model.content)
    assert back.version == model.version
    assert back.version.startswith("forest-1@")
    scores = [m.score(m.deviations(ROWS, Smoother()), SETTINGS) for m in (model, back)]
    assert (scores[0] == scores[1]).all()


def test_a_damaged_model_is_refused() -> None:
    """Widths, numbers and limits are checked; nothing half-believed."""
    learnt = learn(ROWS, CHANNELS, SETTINGS, seed=1)
    assert learnt is not None
    file = learnt[0].file
    replace = msgspec.structs.replace
    changes = [
        {"channels": file.channels[:-1]},
        {"forest_limit": file.forest_middle},
        {"chart": replace(file.chart, scale=(0.0, 1.0, 1.0))},
        {"chart": replace(file.chart, center=(1e200, 1.0, 1.0))},
        {"chart": replace(file.chart, spread=(1.0,))},
        {"chart": replace(file.chart, smooth=0.0)},
    ]
    for change in changes:
        content = msgspec.json.decode(learnt[0].content) | msgspec.to_builtins(change)
        with pytest.raises(ValueError, match=r"model|forest|chart"):
            MachineModel(msgspec.json.encode(content))
    with pytest.raises(ValueError, match=r"JSON|truncated"):
        MachineModel(learnt[0].content[:-5])


def test_nothing_is_learnt_from_nothing() -> None:
    """A dead channel or too few whole rows give no model instead of a wrong one."""
    assert learn(np.full((400, 1), 3.0), CHANNELS[:1], SETTINGS, seed=1) is None
    holes = ROWS.copy()
    holes[:30, 0], holes[30:60, 1], holes[60:100, 2] = np.nan, np.nan, np.nan
    assert learn(holes, CHANNELS, SETTINGS, seed=1) is not None
    assert learn(holes[:250], CHANNELS, SETTINGS, seed=1) is None


def test_the_chart_speaks_in_raw_units() -> None:
    """A deviation of nought is the normal level, and the way back is exact."""
    chart, deviations, _ = fit_chart(ROWS, 0.2)
    assert isinstance(chart, Chart)
    assert np.abs(np.median(deviations, axis=0)).max() < 1e-9
    assert chart.level(0, 0.0) == pytest.approx(90.0, abs=0.2)
    assert chart.level(0, 3.0) > chart.level(0, 0.0) > chart.level(0, -3.0)
