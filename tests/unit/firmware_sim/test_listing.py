"""Dispatch lists are believed only if they are well formed and for this executor."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.listing import Listing, ListingError, Order, decode, decode_call

ENTRY = {
    "order": "6f1c",
    "attempt": 1,
    "asset": "pump-101",
    "title": "Open the inlet valve",
    "cause": "flow low",
    "skills": {"operator": 0.5},
    "priority": "P2",
    "alert": "77aa",
    "state": "dispatched",
    "deadline_at_ns": 123,
}


def listing(**changes: object) -> bytes:
    return json.dumps({"v": 1, "executor": "ana", "epoch": 3, "orders": [ENTRY], **changes}).encode()


def test_a_list() -> None:
    """All that the executor needs, and nothing more."""
    assert decode(listing(), "ana") == Listing(
        3,
        (
            Order(
                "6f1c",
                1,
                "pump-101",
                "dispatched",
                "Open the inlet valve",
                "flow low",
                ("operator",),
                "P2",
            ),
        ),
    )


CALL = {"id": "6f1c", "attempt": 2, "asset": "pump-101", "state": "open", "deadline_at_ns": 5, "skills": {"fitter": 1}}


def test_a_call() -> None:
    """An order that is open with a deadline, under the attempt that would be given out; anything else is none."""
    found = decode_call(json.dumps(CALL).encode())
    assert found is not None
    assert (found.order, found.attempt, found.skills, found.rank) == ("6f1c", 3, ("fitter",), 0)
    for changes in ({"state": "accepted"}, {"deadline_at_ns": None}):
        assert decode_call(json.dumps(CALL | changes).encode()) is None
    assert decode_call(b"") is None


@pytest.mark.parametrize(
    "payload",
    [b"no", b"[]", json.dumps(CALL | {"id": 5}).encode(), json.dumps(CALL | {"attempt": -1}).encode(), b"[" * 9999],
)
def test_a_call_that_makes_no_sense(payload: bytes) -> None:
    """It is refused, whatever the bytes."""
    with pytest.raises(ListingError):
        decode_call(payload)


def test_empty_payload_means_no_orders() -> None:
    """A cleared retained topic is a list without orders and without an epoch."""
    assert decode(b"", "ana") is None


def test_unknown_fields_are_ignored() -> None:
    """The scheduler may say more one day."""
    assert decode(listing(colour="red", orders=[{**ENTRY, "weather": 1}]), "ana") == decode(listing(), "ana")


@pytest.mark.parametrize(
    "payload",
    [
        b"{",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b" " * 300_000,
        listing(v=2),
        listing(executor="ben"),
        listing(epoch="3"),
        listing(epoch=True),
        listing(epoch=-1),
        listing(orders=None),
        listing(orders=[None]),
        listing(orders=[ENTRY] * 101),
        listing(orders=[{**ENTRY, "attempt": 1.5}]),
        listing(orders=[{**ENTRY, "order": None}]),
        listing(orders=[{**ENTRY, "state": "confused"}]),
        listing(orders=[{**ENTRY, "skills": ["operator"]}]),
        listing(orders=[{**ENTRY, "title": "x" * 5000}]),
    ],
)
def test_anything_else_is_refused(payload: bytes) -> None:
    """With a reason, and never with another exception."""
    with pytest.raises(ListingError):
        decode(payload, "ana")


@given(
    st.binary(max_size=200) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(repr).map(str.encode)
)
def test_bytes_are_hostile(payload: bytes) -> None:
    """Whatever arrives is a list, or `ListingError`."""
    with contextlib.suppress(ListingError):
        assert isinstance(decode(payload, "ana"), Listing | None)
