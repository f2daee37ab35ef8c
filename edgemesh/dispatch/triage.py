"""Triage: what an alert means, what is to be done, who can do it and how soon."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

import msgspec

from edgemesh.dispatch.evidence import direction, strongest_first
from edgemesh.dispatch.playbook import BUILT_IN, CHANNELS, REMEDIES, SIGN_TABLE, Remedy
from edgemesh.dispatch.settings import TriageRule
from edgemesh.model.agents import Asset
from edgemesh.model.alerts import Alert, AlertKind, Evidence, Severity
from edgemesh.model.orders import Priority, Skills

_PRIORITIES = tuple(Priority)
_NOTHING = Evidence(rule="", metric="-", device="-")
MAX_SIGNS = 16
"""An alert of very many evidences is judged by its strongest ones."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What triage makes of an alert: the words, skills and priority of its work order."""

    cause: str
    title: str
    skills: Skills
    priority: Priority


def priority_of(severity: Severity, criticality: str, base: Priority = Priority.P1) -> Priority:
    """Severity x criticality: `base` for critical on A, one step down for each step in either, at most P4."""
    steps = (Severity.CRITICAL.rank - severity.rank) + "ABC".index(criticality)
    return _PRIORITIES[min(_PRIORITIES.index(base) + steps, len(_PRIORITIES) - 1)]


def triage(alert: Alert, asset: Asset, rules: Iterable[TriageRule] = ()) -> Plan:
    """The plan for an alert: by the user's `rules`, else by the sign table, else by the strongest evidence."""
    evidence = strongest_first(alert.evidence) or [_NOTHING]
    for rule in rules:
        if found := _match(rule, alert.kind, asset, evidence):
            return _plan(alert, asset, found, rule)
    if alert.kind is AlertKind.MACHINE and (remedy := cause_by_signs(evidence)):
        return _plan(alert, asset, evidence[0], remedy)
    for one in evidence:
        for rule in BUILT_IN[:-1]:
            if _match(rule, alert.kind, asset, (one,)):
                return _plan(alert, asset, one, rule)
    return _plan(alert, asset, evidence[0], BUILT_IN[-1])


def cause_by_signs(evidence: Iterable[Evidence]) -> Remedy | None:
    """The remedy of the sign table's first row that explains the signs, weakest left out until one does; None: no row.

    `evidence` comes strongest first. Evidence of no channel of the table, or of no known direction, gives no sign.
    """
    signs = [sign for one in evidence if (sign := _sign(one))][:MAX_SIGNS]
    while signs:
        seen = frozenset(signs)
        for row in SIGN_TABLE:
            if row.needs <= seen <= row.needs | row.fits:
                return REMEDIES[row.remedy]
        signs.pop()
    return None


def _sign(one: Evidence) -> str:
    metric = one.metric.lower()
    channel = next((name for glob, name in CHANNELS if fnmatchcase(metric, glob)), "")
    way = direction(one)
    return f"{channel}{'+' if way > 0 else '-'}" if channel and way else ""


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


def _plan(alert: Alert, asset: Asset, one: Evidence, remedy: TriageRule | Remedy) -> Plan:
    title = remedy.title
    for name, value in (("{asset}", alert.asset), ("{device}", one.device), ("{metric}", one.metric)):
        title = title.replace(name, value)
    return Plan(
        cause=": ".join(part for part in (remedy.cause, alert.cause) if part) + _advice(alert),
        title=title,
        skills=remedy.skills,
        priority=priority_of(alert.severity, asset.criticality, remedy.priority),
    )
