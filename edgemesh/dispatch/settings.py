"""The `[dispatch]` section: deadlines, verification, and which alert needs which skills."""

from __future__ import annotations

import enum
from typing import Annotated

from msgspec import Meta

from edgemesh.model.alerts import AlertKind
from edgemesh.model.orders import Priority, Skills
from edgemesh.model.settings import Seconds, Settings

Glob = Annotated[str, Meta(min_length=1, max_length=200)]


class WhenCleared(enum.StrEnum):
    """What becomes of an order whose alert clears before work began."""

    CANCEL = "cancel"
    KEEP = "keep"


class TriageRule(Settings, frozen=True, kw_only=True):
    """One row of triage: what an alert looks like, and what is to be done about it.

    A rule matches when `kind` (none given: any) and `asset_class` fit and one evidence of the alert fits both `metric`
    and `rule`; `metric`, `rule` and `asset_class` are globs, upper and lower case are one. `skills` maps a skill to the
    least grade (0..1); one executor must meet them all. A skill nobody mentions has grade 0, so a least grade of 0 is a
    wish: among equals who has it comes first. `priority` is that of a critical alert on an asset of
    criticality A; each step down in severity or criticality is one step down in priority. `{asset}`, `{device}` and
    `{metric}` in `title` are filled in.
    """

    title: Annotated[str, Meta(min_length=1, max_length=200)]
    skills: Skills
    cause: Annotated[str, Meta(max_length=200)] = ""
    kind: AlertKind | None = None
    metric: Glob = "*"
    rule: Glob = "*"
    asset_class: Glob = "*"
    priority: Priority = Priority.P1


class DispatchSettings(Settings, frozen=True, kw_only=True):
    """The `[dispatch]` section.

    An alert that a sentry has raised on its gateway opens an order once a detector of the site has not judged it for
    `confirm_within`, or after 5 s without any detector.
    `answer_within` after a dispatch an executor has accepted or refused; `work_within` after accepting it is done.
    After done the alert must stay cleared for `verify_for`; still there `reopen_after` done, the order is reopened. An
    alert of the same kind within `rework_within` of a verified order opens one that says it is rework. When nobody is
    left the order is escalated, and those who were asked are asked again after `retry_after`.
    """

    confirm_within: Seconds = Seconds(30.0)
    answer_within: Seconds = Seconds(30.0)
    work_within: Seconds = Seconds(4 * 3600.0)
    verify_for: Seconds = Seconds(60.0)
    reopen_after: Seconds = Seconds(600.0)
    rework_within: Seconds = Seconds(7 * 86400.0)
    retry_after: Seconds = Seconds(60.0)
    when_cleared: WhenCleared = WhenCleared.CANCEL
    causes: Annotated[str, Meta(max_length=4096)] = ""
    verify_by_cause: bool = False
    triage: tuple[TriageRule, ...] = ()

    def __post_init__(self) -> None:
        for name in ("answer_within", "work_within", "reopen_after", "retry_after"):
            if getattr(self, name) <= 0.0:
                raise ValueError(f"`{name}` must be longer than nothing")
