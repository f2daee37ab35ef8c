"""The circuit breaker: its laws, against a model that keeps the whole past."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edgemesh.notices.breaker import Breaker, State


class Conversation(RuleBasedStateMachine):
    """Calls one at a time, as they are made when the breaker allows; `past` holds how each ended, and when."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker()
        self.now_s = 1_000.0
        self.past: list[tuple[float, bool]] = []
        self.calling_since: float | None = None

    def run_of_failures(self) -> int:
        run = 0
        for _, good in reversed(self.past):
            if good:
                break
            run += 1
        return run

    @property
    def open_until_s(self) -> float:
        """When the last failure of a long run is 30 s ago; 0: never opened since the last success."""
        return self.past[-1][0] + 30.0 if self.run_of_failures() >= 5 else 0.0

    @rule(seconds=st.sampled_from([0.0, 0.1, 1.0, 29.0, 29.999, 30.0, 100.0]))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    @precondition(lambda self: self.calling_since is None and self.breaker.allows(self.now_s))
    @rule()
    def call(self) -> None:
        self.calling_since = self.now_s
        self.breaker.begin(self.now_s)

    @precondition(lambda self: self.calling_since is not None)
    @rule(good=st.sampled_from([False, False, False, True]))
    def end(self, good: bool) -> None:
        self.calling_since = None
        self.past.append((self.now_s, good))
        if good:
            self.breaker.succeed()
        else:
            self.breaker.fail(self.now_s)

    @precondition(lambda self: self.calling_since is not None)
    @rule()
    def vanish(self) -> None:
        """The caller dies; nobody ever says how the call ended."""
        self.calling_since = None

    @invariant()
    def nothing_goes_out_while_it_is_open(self) -> None:
        """Within 30 s of the fifth failure in a row, or of any failure after it."""
        if self.now_s < self.open_until_s:
            assert not self.breaker.allows(self.now_s)
            assert self.breaker.state(self.now_s) is State.OPEN

    @invariant()
    def it_is_closed_until_five_in_a_row(self) -> None:
        """Fewer failures, or a success among them, stop nobody."""
        if self.run_of_failures() < 5:
            assert self.breaker.allows(self.now_s)
            assert self.breaker.state(self.now_s) is State.CLOSED

    @invariant()
    def one_trial_at_a_time(self) -> None:
        """While the trial is under way nobody else may call, unless it is older than 30 s."""
        trial = self.calling_since is not None and self.open_until_s > 0 and self.calling_since >= self.open_until_s
        if trial:
            assert self.breaker.state(self.now_s) is State.HALF_OPEN
            assert self.breaker.allows(self.now_s) is (self.now_s - (self.calling_since or 0.0) >= 30.0)

    @invariant()
    def it_never_locks_for_good(self) -> None:
        """After what `wait_s` says, and never later than 30 s from now, a call may begin."""
        wait_s = self.breaker.wait_s(self.now_s)
        assert 0.0 <= wait_s <= 30.0
        assert (wait_s == 0.0) is self.breaker.allows(self.now_s)
        assert self.breaker.allows(self.now_s + wait_s + 1e-6)


Conversation.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestConversation = Conversation.TestCase


def test_five_failures_open_it_and_one_success_closes_it() -> None:
    """As the issue has it: 30 s open, one trial; a failed trial opens it for another 30 s."""
    breaker = Breaker()
    for _ in range(4):
        breaker.fail(0.0)
    assert breaker.allows(0.0)
    breaker.fail(0.0)
    assert not breaker.allows(29.9)
    assert breaker.allows(30.0)
    breaker.begin(30.0)
    assert not breaker.allows(30.0)
    breaker.fail(31.0)
    assert breaker.state(60.9) is State.OPEN
    assert breaker.allows(61.0)
    breaker.succeed()
    assert breaker.state(61.0) is State.CLOSED
