"""What each role writes and follows: one row per role."""

from __future__ import annotations

from dataclasses import dataclass

from edgemesh.model.agents import Role


@dataclass(frozen=True, slots=True)
class RoleTraits:
    """`writes`: the kind of its own log, empty for none. `follows`: kinds of logs it reads. `readers`: the roles whose
    consumer groups must have a row before it may be pruned. `owned`: follows only the gateways given to it. `offered`:
    takes offers of models, and verdicts. `local`: follows the gateways of its own process, whose rows are handed to it
    without the bus. `keeps_spans`: hears what others have recorded for traces.
    """

    writes: str = ""
    follows: tuple[str, ...] = ()
    readers: tuple[Role, ...] = ()
    owned: bool = False
    offered: bool = False
    hears_answers: bool = False
    watches_cards: bool = False
    local: bool = False
    keeps_spans: bool = False


ROLES: dict[Role, RoleTraits] = {
    Role.GATEWAY: RoleTraits(writes="readings", readers=(Role.DETECTOR, Role.RECORDER)),
    Role.DETECTOR: RoleTraits(
        writes="alerts", follows=("readings",), readers=(Role.SCHEDULER, Role.RECORDER), owned=True, offered=True
    ),
    Role.SENTRY: RoleTraits(
        writes="alerts", follows=("readings",), readers=(Role.SCHEDULER, Role.RECORDER), local=True
    ),
    Role.SCHEDULER: RoleTraits(
        writes="orders", follows=("alerts",), readers=(Role.RECORDER,), hears_answers=True, watches_cards=True
    ),
    Role.RECORDER: RoleTraits(follows=("readings", "alerts", "orders"), keeps_spans=True),
    Role.REGISTRY: RoleTraits(watches_cards=True),
}

WRITERS_OF: dict[str, frozenset[Role]] = {
    kind: frozenset(role for role, traits in ROLES.items() if traits.writes == kind)
    for kind in ("readings", "alerts", "orders")
}
"""The roles whose logs hold records of a kind."""
