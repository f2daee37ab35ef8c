"""When a client tries again: spread, soon after a good link, seldom where its links are taken away."""

from __future__ import annotations

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


def test_a_steady_link_makes_the_next_pause_short() -> None:
    """Who had a good link comes back at once."""
    back_off = BackOff()
    for _ in range(10):
        back_off.pause_s(1.0)
    assert not back_off.ended(STEADY_S, taken_over=False)
    assert back_off.pause_s(1.0) == FIRST_S


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
