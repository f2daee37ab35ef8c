"""Alerts: a condition of one asset, from its onset to its end."""

from __future__ import annotations

import enum

import msgspec

from edgemesh.model.ids import Id, Uuid
from edgemesh.model.samples import At, Doubt, Record, Retimed, Unit


class AlertState(enum.StrEnum):
    """Where an alert stands. ALERT_MOVES lists the moves there are."""

    PENDING = "pending"
    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"
    CLEARED = "cleared"


ALERT_MOVES: dict[AlertState, frozenset[AlertState]] = {
    AlertState.PENDING: frozenset({AlertState.FIRING, AlertState.CLEARED}),
    AlertState.FIRING: frozenset({AlertState.ACKNOWLEDGED, AlertState.CLEARED}),
    AlertState.ACKNOWLEDGED: frozenset({AlertState.CLEARED}),
    AlertState.CLEARED: frozenset(),
}


class Severity(enum.StrEnum):
    """How bad: info needs nobody, warning needs somebody soon, critical needs somebody now."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0, 1 or 2, rising."""
        return ("info", "warning", "critical").index(self.value)


class AlertKind(enum.StrEnum):
    """What is in trouble: the machine itself, a sensor that no longer tells the truth, a device that is silent, or a
    gateway that can't keep what it reads (a recorder that can't do its work counts as one).
    """

    MACHINE = "machine"
    SENSOR = "sensor"
    SILENT = "silent"
    GATEWAY = "gateway"


class Stage(enum.StrEnum):
    """Who has decided: the site's detector, or provisionally the one on the gateway, which sees less."""

    SITE = "site"
    GATEWAY = "gateway"


class Review(enum.StrEnum):
    """What the site's detector says of an alert of the gateway's: it has found the same itself, or nothing."""

    CONFIRMED = "confirmed"
    WITHDRAWN = "withdrawn"


class Evidence(Record, frozen=True, kw_only=True):
    """One metric's part in an alert: what it was, what is normal, and which rule or model says so.

    `score` is strangeness in multiples of the rule's own threshold: 1.0 is just at the limit, high is strange.
    """

    rule: str
    metric: Id
    device: Id
    value: float | None = None
    unit: Unit = "1"
    normal: str = ""
    score: float = 1.0


class Alert(Record, frozen=True, kw_only=True):
    """One state of a condition of one asset; `version` rises with every change of it.

    `id` is derived from site, asset, kind and onset, so that a replay gives the same one. Instants: `onset_at_ns`
    first sample that broke a rule, `raised_at_ns` the sample at which it was decided, `at_ns` the sample (or tick)
    that made this version, `cleared_at_ns` the end. `cause` is a line for people; `consequence` says what happens if
    nobody comes, `action` what is to be done (empty: the rule does not say). `model` names the detector version;
    `origin` is the pack (`agent/epoch/seq`) whose reading raised it. `clock` names the gateway's clock that gave the
    instants, as in `Batch`, while it can't be believed. A `past` alert was over before anybody could know of it,
    because its readings had to wait: it is recorded, in one version, and wakes nobody. An alert of the stage `gateway`
    is provisional; `review` is how the site's detector has ended it (none: it has not).
    """

    id: Uuid
    version: int
    asset: Id
    kind: AlertKind
    state: AlertState
    severity: Severity
    cause: str
    evidence: tuple[Evidence, ...]
    onset_at_ns: At
    raised_at_ns: At
    at_ns: At
    gateway: Id
    cleared_at_ns: At | None = None
    confidence: float = 1.0
    model: str = ""
    origin: str = ""
    by: str = ""
    clock: Doubt = 0
    past: bool = False
    consequence: str = ""
    action: str = ""
    stage: Stage = Stage.SITE
    review: Review | None = None

    def put_right(self, retimed: Retimed) -> Alert:
        """The same alert with the times that it has in truth, now that its clock is known."""
        raised_at_ns = retimed.at(self.raised_at_ns)
        return msgspec.structs.replace(
            self,
            onset_at_ns=min(retimed.at(self.onset_at_ns), raised_at_ns),
            raised_at_ns=raised_at_ns,
            at_ns=retimed.at(self.at_ns),
            cleared_at_ns=None if self.cleared_at_ns is None else retimed.at(self.cleared_at_ns),
            clock=0,
        )
