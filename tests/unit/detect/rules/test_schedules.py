"""Schedules, votes, slopes and levels: the small parts that rules are made of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemesh.detect.base.decision import Seen
from edgemesh.detect.rules.levels import Baseline, Smooth
from edgemesh.detect.rules.slopes import PARTS, Slope
from edgemesh.detect.rules.votes import parse_votes, vote
from edgemesh.model.samples import Retimed
from edgemesh.model.schedules import parse_schedule

S = 10**9
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def ns(moment: datetime) -> int:
    return int(moment.timestamp()) * S


@given(st.integers(0, 6), st.integers(0, 6), st.integers(0, 1439), st.integers(1, 1439), st.integers(0, 20_000_000))
def test_a_schedule_is_open_exactly_in_its_hours(first: int, last: int, start: int, lasts: int, minute: int) -> None:
    """A stretch of minutes that begins on one of its days, also over midnight, and nothing else."""
    end = (start + lasts) % 1440
    text = f"{DAYS[first]}-{DAYS[last]} {start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}"
    days = {(first + k) % 7 for k in range((last - first) % 7 + 1)}
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
    since = (moment.hour * 60 + moment.minute - start) % 1440
    began = moment - timedelta(minutes=since)
    assert parse_schedule(text).is_open(ns(moment)) == (since < lasts and began.weekday() in days)


def test_hours_are_those_of_the_time_zone_also_when_clocks_change() -> None:
    """06:00 in Berlin is 05:00 UTC in winter and 04:00 UTC in summer."""
    shift = parse_schedule("06:00-22:00 Europe/Berlin")
    hours = [(1, 4), (1, 5), (7, 3), (7, 4)]
    opened = [shift.is_open(ns(datetime(2026, month, 14, hour, 30, tzinfo=UTC))) for month, hour in hours]
    assert opened == [False, True, False, True]


def test_several_stretches_and_whole_days() -> None:
    """Stretches are listed with commas; days without hours are whole days; nothing at all is always."""
    text = "Mon-Fri 06:00-22:00, Sat 08:00-12:00, Sun UTC"
    monday = datetime(2026, 1, 5, tzinfo=UTC)
    hours = [(0, 7), (0, 23), (5, 9), (5, 13), (6, 3)]
    found = [parse_schedule(text).is_open(ns(monday + timedelta(days=day, hours=hour))) for day, hour in hours]
    assert found == [True, False, True, False, True]
    assert parse_schedule("").is_open(0)


@pytest.mark.parametrize(
    "text", ["Mo-Fr", "Mon 6-22", "Mon 25:00-26:00", "08:00-08:00", "Mon 08:00-09:00 Mars/Base", ","]
)
def test_a_schedule_that_cannot_be_meant_is_refused(text: str) -> None:
    """With a reason that shows what was written."""
    with pytest.raises(ValueError, match=r"schedule|days are|hours|time zone"):
        parse_schedule(text)


@given(st.lists(st.sampled_from(list(Seen)), max_size=30), st.integers(1, 6), st.integers(0, 6))
def test_votes_are_those_of_the_last_samples(samples: list[Seen], needed: int, more: int) -> None:
    """Beyond exactly while N of the last M are; never within then."""
    ballots: list[int] = []
    among = needed + more
    for i, seen in enumerate(samples):
        last = samples[max(0, i + 1 - among) : i + 1]
        found = vote(ballots, seen, needed, among)
        assert (found is Seen.BEYOND) == (last.count(Seen.BEYOND) >= needed)
    assert len(ballots) <= among


@pytest.mark.parametrize("text", ["5 of 3", "0 of 3", "three of five", "1 of 65"])
def test_votes_that_cannot_be_are_refused(text: str) -> None:
    """More votes than voters, none at all, words, or more than are kept."""
    with pytest.raises(ValueError, match="votes like"):
        parse_votes(text)


@given(
    st.floats(-5.0, 5.0), st.floats(-100.0, 100.0), st.lists(st.integers(1, 20), min_size=40, max_size=120),
)  # fmt: skip
def test_a_straight_line_has_its_own_slope(slope: float, start: float, gaps: list[int]) -> None:
    """Whatever the gaps between samples, and with a memory that stays small."""
    line, at, found = Slope(), 0, None
    for gap in gaps:
        at += gap
        found = line.step(at * S, start + slope * at, 100.0)
        assert len(line.parts) <= PARTS + 1
    if found is not None:
        assert found == pytest.approx(slope, abs=1e-6 + 1e-9 * abs(start))


def test_a_slope_is_unknown_until_enough_was_seen_and_after_a_hole() -> None:
    """Two samples make no trend; a hole longer than the window begins anew; a clock put right moves all of it."""
    line = Slope()
    assert [line.step(t * S, 1.0 * t, 60.0) for t in range(0, 40, 10)] == [None] * 4
    assert line.step(50 * S, 50.0, 60.0) == pytest.approx(1.0)
    assert line.step(500 * S, 0.0, 60.0) is None
    line.put_right(Retimed(clock=1, from_ns=0, until_ns=1000 * S, by_ns=7 * S))
    assert [part.from_ns for part in line.parts] == [507 * S]


@given(st.lists(st.tuples(st.floats(-50.0, 50.0), st.floats(0.1, 30.0)), min_size=1, max_size=50))
def test_an_average_lies_within_what_it_has_seen(values: list[tuple[float, float]]) -> None:
    """Free of bias from the first value on."""
    smooth = Smooth()
    for i, (value, elapsed) in enumerate(values):
        mean = smooth.step(value, elapsed, 20.0)
        seen = [each for each, _ in values[: i + 1]]
        assert min(seen) - 1e-6 <= mean <= max(seen) + 1e-6


def test_a_baseline_learns_then_follows_slowly() -> None:
    """After learning, an hour of another level moves it by an hour's share of its memory."""
    base = Baseline()
    for _ in range(3600):
        base.follow(10.0, 1.0, learn_s=3600.0, follow_s=36_000.0)
    for _ in range(3600):
        base.follow(20.0, 1.0, learn_s=3600.0, follow_s=36_000.0)
    assert base.mean == pytest.approx(10.0 + 10.0 * (1 - 0.9048), abs=0.01)
