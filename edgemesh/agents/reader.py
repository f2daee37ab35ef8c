"""The consumer's side of an agent: what it has of each log, what it lacks, and who gave it to us to read."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence

from edgemesh.agents.roles import WRITERS_OF, RoleTraits
from edgemesh.bus.contract import Bus
from edgemesh.log.journal import Cursor
from edgemesh.model.agents import Card, Owners, Presence, Watermark
from edgemesh.model.alerts import Alert
from edgemesh.wire import codec
from edgemesh.wire.topics import Topics

ASK_AGAIN_S = 0.5
SAY_EVERY_S = 0.02
"""Watermarks are said no more often than this: one tells all that was taken in since the last."""
MOVED_S = 1.5
"""After so long without a link what we own may be another's."""
DOUBT_S = 2.0
"""After the link is back the map of owners is waited for no longer than this."""
REHEARSED_ROWS = 2_000
"""Of what the owner before us has taken in we ask for so many rows: enough to know how the machines stand, and some ten
seconds of work while nothing is said."""
NO_CURSOR = Cursor("", 0)


class Reader:
    """Publishes our watermarks, and asks producers for the rows that we lack. Event loop only."""

    def __init__(
        self, bus: Bus, topics: Topics, cursors: Mapping[str, Cursor], *, group: str, traits: RoleTraits
    ) -> None:
        self._bus, self._topics, self._group, self._traits = bus, topics, group, traits
        self._positions: dict[str, Cursor] = dict(cursors)
        self._heads: dict[str, tuple[str, int]] = {}
        self._asked: dict[str, tuple[Cursor, float]] = {}
        self._unsaid: set[str] = set()
        self._saying: asyncio.TimerHandle | None = None
        self._chased: dict[str, Cursor] = {}
        self._owned: set[str] = set()
        self._owners_epoch = -1
        self._away_s = self._doubt_until_s = 0.0
        self._alerts: dict[str, Alert | bytes] = {}
        self._marks: dict[str, Cursor] = {}
        self._leaving: Counter[str] = Counter()
        self._rehearsed: dict[str, Cursor] = {}

    # -- watermarks and asks ------------------------------------------------------------------------------------------

    def moved(self, marks: Mapping[str, Cursor], left: Iterable[str] = ()) -> None:
        """Publish cursors that are on the disk now, at once or within SAY_EVERY_S.

        `left` are logs that the engine has left with this step, see `forget`; until then what it says of one is of the
        time before.
        """
        self._leaving -= Counter(left)
        ours = {agent: cursor for agent, cursor in marks.items() if agent not in self._leaving}
        self._positions.update(ours)
        self._unsaid.update(ours)
        if self._unsaid and self._saying is None:
            self.say()
            self._saying = asyncio.get_running_loop().call_later(SAY_EVERY_S, self._say_again)

    def position(self, agent: str) -> Cursor | None:
        """How far we are in a log, on the disk; None: nothing of it was taken yet."""
        return self._positions.get(agent)

    def say(self) -> None:
        """Publish the cursors that moved since they were published last."""
        for agent in list(self._unsaid):
            self._announce(agent, self._positions.get(agent, NO_CURSOR))

    def _say_again(self) -> None:
        self._saying = None
        if self._bus.linked:  # else it is said once the link is back
            self.moved({})

    def ask(self, agent: str, now_s: float, *, force: bool = False) -> None:
        """Ask a producer for what follows our cursor; the same wish is not said again within half a second."""
        cursor = self._positions.get(agent, NO_CURSOR)
        asked, at_s = self._asked.get(agent, (None, 0.0))
        if not force and asked == cursor and now_s - at_s < ASK_AGAIN_S:
            return
        self._asked[agent] = (cursor, now_s)
        self._say(agent, cursor, resend=True)

    def _announce(self, agent: str, cursor: Cursor) -> None:
        said = self._say(agent, cursor, resend=False)
        (self._unsaid.discard if said else self._unsaid.add)(agent)

    def _say(self, agent: str, cursor: Cursor, *, resend: bool) -> bool:
        if self._traits.local:
            return True  # nobody else has to know how far we are
        # A later mark says all that an earlier one did: on a slow link there is no use in sending every one of them.
        mark = Watermark(epoch=cursor.epoch, through=cursor.through, ahead=cursor.ahead, resend=resend)
        topic = self._topics.watermark(agent, self._group)
        retain = not resend and not self._is_rehearsed(agent, cursor)
        return self._bus.publish(topic, codec.encode(mark), retain=retain, bulk=not resend)

    def _is_rehearsed(self, agent: str, cursor: Cursor) -> bool:
        """Whether the owner before us has come further: then its mark is the one that has to stay."""
        through = self._rehearsed.get(agent)
        return through is not None and cursor.is_behind(through)

    def unlinked(self, now_s: float) -> None:
        """We hear nothing and nobody hears us."""
        self._away_s = now_s

    def in_doubt(self, now_s: float) -> bool:
        """Whether the logs that we own may be another's by now: the map of owners has not come since we were away."""
        return now_s < self._doubt_until_s

    def linked(self, now_s: float) -> None:
        """After a reconnect the broker may have forgotten everything: say our cursors again, and what we lack."""
        if self._owned and now_s - self._away_s > MOVED_S:
            self._doubt_until_s = now_s + DOUBT_S
        else:
            self._say_all(now_s)

    def _say_all(self, now_s: float) -> None:
        for agent, cursor in self._positions.items():
            if self._reads(agent):
                self._announce(agent, cursor)
                self.ask(agent, now_s, force=True)

    def saw(self, card: Card, now_s: float) -> None:
        """Take note of how far a producer's log reaches; ask at once for a log that is new to us."""
        if card.state is not Presence.UP or not card.epoch or not self._follows(card):
            return
        new = card.agent not in self._heads or self._heads[card.agent][0] != card.epoch
        self._heads[card.agent] = (card.epoch, card.head)
        if new and card.head and self._reads(card.agent):
            self.ask(card.agent, now_s)

    def chase(self, now_s: float, *, but: Container[str] = ()) -> None:
        """Say what the bus had no room for, and ask for rows that we lack where nothing came since the last chase.

        The logs `but` are left alone: what comes of them can't be read, and their producers ask for themselves.
        """
        self.say()
        for agent, (epoch, head) in self._heads.items():
            cursor, before = self._positions.get(agent, NO_CURSOR), self._chased.get(agent)
            self._chased[agent] = cursor
            if before is None or before.epoch != cursor.epoch or not head or agent in but or not self._reads(agent):
                continue
            # Each lane must get on by itself: the older rows behind a hole, and the newest ones.
            stands = before.through == cursor.through and (cursor.through < head or cursor.epoch != epoch)
            stands |= before.top == cursor.top < head
            if stands:
                self.ask(agent, now_s)

    def _follows(self, card: Card) -> bool:
        return any(card.role in WRITERS_OF[kind] for kind in self._traits.follows)

    def _reads(self, agent: str) -> bool:
        return agent in self._owned if self._traits.owned else True

    # -- ownership ----------------------------------------------------------------------------------------------------

    def own(self, owners: Owners, name: str, now_s: float = 0.0) -> tuple[Sequence[str], Sequence[str]]:
        """Take a new map of owners; return the gateways that are now ours, and those that are ours no more."""
        doubted = self.in_doubt(now_s)
        self._doubt_until_s = 0.0
        if owners.epoch <= self._owners_epoch:
            if doubted:
                self._say_all(now_s)
            return (), ()
        self._owners_epoch = owners.epoch
        ours = {gateway for gateway, owner in owners.owners.items() if owner == name}
        # What was ours before we were down is on the disk; it may be another's by now.
        gained, lost = sorted(ours - self._owned), sorted((self._owned | self._positions.keys()) - ours)
        self._owned = ours
        if not doubted:
            self.say()  # while we still have a word on what is lost
        for gateway in lost:
            self.forget(gateway)
        if doubted:
            self._say_all(now_s)
        return gained, lost

    def forget(self, gateway: str) -> None:
        """Have no cursor in this log any more. The engine, which is to leave it, says when it has; see `moved`."""
        self._leaving[gateway] += 1
        self._rehearsed.pop(gateway, None)
        self._positions.pop(gateway, None)
        self._asked.pop(gateway, None)
        self._unsaid.discard(gateway)

    def begin(self, gateway: str, through: Cursor | None) -> Cursor | None:
        """Begin with a log in which the owner before us has come so far; return after which row. None: the oldest."""
        self.forget(gateway)
        if through is None:
            return None
        self._rehearsed[gateway] = through
        if through.through <= REHEARSED_ROWS:
            return None
        self._positions[gateway] = since = Cursor(through.epoch, through.through - REHEARSED_ROWS)
        return since

    def owns(self, gateway: str) -> bool:
        """Whether the gateway's log is ours to read now."""
        return gateway in self._owned

    def may_read(self, gateway: str, now_s: float) -> bool:
        """Whether what comes of the gateway's log is for us: it is ours, and we are sure of that."""
        return gateway in self._owned and not self.in_doubt(now_s)

    def open_alert(self, alert_id: str, alert: Alert | bytes | None) -> None:
        """Take note of what stands on a retained alert topic; bytes are our own, decoded only when asked for."""
        if alert is None:
            self._alerts.pop(alert_id, None)
        else:
            self._alerts[alert_id] = alert

    def open_alerts(self, gateway: str) -> Sequence[Alert]:
        """The alerts that stand open on a gateway's assets."""
        for alert_id, alert in self._alerts.items():
            if isinstance(alert, bytes):
                self._alerts[alert_id] = codec.decode_alert(alert, id=alert_id)
        return [alert for alert in self._alerts.values() if isinstance(alert, Alert) and alert.gateway == gateway]

    def marked(self, gateway: str, mark: Watermark) -> None:
        """Take note of how far our group is in a gateway's log, whoever of it said so.

        A mark that falls back is of an owner who rehearses: the one before it has come further.
        """
        said = Cursor(mark.epoch, mark.through, mark.ahead)
        if not mark.resend and not said.is_behind(self._marks.get(gateway, NO_CURSOR)):
            self._marks[gateway] = said

    def predecessor(self, gateway: str) -> tuple[bool, Cursor | None]:
        """Whether we begin with this gateway, rather than go on, and how far the owner before us has come.

        We begin where we have no cursor, and where another has got further than ours while we were away.
        """
        ours, mark = self._positions.get(gateway), self._marks.get(gateway)
        return ours is None or (mark is not None and ours.is_behind(mark)), mark
