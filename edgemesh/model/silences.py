"""Silences: whose alerts open no work order, until when, and why; and alerts that wait for a person to look."""

from __future__ import annotations

import enum
from fnmatch import fnmatchcase
from typing import Annotated

from msgspec import Meta

from edgemesh.model.alerts import Alert, AlertKind, Severity
from edgemesh.model.ids import Uuid
from edgemesh.model.samples import At, Record

Pattern = Annotated[str, Meta(min_length=1, max_length=200)]
Name = Annotated[str, Meta(min_length=1, max_length=64)]
Reason = Annotated[str, Meta(min_length=1, max_length=500)]


class Silence(Record, frozen=True, kw_only=True, tag_field="v", tag=1):
    """Alerts that fit open no order from `begin_ns` until `end_ns`; they are recorded as ever.

    `asset` is a glob of assets, `area` one of their areas; `kind` and `severity` name one kind, and the severity up to
    which it counts (none: any). `id` is that of the command it came with.
    """

    id: Uuid
    by: Name
    reason: Reason
    begin_ns: At
    end_ns: At
    asset: Pattern = "*"
    area: Pattern = "*"
    kind: AlertKind | None = None
    severity: Severity | None = None

    def covers(self, alert: Alert, area: str) -> bool:
        """Whether an alert of an asset in this area fits, whatever the time."""
        return fits(alert, area, asset=self.asset, areas=self.area, kind=self.kind, severity=self.severity)


def fits(alert: Alert, area: str, *, asset: str, areas: str, kind: AlertKind | None, severity: Severity | None) -> bool:
    """Whether an alert fits globs of assets and areas, a kind, and a severity that it does not exceed."""
    return (
        fnmatchcase(alert.asset, asset)
        and fnmatchcase(area, areas)
        and kind in (None, alert.kind)
        and (severity is None or alert.severity.rank <= severity.rank)
    )


class Ruling(enum.StrEnum):
    """What a person says of an alert that waits: it is one, or none."""

    CONFIRM = "confirm"
    DISMISS = "dismiss"


class Case(Record, frozen=True, kw_only=True, tag_field="v", tag=1):
    """An alert that is not sure enough to open an order: it waits for a person since `since_ns`, until `until_ns`."""

    alert: Alert
    since_ns: At
    until_ns: At
