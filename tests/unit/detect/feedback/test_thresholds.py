"""The laws of feedback: a threshold within bounds, that rests on the set of verdicts and on nothing else."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from edgemesh.detect.feedback.thresholds import FeedbackSettings, FeedbackState, ease, unheard
from edgemesh.model.orders import Verdict
from edgemesh.model.settings import Seconds
from edgemesh.model.verdicts import MOST_VERDICTS, OrderVerdict, Verdicts

DAY = 86_400 * 10**9
FOUND = st.builds(
    OrderVerdict,
    order=st.integers(0, 60).map("{:032x}".format),
    alert=st.integers(0, 60).map("{:032x}".format),
    verdict=st.sampled_from(Verdict),
    at_ns=st.integers(0, 200 * DAY),
    learnt=st.booleans(),
)
LISTS = st.lists(FOUND, max_size=60)
SETTINGS = st.builds(
    FeedbackSettings, step=st.floats(0.0, 0.5), most=st.floats(0.0, 1.0), remember=st.floats(0.0, 1e8).map(Seconds)
)


def found(number: int, verdict: Verdict, *, day: float = 0.0, learnt: bool = True) -> OrderVerdict:
    return OrderVerdict(order=f"{number:032}", alert="0" * 32, verdict=verdict, at_ns=int(day * DAY), learnt=learnt)


@settings(deadline=None)
@given(LISTS, st.integers(0, 300 * DAY), SETTINGS)
def test_the_threshold_stays_within_its_bounds(
    verdicts: list[OrderVerdict], now_ns: int, some: FeedbackSettings
) -> None:
    """Whatever people say, limits lie where they were learnt or further out, and never further than `most`."""
    assert 1.0 <= ease(verdicts, now_ns, some) <= 1.0 + some.most


@settings(deadline=None)
@given(LISTS, st.randoms(use_true_random=False), st.integers(1, 9))
def test_how_and_how_often_it_is_heard_makes_no_difference(
    verdicts: list[OrderVerdict], chance: Random, pieces: int
) -> None:
    """Lists that come twice, in pieces and in any order make the same list, so the same threshold."""
    once = Verdicts(asset="a").merged(verdicts)
    again = [*verdicts, *chance.choices(verdicts, k=len(verdicts))] if verdicts else []
    chance.shuffle(again)
    heard = Verdicts(asset="a")
    for piece in range(pieces):
        heard = heard.merged(Verdicts(asset="a").merged(again[piece::pieces]).verdicts)
    if len({each.order for each in verdicts}) <= MOST_VERDICTS:
        assert heard == once
    assert len(heard.verdicts) <= MOST_VERDICTS
    assert heard.merged(heard.verdicts) == heard


@settings(deadline=None)
@given(st.lists(LISTS, max_size=6))
def test_each_verdict_has_its_effect_once(lists: list[list[OrderVerdict]]) -> None:
    """Of lists that grow, each order's verdict is new once, however often the list is heard."""
    state, told, known = FeedbackState(), list[OrderVerdict](), Verdicts(asset="a")
    for verdicts in lists:
        known = known.merged(verdicts)
        if len({each.order for each in (*verdicts, *known.verdicts)}) > MOST_VERDICTS:
            return
        told += unheard(state, known.verdicts)
        assert unheard(state, known.verdicts) == []
    names = [(each.order, each.verdict) for each in told if each in known.verdicts]
    assert len(names) == len(set(names))


def test_what_moves_it_and_what_does_not() -> None:
    """Only false alarms of a model that is still of the same machine, and not too long ago."""
    some = FeedbackSettings()
    alarms = [found(number, Verdict.FALSE_ALARM, day=number) for number in range(3)]
    assert ease(alarms, 5 * DAY, some) == 1.0 + 0.1 * 3
    rules = [found(9, Verdict.FALSE_ALARM, day=4, learnt=False), found(10, Verdict.REAL_FAULT, day=4)]
    assert ease([*alarms, *rules], 5 * DAY, some) == ease(alarms, 5 * DAY, some)
    assert ease([*alarms, found(11, Verdict.REPLACED_PART, day=1.5)], 5 * DAY, some) == 1.1
    assert ease(alarms, 91 * DAY + DAY // 2, some) == 1.1
    assert ease(alarms, 100 * DAY, some) == 1.0


def test_a_verdict_that_was_put_right_takes_its_step_back() -> None:
    """Of one order the latest word counts."""
    first = found(1, Verdict.FALSE_ALARM, day=1)
    known = Verdicts(asset="a").merged([first]).merged([found(1, Verdict.REAL_FAULT, day=2)])
    assert [each.verdict for each in known.verdicts] == [Verdict.REAL_FAULT]
    assert ease(known.verdicts, 3 * DAY, FeedbackSettings()) == 1.0
