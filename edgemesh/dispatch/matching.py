"""Matching: who is able to do an order, and how well it suits them."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple


class Need(NamedTuple):
    """What an order asks for; orders of equal needs share one pool.

    `skills` and the least grades, sorted by skill; `weights` say how much each counts (none: all 1). `certificates`
    must all be there. `least_match` is the least weighted mean of the grades.
    """

    skills: tuple[tuple[str, float], ...]
    certificates: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()
    least_match: float = 0.0


def need_of(
    skills: Mapping[str, float],
    certificates: Collection[str] = (),
    weights: Mapping[str, float] | None = None,
    least_match: float = 0.0,
) -> Need:
    """The need as a key."""
    wanted = tuple(sorted(skills.items()))
    heavy = tuple(weights.get(skill, 1.0) for skill, _ in wanted) if weights else ()
    return Need(wanted, tuple(sorted(set(certificates))), heavy, least_match)


def able(skills: Mapping[str, float], certificates: Collection[str], need: Need) -> bool:
    """Whether somebody has each skill with at least the least grade (one they don't have is of grade 0), all
    certificates, and suits well enough on the whole.
    """
    return (
        all(skills.get(skill, 0.0) >= least for skill, least in need.skills)
        and all(certificate in certificates for certificate in need.certificates)
        and (not need.least_match or match(skills, need) >= need.least_match)
    )


def shortfalls(skills: Mapping[str, float], certificates: Collection[str], need: Need) -> list[str]:
    """Why somebody is not able, for people; empty: they are."""
    short = [
        f"{skill} {skills.get(skill, 0.0):g} < {least:g}"
        for skill, least in need.skills
        if skills.get(skill, 0.0) < least
    ]
    short += [f"no certificate {one}" for one in need.certificates if one not in certificates]
    if match(skills, need) < need.least_match:
        short.append(f"match {match(skills, need):.2f} < {need.least_match:g}")
    return short


def grade(skills: Mapping[str, float], need: Need) -> float:
    """Weighted sum of somebody's grades in the skills asked for."""
    if not need.weights:
        return sum(skills.get(skill, 0.0) for skill, _ in need.skills)
    return sum(skills.get(skill, 0.0) * weight for (skill, _), weight in zip(need.skills, need.weights, strict=True))


def match(skills: Mapping[str, float], need: Need) -> float:
    """Weighted mean of the grades asked for, 0..1; 1 where nothing that weighs is asked for."""
    weight = sum(need.weights) if need.weights else float(len(need.skills))
    return grade(skills, need) / weight if weight else 1.0


class Pool:
    """Those able to do what one need asks, with room for more: by load, then falling grade, then name."""

    def __init__(self, need: Need) -> None:
        self.need = need
        self._rank: dict[str, tuple[int, float, str]] = {}
        self._free: list[tuple[int, float, str]] = []
        self._grade: dict[str, float] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._grade

    def __len__(self) -> int:
        """How many have room."""
        return len(self._free)

    def enter(self, name: str, skills: Mapping[str, float] | None, certificates: Collection[str] = ()) -> None:
        """Take note of somebody's skills (None: gone, or down); `load` says whether there is room."""
        self.load(name, None)
        self._grade.pop(name, None)
        if skills is not None and able(skills, certificates, self.need):
            self._grade[name] = grade(skills, self.need)

    def fill(self, people: Iterable[tuple[str, Mapping[str, float], Collection[str], int | None]]) -> None:
        """Take in all who are up at once, with skills, certificates and load: the same as one after the other."""
        for name, skills, certificates, load in people:
            if able(skills, certificates, self.need):
                self._grade[name] = suits = grade(skills, self.need)
                if load is not None:
                    self._rank[name] = (load, -suits, name)
        self._free = sorted(self._rank.values())

    def load(self, name: str, load: int | None) -> None:
        """Set how many orders an able one has; None: no room for more."""
        if (rank := self._rank.pop(name, None)) is not None:
            del self._free[bisect_left(self._free, rank)]
        if load is not None and name in self._grade:
            self._rank[name] = rank = (load, -self._grade[name], name)
            insort(self._free, rank)

    def best(self, without: Collection[str]) -> str | None:
        """The first who is not in `without`."""
        return next(self.names(without), None)

    def names(self, without: Collection[str]) -> Iterator[str]:
        """All who have room and are not in `without`, best first."""
        return (name for _, _, name in self._free if name not in without)
