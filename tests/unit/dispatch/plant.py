"""Builders for tests of dispatch: a small plant, its alerts, people and answers."""

from __future__ import annotations

from edgemesh.model.agents import Card, Presence, Role
from edgemesh.model.alerts import Alert, AlertKind, AlertState, Evidence, Severity
from edgemesh.model.ids import derive_id
from edgemesh.model.orders import Answer, AnswerKind

S = 1_000_000_000
START = 1_700_000_000 * S


def evidence(metric: str, value: float | None = 1.0, normal: str = "2..3", score: float = 1.5) -> Evidence:
    return Evidence(
        rule=f"limit-{metric}", metric=metric, device="d1", value=value, unit="1", normal=normal, score=score
    )


def alert(
    *shown: Evidence,
    asset: str = "P-101",
    number: int = 0,
    kind: AlertKind = AlertKind.MACHINE,
    state: AlertState = AlertState.FIRING,
    severity: Severity = Severity.CRITICAL,
    version: int = 1,
    cause: str = "",
) -> Alert:
    return Alert(
        id=derive_id("test", asset, kind, number),
        version=version,
        asset=asset,
        kind=kind,
        state=state,
        severity=severity,
        cause=cause,
        evidence=shown or (evidence("suction_pressure"),),
        onset_at_ns=START - 5 * S,
        raised_at_ns=START - 2 * S,
        at_ns=START,
        gateway="gw1",
    )


def card(
    name: str,
    *,
    up: bool = True,
    incarnation: str = "i1",
    skills: dict[str, float] | None = None,
    load: int = 0,
    max_load: int = 1,
    role: Role = Role.EXECUTOR,
) -> Card:
    return Card(
        agent=name,
        role=role,
        state=Presence.UP if up else Presence.DOWN,
        incarnation=incarnation,
        skills={"operator": 1.0} if skills is None else skills,
        load=load,
        max_load=max_load,
    )


def answer(executor: str, order: str, said: AnswerKind, attempt: int = 1, note: str = "") -> Answer:
    return Answer(executor=executor, order=order, attempt=attempt, answer=said, note=note)
