"""The law of the conversation between the scheduler and its executors, hunted over a broker that promises nothing.

The production core of the scheduler and the executors of firmware-sim, each with its disk; between them lists and
answers that are lost, doubled, reordered, late, or from an earlier start of the scheduler.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import Phase, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from edgemesh.agents.core import Input
from edgemesh.agents.scheduler import SchedulerCore
from edgemesh.dispatch import moves
from edgemesh.dispatch.settings import DispatchSettings, WhenCleared
from edgemesh.errors import Rejected
from edgemesh.model.agents import Card
from edgemesh.model.alerts import Alert, AlertState
from edgemesh.model.orders import Answer, AnswerKind, OrderState, WorkOrder
from edgemesh.model.packs import Alerts, Answers, Cards
from edgemesh.model.settings import Seconds
from edgemesh.wire import codec
from firmware_sim import executor as firmware
from firmware_sim import listing
from firmware_sim.memory import Memory
from tests.unit.dispatch.plant import START, S, alert, card

NAMES = ("ana", "ben")
ASSETS = ("P-101", "P-102")
HABITS = firmware.Habits(think_s=(0.1, 0.5), travel_s=(0.1, 1.0), work_s=(0.5, 2.0))
SETTINGS = DispatchSettings(when_cleared=WhenCleared.KEEP, work_within=Seconds(100.0))
CLAIMS = {OrderState.ACCEPTED: "accepted", OrderState.IN_PROGRESS: "started", OrderState.DONE: "done"}
FAULTS = ("drop", "repeat", "swap")


@dataclass
class Person:
    """An executor with its disk and its inbox. `effects` are those that it has not carried out yet."""

    name: str
    saved: str = Memory().to_json()
    incarnation: int = 0
    inbox: list[bytes] = field(default_factory=list)
    heard: list[bytes] = field(default_factory=list)
    mind: firmware.Executor | None = None

    def start(self) -> None:
        self.incarnation += 1
        self.inbox.clear()
        self.mind = firmware.Executor(self.name, ("operator",), HABITS, 1, Memory.from_json(self.saved))

    def card(self, *, up: bool = True) -> Card:
        load = self.mind.load if self.mind else 0
        return card(self.name, up=up, incarnation=f"i{self.incarnation}", load=load)


class Conversation(RuleBasedStateMachine):
    """`starts` counts by executor and piece of work; `log` is what the scheduler has committed, by order."""

    fence = True

    def __init__(self) -> None:
        super().__init__()
        self.parts: dict[str, bytes] = {}
        self.log: dict[str, list[WorkOrder]] = {}
        self.alerts: dict[str, Alert] = {}
        self.epoch = 1
        self.core: SchedulerCore | None = None
        self.retained: dict[str, bytes] = {}
        self.published: dict[str, list[bytes]] = {name: [] for name in NAMES}
        self.answers: list[tuple[str, bytes]] = []
        self.said: list[tuple[str, bytes]] = []
        self.people = {name: Person(name) for name in NAMES}
        self.starts: Counter[tuple[str, str, int]] = Counter()
        self.truth: set[tuple[str, str, int, str]] = set()
        self.now_s = 0.0

    @initialize()
    def begin(self) -> None:
        self.restart_scheduler()
        for name in NAMES:
            self.restart_executor(name)
        self.alert_begins(ASSETS[0], "")

    # -- the scheduler -------------------------------------------------------------------------------------------------

    @property
    def now_ns(self) -> int:
        return START + int(self.now_s * S)

    def tell(self, given: Input | int, *, crash: str = "") -> None:
        """One input: through the core, onto the disk, out to the broker; a crash loses what was not done by then."""
        if self.core is None:
            return
        records = self.core.tick(given) if isinstance(given, int) else self.core.handle(given)
        if crash == "before commit":
            self.core = None
            return
        for key, part in self.core.save().items():
            self.parts.pop(key, None) if part is None else self.parts.update({key: part})
        for record in records:
            assert isinstance(record, WorkOrder)
            self.log.setdefault(record.id, []).append(record)
            self.check_claim(record)
        if crash:
            self.core = None
            return
        self.publish(self.core.present(records))

    def check_claim(self, order: WorkOrder) -> None:
        """What the scheduler believes of an executor, that executor has said of this very attempt."""
        if answer := CLAIMS.get(order.state):
            assert (order.executor, order.id, order.attempt, answer) in self.truth, "the scheduler believes a stranger"

    def publish(self, present: object) -> None:
        assert isinstance(present, dict)
        for topic, record in present.items():
            kind, _, name = topic.partition("/")
            if kind == "dispatch" and name in NAMES:
                payload = codec.encode(record) if record is not None else b""
                self.retained[name] = payload
                self.published[name].append(payload)
                if self.people[name].mind:
                    self.people[name].inbox.append(payload)

    @rule()
    def restart_scheduler(self) -> None:
        self.epoch += 1
        self.core = SchedulerCore("scheduler", "test", SETTINGS, {}, epoch=self.epoch)
        self.core.load(self.parts)
        self.tell(self.now_ns)
        assert self.core is not None
        self.publish(self.core.present(None))
        for person in self.people.values():
            self.tell(Cards((person.card(up=person.mind is not None),)))

    @rule(asset=st.sampled_from(ASSETS), crash=st.sampled_from(("", "", "before commit", "after commit")))
    def alert_begins(self, asset: str, crash: str) -> None:
        if any(one.asset == asset and one.state is not AlertState.CLEARED for one in self.alerts.values()):
            return
        known = alert(asset=asset, number=len(self.alerts))
        self.alerts[known.id] = known
        self.hear_alert(known, crash)

    @rule(asset=st.sampled_from(ASSETS), crash=st.sampled_from(("", "", "before commit", "after commit")))
    def alert_ends(self, asset: str, crash: str = "") -> None:
        for known in list(self.alerts.values()):
            if known.asset == asset and known.state is not AlertState.CLEARED:
                over = Alert(
                    **{name: getattr(known, name) for name in known.__struct_fields__}
                    | {"state": AlertState.CLEARED, "version": known.version + 1}
                )
                self.alerts[known.id] = over
                self.hear_alert(over, crash)

    def hear_alert(self, known: Alert, crash: str = "") -> None:
        pack = Alerts(agent="d1", epoch="e", seq=1, lowest=1, at_ns=START, records=(known,))
        self.tell(pack, crash=crash)
        if crash == "before commit" or self.core is None:
            self.restart_scheduler()  # the log of alerts gives it again
            self.tell(pack)

    # -- between them --------------------------------------------------------------------------------------------------

    @rule(count=st.integers(1, 4), crash=st.sampled_from(("", "", "", "before commit", "after commit")))
    def deliver_answers(self, count: int, crash: str = "") -> None:
        for name, payload in self.answers[:count] if self.core else ():
            try:
                said = codec.decode_answer(payload, executor=name)
            except Rejected as problem:
                pytest.fail(f"an executor said what can't be read: {problem}")
            self.tell(Answers((said,)), crash=crash)
        del self.answers[:count]

    @rule(name=st.sampled_from(NAMES), count=st.integers(1, 4), carried_out=st.sampled_from((99, 99, 99, 0, 1, 2)))
    def deliver_lists(self, name: str, count: int, carried_out: int = 99) -> None:
        person = self.people[name]
        for payload in person.inbox[:count]:
            if person.mind:
                person.heard.append(payload)
                known, effects = json.loads(person.saved)["epoch"], self.follow(person, payload)
                assert not effects or not payload or json.loads(payload)["epoch"] >= known, "a list of the past counted"
                self.carry_out(person, effects, carried_out)
        del person.inbox[:count]

    def follow(self, person: Person, payload: bytes) -> Sequence[firmware.Effect]:
        assert person.mind is not None
        if not self.fence:
            person.mind.memory.epoch = 0
        return person.mind.follow(listing.decode(payload, person.name), self.moment)

    @property
    def moment(self) -> firmware.Now:
        return firmware.Now(self.now_s, self.now_ns)

    @rule(name=st.sampled_from(NAMES), index=st.integers(0, 5), what=st.sampled_from(FAULTS))
    def spoil_lists(self, name: str, index: int, what: str) -> None:
        spoil(self.people[name].inbox, index, what)

    @rule(index=st.integers(0, 5), what=st.sampled_from(FAULTS))
    def spoil_answers(self, index: int, what: str) -> None:
        spoil(self.answers, index, what)

    @rule(index=st.integers(0, 200))
    def an_old_answer_comes_again(self, index: int) -> None:
        if self.said:
            self.answers.append(self.said[index % len(self.said)])

    @rule(name=st.sampled_from(NAMES), index=st.integers(0, 200))
    def an_old_list_takes_the_place_of_the_newest(self, name: str, index: int) -> None:
        """What a scheduler that was frozen had said comes after all, and stands retained."""
        if self.published[name]:
            stale = self.published[name][index % len(self.published[name])]
            self.retained[name] = stale
            if self.people[name].mind:
                self.people[name].inbox.append(stale)

    @rule(name=st.sampled_from(NAMES), index=st.integers(0, 200))
    def an_answer_in_anothers_name(self, name: str, index: int) -> None:
        """Somebody answers for an order that is not theirs."""
        if self.said:
            body = json.loads(self.said[index % len(self.said)][1])
            self.answers.append((name, json.dumps(body | {"executor": name}).encode()))

    @rule()
    def kill_broker(self) -> None:
        """It forgets everything; the scheduler says what stands again, and executors say their answers again."""
        self.retained.clear()
        self.answers.clear()
        for person in self.people.values():
            person.inbox.clear()
            if person.mind:
                person.mind.reconnected(self.moment)
        if self.core:
            self.publish(self.core.present(None))

    # -- the executors -------------------------------------------------------------------------------------------------

    def carry_out(self, person: Person, effects: Sequence[firmware.Effect], at_most: int = 99) -> None:
        """Carry effects out in order; with fewer than there are the executor dies on the way."""
        assert person.mind is not None
        mind = person.mind
        for effect in effects[:at_most]:
            if isinstance(effect, firmware.Save):
                person.saved = effect.memory
            elif isinstance(effect, firmware.Answer):
                said = (person.name, effect.payload(person.name))
                self.answers.append(said)
                self.said.append(said)
                self.truth.add((person.name, effect.order, effect.mark.attempt, effect.mark.answer))
            elif isinstance(effect, firmware.Begin):
                self.note_start(person.name, effect)
            else:
                self.carry_out(person, mind.repaired(effect.order.order, True, "", self.moment))
        if at_most < len(effects):
            self.kill_executor(person.name)

    def note_start(self, name: str, begun: firmware.Begin) -> None:
        """Work begins: the scheduler has committed before that this executor has the order, and has it in progress."""
        order, attempt = begun.order.order, begun.mark.attempt
        self.starts[name, order, begun.order.reopened] += 1
        granted = {(each.executor, each.attempt) for each in self.log[order] if each.state is OrderState.IN_PROGRESS}
        assert (name, attempt) in granted, "work was begun without leave"

    @rule(dt_s=st.sampled_from((0.05, 0.3, 1.0, 2.5, 20.0, 70.0)), carried_out=st.sampled_from((99, 99, 99, 0, 1)))
    def time_passes(self, dt_s: float, carried_out: int = 99) -> None:
        self.now_s += dt_s
        self.tell(self.now_ns)
        for person in self.people.values():
            if person.mind:
                self.carry_out(person, person.mind.tick(self.moment), carried_out)

    @rule(seconds=st.integers(1, 4))
    def all_goes_well(self, seconds: int) -> None:
        """A while in which nothing is lost."""
        for _ in range(4 * seconds):
            for name in NAMES:
                self.deliver_lists(name, 99)
            self.deliver_answers(99)
            self.time_passes(0.25)

    @rule(name=st.sampled_from(NAMES))
    def kill_executor(self, name: str) -> None:
        self.people[name].mind = None
        self.people[name].inbox.clear()

    @rule(name=st.sampled_from(NAMES))
    def restart_executor(self, name: str) -> None:
        """It starts from its disk, and gets what is retained for it."""
        person = self.people[name]
        person.start()
        self.tell(Cards((person.card(),)))
        if payload := self.retained.get(name):
            person.inbox.append(payload)

    @rule(name=st.sampled_from(NAMES), up=st.booleans())
    def a_card_comes_or_is_missed(self, name: str, up: bool) -> None:
        """The scheduler hears of somebody, or takes somebody for dead who may well live."""
        self.tell(Cards((self.people[name].card(up=up and self.people[name].mind is not None),)))

    # -- what holds ----------------------------------------------------------------------------------------------------

    @invariant()
    def nobody_starts_the_same_work_twice(self) -> None:
        assert all(count == 1 for count in self.starts.values()), self.starts

    @invariant()
    def two_begin_only_what_was_overdue(self) -> None:
        """Whoever dies when: another begins the same work only after its deadline, or when somebody said it failed."""
        begun = Counter((order, reopened) for _, order, reopened in self.starts)
        for (order, reopened), names in begun.items():
            versions = [each for each in self.log[order] if each.reopened == reopened]
            assert names <= 1 + sum(map(self.is_lost, versions, versions[1:])), "work was begun by two"

    def is_lost(self, before: WorkOrder, after: WorkOrder) -> bool:
        """Whether the scheduler rightly gave up what was in progress."""
        if before.state is not OrderState.IN_PROGRESS or after.state is not OrderState.OPEN:
            return False
        failed = (before.executor, before.id, before.attempt, "failed") in self.truth
        overdue = before.deadline_at_ns is not None and before.deadline_at_ns <= after.at_ns
        return failed or overdue

    def teardown(self) -> None:
        if self.core is None and not self.parts:
            return
        self.faults_stop()
        names = Counter((order, reopened) for _, order, reopened in self.starts)
        event(f"{min(len(self.log), 3)} orders, {sum(count > 1 for count in names.values())} begun by two")

    def faults_stop(self) -> None:
        """Everybody is there, nothing is lost any more: every order comes to its end."""
        self.restart_scheduler()
        for name in NAMES:
            self.restart_executor(name)
        assert self.core is not None
        self.publish(self.core.present(None))
        for step in range(2_000):
            self.now_s += 0.5
            self.tell(self.now_ns)
            for person in self.people.values():
                self.deliver_lists(person.name, 99)
                assert person.mind is not None
                self.carry_out(person, person.mind.tick(self.moment))
                if step % 10 == 0:
                    self.tell(Cards((person.card(),)))
            self.deliver_answers(99)
            newest = [versions[-1] for versions in self.log.values()]
            if all(order.state.final for order in newest):
                break
            for order in newest:
                if order.state is OrderState.DONE:
                    self.alert_ends(order.asset)
            self.nobody_starts_the_same_work_twice()
        assert {versions[-1].state for versions in self.log.values()} <= {OrderState.VERIFIED}


def spoil(queue: list[bytes] | list[tuple[str, bytes]], index: int, what: str) -> None:
    if index < len(queue):
        items: list[object] = queue  # type: ignore[assignment]
        if what == "drop":
            del items[index]
        elif what == "repeat":
            items.append(items[index])
        else:
            items[0], items[index] = items[index], items[0]


BOUNDS = settings(max_examples=150, stateful_step_count=40, deadline=None)
Conversation.TestCase.settings = BOUNDS
TestConversation = Conversation.TestCase


def hunt(machine: type[Conversation], examples: int = 8_000) -> None:
    """Let Hypothesis look for a schedule that breaks a law; none is remembered."""
    run_state_machine_as_test(
        machine,
        settings=settings(BOUNDS, max_examples=examples, phases=[Phase.generate], database=None, derandomize=True),
    )


def begun_and_overdue() -> Conversation:
    """Ana begins, dies, and starts anew when her time is over; there is nobody else."""
    talk = Conversation()
    talk.begin()
    talk.kill_executor("ben")
    talk.a_card_comes_or_is_missed("ben", up=False)
    while not talk.starts:
        talk.all_goes_well(1)
        assert talk.now_s < 60.0, "nobody begins"
    talk.kill_executor("ana")
    talk.time_passes(70.0)
    talk.time_passes(70.0)
    talk.restart_executor("ana")
    talk.all_goes_well(8)
    return talk


def test_without_the_key_of_the_work_it_is_started_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine sees it when executors take each attempt for work anew."""
    talk = begun_and_overdue()
    talk.nobody_starts_the_same_work_twice()
    assert max(version.attempt for versions in talk.log.values() for version in versions) > 1
    monkeypatch.setattr(listing.Order, "key", property(lambda order: f"{order.order}.{order.attempt}"))
    talk = begun_and_overdue()
    with pytest.raises(AssertionError, match="Counter"):
        talk.nobody_starts_the_same_work_twice()


def test_without_leave_the_work_is_begun_by_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine sees it when executors begin as soon as they have said so, and the scheduler trusts them to wait."""
    monkeypatch.setitem(
        firmware.Executor._PHASE_ENDS,
        firmware.Phase.TRAVELLING,
        lambda mind, job, now: [*mind._begin(job, now), mind._say(job.order, "started", now)],
    )
    with pytest.raises(AssertionError, match="work was begun without leave"):
        hunt(Conversation)

    class Trusting(Conversation):
        """Only what follows from it is looked at."""

        def note_start(self, name: str, begun: firmware.Begin) -> None:
            self.starts[name, begun.order.order, begun.order.reopened] += 1

    with pytest.raises(AssertionError, match="work was begun by two"):
        hunt(Trusting)


def test_without_the_fence_the_past_counts() -> None:
    """The machine sees it when executors follow lists of an earlier epoch."""

    class Unfenced(Conversation):
        fence = False

    with pytest.raises(AssertionError, match=r"Counter|a list of the past counted"):
        hunt(Unfenced)


def test_without_a_look_at_the_attempt_an_order_is_done_that_nobody_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine sees it when answers of dead attempts, or of somebody else, count."""

    def lax(order: WorkOrder | None, answer: Answer) -> str | None:
        return None if order and order.state in moves.ANSWERS[answer.answer][0] else "out_of_order"

    monkeypatch.setattr(moves, "objection", lax)
    with pytest.raises(AssertionError):
        hunt(Conversation)


def test_every_kind_of_answer_is_said() -> None:
    """The executors of the machine say all that the wire has, so nothing of it goes untried."""
    assert set(firmware.ANSWER_RANK) == {kind.value for kind in AnswerKind}
