"""Deadlines: which names are due, without looking at all of them."""

from __future__ import annotations

import heapq
from collections.abc import Iterator


class Deadlines:
    """At most one instant per name. Order of what falls due: by instant, then by name."""

    def __init__(self) -> None:
        self._at: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self._at)

    def put(self, name: str, at_ns: int | None) -> None:
        """Set, move or (None) drop the instant of a name."""
        if self._at.get(name) == at_ns:
            return
        if at_ns is None:
            self._at.pop(name, None)
        else:
            self._at[name] = at_ns
            heapq.heappush(self._heap, (at_ns, name))
        if len(self._heap) > 64 + 4 * len(self._at):  # mostly instants that were moved
            self._heap = [(at, who) for who, at in self._at.items()]
            heapq.heapify(self._heap)

    def due(self, now_ns: int) -> Iterator[str]:
        """Take out, one after the other, what is due at `now_ns`; names may be put while iterating."""
        while (first := self._first()) is not None and first[0] <= now_ns:
            yield self._pop()

    def beyond(self, most: int) -> Iterator[str]:
        """Take out the earliest until at most `most` are left."""
        while len(self._at) > most and self._first() is not None:
            yield self._pop()

    def _first(self) -> tuple[int, str] | None:
        while self._heap and self._at.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0] if self._heap else None

    def _pop(self) -> str:
        name = heapq.heappop(self._heap)[1]
        del self._at[name]
        return name
