"""Who gets an order, found without any index: every executor is looked at, by the words of docs/dispatch.md alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

SKILLS = ("operator", "fitter", "electrician", "vibration")
CERTIFICATES = ("atex", "lv-switching", "heights")
GRADES = (0.0, 0.2, 0.4, 0.5, 0.6, 0.8, 1.0)


@dataclass(frozen=True)
class Someone:
    """An executor of a case: `held` of `most` orders in hand."""

    name: str
    up: bool
    skills: dict[str, float]
    certificates: tuple[str, ...]
    held: int
    most: int


@dataclass(frozen=True)
class Case:
    """What is asked for, who is there, and who is not asked."""

    skills: dict[str, float]
    certificates: tuple[str, ...]
    weights: dict[str, float]
    least_match: float
    people: Sequence[Someone]
    without: frozenset[str]


def make_case(seed: int) -> Case:
    """The case of this number: always the same."""
    rng = Random(seed)
    people = [
        Someone(
            f"p{k}",
            rng.random() < 0.9,
            {skill: rng.choice(GRADES) for skill in rng.sample(SKILLS, rng.randint(0, 4))},
            tuple(rng.sample(CERTIFICATES, rng.randint(0, 3))),
            rng.randint(0, 2),
            rng.randint(1, 3),
        )
        for k in range(rng.randint(0, 8))
    ]
    return Case(
        {skill: rng.choice(GRADES) for skill in rng.sample(SKILLS, rng.randint(0, 3))},
        tuple(rng.sample(CERTIFICATES, rng.choice((0, 0, 1, 2)))),
        {skill: rng.choice((0.0, 0.5, 1.0, 2.0)) for skill in rng.sample(SKILLS, rng.randint(0, 4))},
        rng.choice((0.0, 0.0, 0.3, 0.6)),
        people,
        frozenset(rng.sample([one.name for one in people], rng.randint(0, min(2, len(people))))),
    )


def able(case: Case, one: Someone) -> bool:
    """Whether somebody may be given the order at all."""
    for skill, least in case.skills.items():
        if one.skills.get(skill, 0.0) < least:
            return False
    for certificate in case.certificates:
        if certificate not in one.certificates:
            return False
    weight = sum(case.weights.get(skill, 1.0) for skill in sorted(case.skills))
    suits = suit(case, one) / weight if weight else 1.0
    return suits >= case.least_match


def suit(case: Case, one: Someone) -> float:
    """How well the order suits somebody: the grades that are asked for, each times its weight."""
    return sum(one.skills.get(skill, 0.0) * case.weights.get(skill, 1.0) for skill in sorted(case.skills))


def winner(case: Case) -> str | None:
    """Who gets it: of the able who are up and have room the one with the fewest orders, the best suited, by name."""
    best: Someone | None = None
    for one in case.people:
        if not one.up or one.held >= one.most or one.name in case.without or not able(case, one):
            continue
        if best is None or (one.held, -suit(case, one), one.name) < (best.held, -suit(case, best), best.name):
            best = one
    return best.name if best else None
