"""Clocks that a runtime can be given: the system's, or the time of the data it plays."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

REBASE_NS = 60_000_000_000
STEP_NS = 1_000_000_000
"""The wall clock has been set when it is this far from where it should be; less is drift, and is followed slowly."""
DOUBT_S = 600.0
FLOOR_NS = 1_767_225_600 * 10**9
"""2026-01-01, the year of this release: a clock that shows less was never set since the power came on."""
CHECK_NS = 200_000_000
SLEW_PPM = 50_000
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_SURE_NS = 1_000_000
_SECOND_NS = 10**9


class Turn(msgspec.Struct, frozen=True):
    """The clock is another one from now on: `by_ns` later than it was, with no time passed between.

    `doubt` names the clock as long as its times are not to be believed; 0: they are.
    """

    by_ns: int
    doubt: int


class ClockState(msgspec.Struct, frozen=True):
    """A clock as it outlives its process: `base_ns` is UTC less the steady clock of the boot named `boot`.

    `stepped`: in doubt because the wall clock was set, not because it cannot be right.
    """

    boot: str
    base_ns: int
    doubt: int
    stepped: bool


class Clock(Protocol):
    """UTC in integer nanoseconds, as the agent sees it.

    `doubt`: its name while it can't be believed, else 0; `turns`: how often `check` has had something to say.
    """

    doubt: int
    turns: int

    def now_ns(self) -> int:
        """The time now; never goes back, but for what `check` says."""
        ...

    def observe(self, at_ns: int) -> bool:
        """Take note that data of this time is about to be handled; True when that moves the clock."""
        ...

    def stamp(self, at_ns: int) -> int:
        """The time to write on what came about at `at_ns` and is committed now."""
        ...

    def check(self) -> Turn | None:
        """Compare with the world; what is returned holds from now on. Called a few times a second, between steps."""
        ...

    @property
    def state(self) -> ClockState | None:
        """What is to be kept for the next start; None: nothing."""
        ...

    def resume(self, state: ClockState) -> bool:
        """Go on from what was kept, if nothing but this process has ended since; say whether that is so."""
        ...


@dataclass(frozen=True, slots=True)
class _Line:
    """Time as a straight line over the steady clock, which bends a little to follow the wall clock's drift.

    At `steady_ns` it was `at_ns`; for the second after that it runs `ppm` millionths faster.
    """

    steady_ns: int
    at_ns: int
    ppm: int = 0

    def at(self, steady_ns: int) -> int:
        elapsed = steady_ns - self.steady_ns
        return self.at_ns + elapsed + min(elapsed, _SECOND_NS) * self.ppm // 1_000_000


class SystemClock:
    """The machine's clock, which somebody may set at any time: hold times and deadlines must not notice.

    Time runs on as the steady (monotonic) clock does. Drift of the wall clock is followed at up to 5 %. Where the wall
    clock is suddenly more than 1 s off, it is not followed but *doubted*: if it comes back, nothing was wrong; if it
    stays where it is for `doubt_s` (or until it is `synchronised`), it is right and time turns to it. A wall clock
    before `floor_ns` was never set: time begins there, in doubt, and turns as soon as the wall clock is past it.

    `wall` and `steady` give ns; `synchronised` says whether a time service holds the wall clock, None: nobody is asked.
    """

    def __init__(
        self,
        *,
        floor_ns: int = FLOOR_NS,
        doubt_s: float = DOUBT_S,
        synchronised: Callable[[], bool] | None = None,
        wall: Callable[[], int] = time.time_ns,
        steady: Callable[[], int] = lambda: time.clock_gettime_ns(_STEADY),
        boot: str | None = None,
    ) -> None:
        self._floor_ns, self._doubt_ns = floor_ns, int(doubt_s * 1e9)
        self._synchronised = synchronised
        self._wall, self._steady = wall, steady
        self._boot = read_boot() if boot is None else boot
        now_ns, steady_ns, _ = self._read()
        self._line = _Line(steady_ns, now_ns)
        self._checked_ns = steady_ns
        self._stepped = False
        self._off_ns = self._off_since_ns = 0
        self.doubt = 0 if self._is_sound(now_ns) else _name()
        self.turns = 0

    def now_ns(self) -> int:
        """The time now."""
        return self._line.at(self._steady())

    def observe(self, at_ns: int) -> bool:
        """Data does not move the machine's clock."""
        return False

    def stamp(self, at_ns: int) -> int:
        """The time of the commit."""
        return self.now_ns()

    @property
    def state(self) -> ClockState | None:
        """See `Clock.state`; there always is one."""
        steady_ns = self._steady()
        return ClockState(self._boot, self._line.at(steady_ns) - steady_ns, self.doubt, self._stepped)

    def resume(self, state: ClockState) -> bool:
        """See `Clock.resume`; a clock that was set since is found by the next `check`."""
        if state.boot != self._boot or not self._boot:
            return False
        steady_ns = self._steady()
        self._line = _Line(steady_ns, state.base_ns + steady_ns)
        self.doubt, self._stepped = state.doubt, state.stepped
        self._off_ns = 0
        return True

    def check(self) -> Turn | None:
        """See `Clock.check`; looks at the wall clock five times a second at most."""
        if self._steady() - self._checked_ns < CHECK_NS:
            return None
        wall_ns, steady_ns, sure = self._read()
        self._checked_ns = steady_ns
        now_ns = self._line.at(steady_ns)
        off_ns = wall_ns - now_ns
        if self.doubt and not self._stepped:
            return self._turn(steady_ns, wall_ns, now_ns) if self._is_sound(wall_ns) else None
        if abs(off_ns) <= STEP_NS:
            return self._follow(steady_ns, now_ns, off_ns if sure else 0)
        if not sure:
            return None
        return self._wait(steady_ns, wall_ns, now_ns)

    def _follow(self, steady_ns: int, now_ns: int, off_ns: int) -> Turn | None:
        """Bend towards the wall clock; if it was doubted, it has come back."""
        ppm = max(-SLEW_PPM, min(SLEW_PPM, off_ns * 1_000_000 // _SECOND_NS))
        self._line = _Line(steady_ns, now_ns, ppm)
        if not self.doubt:
            return None
        self.turns += 1
        self.doubt, self._stepped = 0, False
        return Turn(0, 0)

    def _wait(self, steady_ns: int, wall_ns: int, now_ns: int) -> Turn | None:
        """The wall clock was set: believe it once it has stayed for long enough."""
        off_ns = wall_ns - now_ns
        if abs(off_ns - self._off_ns) > STEP_NS or not self._off_ns:
            self._off_ns, self._off_since_ns = off_ns, steady_ns
        if not self.doubt:
            self.turns += 1
            self._line = _Line(steady_ns, now_ns)
            self.doubt, self._stepped = _name(), True
            return Turn(0, self.doubt)
        patience_ns = 0 if self._synchronised else self._doubt_ns
        if self._is_sound(wall_ns) and steady_ns - self._off_since_ns >= patience_ns:
            return self._turn(steady_ns, wall_ns, now_ns)
        return None

    def _turn(self, steady_ns: int, wall_ns: int, now_ns: int) -> Turn:
        self.turns += 1  # first, so that whoever sees the new time sees that it is another one
        self._line = _Line(steady_ns, wall_ns)
        self.doubt, self._stepped, self._off_ns = 0, False, 0
        return Turn(wall_ns - now_ns, 0)

    def _is_sound(self, wall_ns: int) -> bool:
        return wall_ns >= self._floor_ns and (self._synchronised is None or self._synchronised())

    def _read(self) -> tuple[int, int, bool]:
        """The wall clock and the steady one at one instant; False: we were held up in between."""
        for _ in range(3):
            before_ns = self._steady()
            wall_ns = self._wall()
            after_ns = self._steady()
            if after_ns - before_ns <= _SURE_NS:
                return wall_ns, after_ns, True
        return wall_ns, after_ns, False


def read_boot() -> str:
    """The name of this boot of the machine; empty where there is none."""
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""


def _name() -> int:
    return secrets.randbits(48) + 1


class DataClock:
    """The time of the newest data handled: a recorded day passes at the speed at which it is played.

    Data that is more than REBASE_NS older than the newest begins another recording: time goes on from where it was, by
    what passes in that one.
    """

    doubt = turns = 0
    state: ClockState | None = None

    def __init__(self) -> None:
        self._latest = 0
        self._ahead = 0

    def now_ns(self) -> int:
        """The newest time observed, 0 before the first."""
        return self._latest

    def observe(self, at_ns: int) -> bool:
        """Move on to this time, never back."""
        if at_ns + self._ahead < self._latest - REBASE_NS:
            self._ahead = self._latest - at_ns
            return True
        moved = at_ns + self._ahead > self._latest
        self._latest = max(self._latest, at_ns + self._ahead)
        return moved

    def stamp(self, at_ns: int) -> int:
        """The time of the data."""
        return at_ns

    def check(self) -> Turn | None:
        """Nothing but data moves it."""
        return None

    def resume(self, state: ClockState) -> bool:
        """Data begins anew."""
        return False
