"""Handing over: an order goes to the best executor, on to the next one, or to people when nobody is left."""

from __future__ import annotations

from collections import Counter

from edgemesh.dispatch import moves
from edgemesh.dispatch.ledger import Entry, Ledger
from edgemesh.dispatch.matching import need_of
from edgemesh.dispatch.roster import Roster
from edgemesh.dispatch.settings import DispatchSettings
from edgemesh.model.orders import OrderState, WorkOrder

_LAST_NS = 2**63 - 1
_MAX_NAMES = 8


class Handover:
    """Makes the moves of orders and keeps ledger and roster in step. `now_ns` is the time of all it does."""

    def __init__(self, settings: DispatchSettings, epoch: int, stats: Counter[str]) -> None:
        self.now_ns = 0
        self.epoch = epoch
        self.ledger, self.roster = Ledger(), Roster()
        self._settings, self._stats = settings, stats
        self._out: list[WorkOrder] = []
        self._freed: dict[str, None] = {}

    def restore(self, entry: Entry) -> None:
        """Put an order as it was saved."""
        self.ledger.restore(entry)
        if (name := moves.holder(entry.order)) is not None:
            self.roster.add(name, 1)

    def take(self) -> list[WorkOrder]:
        """Return the versions made since the last call, oldest first."""
        out, self._out = self._out, []
        return out

    def later(self, seconds: float) -> int:
        """The instant that many seconds from now."""
        return min(self.now_ns + int(seconds * 1e9), _LAST_NS)

    def put(self, entry: Entry, order: WorkOrder, due_ns: int | None) -> None:
        """Write down the next version and when to look at it again."""
        before, after = moves.holder(entry.order), moves.holder(order)
        if before != after:
            if before is not None:
                self.roster.add(before, -1)
                self._freed[before] = None
            if after is not None:
                self.roster.add(after, 1)
        self.ledger.put(entry, order, due_ns)
        self._out.append(order)
        self._stats[f"orders_{order.state}"] += 1

    def seek(self, entry: Entry, order: WorkOrder) -> None:
        """Write down an open order and dispatch it to the best, or escalate it when nobody is left."""
        name = self._best(entry, order)
        if name is not None:
            self.put(entry, order, None)
            self._dispatch(entry, name)
            return
        entry.asked = (*entry.asked, *(name for name in order.tried if name not in entry.asked))
        self.put(entry, _escalated(order, entry.asked), self.later(self._settings.retry_after) if entry.asked else None)

    def pass_on(self, entry: Entry, note: str) -> None:
        """Take the order from its executor and give it to the next one."""
        order = entry.order
        tried = order.tried if order.executor is None else (*order.tried, order.executor)
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
        entry.calm_at_ns, entry.asked = None, ()
        self.seek(entry, moves.replanned(moves.given_back(entry.order, self.now_ns, (), note), entry.plan))

    def retry(self, entry: Entry) -> None:
        """Ask those again who were asked before the order was escalated."""
        entry.asked = ()
        if (name := self._best(entry, entry.order)) is not None:
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

    def _best(self, entry: Entry, order: WorkOrder) -> str | None:
        need, without = need_of(order.skills), {*order.tried, *entry.asked}
        return self.roster.best(need, without | set(entry.avoid)) or self.roster.best(need, without)

    def _dispatch(self, entry: Entry, name: str) -> None:
        deadline_ns = self.later(self._settings.answer_within)
        self.put(entry, moves.dispatched(entry.order, name, self.now_ns, deadline_ns, self.epoch), deadline_ns)


def _escalated(order: WorkOrder, asked: tuple[str, ...]) -> WorkOrder:
    """The version that calls for people: it says who was asked, and starts a new round."""
    if order.state is OrderState.OPEN and order.escalated:
        return order
    names = ", ".join(asked[-_MAX_NAMES:])
    nobody = f"nobody is left: tried {names}" if names else "nobody able is there and free"
    return moves.escalated(order, f"{order.note}; {nobody}" if order.note else nobody)
