"""The keeper of tickets: never more than one for an order, whatever becomes of a request."""

from __future__ import annotations

import time
from collections.abc import Callable

from edgemesh.model.orders import WorkOrder
from edgemesh.notices.channel import Reply, Verdict
from edgemesh.notices.events import Event
from edgemesh.notices.tickets.contract import Ticket, TicketSystem
from edgemesh.notices.tickets.register import Register


class TicketKeeper:
    """A channel (`edgemesh.notices.channel`) to a ticket system.

    Before a ticket is made the register says, on the disk, that there may be one. Whoever finds that without a key,
    after a crash or an answer that never came, asks the system first, and not before `settle_s`.
    """

    def __init__(
        self,
        system: TicketSystem,
        register: Register,
        *,
        settle_s: float = 30.0,
        poll_s: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._system, self._register = system, register
        self._settle_s, self._poll_s = settle_s, poll_s
        self._clock, self._wall_ns = clock, wall_ns
        self._began_s = clock()
        self._unsure_s: dict[str, float] = {}
        self._looked_s = clock() - poll_s

    def send(self, event: Event) -> Reply:
        """Make the order's ticket, or say on it what happened; see `Channel.send`."""
        order = event.order
        if order is None:
            return Reply(Verdict.DONE, "no event of an order")
        noted = self._register.get(order.id)
        if noted is not None and noted.ticket.key:
            return self._system.comment(noted.ticket, event.text)
        if noted is not None:
            return self._settle(order)
        reply, found = self._system.find(order.id)
        if reply.verdict is not Verdict.DONE:
            return reply
        if found is not None:
            return self._keep(order, found, reply)
        if order.state.final:
            return Reply(Verdict.DONE, "it is over, and there is no ticket of it")
        return self._create(order)

    def _create(self, order: WorkOrder) -> Reply:
        self._register.begin(order.id, self._wall_ns())
        self._unsure_s[order.id] = self._clock()
        reply, made = self._system.create(order)
        if reply.verdict is Verdict.DONE and made is not None:
            return self._keep(order, made, reply)
        if reply.verdict in (Verdict.REFUSED, Verdict.LATER):  # it has said that it made none
            self._register.drop(order.id)
            self._unsure_s.pop(order.id, None)
        return reply

    def _settle(self, order: WorkOrder) -> Reply:
        """There may be a ticket: ask for it once the system's search must know of it, and only then make another."""
        since_s = self._unsure_s.get(order.id, self._began_s)
        left_s = since_s + self._settle_s - self._clock()
        if left_s > 0.0:
            return Reply(Verdict.LATER, "a ticket may have been made: it is looked for in a while", left_s)
        reply, found = self._system.find(order.id)
        if reply.verdict is not Verdict.DONE:
            return reply
        return self._keep(order, found, reply) if found is not None else self._create(order)

    def _keep(self, order: WorkOrder, ticket: Ticket, reply: Reply) -> Reply:
        self._register.put(order.id, ticket, self._wall_ns())
        self._unsure_s.pop(order.id, None)
        return Reply(Verdict.DONE, f"ticket {ticket.key}: {reply.said[:60]}")

    def rest(self) -> None:
        """Note the state of the open ticket that was looked at longest ago; each is looked at every `poll_s`."""
        there = self._register.open()
        if not there or self._clock() - self._looked_s < self._poll_s / len(there):
            return
        self._looked_s = self._clock()
        noted = there[0]
        reply, ticket = self._system.look(noted.ticket)
        now = ticket if reply.verdict is Verdict.DONE and ticket is not None else noted.ticket
        gone = reply.said.startswith(("404", "410"))
        if gone:
            now = noted.ticket._replace(state="gone", closed=True)
        self._register.put(noted.order, now, self._wall_ns())

    def close(self) -> None:
        """Let go of the register."""
        self._register.close()
