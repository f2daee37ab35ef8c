"""Where the steps of an engine run: on the event loop as long as they are short, else in the agent's worker thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from edgemesh.agents.engine import Engine
from edgemesh.agents.items import Item, Outcome

T = TypeVar("T")

SHORT_S = 0.005
LONG_S = 0.05
SHORT_STEPS = 20
"""After so many steps in a row that were not long, and short on the whole, steps run on the event loop: it saves two
changes of thread. A long one, or a mean above SHORT_S (a slow disk), sends the next ones back to
the worker thread; a mean tells a slow disk from a machine on which others had the core for a moment."""


class Steps:
    """Runs steps, and other calls on engine or journal, one at a time. Event loop only, but for `busy`.

    `patient`: nobody waits for a step, so that none needs to hold up the loop.
    """

    def __init__(self, engine: Engine, *, patient: bool) -> None:
        self._engine, self._patient = engine, patient
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix=engine.journal.agent)
        self._in_use = asyncio.Lock()
        self._short, self._mean_s = 0, SHORT_S

    @property
    def busy(self) -> bool:
        """Whether engine or journal are at work now; may be asked in any thread."""
        return self._in_use.locked()

    async def run(self, items: Sequence[Item], *, may_hold: bool) -> Outcome:
        """Run the next step where it costs least; raises what `Engine.step` does."""
        call = partial(self._engine.step, items, may_hold=may_hold)
        began_s = time.perf_counter()
        try:
            if self._patient or self._short < SHORT_STEPS or self._engine.may_take_long:
                return await self.in_worker(call)
            async with self._in_use:
                return call()
        finally:
            took_s = time.perf_counter() - began_s
            self._mean_s += (took_s - self._mean_s) / SHORT_STEPS
            self._short = self._short + 1 if took_s < LONG_S and self._mean_s < SHORT_S else 0

    async def in_worker(self, call: Callable[[], T]) -> T:
        """Run a call on engine or journal in the worker thread, after what is already under way."""
        async with self._in_use:
            return await asyncio.get_running_loop().run_in_executor(self._worker, call)

    def expect_long(self) -> None:
        """What was just offered takes long: the next step is the worker's."""
        self._short = 0

    async def close(self) -> None:
        """End the worker thread, once what is under way is over."""
        await asyncio.to_thread(self._worker.shutdown)
