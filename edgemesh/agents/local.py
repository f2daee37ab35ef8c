"""A gateway's log for a sentry in the same process: rows go from the outbox to it, with or without a broker."""

from __future__ import annotations

import asyncio
import logging

from edgemesh.agents.items import Given, Heard
from edgemesh.agents.runtime import Runtime
from edgemesh.errors import LogError
from edgemesh.log.outbox import Cursor, Row
from edgemesh.wire import codec
from edgemesh.wire.topics import Topics

logger = logging.getLogger(__name__)

WINDOW = 64
"""Rows that the sentry has not committed yet, at most."""
BEGIN_ROWS = 2_000
"""A sentry that is new begins with the last so many rows: it is to know how the machines stand, not their history."""
RETRY_S = 1.0


class LocalLog:
    """Hands over what `gateway` has committed, in order, from where the sentry's own cursor stands.

    It holds no rows back: what the gateway has dropped before the sentry came to it counts as lost there.
    """

    def __init__(self, gateway: Runtime, sentry: Runtime, topics: Topics) -> None:
        if gateway.feed is None:
            raise ValueError(f"{gateway.name} has no log")
        self._gateway, self._sentry, self._feed = gateway, sentry, gateway.feed
        self._topic = topics.log("readings", gateway.name)
        self._epoch, self._next, self._under_way = "", 0, 0
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; both agents are running."""
        self._feed.watch(self._wake.set)
        self._wake.set()
        self._task = asyncio.create_task(self._run(), name=f"{self._sentry.name}.{self._gateway.name}")

    async def stop(self) -> None:
        """End, before the agents do. What was not handed over is handed over after the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._hand_over()
            except LogError as error:
                logger.warning("%s: the log of %s can't be read now: %s", self._sentry.name, self._gateway.name, error)
                await asyncio.sleep(RETRY_S)
                self._wake.set()

    async def _hand_over(self) -> None:
        journal = self._gateway.engine.journal
        if not self._under_way:
            self._find_place()
        while self._next <= journal.head and self._under_way < WINDOW and self._epoch == journal.epoch:
            after = min(journal.head, self._next + WINDOW - self._under_way - 1)
            rows = await self._feed.rows(range(max(self._next, journal.lowest), after + 1))
            if not rows:
                return
            for row in rows:
                self._give(row)

    def _find_place(self) -> None:
        """Nothing is under way: go on behind what the sentry has committed."""
        journal = self._gateway.engine.journal
        cursor = self._sentry.reader.position(self._gateway.name)
        self._epoch = journal.epoch
        if cursor is None:
            self._next = max(journal.lowest, journal.head - BEGIN_ROWS + 1)
            self._sentry.offer(Given(self._gateway.name, (), None, Cursor(journal.epoch, self._next - 1)))
        else:
            self._next = cursor.through + 1 if cursor.epoch == journal.epoch else journal.lowest

    def _give(self, row: Row) -> None:
        journal = self._gateway.engine.journal
        payload = codec.encode_pack(
            row.kind,
            agent=journal.agent,
            epoch=self._epoch,
            seq=row.seq,
            lowest=journal.lowest,
            at_ns=row.at_ns,
            trace=row.trace,
            body=row.body,
        )
        self._next = row.seq + 1
        self._under_way += 1
        self._sentry.offer(Heard("readings", journal.agent, self._topic, payload, self._settled))

    def _settled(self) -> None:
        self._under_way -= 1
        self._wake.set()
