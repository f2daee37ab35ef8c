"""A crew member answers truthfully, again when not heard, and begins no order twice or without leave."""

import json
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from firmware_sim.executor import RETRY_S, Answer, Begin, Effect, Executor, Habits, Mend, Now, Save
from firmware_sim.listing import Listing, Order
from firmware_sim.memory import Memory

HABITS = Habits(think_s=(0.5, 0.5), travel_s=(1.0, 1.0), work_s=(3.0, 3.0))


class Desk:
    """An executor with a clock; `run` lets time pass in steps of 0.1 s and collects the effects."""

    def __init__(self, memory: Memory | None = None, habits: Habits = HABITS, seed: int = 0) -> None:
        self.executor = Executor("ana", ("operator",), habits, seed, memory)
        self.mono_s = 100.0

    @property
    def now(self) -> Now:
        return Now(self.mono_s, int(self.mono_s * 1e9))

    def give(self, *orders: Order, epoch: int = 1) -> list[str]:
        return words(self.executor.follow(Listing(epoch, orders), self.now))

    def run(self, seconds: float) -> list[str]:
        effects: list[Effect] = []
        for _ in range(round(seconds * 10)):
            self.mono_s += 0.1
            effects += self.executor.tick(self.now)
        return words(effects)


def words(effects: list[Effect]) -> list[str]:
    """Effects in short, without the saves."""
    found = []
    for effect in effects:
        if isinstance(effect, Answer):
            found.append(f"{effect.mark.answer} {effect.order}/{effect.mark.attempt}")
        elif isinstance(effect, Begin):
            found.append(f"begin {effect.order.order}/{effect.mark.attempt}")
        elif isinstance(effect, Mend):
            found.append(f"mend {effect.order.asset}")
    return found


def order(name: str = "a", attempt: int = 1, state: str = "dispatched", skill: str = "operator") -> Order:
    return Order(name, attempt, "pump-101", state, skills=(skill,))


def finish(desk: Desk, fits: bool = True) -> list[str]:
    """Works through order a/1 as a scheduler that listens would see it."""
    said = desk.give(order())
    said += desk.run(0.6)
    said += desk.give(order(state="accepted"))
    said += desk.run(1.1)
    said += desk.give(order(state="in_progress"))
    said += desk.run(3.1)
    said += words(desk.executor.repaired("a", fits, "as the hall says", desk.now))
    return said


def test_from_dispatch_to_done() -> None:
    """Think, accept, travel, ask for leave, begin, work, mend, done."""
    assert finish(Desk()) == ["accepted a/1", "started a/1", "begin a/1", "mend pump-101", "done a/1"]


def test_failed_if_the_skill_does_not_fit() -> None:
    """The hall knows; the note goes to the scheduler."""
    assert finish(Desk(), fits=False)[-1] == "failed a/1"


def test_done_even_if_the_hall_says_nothing() -> None:
    """Done is what somebody says, not what the machine says."""
    desk = Desk()
    desk.give(order(state="in_progress"))
    assert desk.run(5.0) == ["mend pump-101", "done a/1"]


def test_answers_are_repeated_until_the_list_shows_them() -> None:
    """Every two seconds, with the same instant, and no longer than needed."""
    desk = Desk(habits=Habits(think_s=(0.0, 0.0), travel_s=(60.0, 60.0)))
    desk.give(order())
    assert desk.run(0.1) == ["accepted a/1"]
    assert desk.run(RETRY_S * 3 + 0.5) == ["accepted a/1"] * 3
    desk.give(order(state="accepted"))
    assert desk.run(RETRY_S * 3) == []


def test_after_a_reconnect_answers_are_repeated_soon() -> None:
    """The broker may have forgotten them."""
    desk = Desk(habits=Habits(think_s=(0.0, 0.0), travel_s=(60.0, 60.0)))
    desk.give(order())
    desk.run(0.1)
    desk.executor.reconnected(desk.now)
    assert desk.run(0.5) == ["accepted a/1"]


def test_done_again_for_a_new_attempt() -> None:
    """An order that was done is never started again."""
    desk = Desk()
    finish(desk)
    assert desk.give(order(attempt=2)) == ["done a/2"]
    assert desk.give(order(attempt=2, state="in_progress")) == []
    assert desk.run(RETRY_S + 0.1) == ["done a/2"]
    assert desk.give(order(attempt=2, state="done")) == []
    assert desk.run(10.0) == []


def begun(desk: Desk) -> None:
    """Order a/1 is under way."""
    desk.give(order())
    assert desk.run(2.0) == ["accepted a/1", "started a/1"]
    assert desk.give(order(state="in_progress")) == ["begin a/1"]


def test_nothing_begins_without_leave() -> None:
    """The wish is said again and again; work begins when the list shows the order in progress under this attempt."""
    desk = Desk()
    desk.give(order())
    desk.run(2.0)
    desk.give(order(state="accepted"))
    assert desk.run(RETRY_S * 3) == ["started a/1"] * 3
    desk.executor.follow(Listing(1, (order(attempt=0, state="in_progress"),)), desk.now)
    assert not desk.executor.memory.begun
    assert desk.give(order(state="in_progress")) == ["begin a/1"]
    assert desk.give(order(state="in_progress")) == []
    assert desk.run(5.0) == ["mend pump-101", "done a/1"]


def test_taken_back_before_leave() -> None:
    """What disappears from the list meanwhile is dropped, and nothing was begun."""
    desk = Desk()
    desk.give(order())
    desk.run(2.0)
    desk.give()
    assert desk.executor.load == 0
    assert desk.run(20.0) == []
    assert not desk.executor.memory.begun


def test_another_attempt_before_leave() -> None:
    """Accepted and wished for anew; leave for the attempt before counts no more."""
    desk = Desk()
    desk.give(order())
    desk.run(2.0)
    assert desk.give(order(attempt=2)) + desk.run(0.1) == ["accepted a/2", "started a/2"]
    assert desk.give(order(state="in_progress")) == []
    assert desk.give(order(attempt=2, state="in_progress")) == ["begin a/2"]


def test_leave_that_comes_early_counts() -> None:
    """An answer from before a crash was heard late: the list is believed."""
    desk = Desk()
    desk.give(order(state="accepted"))
    assert desk.give(order(state="in_progress")) == ["begin a/1"]


def test_waiting_for_leave_needs_no_clock() -> None:
    """The shell wakes for the next repetition, or not at all."""
    desk = Desk()
    desk.give(order())
    desk.run(2.0)
    assert desk.executor.wake_s == pytest.approx(101.5 + RETRY_S, abs=0.2)
    desk.give(order(attempt=0))
    assert desk.executor.wake_s is None


def test_withdrawn_while_working() -> None:
    """Work stops; given again, it is gone on with when there is leave, not begun again."""
    desk = Desk()
    begun(desk)
    desk.give()
    assert desk.run(20.0) == []
    assert desk.executor.load == 0
    desk.give(order(attempt=2))
    assert desk.run(2.0) == ["accepted a/2", "started a/2"]
    assert desk.give(order(attempt=2, state="in_progress")) == []
    assert desk.run(5.0) == ["mend pump-101", "done a/2"]


def test_given_again_while_working() -> None:
    """It is said at once that work is under way, so that nobody else is given it."""
    desk = Desk()
    begun(desk)
    assert desk.give(order(attempt=2)) == ["started a/2"]
    assert desk.give(order(attempt=2, state="in_progress")) == []
    assert desk.run(5.0) == ["mend pump-101", "done a/2"]


def test_a_list_of_the_past_ends_nothing() -> None:
    """What became of an earlier attempt does not matter for the one in hand."""
    desk = Desk()
    desk.give(order(attempt=2, state="in_progress"))
    desk.give(order(attempt=1, state="done"))
    assert desk.executor.load == 1
    desk.give(order(attempt=2, state="in_progress"))
    assert desk.run(5.0) == ["mend pump-101", "done a/2"]


def test_an_emptied_topic_withdraws_everything() -> None:
    """No payload, no orders."""
    desk = Desk()
    desk.give(order())
    desk.executor.follow(None, desk.now)
    assert desk.run(10.0) == []


def test_lower_epochs_are_ignored() -> None:
    """A leader of yesterday commands nobody, not even after a restart."""
    desk = Desk()
    desk.give(epoch=5)
    assert desk.give(order(), epoch=4) == []
    assert desk.run(5.0) == []
    assert desk.executor.fenced == 1
    again = Desk(Memory.from_json(desk.executor.memory.to_json()))
    assert again.give(order(), epoch=4) == []
    assert again.run(5.0) == []


def test_one_order_at_a_time() -> None:
    """Busy people say so at once instead of letting a deadline pass."""
    desk = Desk()
    assert desk.give(order("a"), order("b")) == ["refused b/1"]
    assert desk.executor.load == 1


def test_orders_without_a_fitting_skill_are_refused() -> None:
    """An operator does not do electrical work."""
    assert Desk().give(order(skill="electrician")) == ["refused a/1"]


def test_refusal_and_silence_are_habits() -> None:
    """Seeded, per order and attempt."""
    refusing, silent = Desk(habits=Habits(refusal=1.0)), Desk(habits=Habits(silence=1.0))
    refusing.give(order())
    silent.give(order())
    assert refusing.run(1.5) == ["refused a/1"]
    assert silent.run(30.0) == []
    some = [Desk(habits=Habits(refusal=0.5), seed=seed) for seed in range(40)]
    refused = 0
    for desk in some:
        desk.give(order())
        refused += desk.run(1.5)[0].startswith("refused")
    assert 10 < refused < 30


def test_crash_while_working() -> None:
    """With its memory, a restarted executor goes on where it was, without beginning anew."""
    desk = Desk()
    begun(desk)
    again = Desk(Memory.from_json(desk.executor.memory.to_json()))
    assert again.give(order(state="in_progress")) == []
    assert again.run(5.0) == ["mend pump-101", "done a/1"]
    assert again.executor.memory.begun["a"].at_ns == desk.executor.memory.begun["a"].at_ns


def test_crash_between_leave_and_work() -> None:
    """Leave that nobody has used is used after the restart."""
    desk = Desk()
    desk.give(order())
    desk.run(2.0)
    again = Desk(Memory.from_json(desk.executor.memory.to_json()))
    assert again.give(order(state="in_progress")) == ["begin a/1"]


def test_a_list_that_has_forgotten_the_leave() -> None:
    """Work on record that the list does not know of is wished for again, marked so, and gone on with on leave only."""
    desk = Desk()
    begun(desk)
    again = Desk(Memory.from_json(desk.executor.memory.to_json()))
    effects = again.executor.follow(Listing(1, (order(state="accepted"),)), again.now)
    assert [(each.mark.answer, each.again) for each in effects if isinstance(each, Answer)] == [("started", True)]
    assert again.run(RETRY_S + 1.0) == ["started a/1"]
    assert again.give(order(state="in_progress")) == []
    assert again.run(5.0) == ["mend pump-101", "done a/1"]


def test_without_a_memory_the_list_is_believed() -> None:
    """An order that is in progress is begun without asking."""
    desk = Desk()
    assert desk.give(order(state="in_progress")) == ["begin a/1"]
    assert "started a/1" not in desk.run(10.0)


def test_silence_does_not_keep_leave_unused() -> None:
    """What is in progress in my name is worked on, however silent or unwilling I am."""
    desk = Desk(habits=Habits(silence=1.0, refusal=1.0))
    assert desk.give(order(state="in_progress")) == ["begin a/1"]


def test_on_record_before_it_is_done() -> None:
    """The memory that knows of the beginning is saved before the work begins."""
    desk = Desk()
    desk.give(order())
    desk.run(2.0)
    save, begin = desk.executor.follow(Listing(1, (order(state="in_progress"),)), desk.now)
    assert isinstance(save, Save)
    assert isinstance(begin, Begin)
    assert Memory.from_json(save.memory).begun["a"] == begin.mark


def test_a_verdict_comes_with_done_every_time() -> None:
    """What was found is said with `done`, when it is said again, under a new attempt, and after a crash."""
    desk = Desk()
    desk.give(order())
    desk.run(0.6)
    desk.give(order(state="accepted"))
    desk.run(1.2)
    desk.give(order(state="in_progress"))
    desk.run(3.1)
    effects = desk.executor.repaired("a", True, "no fault found", desk.now, "false_alarm")
    effects += desk.executor.tick(Now(desk.mono_s + RETRY_S, 0))
    again = Executor("ana", ("operator",), HABITS, 0, Memory.from_json(desk.executor.memory.to_json()))
    effects += again.follow(Listing(1, (order(attempt=2),)), desk.now)
    said = [json.loads(effect.payload("ana")) for effect in effects if isinstance(effect, Answer)]
    assert [(each["answer"], each["attempt"], each["verdict"]) for each in said] == [
        ("done", 1, "false_alarm"),
        ("done", 1, "false_alarm"),
        ("done", 2, "false_alarm"),
    ]


def test_answer_payload() -> None:
    """As documented."""
    desk = Desk()
    (answer,) = desk.executor.follow(Listing(1, (order(skill="electrician"),)), desk.now)[1:]
    assert isinstance(answer, Answer)
    assert json.loads(answer.payload("ana")) == {
        "v": 1,
        "executor": "ana",
        "order": "a",
        "attempt": 1,
        "answer": "refused",
        "at_ns": 100_000_000_000,
        "note": "no electrician",
    }


def test_wake_up_time() -> None:
    """The shell sleeps exactly as long as nothing is due."""
    desk = Desk()
    assert desk.executor.wake_s is None
    desk.give(order())
    assert desk.executor.wake_s == pytest.approx(100.5)


orders = st.builds(
    Order,
    st.sampled_from(["a", "a", "b"]),
    st.integers(1, 3),
    st.just("pump-101"),
    st.sampled_from(["dispatched", "dispatched", "dispatched", "accepted", "in_progress", "done"]),
    skills=st.just(("operator",)),
)
survivals = st.sampled_from([None, None, None, 0, 1, 2])


class CrashingCrew(RuleBasedStateMachine):
    """One executor under lists in any order, epochs, reconnects, and crashes between any two effects.

    `survive` is how many effects of a call are carried out before a crash; None: no crash. After a crash the executor
    is started again with what is on the disk, and finds the retained list.
    """

    def __init__(self) -> None:
        super().__init__()
        self.disk = Memory().to_json()
        self.mono_s = 0.0
        self.retained: Listing | None = None
        self.starts: dict[str, list[int]] = {}
        self.ends: dict[str, set[str]] = {}
        self.epochs = [0]
        self.restart()

    def restart(self) -> None:
        self.executor = Executor("ana", ("operator",), HABITS, 0, Memory.from_json(self.disk))
        self.carry_out(self.executor.follow(self.retained, self.now), None)

    @property
    def now(self) -> Now:
        return Now(self.mono_s, int(self.mono_s * 1e9))

    def carry_out(self, effects: list[Effect], survive: int | None) -> None:
        for effect in effects[:survive]:
            if isinstance(effect, Save):
                self.disk = effect.memory
            elif isinstance(effect, Mend):
                assert effect.order.order not in self.ends
            elif isinstance(effect, Begin):
                self.begin(effect)
            elif isinstance(effect, Answer):
                self.hear(effect)
        if survive is not None:
            self.restart()

    def begin(self, begun: Begin) -> None:
        name, attempt = begun.order.order, begun.mark.attempt
        self.starts.setdefault(name, []).append(attempt)
        assert name not in self.ends, "begun after the end"
        assert name in Memory.from_json(self.disk).begun, "begun without a record"
        listed = self.retained.orders if self.retained else ()
        leave = {(each.order, each.attempt) for each in listed if each.state == "in_progress"}
        assert (name, attempt) in leave, "begun without leave"

    def hear(self, answer: Answer) -> None:
        mark = answer.mark
        if mark.answer in {"done", "failed"}:
            self.ends.setdefault(answer.order, set()).add(mark.answer)
        else:
            assert answer.order not in self.ends, "said something else after the end"

    @rule(given=st.lists(orders, max_size=2), leap=st.sampled_from([0, 0, 0, 1, -1]), survive=survivals)
    def list_orders(self, given: list[Order], leap: int, survive: int | None) -> None:
        epoch = max(0, self.epochs[-1] + leap)
        self.retained = Listing(epoch, tuple(given)) if given else None
        effects = self.executor.follow(self.retained, self.now)
        assert self.retained is None or epoch >= self.epochs[-1] or not effects
        self.carry_out(effects, survive)
        self.epochs.append(Memory.from_json(self.disk).epoch)

    @rule(phases=st.sampled_from([1, 2, 2, 3, 4]), survive=survivals)
    def work(self, phases: int, survive: int | None) -> None:
        """Goes through that many phases of the job in hand; a crash comes in the last one."""
        for phase in range(phases):
            self.mono_s += 3.1
            self.carry_out(self.executor.tick(self.now), survive if phase == phases - 1 else None)

    @rule(name=st.sampled_from(["a", "b"]), fits=st.booleans(), survive=survivals)
    def hall_speaks(self, name: str, fits: bool, survive: int | None) -> None:
        self.carry_out(self.executor.repaired(name, fits, "", self.now), survive)

    @rule()
    def reconnect(self) -> None:
        self.executor.reconnected(self.now)

    @invariant()
    def nothing_starts_twice(self) -> None:
        assert all(len(starts) == 1 for starts in self.starts.values()), self.starts

    @invariant()
    def an_end_is_final(self) -> None:
        assert all(len(ends) == 1 for ends in self.ends.values()), self.ends

    @invariant()
    def epochs_only_grow(self) -> None:
        assert self.epochs == sorted(self.epochs)


CrashingCrew.TestCase.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
TestCrashingCrew = CrashingCrew.TestCase


def test_a_reopened_order_is_work_anew() -> None:
    """Done did not help: with a higher `reopened` it is worked on again, once; with the same one only said again."""
    desk = Desk()
    finish(desk)
    desk.give(order(state="done"))
    assert desk.give(order(attempt=2)) + desk.run(0.1) == ["done a/2"]
    desk.give()
    again = Order("a", 3, "pump-101", skills=("operator",), reopened=1)
    assert desk.give(again) + desk.run(2.0) == ["accepted a/3", "started a/3"]
    assert desk.give(replace(again, state="in_progress")) == ["begin a/3"]
    assert desk.run(5.0) == ["mend pump-101", "done a/3"]


def test_reopened_while_working() -> None:
    """Somebody else did it meanwhile, and it did not help: that is work anew, with leave of its own."""
    desk = Desk()
    begun(desk)
    again = Order("a", 3, "pump-101", skills=("operator",), reopened=1)
    assert desk.give(again) + desk.run(2.0) == ["accepted a/3", "started a/3"]
    assert desk.give(replace(again, state="in_progress")) == ["begin a/3"]
