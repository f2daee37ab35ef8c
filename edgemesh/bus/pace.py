"""How many bytes of bulk may be under way to a broker, so that what is urgent never waits long behind them. Pure.

A slow link has a long queue somewhere, which TCP fills. Whatever is sent then waits behind all of it, a heartbeat or an
alert as well. So bulk is sent only as far ahead as gets through in about half a second: what lies ahead of a message,
over the time until its acknowledgement, is the rate of the way (Little's law).
"""

from __future__ import annotations

import math

FIRST_BYTES = 4_096
LEAST_BYTES = 2_048
MOST_BYTES = 4 * 1024 * 1024
TARGET_S = 0.5
"""A message of bulk should be acknowledged within this, or twice the least time that it ever took on this link."""

SPARE_S = 0.1
"""Where the newest answer took no longer than this, or twice the least time, there is room to spare."""


class Pace:
    """The room of one link. A message counts as under way from `sent` to `acknowledged`.

    `under_way` and `room` are bytes. Instants are seconds of one monotonic clock.
    """

    def __init__(self) -> None:
        self.room = FIRST_BYTES
        self.under_way = 0
        self._messages: dict[int, tuple[int, int, float]] = {}
        self._least_s = math.inf
        self._newest_s = 0.0

    @property
    def is_open(self) -> bool:
        """Whether another message of bulk may be sent; one alone always may, however large it is."""
        return self.under_way < self.room

    @property
    def has_spare(self) -> bool:
        """Whether what nobody waits for may be sent: little is under way, and answers come at once."""
        return 4 * self.under_way <= self.room and self._newest_s <= max(SPARE_S, 2 * self._least_s)

    def sent(self, number: int, size: int, now_s: float) -> None:
        """Message `number` of `size` bytes is under way, urgent or not."""
        self.under_way += size
        self._messages[number] = (size, self.under_way, now_s)

    def acknowledged(self, number: int, now_s: float) -> None:
        """The broker has the message; what is not under way is ignored."""
        if number not in self._messages:
            return
        size, ahead, sent_s = self._messages.pop(number)
        took_s = now_s - sent_s
        self.under_way -= size
        self._least_s, self._newest_s = min(self._least_s, took_s), took_s
        target_s = max(TARGET_S, 2 * self._least_s)
        if took_s > target_s:
            self.room = max(LEAST_BYTES, min(self.room, int(ahead * target_s / took_s)))
        elif ahead > self.room / 2:  # it was the room that held us back; the nearer to the target, the less it grows
            self.room = min(MOST_BYTES, self.room + int(size * (1 - took_s / target_s)))
