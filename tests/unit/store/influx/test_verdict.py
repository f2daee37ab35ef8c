"""What answers of servers mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemesh.store.influx.verdict import LONGEST_WAIT_S, MAX_WAIT_S, Reply, Verdict, judge, wait_s


@pytest.mark.parametrize(
    ("status", "text", "verdict"),
    [
        (204, "", Verdict.DONE),
        (200, "", Verdict.DONE),
        (400, "unable to parse 'x'", Verdict.REFUSED),
        (422, "", Verdict.REFUSED),
        (400, "partial write: field type conflict dropped=1", Verdict.PARTLY),
        (413, "", Verdict.HALVE),
        (401, "", Verdict.HOLD),
        (403, "", Verdict.HOLD),
        (404, "", Verdict.HOLD),
        (301, "", Verdict.HOLD),
        (0, "no route", Verdict.AGAIN),
        (408, "", Verdict.AGAIN),
        (429, "", Verdict.AGAIN),
        (500, "partial write", Verdict.AGAIN),
        (503, "", Verdict.AGAIN),
    ],
)
def test_each_status_has_its_meaning(status: int, text: str, verdict: Verdict) -> None:
    """Lines leave the spool for a 2xx; for 400 and 422 they are dead letters; for all the rest they stay."""
    assert judge(Reply(status, text)) is verdict


@given(st.integers(100, 599), st.text(max_size=30))
def test_nothing_but_a_2xx_is_done(status: int, text: str) -> None:
    """No other status lets lines go as stored."""
    assert (judge(Reply(status, text)) is Verdict.DONE) == (200 <= status < 300)


@given(st.integers(1, 10_000), st.floats(0, 1), st.text(max_size=40))
def test_waits_grow_and_end(failures: int, chance: float, header: str) -> None:
    """Each wait is finite, at least half a second where nothing else is asked for, whatever the header says."""
    waited = wait_s(Reply(503, "", header), failures, lambda: chance, 1e9)
    assert 0.0 <= waited <= MAX_WAIT_S + 1
    assert 0.5 <= wait_s(Reply(503), failures, lambda: chance, 1e9) <= LONGEST_WAIT_S


def test_what_the_server_asks_for_is_honoured() -> None:
    """`Retry-After` in seconds or as a date; what is past or beyond an hour is neither waited for."""
    for header, waited in (
        ("7", 7.0),
        ("Sun, 09 Sep 2001 01:46:50 GMT", 10.0),
        ("Sun, 09 Sep 2001 01:46:30 GMT", 0.0),
        ("99999", MAX_WAIT_S),
    ):
        assert wait_s(Reply(429, "", header), 1, lambda: 0.0, 1e9) == waited
