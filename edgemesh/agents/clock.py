"""Clocks that a runtime can be given: the system's, or the time of the data it plays."""

from __future__ import annotations

import time
from typing import Protocol

REBASE_NS = 60_000_000_000


class Clock(Protocol):
    """UTC in integer nanoseconds, as the agent sees it."""

    def now_ns(self) -> int:
        """The time now; never goes back."""
        ...

    def observe(self, at_ns: int) -> bool:
        """Take note that data of this time is about to be handled; True when that moves the clock."""
        ...

    def stamp(self, at_ns: int) -> int:
        """The time to write on what came about at `at_ns` and is committed now."""
        ...


class SystemClock:
    """The machine's clock. Steps back are held flat, so that a tick never goes back."""

    def __init__(self) -> None:
        self._latest = 0

    def now_ns(self) -> int:
        """The machine's time, or the latest one given if the machine's clock was set back."""
        self._latest = max(self._latest, time.time_ns())
        return self._latest

    def observe(self, at_ns: int) -> bool:
        """Data does not move the machine's clock."""
        return False

    def stamp(self, at_ns: int) -> int:
        """The time of the commit."""
        return self.now_ns()


class DataClock:
    """The time of the newest data handled: a recorded day passes at the speed at which it is played.

    Data that is more than REBASE_NS older than the newest begins another recording: time goes on from where it was, by
    what passes in that one.
    """

    def __init__(self) -> None:
        self._latest = 0
        self._ahead = 0

    def now_ns(self) -> int:
        """The newest time observed, 0 before the first."""
        return self._latest

    def observe(self, at_ns: int) -> bool:
        """Move on to this time, never back."""
        if at_ns + self._ahead < self._latest - REBASE_NS:
            self._ahead = self._latest - at_ns
            return True
        moved = at_ns + self._ahead > self._latest
        self._latest = max(self._latest, at_ns + self._ahead)
        return moved

    def stamp(self, at_ns: int) -> int:
        """The time of the data."""
        return at_ns
