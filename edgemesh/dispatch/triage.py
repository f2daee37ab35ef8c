"""Triage: what an alert means, what is to be done, who can do it and how soon."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

import msgspec

from edgemesh.dispatch.causes import Cause, CauseTable, name_cause
from edgemesh.dispatch.evidence import strongest_first
from edgemesh.dispatch.settings import TriageRule
from edgemesh.model.agents import Asset
from edgemesh.model.alerts import Alert, AlertKind, Evidence, Severity
from edgemesh.model.orders import Priority, Skills

_PRIORITIES = tuple(Priority)
_NOTHING = Evidence(rule="", metric="-", device="-")


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What triage makes of an alert: the words, skills and priority of its work order, and what the work needs.

    `confidence` (0..1) is that of the cause. `duration_s` and `verify_s` are 0 where nobody knows.
    """

    cause: str
    title: str
    skills: Skills
    priority: Priority
    parts: tuple[str, ...] = ()
    confidence: float = 1.0
    duration_s: float = 0.0
    verify_s: float = 0.0


def priority_of(severity: Severity, criticality: str, base: Priority = Priority.P1) -> Priority:
    """Severity x criticality: `base` for critical on A, one step down for each step in either, at most P4."""
    steps = (Severity.CRITICAL.rank - severity.rank) + "ABC".index(criticality)
    return _PRIORITIES[min(_PRIORITIES.index(base) + steps, len(_PRIORITIES) - 1)]


def raised(priority: Priority) -> Priority:
    """One step more urgent, at most P1."""
    return _PRIORITIES[max(_PRIORITIES.index(priority) - 1, 0)]


def triage(alert: Alert, asset: Asset, rules: Iterable[TriageRule] = (), table: CauseTable | None = None) -> Plan:
    """The plan for an alert: by the user's `rules`, else by the likely cause (`table`: None is the built-in one)."""
    evidence = strongest_first(alert.evidence) or [_NOTHING]
    for rule in rules:
        if found := _match(rule, alert.kind, asset, evidence):
            return _plan(alert, asset, found, rule)
    finding = name_cause(alert.kind, evidence, asset.asset_class, table)
    cause = finding.cause
    return msgspec.structs.replace(
        _plan(alert, asset, finding.evidence, cause),
        parts=cause.parts,
        confidence=finding.confidence,
        duration_s=float(cause.duration),
        verify_s=float(cause.verify),
    )


def _advice(alert: Alert) -> str:
    """What the rule that raised the alert says of it, for those who do the work."""
    consequence = f". If nobody comes: {alert.consequence}".rstrip(".") if alert.consequence else ""
    return consequence + (f". To do: {alert.action}" if alert.action else "")


def _match(rule: TriageRule, kind: AlertKind, asset: Asset, evidence: Iterable[Evidence]) -> Evidence | None:
    if rule.kind not in (None, kind) or not fnmatchcase(asset.asset_class.lower(), rule.asset_class.lower()):
        return None
    metric, name = rule.metric.lower(), rule.rule.lower()
    fits = (one for one in evidence if fnmatchcase(one.metric.lower(), metric) and fnmatchcase(one.rule.lower(), name))
    return next(fits, None)


def _plan(alert: Alert, asset: Asset, one: Evidence, remedy: TriageRule | Cause) -> Plan:
    title = remedy.title
    for name, value in (("{asset}", alert.asset), ("{device}", one.device), ("{metric}", one.metric)):
        title = title.replace(name, value)
    return Plan(
        cause=": ".join(part for part in (remedy.cause, alert.cause) if part) + _advice(alert),
        title=title,
        skills=remedy.skills,
        priority=priority_of(alert.severity, asset.criticality, remedy.priority),
    )
