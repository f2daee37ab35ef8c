"""How long a server is left alone before it is asked again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgemesh.retry_after import MAX_WAIT_S
from edgemesh.store.retry import LONGEST_WAIT_S, wait_s


@given(st.integers(1, 10_000), st.floats(0, 1), st.text(max_size=40))
def test_waits_grow_and_end(failures: int, chance: float, header: str) -> None:
    """Each wait is finite, at least half a second where nothing else is asked for, whatever the header says."""
    waited = wait_s(header, failures, lambda: chance, 1e9)
    assert 0.0 <= waited <= MAX_WAIT_S + 1
    assert 0.5 <= wait_s("", failures, lambda: chance, 1e9) <= LONGEST_WAIT_S


def test_what_the_server_asks_for_is_honoured() -> None:
    """`Retry-After` in seconds or as a date; what is past or beyond an hour is neither waited for."""
    for header, waited in (
        ("7", 7.0),
        ("Sun, 09 Sep 2001 01:46:50 GMT", 10.0),
        ("Sun, 09 Sep 2001 01:46:30 GMT", 0.0),
        ("99999", MAX_WAIT_S),
    ):
        assert wait_s(header, 1, lambda: 0.0, 1e9) == waited
