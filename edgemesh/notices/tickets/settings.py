"""The sections `[[ticket]]`: which orders get a ticket in which system."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from edgemesh.model.settings import Seconds, Secret
from edgemesh.notices.events import ORDER_EVENTS, What
from edgemesh.notices.settings import Notice, Text, check_url

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_]{1,80}(?!\n)$")]


class TicketNotice(Notice, frozen=True, kw_only=True):
    """What every `[[ticket]]` has, beside what a `[[notice]]` has: the first event in `on` opens the ticket of its
    order, later ones become comments on it.

    After a try of which nobody knows whether it made a ticket the system is asked for it, but not before `settle`: its
    search may lag behind. `poll`: how often the state of open tickets is noted.
    """

    url: Text
    login: Text
    on: Annotated[tuple[What, ...], Meta(min_length=1)] = (
        "opened", "escalated", "breached", "reopened", "done", "verified", "cancelled",
    )  # fmt: skip
    settle: Seconds = Seconds(30.0)
    poll: Seconds = Seconds(300.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_url(self.url, "url")
        if not set(self.on) <= ORDER_EVENTS:
            raise ValueError("`on` of a ticket names events of orders only: " + ", ".join(sorted(ORDER_EVENTS)))


class JiraTicket(TicketNotice, frozen=True, kw_only=True, tag_field="type", tag="jira"):
    """`type = "jira"`: issues of Jira Cloud (REST API version 3); `login` is an e-mail address with its API `token`."""

    project: Name
    token: Secret
    issue_type: Text = "Task"


class ServiceNowTicket(TicketNotice, frozen=True, kw_only=True, tag_field="type", tag="servicenow"):
    """`type = "servicenow"`: rows of a table of ServiceNow (Table API) that has what `incident` has."""

    password: Secret
    table: Name = "incident"


AnyTicket = JiraTicket | ServiceNowTicket
