"""Jira and ServiceNow on loopback, as far as their documentation goes: what breaks its schema is answered with 400.

Both keep tickets in a list of their own, so that what one request does is seen by the next. `lag` requests for a search
pass before it shows what was made last.
"""

from __future__ import annotations

import base64
import re
from urllib.parse import parse_qs, urlsplit

import msgspec

from tests.unit.notices.stubs import Answer, HttpStub, Request

LOGIN, PASSWORD = "bot@plant.example", "secret"
_BASIC = "Basic " + base64.b64encode(f"{LOGIN}:{PASSWORD}".encode()).decode()


class TicketStub(HttpStub):
    """What both have: `tickets` in the order in which they were made, `comments` on them."""

    def __init__(self) -> None:
        self.tickets: list[dict[str, str]] = []
        self.comments: list[tuple[str, str]] = []
        self.lag = 0
        self.lose_next_answer = False
        super().__init__(self._guarded)

    def _guarded(self, request: Request) -> Answer:
        if request.headers.get("authorization") != _BASIC:
            return Answer(401, b"{}")
        if request.headers.get("accept") != "application/json":
            return Answer(406)
        if request.body and request.headers.get("content-type") != "application/json":
            return Answer(415)
        return self.reply(request)

    def reply(self, request: Request) -> Answer:
        raise NotImplementedError

    def made(self, answer: Answer) -> Answer:
        """The answer to a ticket that was made, unless it is to get lost on the way."""
        lost, self.lose_next_answer = self.lose_next_answer, False
        return Answer(cut=True) if lost else answer

    def visible(self) -> list[dict[str, str]]:
        """What a search shows."""
        if self.lag > 0:
            self.lag -= 1
            return self.tickets[:-1]
        return self.tickets


def _json(status: int, value: object) -> Answer:
    return Answer(status, msgspec.json.encode(value), {"Content-Type": "application/json"})


class _Text(msgspec.Struct, tag_field="type", tag="text", forbid_unknown_fields=True):
    text: str


class _Paragraph(msgspec.Struct, tag_field="type", tag="paragraph", forbid_unknown_fields=True):
    content: list[_Text]


class _Document(msgspec.Struct, tag_field="type", tag="doc", forbid_unknown_fields=True):
    version: int
    content: list[_Paragraph]


class _Key(msgspec.Struct, forbid_unknown_fields=True):
    key: str


class _Name(msgspec.Struct, forbid_unknown_fields=True):
    name: str


class _IssueFields(msgspec.Struct, forbid_unknown_fields=True):
    project: _Key
    issuetype: _Name
    summary: str
    description: _Document
    labels: list[str]


class _NewIssue(msgspec.Struct, forbid_unknown_fields=True):
    fields: _IssueFields


class _NewComment(msgspec.Struct, forbid_unknown_fields=True):
    body: _Document


class JiraStub(TicketStub):
    """REST API version 3: create issue, search by JQL, add comment, get issue."""

    def reply(self, request: Request) -> Answer:
        parts = urlsplit(request.path)
        query = parse_qs(parts.query)
        match (request.method, parts.path.split("/")):
            case ("POST", ["", "rest", "api", "3", "issue"]):
                return self._create(request.body)
            case ("GET", ["", "rest", "api", "3", "search", "jql"]):
                return self._search(query)
            case ("POST", ["", "rest", "api", "3", "issue", key, "comment"]):
                return self._comment(key, request.body)
            case ("GET", ["", "rest", "api", "3", "issue", key]):
                found = [ticket for ticket in self.tickets if ticket["key"] == key]
                return _json(200, self._issue(found[0])) if found else _json(404, {"errorMessages": ["no issue"]})
        return Answer(404)

    def _create(self, body: bytes) -> Answer:
        try:
            fields = msgspec.json.decode(body, type=_NewIssue).fields
        except msgspec.ValidationError as error:
            return _json(400, {"errorMessages": [str(error)]})
        if fields.project.key != "PLANT" or any(" " in label or len(label) > 255 for label in fields.labels):
            return _json(400, {"errors": {"labels": "The label contains spaces which is invalid."}})
        if not 0 < len(fields.summary) <= 255 or "\n" in fields.summary:
            return _json(400, {"errors": {"summary": "Summary must be one line of at most 255 characters."}})
        key = f"PLANT-{len(self.tickets) + 1}"
        self.tickets.append({"key": key, "labels": " ".join(fields.labels), "state": "To Do", "category": "new"})
        return self.made(_json(201, {"id": str(10_000 + len(self.tickets)), "key": key, "self": f"{self.url}/x"}))

    def _search(self, query: dict[str, list[str]]) -> Answer:
        if set(query) - {"jql", "fields", "maxResults", "nextPageToken", "expand", "reconcileIssues"}:
            return _json(400, {"errorMessages": ["unknown parameter"]})
        label = re.search(r'labels = "([^"]+)"', query["jql"][0])
        if label is None or 'project = "PLANT"' not in query["jql"][0]:
            return _json(400, {"errorMessages": ["unbounded JQL"]})
        found = [ticket for ticket in self.visible() if label[1] in ticket["labels"].split()]
        most = int(query["maxResults"][0])
        return _json(200, {"issues": [self._issue(each) for each in found[:most]], "isLast": True})

    def _comment(self, key: str, body: bytes) -> Answer:
        try:
            document = msgspec.json.decode(body, type=_NewComment).body
        except msgspec.ValidationError as error:
            return _json(400, {"errorMessages": [str(error)]})
        self.comments.append((key, document.content[0].content[0].text))
        return _json(201, {"id": str(len(self.comments)), "self": f"{self.url}/c"})

    def _issue(self, ticket: dict[str, str]) -> object:
        status = {"name": ticket["state"], "statusCategory": {"key": ticket["category"], "id": 2}}
        return {"id": "1", "key": ticket["key"], "self": "x", "fields": {"status": status}}

    def close_ticket(self) -> None:
        """Somebody is done with the newest."""
        self.tickets[-1] |= {"state": "Done", "category": "done"}


class _NewRow(msgspec.Struct, forbid_unknown_fields=True):
    short_description: str
    correlation_id: str
    description: str = ""
    correlation_display: str = ""
    urgency: str = "3"
    impact: str = "3"


class _Notes(msgspec.Struct, forbid_unknown_fields=True):
    work_notes: str


class ServiceNowStub(TicketStub):
    """Table API: create, query, read and patch a row of `incident`."""

    def reply(self, request: Request) -> Answer:
        parts = urlsplit(request.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if set(query) - {"sysparm_query", "sysparm_fields", "sysparm_limit", "sysparm_offset", "sysparm_display_value"}:
            return _json(400, {"error": {"message": "unknown parameter"}, "status": "failure"})
        match (request.method, parts.path.split("/")):
            case ("POST", ["", "api", "now", "table", "incident"]):
                return self._create(request.body)
            case ("GET", ["", "api", "now", "table", "incident"]):
                wanted = re.match(r"correlation_id=([0-9a-f]{32})\^ORDERBYsys_created_on$", query["sysparm_query"])
                if wanted is None:
                    return _json(400, {"error": {"message": "bad query"}, "status": "failure"})
                found = [each for each in self.visible() if each["correlation_id"] == wanted[1]]
                return _json(200, {"result": [self._row(each) for each in found[: int(query["sysparm_limit"])]]})
            case (method, ["", "api", "now", "table", "incident", key]):
                return self._one(method, key, request.body)
        return Answer(404)

    def _create(self, body: bytes) -> Answer:
        try:
            row = msgspec.json.decode(body, type=_NewRow)
        except msgspec.ValidationError as error:
            return _json(400, {"error": {"message": str(error)}, "status": "failure"})
        if len(row.short_description) > 160 or not {row.urgency, row.impact} <= {"1", "2", "3"}:
            return _json(400, {"error": {"message": "too long"}, "status": "failure"})
        number = len(self.tickets) + 1
        self.tickets.append(
            {"key": f"{number:032x}", "number": f"INC{number:07}", "state": "1", "correlation_id": row.correlation_id}
        )
        return self.made(_json(201, {"result": self._row(self.tickets[-1])}))

    def _one(self, method: str, key: str, body: bytes) -> Answer:
        found = [ticket for ticket in self.tickets if ticket["key"] == key]
        if not found:
            return _json(404, {"error": {"message": "No Record found"}, "status": "failure"})
        if method == "PATCH":
            try:
                self.comments.append((key, msgspec.json.decode(body, type=_Notes).work_notes))
            except msgspec.ValidationError as error:
                return _json(400, {"error": {"message": str(error)}, "status": "failure"})
        return _json(200, {"result": self._row(found[0])})

    def _row(self, ticket: dict[str, str]) -> object:
        return {"sys_id": ticket["key"], "number": ticket["number"], "state": ticket["state"]}

    def close_ticket(self) -> None:
        """Somebody is done with the newest."""
        self.tickets[-1] |= {"state": "7"}
