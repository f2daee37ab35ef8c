"""Matching: who is able to do an order, and who of them gets it."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Collection, Mapping

Need = tuple[tuple[str, float], ...]
"""Required skills and least grades, sorted by skill: orders of equal needs share one pool."""


def need_of(skills: Mapping[str, float]) -> Need:
    """The need as a key."""
    return tuple(sorted(skills.items()))


def able(skills: Mapping[str, float], need: Need) -> bool:
    """Whether somebody has each skill with at least the least grade; a skill they don't have is of grade 0."""
    return all(skills.get(skill, 0.0) >= least for skill, least in need)


def grade(skills: Mapping[str, float], need: Need) -> float:
    """Sum of somebody's grades in the skills asked for."""
    return sum(skills.get(skill, 0.0) for skill, _ in need)


class Pool:
    """Those able to do what one need asks, with room for more: by load, then falling grade, then name."""

    def __init__(self, need: Need) -> None:
        self.need = need
        self._rank: dict[str, tuple[int, float, str]] = {}
        self._free: list[tuple[int, float, str]] = []
        self._grade: dict[str, float] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._grade

    def enter(self, name: str, skills: Mapping[str, float] | None) -> None:
        """Take note of somebody's skills (None: gone, or down); `load` says whether there is room."""
        self.load(name, None)
        self._grade.pop(name, None)
        if skills is not None and able(skills, self.need):
            self._grade[name] = grade(skills, self.need)

    def load(self, name: str, load: int | None) -> None:
        """Set how many orders an able one has; None: no room for more."""
        if (rank := self._rank.pop(name, None)) is not None:
            del self._free[bisect_left(self._free, rank)]
        if load is not None and name in self._grade:
            self._rank[name] = rank = (load, -self._grade[name], name)
            insort(self._free, rank)

    def best(self, without: Collection[str]) -> str | None:
        """The first who is not in `without`."""
        return next((name for _, _, name in self._free if name not in without), None)
