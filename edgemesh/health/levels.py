"""What is logged of each agent, and for how long it is something else than usual."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable


class Levels:
    """The least level that is logged, of each agent. What was set for a while goes back by itself.

    May be asked in any thread. `clock` gives seconds of a monotonic clock.
    """

    def __init__(self, usual: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.usual = usual
        self._clock = clock
        self._other: dict[str, tuple[int, float]] = {}

    def set(self, agent: str, level: int | None, for_s: float = 0.0) -> None:
        """Log of the agent what is at least of this level, for so long (0: from now on); None: as usual again."""
        others = dict(self._other)
        others.pop(agent, None)
        if level is not None:
            others[agent] = (level, self._clock() + for_s if for_s else float("inf"))
        self._other = others  # as a whole: other threads look at it

    def of(self, agent: str) -> int:
        """The least level that is logged of the agent now; `agent` may be empty: of nobody's."""
        level, until_s = self._other.get(agent, (self.usual, float("inf")))
        return level if self._clock() < until_s else self.usual

    @property
    def least(self) -> int:
        """The least level that is logged of anybody now."""
        return min([self.usual, *(self.of(agent) for agent in self._other)])


def number(level: str) -> int:
    """The level of this name as `logging` counts it."""
    return logging.getLevelNamesMapping()[level.upper()]


def name_of(level: int) -> str:
    """The name of a level, as commands and settings spell it."""
    return logging.getLevelName(level).lower()
