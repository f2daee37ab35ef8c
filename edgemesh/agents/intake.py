"""What stands between a gateway's drivers and its runtime: the inlet, and the care for drivers whose device is gone."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from edgemesh.agents.items import Offered
from edgemesh.agents.runtime import MAX_ITEMS, Runtime
from edgemesh.bus.contract import Message
from edgemesh.drivers.contract import Driver, Settle, Take
from edgemesh.errors import DriverError, InputError
from edgemesh.model.samples import Sample

logger = logging.getLogger(__name__)

RETRY_S = (0.5, 30.0)
QUIET_S = 60.0
"""A device that comes and goes is said to be gone so often at most."""
ROOM_ITEMS = 200
MAX_WAITING = 20_000
"""Puts that wait for a commit at most; a driver that waits for `room` never comes near. More are turned away."""
ROOM_POLL_S = 0.005


@dataclass(slots=True)
class IntakeStats:
    """Samples taken over, samples turned away because too many waited, and how often a driver had to be run again."""

    samples: int = 0
    turned_away: int = 0
    restarts: int = 0


class Intake:
    """The inlet of one gateway, shared by its drivers."""

    def __init__(self, runtime: Runtime, *, backlog_rows: int = 4_096) -> None:
        self.stats = IntakeStats()
        self._runtime = runtime
        self._backlog_rows = backlog_rows
        self._tasks: list[asyncio.Task[None]] = []
        self._listening: list[tuple[str, Take]] = []
        self._traceparent = ""

    # -- the inlet ----------------------------------------------------------------------------------------------------

    def put(self, samples: Sequence[Sample], settle: Settle | None = None) -> None:
        """See `edgemesh.drivers.contract.Inlet.put`."""
        if self._is_too_much(len(samples)):
            return
        self.stats.samples += len(samples)
        if self._traceparent or any(sample.trace for sample in samples):
            samples = [self._traced(sample) for sample in samples]
        self._runtime.offer(Offered(samples, settle))

    def _traced(self, sample: Sample) -> Sample:
        """The sample in the trace of its device, if that is one and is recorded: strictly written, or none."""
        tracer = self._runtime.engine.tracer
        trace = tracer.continued(sample.trace or self._traceparent) if tracer else ""
        return msgspec.structs.replace(sample, trace=trace)

    async def room(self, *, follow: bool = False) -> None:
        """See `edgemesh.drivers.contract.Inlet.room`: few steps are waiting."""
        while self._runtime.waiting > self._room_items or (follow and self._behind() > self._backlog_rows):
            await asyncio.sleep(ROOM_POLL_S)

    @property
    def _room_items(self) -> int:
        """More may wait while commits rest for the write budget's sake: sampling goes on."""
        return MAX_ITEMS // 2 if self._runtime.resting else ROOM_ITEMS

    def _behind(self) -> int:
        feed = self._runtime.feed
        return self._runtime.engine.journal.head - feed.feeder.published_through if feed else 0

    def reject(self, reason: str, origin: str, payload: bytes, detail: str = "") -> None:
        """See `edgemesh.drivers.contract.Inlet.reject`."""
        if self._is_too_much(1):
            return
        self._runtime.refuse(reason, origin, payload, detail)

    def _is_too_much(self, count: int) -> bool:
        """Whether so much waits to be kept that what comes now is turned away; it is counted, and said once."""
        if self._runtime.waiting < MAX_WAITING:
            return False
        if not self.stats.turned_away:
            logger.error("%s: too much waits to be kept: what comes now is turned away", self._runtime.name)
        self.stats.turned_away += count
        return True

    def now_ns(self) -> int:
        """The gateway's clock, UTC."""
        return self._runtime.engine.clock.now_ns()

    def listen(self, pattern: str, take: Take) -> None:
        """See `edgemesh.drivers.contract.Inlet.listen`; a driver that runs again may listen again."""
        if (pattern, take) in self._listening:
            return
        self._listening.append((pattern, take))

        def handle(message: Message) -> None:
            self._traceparent = message.traceparent
            try:
                take(message.topic, message.payload, message.settle)
            finally:
                self._traceparent = ""

        self._runtime.bus.subscribe(pattern, handle)

    # -- the drivers --------------------------------------------------------------------------------------------------

    def start(self, drivers: Sequence[tuple[str, Driver]]) -> None:
        """Run each driver until it ends by itself or `stop` comes."""
        self._tasks = [asyncio.create_task(self._care(name, driver), name=f"driver.{name}") for name, driver in drivers]
        for task in self._tasks:
            task.add_done_callback(_say_fault)

    async def finished(self) -> None:
        """Return when every driver has said that nothing more will come. InputError: one can't read its data."""
        await asyncio.gather(*self._tasks)

    async def stop(self) -> None:
        """Cancel the drivers; returns when none runs any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _care(self, name: str, driver: Driver) -> None:
        wait_s, gone, said_s = RETRY_S[0], False, -QUIET_S
        while True:
            taken = self.stats.samples
            try:
                await driver.run(self)
                return
            except DriverError as error:
                if self.stats.samples > taken:
                    wait_s, gone = RETRY_S[0], False
                if not gone:
                    now_s = time.monotonic()
                    level = logging.WARNING if now_s - said_s >= QUIET_S else logging.DEBUG
                    logger.log(level, "driver %s: %s; trying again", name, error)
                    said_s = now_s if level == logging.WARNING else said_s
                gone = True
            except InputError as error:
                logger.error("driver %s: %s; it stays off", name, error)
                raise
            self.stats.restarts += 1
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, RETRY_S[1])


def _say_fault(task: asyncio.Task[None]) -> None:
    """A driver that ends with what drivers may not raise has a fault: say so, for it reads no more."""
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, InputError):
        logger.error("%s has a fault and stays off", task.get_name(), exc_info=error)
