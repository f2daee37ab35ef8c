"""The system's clock: hold times and deadlines must not notice that somebody sets the wall clock."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemesh.agents.clock import FLOOR_NS, SLEW_PPM, Clock, ClockState, DataClock, SystemClock, Turn
from edgemesh.agents.timeservice import is_synchronised
from edgemesh.testing import FixedClock

SECOND = 10**9
HOUR = 3600 * SECOND
NOW = FLOOR_NS + 300 * 86_400 * SECOND
Y2038 = 2_147_483_648 * SECOND


@dataclass
class World:
    """A wall clock that can be set, and a steady one that can't; the steady one begins at `steady`."""

    wall: int = NOW
    steady: int = 1_000 * SECOND
    synchronised: bool = False

    def clock(self, boot: str = "this", **settings: object) -> SystemClock:
        return SystemClock(wall=lambda: self.wall, steady=lambda: self.steady, boot=boot, **settings)  # type: ignore[arg-type]

    def passes(self, seconds: float, clock: SystemClock) -> list[Turn]:
        """Let time pass, checked four times a second; what the checks said."""
        turns = []
        for _ in range(round(seconds * 4)):
            self.wall += SECOND // 4
            self.steady += SECOND // 4
            turns += [turn] if (turn := clock.check()) else []
        return turns


def test_time_passes_as_the_steady_clock_does() -> None:
    """Without any disturbance the clock shows the machine's time, and nothing is ever doubted."""
    world = World()
    clock = world.clock()
    assert world.passes(60, clock) == []
    assert (clock.now_ns(), clock.doubt) == (world.wall, 0)
    assert isinstance(clock, SystemClock)
    assert abs(SystemClock().now_ns() - time.time_ns()) < SECOND


@pytest.mark.parametrize("jump", [HOUR, -HOUR, Y2038 - NOW, -NOW, 2 * SECOND, -2 * SECOND])
def test_a_jump_and_back_is_doubted_and_moves_nothing(jump: int) -> None:
    """A wall clock that is set and set back: time goes on at its rate, and nothing was off."""
    world = World()
    clock = world.clock()
    world.passes(5, clock)
    world.wall += jump
    began = clock.now_ns()
    (turn,) = world.passes(30, clock)
    assert turn == Turn(0, clock.doubt)
    assert clock.doubt
    assert clock.now_ns() - began == 30 * SECOND
    world.wall -= jump
    assert world.passes(5, clock) == [Turn(0, 0)]
    assert (clock.now_ns(), clock.doubt) == (world.wall, 0)


def test_a_jump_that_stays_is_right_in_the_end() -> None:
    """A wall clock that stays where it was set is believed after the patience, and says by how much time moved."""
    world = World()
    clock = world.clock(doubt_s=60)
    world.wall += HOUR
    turns = world.passes(70, clock)
    assert turns[0].doubt
    assert turns[1:] == [Turn(HOUR, 0)]
    assert clock.now_ns() == world.wall
    world.wall -= HOUR
    turns = world.passes(70, clock)
    assert turns[0].doubt
    assert turns[1:] == [Turn(-HOUR, 0)]
    assert clock.now_ns() == world.wall


def test_a_wall_clock_that_is_set_again_and_again_is_not_believed() -> None:
    """The patience begins anew with each jump, under one and the same doubt."""
    world = World()
    clock = world.clock(doubt_s=10)
    turns = []
    for _ in range(20):
        world.wall += HOUR
        turns += world.passes(5, clock)
    assert turns == [Turn(0, clock.doubt)]
    assert clock.doubt


def test_a_start_in_1970_is_doubted_until_the_clock_is_set() -> None:
    """A Raspberry Pi has no clock of its own: time begins in 1970, flagged, and turns as soon as it is known."""
    world = World(wall=5 * SECOND)
    clock = world.clock()
    assert clock.doubt
    assert clock.now_ns() == 5 * SECOND
    assert world.passes(60, clock) == []
    world.wall = 100 * SECOND  # set by somebody, but still 1970
    assert world.passes(5, clock) == []
    assert clock.now_ns() == 70 * SECOND
    world.wall = NOW
    (turn,) = world.passes(1, clock)
    assert turn.doubt == 0
    assert clock.doubt == 0
    assert clock.now_ns() == world.wall == 70 * SECOND + turn.by_ns + SECOND


def test_where_a_time_service_is_asked_it_decides() -> None:
    """`synchronised`: not believed before the service says so, then at once; later it may pause."""
    world = World(wall=NOW - 9 * HOUR)  # what a fake hardware clock remembers
    clock = world.clock(synchronised=lambda: world.synchronised)
    assert clock.doubt
    assert world.passes(5, clock) == []
    world.wall += 9 * HOUR
    world.synchronised = True
    assert [turn.doubt for turn in world.passes(1, clock)] == [0]
    assert clock.now_ns() == world.wall
    world.synchronised = False
    assert world.passes(5, clock) == []
    world.wall += HOUR  # by hand: nobody vouches for it
    (turn,) = world.passes(1_000, clock)
    assert turn.doubt
    world.synchronised = True
    assert world.passes(1, clock) == [Turn(HOUR, 0)]


@given(ppm=st.integers(-20_000, 20_000), seconds=st.integers(1, 600))
def test_drift_is_followed_without_a_jump(ppm: int, seconds: int) -> None:
    """A wall clock that runs up to 2 % wrong is followed: never back, never doubted, never more than 10 ms behind."""
    world = World()
    clock = world.clock()
    before = clock.now_ns()
    for _ in range(seconds * 4):
        world.steady += SECOND // 4
        world.wall += SECOND // 4 + SECOND // 4 * ppm // 1_000_000
        assert before < clock.now_ns()
        assert clock.check() is None
        before = clock.now_ns()
    assert abs(world.wall - clock.now_ns()) < 25_000_000


@given(jumps=st.lists(st.tuples(st.integers(-2 * HOUR, 2 * HOUR), st.integers(1, 40)), max_size=20))
def test_time_passes_at_its_rate_whatever_the_wall_clock_does(jumps: list[tuple[int, int]]) -> None:
    """Between two instants there is as much time as has passed, but for what the turns say and 5 % of following."""
    world = World()
    clock = world.clock(doubt_s=5)
    began, moved, passed = clock.now_ns(), 0, 0
    for by, quarters in jumps:
        world.wall += by
        for _ in range(quarters):
            world.steady += SECOND // 4
            world.wall += SECOND // 4
            passed += SECOND // 4
            before = clock.now_ns()
            turn = clock.check()
            moved += turn.by_ns if turn else 0
            assert clock.now_ns() - before == (turn.by_ns if turn else 0)
            assert abs(clock.now_ns() - began - moved - passed) <= passed * SLEW_PPM // 1_000_000
            assert clock.doubt or abs(world.wall - clock.now_ns()) <= SECOND


def test_a_process_that_is_started_again_goes_on() -> None:
    """Within one boot nothing is forgotten: neither the time that has passed nor what the clock is in doubt about."""
    world = World()
    first = world.clock()
    world.wall += HOUR
    world.passes(1, first)
    assert first.state
    assert first.doubt
    state, was = first.state, first.now_ns()
    world.wall += 20 * SECOND
    world.steady += 20 * SECOND
    second = world.clock()
    assert second.resume(state)
    assert (second.now_ns(), second.doubt) == (was + 20 * SECOND, first.doubt)
    world.wall -= HOUR
    assert world.passes(1, second) == [Turn(0, 0)]


def test_another_boot_begins_anew() -> None:
    """What the steady clock of an earlier boot said means nothing now."""
    world = World()
    state = world.clock().state
    assert state is not None
    clock = World(wall=NOW + HOUR, steady=SECOND).clock(boot="next")
    assert not clock.resume(state)
    assert clock.now_ns() == NOW + HOUR
    assert not world.clock(boot="").resume(ClockState("", 0, 0, False))


def test_a_reading_of_two_clocks_that_was_held_up_says_nothing() -> None:
    """When we are stopped between looking at one clock and the other, their difference is no jump."""
    world = World()
    clock = world.clock()
    world.passes(1, clock)
    held: list[None] = []
    real = clock._wall

    def slow() -> int:
        held.append(None)
        world.steady += 3 * SECOND
        world.wall += 3 * SECOND
        return real() - 3 * SECOND

    clock._wall = slow
    world.steady += SECOND
    world.wall += SECOND
    assert clock.check() is None
    assert clock.doubt == 0
    assert len(held) == 3


def test_other_clocks_have_nobody_who_sets_them() -> None:
    """Data and tests are their own clocks."""
    for clock in (DataClock(), FixedClock()):
        other: Clock = clock
        assert (other.check(), other.state, other.doubt) == (None, None, 0)
        assert not other.resume(ClockState("b", 0, 0, False))


def test_the_kernel_can_be_asked() -> None:
    """On Linux the kernel knows whether a time service holds its clock; the answer is one of two."""
    assert is_synchronised() in (True, False)
