"""The contract of ticket systems: one ticket for an order, found again by the order's id."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from edgemesh.model.orders import WorkOrder
from edgemesh.notices.channel import Reply


class Ticket(NamedTuple):
    """A ticket as its system knows it: `key` names it there, `url` is for people; `state` is the system's own word."""

    key: str
    url: str
    state: str = ""
    closed: bool = False


class TicketSystem(Protocol):
    """Speaks with one system; one thread uses it. Each call gives a reply that says what came of it (`Channel.send`),
    and what was found or made where that is `Verdict.DONE`. Never raises for the network's sake.
    """

    def find(self, order: str) -> tuple[Reply, Ticket | None]:
        """The ticket that was made for an order; None: there is none, as far as the system knows by now."""
        ...

    def create(self, order: WorkOrder) -> tuple[Reply, Ticket | None]:
        """Make the ticket of an order, such that `find` finds it. Again may mean that there is one now."""
        ...

    def comment(self, ticket: Ticket, text: str) -> Reply:
        """Add a line to a ticket. Again may mean that it is there now."""
        ...

    def look(self, ticket: Ticket) -> tuple[Reply, Ticket | None]:
        """The ticket as it stands now."""
        ...
