"""The learner of one asset: what it says, and that it goes on from what was saved."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemesh.detect.base.signals import Signal
from edgemesh.detect.base.windows import Channel
from edgemesh.detect.learning.learner import Learner
from edgemesh.detect.learning.memory import LearnerState
from edgemesh.detect.methods.series import SeriesScorer
from edgemesh.detect.models.settings import ProfileSettings, SeriesSettings
from edgemesh.detect.settings import ModelSettings

S = 10**9
SETTINGS = ModelSettings(
    machine=ProfileSettings(train_rows=100, trees=10), series=SeriesSettings(trees=10, limit=0.6, cooldown_rows=40)
)
MACHINE: list[Channel] = [("pump", "flow", "m3/h"), ("motor", "current", "A"), ("pump", "temperature", "Cel")]
SERIES: list[Channel] = [("d", "load", "%")]
CHANCE = np.random.default_rng(6)
TABLE = CHANCE.normal(size=(420, 3)) * [0.5, 1.0, 0.1] + [90.0, 22.0, 55.0]
TABLE[200:240, 0] -= 4.0
TABLE[330:360, 1] += 9.0
TABLE[[20, 150, 280, 410], 0] = 65535.0
VALUES = (50.0 + 5.0 * CHANCE.normal(size=(700, 1))) * np.where(np.arange(700) % 150 == 149, 2.0, 1.0)[:, None]


def make(state: LearnerState | None = None) -> Learner:
    stats = dict.fromkeys(("rows", "trained", "untrainable"), 0.0)
    return Learner(SETTINGS, state or LearnerState(), stats)


def feed(learner: Learner, rows: np.ndarray, channels: Sequence[Channel], first: int = 0) -> list[Signal]:
    period = S if len(channels) > 1 else 60 * S
    at_ns = [(first + i) * period for i in range(len(rows))]
    return learner.feed(at_ns, rows.tolist(), channels, calm=True)


def save(learner: Learner, kept: dict[str, bytes]) -> LearnerState:
    for name, content in learner.parts().items():
        if content is None:
            kept.pop(name, None)
        else:
            kept[name] = content
    return msgspec.json.decode(msgspec.json.encode(learner.state), type=LearnerState)


@pytest.mark.parametrize(("table", "channels"), [(TABLE, MACHINE), (VALUES, SERIES)])
@given(cuts=st.lists(st.integers(1, 699), max_size=5))
@settings(max_examples=12, deadline=None)
def test_a_restart_is_not_noticed(table: np.ndarray, channels: list[Channel], cuts: list[int]) -> None:
    """Saved and loaded anywhere, in the warm-up, in an episode or calm, it says the same to the last bit."""
    whole = feed(make(), table, channels)
    assert len(whole) >= 4
    said: list[Signal] = []
    kept: dict[str, bytes] = {}
    learner = make()
    edges = [0, *sorted({cut for cut in cuts if cut < len(table)}), len(table)]
    for first, last in pairwise(edges):
        said += feed(learner, table[first:last], channels, first)
        state = save(learner, kept)
        learner = make(state)
        learner.restore(kept, channels)
    assert said == whole


@pytest.mark.parametrize(("table", "channels"), [(TABLE, MACHINE), (VALUES, SERIES)])
def test_a_twin_goes_on_by_itself(table: np.ndarray, channels: list[Channel]) -> None:
    """It judges as the learner would have; what it takes changes nothing for the learner. Nothing learnt: no twin."""
    learner = make()
    learner.capture()
    assert learner.twin(learner.state) is None
    feed(learner, table[:310], channels)
    learner.capture()
    state = msgspec.json.decode(msgspec.json.encode(learner.state), type=LearnerState)
    twin = learner.twin(state)
    assert twin is not None
    said = feed(twin, table[310:], channels, 310)
    assert said == feed(learner, table[310:], channels, 310) != []


def test_an_alert_names_channels_with_values_and_what_is_normal() -> None:
    """Device, metric, unit and a range that the value is outside of; the strongest first."""
    raised, cleared = feed(make(), TABLE[:320], MACHINE)
    (first, *_) = raised.evidence
    assert (first.rule, first.device, first.metric, first.unit) == ("model", "pump", "flow", "m3/h")
    low, high = (float(text) for text in first.normal.removesuffix(" m3/h").split(" to "))
    assert first.value is not None
    assert first.value < low < high < 92.0
    assert first.score > 1.0
    assert 200 * S <= raised.onset_at_ns <= raised.at_ns < 206 * S
    assert raised.model.startswith("profile-1@")
    assert not cleared.firing


def test_what_others_raised_ends_after_calm_rows() -> None:
    """An alert taken over stands while nothing is learnt, and until 15 rows in a row were calm."""
    learner = make()
    learner.state.switch.firing = True
    calm = np.tile(TABLE[1:50], (4, 1))
    assert feed(learner, calm[:100], MACHINE) == []
    (over,) = feed(learner, calm[100:], MACHINE, 100)
    assert not over.firing
    assert 114 * S <= over.at_ns <= 170 * S


def test_the_shape_decides_in_an_agent_too() -> None:
    """A metric each minute becomes a series; the alert lasts as long as its rows are flagged."""
    learner = make()
    said = feed(learner, VALUES, SERIES)
    assert isinstance(learner.scoring.scorer, SeriesScorer)
    raised = [signal for signal in said if signal.firing]
    assert {signal.model for signal in raised} == {"series-1"}
    assert any(signal.at_ns == 449 * 60 * S for signal in raised)


def test_parts_that_do_not_fit_are_refused() -> None:
    """A missing warm-up, tail or profile, or one of other channels, gives no half-believed model."""
    kept: dict[str, bytes] = {}
    learner = make()
    feed(learner, TABLE[:60], MACHINE)
    state = save(learner, kept)
    with pytest.raises(ValueError, match="missing"):
        make(state).restore({}, MACHINE)
    feed(learner, TABLE[60:200], MACHINE, 60)
    state = save(learner, kept)
    for name in ("model", "tail/1"):
        with pytest.raises(ValueError, match=r"JSON|missing|truncated"):
            make(state).restore({key: content for key, content in kept.items() if key != name}, MACHINE)
    with pytest.raises(ValueError, match="channels"):
        make(state).restore(kept, MACHINE[:2])
