"""Where a step runs: on the event loop while steps are short, in the worker thread when one may be long."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from edgemesh.agents.core import Input, Lesson
from edgemesh.agents.gateway import GatewayCore
from edgemesh.agents.runtime import Runtime
from edgemesh.agents.steps import LONG_S, SHORT_STEPS
from edgemesh.model.agents import Role
from edgemesh.model.samples import Record
from tests.unit.agents.site import running


class Noting(GatewayCore):
    """A core that notes in which thread it runs, and takes its time when `slow` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: list[str] = []
        self.slow = False

    def handle(self, pack: Input) -> Sequence[Record]:
        self.threads.append(threading.current_thread().name)
        if self.slow:
            end_s = time.perf_counter() + 1.5 * LONG_S
            while time.perf_counter() < end_s:
                pass
        return super().handle(pack)


async def step(agent: Runtime, core: Noting, put: object) -> None:
    """One step with one sample, seen to its end."""
    before = len(core.threads)
    assert callable(put)
    put("gateway", 1.0)
    deadline_s = time.monotonic() + 5.0
    while (len(core.threads) == before or agent.waiting) and time.monotonic() < deadline_s:
        await asyncio.sleep(0)


def test_short_steps_run_on_the_loop_and_a_long_one_sends_them_back(tmp_path: Path) -> None:
    """The first steps are the worker's, short ones the loop's; after a long one the next is the worker's again."""

    async def scene() -> list[str]:
        core = Noting()
        async with running(tmp_path) as site:
            agent = site.add("gateway", Role.GATEWAY, lambda: core)
            await site.start()
            agent.steps.expect_long()
            await step(agent, core, site.put)
            agent.steps._short, agent.steps._mean_s = SHORT_STEPS, 0.0
            await step(agent, core, site.put)
            core.slow = True
            await step(agent, core, site.put)
            await step(agent, core, site.put)
        return core.threads

    first, short, slow, after = asyncio.run(scene())
    loop = threading.main_thread().name
    assert first.startswith("gateway")
    assert (short, slow) == (loop, loop)
    assert after.startswith("gateway")


class Learning(Noting):
    """A core that may have to learn at any step, and has nobody do it."""

    learns = True

    def lessons(self) -> Sequence[Lesson]:
        return ()


def test_a_core_that_learns_does_it_where_nobody_waits(tmp_path: Path) -> None:
    """However short its steps were, they stay in the worker: the one that learns would hold up every neighbour."""

    async def scene() -> list[str]:
        core = Learning()
        async with running(tmp_path) as site:
            agent = site.add("gateway", Role.GATEWAY, lambda: core)
            await site.start()
            agent.steps._short, agent.steps._mean_s = SHORT_STEPS, 0.0
            await step(agent, core, site.put)
        return core.threads

    (thread,) = asyncio.run(scene())
    assert thread.startswith("gateway")
