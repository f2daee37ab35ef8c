"""The laws of the auction, hunted with the conversation's faults: crashes, restarts, and bids that are lost, doubled,
late, reordered, forged or no numbers.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from edgemesh.agents.core import Input
from edgemesh.dispatch import auction, handover, strategies
from edgemesh.dispatch.moves import IllegalMove
from edgemesh.dispatch.settings import AuctionSettings, StrategyName
from edgemesh.model.orders import MOST_BID, Answer, AnswerKind, Bid, OrderState, WorkOrder
from edgemesh.model.packs import Answers, Cards
from edgemesh.model.settings import Seconds
from firmware_sim import listing
from tests.unit.dispatch.plant import answer, card
from tests.unit.dispatch.test_conversation import BOUNDS, NAMES, SETTINGS, Conversation

WINDOW_S = 1.0
BY_AUCTION = msgspec.structs.replace(
    SETTINGS, strategy=StrategyName.AUCTION, auction=AuctionSettings(window=Seconds(WINDOW_S))
)
UNABLE, STRANGER = "eve", "mallory"
NUMBERS = (math.nan, math.inf, -math.inf, -1.0, 0.0, 3.0, 5.0, MOST_BID, 2.0 * MOST_BID)
Call = tuple[str, int]


class Market(Conversation):
    """`bids` is what an honest book of the calls holds: the first sound bid of each who is able, made in time."""

    dispatch = BY_AUCTION

    def __init__(self) -> None:
        super().__init__()
        self.bids: dict[Call, dict[str, Bid]] = {}

    def tell(self, given: Input | int, *, crash: str = "") -> None:
        if self.core is None:
            return
        before = {order: len(versions) for order, versions in self.log.items()}
        bid = given.records[0] if isinstance(given, Answers) and given.records[0].answer is AnswerKind.BID else None
        sound = bid is not None and self.is_sound(bid)
        if bid is not None and sound and crash != "before commit":
            self.bids.setdefault((bid.order, bid.attempt), {})[bid.executor] = bid.bid or Bid()
        free = {name for name in NAMES if self.core._desk.roster.free(name)}
        self.reliable = {name: self.core._desk.handover.outcomes.of(name).reliability for name in NAMES}
        super().tell(given, crash=crash)
        if bid is not None and not sound:
            now = {order: len(versions) for order, versions in self.log.items()}
            assert now == before, "a bid that does not count brought something about"
        for order, versions in self.log.items():
            for index in range(max(1, before.get(order, 0)), len(versions)):
                self.check_award(versions[index - 1], versions[index], free)

    def is_sound(self, bid: Answer) -> bool:
        order = self.log[bid.order][-1] if bid.order in self.log else None
        if order is None or not is_call(order) or self.now_ns >= (order.deadline_at_ns or 0):
            return False
        values = [value for value in msgspec.structs.astuple(bid.bid or Bid()) if value is not None]
        first = bid.executor not in self.bids.get((order.id, order.attempt + 1), {})
        known = bid.executor in NAMES and self.core is not None and self.core._desk.roster.executors[bid.executor].up
        return (
            known and first and bid.attempt == order.attempt + 1 and all(0.0 <= value <= MOST_BID for value in values)
        )

    def check_award(self, old: WorkOrder, new: WorkOrder, free: set[str]) -> None:
        """The order goes to somebody able, and to the cheapest of those who bid and have room."""
        if new.state is not OrderState.DISPATCHED or old.state is not OrderState.OPEN:
            return
        assert new.executor in NAMES, "an order was given to somebody who is not able"
        if is_call(old):
            bids = self.bids.get((new.id, new.attempt), {})
            prices = {name: self.price(name, bid) for name, bid in bids.items() if name in free - set(old.tried)}
            if len(prices) > 1 and not self.avoided(new.id):
                assert prices.get(new.executor or "", math.inf) == min(prices.values()), "the cheapest did not get it"

    def avoided(self, order: str) -> tuple[str, ...]:
        """Whose work did not hold: they come last, whatever they bid."""
        return self.core._desk.ledger.entries[order].avoid if self.core else ()

    def price(self, name: str, bid: Bid) -> float:
        unreliable = 10.0 * (1.0 - self.reliable[name])
        travel = 60.0 if bid.travel_s is None else bid.travel_s / 60.0
        return (bid.cost or 0.0) + travel + 10.0 * (bid.load or 0) + unreliable + (bid.energy or 0.0)

    @rule()
    def somebody_unable_is_there(self) -> None:
        self.tell(Cards((card(UNABLE, skills={"painter": 1.0}),)))

    @rule(name=st.sampled_from(NAMES), count=st.integers(1, 4))
    def deliver_calls(self, name: str, count: int) -> None:
        person = self.people[name]
        for payload in person.called[:count] if person.mind else ():
            if (order := listing.decode_call(payload)) is not None and person.mind:
                self.carry_out(person, person.mind.call(order, self.moment))
        del person.called[:count]

    @rule(name=st.sampled_from(NAMES), index=st.integers(0, 5), what=st.sampled_from(("drop", "repeat")))
    def spoil_calls(self, name: str, index: int, what: str) -> None:
        called = self.people[name].called
        if index < len(called):
            called.pop(index) if what == "drop" else called.append(called[index])

    @rule(
        name=st.sampled_from((*NAMES, *NAMES, UNABLE, STRANGER)),
        late=st.sampled_from((0, 0, 0, -1, 1)),
        cost=st.sampled_from(NUMBERS),
        travel_s=st.sampled_from(NUMBERS),
        index=st.integers(0, 3),
    )
    def anybody_bids_anything(self, name: str, late: int, cost: float, travel_s: float, index: int) -> None:
        if self.log:
            order = list(self.log.values())[index % len(self.log)][-1]
            said = answer(name, order.id, AnswerKind.BID, max(1, order.attempt + 1 + late))
            self.tell(Answers((msgspec.structs.replace(said, bid=Bid(cost=cost, travel_s=travel_s)),)))

    @invariant()
    def the_books_agree(self) -> None:
        """What a core holds of standing calls is what an honest book holds, after every restart."""
        for versions in self.log.values() if self.core else ():
            order = versions[-1]
            if is_call(order):
                held = self.core._desk.handover.auction.bids(order.id) if self.core else {}
                assert held == self.bids.get((order.id, order.attempt + 1), {}), "the books differ"

    @invariant()
    def no_call_outlives_its_deadline(self) -> None:
        for versions in self.log.values() if self.core else ():
            assert not is_call(versions[-1]) or (versions[-1].deadline_at_ns or 0) > self.now_ns, "a call goes on"


def is_call(order: WorkOrder) -> bool:
    return order.state is OrderState.OPEN and order.deadline_at_ns is not None


Market.TestCase.settings = settings(BOUNDS, max_examples=40)
TestMarket = Market.TestCase


def begun() -> Market:
    """A machine in which a call stands, with two who are able and one who is not."""
    market = Market()
    market.begin()
    market.somebody_unable_is_there()
    market.the_books_agree()
    return market


def bid(market: Market, name: str = "ana", *, cost: float = 3.0, late: int = 0) -> None:
    market.anybody_bids_anything(name=name, late=late, cost=cost, travel_s=0.0, index=0)
    market.the_books_agree()
    market.no_call_outlives_its_deadline()


def after_the_award(market: Market) -> None:
    market.time_passes(2.5)
    bid(market, "ben")


def twice(market: Market) -> None:
    bid(market)
    bid(market, cost=5.0)


BREAKS: dict[str, Callable[[Market], None]] = {
    "late": after_the_award,
    "other_attempt": lambda market: bid(market, late=1),
    "unable": lambda market: bid(market, UNABLE),
    "not_finite": lambda market: bid(market, cost=math.nan),
    "negative": lambda market: bid(market, cost=-1.0),
    "too_large": lambda market: bid(market, cost=2.0 * MOST_BID),
    "again": twice,
}


@pytest.mark.parametrize("ignored", BREAKS)
def test_without_an_objection_a_law_breaks(monkeypatch: pytest.MonkeyPatch, ignored: str) -> None:
    """Each reason for which a bid does not count is needed: with it the laws hold, left out one of them does not."""
    BREAKS[ignored](begun())
    monkeypatch.delitem(auction.OBJECTIONS, ignored)
    with pytest.raises((AssertionError, IllegalMove)):
        BREAKS[ignored](begun())


def test_every_objection_is_tried() -> None:
    """But for `unregistered`, which tells apart whom nobody knows: they are unable as well."""
    assert set(BREAKS) == set(auction.OBJECTIONS) - {"unregistered"}


def test_the_dearest_bid_breaks_a_law(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine sees it when the award goes to somebody else than the cheapest."""

    def dearest(job: strategies.Job, candidate: strategies.Candidate) -> strategies.Key | None:
        key = strategies.auction(job, candidate)
        return None if key is None else (-key[0],)

    def both(market: Market) -> None:
        bid(market)
        bid(market, "ben", cost=5.0)

    both(begun())
    monkeypatch.setitem(strategies.STRATEGIES, StrategyName.AUCTION, dearest)
    with pytest.raises(AssertionError, match="the cheapest did not get it"):
        both(begun())


def test_a_call_without_an_end_breaks_a_law(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine sees it when nobody closes a call."""
    monkeypatch.setattr(handover.Handover, "award", lambda self, entry: None)
    market = begun()
    market.time_passes(2.5)
    with pytest.raises(AssertionError, match="a call goes on"):
        market.no_call_outlives_its_deadline()


@pytest.mark.parametrize("kept", [True, False])
def test_bids_that_are_not_on_the_disk_break_a_law(kept: bool) -> None:
    """The machine sees it when bids do not survive a restart."""
    market = begun()
    bid(market)
    if not kept:
        market.parts = {key: part for key, part in market.parts.items() if not key.startswith("bid/")}
    market.restart_scheduler()
    with contextlib.nullcontext() if kept else pytest.raises(AssertionError, match="the books differ"):
        market.the_books_agree()
