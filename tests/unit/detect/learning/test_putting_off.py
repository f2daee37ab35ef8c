"""Learning that is put off: rows wait, and what is said of them is what would have been said at once."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemesh.detect.base.signals import Signal
from edgemesh.detect.base.windows import Channel
from edgemesh.detect.learning import learner as module
from edgemesh.detect.learning.learner import Learner
from edgemesh.detect.learning.memory import LearnerState
from edgemesh.detect.methods.lessons import Nothing, SeriesLearnt, decode_result, learn_encoded
from edgemesh.model.samples import Retimed
from tests.unit.detect.learning.test_learner import MACHINE, SERIES, SETTINGS, TABLE, VALUES, S, feed, make, save

NOTHING = msgspec.msgpack.encode(Nothing())


def make_patient(state: LearnerState | None = None) -> Learner:
    stats = dict.fromkeys(("rows", "trained", "untrainable", "models_refused"), 0.0)
    return Learner(SETTINGS, state or LearnerState(), stats, puts_off=True)


def answer(learner: Learner, result: bytes | None = None) -> list[Signal]:
    """Learn whatever is due and hand it in, as often as something is due."""
    said: list[Signal] = []
    while (due := learner.lesson()) is not None:
        key, content = due
        told = learner.learn(key, learn_encoded(content) if result is None else result)
        said += [signal for _, signals in told for signal in signals]
    return said


@pytest.mark.parametrize(("table", "channels"), [(TABLE, MACHINE), (VALUES, SERIES)])
@given(
    cuts=st.lists(st.tuples(st.integers(1, 699), st.sampled_from(["answer", "restart", "both", "nothing"])), max_size=6)
)
@settings(max_examples=15, deadline=None)
def test_it_says_the_same_as_one_that_learns_at_once(
    table: np.ndarray, channels: list[Channel], cuts: list[tuple[int, str]]
) -> None:
    """Whenever the result comes, and wherever it is stopped and goes on meanwhile: the same to the last bit."""
    whole = feed(make(), table, channels)
    assert len(whole) >= 4
    deeds = {cut: deed for cut, deed in cuts if cut < len(table)}
    said: list[Signal] = []
    kept: dict[str, bytes] = {}
    learner = make_patient()
    for first, last in pairwise([0, *sorted(deeds), len(table)]):
        said += feed(learner, table[first:last], channels, first)
        deed = deeds.get(last, "answer")
        if deed in ("answer", "both"):
            said += answer(learner)
        if deed in ("restart", "both"):
            state = save(learner, kept)
            learner = make_patient(state)
            learner.restore(kept, channels)
    assert said == whole
    save(learner, kept)
    assert not [name for name in kept if name.startswith(("kept/", "warmup/"))]


def test_nothing_is_learnt_in_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that complete a warm-up, and those after them, ask for a lesson once and learn nothing themselves."""

    def never(*_: object, **__: object) -> None:
        pytest.fail("something was learnt in the step")

    for place in ("methods.machine.learn_profile", "methods.series.grow", "learning.learner.learn_encoded"):
        monkeypatch.setattr(f"edgemesh.detect.{place}", never)
    for table, channels in ((TABLE, MACHINE), (VALUES, SERIES)):
        learner = make_patient()
        assert feed(learner, table[:300], channels) == []
        assert (learner.wants, learner.closed, learner.waiting.rows) == (True, True, 200)
        assert learner.lesson() is not None
        assert learner.lesson() is None


def test_a_result_that_nobody_waits_for_changes_nothing() -> None:
    """One of another lesson, one that comes twice, or before anything is due."""
    learner = make_patient()
    assert learner.learn("gone", NOTHING) == []
    feed(learner, TABLE[:150], MACHINE)
    due = learner.lesson()
    assert due is not None
    result = learn_encoded(due[1])
    assert learner.learn("another", result) == []
    assert learner.wants
    learner.learn(due[0], result)
    version = learner.version
    assert learner.learn(due[0], NOTHING) == []
    assert (learner.version, learner.learnt) == (version, True)


def test_a_warm_up_that_holds_nothing_is_asked_for_again() -> None:
    """Rows that waited complete the next one; what was not calm is not learnt from."""
    learner = make_patient()
    feed(learner, TABLE[:100], MACHINE)
    feed(learner, TABLE[100:110], MACHINE, 100)
    learner.feed([110 * S], TABLE[110:111].tolist(), MACHINE, calm=False)
    due = learner.lesson()
    assert due is not None
    assert [len(kept.rows) for kept, _ in learner.learn(due[0], NOTHING)] == [10]
    assert (learner.wants, learner.closed, len(learner.scoring.warmup)) == (False, False, 85)
    assert learner.stats["untrainable"] == 1
    feed(learner, TABLE[111:126], MACHINE, 111)
    assert learner.wants


@pytest.mark.parametrize("content", [b"", b"\xc1", b"x" * 40])
def test_a_result_that_is_not_sound_counts_as_none(content: bytes) -> None:
    """Bytes that are no result are counted and never believed."""
    learner = make_patient()
    feed(learner, TABLE[:100], MACHINE)
    due = learner.lesson()
    assert due is not None
    learner.learn(due[0], content)
    assert learner.stats["models_refused"] == 1
    assert not learner.learnt


def test_a_result_of_another_kind_counts_as_none() -> None:
    """The forest of a series is nothing for a machine; a profile with features that are none neither."""
    series = make_patient()
    feed(series, VALUES[:100], SERIES)
    _, content = series.lesson() or ("", b"")
    grown = learn_encoded(content)
    assert isinstance(decode_result(grown), SeriesLearnt)
    learner = make_patient()
    feed(learner, TABLE[:100], MACHINE)
    key, content = learner.lesson() or ("", b"")
    learner.learn(key, grown)
    assert learner.stats["models_refused"] == 1
    feed(learner, TABLE[100:125], MACHINE, 100)
    key, content = learner.lesson() or ("", b"")
    broken = msgspec.structs.replace(decode_result(learn_encoded(content)), features=b"\xff" * 48)
    learner.learn(key, msgspec.msgpack.encode(broken))
    assert learner.stats["models_refused"] == 2


def test_a_series_without_a_new_forest_goes_on_with_the_old() -> None:
    """A refit that failed is no reason to judge nothing; without any forest nothing is flagged until the next one."""
    learner = make_patient()
    feed(learner, VALUES[:340], SERIES)
    answer(learner)
    feed(learner, VALUES[340:360], SERIES, 340)
    assert learner.wants
    answer(learner, NOTHING)
    assert [signal.firing for signal in feed(learner, VALUES[360:460], SERIES, 360)][:1] == [True]
    blind = make_patient()
    feed(blind, VALUES[:100], SERIES)
    answer(blind, NOTHING)
    assert feed(blind, VALUES[100:340], SERIES, 100) == []
    assert not blind.wants


def test_when_nobody_learns_it_does_so_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows do not pile up for ever: beyond a bound it learns in the step, and says what was to be said."""
    monkeypatch.setattr(module, "MOST_KEPT", 150)
    learner = make_patient()
    assert feed(learner, TABLE[:230], MACHINE) == []
    assert feed(learner, TABLE[230:420], MACHINE, 230) == feed(make(), TABLE, MACHINE)
    assert not learner.waiting


def test_rows_that_wait_are_put_right_and_jumps_keep_their_place() -> None:
    """A clock that turns out wrong moves what waits; a jump in time comes between the rows that it came between."""
    learner = make_patient()
    feed(learner, TABLE[:150], MACHINE)
    learner.put_right(Retimed(clock=1, from_ns=0, until_ns=10**12, by_ns=5 * S))
    learner.skip()
    feed(learner, TABLE[150:160], MACHINE, 160)
    key, content = learner.lesson() or ("", b"")
    told = learner.learn(key, learn_encoded(content))
    assert [kept.instants[0] for kept, _ in told] == [105 * S, 160 * S]
    assert not learner.waiting
