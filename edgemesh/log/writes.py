"""What is written to the disk in a day, and how long commits have to wait so that a budget lasts. Pure."""

from __future__ import annotations

from collections import deque

DAY_S = 86_400.0
LONGEST_REST_S = 2.0
AHEAD_S = 3_600.0
"""A budget may be used so far ahead of time: a start, a burst and a checkpoint lengthen no group."""
_NOTES = 60
_NOTE_EVERY_S = 60.0


class Writes:
    """Follows a counter of bytes written. Times are seconds of one monotonic clock.

    The budget fills steadily, up to the share of an hour. Down to half of that commits come as they like; below, each
    rests for longer after the one before, up to 2 s when nothing is left.

    >>> writes = Writes(24_000_000, written=0, now_s=0.0)
    >>> writes.note(700_000, 1.0)
    >>> round(writes.rest_s, 2)
    0.8
    """

    def __init__(self, per_day: int | None, *, written: int, now_s: float) -> None:
        self._rate = None if per_day is None else per_day / DAY_S
        self._room = self._most = 0.0 if self._rate is None else self._rate * AHEAD_S
        self._written, self._now_s = written, now_s
        self._notes: deque[tuple[float, int]] = deque([(now_s, written)], maxlen=_NOTES)

    def note(self, written: int, now_s: float) -> None:
        """Take in what the counter says now."""
        if self._rate is not None:
            room = self._room + (now_s - self._now_s) * self._rate - (written - self._written)
            self._room = min(max(room, -self._most), self._most)
        self._written, self._now_s = written, now_s
        if now_s - self._notes[-1][0] >= _NOTE_EVERY_S:
            self._notes.append((now_s, written))

    @property
    def rest_s(self) -> float:
        """How long to wait after a commit before the next."""
        if self._rate is None:
            return 0.0
        return LONGEST_REST_S * min(max(1.0 - 2.0 * self._room / self._most, 0.0), 1.0) if self._most else 0.0

    @property
    def spent(self) -> bool:
        """Whether more was written than the budget allows although groups are as long as they get."""
        return self._rate is not None and self._room < 0.0

    @property
    def per_day(self) -> float:
        """Bytes in a day, if it goes on as in the last hour."""
        begin_s, begin = self._notes[0]
        return (self._written - begin) * DAY_S / max(self._now_s - begin_s, 1.0)
