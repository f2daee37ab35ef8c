"""The agents of the site as their cards show them, for a point of each now and then."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

from edgemesh.model.agents import Card, Presence

MAX_AGENTS = 1_000
FORGOTTEN_S = 3_600.0
"""An agent that is gone is told of for so long."""
SILENT_BEATS, SILENT_S = 3.0, 5.0


class Census:
    """Latest cards; may be used by several threads. A retained card alone is no sign of life, only a rising beat is."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._cards: dict[str, tuple[Card, float]] = {}
        self._lock = threading.Lock()

    def see(self, card: Card, *, retained: bool) -> None:
        """Take a card in; beyond 1,000 agents new ones are ignored."""
        with self._lock:
            known = self._cards.get(card.agent)
            if known is None and (retained or len(self._cards) >= MAX_AGENTS):
                return
            same = known is not None and known[0].incarnation == card.incarnation
            alive = card.state is Presence.UP and not retained
            rises = not same or (known is not None and card.beat > known[0].beat)
            heard_s = self._clock() if alive and rises else known[1] if known else self._clock()
            self._cards[card.agent] = (card, heard_s)

    def count(self) -> Iterator[tuple[Card, bool]]:
        """Each agent's latest card, and whether it is up; those gone for an hour are forgotten."""
        now_s = self._clock()
        with self._lock:
            gone = [name for name, (_, heard_s) in self._cards.items() if now_s - heard_s > FORGOTTEN_S]
            for name in gone:
                del self._cards[name]
            known = list(self._cards.values())
        for card, heard_s in known:
            silent = now_s - heard_s > max(SILENT_BEATS * card.heartbeat_s, SILENT_S)
            yield card, card.state is Presence.UP and not silent
