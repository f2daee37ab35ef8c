"""What an agent hears on the bus, and what becomes of it: an item for its core, a mark or a card, or a refusal."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator, Sequence
from typing import Protocol

from edgemesh.agents.feed import Feed
from edgemesh.agents.items import Given, Heard, Item, Met, Settle, Taken
from edgemesh.agents.namesakes import Namesakes
from edgemesh.agents.presence import PresenceTracker
from edgemesh.agents.reader import Reader
from edgemesh.agents.roles import RoleTraits
from edgemesh.agents.storage import Storage
from edgemesh.bus.contract import Bus, Message
from edgemesh.errors import Rejected
from edgemesh.model.agents import Card, Presence
from edgemesh.model.alerts import Alert
from edgemesh.wire import codec
from edgemesh.wire.topics import Kind, Topics, parse

logger = logging.getLogger(__name__)

RETURN_S = 2.0
"""After a broker is back its clients come back within this; until then their silence says nothing."""


class Host(Protocol):
    """Whose ears they are."""

    name: str

    def offer(self, item: Item) -> None:
        """Take an item over for the next step."""

    def notice(self, cards: Sequence[Card]) -> None:
        """Have the core hear of agents that came, went or changed; of none nothing is heard."""

    def refuse(self, reason: str, origin: str, payload: bytes, detail: str = "", settle: Settle | None = None) -> None:
        """Keep what breaks the rules, and settle it then."""

    def wake(self) -> None:
        """Look whether something is due."""

    def expect_long(self) -> None:
        """What was just offered takes long."""


class Ears:
    """Subscribes to what an agent of these traits follows, and takes each message in. Event loop only.

    `shown` are the payloads of retained topics that are our own, by topic.
    """

    def __init__(
        self,
        host: Host,
        bus: Bus,
        topics: Topics,
        traits: RoleTraits,
        *,
        group: str,
        reader: Reader,
        storage: Storage,
        feed: Feed | None,
    ) -> None:
        self.shown: dict[str, bytes] = {}
        self._host = host
        self._bus, self._topics, self._traits, self._group = bus, topics, traits, group
        self._reader, self._storage, self._feed = reader, storage, feed
        self._moved_s = -RETURN_S  # when gateways changed hands last: an alert of ours may come back as another's then
        self._troubles: dict[str, tuple[str, int]] = {}
        self._presence = PresenceTracker(me=host.name)
        self._namesakes = Namesakes()

    @property
    def namesakes(self) -> int:
        """Names under which two agents run."""
        return len(self._namesakes.found)

    def open(self) -> None:
        """Subscribe; before the bus is opened."""
        topics, traits, subscribe = self._topics, self._traits, self._bus.subscribe
        if self._feed:
            subscribe(topics.watermark(self._host.name, "+"), self._hear_watermark)
        if traits.owned:
            subscribe(topics.alert("+"), self._hear_alert)
            subscribe(topics.watermark("+", self._group), self._hear_mark)
            subscribe(topics.owners(), self._hear_owners)
        elif traits.local:
            subscribe(topics.log("alerts", "+"), self._hear_review)
        else:
            for kind in traits.follows:
                subscribe(topics.log(kind, "+"), self._hear_log)
        if traits.keeps_spans:
            subscribe(topics.spans("+"), self._hear_plain)
        if traits.offered:
            subscribe(topics.model_state("+"), self._hear_plain)  # first: it says how an offer has ended
            subscribe(topics.model("+"), self._hear_plain)
            subscribe(topics.verdicts("+"), self._hear_plain)
        if traits.hears_answers:
            subscribe(topics.answer("+"), self._hear_answer)
        if traits.hears_answers or traits.owned:
            subscribe(topics.command(self._host.name), self._hear_command)
        if traits.watches_cards or (traits.follows and not traits.local):
            subscribe(topics.card("+"), self._hear_card)

    def pardon(self) -> None:
        """We were away: others' silence says nothing for a while."""
        self._presence.pardon(time.monotonic() + RETURN_S)

    def notice_silence(self, now_s: float) -> None:
        """Have the core hear of agents that are silent for too long."""
        self._host.notice(self._presence.sweep(now_s))

    @contextlib.contextmanager
    def _refusing(self, message: Message) -> Iterator[None]:
        """Turn a message that breaks the rules into a counted refusal; it is settled once that is on the disk."""
        try:
            yield
        except Rejected as rejected:
            self._host.refuse(rejected.reason, message.topic, message.payload, rejected.detail, message.settle)

    def _hear_log(self, message: Message) -> None:
        with self._refusing(message):
            address = parse(message.topic)
            if self._traits.owned and not self._reader.may_read(address.name, time.monotonic()):
                message.settle()  # on its way while the log became another's; asked for again if it is ours
                return
            self._host.offer(Heard(address.kind, address.name, message.topic, message.payload, message.settle))

    def _hear_answer(self, message: Message) -> None:
        with self._refusing(message):
            name = parse(message.topic).name
            self._host.offer(Heard("answers", name, message.topic, message.payload, message.settle))

    def _hear_command(self, message: Message) -> None:
        if message.retained:  # it would come at every connect
            message.settle()
        else:
            self._hear_plain(message)

    def _hear_plain(self, message: Message) -> None:
        if not message.payload:
            message.settle()
            return
        with self._refusing(message):
            address = parse(message.topic)
            if address.kind is Kind.MODEL:
                self._host.expect_long()
            self._host.offer(Heard(address.kind, address.name, message.topic, message.payload, message.settle))

    def _hear_watermark(self, message: Message) -> None:
        assert self._feed is not None
        if not message.payload:
            message.settle()
            return
        with self._refusing(message):
            self._feed.heard(parse(message.topic).second, message.payload, time.monotonic(), retained=message.retained)
            message.settle()
            self._host.wake()

    def _hear_card(self, message: Message) -> None:
        if not message.payload:
            message.settle()
            return
        with self._refusing(message):
            card = codec.decode_card(message.payload, agent=parse(message.topic).name)
            now_s = time.monotonic()
            self._storage.saw(card, retained=message.retained)
            self._reader.saw(card, now_s)
            if self._namesakes.hear(card, retained=message.retained):
                logger.error(
                    "%s: two agents run under the name %s and push each other off the bus; stop one or rename it "
                    "(nothing is lost: each keeps a log of its own)", self._host.name, card.agent,
                )  # fmt: skip
            if self._traits.owned:
                self._hear_trouble(card)
            if self._traits.watches_cards:
                self._host.notice(self._presence.see(card, retained=message.retained, now_s=now_s))
            message.settle()

    def _hear_trouble(self, card: Card) -> None:
        """Have the core hear of a gateway of ours that is in trouble with its log, or no more."""
        trouble = (card.trouble, card.lost)
        if card.state is Presence.UP and self._reader.owns(card.agent) and self._troubles.get(card.agent) != trouble:
            self._troubles[card.agent] = trouble
            self._host.notice([card])

    def _hear_alert(self, message: Message) -> None:
        with self._refusing(message):
            alert_id = parse(message.topic).name
            calm = time.monotonic() - self._moved_s > RETURN_S
            if calm and message.payload and self.shown.get(message.topic) == message.payload:  # the echo of our own
                self._reader.open_alert(alert_id, message.payload)
                message.settle()
                return
            alert = codec.decode_alert(message.payload, id=alert_id) if message.payload else None
            self._reader.open_alert(alert_id, alert)
            if alert is not None and self._reader.owns(alert.gateway):
                self._host.offer(Met(alert))
            message.settle()

    def _hear_review(self, message: Message) -> None:
        """Have the core hear what detectors of the site say of alerts like its own."""
        with self._refusing(message):
            pack = codec.decode_pack(message.payload, kind="alerts", agent=parse(message.topic).name)
            for alert in pack.records:
                if isinstance(alert, Alert) and alert.review is not None:
                    self._host.offer(Met(alert))
            message.settle()

    def _hear_owners(self, message: Message) -> None:
        if not message.payload:
            message.settle()
            return
        with self._refusing(message):
            gained, lost = self._reader.own(codec.decode_owners(message.payload), self._host.name, time.monotonic())
            if gained or lost:
                self._moved_s = time.monotonic()
            for gateway in lost:
                self._bus.unsubscribe(self._topics.log("readings", gateway))
                self._host.offer(Taken(gateway))
            for gateway in gained:
                self._take_over(gateway)
            message.settle()

    def _take_over(self, gateway: str) -> None:
        begins, through = self._reader.predecessor(gateway)
        if begins:
            self._host.offer(Taken(gateway))
            since = self._reader.begin(gateway, through)
            self._host.offer(Given(gateway, self._reader.open_alerts(gateway), through, since))
        else:
            for alert in self._reader.open_alerts(gateway):
                self._host.offer(Met(alert))
        self._bus.subscribe(self._topics.log("readings", gateway), self._hear_log)
        self._reader.ask(gateway, time.monotonic(), force=True)

    def _hear_mark(self, message: Message) -> None:
        if message.payload:
            with self._refusing(message):
                self._reader.marked(parse(message.topic).name, codec.decode_watermark(message.payload))
        message.settle()
