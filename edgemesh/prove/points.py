"""Failpoints: places in a program at which it can be made to die, to freeze, to hang or to fail, as a fault would.

A point is passed only by steps that have an effect: records for the agent's own log, or packs for its sinks. So the
count of a failpoint counts effects.
"""

from __future__ import annotations

import importlib
import mmap
import os
import signal
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from edgemesh.errors import InputError
from edgemesh.prove.guards import AGENT, FIRMWARE, swap


@dataclass(slots=True)
class Failpoint:
    """Does its action when its point is passed for the `count`th time, once.

    A process and its forks count together: what a watchdog starts anew does not fail again.
    """

    point: str
    count: int
    action: str
    passed: mmap.mmap = field(default_factory=lambda: mmap.mmap(-1, 8))

    def hit(self) -> None:
        """The point is passed."""
        passed = int.from_bytes(self.passed[:8]) + 1
        self.passed[:8] = passed.to_bytes(8)
        if passed == self.count:
            ACTIONS[self.action]()


@dataclass(frozen=True, slots=True)
class Point:
    """`where` in a program it is, and the patch that has it call back in a process that runs the module `module`."""

    where: str
    patch: Callable[[Callable[[], None]], None]
    module: str = AGENT


def read(text: str) -> Failpoint:
    """Read `POINT:COUNT:ACTION`. InputError for what is none, with the lists."""
    point, _, rest = text.partition(":")
    count, _, action = rest.partition(":")
    if point not in POINTS:
        raise InputError(f"no point is called {point!r}", source="--fail", wish=f"one of {', '.join(POINTS)}")
    if action not in ACTIONS:
        raise InputError(f"no action is called {action!r}", source="--fail", wish=f"one of {', '.join(ACTIONS)}")
    if not count.isdecimal() or int(count) < 1:
        raise InputError(f"{count!r} is no count", source="--fail", wish="POINT:COUNT:ACTION, counting from 1")
    return Failpoint(point, int(count), action)


def arm(failpoint: Failpoint, module: str) -> None:
    """Put a failpoint into this process; where the program is not of its kind nothing happens."""
    point = POINTS[failpoint.point]
    if point.module == module:
        point.patch(failpoint.hit)


# -- what happens ------------------------------------------------------------------------------------------------------


def _fail() -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR
    raise error


ACTIONS: dict[str, Callable[[], object]] = {
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "hang": lambda: threading.Event().wait(),
    "raise": _fail,
}
"""`kill` and `stop` send the process SIGKILL and SIGSTOP; `hang` never returns; `raise` is an input/output error."""


# -- where -------------------------------------------------------------------------------------------------------------


def has_effect(engine: Any, step: Any) -> bool:
    """Whether a step writes more than how far the agent is."""
    return bool(step.written) if engine.writes else bool(step.packs and engine._sinks)


def _around_write(hit: Callable[[], None], *, after: bool) -> None:
    from edgemesh.agents.engine import Engine

    def make_write(original: Any) -> Any:
        def write(self: Any, transaction: Any, step: Any, parts: Any) -> None:
            counts = has_effect(self, step)
            if counts and not after:
                hit()
            original(self, transaction, step, parts)
            if counts and after:
                hit()

        return write

    swap(Engine, "_write", make_write)


def _before_cursor(hit: Callable[[], None]) -> None:
    from edgemesh.agents.engine import Engine

    def make_place(original: Any) -> Any:
        def place(self: Any, transaction: Any, step: Any, parts: Any) -> None:
            if has_effect(self, step):
                hit()
            original(self, transaction, step, parts)

        return place

    swap(Engine, "_place", make_place)


def _after_commit(hit: Callable[[], None]) -> None:
    from edgemesh.agents.engine import Engine

    def make_commit(original: Any) -> Any:
        def commit(self: Any, step: Any) -> None:
            original(self, step)
            if has_effect(self, step):
                hit()

        return commit

    swap(Engine, "_commit", make_commit)


def _after_publish(hit: Callable[[], None]) -> None:
    from edgemesh.agents.feed import Feed

    def make_publish(original: Any) -> Any:
        def publish(self: Any, row: Any) -> bool:
            taken: bool = original(self, row)
            if taken:
                hit()
            return taken

        return publish

    swap(Feed, "_publish", make_publish)


def _before_settle(hit: Callable[[], None]) -> None:
    from edgemesh.agents.runtime import Runtime

    def make_act(original: Any) -> Any:
        async def act(self: Any, outcome: Any) -> None:
            if outcome.settles and (outcome.rows or not self.feed):
                outcome.settles.insert(0, hit)
            await original(self, outcome)

        return act

    swap(Runtime, "_act", make_act)


def _before_begun(hit: Callable[[], None]) -> None:
    executor = importlib.import_module("firmware_sim.executor")

    def make_begin(original: Any) -> Any:
        def begin(self: Any, job: Any, now: Any) -> Any:
            if job.order.key not in self.memory.begun:
                hit()
            return original(self, job, now)

        return begin

    swap(executor.Executor, "_begin", make_begin)


def _after_begun(hit: Callable[[], None]) -> None:
    crew = importlib.import_module("firmware_sim.crew")

    def make_begin(original: Any) -> Any:
        def begin(self: Any, begun: Any) -> None:
            original(self, begun)
            hit()

        return begin

    swap(crew.Member, "_begin", make_begin)


POINTS = {
    "effect.before": Point("in the transaction, nothing is written yet", partial(_around_write, after=False)),
    "effect.before-cursor": Point("in the transaction, between the effect and the cursor", _before_cursor),
    "commit.before": Point("in the transaction, all is written", partial(_around_write, after=True)),
    "commit.after": Point("between the commit and all that rests on it", _after_commit),
    "publish.after": Point("a pack was handed to the connection, and may not be on its way yet", _after_publish),
    "settle.before": Point("pack and watermark are handed over, the message is not settled", _before_settle),
    "begun.before": Point("an executor has leave to begin, and has not noted that it does", _before_begun, FIRMWARE),
    "begun.after": Point("an executor has begun the work, and has told nobody since", _after_begun, FIRMWARE),
}
"""By the names that `--fail` takes."""
