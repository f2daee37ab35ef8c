"""Deciding: from a stream of observations to raise, hold and clear, with hysteresis and debounce."""

from __future__ import annotations

import enum

import msgspec

from edgemesh.model.samples import Retimed


class Seen(enum.IntEnum):
    """Where one value lies: beyond the level, between clear level and level, or within the clear level."""

    WITHIN = 0
    BETWEEN = 1
    BEYOND = 2


# What the time between two observations does to the time spent towards the next move, by (firing, observation).
_PULL: dict[tuple[bool, Seen], int] = {
    (False, Seen.BEYOND): 1,
    (False, Seen.BETWEEN): -1,
    (False, Seen.WITHIN): -1,
    (True, Seen.WITHIN): 1,
    (True, Seen.BETWEEN): -1,
    (True, Seen.BEYOND): -1,
}


class Switch(msgspec.Struct, omit_defaults=True):
    """The state of one decision. `spent` is the time or the steps on the way to the next move; it leaks back.

    >>> switch = Switch()
    >>> [switch.step(Seen.BEYOND, 1, hold=2, clear_hold=1, at_ns=t) for t in (10, 11, 12)]
    [None, None, True]
    >>> switch.onset_at_ns
    10
    >>> [switch.step(Seen.WITHIN, 1, hold=2, clear_hold=1, at_ns=t) for t in (13, 14)]
    [None, False]

    Source: OnDelay, OffDelay and AlarmDeadband of OPC UA Part 9, with leaking instead of resetting delays.
    """

    firing: bool = False
    spent: int = 0
    seen: Seen | None = None
    last_ns: int = 0
    onset_at_ns: int = 0

    @property
    def idle(self) -> bool:
        """True when nothing is firing and nothing is on its way."""
        return not self.firing and self.spent == 0 and self.seen is not Seen.BEYOND

    def step(self, seen: Seen, elapsed: int, *, hold: int, clear_hold: int, at_ns: int) -> bool | None:
        """Take one observation, `elapsed` after the last one; return True when it raises, False when it clears.

        What was seen last is taken to have lasted until now. `hold` and `clear_hold` have the unit of `elapsed`.
        """
        if self.seen is not None:
            self.spent = max(0, self.spent + _PULL[self.firing, self.seen] * elapsed)
        if not self.firing and seen is Seen.BEYOND and self.spent == 0 and self.seen is not Seen.BEYOND:
            self.onset_at_ns = at_ns
        self.seen, self.last_ns = seen, at_ns
        if _PULL[self.firing, seen] > 0 and self.spent >= (clear_hold if self.firing else hold):
            self.firing = not self.firing
            self.spent = 0
            return self.firing
        return None

    def put_right(self, retimed: Retimed) -> None:
        """The clock is known now: go on as if it had been right all the time."""
        self.last_ns, self.onset_at_ns = retimed.at(self.last_ns), retimed.at(self.onset_at_ns)

    def lose_sight(self) -> None:
        """Hold everything as it is: nothing counts until the next observation."""
        self.seen = None
