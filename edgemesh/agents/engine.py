"""The engine of an agent: what came in goes through the core and onto the disk in one transaction.

No event loop and no network here: the runtime calls `step` from one worker thread and acts on the outcome.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from edgemesh.agents.core import Core, Input, OwnerCore, Samples
from edgemesh.errors import Rejected
from edgemesh.log.follower import Follower
from edgemesh.log.journal import Cursor, Journal, Row, Transaction
from edgemesh.log.quarantine import Quarantined
from edgemesh.model.alerts import Alert
from edgemesh.model.packs import Answers, Cards, Pack, Readings
from edgemesh.model.samples import Batch, Record, Sample
from edgemesh.store.contract import Sink
from edgemesh.wire import codec
from edgemesh.wire.reasons import Reason

logger = logging.getLogger(__name__)

Settle = Callable[[], None]
MAX_BODY_BYTES = 200 * 1024
MAX_TRIES = 3


@dataclass(slots=True, eq=False)
class Heard:
    """A message of another agent's log (`kind` readings, alerts, orders) or an executor's answer (`answers`)."""

    kind: str
    agent: str
    topic: str
    payload: bytes
    settle: Settle


@dataclass(slots=True, eq=False)
class Offered:
    """Samples that a driver put in; `settle` (if any) waits for the commit."""

    samples: Sequence[Sample]
    settle: Settle | None = None


@dataclass(slots=True, eq=False)
class Noticed:
    """Agents whose presence changed."""

    cards: Cards


@dataclass(slots=True, eq=False)
class Spoiled:
    """Input that was refused before it came here; to be kept in the quarantine."""

    quarantined: Quarantined


@dataclass(slots=True, eq=False)
class Given:
    """A gateway that is now ours, with the alerts that are open on it."""

    gateway: str
    alerts: Sequence[Alert]


@dataclass(slots=True, eq=False)
class Taken:
    """A gateway that is now another's."""

    gateway: str


Item = Heard | Offered | Noticed | Spoiled | Given | Taken


@dataclass(slots=True)
class Outcome:
    """What the runtime has to do after a step: everything here is on the disk already.

    `rows` are new in the outbox; `marks` are cursors that moved, `asks` logs that must come again; `present` says what
    retained topics (below the site) hold now, None: emptied; `settles` are to be called.
    """

    rows: list[Row] = field(default_factory=list)
    marks: dict[str, Cursor] = field(default_factory=dict)
    asks: dict[str, Cursor | None] = field(default_factory=dict)
    present: dict[str, bytes | None] = field(default_factory=dict)
    settles: list[Settle] = field(default_factory=list)


@dataclass(slots=True)
class EngineStats:
    """Counters since the start; they only grow. `readings` are those accepted (gateway) or taken in (readers)."""

    packs: int = 0
    readings: int = 0
    records: int = 0
    skipped: int = 0
    gaps: int = 0
    lost: int = 0
    rejected: int = 0
    commits: int = 0
    rebuilds: int = 0


class _Poisoned(Exception):
    """The core raised for this item; the step starts again without believing what the core holds."""

    def __init__(self, item: Item) -> None:
        self.item = item
        super().__init__()


class Engine:
    """One agent's core between its logs. `make_core` builds a fresh core, which then loads what was saved."""

    def __init__(
        self,
        journal: Journal,
        make_core: Callable[[], Core],
        *,
        writes: str = "",
        sinks: Sequence[Sink] = (),
        observe: Callable[[int], None] = lambda at_ns: None,
    ) -> None:
        self.journal = journal
        self.stats = EngineStats()
        self._make_core = make_core
        self.writes = writes
        self._sinks = sinks
        self._observe = observe
        self._tries: dict[Item, int] = {}
        self._rebuild()
        for sink in sinks:
            with journal.begin() as transaction:
                sink.prepare(transaction.connection)

    def _rebuild(self) -> None:
        """Go back to what the disk says: after a start, a failed commit, or a core that raised."""
        self.core = self._make_core()
        self.core.load(self.journal.parts())
        self._followers = {
            agent: Follower(cursor, self.journal.past(agent)) for agent, cursor in self.journal.cursors().items()
        }

    def position(self, agent: str) -> Cursor | None:
        """How far we are in the log of an agent, None where we never read it."""
        follower = self._followers.get(agent)
        return follower.position if follower else None

    def step(self, items: Sequence[Item], now_ns: int) -> Outcome:
        """Handle the items, commit, and say what follows. LogError: nothing happened, try the same items again."""
        while True:
            try:
                outcome = self._step(items, now_ns)
            except _Poisoned as poisoned:
                self._tries[poisoned.item] = self._tries.get(poisoned.item, 0) + 1
                self.stats.rebuilds += 1
                self._rebuild()
            except BaseException:
                self.stats.rebuilds += 1
                self._rebuild()
                raise
            else:
                self._tries.clear()
                return outcome

    def present(self) -> dict[str, bytes | None]:
        """All retained topics that stand now."""
        return _encoded(self.core.present(None))

    def keep_house(self, through: int, *, keep_s: float, now_ns: int) -> None:
        """Prune rows that every reader has (`through`) and that are older than `keep_s`; trim the sinks."""
        self.journal.prune(through, before_ns=now_ns - int(keep_s * 1e9))
        for sink in self._sinks:
            with self.journal.begin() as transaction:
                sink.trim(transaction.connection, now_ns)

    def _step(self, items: Sequence[Item], now_ns: int) -> Outcome:
        outcome = Outcome()
        records: list[Record] = list(self.core.tick(now_ns))
        packs: list[Pack] = []
        spoiled: list[Quarantined] = []
        samples: list[Sample] = []
        released: list[str] = []
        for item in items:
            if isinstance(item, Offered):
                samples.extend(item.samples)
                if item.settle:
                    outcome.settles.append(item.settle)
            elif isinstance(item, Heard):
                outcome.settles.append(item.settle)
                self._hear(item, now_ns, outcome, records, packs, spoiled)
            elif isinstance(item, Noticed):
                records.extend(self._handle(item, item.cards))
            elif isinstance(item, Spoiled):
                spoiled.append(item.quarantined)
            elif isinstance(item, Given):
                self._give(item)
            else:
                released.append(item.gateway)
                self._take(item.gateway)
        if samples:
            records.extend(self._handle(items[0], Samples(tuple(samples))))
        self._commit(outcome, records, packs, spoiled, released, now_ns)
        self.stats.rejected += len(spoiled)
        return outcome

    def _hear(
        self,
        item: Heard,
        now_ns: int,
        outcome: Outcome,
        records: list[Record],
        packs: list[Pack],
        spoiled: list[Quarantined],
    ) -> None:
        try:
            if self._tries.get(item, 0) >= MAX_TRIES:
                raise Rejected(Reason.HANDLER_FAILED, "the core raised three times; see the log")
            if item.kind == "answers":
                answer = codec.decode_answer(item.payload, executor=item.agent)
                records.extend(self._handle(item, Answers((answer,))))
                return
            pack = codec.decode_pack(item.payload, kind=item.kind, agent=item.agent)
        except Rejected as rejected:
            spoiled.append(Quarantined(now_ns, item.topic, rejected.reason, rejected.detail, item.payload))
            return
        follower = self._followers.setdefault(item.agent, Follower(None))
        verdict = follower.receive(pack.epoch, pack.seq, pack.lowest)
        self.stats.lost += verdict.lost
        if verdict.ask:
            self.stats.gaps += 1
            outcome.asks[item.agent] = follower.position
        if not verdict.take:
            self.stats.skipped += not verdict.ask
            return
        self.stats.packs += 1
        packs.append(pack)
        records.extend(self._handle(item, pack))
        if follower.position is not None:
            outcome.marks[item.agent] = follower.position
        self._observe(_newest(pack))

    def _handle(self, item: Item, pack: Input) -> Sequence[Record]:
        try:
            return self.core.handle(pack)
        except Exception as error:
            logger.exception("the core failed on %s", getattr(item, "topic", type(item).__name__))
            if not isinstance(item, Heard):
                raise
            raise _Poisoned(item) from error

    def _give(self, item: Given) -> None:
        if isinstance(self.core, OwnerCore):
            self.core.adopt(item.gateway, item.alerts)

    def _take(self, gateway: str) -> None:
        self._followers.pop(gateway, None)
        if isinstance(self.core, OwnerCore):
            self.core.release(gateway)

    def _commit(
        self,
        outcome: Outcome,
        records: list[Record],
        packs: list[Pack],
        spoiled: list[Quarantined],
        released: list[str],
        now_ns: int,
    ) -> None:
        parts = self.core.save()
        appended = records if self.writes else []
        if appended or parts or packs or spoiled or released:
            with self.journal.begin() as transaction:
                for body in _bodies(appended):
                    outcome.rows.append(transaction.append(self.writes, body, at_ns=now_ns))
                for agent, cursor in outcome.marks.items():
                    transaction.set_cursor(agent, cursor)
                for agent in released:
                    transaction.drop_cursor(agent)
                self._write_rest(transaction, parts, packs, spoiled)
            self.stats.commits += 1
            self.stats.records += len(records)
            self.stats.readings += _readings(appended) + sum(_readings(pack.records) for pack in packs)
        if records:
            outcome.present = _encoded(self.core.present(records))

    def _write_rest(
        self, transaction: Transaction, parts: Mapping[str, bytes | None], packs: list[Pack], spoiled: list[Quarantined]
    ) -> None:
        transaction.put_parts(parts)
        for quarantined in spoiled:
            transaction.keep(quarantined)
        if packs:
            for sink in self._sinks:
                sink.write(transaction.connection, packs)


def _bodies(records: Sequence[Record]) -> list[bytes]:
    """Encode the records as JSON arrays, each small enough for one pack."""
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
