"""Handing over: an order goes to the best executor, on to the next one, or to people when nobody is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

import msgspec

from edgemesh.dispatch import moves
from edgemesh.dispatch.auction import Auction, Claim, Offer, is_call, objection
from edgemesh.dispatch.ledger import Entry, Ledger
from edgemesh.dispatch.matching import Need, grade
from edgemesh.dispatch.outcomes import Outcomes
from edgemesh.dispatch.requirements import Requirements
from edgemesh.dispatch.roster import Roster
from edgemesh.dispatch.settings import DispatchSettings, StrategyName
from edgemesh.dispatch.strategies import Candidate, Job, choose
from edgemesh.model.agents import Asset
from edgemesh.model.orders import Answer, Bid, OrderState, WorkOrder
from edgemesh.model.samples import move

_LAST_NS = 2**63 - 1
_MAX_NAMES = 8


class Handover:
    """Makes the moves of orders and keeps ledger and roster in step. `now_ns` is the time of all it does."""

    def __init__(
        self, settings: DispatchSettings, epoch: int, stats: Counter[str], assets: Mapping[str, Asset] | None = None
    ) -> None:
        self.now_ns = 0
        self.epoch = epoch
        self.requirements = Requirements(settings, assets or {})
        self.ledger, self.roster = Ledger(self.requirements.need), Roster()
        self.auction, self.outcomes = Auction(), Outcomes()
        self._settings, self._stats = settings, stats
        self._out: list[WorkOrder] = []
        self._freed: dict[str, None] = {}

    def restore(self, entry: Entry) -> None:
        """Put an order as it was saved."""
        self.ledger.restore(entry)
        self.auction.note(entry.order)
        if (name := moves.holder(entry.order)) is not None:
            self.roster.add(name, 1)

    def take(self) -> list[WorkOrder]:
        """Return the versions made since the last call, oldest first."""
        out, self._out = self._out, []
        return out

    def later(self, seconds: float) -> int:
        """The instant that many seconds from now."""
        return min(self.now_ns + int(seconds * 1e9), _LAST_NS)

    def time(self) -> None:
        """Time has come to `now_ns`: whoever comes on shift gets what waits."""
        for name in self.roster.time(self.now_ns):
            self.offer(name, again=False)

    def retime(self, by_ns: int) -> None:
        """The clock was set by so much; the ledger is put right already."""
        self.now_ns = move(self.now_ns, by_ns) if self.now_ns else 0
        for order in self.auction.calls:
            self.auction.note(self.ledger.entries[order].order)

    def put(self, entry: Entry, order: WorkOrder, due_ns: int | None) -> None:
        """Write down the next version and when to look at it again."""
        before, after = moves.holder(entry.order), moves.holder(order)
        if before != after:
            if before is not None:
                self.roster.add(before, -1)
                self._freed[before] = None
            if after is not None:
                self.roster.add(after, 1)
                self.outcomes.given(after)
        if order.state is OrderState.VERIFIED and order.executor is not None:
            self.outcomes.over(order.executor, kept=True)
        self.ledger.put(entry, order, due_ns)
        self.auction.note(order)
        self._out.append(order)
        self._stats[f"orders_{order.state}"] += 1

    def seek(self, entry: Entry, order: WorkOrder) -> None:
        """Write down an open order and dispatch it to the best, call for bids, or escalate it when nobody is left."""
        if self._calls(entry, order):
            until_ns = order.deadline_at_ns or self.later(self._settings.auction.window)
            self.put(entry, moves.called(order, until_ns), until_ns)
            return
        if order.deadline_at_ns is not None:
            order = msgspec.structs.replace(order, deadline_at_ns=None)
        name = self.best(entry, order)
        if name is not None:
            self.put(entry, order, None)
            self._dispatch(entry, name)
            return
        entry.asked = (*entry.asked, *(name for name in order.tried if name not in entry.asked))
        self.put(entry, _escalated(order, entry.asked), self.later(self._settings.retry_after) if entry.asked else None)

    def bid(self, answer: Answer) -> None:
        """Take in a bid; once all who are able and have room have made theirs, the call is over."""
        entry = self.ledger.entries.get(answer.order)
        if entry is None:
            self._stats["bids_unknown_order"] += 1
            return
        need, bids = self.requirements.need(entry.order), self.auction.bids(answer.order)
        problem = objection(Claim(entry.order, need, answer, bids, self.roster, self.now_ns))
        self._stats[f"bids_{problem or 'taken'}"] += 1
        if problem is not None:
            return
        self.auction.put(Offer(order=answer.order, executor=answer.executor, bid=answer.bid or Bid()))
        bids, without = self.auction.bids(answer.order), _without(entry, entry.order)
        if len(bids) + len(without) >= self.roster.most_ready(need) and all(
            name in bids for name in self.roster.ready(need, without)
        ):
            self.award(entry)

    def award(self, entry: Entry) -> None:
        """A call is over: the least price gets the order; where nobody has bid, who has the least to do."""
        if (name := self.best(entry, entry.order)) is not None:
            self._dispatch(entry, name)
        else:
            self.seek(entry, moves.amend(entry.order, self.now_ns, deadline_at_ns=None))

    def assign(self, entry: Entry, name: str, note: str) -> None:
        """Give an order to somebody by name, whoever has it now."""
        if moves.holder(entry.order) is not None:
            self.put(entry, moves.given_back(entry.order, self.now_ns, entry.order.tried, note), None)
        self._dispatch(entry, name, note)

    def pass_on(self, entry: Entry, note: str) -> None:
        """Take the order from its executor and give it to the next one."""
        order = entry.order
        tried = order.tried if order.executor is None else (*order.tried, order.executor)
        if order.executor is not None:
            self.outcomes.over(order.executor, kept=False)
        self.seek(entry, moves.replanned(moves.given_back(order, self.now_ns, tried, note), entry.plan))

    def take_back(self, name: str, note: str) -> None:
        """Pass on all that somebody has and has not begun."""
        for order in self.ledger.held(name):
            if order.state in moves.NOT_BEGUN:
                self.pass_on(self.ledger.entries[order.id], note)

    def reopen(self, entry: Entry, note: str) -> None:
        """Done, but the sensor disagrees: open again, and whoever did it comes last."""
        name = entry.order.executor
        if name is not None:
            entry.avoid = (*(other for other in entry.avoid if other != name), name)
            self.outcomes.over(name, kept=False)
        entry.calm_at_ns, entry.asked = None, ()
        self.seek(entry, moves.replanned(moves.given_back(entry.order, self.now_ns, (), note), entry.plan))

    def retry(self, entry: Entry) -> None:
        """An open order is due: a call is over, or those are asked again who were before it was escalated."""
        if is_call(entry.order):
            self.award(entry)
            return
        entry.asked = ()
        if (name := self.best(entry, entry.order)) is not None:
            self._dispatch(entry, name)
        else:  # whoever comes free from now on is offered the order
            self.ledger.due_at(entry, None)

    def offer(self, name: str, *, again: bool) -> None:
        """Give waiting orders to somebody who has room, most urgent first; `again`: even those asked of them before."""

        def fits(order: str) -> bool:
            return again or name not in self.ledger.entries[order].asked

        while self.roster.free(name):
            needs = [need for need in self.ledger.waiting.needs() if self.roster.able(name, need)]
            if (order := self.ledger.waiting.first(needs, fits)) is None:
                return
            self._dispatch(self.ledger.entries[order], name)

    def offer_freed(self) -> None:
        """Give waiting orders to all who came free."""
        while self._freed:
            name = next(iter(self._freed))
            del self._freed[name]
            self.offer(name, again=False)

    def best(self, entry: Entry, order: WorkOrder) -> str | None:
        """Who gets the order as things stand; whose work did not hold comes last."""
        need, without = self.requirements.need(order), _without(entry, order)
        for out in (without | set(entry.avoid), without) if entry.avoid else (without,):
            if (name := self._choose(order, need, out)) is not None:
                return name
        return None

    def job(self, order: WorkOrder) -> Job:
        """What is to be given out, as strategies see it."""
        bids = self.auction.bids(order.id)
        return Job(asset=self.requirements.asset(order), bids=bids, auction=self._settings.auction)

    def candidate(self, name: str, need: Need) -> Candidate:
        """Somebody whom the roster knows, as strategies see them."""
        executor, past = self.roster.executors[name], self.outcomes.of(name)
        return Candidate(
            name=name,
            load=self.roster.load(name),
            grade=grade(executor.skills, need),
            area=executor.area,
            place=executor.place,
            cost=executor.cost,
            energy_weight=executor.energy_weight,
            reliability=past.reliability,
            turn=past.turn,
        )

    def _choose(self, order: WorkOrder, need: Need, without: Collection[str]) -> str | None:
        strategy = self._settings.strategy
        if strategy is StrategyName.AUCTION:
            strategy = StrategyName.LEAST_LOADED  # of those who have not bid
            if bids := self.auction.bids(order.id):
                ready = (name for name in self.roster.ready(need, without) if name in bids)
                candidates = (self.candidate(name, need) for name in ready)
                if (name := choose(StrategyName.AUCTION, self.job(order), candidates)) is not None:
                    return name
        if strategy is StrategyName.LEAST_LOADED:
            return self.roster.best(need, without)  # the same as `least_loaded`, without looking at all of them
        candidates = (self.candidate(name, need) for name in self.roster.ready(need, without))
        return choose(strategy, self.job(order), candidates)

    def _calls(self, entry: Entry, order: WorkOrder) -> bool:
        """Whether to call for bids: by auction, and there are two at least to choose from."""
        if self._settings.strategy is not StrategyName.AUCTION:
            return False
        ready = self.roster.ready(self.requirements.need(order), _without(entry, order))
        return next(ready, None) is not None and next(ready, None) is not None

    def _dispatch(self, entry: Entry, name: str, note: str | None = None) -> None:
        deadline_ns = self.later(self._settings.answer_within)
        order = moves.dispatched(entry.order, name, self.now_ns, deadline_ns, self.epoch)
        self.put(entry, order if note is None else msgspec.structs.replace(order, note=note), deadline_ns)


def _without(entry: Entry, order: WorkOrder) -> set[str]:
    """Who is not asked: they have been."""
    return {*order.tried, *entry.asked}


def _escalated(order: WorkOrder, asked: tuple[str, ...]) -> WorkOrder:
    """The version that calls for people: it says who was asked, and starts a new round."""
    if order.state is OrderState.OPEN and order.escalated:
        return order
    names = ", ".join(asked[-_MAX_NAMES:])
    nobody = f"nobody is left: tried {names}" if names else "nobody able is there and free"
    return moves.escalated(order, f"{order.note}; {nobody}" if order.note else nobody)
