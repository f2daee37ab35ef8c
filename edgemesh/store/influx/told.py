"""What agents tell beside their logs, as lines that wait for the recorder's next look after its store."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from edgemesh.model.told import Lines, Scores
from edgemesh.store.influx.lines import line
from edgemesh.store.influx.points import line_points, score_points

MOST_WAITING = 50_000


class Waiting(NamedTuple):
    """One line: the measurement, its series, and the whole of it."""

    measurement: str
    head: str
    text: str


class Told:
    """Takes what was told, in one thread, and gives it away in another; beyond 50,000 lines the oldest give way.

    What waits here when the recorder ends is gone. The same points again are the same lines.
    """

    def __init__(self, site: str) -> None:
        self._site = site
        self.waiting: deque[Waiting] = deque(maxlen=MOST_WAITING)

    def take_in(self, told: Scores | Lines) -> None:
        """Note what an agent has told."""
        points = score_points(self._site, told) if isinstance(told, Scores) else line_points(self._site, told)
        for head, fields, at_ns in points:
            if text := line(head, fields, at_ns):
                self.waiting.append(Waiting(head.partition(",")[0], head, text))

    def give(self) -> list[Waiting]:
        """What waits, oldest first; it waits no more."""
        return [self.waiting.popleft() for _ in range(len(self.waiting))]
