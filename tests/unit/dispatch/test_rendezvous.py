"""Rendezvous hashing: stable, fair, and only the share of who comes or goes moves."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from edgemesh.dispatch.rendezvous import owner_of

NAMES = st.sets(st.text("abc123", min_size=1, max_size=4), min_size=2, max_size=8)


@given(NAMES, NAMES)
def test_only_the_share_of_the_one_who_goes_moves(items: set[str], owners: set[str]) -> None:
    """Taking one owner away changes nothing but the items that it had."""
    gone = min(owners)
    for item in items:
        before, after = owner_of(item, owners), owner_of(item, owners - {gone})
        assert after == before if before != gone else after != gone


def test_shares_are_fair() -> None:
    """Ten owners of 5,000 items have 500 each, give or take a fifth."""
    shares = Counter(owner_of(f"gw-{k}", [f"detector-{n}" for n in range(10)]) for k in range(5000))
    assert len(shares) == 10
    assert all(400 < count < 600 for count in shares.values())


def test_the_owner_is_the_same_for_ever() -> None:
    """Versions of edgemesh that disagreed would fight over gateways."""
    owners = ("d1", "d2", "d3")
    assert "".join(owner_of(f"gw-{k}", owners) or "" for k in range(8)) == "d1d1d2d1d3d2d2d3"
    assert owner_of("gw-1", ()) is None
