"""The present and the recent past: what retained topics say stands now, and what is over since a short while."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Generic, TypeVar

from edgemesh.errors import Rejected
from edgemesh.wire.reasons import Reason

T = TypeVar("T")


class Present(Generic[T]):
    """What stands now, by id. The last word on a topic counts; an empty one removes.

    After a loss of the link the broker says everything again: what it does not say within `grace_s` of the new link has
    gone meanwhile.
    """

    def __init__(self, room: int = 2_000, grace_s: float = 5.0) -> None:
        self._room, self._grace_s = room, grace_s
        self._items: dict[str, T] = {}
        self._doubted: set[str] = set()
        self._doubted_until_s = 0.0

    def put(self, key: str, item: T | None) -> None:
        """Follow one message; None empties. Rejected when there is no room for one more."""
        self._doubted.discard(key)
        if item is None:
            self._items.pop(key, None)
        elif key not in self._items and len(self._items) >= self._room:
            raise Rejected(Reason.TOO_MANY, f"{self._room} stand already")
        else:
            self._items[key] = item

    def doubt(self) -> None:
        """The link was lost: what stands may go unheard."""
        self._doubted = set(self._items)
        self._doubted_until_s = math.inf

    def expect(self, now_s: float) -> None:
        """The link is back: what was doubted and still stands is said again soon."""
        self._doubted_until_s = now_s + self._grace_s

    def sweep(self, now_s: float) -> list[str]:
        """Remove what was not confirmed in time, and return its ids."""
        if not self._doubted or now_s < self._doubted_until_s:
            return []
        gone, self._doubted = sorted(self._doubted), set()
        for key in gone:
            self._items.pop(key, None)
        return gone

    def __iter__(self) -> Iterator[T]:
        return iter(tuple(self._items.values()))

    def __len__(self) -> int:
        return len(self._items)


class Recent(Generic[T]):
    """The latest few things that are over, by id; hearing of one again changes nothing."""

    def __init__(self, room: int = 20) -> None:
        self._room = room
        self._items: dict[str, tuple[int, T]] = {}

    def put(self, key: str, at_ns: int, item: T) -> None:
        """Remember the item, at the cost of the oldest one."""
        self._items[key] = (at_ns, item)
        if len(self._items) > self._room:
            del self._items[min(self._items, key=lambda known: (self._items[known][0], known))]

    def __iter__(self) -> Iterator[T]:
        """Newest first."""
        return (item for _, item in sorted(self._items.values(), key=lambda entry: -entry[0]))
