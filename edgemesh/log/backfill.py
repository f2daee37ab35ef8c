"""What the producer of a log knows of one consumer group, and which rows it publishes again for it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from edgemesh.log.outbox import Span

GRACE_S = 0.5  # rows on their way are not sent again within this time, nor while the group gets on ...
GRACE_MAX_S = 8.0  # ... and after twice the time when that was for nothing, up to this: a broker may be slow
PROBE_S = 2.0  # a required group that stands still for so long is sent its next row, in case it doesn't know ...
PROBE_MAX_S = 32.0  # ... and again after twice the time, up to this


@dataclass(slots=True)
class Pump:
    """Publishes rows again, from `next` on; None: nothing is wanted. It ends at `until`, if that is given.

    `resent` is the last row that was sent once more. `asked_s` and `stood` are when an ask was last considered, and how
    far the group was then. `grace_s` is how long rows sent again are given to arrive.
    """

    next: int | None = None
    until: int | None = None
    resent: int = 0
    asked_s: float = 0.0
    stood: int = 0
    grace_s: float = GRACE_S

    def start(self, at: int, *, until: int | None = None) -> None:
        """Go on from this row."""
        self.next, self.until, self.resent = at, until, at - 1

    def forget(self) -> None:
        """What was sent again may be lost: whoever asks now is answered at once."""
        self.resent, self.grace_s = 0, GRACE_S

    def is_news(self, start: int, position: int, now_s: float) -> bool:
        """Whether an ask for `start` by a group at `position` wants more than what was just sent again."""
        if start <= self.resent:
            if position != self.stood:
                self.stood, self.asked_s = position, now_s
            if now_s - self.asked_s < self.grace_s:
                return False
            self.grace_s = min(2 * self.grace_s, GRACE_MAX_S)
        else:
            self.grace_s = max(self.grace_s / 2, GRACE_S)
        self.stood, self.asked_s = position, now_s
        return True

    def rows(self, end: int) -> range:
        """The rows that are due, none beyond `end`."""
        if self.next is None:
            return range(0)
        return range(self.next, (end if self.until is None else min(end, self.until)) + 1)

    def published(self, seq: int) -> None:
        """The row went out."""
        if self.next == seq:
            self.next, self.resent = seq + 1, seq

    def close_beyond(self, end: int) -> None:
        """Stop when all up to `end` is done."""
        if self.next is not None and self.next > (end if self.until is None else min(end, self.until)):
            self.next = None  # `until` stays: a mark may yet show that a probe was news to the group


@dataclass(slots=True)
class Group:
    """What is known of one consumer group. All numbers are rows of the present epoch.

    `watermark`: it has them for good. `position` and `ahead`: it said it had them, and falls back when it asks for
    older ones. `old` fills its first hole, `new` sends again what follows the last row it has. `heard`: it said
    anything at all.
    """

    watermark: int = 0
    position: int = 0
    ahead: tuple[Span, ...] = ()
    heard: bool = False
    old: Pump = field(default_factory=Pump)
    new: Pump = field(default_factory=Pump)
    still_at: int = -1
    still_s: float = 0.0
    patience_s: float = PROBE_S

    @property
    def is_served(self) -> bool:
        """Whether rows are being sent to it again."""
        return self.old.next is not None or self.new.next is not None

    @property
    def top(self) -> int:
        """The last row of all that it said it had."""
        return self.ahead[-1][1] if self.ahead else self.position

    def says(self, through: int, ahead: Sequence[Span]) -> None:
        """Take its word for what it has."""
        self.position, self.heard = through, True
        self.ahead = tuple(span for span in ahead if span[0] > through + 1)

    def hole_end(self, published: int, live: int) -> int:
        """The last row of its first hole, as far as rows were published; `live` is the first row of the live lane."""
        if self.ahead:
            return min(self.ahead[0][0] - 1, published)
        return min(live - 1, published) if live > self.position + 1 else published

    def pumps(self, published: int, live: int, lowest: int, window: int) -> list[range]:
        """The rows that are due to it again: those of its hole, and those of the live lane."""
        old = min(self.hole_end(published, live), max(self.position, lowest - 1) + window)
        new = min(published, max(self.top, live - 1) + window)
        return [self.old.rows(old), self.new.rows(new)]

    def sent(self, seq: int, published: int, live: int) -> None:
        """The row went out."""
        self.old.published(seq)
        self.new.published(seq)
        self.close(published, live)

    def close(self, published: int, live: int) -> None:
        """Stop the pumps that are done."""
        self.old.close_beyond(self.hole_end(published, live))
        self.new.close_beyond(published)

    def stands_still(self, now_s: float, published: int, *, busy: bool) -> bool:
        """Whether it has not got on for so long that it must be probed now; the next time it is given twice as long."""
        if self.position >= published or self.position != self.still_at or busy:
            self.still_at, self.still_s, self.patience_s = self.position, now_s, PROBE_S
        elif now_s - self.still_s >= self.patience_s:
            self.still_s, self.patience_s = now_s, min(2 * self.patience_s, PROBE_MAX_S)
            return True
        return False
