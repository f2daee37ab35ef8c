"""Lines of the log that the site is to see: warnings and worse of each agent, so many a minute."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable

from edgemesh.health.logs import Speakers, sound
from edgemesh.model.told import MOST_BODY, MOST_LINES, Line, LineLevel, Lines

PER_MINUTE = 60
_ENDS = logging.Formatter()


class _Kept:
    """What is kept of one agent: lines that wait, how many may come in this minute, and how many were too many."""

    def __init__(self, since_s: float) -> None:
        self.lines: deque[Line] = deque(maxlen=MOST_LINES)
        self.since_s, self.count, self.last_ns, self.left_out = since_s, 0, 0, 0


class LineKeeper(logging.Handler):
    """Keeps warnings and worse until `take`, of each agent at most 60 a minute and 100 altogether; more is counted.

    Lossy by design: what is not taken when the process ends is gone, and nothing is ever held up by it. Times of one
    agent's lines rise. `clock` gives seconds of a monotonic clock.
    """

    def __init__(self, speakers: Speakers, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(logging.WARNING)
        self._speakers, self._clock = speakers, clock
        self._kept: dict[str, _Kept] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line, if it is an agent's."""
        agent = self._speakers.find(record)
        if agent:
            try:
                self._keep(self._kept.setdefault(agent, _Kept(self._clock())), record)
            except Exception:  # noqa: BLE001  what logging itself does: a line that can't be kept ends nothing
                self.handleError(record)

    def take(self, agent: str, most: int = MOST_LINES) -> Lines | None:
        """The oldest lines of an agent that wait; None: there are none."""
        self.acquire()
        try:
            kept = self._kept.get(agent)
            if kept is None or not kept.lines:
                return None
            lines = tuple(kept.lines.popleft() for _ in range(min(most, len(kept.lines))))
            return Lines(agent=agent, lines=lines, left_out=kept.left_out)
        finally:
            self.release()

    def put_back(self, lines: Lines) -> None:
        """They could not be told now: they are the next, as far as there is room beside those that came meanwhile."""
        self.acquire()
        try:
            kept = self._kept[lines.agent]
            room = MOST_LINES - len(kept.lines)
            kept.left_out += max(0, len(lines.lines) - room)
            kept.lines.extendleft(reversed(lines.lines[:room]))
        finally:
            self.release()

    def _keep(self, kept: _Kept, record: logging.LogRecord) -> None:
        if self._clock() - kept.since_s >= 60.0:
            kept.since_s, kept.count = self._clock(), 0
        if kept.count >= PER_MINUTE or len(kept.lines) >= MOST_LINES:
            kept.left_out += 1
            return
        kept.count += 1
        kept.last_ns = max(round(record.created * 1e9), kept.last_ns + 1)
        trace = _ENDS.formatException(record.exc_info) if record.exc_info else ""
        kept.lines.append(
            Line(
                at_ns=kept.last_ns,
                level=_level(record.levelno),
                body=sound(record.getMessage()[:MOST_BODY]),
                logger=record.name[:128],
                exception=sound(trace[-2 * MOST_BODY :]),
                trace_id=str(getattr(record, "trace_id", ""))[:32],
                span_id=str(getattr(record, "span_id", ""))[:16],
            )
        )


def _level(number: int) -> LineLevel:
    if number >= logging.CRITICAL:
        return LineLevel.CRITICAL
    return LineLevel.ERROR if number >= logging.ERROR else LineLevel.WARNING
