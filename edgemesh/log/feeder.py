"""The producer's side of a log: which rows to publish next, and which nobody needs any more. Pure.

All groups hear one topic. The *live pump* publishes each row once, in order, up to a window beyond the most advanced
required group, so that a dead group doesn't stop the others. A group that misses rows asks; its *backfill pump* then
publishes again from where it stands, up to a window beyond what it is known to have.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

WINDOW = 512
GRACE_S = 0.5  # rows on their way are not sent again within this time, nor while the group gets on
PROBE_S = 2.0  # a required group that stands still for so long is sent its next row, in case it doesn't know ...
PROBE_MAX_S = 32.0  # ... and again after twice the time, up to this
OTHERS = 64  # groups that aren't required: so many of them are known at a time


@dataclass(slots=True)
class _Group:
    """What is known of one consumer group. All numbers are rows of the present epoch.

    `watermark`: it has them for good. `position`: it said it had them, and falls back when it asks for older ones.
    `next` is where its backfill pump goes on and `until` where that ends; None: no backfill. `resent` is the last row
    that was sent to it once more. `asked_s` and `stood` are when an ask was last considered, and the position then.
    """

    watermark: int = 0
    position: int = 0
    next: int | None = None
    until: int | None = None
    resent: int = 0
    asked_s: float = 0.0
    stood: int = 0
    still_at: int = -1
    still_s: float = 0.0
    patience_s: float = PROBE_S

    def backfill(self, start: int, *, until: int | None = None) -> None:
        self.next, self.until, self.resent = start, until, start - 1


class Feeder:
    """Decides what the producer of a log publishes; the caller does it and says so.

    `required` are the groups whose watermarks hold rows back from pruning. The window counts rows. `fresh`: nobody can
    have rows of this epoch that we don't know of, for it began with us.
    """

    def __init__(
        self,
        epoch: str,
        required: Iterable[str],
        *,
        head: int = 0,
        lowest: int = 1,
        window: int = WINDOW,
        fresh: bool = False,
    ) -> None:
        self.epoch = epoch
        self.window = window
        self.strange = 0  # marks and asks of rows that nobody can have
        self.rolled_back = ""  # who has rows of this epoch that are not ours: the file is older than what was public
        self._fresh = fresh
        self._required = frozenset(required)
        self._groups = {name: _Group() for name in self._required}
        self._linked = False
        self._head, self._lowest = head, lowest
        self._published = lowest - 1
        self._public = self._public_before = head  # rows up to here anybody may have: now, and before this link
        self._turn = 0

    @property
    def published_through(self) -> int:
        """The row up to which the live pump has come."""
        return self._published

    @property
    def prunable(self) -> int:
        """The row up to which all required groups have everything for good; 0 while one was never seen.

        Without required groups: up to where the live pump has come.
        """
        return min((self._groups[name].watermark for name in self._required), default=self._published)

    def watermarks(self) -> dict[str, int]:
        """How far each known group has everything for good."""
        return {name: group.watermark for name, group in self._groups.items()}

    def committed(self, head: int, lowest: int) -> None:
        """The outbox now holds the rows `lowest` to `head`."""
        self._head, self._lowest = head, lowest
        self._advance(lowest - 1)
        for group in self._groups.values():
            if group.next is not None and group.next < lowest:
                group.next = lowest
                self._close_if_done(group)

    def linked(self, up: bool) -> None:
        """The connection came or went. What no required group has is published again: the broker may have forgotten."""
        self._linked = up
        if not up:
            return
        self._public_before = self._public
        if self._required:
            self._published = max(self._best(), self._lowest - 1)
        for group in self._groups.values():
            group.resent = 0  # whoever asks now is answered at once
            if group.next is not None:
                group.backfill(self._after(group.position))
                self._close_if_done(group)

    def mark(self, group: str, epoch: str, through: int, *, retained: bool = False) -> None:
        """A consumer group has everything of `epoch` up to `through`. Another epoch's mark says nothing.

        A retained one was said before this link. One of rows that were never public says that the log had them once,
        and was put back to an older state: see `rolled_back`.
        """
        public = self._public_before if retained else self._public
        if epoch != self.epoch or not self._is_possible(group, through, public):
            return
        known = self._heard(group)
        known.watermark = max(known.watermark, through)
        known.position = max(known.position, through)
        self._advance(self._best())
        if known.until is not None and through >= known.until:
            if through == known.until:  # the probe was news to it, and nothing after it had arrived before
                known.backfill(self._after(known.position))
            known.until = None
        self._close_if_done(known)

    def ask(self, group: str, epoch: str, through: int, now_s: float) -> None:
        """A consumer group wants the rows after `through` again; of another or no epoch: all rows held.

        `now_s` is monotonic. Asking again for rows that were just sent again has no effect while the group gets on and
        for 0.5 s after, so a group should repeat an ask that nothing follows.
        """
        if epoch != self.epoch:
            through = self._lowest - 1
        elif not self._is_possible(group, through, self._public):
            return
        known, start = self._heard(group), self._after(through)
        known.patience_s = PROBE_S  # it lives
        if start <= known.resent:
            known.position = max(known.position, through)
            if known.position != known.stood:
                known.stood, known.asked_s = known.position, now_s
            if now_s - known.asked_s < GRACE_S:
                return
        known.position = known.stood = through
        known.asked_s = now_s
        self._advance(self._best())
        known.backfill(start)
        self._close_if_done(known)

    def tick(self, now_s: float) -> None:
        """Call about once a second: send a required group that stands still its next row, in case it is not aware.

        It may have lost the newest rows, or its ask was lost. If it gets on, all that it misses follows.
        """
        for name in self._required:
            group = self._groups[name]
            gets_on = group.position >= self._published or group.position != group.still_at
            if gets_on or not self._linked or self._pump(group):
                group.still_at, group.still_s, group.patience_s = group.position, now_s, PROBE_S
            elif now_s - group.still_s >= group.patience_s:
                group.still_s, group.patience_s = now_s, min(2 * group.patience_s, PROBE_MAX_S)
                start = self._after(group.position)
                group.backfill(start, until=start)
                self._close_if_done(group)

    def due(self, limit: int) -> list[range]:
        """Return the rows to publish next, at most `limit`, as ascending ranges without overlap; ask until empty.

        Nothing counts as published before `published` says so.
        """
        pumps = [self._live(), *map(self._pump, self._groups.values())] if self._linked else []
        pumps = [pump for pump in pumps if pump]
        if not pumps or limit < 1:
            return []
        # No pump waits for another: backfill and live rows share the link, and take turns at the front.
        self._turn = (self._turn + 1) % len(pumps)
        share = max(limit // len(pumps), 1)
        return _merged(pump[:share] for pump in (pumps[self._turn :] + pumps[: self._turn])[:limit])

    def published(self, seq: int) -> None:
        """The row was handed to the connection."""
        self._public = max(self._public, seq)
        if seq == self._published + 1:
            self._published = seq
        for group in self._groups.values():
            if group.next == seq:
                group.next, group.resent = seq + 1, seq
                self._close_if_done(group)

    def _live(self) -> range:
        end = self._head
        if self._required:
            end = min(end, max(self._best(), self._lowest - 1) + self.window)
        return range(self._published + 1, end + 1)

    def _pump(self, group: _Group) -> range:
        if group.next is None:
            return range(0)
        end = min(self._published, max(group.position, self._lowest - 1) + self.window)
        return range(group.next, (end if group.until is None else min(end, group.until)) + 1)

    def _best(self) -> int:
        groups = (self._groups[name] for name in self._required)
        return max((max(group.watermark, group.position) for group in groups), default=0)

    def _advance(self, through: int) -> None:
        self._published = max(self._published, through)

    def _after(self, through: int) -> int:
        return max(through + 1, self._lowest)

    def _is_possible(self, group: str, through: int, public: int) -> bool:
        if through > public:
            self.strange += 1
        if through > public and not self._fresh and group in self._required:
            self.rolled_back = self.rolled_back or f"{group} has row {through}, and {public} is the last we know of"
        return through <= public

    def _heard(self, name: str) -> _Group:
        if name in self._required:
            return self._groups[name]
        group = self._groups.pop(name, None) or _Group()
        self._groups[name] = group  # last in the dict: heard last
        if len(self._groups) > len(self._required) + OTHERS:
            del self._groups[next(other for other in self._groups if other not in self._required)]
        return group

    def _close_if_done(self, group: _Group) -> None:
        end = self._published if group.until is None else min(self._published, group.until)
        if group.next is not None and group.next > end:
            group.next = None  # `until` stays: a mark may yet show that the probe was news to the group


def _merged(ranges: Iterable[range]) -> list[range]:
    merged: list[range] = []
    for piece in sorted(ranges, key=lambda piece: piece.start):
        if merged and piece.start <= merged[-1].stop:
            merged[-1] = range(merged[-1].start, max(merged[-1].stop, piece.stop))
        else:
            merged.append(piece)
    return merged
