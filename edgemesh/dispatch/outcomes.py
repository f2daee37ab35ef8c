"""Outcomes: what became of the orders that executors were given, and whose turn it was last."""

from __future__ import annotations

import msgspec

MEMORY = 0.95
"""What an outcome counts after one more: about the last twenty orders make up the picture."""


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """Orders that somebody `kept` (verified) and `lost` (refused, failed, forgotten, done without effect), the older
    the less; `turn` is the number of the newest that they were given.
    """

    name: str
    kept: float = 0.0
    lost: float = 0.0
    turn: int = 0

    @property
    def reliability(self) -> float:
        """The share of orders that will be kept, 0..1 (rule of succession): 0.5 for somebody who is new."""
        return (self.kept + 1.0) / (self.kept + self.lost + 2.0)


class Outcomes:
    """The past of executors by name. `dirty` names those that changed since they were last saved."""

    def __init__(self) -> None:
        self.past: dict[str, Past] = {}
        self.dirty: set[str] = set()
        self._turn = 0

    def of(self, name: str) -> Past:
        """Somebody's past; nothing yet for who is new."""
        return self.past.get(name) or Past(name=name)

    def restore(self, past: Past) -> None:
        """Put somebody's past as it was saved."""
        self.past[past.name] = past
        self._turn = max(self._turn, past.turn)

    def given(self, name: str) -> None:
        """Somebody was given an order."""
        self._put(msgspec.structs.replace(self.of(name), turn=self._turn + 1))

    def over(self, name: str, *, kept: bool) -> None:
        """What somebody was given is verified (`kept`), or was taken from them for a reason of theirs."""
        past = self.of(name)
        won, lost = past.kept * MEMORY + kept, past.lost * MEMORY + (not kept)
        self._put(msgspec.structs.replace(past, kept=won, lost=lost))

    def _put(self, past: Past) -> None:
        self.restore(past)
        self.dirty.add(past.name)
