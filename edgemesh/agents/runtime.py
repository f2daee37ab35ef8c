"""The one loop that every agent runs in: receive, hand over, commit, settle, publish, tell that it lives.

Everything here is on the event loop. The engine's steps run one at a time, so that what arrives during a commit forms
the next group: in the agent's own worker thread, or on the loop itself as long as they are short.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from edgemesh.agents.card import HEARTBEAT_S, make_card
from edgemesh.agents.core import Lesson, Taught
from edgemesh.agents.engine import Engine
from edgemesh.agents.feed import Feed
from edgemesh.agents.items import ClockSet, Given, Heard, Item, Learnt, Met, Noticed, Outcome, Settle, Spoiled, Taken
from edgemesh.agents.namesakes import Namesakes
from edgemesh.agents.presence import PresenceTracker
from edgemesh.agents.reader import Reader
from edgemesh.agents.roles import ROLES
from edgemesh.agents.school import School
from edgemesh.agents.storage import Storage
from edgemesh.bus.contract import Bus, Message
from edgemesh.errors import LogDamaged, LogError, LogFull, Rejected
from edgemesh.log.quarantine import PAYLOAD, TEXT, Quarantined
from edgemesh.model.agents import Card, Presence, Role
from edgemesh.model.alerts import Alert
from edgemesh.model.packs import Cards
from edgemesh.model.told import Score
from edgemesh.wire import codec
from edgemesh.wire.topics import Kind, Topics, parse

logger = logging.getLogger(__name__)
T = TypeVar("T")

TICK_S = 0.25
SOON_S = 0.005
"""So long at least passes between two ticks, where the core waits for an instant."""
HOUSEKEEPING_S = 5.0
HALTED_BEATS = 10
"""A log that is of a newer version is asked for at each heartbeat of so many: it may be ours again."""
LATE_S = 0.2
CATCH_UP_S = 0.05
MAX_ITEMS = 1_000
MAX_ASIDES = 20_000
HOLD_S = 0.05
"""So long a step that only moves cursors may wait for a commit: nobody waits for it, and one commit does for many."""
REST_S = 0.05
"""Between the commits of an agent without a log of its own: nobody waits for it, so larger groups cost nobody time."""
RETRY_S = (0.1, 5.0)
SHORT_S = 0.005
LONG_S = 0.05
SHORT_STEPS = 20
"""After so many steps in a row that were not long, and short on the whole, steps run on the event loop: it saves two
changes of thread. A long one, or a mean above SHORT_S (a slow disk), sends the next ones back to
the worker thread; a mean tells a slow disk from a machine on which others had the core for a moment."""
RETURN_S = 2.0
"""After a broker is back its clients come back within this; until then their silence says nothing."""


class Runtime:
    """Runs one agent on one bus.

    `group` is the consumer group it reads for, `readers` the groups whose watermarks hold its own rows; `storage` cares
    for its disk (left out: one that keeps rows for `keep_s`), `incarnation` is the name of this start on its cards.
    """

    def __init__(
        self,
        engine: Engine,
        bus: Bus,
        topics: Topics,
        role: Role,
        *,
        group: str = "",
        readers: Sequence[str] = (),
        window: int = 512,
        keep_s: float = 600.0,
        storage: Storage | None = None,
        incarnation: str = "",
    ) -> None:
        self.name = engine.journal.agent
        self.role = role
        self.engine = engine
        self.bus = bus
        self._clock = engine.clock
        self._topics = topics
        self._traits = ROLES[role]
        self._rests = bool(self._traits.follows) and not self._traits.writes
        self._holds = bool(self._traits.follows) and not self._rests
        self._commit_by_s = 0.0
        self.storage = storage or Storage(engine, keep_s=keep_s)
        self._incarnation = incarnation or secrets.token_hex(8)
        self._beat = 0
        self._inbox: deque[Item] = deque()
        self._current: list[Item] = []
        self._wake = asyncio.Event()
        self._engine_in_use = asyncio.Lock()
        self._short_steps, self._mean_step_s = 0, SHORT_S
        self._stopping = False
        self._republish = False
        self._shown: dict[str, bytes] = {}
        self._moved_s = -RETURN_S  # when gateways changed hands last: an alert of ours may come back as another's then
        self._retry_s, self._wait_s = 0.0, RETRY_S[0]
        self._resting = self._has_to_rest = False
        self._told: dict[str, tuple[str, int]] = {}
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix=self.name)
        self._tasks: list[asyncio.Task[None]] = []
        self._presence = PresenceTracker(me=self.name)
        self._namesakes = Namesakes()
        self._group = group or role.value
        self.reader = Reader(bus, topics, engine.journal.cursors(), group=self._group, traits=self._traits)
        self._school = School(self.name, self._taught)
        self._loop: asyncio.AbstractEventLoop | None = None
        self.asides: deque[Score] = deque(maxlen=MAX_ASIDES)
        """What is to be told beside the log; whoever tells it takes it out."""
        self.feed: Feed | None = None
        if self._traits.writes:
            self.feed = Feed(
                bus,
                engine.journal,
                topics,
                self._traits.writes,
                self.in_worker,
                readers=readers,
                window=window,
                now_ns=engine.clock.now_ns if engine.tracer else None,
            )

    # -- life ---------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Subscribe, connect and begin; returns without waiting for a broker."""
        self._loop = asyncio.get_running_loop()
        if self._clock.doubt:
            logger.warning("%s: the clock can't be right yet; its times are not believed until it is", self.name)
        if opening := self.engine.opening():
            self.offer(opening)
        self._subscribe()
        self.bus.on_link(self._link)
        self.bus.on_room(self._wake.set)
        await self.bus.open()
        self._tasks = [
            asyncio.create_task(self._supervise(self._work, "work"), name=f"{self.name}.work"),
            asyncio.create_task(self._supervise(self._beat_on, "heartbeat"), name=f"{self.name}.heartbeat"),
            asyncio.create_task(self._supervise(self._keep_house, "housekeeping"), name=f"{self.name}.housekeeping"),
        ]

    async def stop(self) -> None:
        """Commit what has come, say good-bye and close; returns when nothing of the agent runs any more."""
        self._stopping = True
        self._wake.set()
        await asyncio.to_thread(self._school.close)
        if self._tasks:
            await asyncio.wait(self._tasks[:1], timeout=2.0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.reader.say()
        self._tell_spans()
        self.bus.publish(self._topics.card(self.name), self._card(Presence.DOWN), retain=True)
        await self.bus.close()
        await asyncio.to_thread(self._worker.shutdown)
        self.engine.journal.close()

    async def in_worker(self, call: Callable[[], T]) -> T:
        """Run a call on engine or journal in the agent's worker thread, after what is already under way."""
        async with self._engine_in_use:
            return await asyncio.get_running_loop().run_in_executor(self._worker, call)

    async def _run_step(self) -> Outcome:
        """Run the next step where it costs least: on the loop while steps are short, else in the worker thread."""
        call = partial(self.engine.step, self._current, may_hold=self._may_hold())
        began_s = time.perf_counter()
        try:
            if self._rests or self._short_steps < SHORT_STEPS or self.engine.may_take_long:
                return await self.in_worker(call)
            async with self._engine_in_use:
                return call()
        finally:
            took_s = time.perf_counter() - began_s
            self._mean_step_s += (took_s - self._mean_step_s) / SHORT_STEPS
            self._short_steps = self._short_steps + 1 if took_s < LONG_S and self._mean_step_s < SHORT_S else 0

    def _may_hold(self) -> bool:
        """Whether what the next step brings about may wait for a later commit, if it is only that cursors move."""
        if not self._holds or self._stopping:
            return False
        if not self.engine.held:
            self._commit_by_s = time.monotonic() + HOLD_S
        return time.monotonic() < self._commit_by_s

    # -- what comes in ------------------------------------------------------------------------------------------------

    def offer(self, item: Item) -> None:
        """Take an item over for the next step; returns at once. Event loop only."""
        item.at_ns = self._clock.now_ns()
        self._inbox.append(item)
        self._wake.set()

    def _taught(self, lesson: Lesson, result: bytes) -> None:
        """Something was learnt; called in the school's thread."""
        item = Learnt(Taught(lesson.asset, lesson.key, result))
        with contextlib.suppress(RuntimeError):  # the loop is over, and with it who wanted to know
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self.offer, item)

    @property
    def waiting(self) -> int:
        """Items that no step has finished yet."""
        return self._unhandled + self.engine.held

    @property
    def _unhandled(self) -> int:
        return len(self._inbox) + len(self._current)

    @property
    def resting(self) -> bool:
        """Whether what comes in is let gather before the next step."""
        return self._resting

    @property
    def busy(self) -> bool:
        """Whether engine or journal are at work now; may be asked in any thread."""
        return self._engine_in_use.locked()

    @property
    def progress(self) -> int:
        """Rises while the engine gets on: a step that takes long is no step that is stuck."""
        return self.engine.progress

    def _subscribe(self) -> None:
        topics, traits = self._topics, self._traits
        if self.feed:
            self.bus.subscribe(topics.watermark(self.name, "+"), self._hear_watermark)
        if traits.owned:
            self.bus.subscribe(topics.alert("+"), self._hear_alert)
            self.bus.subscribe(topics.watermark("+", self._group), self._hear_mark)
            self.bus.subscribe(topics.owners(), self._hear_owners)
        elif traits.local:
            self.bus.subscribe(topics.log("alerts", "+"), self._hear_review)
        else:
            for kind in traits.follows:
                self.bus.subscribe(topics.log(kind, "+"), self._hear_log)
        if traits.keeps_spans:
            self.bus.subscribe(topics.spans("+"), self._hear_plain)
        if traits.offered:
            self.bus.subscribe(topics.model_state("+"), self._hear_plain)  # first: it says how an offer has ended
            self.bus.subscribe(topics.model("+"), self._hear_plain)
            self.bus.subscribe(topics.verdicts("+"), self._hear_plain)
        if traits.hears_answers:
            self.bus.subscribe(topics.answer("+"), self._hear_answer)
        if traits.watches_cards or (traits.follows and not traits.local):
            self.bus.subscribe(topics.card("+"), self._hear_card)

    def _hear_log(self, message: Message) -> None:
        with self._refusing(message):
            address = parse(message.topic)
            if self._traits.owned and not self.reader.may_read(address.name, time.monotonic()):
                message.settle()  # on its way while the log became another's; asked for again if it is ours
                return
            self.offer(Heard(address.kind, address.name, message.topic, message.payload, message.settle))

    def _hear_answer(self, message: Message) -> None:
        with self._refusing(message):
            name = parse(message.topic).name
            self.offer(Heard("answers", name, message.topic, message.payload, message.settle))

    def _hear_plain(self, message: Message) -> None:
        if not message.payload:
            message.settle()
            return
        with self._refusing(message):
            address = parse(message.topic)
            if address.kind is Kind.MODEL:
                self._short_steps = 0  # to read one takes long
            self.offer(Heard(address.kind, address.name, message.topic, message.payload, message.settle))

    def _hear_watermark(self, message: Message) -> None:
        assert self.feed is not None
        if not message.payload:
            message.settle()
            return
        with self._refusing(message):
            self.feed.heard(parse(message.topic).second, message.payload, time.monotonic(), retained=message.retained)
            message.settle()
            self._wake.set()

    def _hear_card(self, message: Message) -> None:
        if not message.payload:
            message.settle()
            return
        with self._refusing(message):
            card = codec.decode_card(message.payload, agent=parse(message.topic).name)
            now_s = time.monotonic()
            self.storage.saw(card, retained=message.retained)
            self.reader.saw(card, now_s)
            if self._namesakes.hear(card, retained=message.retained):
                logger.error(
                    "%s: two agents run under the name %s and push each other off the bus; stop one or rename it "
                    "(nothing is lost: each keeps a log of its own)", self.name, card.agent,
                )  # fmt: skip
            if self._traits.owned:
                self._hear_trouble(card)
            if self._traits.watches_cards:
                self._notice(self._presence.see(card, retained=message.retained, now_s=now_s))
            message.settle()

    def _hear_trouble(self, card: Card) -> None:
        """Have the core hear of a gateway of ours that is in trouble with its log, or no more."""
        told = (card.trouble, card.lost)
        if card.state is Presence.UP and self.reader.owns(card.agent) and self._told.get(card.agent) != told:
            self._told[card.agent] = told
            self._notice([card])

    def _hear_alert(self, message: Message) -> None:
        with self._refusing(message):
            alert_id = parse(message.topic).name
            calm = time.monotonic() - self._moved_s > RETURN_S
            if calm and message.payload and self._shown.get(message.topic) == message.payload:  # the echo of our own
                self.reader.open_alert(alert_id, message.payload)
                message.settle()
                return
            alert = codec.decode_alert(message.payload, id=alert_id) if message.payload else None
            self.reader.open_alert(alert_id, alert)
            if alert is not None and self.reader.owns(alert.gateway):
                self.offer(Met(alert))
            message.settle()

    def _hear_review(self, message: Message) -> None:
        """Have the core hear what detectors of the site say of alerts like its own."""
        with self._refusing(message):
            pack = codec.decode_pack(message.payload, kind="alerts", agent=parse(message.topic).name)
            for alert in pack.records:
                if isinstance(alert, Alert) and alert.review is not None:
                    self.offer(Met(alert))
            message.settle()

    def _hear_owners(self, message: Message) -> None:
        if not message.payload:
            message.settle()
            return
        with self._refusing(message):
            gained, lost = self.reader.own(codec.decode_owners(message.payload), self.name, time.monotonic())
            if gained or lost:
                self._moved_s = time.monotonic()
            for gateway in lost:
                self.bus.unsubscribe(self._topics.log("readings", gateway))
                self.offer(Taken(gateway))
            for gateway in gained:
                self._take_over(gateway)
            message.settle()

    def _take_over(self, gateway: str) -> None:
        begins, through = self.reader.predecessor(gateway)
        if begins:
            self.offer(Taken(gateway))
            since = self.reader.begin(gateway, through)
            self.offer(Given(gateway, self.reader.open_alerts(gateway), through, since))
        else:
            for alert in self.reader.open_alerts(gateway):
                self.offer(Met(alert))
        self.bus.subscribe(self._topics.log("readings", gateway), self._hear_log)
        self.reader.ask(gateway, time.monotonic(), force=True)

    def _hear_mark(self, message: Message) -> None:
        if message.payload:
            with self._refusing(message):
                self.reader.marked(parse(message.topic).name, codec.decode_watermark(message.payload))
        message.settle()

    def _notice(self, cards: Sequence[Card]) -> None:
        if cards:
            self.offer(Noticed(Cards(tuple(cards))))
            # Whoever comes now may find another's word where ours was retained: the map of owners is said again.
            self._republish = self._republish or self.role is Role.REGISTRY

    @contextlib.contextmanager
    def _refusing(self, message: Message) -> Iterator[None]:
        """Turn a message that breaks the rules into a counted refusal; it is settled once that is on the disk."""
        try:
            yield
        except Rejected as rejected:
            self.refuse(rejected.reason, message.topic, message.payload, rejected.detail, message.settle)

    def refuse(self, reason: str, origin: str, payload: bytes, detail: str = "", settle: Settle | None = None) -> None:
        """Keep input that breaks the rules in the quarantine, counted under its reason; `settle` it then."""
        kept = Quarantined(self._clock.now_ns(), origin[:TEXT], reason, detail, payload[:PAYLOAD])
        self.offer(Spoiled(kept, settle))

    # -- the loop -----------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        next_tick_s = 0.0
        while not (self._stopping and (not self.waiting or self.storage.failing)):
            now_s = time.monotonic()
            if (not self._unhandled or now_s < self._retry_s) and not self._stopping:
                due_s = min(next_tick_s, self._commit_by_s) if self.engine.held else next_tick_s
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(max(due_s, self._retry_s) - now_s):
                        await self._wake.wait()
            self._wake.clear()
            self._look_at_the_clock()
            now_s = time.monotonic()
            if not self._unhandled and now_s - next_tick_s > LATE_S and next_tick_s:
                await asyncio.sleep(CATCH_UP_S)  # we were held up: what came meanwhile comes before the time
            held_long = self.engine.held > 0 and now_s >= self._commit_by_s
            if now_s >= self._retry_s and (self._unhandled or held_long or now_s >= next_tick_s):
                next_tick_s = time.monotonic() + TICK_S
                if self.bus.linked:
                    self._notice(self._presence.sweep(now_s))
                await self._step()
                next_tick_s = min(next_tick_s, self._due_s())
            if self._republish and not self.reader.in_doubt(now_s):
                self._republish = False
                self._show(await self.in_worker(self.engine.present))
            await self._publish()
            await self._rest()

    def _due_s(self) -> float:
        """When a core that is punctual has to be told the time next, on the monotonic clock."""
        due_ns = self.engine.due_ns
        if due_ns is None:
            return math.inf
        return time.monotonic() + max(SOON_S, (due_ns - self._clock.now_ns()) / 1e9)

    def _look_at_the_clock(self) -> None:
        """When the machine's clock turns, the core has to hear of it before anything that comes later."""
        turn = self._clock.check()
        if turn is None:
            return
        if turn.doubt:
            logger.warning("%s: the clock was set; until it is sure, its times are not believed", self.name)
        else:
            logger.warning("%s: the clock is right; times before now move by %.1f s", self.name, turn.by_ns / 1e9)
        self.offer(ClockSet(turn.by_ns, turn.doubt, self._clock.turns))

    async def _step(self) -> None:
        if not self._current:
            self._current = [self._inbox.popleft() for _ in range(min(len(self._inbox), MAX_ITEMS))]
        try:
            outcome = await self._run_step()
        except LogError as error:
            await self._fail(error)
            return
        self._has_to_rest = bool(self._current)
        self._current = []
        self._wait_s = RETRY_S[0]
        self.storage.kept()
        await self._act(outcome)

    async def _fail(self, error: LogError) -> None:
        """Nothing of the step was kept, and nothing of it is settled: make room if that helps, else try again later."""
        if isinstance(error, LogFull):
            half = len(self._current) // 2  # perhaps it is only too much at once
            if half:
                self._inbox.extendleft(reversed(self._current[half:]))
                del self._current[half:]
            if await self.in_worker(partial(self.storage.make_room, self._needed())):
                self._took_note()
                return
        if isinstance(error, LogDamaged) and await self._start_over(error):
            return
        self.storage.failed(error)
        self._retry_s = time.monotonic() + self._wait_s
        self._wait_s = min(self._wait_s * 2, RETRY_S[1])

    async def _start_over(self, damage: LogDamaged) -> bool:
        """Go on in a new log with what can be read of the damaged one; False: that may not be done here."""
        try:
            begun = await self.in_worker(partial(self.storage.start_over, damage))
        except LogError as error:
            self.storage.complain(error)
            return False
        if begun and self.feed:
            self.feed.begin_anew()
        return begun

    async def _publish(self) -> None:
        """Publish what is due. A log that consumers know better than its file does goes on under a new epoch first."""
        if self.feed is None:
            return
        try:
            if why := self.feed.feeder.rolled_back:
                await self.in_worker(partial(self.storage.renew, why))
                self.feed.begin_anew()
            if await self.feed.pump():
                self._wake.set()
        except LogDamaged as damage:
            await self._start_over(damage)
        except LogError as error:
            self.storage.complain(error)

    async def _rest(self) -> None:
        """Let what comes in gather, for a write budget to last or because nobody waits for our commits."""
        rest_s = max(REST_S if self._rests else 0.0, self.storage.rest_s)
        if rest_s <= 0.0 or not self._has_to_rest:
            return
        self._has_to_rest = False
        ends_s = time.monotonic() + rest_s
        self._resting = True
        while not self._stopping and len(self._inbox) < MAX_ITEMS and (left_s := ends_s - time.monotonic()) > 0.0:
            await asyncio.sleep(min(left_s, REST_S))
            await self._publish()
        self._resting = False

    def _needed(self) -> int:
        """The row up to which nobody needs our log any more."""
        return self.feed.feeder.prunable if self.feed else 0

    def _took_note(self) -> None:
        if self.feed:
            self.feed.committed(())

    async def _act(self, outcome: Outcome) -> None:
        """Say what is on the disk now: first what others wait for, and how far we are only after it."""
        if self.feed and outcome.rows:
            self.feed.committed(outcome.rows)
            await self._publish()
        if outcome.present:
            self._show(outcome.present)
        if outcome.rows:
            await asyncio.sleep(0)  # so that it is on its way
        now_s = time.monotonic()
        self.reader.moved(outcome.marks, outcome.left)
        for agent in outcome.asks:
            self.reader.ask(agent, now_s)
        for settle in outcome.settles:
            settle()
        for lesson in outcome.lessons:
            self._school.ask(lesson)
        self.asides.extend(outcome.asides)

    def _show(self, present: dict[str, bytes | None]) -> None:
        for tail, payload in present.items():
            topic = self._topics.below(tail)
            if payload is None:
                self._shown.pop(topic, None)
            elif self._traits.owned:
                self._shown[topic] = payload
            if not self.bus.publish(topic, payload or b"", retain=True):
                self._republish = self._republish or self.bus.linked

    def _link(self, up: bool) -> None:
        if self.feed:
            self.feed.feeder.linked(up)
        if up:
            logger.info("%s: connected", self.name)
            self._presence.pardon(time.monotonic() + RETURN_S)
            self._republish = True
            self.bus.publish(self._topics.card(self.name), self._card(Presence.UP), retain=True)
            self.reader.linked(time.monotonic())
        else:
            logger.warning("%s: connection lost, trying again", self.name)
            self.reader.unlinked(time.monotonic())
        self._wake.set()

    # -- beside the loop ----------------------------------------------------------------------------------------------

    async def _beat_on(self) -> None:
        while True:
            self._beat += 1
            self.storage.beat()
            self.bus.publish(self._topics.card(self.name), self._card(Presence.UP), retain=True)
            self._tell_spans()
            now_s = time.monotonic()
            self.reader.chase(now_s, but=self.engine.unread.halted if self._beat % HALTED_BEATS else ())
            if self.feed:
                self.feed.feeder.tick(now_s)
                self._wake.set()
            await asyncio.sleep(HEARTBEAT_S)

    def _tell_spans(self) -> None:
        """Send what was recorded for traces as far as there is room to spare: nothing is lost with it."""
        tracer = self.engine.tracer
        while tracer is not None and self.bus.has_spare and (spans := tracer.take()):
            if not self.bus.publish(self._topics.spans(self.name), codec.encode(spans), bulk=True):
                tracer.put_back(spans)
                return

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(HOUSEKEEPING_S)
            try:
                await self.in_worker(partial(self.storage.keep_house, self._needed()))
            except LogError as error:
                self.storage.complain(error)
            self._took_note()

    @property
    def linked(self) -> bool:
        """Whether the broker has accepted the connection."""
        return self.bus.linked

    def card(self) -> Card:
        """What the card says now, as others would read it. Event loop only."""
        return codec.decode_card(self._card(Presence.UP), agent=self.name)

    def _card(self, state: Presence) -> bytes:
        stats = {
            "waiting": float(self.waiting),
            "halted": float(len(self.engine.unread.halted)),
            "namesakes": float(len(self._namesakes.found)),
            "clock_doubted": float(self._clock.doubt != 0),
            "clock_turns": float(self._clock.turns),
            "spans_dropped": float(self.engine.tracer.dropped if self.engine.tracer else 0),
            "link_published": float(self.bus.stats.published),
            "link_received": float(self.bus.stats.received),
            "link_refused": float(self.bus.stats.refused),
            "link_disconnects": float(self.bus.stats.disconnects),
        }
        return make_card(
            self.engine,
            self.role,
            state=state,
            incarnation=self._incarnation,
            beat=self._beat,
            stats=stats | self.storage.stats(),
            trouble=self.storage.trouble,
            notice=self.storage.notice,
            lost=self.storage.lost,
        )

    async def _supervise(self, run: Callable[[], Awaitable[None]], what: str) -> None:
        """Run until cancelled; what should not happen is logged with its trace, and the work goes on."""
        wait_s = RETRY_S[0]
        while not self._stopping:
            try:
                await run()
                return
            except Exception:
                logger.exception("%s: %s failed, going on", self.name, what)
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, RETRY_S[1])
