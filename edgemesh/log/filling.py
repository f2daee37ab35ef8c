"""When a log will be full, going by the last minutes. Pure."""

from __future__ import annotations

from collections import deque

SPAN_S = 300.0
LEAST_S = 10.0


class Filling:
    """Follows the room that is left. Times are seconds of one monotonic clock.

    >>> filling = Filling()
    >>> filling.note(1_000_000, 0.0)
    >>> filling.note(990_000, 60.0)
    >>> filling.full_in_s
    5940.0
    """

    def __init__(self) -> None:
        self._notes: deque[tuple[float, int]] = deque()

    def note(self, left_bytes: int, now_s: float) -> None:
        """So many bytes are left now."""
        while self._notes and now_s - self._notes[0][0] > SPAN_S:
            self._notes.popleft()
        self._notes.append((now_s, left_bytes))

    @property
    def full_in_s(self) -> float | None:
        """Seconds until nothing is left; None: it does not fill, or nobody can tell yet."""
        if len(self._notes) < 2:
            return None
        (begin_s, begin), (now_s, left) = self._notes[0], self._notes[-1]
        if now_s - begin_s < LEAST_S or left >= begin:
            return None
        return left * (now_s - begin_s) / (begin - left)
