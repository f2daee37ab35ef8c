"""The one loop that every agent runs in: receive, hand over, commit, settle, publish, tell that it lives.

Everything here is on the event loop. The engine's steps run one at a time (`Steps`), so that what arrives during a
commit forms the next group; what an agent hears comes from its `Ears`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from edgemesh.agents.card import HEARTBEAT_S, make_card
from edgemesh.agents.core import Lesson, Taught
from edgemesh.agents.ears import Ears
from edgemesh.agents.engine import Engine
from edgemesh.agents.feed import Feed
from edgemesh.agents.items import ClockSet, Item, Learnt, Noticed, Outcome, Settle, Spoiled
from edgemesh.agents.reader import Reader
from edgemesh.agents.roles import ROLES
from edgemesh.agents.school import School
from edgemesh.agents.steps import Steps
from edgemesh.agents.storage import Storage
from edgemesh.bus.contract import Bus
from edgemesh.errors import LogDamaged, LogError, LogFull
from edgemesh.log.quarantine import PAYLOAD, TEXT, Quarantined
from edgemesh.model.agents import Card, Presence, Role
from edgemesh.model.packs import Cards
from edgemesh.model.told import Score
from edgemesh.wire import codec
from edgemesh.wire.topics import Topics

logger = logging.getLogger(__name__)
T = TypeVar("T")

TICK_S = 0.25
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
        self.steps = Steps(engine, patient=self._rests)
        self._stopping = False
        self._republish = False
        self._retry_s, self._wait_s = 0.0, RETRY_S[0]
        self._resting = self._has_to_rest = False
        self._tasks: list[asyncio.Task[None]] = []
        group = group or role.value
        self.reader = Reader(bus, topics, engine.journal.cursors(), group=group, traits=self._traits)
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
                self.steps.in_worker,
                readers=readers,
                window=window,
                now_ns=engine.clock.now_ns if engine.tracer else None,
            )
        self._ears = Ears(
            self, bus, topics, self._traits, group=group, reader=self.reader, storage=self.storage, feed=self.feed
        )

    # -- life ---------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Subscribe, connect and begin; returns without waiting for a broker."""
        self._loop = asyncio.get_running_loop()
        if self._clock.doubt:
            logger.warning("%s: the clock can't be right yet; its times are not believed until it is", self.name)
        if opening := self.engine.opening():
            self.offer(opening)
        self._ears.open()
        self.bus.on_link(self._link)
        self.bus.on_room(self.wake)
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
        await self.steps.close()
        self.engine.journal.close()

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
        return self.steps.busy

    def wake(self) -> None:
        """Look whether something is due. Event loop only."""
        self._wake.set()

    def expect_long(self) -> None:
        """What was just offered takes long."""
        self.steps.expect_long()

    @property
    def progress(self) -> int:
        """Rises while the engine gets on: a step that takes long is no step that is stuck."""
        return self.engine.progress

    def notice(self, cards: Sequence[Card]) -> None:
        """Have the core hear of agents that came, went or changed; of none nothing is heard."""
        if cards:
            self.offer(Noticed(Cards(tuple(cards))))
            # Whoever comes now may find another's word where ours was retained: the map of owners is said again.
            self._republish = self._republish or self.role is Role.REGISTRY

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
                    self._ears.notice_silence(now_s)
                await self._step()
            if self._republish and not self.reader.in_doubt(now_s):
                self._republish = False
                self._show(await self.steps.in_worker(self.engine.present))
            await self._publish()
            await self._rest()

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
            outcome = await self.steps.run(self._current, may_hold=self._may_hold())
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
            if await self.steps.in_worker(partial(self.storage.make_room, self._needed())):
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
            begun = await self.steps.in_worker(partial(self.storage.start_over, damage))
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
                await self.steps.in_worker(partial(self.storage.renew, why))
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
                self._ears.shown.pop(topic, None)
            elif self._traits.owned:
                self._ears.shown[topic] = payload
            if not self.bus.publish(topic, payload or b"", retain=True):
                self._republish = self._republish or self.bus.linked

    def _link(self, up: bool) -> None:
        if self.feed:
            self.feed.feeder.linked(up)
        if up:
            logger.info("%s: connected", self.name)
            self._ears.pardon()
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
                await self.steps.in_worker(partial(self.storage.keep_house, self._needed()))
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
            "namesakes": float(self._ears.namesakes),
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
