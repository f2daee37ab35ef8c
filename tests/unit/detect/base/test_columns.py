"""What of a batch is new, and what of it can be believed."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from edgemesh.detect.base.columns import StreamState, heard_samples, read_columns
from edgemesh.model.samples import Batch, Quality

S = 10**9


def batch(at: list[int], values: list[float | None] | None = None, quality: list[Quality] | None = None) -> Batch:
    return Batch(
        device="d",
        asset="a",
        metrics=("m",),
        units=("1",),
        at_ns=tuple(at),
        values=(tuple(values if values is not None else map(float, range(len(at)))),),
        quality=(tuple(quality),) if quality else None,
    )


def test_late_and_duplicate_samples_are_counted_and_left_out() -> None:
    """Only time that moves on is read; the rest is a number in the stats."""
    stream, stats = StreamState(), defaultdict[str, float](float)
    first = read_columns(batch([10, 20, 20, 15, 30]), stream, 0, stats)
    assert first is not None
    assert (first.at_ns, first.values) == ((10, 20, 30), ((0.0, 1.0, 4.0),))
    assert read_columns(batch([30, 5]), stream, 0, stats) is None
    assert (stats["duplicate"], stats["late"]) == (2, 2)


def test_a_clock_that_was_set_back_is_believed_after_a_while() -> None:
    """A device whose clock jumped back an hour is not ignored for an hour: 20 samples over 10 s are enough."""
    stream, stats = StreamState(), defaultdict[str, float](float)
    read_columns(batch([3600 * S]), stream, 0, stats)
    read = [read_columns(batch([i * S]), stream, i * S, stats) is not None for i in range(1, 41)]
    assert read == [i >= 20 for i in range(1, 41)]
    assert stats["clock_steps"] == 1


def test_a_backlog_at_once_is_no_clock_that_was_set_back() -> None:
    """Old samples that come in one go stay old."""
    stream, stats = StreamState(), defaultdict[str, float](float)
    read_columns(batch([3600 * S]), stream, 0, stats)
    assert read_columns(batch([i * S for i in range(500)]), stream, 0, stats) is None
    assert stats["clock_steps"] == 0


def test_what_is_not_good_is_not_read() -> None:
    """Uncertain and bad readings become NaN, missing ones stay None."""
    part = read_columns(
        batch([1, 2, 3, 4], [1.0, 2.0, 3.0, None], [Quality.GOOD, Quality.UNCERTAIN, Quality.BAD, Quality.GOOD]),
        StreamState(),
        0,
        {},
    )
    assert part is not None
    assert [repr(value) for value in part.values[0]] == ["1.0", "nan", "nan", "None"]
    assert not part.clean


def test_bad_and_missing_readings_are_no_sign_of_life() -> None:
    """Bad counts as silent; uncertain does not."""
    grades = [Quality.GOOD, Quality.UNCERTAIN, Quality.BAD, Quality.GOOD]
    assert heard_samples(batch([1, 2, 3, 4], [1.0, 2.0, 3.0, None], grades)) == 2
    assert heard_samples(batch([1, 2], [None, None])) == 0
    assert heard_samples(batch([1, 2])) == 2


@given(st.lists(st.lists(st.integers(0, 50), min_size=1, max_size=8), max_size=8))
def test_times_that_pass_only_rise(packs: list[list[int]]) -> None:
    """Whatever times come, rules see strictly rising ones, and every sample is either read or counted."""
    stream, stats, seen = StreamState(), defaultdict[str, float](float), list[int]()
    for at in packs:
        part = read_columns(batch(at), stream, 0, stats)
        seen += part.at_ns if part else ()
    assert seen == sorted(set(seen))
    assert len(seen) + stats["late"] + stats["duplicate"] == sum(map(len, packs))
