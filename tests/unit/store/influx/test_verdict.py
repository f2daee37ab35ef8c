"""What answers of servers mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemesh.store.influx.verdict import Reply, Verdict, judge


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
