"""The stand: one site under proof, and what an onlooker sees of it from its files."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgemesh.errors import EdgemeshError, LogError, StoreError
from edgemesh.launch.plant import journal_file
from edgemesh.log.journal import Journal
from edgemesh.prove.faults import Victim
from edgemesh.prove.judge import Verdict, judge
from edgemesh.prove.site import DEVICES, Site
from edgemesh.store.history import History

RECOVER_S = 30.0
DRAIN_S = 60.0
CALM_S = 4.0
POLL_S = 0.02


class StuckError(EdgemeshError):
    """The site did not come back after a fault."""


@dataclass(slots=True)
class Stand:
    """A site that is started, watched, brought to rest and judged. Used as `async with`: it starts and stops it."""

    site: Site

    async def __aenter__(self) -> Stand:
        try:
            await self.site.start()
            await self.flowing()
        except BaseException:
            await self.site.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.site.stop()

    async def flowing(self, since_ns: int = 0, *, within_s: float = RECOVER_S) -> float:
        """Wait until readings taken after an instant are in the history; return the seconds it took."""
        began_s = time.monotonic()
        await self.until(lambda: self.effect_after(Victim.RECORDER, "", since_ns), within_s, "nothing arrives")
        return time.monotonic() - began_s

    async def until(self, holds: Callable[[], bool], within_s: float, what: str) -> None:
        """Wait for a condition, which is asked in a thread. StuckError, saying `what`, when the time is over."""
        deadline = time.monotonic() + within_s
        while not await asyncio.to_thread(holds):
            if time.monotonic() > deadline:
                raise StuckError(f"{what}: no new effect within {within_s:.0f} s; logs are in {self.site.folder}/logs")
            await asyncio.sleep(POLL_S)

    def effect_after(self, victim: Victim, name: str, at_ns: int) -> bool:
        """Whether something that came about after an instant has taken its way through what was hit."""
        data = self.site.folder / "data"
        try:
            if victim is Victim.DETECTOR:  # whoever owns the logs by then
                readers = [name for name in self.site.detectors if journal_file(data, name).exists()]
                logs = ((name,) for name in self.site.gateways)
                return all(any(newest_source(data, reader, log) > at_ns for reader in readers) for log in logs)
            if victim is Victim.SCHEDULER:
                return newest_source(data, name, self.site.detectors) > at_ns
            with History(journal_file(data, "recorder")) as history:
                gateways = [name] if victim is Victim.GATEWAY else self.site.gateways
                return any(_newest_kept(history, gateway, at_ns) for gateway in gateways)
        except (StoreError, LogError, OSError):  # not there yet
            return False

    def has_begun(self, detector: str) -> bool:
        """Whether a detector has taken in anything."""
        try:
            return newest_source(self.site.folder / "data", detector, self.site.gateways) > 0
        except (LogError, OSError):  # its log is not there yet
            return False

    def pending(self) -> tuple[int, int]:
        """How much is in the history (readings, alerts, orders at their end), and how many orders are still open."""
        try:
            with History(journal_file(self.site.folder / "data", "recorder")) as history:
                counts = history.counts()
        except StoreError:
            return 0, 1
        over = counts.orders.get("verified", 0) + counts.orders.get("cancelled", 0)
        return counts.readings + sum(counts.alerts.values()) + over, sum(counts.orders.values()) - over

    async def rest(self, within_s: float = DRAIN_S) -> None:
        """Have the devices stop counting; wait until all is counted, every order is over and nothing moves any more."""
        self.site.enough()
        deadline = time.monotonic() + within_s
        before, calm_s = -1, time.monotonic()
        while time.monotonic() < deadline:
            now, open_orders = await asyncio.to_thread(self.pending)
            if now != before:
                before, calm_s = now, time.monotonic()
            still_s = time.monotonic() - calm_s
            if still_s > CALM_S and (not open_orders or still_s > DRAIN_S / 2):
                return
            await asyncio.sleep(0.2)

    def verdict(self) -> Verdict:
        """Hold what took effect against what was accepted. Call it when the site is stopped."""
        history = journal_file(self.site.folder / "data", "recorder")
        return judge(history, self.site.folder / "ledgers", self.site.gateways, DEVICES)


def newest_source(data: Path, reader: str, writers: Sequence[str]) -> int:
    """The commit time of the newest pack of the writers that the reader has for good; 0: none yet."""
    journal = Journal.peek(journal_file(data, reader))
    try:
        cursors = journal.cursors()
    finally:
        journal.close()
    newest = 0
    for writer in writers:
        cursor = cursors.get(writer)
        if cursor is None:
            continue
        log = Journal.peek(journal_file(data, writer))
        try:
            rows = log.rows(cursor.top - 1, limit=1, max_bytes=1) if log.epoch == cursor.epoch else []
        finally:
            log.close()
        newest = max([newest, *(row.at_ns for row in rows if row.seq <= cursor.top)])
    return newest


def _newest_kept(history: History, gateway: str, at_ns: int) -> bool:
    curve = history.readings(device=f"{gateway}-0", metric="count", start_ns=at_ns + 1, resolution="raw")
    return bool(curve.points)
