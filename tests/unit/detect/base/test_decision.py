"""The switch that raises, holds and clears."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgemesh.detect.base.decision import Seen, Switch

B, M, W = Seen.BEYOND, Seen.BETWEEN, Seen.WITHIN


def run(seen: list[Seen], hold: int = 2, clear_hold: int = 2) -> list[bool | None]:
    switch = Switch()
    return [switch.step(s, 1, hold=hold, clear_hold=clear_hold, at_ns=t) for t, s in enumerate(seen)]


def test_time_leaks_back_instead_of_starting_again() -> None:
    """One good value in between costs its own time only: a hold of three still raises."""
    assert run([B, B, B, W, B, B, B], hold=3) == [None] * 5 + [True, None]
    assert True not in run([B, W] * 50, hold=3)


def test_between_the_levels_nothing_clears() -> None:
    """Hysteresis: what is raised stays until the value is within the clear level for long enough."""
    assert run([B, B, B, *[M] * 20]) == [None, None, True, *[None] * 20]
    assert run([B, B, B, W, W, W])[-1] is False


def test_losing_sight_counts_no_time() -> None:
    """While nothing can be believed no time passes towards either move."""
    switch = Switch()
    switch.step(B, 0, hold=5, clear_hold=5, at_ns=0)
    switch.lose_sight()
    assert switch.step(B, 100, hold=5, clear_hold=5, at_ns=100) is None
    assert switch.spent == 0


def test_the_onset_is_the_first_value_beyond() -> None:
    """A later look back finds when it began, not when it was decided."""
    switch = Switch()
    for at, seen in enumerate([W, B, B, B], start=10):
        switch.step(seen, 1, hold=2, clear_hold=1, at_ns=at)
    assert switch.firing
    assert switch.onset_at_ns == 11


@given(st.lists(st.sampled_from([B, M, W])), st.integers(0, 5), st.integers(0, 5))
def test_it_alternates(seen: list[Seen], hold: int, clear_hold: int) -> None:
    """Raised, cleared, raised, ...: never twice the same, raised only when beyond, cleared only when within."""
    moves = [(s, move) for s, move in zip(seen, run(seen, hold, clear_hold), strict=True) if move is not None]
    assert [move for _, move in moves] == [i % 2 == 0 for i in range(len(moves))]
    assert all(s is (B if move else W) for s, move in moves)
