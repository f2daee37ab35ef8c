"""The producer's side of a log: which rows to publish next, and which nobody needs any more. Pure.

All groups hear one topic. The *live pump* publishes each row once, in order, up to a window beyond the most advanced
required group, so that a dead group doesn't stop the others. A group that misses rows asks; its *backfill pump* then
publishes again from where it stands, up to a window beyond what it is known to have.

After an outage live rows must not wait behind the backlog. Then the live pump jumps to the head and begins a *live
lane*: the rows before it are sent by backfill pumps, which share the link with it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from edgemesh.log.backfill import GRACE_S, PROBE_MAX_S, PROBE_S, Group
from edgemesh.log.outbox import MAX_AHEAD, Span

__all__ = ["GRACE_S", "LANE_ROWS", "LATE_S", "OTHERS", "PROBE_MAX_S", "PROBE_S", "WINDOW", "Feeder"]

WINDOW = 512
OTHERS = 64  # groups that aren't required: so many of them are known at a time
LATE_S = 2.0  # rows that wait for longer are late
BACKLOG_FIRST = 4  # so often, once in as many times, the backlog goes before live rows
LANE_ROWS = 1_000  # so many late rows go out in order before live ones: that takes about a second


class Feeder:
    """Decides what the producer of a log publishes; the caller does it and says so.

    `required` are the groups whose watermarks hold rows back from pruning. The window counts rows. Without `lanes` rows
    go out in order, however late they are. `fresh`: nobody can have rows of this epoch that we don't know of, for it
    began with us.
    """

    def __init__(
        self,
        epoch: str,
        required: Iterable[str],
        *,
        head: int = 0,
        lowest: int = 1,
        window: int = WINDOW,
        lanes: bool = False,
        fresh: bool = False,
    ) -> None:
        self.epoch = epoch
        self.window = window
        self.strange = 0  # marks and asks of rows that nobody can have
        self.rolled_back = ""  # who has rows of this epoch that are not ours: the file is older than what was public
        self._lanes, self._fresh = lanes, fresh
        self._required = frozenset(required)
        self._groups = {name: Group() for name in self._required}
        self._linked = self._undecided = False
        self._head, self._lowest = head, lowest
        self._published = lowest - 1
        self._public = self._public_before = head  # rows up to here anybody may have: now, and before this link
        self._live = self._jumped_to = 0
        self._heads: deque[tuple[float, int]] = deque()
        self._late = head
        self._turn = self._waited = 0

    @property
    def live(self) -> int:
        """The first row that is not late: those before it waited when the link or a group came back. 0: none did."""
        return self._live

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
            for pump in (group.old, group.new):
                if pump.next is not None and pump.next < lowest:
                    pump.next = lowest
            group.close(self._published, self._live)

    def linked(self, up: bool) -> None:
        """The connection came or went. What no required group has is published again: the broker may have forgotten."""
        self._linked = up
        if not up:
            return
        self._public_before = self._public
        for group in self._groups.values():
            group.old.forget()
            group.new.forget()
        if self._required:
            self._published = max(self._best(), self._lowest - 1)
            self._undecided = True
            self._decide()
        for group in self._groups.values():
            if group.old.next is not None:
                group.old.start(self._after(group.position))
            if group.new.next is not None:
                group.new.start(self._after(group.top))
            group.close(self._published, self._live)

    def mark(self, group: str, epoch: str, through: int, ahead: Sequence[Span] = (), *, retained: bool = False) -> None:
        """A consumer group has everything of `epoch` up to `through`, and the rows `ahead` beyond it.

        Another epoch's mark says nothing. A retained one was said before this link. One of rows that were never public
        says that the log had them once, and was put back to an older state: see `rolled_back`.
        """
        public = self._public_before if retained else self._public
        if epoch != self.epoch or not self._is_possible(group, through, ahead, public):
            return
        known = self._heard(group)
        known.watermark = max(known.watermark, through)
        if through >= known.position:
            known.says(through, ahead)
        self._decide()
        self._advance(self._best())
        old = known.old
        if old.until is not None and through >= old.until:
            if through == old.until:  # the probe was news to it, and nothing after it had arrived before
                old.start(self._after(known.position))
            old.until = None
        if known.ahead and old.next is None and self._after(known.position) > old.resent:
            old.start(self._after(known.position))  # it has rows beyond: what lies before them is not on its way
        known.close(self._published, self._live)
        self._end_lane()

    def ask(self, group: str, epoch: str, through: int, now_s: float, ahead: Sequence[Span] = ()) -> None:
        """A consumer group wants the rows after `through` again, but for those `ahead`; of another epoch: all held.

        `now_s` is monotonic. Asking again for rows that were just sent again has no effect while the group gets on and
        for 0.5 s after, so a group should repeat an ask that nothing follows.
        """
        ours = epoch == self.epoch
        if not ours:
            through, ahead = self._lowest - 1, ()
        elif not self._is_possible(group, through, ahead, self._public):
            return
        known, start = self._heard(group), self._after(through)
        known.patience_s = PROBE_S  # it lives
        position = max(known.position, through) if start <= known.old.resent else through
        news = known.old.is_news(start, position, now_s)
        known.says(through if news else position, ahead)
        self._decide()
        self._advance(self._best())
        if ours and group in self._required:
            self._mark_late(start)
        if news:
            known.old.start(start)
        self._send_live_again(known, now_s)
        known.close(self._published, self._live)

    def tick(self, now_s: float) -> None:
        """Call about once a second: send a required group that stands still its next row, in case it is not aware.

        It may have lost the newest rows, or its ask was lost. If it gets on, all that it misses follows.
        """
        self._age(now_s)
        for name in self._required:
            group = self._groups[name]
            busy = not self._linked or bool(self._again(group)[0])
            if group.stands_still(now_s, self._published, busy=busy):
                start = self._after(group.position)
                group.old.start(start, until=start)
                group.close(self._published, self._live)

    def due(self, limit: int) -> list[range]:
        """Return the rows to publish next, at most `limit`, as ranges without overlap; ask until empty.

        Those of the live lane come first three times out of four, else they ascend: where the link bears no more than
        the live rows, the backlog would wait for ever. Nothing counts as published before `published` says so.
        """
        pumps = [self._live_rows()] if self._linked else []
        for group in self._groups.values() if self._linked else ():
            pumps += self._again(group) if group.is_served else ()
        pumps = [pump for pump in pumps if pump]
        if not pumps or limit < 1:
            return []
        # No pump waits for another: backfill and live rows share the link, and take turns at the front.
        self._turn = (self._turn + 1) % len(pumps)
        share = max(limit // len(pumps), 1)
        rows = _merged(pump[:share] for pump in (pumps[self._turn :] + pumps[: self._turn])[:limit])
        if not self._live or rows[0].start >= self._live or rows[-1].start < self._live:
            return rows
        self._waited = (self._waited + 1) % BACKLOG_FIRST
        return sorted(rows, key=lambda piece: piece.start < self._live) if self._waited else rows

    def published(self, seq: int) -> None:
        """The row was handed to the connection."""
        self._public = max(self._public, seq)
        if seq == self._published + 1:
            self._published = seq
        for group in self._groups.values():
            if group.is_served:
                group.sent(seq, self._published, self._live)

    # -- the live lane ------------------------------------------------------------------------------------------------

    def _decide(self) -> None:
        """Once per link, as soon as a required group is known: say which rows are late, and jump over them if many."""
        known = [self._groups[name] for name in self._required if self._groups[name].heard]
        if not self._undecided or not known:
            return
        self._undecided = False
        base = max(self._best(), self._lowest - 1)
        if not self._lanes or base >= self._head or base + 1 > self._late:
            return
        self._live = self._head + 1
        if self._head - base > LANE_ROWS and all(len(group.ahead) < MAX_AHEAD for group in known):
            self._published = self._jumped_to = self._head
            for group in known:
                if group.position < self._head:
                    group.old.start(self._after(group.position))

    def _mark_late(self, start: int) -> None:
        """A group came back and lacks rows from `start` on: if they are late, what is published from now on is live."""
        if self._lanes and self._live <= start <= min(self._late, self._published):
            self._live = self._published + 1

    def _send_live_again(self, group: Group, now_s: float) -> None:
        """Besides its hole, send a group again what follows the last row it has; of a lane unknown to it, one row."""
        start = max(group.top + 1, self._live if self._live > group.position + 1 else 0, self._lowest)
        if not group.ahead and start != self._live:
            group.new.next = None
        elif start <= self._published and group.new.is_news(start, start, now_s):
            group.new.start(start, until=None if group.ahead else start)

    def _end_lane(self) -> None:
        """Nothing is late any more once all required groups that live have what was."""
        known = [self._groups[name].position for name in self._required if self._groups[name].heard]
        if self._live and min(known, default=0) + 1 >= self._live:
            self._live = 0

    def _age(self, now_s: float) -> None:
        heads = self._heads
        heads.append((now_s, self._head))
        while len(heads) > 1 and now_s - heads[1][0] >= LATE_S:
            heads.popleft()
        if now_s - heads[0][0] >= LATE_S:
            self._late = heads[0][1]

    # -- pumps --------------------------------------------------------------------------------------------------------

    def _live_rows(self) -> range:
        end = self._head
        if self._required:
            end = min(end, max(self._best(), self._lowest - 1, self._jumped_to) + self.window)
        return range(self._published + 1, end + 1)

    def _again(self, group: Group) -> list[range]:
        return group.pumps(self._published, self._live, self._lowest, self.window)

    def _best(self) -> int:
        groups = (self._groups[name] for name in self._required)
        return max((max(group.watermark, group.top) for group in groups), default=0)

    def _advance(self, published: int) -> None:
        self._published = max(self._published, min(published, self._head))

    def _after(self, through: int) -> int:
        return max(through + 1, self._lowest)

    def _is_possible(self, group: str, through: int, ahead: Sequence[Span], public: int) -> bool:
        top = max([through, *(last for _, last in ahead)])
        if top > public:
            self.strange += 1
        if top > public and not self._fresh and group in self._required:
            self.rolled_back = self.rolled_back or f"{group} has row {top}, and {public} is the last we know of"
        return top <= public

    def _heard(self, name: str) -> Group:
        if name in self._required:
            return self._groups[name]
        group = self._groups.pop(name, None) or Group()
        self._groups[name] = group  # last in the dict: heard last
        if len(self._groups) > len(self._required) + OTHERS:
            del self._groups[next(other for other in self._groups if other not in self._required)]
        return group


def _merged(ranges: Iterable[range]) -> list[range]:
    merged: list[range] = []
    for piece in sorted(ranges, key=lambda piece: piece.start):
        if merged and piece.start <= merged[-1].stop:
            merged[-1] = range(merged[-1].start, max(merged[-1].stop, piece.stop))
        else:
            merged.append(piece)
    return merged
