"""Cards, shifts, auctions, and people who ask who gets an order or say who does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
import pytest

from edgemesh.agents.scheduler import SchedulerCore
from edgemesh.dispatch.settings import AuctionSettings, DispatchSettings, StrategyName
from edgemesh.errors import Rejected
from edgemesh.launch.assignment import explanation_lines
from edgemesh.model.agents import Asset, Card
from edgemesh.model.alerts import AlertState
from edgemesh.model.commands import Assign, Command, Explain, LogLevel, Reply
from edgemesh.model.ids import derive_id
from edgemesh.model.orders import Answer, AnswerKind, Bid, OrderState, WorkOrder
from edgemesh.model.packs import Alerts, Answers, Cards
from edgemesh.model.samples import Record
from edgemesh.model.settings import Seconds
from edgemesh.wire import codec
from edgemesh.wire.reasons import Reason
from tests.unit.dispatch.plant import START, S, alert, answer, card

BY_AUCTION = DispatchSettings(strategy=StrategyName.AUCTION)
MONDAY_NS = int(datetime(2026, 11, 30, 5, 0, tzinfo=UTC).timestamp()) * S


class Hall:
    """A core, its newest versions of orders, and what it has saved."""

    def __init__(
        self, *cards: Card, settings: DispatchSettings = BY_AUCTION, asset: Asset | None = None, now_ns: int = START
    ) -> None:
        self.settings, self.assets, self.now_ns = settings, {"P-101": asset or Asset(id="P-101")}, now_ns
        self.parts: dict[str, bytes] = {}
        self.orders: dict[str, WorkOrder] = {}
        self.numbers = 0
        self.core = SchedulerCore("scheduler", "test", settings, self.assets, audited=True)
        self.wait(0.0)
        self.take(self.core.handle(Cards(cards)))

    def take(self, records: Sequence[Record]) -> list[OrderState]:
        orders = [record for record in records if isinstance(record, WorkOrder)]
        self.orders |= {order.id: order for order in orders}
        return [order.state for order in orders]

    def wait(self, seconds: float) -> list[OrderState]:
        self.now_ns += int(seconds * S)
        return self.take(self.core.tick(self.now_ns))

    def alert(self, asset: str = "P-101") -> list[OrderState]:
        self.numbers += 1
        one = alert(asset=asset, number=self.numbers)
        return self.take(self.core.handle(Alerts(agent="d", epoch="e", seq=1, lowest=1, at_ns=START, records=(one,))))

    def cards(self, *cards: Card) -> list[OrderState]:
        return self.take(self.core.handle(Cards(cards)))

    def bid(self, name: str, **numbers: float) -> list[OrderState]:
        said = answer(name, self.order.id, AnswerKind.BID, self.order.attempt + 1)
        return self.take(self.core.handle(Answers((msgspec.structs.replace(said, bid=Bid(**numbers)),))))  # type: ignore[arg-type]

    def say(self, name: str, said: AnswerKind) -> list[OrderState]:
        return self.take(self.core.handle(Answers((answer(name, self.order.id, said, self.order.attempt),))))

    def command(self, **what: Assign | Explain) -> Reply:
        self.numbers += 1
        command = Command(id=derive_id("test", self.numbers), **what)  # type: ignore[arg-type]
        self.take(self.core.handle(command))
        assert self.core.handle(command) == [], "the same command twice is once"
        reply = self.core.reply(command.id)
        assert reply is not None
        return reply

    def assign(self, name: str) -> str:
        reply = self.command(assign=Assign(order=self.order.id[:6], executor=name, by="mia"))
        return reply.text if reply.done else f"refused: {reply.text}"

    def restart(self) -> None:
        for key, part in self.core.save().items():
            self.parts.pop(key, None) if part is None else self.parts.update({key: part})
        self.core = SchedulerCore("scheduler", "test", self.settings, self.assets)
        self.core.load(self.parts)
        assert self.wait(0.0) == []

    def due(self) -> int | None:
        return self.core.next_ns

    @property
    def order(self) -> WorkOrder:
        return list(self.orders.values())[-1]


def three(**more: object) -> list[Card]:
    return [msgspec.structs.replace(card(name), **more) for name in ("ana", "ben", "eve")]


# -- cards ---------------------------------------------------------------------------------------------------------


def test_a_card_of_before_means_what_it_meant() -> None:
    """What is new on a card has a default: always on shift, no certificate, one order at a time, no cost."""
    old = codec.decode_card(
        b'{"v":1,"agent":"ana","role":"executor","state":"up","incarnation":"i","skills":{"operator":1.0}}', agent="ana"
    )
    assert (old.certificates, old.shifts, old.place, old.max_load, old.cost) == ((), "", None, 1, 0.0)
    hall = Hall(old, settings=DispatchSettings())
    assert hall.alert() == [OrderState.OPEN, OrderState.DISPATCHED]


@pytest.mark.parametrize(
    "field",
    [
        b'"shifts":"Mon-Fri 25:00-26:00"',
        b'"shifts":"Mon 06:00-14:00 Moon/Crater"',
        b'"cost":-1',
        b'"place":[1e9,0]',
        b'"certificates":["a/b"]',
        b'"energy_weight":"much"',
    ],
)
def test_a_card_that_makes_no_sense_is_refused(field: bytes) -> None:
    """With the reason that its shape is wrong, or its name."""
    head = b'{"v":1,"agent":"ana","role":"executor","state":"up","incarnation":"i",'
    with pytest.raises(Rejected) as caught:
        codec.decode_card(head + field + b"}", agent="ana")
    assert caught.value.reason in (Reason.WRONG_SHAPE, Reason.BAD_ID)


def test_a_shift_begins_and_ends() -> None:
    """Off shift nobody gets an order; it waits, escalated, and is given when the shift begins; by the zone's clock."""
    early = msgspec.structs.replace(card("ana"), shifts="Mon-Fri 07:00-15:00 Europe/Berlin")
    hall = Hall(early, settings=DispatchSettings(), now_ns=MONDAY_NS)  # 06:00 there
    assert hall.alert() == [OrderState.OPEN]
    assert hall.order.escalated
    assert hall.wait(3599.0) == []
    hall.restart()
    assert hall.wait(1.0) == [OrderState.DISPATCHED]
    hall.say("ana", AnswerKind.DONE)
    hall.wait(8 * 3600.0)
    hall.alert("P-102")
    assert hall.order.escalated


def test_certificates_are_asked_for() -> None:
    """Those of the asset and those of the skill, whatever the grade; without one nobody is given the order."""
    settings = DispatchSettings(certificates={"operator": ("lockout",)})
    asset = Asset(id="P-101", certificates=("atex",))
    half = msgspec.structs.replace(card("ana"), certificates=("atex",))
    hall = Hall(half, settings=settings, asset=asset)
    assert hall.alert() == [OrderState.OPEN]
    assert hall.order.escalated
    assert hall.assign("ana") == f"refused: ana can't do order {hall.order.id[:8]}: no certificate lockout"
    whole = msgspec.structs.replace(card("ben"), certificates=("lockout", "atex", "heights"))
    assert hall.cards(whole) == [OrderState.DISPATCHED]
    assert hall.order.executor == "ben"


def test_one_job_at_a_time_unless_the_card_says_more() -> None:
    """The second order waits for whoever has one, and is given at once to who takes two."""
    hall = Hall(card("ana"), settings=DispatchSettings())
    hall.alert()
    assert hall.alert("P-102") == [OrderState.OPEN]
    assert hall.cards(card("ana", max_load=2)) == [OrderState.DISPATCHED]


# -- auctions ------------------------------------------------------------------------------------------------------


def test_a_call_is_an_open_order_with_a_deadline() -> None:
    """It is shown as such; the cheapest of the bids gets it when the window ends, the losers hear nothing."""
    hall = Hall(*three())
    assert hall.alert() == [OrderState.OPEN]
    assert hall.order.deadline_at_ns == START + S // 5
    assert hall.core.present([hall.order])[f"state/order/{hall.order.id}"] == hall.order
    assert hall.due() == hall.order.deadline_at_ns
    assert hall.bid("eve", cost=5.0) == []
    assert hall.bid("ben", cost=3.0) == []
    assert hall.wait(0.1) == []
    hall.restart()
    assert hall.wait(0.1) == [OrderState.DISPATCHED]
    assert (hall.order.executor, hall.order.attempt) == ("ben", 1)
    assert hall.due() is None
    assert not [key for key, part in hall.core.save().items() if key.startswith("bid/") and part is not None]
    assert hall.say("ben", AnswerKind.ACCEPTED) == [OrderState.ACCEPTED]


@pytest.mark.parametrize("early", [True, False])
def test_a_decision_holds_its_bids(early: bool) -> None:
    """The award is on record with what was bid, whatever ended the call; the decisions before and after have none."""
    hall = Hall(*three())
    hall.alert()
    bids = {name: Bid(cost=cost) for name, cost in (("eve", 5.0), ("ben", 3.0), ("ana", 4.0))[: 3 if early else 2]}
    for name, bid in bids.items():
        hall.bid(name, cost=bid.cost or 0.0)
    hall.wait(0.2)
    hall.say("ben", AnswerKind.ACCEPTED)
    told = {decision.after: decision.bids for decision in hall.core.decisions()}
    assert told == {OrderState.OPEN: {}, OrderState.DISPATCHED: bids, OrderState.ACCEPTED: {}}


def test_when_all_have_bid_the_call_is_over() -> None:
    """Nobody is waited for who can't bid any more."""
    hall = Hall(*three())
    hall.alert()
    hall.bid("eve", cost=5.0)
    hall.bid("ben", cost=3.0)
    assert hall.bid("ana", cost=4.0) == [OrderState.DISPATCHED]
    assert hall.order.executor == "ben"


def test_without_bids_it_goes_to_the_least_loaded() -> None:
    """An executor that knows nothing of bids still gets orders."""
    hall = Hall(*three())
    hall.alert()
    assert hall.wait(0.2) == [OrderState.DISPATCHED]
    assert hall.order.executor == "ana"


def test_one_able_is_not_asked_for_a_price() -> None:
    """Where there is no choice no time is lost, and where there is nobody the order is escalated."""
    hall = Hall(card("ana"))
    assert hall.alert() == [OrderState.OPEN, OrderState.DISPATCHED]
    hall = Hall()
    assert hall.alert() == [OrderState.OPEN]
    assert (hall.order.escalated, hall.order.deadline_at_ns) == (True, None)


def test_a_refused_award_is_called_again() -> None:
    """Who refuses counts as less reliable and is not asked again; bids for the attempt before are worth nothing."""
    hall = Hall(*three())
    hall.alert()
    hall.bid("eve", cost=1.0)
    hall.wait(0.2)
    assert hall.say("eve", AnswerKind.REFUSED) == [OrderState.OPEN]
    assert hall.order.deadline_at_ns is not None
    assert hall.bid("ben", cost=9.0) == []
    assert hall.wait(0.2) == [OrderState.DISPATCHED]
    assert hall.order.executor == "ben"
    assert hall.core._desk.handover.outcomes.of("eve").reliability < 0.5


def test_past_outcomes_weigh() -> None:
    """Of two equal bids the one of who has kept an order wins, after a restart too."""
    hall = Hall(*three(), settings=BY_AUCTION)
    hall.alert()
    hall.bid("eve", cost=1.0)
    hall.wait(0.2)
    hall.say("eve", AnswerKind.DONE)
    over = msgspec.structs.replace(alert(number=1), state=AlertState.CLEARED, version=2)
    cleared = Alerts(agent="d", epoch="e", seq=2, lowest=1, at_ns=START, records=(over,))
    hall.take(hall.core.handle(cleared))
    assert hall.wait(60.0) == [OrderState.VERIFIED]
    hall.restart()
    hall.alert("P-102")
    for name in ("ana", "ben", "eve"):
        hall.bid(name, cost=2.0)
    assert hall.order.executor == "eve"


def test_bids_that_make_no_sense_change_nothing() -> None:
    """NaN, negative, late, unregistered, unable, or 10,000 at once: counted by reason, and the award is the same."""
    hall = Hall(*three(), card("pia", skills={"painter": 1.0}))
    hall.alert()
    hall.bid("ben", cost=3.0)
    hall.bid("ana", cost=math.nan)
    hall.bid("ana", cost=-1.0)
    hall.bid("ana", energy=1e12)
    hall.bid("pia", cost=0.0)
    bids = [answer(f"stranger-{k}", hall.order.id, AnswerKind.BID) for k in range(10_000)]
    bids += [Answer(executor="ben", order=hall.order.id, attempt=1, answer=AnswerKind.BID, bid=Bid(cost=0.0))] * 10_000
    assert hall.core.handle(Answers(tuple(bids))) == []
    assert len(hall.core._desk.handover.auction.bids(hall.order.id)) == 1
    assert hall.wait(0.2) == [OrderState.DISPATCHED]
    assert hall.order.executor == "ben"
    assert hall.bid("ana", cost=0.0) == []
    hall.take(hall.core.handle(Answers((answer("ana", "0" * 32, AnswerKind.BID),))))
    reasons = {"not_finite": 1, "negative": 1, "too_large": 1, "unable": 1, "late": 1, "unknown_order": 1}
    reasons |= {"unregistered": 10_000, "again": 10_000, "taken": 1}
    assert {name: count for name, count in hall.core.stats.items() if name.startswith("bids_")} == {
        f"bids_{reason}": count for reason, count in reasons.items()
    }


@pytest.mark.parametrize("bid", [b'{"cost":NaN}', b'{"cost":-1}', b'{"cost":1e999}', b'{"load":1.5}', b"[]"])
def test_a_bid_that_breaks_the_rules_does_not_reach_the_core(bid: bytes) -> None:
    """The decoder refuses it, with a reason for the quarantine."""
    head = b'{"v":1,"executor":"ana","order":"' + b"0" * 32 + b'","attempt":1,"answer":"bid","bid":'
    with pytest.raises(Rejected):
        codec.decode_answer(head + bid + b"}", executor="ana")


def test_an_alert_that_clears_ends_the_call() -> None:
    """The order is cancelled, and the bids go with it."""
    hall = Hall(*three())
    hall.alert()
    hall.bid("ana")
    over = msgspec.structs.replace(alert(number=1), state=AlertState.CLEARED, version=2)
    hall.take(hall.core.handle(Alerts(agent="d", epoch="e", seq=2, lowest=1, at_ns=START, records=(over,))))
    assert hall.order.state is OrderState.CANCELLED
    assert hall.due() is None
    assert hall.wait(1.0) == []


def test_a_clock_that_is_set_moves_the_call() -> None:
    """The window is as long as it was."""
    hall = Hall(*three())
    hall.alert()
    hall.core.retime(3600 * S, 0)
    hall.now_ns += 3600 * S
    assert hall.wait(0.1) == []
    assert hall.due() == START + 3600 * S + S // 5
    assert hall.wait(0.1) == [OrderState.DISPATCHED]


@pytest.mark.parametrize("strategy", list(StrategyName))
def test_every_strategy_gives_only_to_the_able(strategy: StrategyName) -> None:
    """Whatever the strategy: the unable, the busy, the absent and those off shift get nothing, and it is escalated."""
    hall = Hall(
        card("ana", skills={"operator": 0.2}),
        card("ben", load=1),
        card("eve", up=False),
        msgspec.structs.replace(card("pia"), shifts="Mon 00:00-00:01"),
        settings=DispatchSettings(strategy=strategy),
    )
    assert hall.alert() == [OrderState.OPEN]
    assert hall.order.escalated
    assert hall.cards(card("zoe")) == [OrderState.DISPATCHED]
    assert hall.order.executor == "zoe"


# -- people --------------------------------------------------------------------------------------------------------


def test_a_person_gives_an_order_to_somebody() -> None:
    """From whoever has it and has not begun; what waits goes to who came free; the same again changes nothing."""
    hall = Hall(card("ana"), card("ben"), settings=DispatchSettings())
    hall.alert()
    first = hall.order
    assert first.executor == "ana"
    assert hall.assign("ben") == f"ben has order {first.id[:8]} now: {first.title}"
    assert (hall.order.executor, hall.order.attempt, hall.order.note) == ("ben", 2, "given to ben by mia")
    assert hall.core.present(None)["dispatch/ana"] is None
    assert hall.assign("ben").startswith("ben has order")
    assert hall.order.attempt == 2
    assert hall.core._desk.handover.outcomes.of("ana").reliability == 0.5, "it was not ana's fault"


def test_what_a_person_can_not_ask_for() -> None:
    """Each refusal says why, and nothing has happened."""
    settings = DispatchSettings()
    sleeper = msgspec.structs.replace(card("zoe"), shifts="Mon 00:00-00:01")
    hall = Hall(card("ana"), card("ben", load=1), card("eve", up=False), sleeper, settings=settings)
    hall.alert()
    short = hall.order.id[:8]
    assert hall.assign("ben") == f"refused: ben can't do order {short}: busy with 1 of 1"
    assert hall.assign("eve") == f"refused: eve can't do order {short}: down"
    assert hall.assign("max") == "refused: nobody is called max"
    reply = hall.command(assign=Assign(order="ffffffff", executor="ana"))
    assert (reply.done, reply.text) == (False, "there is no order ffffffff")
    assert hall.order.attempt == 1
    assert hall.assign("zoe").startswith("zoe has order"), "somebody off shift may be called in"
    hall.say("zoe", AnswerKind.STARTED)
    assert hall.assign("ana") == f"refused: order {short} can't be given to anybody now: zoe has begun"


def test_a_person_may_end_a_call() -> None:
    """The order is given, and late bids change nothing."""
    hall = Hall(*three())
    hall.alert()
    hall.bid("ana", cost=0.0)
    hall.assign("eve")
    assert (hall.order.executor, hall.order.state) == ("eve", OrderState.DISPATCHED)
    assert hall.wait(1.0) == []


def test_who_would_get_it_and_why() -> None:
    """The dry run names the winner, everybody else with what speaks against them, and the weights; nothing changes."""
    hall = Hall(*three(), card("pia", skills={"painter": 1.0}), card("zed", up=False), asset=Asset(id="P-101"))
    hall.alert()
    hall.bid("ben", cost=3.0)
    before = hall.order
    reply = hall.command(explain=Explain(order=before.id[:4]))
    told = reply.explanation
    assert told is not None
    assert (reply.done, told.strategy, told.executor, told.of) == (True, "auction", "ben", 5)
    assert [one.executor for one in told.considered] == ["ben", "ana", "eve", "pia", "zed"]
    assert told.considered[0].bid == Bid(cost=3.0)
    assert [one.why_not for one in told.considered[3:]] == ["operator 0 < 0.25", "down"]
    assert hall.order == before
    lines = explanation_lines(msgspec.json.decode(msgspec.json.encode(told), type=type(told)))
    assert lines[0] == f"order {before.id[:8]}, open, by auction: ben would get it"
    assert "weights  cost 1  travel 1  load 10  unreliable 10  energy 1  speed 1.4" in lines
    assert any(line.startswith("ben") and "bid: cost 3.00" in line for line in lines)
    assert any(line.startswith("pia") and line.endswith("not: operator 0 < 0.25") for line in lines)


@pytest.mark.parametrize("strategy", list(StrategyName))
def test_the_dry_run_tells_the_truth(strategy: StrategyName) -> None:
    """Whom it names gets the order: the first of the table."""
    hall = Hall(settings=DispatchSettings(strategy=strategy))
    hall.alert()
    names = ("ana", "ben", "eve", "zoe")
    people = [msgspec.structs.replace(card(name, load=k), place=(k * 9.0, 0.0)) for k, name in enumerate(names)]
    for one in people:  # known, and not told of the order that waits
        hall.core._desk.roster.put(msgspec.structs.replace(one, max_load=9))
    told = hall.command(explain=Explain(order=hall.order.id)).explanation
    assert told is not None
    assert told.executor == told.considered[0].executor
    entry = hall.core._desk.ledger.entries[hall.order.id]
    assert hall.core._desk.handover.best(entry, entry.order) == told.executor


def test_a_command_says_one_thing() -> None:
    """None and two are refused when they are decoded."""
    for body in ("", ',"log_level":"info","explain":{"order":"abcd"}', ',"explain":{"order":"xyz"}', ',"assign":{}'):
        with pytest.raises(Rejected):
            codec.decode_command(('{"v":1,"id":"' + "0" * 32 + '"' + body + "}").encode())
    assert Command(id="0" * 32, log_level=LogLevel.INFO).assign is None


def test_settings_of_an_auction_have_bounds() -> None:
    """A window of nothing, or of more than a minute, is refused."""
    for seconds in (0.0, 61.0):
        with pytest.raises(ValueError, match="window"):
            DispatchSettings(auction=AuctionSettings(window=Seconds(seconds)))
