"""Jira Cloud, REST API version 3: an issue for an order, found again by a label made of the order's id.

Paths and fields: developer.atlassian.com/cloud/jira/platform/rest/v3, groups issues, issue search and issue comments.
"""

from __future__ import annotations

from typing import TypeVar
from urllib.parse import quote, urlencode

import msgspec

from edgemesh.model.orders import WorkOrder
from edgemesh.notices.channel import Reply
from edgemesh.notices.tickets.contract import Ticket
from edgemesh.notices.tickets.exchange import basic, exchange
from edgemesh.notices.tickets.settings import JiraTicket

T = TypeVar("T")

MOST_SUMMARY = 255


class _Category(msgspec.Struct, frozen=True):
    key: str = ""


class _Status(msgspec.Struct, rename="camel"):
    name: str
    status_category: _Category = _Category()


class _Fields(msgspec.Struct):
    status: _Status


class _Issue(msgspec.Struct):
    key: str
    fields: _Fields


class _Found(msgspec.Struct):
    issues: list[_Issue]


class _Created(msgspec.Struct):
    id: str
    key: str


class _Comment(msgspec.Struct):
    id: str


def label_of(order: str) -> str:
    """The label by which the issue of an order is found."""
    return f"edgemesh-{order}"


def document(*paragraphs: str) -> dict[str, object]:
    """Plain paragraphs in Atlassian's document format."""
    content = [
        {"type": "paragraph", "content": [{"type": "text", "text": text}]} for text in paragraphs if text.strip()
    ]
    return {"type": "doc", "version": 1, "content": content}


class Jira:
    """See `TicketSystem`."""

    def __init__(self, settings: JiraTicket) -> None:
        self._settings = settings
        self._base = settings.url.rstrip("/")
        self._login = basic(settings.login, settings.token.reveal())

    def find(self, order: str) -> tuple[Reply, Ticket | None]:
        """By its label, within the project."""
        jql = f'project = "{self._settings.project}" AND labels = "{label_of(order)}" ORDER BY created ASC'
        query = urlencode({"jql": jql, "fields": "status", "maxResults": "1"})
        reply, found = self._ask("GET", f"/rest/api/3/search/jql?{query}", None, _Found)
        return reply, self._ticket(found.issues[0]) if found and found.issues else None

    def create(self, order: WorkOrder) -> tuple[Reply, Ticket | None]:
        """An issue with the order's words and its label."""
        summary = " ".join(f"{order.priority} {order.asset}: {order.title}".split())[:MOST_SUMMARY]
        fields = {
            "project": {"key": self._settings.project},
            "issuetype": {"name": self._settings.issue_type},
            "summary": summary,
            "description": document(order.title, f"Likely cause: {order.cause}", f"edgemesh order {order.id}"),
            "labels": ["edgemesh", label_of(order.id)],
        }
        reply, created = self._ask("POST", "/rest/api/3/issue", {"fields": fields}, _Created)
        return reply, Ticket(created.key, self._url(created.key)) if created else None

    def comment(self, ticket: Ticket, text: str) -> Reply:
        """A comment on the issue."""
        path = f"/rest/api/3/issue/{quote(ticket.key, safe='')}/comment"
        return self._ask("POST", path, {"body": document(text)}, _Comment)[0]

    def look(self, ticket: Ticket) -> tuple[Reply, Ticket | None]:
        """Its status; closed where the status is of the category `done`."""
        path = f"/rest/api/3/issue/{quote(ticket.key, safe='')}?fields=status"
        reply, issue = self._ask("GET", path, None, _Issue)
        return reply, self._ticket(issue) if issue else None

    def _ticket(self, issue: _Issue) -> Ticket:
        status = issue.fields.status
        return Ticket(issue.key, self._url(issue.key), status.name, closed=status.status_category.key == "done")

    def _url(self, key: str) -> str:
        return f"{self._base}/browse/{key}"

    def _ask(self, method: str, path: str, body: object, form: type[T]) -> tuple[Reply, T | None]:
        return exchange(method, self._base + path, self._login, body, form, timeout_s=self._settings.timeout)
