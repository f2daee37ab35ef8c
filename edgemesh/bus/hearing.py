"""When a link is given up because nothing comes over it any more. Pure.

A link can be dead one way only, or at a router in the middle, and nobody says so. So a broker that is silent is asked.
"""

from __future__ import annotations

import enum

CHECK_S = 0.3
ASK_CHECKS = 3
DEAD_CHECKS = 8
DEAF_CHECKS = 100
"""Checks in a row at which nothing had come; and at which messages had come but no answer: on a slow link that may have
to wait behind many messages. They are counted rather than timed: when this process was held up itself, what the broker
said waits in the socket and is read before the next check.
"""


class Step(enum.Enum):
    """What to do after a check: nothing, send a ping, give the link up."""

    WAIT = enum.auto()
    ASK = enum.auto()
    END = enum.auto()


class Hearing:
    """Judges one link, at a check every `CHECK_S`."""

    def __init__(self) -> None:
        self._silent = self._unanswered = 0
        self._arrived = 0
        self._ping_ends: int | None = None

    def heard(self) -> None:
        """Something came from the broker."""
        self._silent = 0

    def answered(self) -> None:
        """The broker has answered something that we said since the link began."""
        self._silent = self._unanswered = 0
        self._ping_ends = None

    def check(self, arrived: int, waiting: int) -> Step:
        """Judge. `arrived` are bytes of ours that the broker's host has confirmed (its TCP, not its program), rising
        and counted from anywhere, `waiting` those on their way or still here. While what we sent before the ping is
        still arriving, however slowly, silence says nothing.
        """
        gets_on, self._arrived = arrived > self._arrived, arrived
        if self._ping_ends is not None and gets_on and waiting and arrived < self._ping_ends:
            return Step.WAIT
        self._silent += 1
        self._unanswered += 1
        if self._silent >= DEAD_CHECKS or self._unanswered >= DEAF_CHECKS:
            return Step.END
        if self._unanswered % ASK_CHECKS:
            return Step.WAIT
        if self._ping_ends is None:
            self._ping_ends = arrived + waiting
        return Step.ASK
