"""The laws of the reservoir: bounded, uniform, and the same whoever feeds it, in whatever pieces, restarted or not."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemesh.detect.feedback import reservoir
from edgemesh.detect.feedback.reservoir import SLOTS, WINDOW_ROWS, Reservoir

STRETCHES = st.lists(st.tuples(st.booleans(), st.integers(1, 400)), max_size=40)
"""Stretches of rows, each calm or not."""


def rows(first: int, last: int) -> list[list[float]]:
    return [[float(row), -float(row)] for row in range(first, last)]


def feed(sample: Reservoir, stretches: Sequence[tuple[bool, int]], first: int = 0, size: int = 1000) -> int:
    """Have it take the stretches, so many rows at once; return where the next row begins."""
    for calm, count in stretches:
        for begin in range(first, first + count, size):
            end = min(first + count, begin + size)
            if calm:
                sample.take(range(begin, end), rows(begin, end))
            else:
                sample.interrupt()
        first += count
    return first


def content(sample: Reservoir) -> list[list[float]]:
    return [window.ravel().tolist() for window in (*sample.windows, sample.recent)]


@settings(deadline=None)
@given(STRETCHES)
def test_it_is_bounded_and_holds_calm_rows_only(stretches: list[tuple[bool, int]]) -> None:
    """Whatever comes, there are at most 16 windows of 128 rows in a row, each wholly of one calm stretch."""
    sample = Reservoir(2, seed=3)
    feed(sample, [*stretches, *stretches])
    assert len(sample.windows) <= SLOTS
    assert len(sample.recent) < 2 * WINDOW_ROWS
    edges = np.cumsum([0, *(count for _, count in (*stretches, *stretches))])
    calm = [flag for flag, _ in (*stretches, *stretches)]
    for window in sample.windows:
        assert np.diff(window[:, 0]).tolist() == [1.0] * (WINDOW_ROWS - 1)
        first, last = np.searchsorted(edges, window[[0, -1], 0], side="right") - 1
        assert all(calm[first : last + 1])


def by_quarter(draw: Callable[[int, int], int] | None, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many windows of each quarter of 64 are kept, over 60 seeds."""
    if draw is not None:
        monkeypatch.setattr(reservoir, "_draw", draw)
    counts = [0] * 4
    for seed in range(60):
        sample = Reservoir(1, seed)
        for number in range(65):  # the last one waits
            sample.take(range(WINDOW_ROWS), [[float(number)]] * WINDOW_ROWS)
        for window in sample.windows:
            counts[int(window[0, 0]) // 16] += 1
    return counts


def test_every_window_has_the_same_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 64 windows each quarter is kept as often as the others: 240 of 960 times, give or take five deviations."""
    assert all(180 < count < 300 for count in by_quarter(None, monkeypatch))


@pytest.mark.parametrize("draw", [lambda seed, number: 0, lambda seed, number: number - 1])
def test_a_draw_that_is_not_fair_is_seen(draw: Callable[[int, int], int], monkeypatch: pytest.MonkeyPatch) -> None:
    """The check above fails where new windows always take a place, or never do."""
    assert not all(180 < count < 300 for count in by_quarter(draw, monkeypatch))


@settings(deadline=None)
@given(STRETCHES, st.integers(1, 300), st.integers(0, 3))
def test_a_replay_gives_the_same(stretches: list[tuple[bool, int]], size: int, seed: int) -> None:
    """The rows and the seed alone decide, not how many rows come at once."""
    once, again = Reservoir(2, seed), Reservoir(2, seed)
    feed(once, stretches)
    feed(again, stretches, size=size)
    assert content(once) == content(again)
    assert once.state == again.state


@settings(deadline=None)
@given(st.lists(st.tuples(STRETCHES, st.sampled_from(["save", "fade", "forget", "anew"])), max_size=6))
def test_a_checkpoint_equals_going_on(chapters: list[tuple[list[tuple[bool, int]], str]]) -> None:
    """Saved in parts and taken up again at any moment, it is what it would have been."""
    whole, broken, parts, first = Reservoir(2, 5), Reservoir(2, 5), dict[str, bytes](), 0
    for stretches, then in chapters:
        feed(broken, stretches, first)
        first = feed(whole, stretches, first)
        for sample in (whole, broken):
            if then == "fade":
                sample.fade()
            elif then == "forget":
                sample.forget(first // 2)
        if then == "anew":  # all that was saved is lost, and saved again
            parts.clear()
            broken.save_anew()
        for name, part in broken.parts().items():
            parts.pop(name, None) if part is None else parts.update({name: part})
        state, broken = broken.state, Reservoir(2, 5, broken.state)
        broken.restore(parts)
        assert broken.state is state
        assert content(broken) == content(whole)
    assert broken.state == whole.state
    assert sum(map(len, parts.values())) <= (SLOTS + 2) * WINDOW_ROWS * 16


def test_parts_that_do_not_fit_are_refused() -> None:
    """A window that is missing, or of another width, is an error and no rows of zeros."""
    sample = Reservoir(2, 1)
    feed(sample, [(True, 500)])
    parts = {name: part for name, part in sample.parts().items() if part is not None}
    for name in parts:
        with pytest.raises(ValueError, match="calm rows"):
            Reservoir(2, 1, sample.state).restore({other: parts[other] for other in parts if other != name})
    with pytest.raises(ValueError, match="calm rows"):
        Reservoir(3, 1, sample.state).restore(parts)


def test_old_windows_fade() -> None:
    """With `fade` after each of ten equal periods, the newest holds about half of the places."""
    newest = 0
    for seed in range(20):
        sample = Reservoir(1, seed)
        for period in range(10):
            for _ in range(60):
                sample.take(range(WINDOW_ROWS), [[float(period)]] * WINDOW_ROWS)
            if period < 9:
                sample.fade()
        newest += sum(window[0, 0] == 9.0 for window in sample.windows)
    assert 0.4 < newest / (20 * SLOTS) < 0.6
