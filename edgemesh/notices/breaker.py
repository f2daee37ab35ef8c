"""The circuit breaker: a remote part that keeps failing is left alone for a while, then tried once.

Pure: it knows no clock, times are told to it (seconds of any clock that never goes back).
"""

from __future__ import annotations

import enum

MOST_FAILURES = 5
OPEN_S = 30.0


class State(enum.StrEnum):
    """Closed: all goes out. Open: nothing does. Half-open: one trial is under way, or may be."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """Opens for `open_s` after `most` failures in a row; then one trial decides.

    Ask `allows` before each call; where it says yes, call `begin`, then `succeed` or `fail`. A trial of which nothing
    is heard for `open_s` counts as none.
    """

    def __init__(self, *, most: int = MOST_FAILURES, open_s: float = OPEN_S) -> None:
        self._most, self._open_s = most, open_s
        self.failures = 0
        self._until_s: float | None = None
        self._trial_s: float | None = None

    def state(self, now_s: float) -> State:
        """Where it stands."""
        if self._until_s is None:
            return State.CLOSED
        return State.OPEN if now_s < self._until_s else State.HALF_OPEN

    def allows(self, now_s: float) -> bool:
        """Whether a call may begin now."""
        state = self.state(now_s)
        if state is not State.HALF_OPEN:
            return state is State.CLOSED
        return self._trial_s is None or now_s - self._trial_s >= self._open_s

    def wait_s(self, now_s: float) -> float:
        """How long until a call may begin, if nothing is heard before; 0: now."""
        if self.allows(now_s):
            return 0.0
        due_s = self._until_s if self._trial_s is None else self._trial_s + self._open_s
        return max((due_s or 0.0) - now_s, 0.0)

    def begin(self, now_s: float) -> None:
        """A call begins; while half-open it is the trial."""
        if self.state(now_s) is State.HALF_OPEN:
            self._trial_s = now_s

    def succeed(self) -> None:
        """The call was answered: all is well."""
        self.failures, self._until_s, self._trial_s = 0, None, None

    def fail(self, now_s: float) -> None:
        """The call was not answered, or with an error of the other side."""
        self.failures += 1
        if self.failures >= self._most:
            self._until_s = now_s + self._open_s
        self._trial_s = None
