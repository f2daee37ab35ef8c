"""The waiting list: escalated orders, most urgent first, by what they need."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable

from edgemesh.dispatch.matching import Need
from edgemesh.model.orders import WorkOrder

Rank = tuple[str, int, str]
LOOK = 64
"""How many orders of one need are looked at for somebody who came free; the others have their own retry."""


class Waiting:
    """Orders that nobody could be found for: by priority, then age, then id."""

    def __init__(self) -> None:
        self._spot: dict[str, tuple[Need, Rank]] = {}
        self._lists: dict[Need, list[Rank]] = {}

    def put(self, order: WorkOrder, need: Need) -> None:
        """Let an order wait."""
        self.drop(order.id)
        rank = (order.priority.value, order.opened_at_ns, order.id)
        self._spot[order.id] = need, rank
        insort(self._lists.setdefault(need, []), rank)

    def drop(self, order: str) -> None:
        """An order no longer waits."""
        if (spot := self._spot.pop(order, None)) is not None:
            need, rank = spot
            ranks = self._lists[need]
            del ranks[bisect_left(ranks, rank)]
            if not ranks:
                del self._lists[need]

    def needs(self) -> list[Need]:
        """What the waiting orders need."""
        return list(self._lists)

    def first(self, needs: Iterable[Need], fits: Callable[[str], bool]) -> str | None:
        """The most urgent order of these needs that `fits`."""
        found = (self._first(self._lists[need], fits) for need in needs if need in self._lists)
        return min((rank for rank in found if rank is not None), default=("", 0, None))[2]

    def _first(self, ranks: list[Rank], fits: Callable[[str], bool]) -> Rank | None:
        return next((rank for rank in ranks[:LOOK] if fits(rank[2])), None)
