"""Telling the site what is in no log: scores, and lines of the program's log. What is not heard is gone."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection
from itertools import islice
from typing import Protocol

from edgemesh.bus.contract import Bus
from edgemesh.health.lines import LineKeeper
from edgemesh.model.told import Score, Scores
from edgemesh.wire import codec
from edgemesh.wire.topics import Topics

EVERY_S = 1.0
MESSAGE_SCORES, MESSAGE_LINES = 32, 8
"""Of one message at most, some 4 KB: on a slow link nobody waits behind it for long."""


class Aside(Protocol):
    """An agent that has something to tell."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def bus(self) -> Bus:
        """Its connection."""
        ...

    @property
    def asides(self) -> deque[Score]:
        """What waits to be told."""
        ...


class Teller:
    """Tells for the agents of one process, once a second; `every_s` is how long the intervals of scores are.

    It runs beside the agents and holds nobody up: what there is no link or room for waits with agents and keeper, which
    are bounded.
    """

    def __init__(self, topics: Topics, agents: Collection[Aside], *, every_s: float) -> None:
        self._topics, self._agents, self._every_s = topics, agents, float(every_s)
        self.keeper: LineKeeper | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; the agents are running."""
        self._task = asyncio.create_task(self._run(), name="teller")

    async def stop(self) -> None:
        """End, before the agents do."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
            self.tell()

    def tell(self) -> None:
        """Tell what there is."""
        for agent in self._agents:
            if agent.bus.has_spare:
                self._tell_scores(agent)
                self._tell_lines(agent)

    def _tell_scores(self, agent: Aside) -> None:
        while agent.asides:
            scores = tuple(islice(agent.asides, MESSAGE_SCORES))
            told = codec.encode(Scores(agent=agent.name, every_s=self._every_s, scores=scores))
            if not agent.bus.publish(self._topics.scores(agent.name), told, bulk=True):
                return
            for _ in scores:
                agent.asides.popleft()

    def _tell_lines(self, agent: Aside) -> None:
        keeper = self.keeper
        while keeper is not None and (lines := keeper.take(agent.name, MESSAGE_LINES)):
            if not agent.bus.publish(self._topics.lines(agent.name), codec.encode(lines), bulk=True):
                keeper.put_back(lines)
                return

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            self.tell()
