"""The law of delivery: every committed row takes effect in each group exactly once and in order, whatever fails.

A journal on a disk, a feeder, a broker that loses, repeats, reorders and forgets, and followers that crash. With lanes
live rows may take effect before older ones: then the live rows are in order, and the older ones are.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from edgemesh.log.feeder import PROBE_MAX_S, Feeder
from edgemesh.log.follower import Follower
from edgemesh.log.journal import Cursor, Journal
from edgemesh.log.outbox import Span

STEP_S = 0.1
GROUPS = ("detector", "recorder")
RETELL_S = 0.5


class Packet(NamedTuple):
    epoch: str
    seq: int
    lowest: int
    body: bytes
    live: int


class Word(NamedTuple):
    """What a consumer publishes on its watermark topic."""

    epoch: str
    through: int
    resend: bool
    ahead: tuple[Span, ...] = ()


class Broker:
    """Promises nothing. `faults` are done to it by the machine."""

    def __init__(self) -> None:
        self.packets: dict[str, list[Packet]] = {group: [] for group in GROUPS}
        self.words: list[tuple[str, Word]] = []
        self.retained: dict[str, Word] = {}

    def forget(self) -> None:
        self.__init__()  # type: ignore[misc]


class Consumer:
    """One group, as the runtime is to do it: takes, commits, then announces; `effects` is what it committed."""

    def __init__(self, group: str, broker: Broker) -> None:
        self.group, self.broker = group, broker
        self.committed: Cursor | None = None
        self.effects: list[int] = []
        self.alive = True
        self.reached = 0  # the furthest row it ever took, committed or not
        self.restart()

    def restart(self) -> None:
        self.pending: list[int] = []
        self.follower = Follower(self.committed)
        self.asked: tuple[Cursor | None, float] = (None, -1e9)
        self.told_s = -1e9

    def roll_back(self) -> None:
        self.pending = []
        self.follower.restart_from(self.committed)

    def receive(self, packet: Packet, now_s: float) -> None:
        verdict = self.follower.receive(packet.epoch, packet.seq, packet.lowest, packet.live)
        assert verdict.lost == 0
        assert not verdict.new_epoch
        if verdict.take:
            assert packet.body == b"%d" % packet.seq
            self.pending.append(packet.seq)
            self.reached = max(self.reached, packet.seq)
        elif verdict.ask:
            self.ask(now_s)
        elif now_s - self.told_s >= RETELL_S:
            self.tell(now_s)

    def ask(self, now_s: float) -> None:
        position, asked_s = self.asked
        if position != self.follower.position or now_s - asked_s >= RETELL_S:
            self.asked = (self.follower.position, now_s)
            at = self.follower.position or Cursor("", 0)
            self.say(Word(at.epoch, at.through, resend=True, ahead=at.ahead))

    def commit(self, now_s: float) -> None:
        if self.pending:
            self.effects += self.pending
            self.pending = []
            self.committed = self.follower.position
            self.tell(now_s)

    def tell(self, now_s: float) -> None:
        self.told_s = now_s
        if self.committed is not None:
            self.say(Word(self.committed.epoch, self.committed.through, resend=False, ahead=self.committed.ahead))

    def say(self, word: Word) -> None:
        self.broker.retained[self.group] = word
        self.broker.words.append((self.group, word))


class Delivery(RuleBasedStateMachine):
    lanes = False

    @initialize(window=st.integers(1, 8), limit=st.integers(1, 12))
    def start(self, window: int, limit: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="edgemesh-"))
        self.window, self.limit = window, limit
        self.now_s = 0.0
        self.published = 0
        self.broker = Broker()
        self.consumers = {group: Consumer(group, self.broker) for group in GROUPS}
        self.journal = Journal.open(self.folder / "journal.db", "gw1")
        self.start_feeder()

    def teardown(self) -> None:
        if not hasattr(self, "journal"):
            return
        try:
            for consumer in self.consumers.values():
                self.return_of(consumer.group)
            self.drain(GROUPS)
        finally:
            self.journal.close()
            shutil.rmtree(self.folder)

    def start_feeder(self) -> None:
        self.feeder = Feeder(
            self.journal.epoch,
            GROUPS,
            head=self.journal.head,
            lowest=self.journal.lowest,
            window=self.window,
            lanes=self.lanes,
        )
        self.up = False
        self.link(up=True)

    # What the agents do

    @rule(count=st.integers(1, 20))
    def commit_rows(self, count: int) -> None:
        with self.journal.begin() as transaction:
            for _ in range(count):
                transaction.append("readings", b"%d" % (transaction.head + 1), at_ns=transaction.head)
        self.feeder.committed(self.journal.head, self.journal.lowest)

    @rule(refuse_after=st.integers(0, 12))
    def publish(self, refuse_after: int = 100) -> None:
        allowed = refuse_after
        for due in self.feeder.due(self.limit):
            for row in self.journal.rows(due.start - 1, limit=len(due), max_bytes=10**6):
                if allowed == 0:
                    return
                allowed -= 1
                self.check_window(row.seq)
                self.published += 1
                for consumer in self.consumers.values():
                    packet = Packet(self.journal.epoch, row.seq, self.journal.lowest, row.body, self.feeder.live)
                    self.broker.packets[consumer.group] += [packet] * consumer.alive
                self.feeder.published(row.seq)

    def check_window(self, seq: int) -> None:
        reached = max(consumer.reached for consumer in self.consumers.values())
        assert seq <= max(reached, self.journal.lowest - 1, self.feeder._jumped_to) + self.window
        assert len(self.feeder.due(self.limit)) <= 1 + 2 * len(GROUPS)
        assert sum(map(len, self.feeder.due(self.limit))) <= self.limit

    @rule(group=st.sampled_from(GROUPS), count=st.integers(1, 30))
    def deliver(self, group: str, count: int) -> None:
        consumer, queue = self.consumers[group], self.broker.packets[group]
        for packet in queue[:count]:
            consumer.receive(packet, self.now_s)
        del queue[:count]

    @rule(group=st.sampled_from(GROUPS))
    def commit_effects(self, group: str) -> None:
        self.consumers[group].commit(self.now_s)

    @rule(count=st.integers(1, 10))
    def hear(self, count: int) -> None:
        for group, word in self.broker.words[:count]:
            if self.up:
                self.take_word(group, word)
        del self.broker.words[:count]

    def take_word(self, group: str, word: Word) -> None:
        if word.resend:
            self.feeder.ask(group, word.epoch, word.through, self.now_s, word.ahead)
        else:
            self.feeder.mark(group, word.epoch, word.through, word.ahead)

    @rule(margin=st.integers(0, 5))
    def prune(self, margin: int) -> None:
        self.journal.prune(self.feeder.prunable, before_ns=max(self.journal.head - margin, 0))
        self.feeder.committed(self.journal.head, self.journal.lowest)

    @rule(seconds=st.sampled_from([0.1, 0.6, 3.0, 40.0]))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds
        self.feeder.tick(self.now_s)

    # What fails

    @rule(up=st.booleans())
    def link(self, up: bool) -> None:
        self.up = up
        self.feeder.linked(up)
        for group, word in list(self.broker.retained.items()) if up else []:
            self.take_word(group, word)

    @rule(group=st.sampled_from(GROUPS), index=st.integers(0, 40), what=st.sampled_from(["drop", "repeat", "swap"]))
    def spoil_packets(self, group: str, index: int, what: str) -> None:
        spoil(self.broker.packets[group], index, what)

    @rule(index=st.integers(0, 10), what=st.sampled_from(["drop", "repeat", "swap"]))
    def spoil_words(self, index: int, what: str) -> None:
        spoil(self.broker.words, index, what)

    @rule(group=st.sampled_from(GROUPS))
    def lose_all_packets(self, group: str) -> None:
        self.broker.packets[group].clear()

    @rule()
    def kill_broker(self) -> None:
        """Everybody loses the link; a consumer asks when it is back, a producer begins again behind the watermark."""
        self.broker.forget()
        self.link(up=False)
        self.link(up=True)
        for consumer in self.consumers.values():
            if consumer.alive:
                consumer.ask(self.now_s + RETELL_S)

    @rule()
    def kill_producer(self) -> None:
        self.journal.close()
        self.journal = Journal.open(self.folder / "journal.db", "gw1")
        self.start_feeder()

    @rule(group=st.sampled_from(GROUPS), roll_back=st.booleans())
    def kill_consumer(self, group: str, roll_back: bool) -> None:
        consumer = self.consumers[group]
        if roll_back:
            consumer.roll_back()
        elif consumer.alive:
            consumer.alive = False
            self.broker.packets[group].clear()
            consumer.restart()

    @rule(group=st.sampled_from(GROUPS))
    def return_of(self, group: str) -> None:
        consumer = self.consumers[group]
        if not consumer.alive:
            consumer.alive = True
            consumer.ask(self.now_s)

    # What holds

    @rule()
    def faults_stop(self) -> None:
        """Whoever is alive gets everything in bounded time, whether the other group is or not."""
        self.drain([group for group in GROUPS if self.consumers[group].alive])

    def drain(self, groups: list[str] | tuple[str, ...]) -> None:
        if not self.up:
            self.link(up=True)
        self.commit_rows(1)
        before, expected = self.published, self.journal.head
        steps = int((2 * PROBE_MAX_S + expected) / STEP_S)
        for _ in range(steps):
            if all(len(self.consumers[group].effects) == expected for group in groups):
                break
            self.now_s += STEP_S
            self.feeder.tick(self.now_s)
            self.publish()
            for group in groups:
                self.deliver(group, 10**6)
                self.commit_effects(group)
            self.hear(10**6)
        for group in groups:
            assert sorted(self.consumers[group].effects) == list(range(1, expected + 1))
        assert self.published - before <= 5 * expected + 20 * self.window

    @invariant()
    def exactly_once_in_order(self) -> None:
        for consumer in getattr(self, "consumers", {}).values():
            at = consumer.committed or Cursor("", 0)
            spans = [(1, at.through), *at.ahead]
            assert sorted(consumer.effects) == [seq for first, last in spans for seq in range(first, last + 1)]
            assert self.lanes or consumer.effects == sorted(consumer.effects)
            assert in_turn(consumer.effects)

    @invariant()
    def nothing_needed_is_pruned(self) -> None:
        if hasattr(self, "journal"):
            assert self.journal.lowest - 1 <= self.feeder.prunable <= self.journal.head or not self.feeder.prunable
            had = [consumer.committed.through if consumer.committed else 0 for consumer in self.consumers.values()]
            assert self.journal.lowest - 1 <= min(had)


def in_turn(seqs: list[int]) -> bool:
    """Whether each row was the oldest that was missing, or newer than all before it."""
    had: set[int] = set()
    oldest, newest = 1, 0
    for seq in seqs:
        if seq != oldest and seq <= newest:
            return False
        had.add(seq)
        newest = max(newest, seq)
        while oldest in had:
            oldest += 1
    return True


class DeliveryInLanes(Delivery):
    lanes = True

    @initialize(window=st.integers(1, 8), limit=st.integers(1, 12))
    def start(self, window: int, limit: int) -> None:
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr("edgemesh.log.feeder.LANE_ROWS", 3)
        super().start(window, limit)

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            if hasattr(self, "patch"):
                self.patch.undo()

    @rule(count=st.integers(4, 30))
    def be_cut_off(self, count: int) -> None:
        """The producer's link is away for longer than rows may wait, and it goes on committing."""
        self.link(up=False)
        for queue in self.broker.packets.values():
            queue.clear()
        self.commit_rows(count)
        self.wait(3.0)
        self.wait(3.0)
        self.commit_rows(1)
        self.link(up=True)


def spoil(queue: list[object] | list[Packet] | list[tuple[str, Word]], index: int, what: str) -> None:
    if index < len(queue):
        items: list[object] = queue  # type: ignore[assignment]
        if what == "drop":
            del items[index]
        elif what == "repeat":
            items.append(items[index])
        else:
            items[0], items[index] = items[index], items[0]


Delivery.TestCase.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
TestDelivery = Delivery.TestCase
DeliveryInLanes.TestCase.settings = Delivery.TestCase.settings
TestDeliveryInLanes = DeliveryInLanes.TestCase
