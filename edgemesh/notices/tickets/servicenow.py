"""ServiceNow, Table API: a row of `incident` for an order, found again by `correlation_id`.

Paths and fields: servicenow.com/docs, API reference, Table API; the states are those of the table `incident`.
"""

from __future__ import annotations

from typing import TypeVar
from urllib.parse import quote, urlencode

import msgspec

from edgemesh.model.orders import Priority, WorkOrder
from edgemesh.notices.channel import Reply, Verdict
from edgemesh.notices.tickets.contract import Ticket
from edgemesh.notices.tickets.exchange import basic, exchange
from edgemesh.notices.tickets.settings import ServiceNowTicket

T = TypeVar("T")

MOST_SUMMARY = 160
_FIELDS = "sys_id,number,state"
_STATES = {"1": "New", "2": "In Progress", "3": "On Hold", "6": "Resolved", "7": "Closed", "8": "Canceled"}
_CLOSED = frozenset({"6", "7", "8"})
_URGENCY = {Priority.P1: "1", Priority.P2: "2", Priority.P3: "3", Priority.P4: "3"}


class _Row(msgspec.Struct):
    sys_id: str
    number: str
    state: str = ""


class _One(msgspec.Struct):
    result: _Row


class _Many(msgspec.Struct):
    result: list[_Row]


class ServiceNow:
    """See `TicketSystem`. A ticket's key is the row's `sys_id`."""

    def __init__(self, settings: ServiceNowTicket) -> None:
        self._settings = settings
        self._base = settings.url.rstrip("/")
        self._table = f"{self._base}/api/now/table/{settings.table}"
        self._login = basic(settings.login, settings.password.reveal())

    def find(self, order: str) -> tuple[Reply, Ticket | None]:
        """By `correlation_id`, the oldest."""
        query = {
            "sysparm_query": f"correlation_id={order}^ORDERBYsys_created_on",
            "sysparm_fields": _FIELDS,
            "sysparm_limit": "1",
        }
        reply, found = self._ask("GET", f"?{urlencode(query)}", None, _Many)
        if reply.said.startswith("404") and "No Record" in reply.said:  # how some releases say that there is none
            return Reply(Verdict.DONE, reply.said), None
        return reply, self._ticket(found.result[0]) if found and found.result else None

    def create(self, order: WorkOrder) -> tuple[Reply, Ticket | None]:
        """A row with the order's words and its id."""
        row = {
            "short_description": " ".join(f"{order.asset}: {order.title}".split())[:MOST_SUMMARY],
            "description": f"{order.title}\nLikely cause: {order.cause}\nedgemesh order {order.id}",
            "correlation_id": order.id,
            "correlation_display": "edgemesh",
            "urgency": _URGENCY[order.priority],
            "impact": _URGENCY[order.priority],
        }
        reply, made = self._ask("POST", f"?sysparm_fields={_FIELDS}", row, _One)
        return reply, self._ticket(made.result) if made else None

    def comment(self, ticket: Ticket, text: str) -> Reply:
        """A work note on the row."""
        path = f"/{quote(ticket.key, safe='')}?sysparm_fields={_FIELDS}"
        return self._ask("PATCH", path, {"work_notes": text}, _One)[0]

    def look(self, ticket: Ticket) -> tuple[Reply, Ticket | None]:
        """Its state; closed where that is resolved, closed or canceled."""
        reply, found = self._ask("GET", f"/{quote(ticket.key, safe='')}?sysparm_fields={_FIELDS}", None, _One)
        return reply, self._ticket(found.result) if found else None

    def _ticket(self, row: _Row) -> Ticket:
        url = f"{self._base}/nav_to.do?uri={self._settings.table}.do?sys_id={row.sys_id}"
        return Ticket(row.sys_id, url, _STATES.get(row.state, row.state), closed=row.state in _CLOSED)

    def _ask(self, method: str, path: str, body: object, form: type[T]) -> tuple[Reply, T | None]:
        return exchange(method, self._table + path, self._login, body, form, timeout_s=self._settings.timeout)
