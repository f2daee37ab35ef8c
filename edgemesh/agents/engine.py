"""The engine of an agent: what came in goes through the core and onto the disk in one transaction.

No event loop and no network here: the runtime calls `step`, one at a time, and acts on the outcome.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import TypeVar

from edgemesh.agents.clock import Clock
from edgemesh.agents.core import (
    AsideCore,
    Core,
    DecidingCore,
    Input,
    LearningCore,
    OwnerCore,
    RehearsingCore,
    Samples,
    TellingCore,
    TimedCore,
)
from edgemesh.agents.items import ClockSet, Given, Heard, Item, Learnt, Met, Noticed, Offered, Outcome, Spoiled, Taken
from edgemesh.agents.patience import MAX_TRIES, Patience, Poisoned
from edgemesh.agents.timeline import PART, Timeline
from edgemesh.agents.tracer import Told, Tracer
from edgemesh.agents.unread import Fate, Unread
from edgemesh.errors import Rejected
from edgemesh.log.follower import Follower
from edgemesh.log.journal import Journal, Transaction
from edgemesh.log.quarantine import Quarantined
from edgemesh.model.decisions import Decision
from edgemesh.model.packs import Answers, Pack, Readings
from edgemesh.model.samples import Batch, Record, Retimed, Sample
from edgemesh.model.spans import Span
from edgemesh.store.contract import DecisionSink, Sink, SpanSink
from edgemesh.wire import codec
from edgemesh.wire.reasons import Reason
from edgemesh.wire.topics import Kind

logger = logging.getLogger(__name__)
T = TypeVar("T")

MAX_BODY_BYTES = 200 * 1024
PRUNE_STEPS = 100
"""Steps of pruning (1,000 rows each) at a time, so that an outbox shrinks faster than it can grow."""
TICK_NS = 100_000_000
"""While work is waiting, time passes for the core in steps of this length between one item and the next."""
MAX_HELD = 1_000
"""Items that wait for one commit at most."""
MUTE_NS = 10_000_000_000
"""A core whose `tick` raises three times is told no time for this long, so that what comes in goes on."""


_PLAIN: dict[str, Callable[[Heard], Input]] = {
    "answers": lambda item: Answers((codec.decode_answer(item.payload, executor=item.agent),)),
    "model": lambda item: codec.decode_offer(item.payload, asset=item.agent),
    "model_state": lambda item: codec.decode_model_state(item.payload, asset=item.agent),
    "command": lambda item: codec.decode_command(item.payload),
    "verdicts": lambda item: codec.decode_verdicts(item.payload, asset=item.agent),
}
"""What is of no log, by the kind under which it is heard."""


@dataclass(slots=True)
class EngineStats:
    """Counters since the start; they only grow. `readings` are those accepted (gateway) or taken in (readers).

    `lost` are rows that are gone for good, `given_up` those among them that came but could not be read.
    """

    packs: int = 0
    readings: int = 0
    records: int = 0
    skipped: int = 0
    gaps: int = 0
    lost: int = 0
    given_up: int = 0
    rejected: int = 0
    commits: int = 0
    rebuilds: int = 0


@dataclass(slots=True)
class _Step:
    """One step on its way to the disk.

    `written` are records by the time at which they came about; `left` what stood open on gateways that were taken;
    `told` are spans of other agents, `traced` our own stages, `decided` what the core has to say of its decisions.
    """

    now_ns: int
    outcome: Outcome = field(default_factory=Outcome)
    written: list[tuple[int, list[Record]]] = field(default_factory=list)
    packs: list[Pack] = field(default_factory=list)
    told: list[Span] = field(default_factory=list)
    traced: list[Told] = field(default_factory=list)
    spoiled: list[Quarantined] = field(default_factory=list)
    left: list[Record] = field(default_factory=list)
    decided: Sequence[Decision] = ()
    skipped: int = 0
    lost: int = 0
    given_up: int = 0
    mute: bool = False
    turned: bool = False

    @property
    def calm(self) -> bool:
        """Whether all that came about is that we are further in the logs of others: nobody waits for that."""
        said = self.written or self.outcome.asks or self.spoiled or self.outcome.left or self.left
        return not (said or self.skipped or self.lost or self.turned or self.mute)

    def write(self, records: Sequence[Record]) -> None:
        """Add records that came about now."""
        if records and self.written and self.written[-1][0] == self.now_ns:
            self.written[-1][1].extend(records)
        elif records:
            self.written.append((self.now_ns, list(records)))

    def records(self) -> list[Record]:
        """All records, in order."""
        return [record for _, records in self.written for record in records]


class Engine:
    """One agent's core between its logs.

    `make_core` builds a fresh core, which then loads what was saved. `writes` is the kind of the agent's own log, empty
    for none. `clock` moves with the items in replay. `progress` rises with every item, for other threads to see.
    `tracer` is told what its steps took; None: nobody is.
    """

    def __init__(
        self,
        journal: Journal,
        make_core: Callable[[], Core],
        clock: Clock,
        *,
        writes: str = "",
        sinks: Sequence[Sink] = (),
        tracer: Tracer | None = None,
    ) -> None:
        self.journal = journal
        self.clock = clock
        self.writes = writes
        self.stats = EngineStats()
        self.progress = 0
        self._make_core = make_core
        self._sinks = sinks
        self._span_sinks = [sink for sink in sinks if isinstance(sink, SpanSink)]
        self._decision_sinks = [sink for sink in sinks if isinstance(sink, DecisionSink)]
        self.tracer = tracer
        self.unread = Unread(journal.agent)
        self._patience = Patience(self._step, self._undo)
        self._held: list[Item] = []
        self._open: tuple[_Step, int] | None = None  # the step that holds them, and how many it has handled
        self._may_hold = False
        self._ticked_ns = self._kept_ticked_ns = self._mute_until_ns = 0
        self.timeline = Timeline(clock, journal)
        self._rebuild()
        for sink in sinks:
            with journal.begin() as transaction:
                sink.prepare(transaction.connection)

    def _rebuild(self) -> None:
        """Go back to what the disk says: after a start, a failed commit, or a core that raised."""
        self._open = None
        self.core = self._make_core()
        self._rehearsing = self.core if isinstance(self.core, RehearsingCore) else None
        self._learning = self.core if isinstance(self.core, LearningCore) else None
        self._telling = self.core if isinstance(self.core, TellingCore) else None
        self._aside = self.core if isinstance(self.core, AsideCore) else None
        self._deciding = self.core if isinstance(self.core, DecidingCore) else None
        self.core.load({name: part for name, part in self.journal.parts().items() if name != PART})
        self._followers = {
            agent: Follower(cursor, self.journal.past(agent)) for agent, cursor in self.journal.cursors().items()
        }

    @property
    def may_take_long(self) -> bool:
        """Whether the core learns in its steps."""
        return self._learning is not None and self._learning.learns

    @property
    def held(self) -> int:
        """Items that were handled and wait for a commit: none of them is settled, no cursor has moved."""
        return len(self._held)

    def step(self, items: Sequence[Item], *, may_hold: bool = False) -> Outcome:
        """Handle the items, commit, and say what follows. LogError: nothing happened, try the same items again.

        Without items, time passes until now; with them, until the last of them came. An item of any kind that makes
        core or sink fail three times goes into the quarantine, and the rest goes on (`Patience`). With `may_hold`, what
        only moves cursors may wait for the commit of a later step; what is held comes again with it if that fails.
        """
        self._may_hold = may_hold
        together = [*self._held, *items]
        outcome = self._patience.step(together)
        self._held = together if self._open is not None else []
        return outcome

    def _undo(self) -> None:
        self._may_hold = False
        self.stats.rebuilds += 1
        self.unread.undo()
        self.timeline.undo()
        self._ticked_ns = self._kept_ticked_ns
        self._rebuild()

    def present(self) -> dict[str, bytes | None]:
        """All retained topics that stand now."""
        return _encoded(self.core.present(None))

    def opening(self) -> ClockSet | None:
        """What the core has to be told of the clock before anything else; None: nothing."""
        if not self.timeline.opening_by_ns and not self.clock.doubt:
            return None
        return ClockSet(self.timeline.opening_by_ns, self.clock.doubt, self.clock.turns)

    def keep_house(self, through: int, *, keep_s: float) -> None:
        """Prune rows that every reader has (`through`) and that are older than `keep_s`; trim the sinks."""
        now_ns = self.timeline.now_ns()
        if now_ns is None:
            return
        self._prune(through, now_ns - int(keep_s * 1e9))
        for sink in self._sinks:
            with self.journal.begin() as transaction:
                sink.trim(transaction.connection, now_ns)

    def _prune(self, through: int, before_ns: int) -> None:
        """Rows that were stamped before the clock turned are as old as they would be had it been right then."""
        steps = PRUNE_STEPS
        for last, offset_ns in self.timeline.segments(min(through, self.journal.head)):
            while steps and self.journal.prune(last, before_ns=before_ns - offset_ns):
                self.progress += 1
                steps -= 1
            if self.journal.lowest <= last:
                break

    # -- one step -----------------------------------------------------------------------------------------------------

    def _step(self, items: Sequence[Item]) -> Outcome:
        step, handled = self._open or (_Step(self._ticked_ns), 0)
        self._go_through(step, items[handled:])
        if self._may_hold and step.calm and items and len(items) < MAX_HELD:
            self._open = step, len(items)
            return Outcome()
        self._open = None
        self._commit(step)
        return step.outcome

    def _go_through(self, step: _Step, items: Sequence[Item]) -> None:
        """Have the core take the items, or the time, and note in the step what comes of it."""
        offered: list[Offered] = []
        if not items and (now_ns := self.timeline.now_ns()) is not None:
            self._tick(step, now_ns)
        for item in items:
            self.progress += 1
            if isinstance(item, ClockSet):
                self._accept(step, offered)
                offered = []
                self._turn(step, item)
            elif item is items[0] or item.at_ns - step.now_ns >= TICK_NS:
                self._tick(step, item.at_ns)
            if isinstance(item, Offered):
                offered.append(item)
            elif not isinstance(item, ClockSet):
                self._take_in(step, item)
        self._accept(step, offered)

    def _turn(self, step: _Step, item: ClockSet) -> None:
        """Tell the core that the clock was set; the time since the last tick passes after that, not with it."""
        step.turned = True
        self.timeline.turn(item.by_ns, item.number)
        core = self.core
        if isinstance(core, TimedCore):
            step.write(self._ask(step, item, partial(core.retime, item.by_ns, item.doubt)))
        self._ticked_ns = self._mute_until_ns = 0
        self._tick(step, item.at_ns)

    def _take_in(self, step: _Step, item: Heard | Noticed | Spoiled | Given | Taken | Met | Learnt) -> None:
        if isinstance(item, Heard):
            step.outcome.settles.append(item.settle)
            try:
                self._hear(step, item)
            except Rejected as rejected:
                self._spoil(step, Quarantined(step.now_ns, item.topic, rejected.reason, rejected.detail, item.payload))
        elif isinstance(item, Noticed):
            step.write(self._handle(step, item, item.cards))
        elif isinstance(item, Learnt):
            step.write(self._handle(step, item, item.taught))
        elif isinstance(item, Spoiled):
            self._spoil(step, item.quarantined)
            step.outcome.settles += [item.settle] if item.settle else []
        else:
            self._move(step, item)

    def _spoil(self, step: _Step, kept: Quarantined) -> None:
        step.spoiled.append(kept)
        if self.tracer is not None:
            step.traced.append(self.tracer.refused(kept.at_ns, kept.origin, kept.payload, kept.reason, kept.detail))

    def _move(self, step: _Step, item: Given | Taken | Met) -> None:
        """Tell a core that owns gateways what is its own now, and what stands open there."""
        if isinstance(item, Taken):
            step.outcome.left.append(item.gateway)
            step.outcome.marks.pop(item.gateway, None)  # the word on it is another's from here on
            self._followers.pop(item.gateway, None)
        core = self.core
        if not isinstance(core, OwnerCore):
            return
        if isinstance(item, Met):
            step.write(self._ask(step, item, partial(core.meet, item.alert)))
        elif isinstance(item, Given):
            self._followers[item.gateway] = Follower.begin_after(item.since)
            self._ask(step, item, partial(core.adopt, item.gateway, item.alerts, item.through))
        else:
            step.left += self._ask(step, item, partial(core.release, item.gateway))

    def _hear(self, step: _Step, item: Heard) -> None:
        if item.kind in _PLAIN:
            step.write(self._handle(step, item, _PLAIN[item.kind](item)))
            return
        if item.kind == Kind.SPANS:
            step.told += codec.decode_spans(item.payload, agent=item.agent).spans
            return
        try:
            pack = codec.decode_pack(item.payload, kind=item.kind, agent=item.agent)
        except Rejected:
            if self._go_on_without(step, item):
                raise
            return
        follower = self._followers.setdefault(item.agent, Follower(None))
        verdict = follower.receive(pack.epoch, pack.seq, pack.lowest, self._live(pack))
        step.lost += verdict.lost
        if verdict.ask:
            step.outcome.asks[item.agent] = follower.position
        if verdict.take:
            self.unread.read(item.agent)
            self._pass(step, _newest(pack))
            self._follow(step, item, pack)
            if not self._patience.spent(item):
                step.packs.append(pack)
        elif not verdict.ask:
            step.skipped += 1
        if follower.position is not None and not verdict.ask:  # said again for what we had: our word may be lost
            step.outcome.marks[item.agent] = follower.position

    def _follow(self, step: _Step, item: Heard, pack: Pack) -> None:
        tracer = self.tracer
        if tracer is None:
            step.write(self._handle(step, item, pack))
            return
        began_ns = tracer.now_ns()
        records = self._handle(step, item, pack)
        step.write(records)
        step.traced += tracer.handled(item, pack, began_ns, records)

    def _live(self, pack: Pack) -> int:
        """The first row that may come before older ones; 0: we want to have them in order."""
        rehearses = self._rehearsing is not None and self._rehearsing.rehearses(pack.agent)
        return pack.live if isinstance(pack, Readings) and not rehearses else 0

    def _go_on_without(self, step: _Step, item: Heard) -> bool:
        """Say what becomes of a log after a pack that can't be read; False: this one was counted before."""
        follower = self._followers.get(item.agent) or Follower(None)
        fate, place = self.unread.judge(item.agent, item.payload, follower)
        if fate is Fate.HALTED_AGAIN:
            step.skipped += 1
        elif fate is Fate.ASK and follower.position is not None:
            step.outcome.asks[item.agent] = follower.position
        elif fate is Fate.GIVEN_UP and place is not None:
            self._followers[item.agent] = follower
            step.lost += follower.receive(place.epoch, place.seq, place.lowest).lost + 1
            step.given_up += 1
            step.outcome.marks |= {item.agent: follower.position} if follower.position else {}
            logger.error("%s: row %d of %s is broken, given up and lost", self.journal.agent, place.seq, item.agent)
        return fate is not Fate.HALTED_AGAIN

    def _accept(self, step: _Step, offered: Sequence[Offered]) -> None:
        """Hand all samples over together; where the data is the clock, those of one time after the other."""
        if not offered:
            return
        alone = self._patience.suspicious  # something failed: each by itself, so that only the one to blame is given up
        group: list[Sample] = []
        owner = offered[0]
        for item in offered:
            moved = self.clock.observe(item.samples[-1].at_ns if item.samples else 0)
            if group and (moved or alone):
                step.write(self._handle(step, owner, Samples(tuple(group))))
                group = []
            if moved:
                self._tick(step, self.clock.now_ns())
            owner = item
            group.extend(item.samples)
        step.write(self._handle(step, owner, Samples(tuple(group))))
        step.outcome.settles.extend(item.settle for item in offered if item.settle)

    def _pass(self, step: _Step, at_ns: int) -> None:
        """Where the data is the clock, let the time of this data come first."""
        if self.clock.observe(at_ns):
            self._tick(step, self.clock.now_ns())

    def _tick(self, step: _Step, now_ns: int) -> None:
        self._ticked_ns = step.now_ns = max(now_ns, self._ticked_ns)
        if self._patience.spent(None) and not step.mute:
            step.mute = True
            step.spoiled.append(_given_up(step.now_ns, None))
            self._mute_until_ns = step.now_ns + MUTE_NS
        if step.now_ns >= self._mute_until_ns:
            step.write(self._ask(step, None, partial(self.core.tick, step.now_ns)))

    def _handle(self, step: _Step, item: Item, pack: Input) -> Sequence[Record]:
        return self._ask(step, item, partial(self.core.handle, pack))

    def _ask(self, step: _Step, item: Item | None, call: Callable[[], Sequence[T] | None]) -> Sequence[T]:
        """Ask the core something because of an item (None: because time passes), unless it was asked too often."""
        if self._patience.spent(item):
            step.spoiled.append(_given_up(step.now_ns, item))
            return ()
        try:
            return call() or ()
        except Exception as error:
            logger.exception("%s: the core failed on %s", self.journal.agent, _name(item))
            raise Poisoned(item) from error

    # -- onto the disk ------------------------------------------------------------------------------------------------

    def _commit(self, step: _Step) -> None:
        parts = self.core.save()
        records = step.records()
        if self._deciding is not None:
            step.decided = self._deciding.decisions()
        if (
            (records and self.writes)
            or parts
            or step.decided
            or step.packs
            or step.told
            or step.spoiled
            or step.outcome.left
            or step.turned
        ):
            with self.journal.begin() as transaction:
                self._write(transaction, step, parts)
            self.stats.commits += 1
        self._count(step, records)
        if self._learning is not None:
            step.outcome.lessons += self._learning.lessons()
        if self._aside is not None:
            step.outcome.asides += self._aside.asides()
        if self._telling is not None:
            step.outcome.present |= _encoded(self._telling.news())
        if step.turned:
            step.outcome.present = self.present()
        if records or step.left:
            # What is open on a gateway that is another's now must be known to its owner, published before or not.
            step.outcome.present |= _encoded(self.core.present([*step.left, *records]))

    def _write(self, transaction: Transaction, step: _Step, parts: Mapping[str, bytes | None]) -> None:
        for at_ns, records in step.written if self.writes else ():
            stamp_ns = self.clock.stamp(at_ns) if self.timeline.current else at_ns
            for kind, body in _bodies(self.writes, records):
                trace = self._traceparent(records, kind, transaction.head + 1)
                step.outcome.rows.append(transaction.append(kind, body, at_ns=stamp_ns, trace=trace))
        if step.packs:
            for sink in self._sinks:
                sink.write(transaction.connection, step.packs)
        for keeper in self._span_sinks if step.told else ():
            keeper.keep(transaction.connection, step.told)
        for ledger in self._decision_sinks if step.decided else ():
            ledger.decide(transaction.connection, step.decided)
        for quarantined in step.spoiled:
            transaction.keep(quarantined)
        self._place(transaction, step, parts)

    def _traceparent(self, records: Sequence[Record], kind: str, seq: int) -> str:
        if self.tracer is None or kind == codec.RETIMED:
            return ""
        return self.tracer.traceparent(records, self.journal.epoch, seq)

    def _place(self, transaction: Transaction, step: _Step, parts: Mapping[str, bytes | None]) -> None:
        """Note how far we are now that all effects are written: cursors, and the state of the core."""
        for agent in step.outcome.left:  # before the cursors: it may have come back to us in the same step
            transaction.drop_cursor(agent)
        for agent, cursor in step.outcome.marks.items():
            transaction.set_cursor(agent, cursor)
        transaction.put_parts({**parts, **self.timeline.part(self._ticked_ns)})

    def _count(self, step: _Step, records: Sequence[Record]) -> None:
        stats = self.stats
        stats.packs += len(step.packs)
        stats.records += len(records)
        stats.readings += _readings(records) + sum(_readings(pack.records) for pack in step.packs)
        stats.skipped += step.skipped
        stats.gaps += len(step.outcome.asks)
        stats.lost += step.lost
        stats.given_up += step.given_up
        stats.rejected += len(step.spoiled)
        if self.tracer is not None and step.traced:
            self.tracer.add(step.traced)
        self.unread.keep()
        self.timeline.keep()
        self._kept_ticked_ns = self._ticked_ns


def _name(item: Item | None) -> str:
    return item.topic if isinstance(item, Heard) else "time" if item is None else type(item).__name__.lower()


def _given_up(at_ns: int, item: Item | None) -> Quarantined:
    """What is kept of an item that makes us fail: its bytes, or what it holds as JSON."""
    payload = b""
    if isinstance(item, Heard):
        payload = item.payload
    elif isinstance(item, Met):
        payload = codec.encode(item.alert)
    elif isinstance(item, Noticed):
        payload = codec.encode_records(item.cards.records)
    elif isinstance(item, Given | Taken):
        payload = item.gateway.encode()
    elif isinstance(item, Learnt):
        payload = item.taught.asset.encode()
    elif isinstance(item, Offered):
        payload = repr(item.samples[:10]).encode(errors="replace")
    problem = f"failed {MAX_TRIES} times, see the log"
    return Quarantined(at_ns, _name(item), Reason.HANDLER_FAILED, problem, payload)


def _bodies(kind: str, records: Sequence[Record]) -> list[tuple[str, bytes]]:
    """Encode the records as JSON arrays, each small enough for one pack, with the kind of its row."""
    return [
        (codec.RETIMED if timings else kind, body)
        for timings, group in groupby(records, lambda record: isinstance(record, Retimed))
        for body in _arrays(group)
    ]


def _arrays(records: Iterable[Record]) -> list[bytes]:
    bodies: list[bytes] = []
    group: list[bytes] = []
    size = 0
    for record in records:
        encoded = codec.encode(record)
        if group and size + len(encoded) > MAX_BODY_BYTES:
            bodies.append(b"[" + b",".join(group) + b"]")
            group, size = [], 0
        group.append(encoded)
        size += len(encoded) + 1
    if group:
        bodies.append(b"[" + b",".join(group) + b"]")
    return bodies


def _encoded(present: Mapping[str, Record | None]) -> dict[str, bytes | None]:
    return {tail: None if record is None else codec.encode(record) for tail, record in present.items()}


def _readings(records: Sequence[Record]) -> int:
    return sum(record.readings for record in records if isinstance(record, Batch))


def _newest(pack: Pack) -> int:
    if isinstance(pack, Readings):
        return max((batch.at_ns[-1] for batch in pack.records), default=0)
    return max((record.at_ns for record in pack.records), default=0)
