"""The auction: calls that stand, and the bids that were made for them. A contract net in the sense of Smith.

A call is a work order that is open with a deadline. Bids come in until then; whatever is wrong with one, it changes
nothing. The award is the dispatch, the confirmation that the executor accepts it.
Source: Smith, The Contract Net Protocol, IEEE Transactions on Computers C-29, 1980.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import msgspec

from edgemesh.dispatch.matching import Need
from edgemesh.dispatch.roster import Roster
from edgemesh.model.orders import MOST_BID, Answer, Bid, OrderState, WorkOrder


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A bid as it is kept: whose, for which order."""

    order: str
    executor: str
    bid: Bid


class Auction:
    """Bids by order and executor. `dirty` names (order, executor) whose bid changed since they were last saved."""

    def __init__(self) -> None:
        self.calls: dict[str, int] = {}
        self.dirty: set[tuple[str, str]] = set()
        self._bids: dict[str, dict[str, Bid]] = {}
        self._over: dict[str, dict[str, Bid]] = {}

    def note(self, order: WorkOrder) -> None:
        """Take note of a version of an order: a call begins, goes on, or is over, and its bids with it."""
        if is_call(order):
            assert order.deadline_at_ns is not None
            self.calls[order.id] = order.deadline_at_ns
        elif self.calls.pop(order.id, None) is not None:
            over = self._over[order.id] = self._bids.pop(order.id, {})
            self.dirty |= {(order.id, executor) for executor in over}

    def put(self, offer: Offer) -> None:
        """Take a bid that there is nothing to object to."""
        self.restore(offer)
        self.dirty.add((offer.order, offer.executor))

    def restore(self, offer: Offer) -> None:
        """Put a bid as it was saved."""
        self._bids.setdefault(offer.order, {})[offer.executor] = offer.bid

    def bids(self, order: str) -> Mapping[str, Bid]:
        """What was bid for an order, by executor."""
        return self._bids.get(order, {})

    def take(self) -> Mapping[str, Mapping[str, Bid]]:
        """The bids for calls that are over since this was asked last, by order and executor."""
        over, self._over = self._over, {}
        return over

    def offer(self, order: str, executor: str) -> Offer | None:
        """Somebody's bid as it is saved; None: there is none."""
        bid = self.bids(order).get(executor)
        return None if bid is None else Offer(order=order, executor=executor, bid=bid)

    @property
    def next_ns(self) -> int | None:
        """When the next call is over; None: there is none."""
        return min(self.calls.values(), default=None)


def is_call(order: WorkOrder) -> bool:
    """Whether bids are asked for."""
    return order.state is OrderState.OPEN and order.deadline_at_ns is not None


class Claim(msgspec.Struct, frozen=True):
    """A bid in the light of what is known: the order as it stands and its need, the bids for it, the time."""

    order: WorkOrder
    need: Need
    answer: Answer
    bids: Mapping[str, Bid]
    roster: Roster
    now_ns: int

    @property
    def numbers(self) -> list[float]:
        """What it names."""
        return [value for value in msgspec.structs.astuple(self.answer.bid or Bid()) if value is not None]


OBJECTIONS: dict[str, Callable[[Claim], bool]] = {
    "late": lambda it: not is_call(it.order) or it.now_ns >= (it.order.deadline_at_ns or 0),
    "other_attempt": lambda it: it.answer.attempt != it.order.attempt + 1,
    "unregistered": lambda it: it.answer.executor not in it.roster.executors,
    "unable": lambda it: not it.roster.able(it.answer.executor, it.need),
    "not_finite": lambda it: not all(map(math.isfinite, it.numbers)),
    "negative": lambda it: any(value < 0.0 for value in it.numbers),
    "too_large": lambda it: any(value > MOST_BID for value in it.numbers),
    "again": lambda it: it.answer.executor in it.bids,
}
"""What may be wrong with a bid, in the order in which it is looked for. The first bid of each executor counts."""


def objection(claim: Claim) -> str | None:
    """Why a bid doesn't count: a code for the counters; None: it counts."""
    return next((code for code, holds in OBJECTIONS.items() if holds(claim)), None)
