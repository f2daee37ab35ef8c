"""Several methods of one asset vote."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgemesh.detect.base.signals import Signal
from edgemesh.detect.learning.learner import Learner
from edgemesh.detect.learning.memory import LearnerState
from edgemesh.detect.methods import voting
from edgemesh.detect.methods.judgement import Blame, Judgement
from edgemesh.detect.methods.lessons import learn_encoded
from edgemesh.detect.methods.voting import Ballot, Panel, combine
from edgemesh.detect.settings import ModelSettings
from tests.unit.detect.learning.test_learner import MACHINE, SERIES, SETTINGS, TABLE, VALUES, S, feed, save
from tests.unit.detect.methods.test_plugged import Lost, Lower, Raising, install

LIMIT = {"lower": {"limit": 2.0}}
BALLOTS = st.lists(
    st.builds(
        Ballot,
        st.sampled_from("abcdef"),
        st.integers(1, 4).map(float),
        st.builds(
            Judgement,
            st.floats(0.0, 9.0),
            st.booleans(),
            st.lists(st.builds(Blame, st.just("x"), st.floats(0.0, 9.0), st.integers(0, 4)), max_size=4).map(tuple),
            st.integers(0, 9),
        ),
    ),
    min_size=1,
    max_size=6,
)


@given(BALLOTS, st.booleans(), st.randoms())
@settings(deadline=None)
def test_votes_are_counted_by_weight(ballots: list[Ballot], alone: bool, chance: Any) -> None:
    """Any, or more than half of the weights; `by` are those that flagged; the order plays no part for the outcome."""
    joint = combine(ballots, alone=alone)
    flagged = [ballot for ballot in ballots if ballot.judgement.flag]
    weight = sum(ballot.weight for ballot in flagged)
    assert joint.flag == (weight > 0 if alone else 2 * weight > sum(ballot.weight for ballot in ballots))
    assert joint.by == (tuple(ballot.version for ballot in flagged) if joint.flag else ())
    assert len({part.channel for part in joint.blame}) == len(joint.blame) <= 3
    chance.shuffle(ballots)
    again = combine(ballots, alone=alone)
    assert (again.score, again.flag, again.since) == (joint.score, joint.flag, joint.since)


@given(BALLOTS, st.booleans())
@settings(deadline=None)
def test_the_score_lies_beyond_the_limit_as_the_votes_do(ballots: list[Ballot], alone: bool) -> None:
    """Were a row flagged from a score of 1 on, the joint score would say the same."""
    plain = [each._replace(judgement=each.judgement._replace(flag=each.judgement.score > 1.0)) for each in ballots]
    joint = combine(plain, alone=alone)
    assert joint.flag == (joint.score > 1.0)


def make(state: LearnerState | None = None, *, puts_off: bool = False, **given: Any) -> Learner:
    """The first fault of the table is seen by both methods, the second by the machine alone."""
    stats = dict.fromkeys(("rows", "trained", "untrainable", "models_refused"), 0.0)
    fields: dict[str, Any] = {"method": ("machine", "lower"), "plugin": LIMIT, "machine": SETTINGS.machine} | given
    return Learner(ModelSettings(**fields), state or LearnerState(), stats, puts_off=puts_off)


def faults(said: list[Signal]) -> list[int]:
    """The rows at which the faults begin in which something was raised."""
    rows = [signal.at_ns // S for signal in said if signal.firing]
    return [200 if 200 <= row < 240 else 330 if 330 <= row < 360 else row for row in rows]


@pytest.mark.parametrize(
    ("vote", "expected"),
    [
        ("majority", [200]),
        ("any", [200, 330]),
        ({"machine": 2.0, "lower": 1.0}, [200, 330]),
        ({"machine": 1.0, "lower": 2.0}, [200]),
    ],
)
def test_an_alert_takes_as_many_as_the_settings_say(
    monkeypatch: pytest.MonkeyPatch, vote: Any, expected: list[int]
) -> None:
    """And it names those that agreed, and no others."""
    install(monkeypatch)
    learner = make(vote=vote)
    said = [signal for row in range(420) for signal in feed(learner, TABLE[row : row + 1], MACHINE, row)]
    assert faults(said) == expected
    raised = [signal for signal in said if signal.firing]
    if vote == "majority":
        assert raised[0].model.startswith("profile-1@")
        assert raised[0].model.endswith(" + lower-1.2")
    if len(expected) == 2:
        assert "lower" not in raised[1].model
    assert raised[0].evidence[0].metric == "flow"
    assert learner.stats["trained"] == 1
    with pytest.raises(ValueError, match=r"no model|JSON"):
        learner.use_model(b"{}")


def test_nothing_is_judged_before_all_have_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine has learnt after 100 rows, the plug-in after 150; a channel may join until then."""
    install(monkeypatch)
    learner = make(vote="any")
    feed(learner, TABLE[:140], MACHINE)
    before = learner.closed
    feed(learner, TABLE[140:150], MACHINE, 140)
    assert (before, learner.closed) == (False, True)
    wider = make(vote="any")
    feed(wider, TABLE[:120, :2], MACHINE[:2])
    feed(wider, TABLE[120:300], MACHINE, 120)
    assert (wider.closed, len(wider.scoring.channels)) == (True, 3)


def answer(learner: Learner) -> list[Signal]:
    said: list[Signal] = []
    while (due := learner.lesson()) is not None:
        said += [signal for _, told in learner.learn(due[0], learn_encoded(due[1])) for signal in told]
    return said


@given(cuts=st.lists(st.tuples(st.integers(1, 419), st.sampled_from(["answer", "restart", "both"])), max_size=5))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_restarts_and_lessons_are_not_noticed(monkeypatch: pytest.MonkeyPatch, cuts: list[tuple[int, str]]) -> None:
    """Whenever a lesson is learnt, and wherever it is stopped: it says what one says that learns at once."""
    install(monkeypatch)
    whole = feed(make(vote="any"), TABLE, MACHINE)
    assert len(whole) >= 4
    said, learner = [], make(vote="any", puts_off=True)
    kept: dict[str, bytes] = {}
    deeds = dict(cuts)
    for first, last in pairwise([0, *sorted(deeds), len(TABLE)]):
        said += feed(learner, TABLE[first:last], MACHINE, first)
        deed = deeds.get(last, "answer")
        if deed != "restart":
            said += answer(learner)
        if deed != "answer":
            state = save(learner, kept)
            learner = make(state, vote="any", puts_off=True)
            learner.restore(kept, MACHINE)
    assert said == whole


def test_a_twin_goes_on_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """For late samples; what it takes changes nothing for the learner."""
    install(monkeypatch)
    learner = make()
    feed(learner, TABLE[:190], MACHINE)
    learner.capture()
    twin = learner.twin(msgspec.json.decode(msgspec.json.encode(learner.state), type=LearnerState))
    assert twin is not None
    assert feed(twin, TABLE[190:], MACHINE, 190) == feed(learner, TABLE[190:], MACHINE, 190) != []


@pytest.mark.parametrize("detector", [Lost, Raising])
def test_one_that_fails_has_no_voice(monkeypatch: pytest.MonkeyPatch, detector: type[Lower]) -> None:
    """The others decide, before and after a restart; counted once at each."""
    install(monkeypatch, detector)
    learner, kept = make(), dict[str, bytes]()
    said = [signal for row in range(260) for signal in feed(learner, TABLE[row : row + 1], MACHINE, row)]
    state = save(learner, kept)
    assert learner.stats["detectors_failed"] == 1
    install(monkeypatch, Lost)
    learner = make(state)
    learner.restore(kept, MACHINE)
    said += feed(learner, TABLE[260:], MACHINE, 260)
    assert faults(said) == [200, 330]
    assert not any("lower" in signal.model for signal in said)


def test_with_none_left_rules_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A panel of failures says nothing and stops nothing."""
    install(monkeypatch, Lost)
    learner = make(method=("lower", "upper"), plugin={})
    assert feed(learner, TABLE, MACHINE) == []
    assert (learner.stats["detectors_failed"], learner.closed) == (2, True)


def test_one_that_never_learns_does_not_hold_up_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a bound those that have learnt go on, and a restart does not forget it."""
    monkeypatch.setattr(voting, "MOST_WARM", 170)
    install(monkeypatch, type("Never", (Lower,), {"learnt": False}))
    learner, kept = make(), dict[str, bytes]()
    feed(learner, TABLE[:180], MACHINE)
    state = save(learner, kept)
    learner = make(state)
    learner.restore(kept, MACHINE)
    assert (learner.learnt, len(learner.scoring.warmup)) == (True, 0)
    assert faults(feed(learner, TABLE[180:], MACHINE, 180)) == [200, 330]


def test_a_panel_knows_what_was_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of other methods it takes nothing over."""
    install(monkeypatch)
    learner, kept = make(), dict[str, bytes]()
    feed(learner, TABLE[:190], MACHINE)
    state = save(learner, kept)
    changes: list[Callable[[], Learner]] = [
        lambda: make(state, method="machine"),
        lambda: make(state, method=("lower", "machine")),
        lambda: make(state, method=("machine", "lower", "series")),
    ]
    for change in changes:
        with pytest.raises(ValueError, match="now, not machine\\+lower"):
            change().restore(kept, MACHINE)
    panel = learner.scoring.scorer
    assert isinstance(panel, Panel)
    with pytest.raises(ValueError, match="other methods"):
        panel.twin(msgspec.msgpack.encode({"machine": b""}))


@pytest.mark.parametrize("method", [("machine",), ("lower",), ("machine", "lower"), ("series",)])
def test_all_can_be_saved_in_another_place(monkeypatch: pytest.MonkeyPatch, method: tuple[str, ...]) -> None:
    """What was saved before does not count there: every part comes again, whatever it judges by."""
    install(monkeypatch)
    table, channels = (VALUES, SERIES) if method == ("series",) else (TABLE, MACHINE)
    learner, kept, there = make(method=method), dict[str, bytes](), dict[str, bytes]()
    for first in range(0, 210, 30):
        feed(learner, table[first : first + 30], channels, first)
        save(learner, kept)
    learner.save_anew()
    state = save(learner, there)
    assert there.keys() <= kept.keys()
    other = make(state, method=method)
    other.restore(there, channels)
    assert feed(other, table[210:], channels, 210) == feed(learner, table[210:], channels, 210) != []
