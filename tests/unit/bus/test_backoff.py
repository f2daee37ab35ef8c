"""When a client tries again: spread, soon after a good link, seldom where its links are taken away."""

from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from edgemesh.bus.backoff import CONTESTED_LINKS, CONTESTED_S, FIRST_S, LONGEST_S, STEADY_S, BackOff

chances = st.lists(st.floats(0, 1), min_size=1, max_size=30)


@given(chances)
def test_pauses_stay_between_nothing_and_a_bound_that_doubles(chosen: list[float]) -> None:
    """Full jitter: whatever chance says, a pause is from 0 to a bound of 50 ms, 100 ms, … up to 1 s."""
    back_off, bound_s = BackOff(), FIRST_S
    for chance in chosen:
        back_off.failed()
        assert 0 <= back_off.pause_s(chance) <= bound_s
        bound_s = min(2 * bound_s, LONGEST_S)


@given(st.floats(0, 100))
def test_who_had_a_link_comes_back_at_once(lasted_s: float) -> None:
    """However long the broker was away before: a link begins anew."""
    back_off = BackOff()
    for _ in range(10):
        back_off.failed()
        back_off.pause_s(1.0)
    assert not back_off.ended(lasted_s, taken_over=False)
    assert back_off.pause_s(1.0) == FIRST_S


def crowd(jitter: float) -> int:
    """Of 1,000 clients whose broker is away for 3 s, the most that come within 100 ms; without jitter pauses are 1."""
    chance = Random(1)
    slots: Counter[int] = Counter()
    for _ in range(1000):
        back_off, now_s = BackOff(), 0.0
        back_off.ended(60.0, taken_over=False)
        while now_s < 3.0:
            now_s += back_off.pause_s(1.0 - jitter * chance.random())
            back_off.failed()
        slots[int(now_s * 10)] += 1
    return max(slots.values())


def test_a_thousand_that_lost_the_same_broker_come_back_spread() -> None:
    """With jitter no more than a third come within a tenth of a second; without it they come all at once."""
    assert crowd(1.0) < 333
    assert crowd(0.0) == 1000


def test_a_broker_that_dies_often_is_not_taken_for_a_contest() -> None:
    """After a kill the first attempt fails: short links alone, however many, keep the pauses short."""
    back_off = BackOff()
    for _ in range(50):
        assert not back_off.ended(1.0, taken_over=False)
        back_off.failed()
        assert back_off.pause_s(1.0) <= LONGEST_S


def test_links_that_are_taken_away_at_once_are_contested() -> None:
    """Given at the first attempt and gone soon, again and again: it is said once, and the pauses grow to 30 s."""
    back_off = BackOff()
    news = [back_off.ended(0.1, taken_over=False) for _ in range(CONTESTED_LINKS + 3)]
    assert news.index(True) == CONTESTED_LINKS - 1
    assert sum(news) == 1
    pauses = [back_off.pause_s(0.0) for _ in range(15)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == CONTESTED_S / 2
    back_off.failed()
    assert back_off.contested


def test_a_broker_that_names_the_taker_is_believed_sooner() -> None:
    """Where the broker says that another client took our id, half as many links are enough."""
    back_off = BackOff()
    news = [back_off.ended(0.1, taken_over=True) for _ in range(CONTESTED_LINKS // 2)]
    assert news[-1]


def is_contested_after(back_off: BackOff, lasted_s: float) -> bool:
    back_off.ended(lasted_s, taken_over=False)
    return back_off.contested


def test_a_contest_ends_with_a_long_link() -> None:
    """A link that outlasts the longest pause of the other client shows that there is no other any more."""
    back_off = BackOff()
    for _ in range(CONTESTED_LINKS):
        back_off.ended(0.1, taken_over=True)
    assert [is_contested_after(back_off, lasted_s) for lasted_s in (STEADY_S, 2 * CONTESTED_S)] == [True, False]
    assert back_off.pause_s(1.0) == FIRST_S
