"""The contract of channels: how one event goes out, and what came of it."""

from __future__ import annotations

import enum
from typing import NamedTuple, Protocol

from edgemesh.notices.events import Event


class Verdict(enum.Enum):
    """What became of a try.

    Done: the other side has it. Again: it failed, or nobody knows. Later: the other side is well, but wants to wait.
    Refused: it will never take this one.
    """

    DONE = enum.auto()
    AGAIN = enum.auto()
    LATER = enum.auto()
    REFUSED = enum.auto()


class Reply(NamedTuple):
    """A verdict with what was said, and for how long the other side wants to be left alone (seconds)."""

    verdict: Verdict
    said: str = ""
    wait_s: float | None = None


class Channel(Protocol):
    """Sends one event at a time; one thread uses it."""

    def send(self, event: Event) -> Reply:
        """Send it, within the time-out; an event keeps its id. Never raises for the network's sake."""
        ...

    def rest(self) -> None:
        """Called from time to time while nothing waits: what else there is to do."""
        ...

    def close(self) -> None:
        """Let go of what is open."""
        ...
