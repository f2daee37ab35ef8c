"""The trial: faults one after the other under load, and how long each is felt."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from edgemesh.errors import EdgemeshError, StoreError
from edgemesh.launch.plant import journal_file
from edgemesh.launch.report import Quantiles, quantiles
from edgemesh.log.journal import Journal
from edgemesh.prove.faults import Fault, How, Victim, plan
from edgemesh.prove.judge import Verdict, judge
from edgemesh.prove.site import DETECTORS, DEVICES, GATEWAYS, Site, lay_out
from edgemesh.store.history import History

FREEZE_S = 5.0
"""Twice what it takes for an agent to be taken for dead."""
RECOVER_S = 30.0
DRAIN_S = 60.0
CALM_S = 4.0
POLL_S = 0.02

Progress = Callable[[str, int, int], None]
"""Told what is under way, and how many of how many faults are over."""


class Recovery(Quantiles, frozen=True):
    """Seconds from a fault to the first new effect."""

    max: float | None = None


class ProveOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the person asked for. `rate` is readings a second of the whole site."""

    folder: Path
    broker: str = "embedded"
    kills: int = 60
    readings: int = 200_000
    rate: float = 2_000.0
    seed: int = 1
    faults: tuple[Fault, ...] = ()


class ProveReport(msgspec.Struct, frozen=True, kw_only=True):
    """The one JSON object of `edgemesh prove --json`."""

    faults: dict[str, int]
    readings: dict[str, int]
    alerts: dict[str, int]
    orders: dict[str, int]
    recovery_s: Recovery
    slowest: tuple[tuple[str, float], ...]
    seconds: float
    broker: str
    seed: int
    good: bool


@dataclass(slots=True)
class Trial:
    """One run. `felt` is how long each fault was felt, in seconds."""

    options: ProveOptions
    site: Site
    felt: list[tuple[str, float]] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)

    async def run(self, progress: Progress) -> ProveReport:
        """Start the site, hit it, let it come to rest, stop it, and judge."""
        began_s = time.monotonic()
        chance = random.Random(f"{self.options.seed}:trial")
        try:
            progress("starting", 0, self.options.kills)
            await self.site.start()
            await self._until(lambda: self._effect_after(Victim.RECORDER, "", 0), RECOVER_S, "nothing arrives")
            for number, fault in enumerate(plan(self.options.faults, self.options.kills, self.options.seed)):
                progress(fault.name, number, self.options.kills)
                await asyncio.sleep(chance.uniform(0.1, 0.9))
                await self._hit(fault, chance)
            progress("counting on", self.options.kills, self.options.kills)
            wanted_s = self.options.readings / self.options.rate
            await self._until(lambda: self._pending()[0] >= self.options.readings, wanted_s * 3, "the rest is missing")
            progress("coming to rest", self.options.kills, self.options.kills)
            self.site.enough()
            await self._rest()
        finally:
            await self.site.stop()
        verdict = await asyncio.to_thread(self._judge)
        return self._report(verdict, time.monotonic() - began_s)

    async def _hit(self, fault: Fault, chance: random.Random) -> None:
        names = self.site.of(fault.victim)
        if fault.victim is Victim.DETECTOR:
            data = self.site.folder / "data"
            names = [name for name in names if _newest_source(data, name, GATEWAYS)]
        if not names:
            return
        name = chance.choice(names)
        program = self.site.programs[name]
        program.check()
        hit_s = time.monotonic()
        if fault.how is How.KILL:
            await program.kill()
            hit_ns = time.time_ns()  # what was under way while it died is no sign of recovery
            await program.start()
        else:
            program.send(signal.SIGSTOP)
            hit_ns = time.time_ns()
            await asyncio.sleep(FREEZE_S)
            program.send(signal.SIGCONT)
        await self._until(lambda: self._effect_after(fault.victim, name, hit_ns), RECOVER_S, f"{fault.name} of {name}")
        pause_s = FREEZE_S if fault.how is How.FREEZE else 0.0
        self.felt.append((fault.name, max(0.0, time.monotonic() - hit_s - pause_s)))
        self.done[fault.name] += 1

    async def _until(self, holds: Callable[[], bool], within_s: float, what: str) -> None:
        deadline = time.monotonic() + within_s
        while not await asyncio.to_thread(holds):
            if time.monotonic() > deadline:
                raise StuckError(f"{what}: no new effect within {within_s:.0f} s; logs are in {self.site.folder}/logs")
            await asyncio.sleep(POLL_S)

    def _effect_after(self, victim: Victim, name: str, at_ns: int) -> bool:
        """Whether something that came about after an instant has taken its way through what was hit."""
        data = self.site.folder / "data"
        try:
            if victim is Victim.DETECTOR:  # whoever owns the logs by then
                taken = (max(_newest_source(data, each, (gateway,)) for each in DETECTORS) for gateway in GATEWAYS)
                return min(taken) > at_ns
            if victim is Victim.SCHEDULER:
                return _newest_source(data, name, DETECTORS) > at_ns
            with History(journal_file(data, "recorder")) as history:
                gateways = [name] if victim is Victim.GATEWAY else list(GATEWAYS)
                return any(self._newest_kept(history, gateway, at_ns) for gateway in gateways)
        except (StoreError, OSError):
            return False

    @staticmethod
    def _newest_kept(history: History, gateway: str, at_ns: int) -> bool:
        curve = history.readings(device=f"{gateway}-0", metric="count", start_ns=at_ns + 1, resolution="raw")
        return bool(curve.points)

    async def _rest(self) -> None:
        """Wait until all is counted, every order is over and nothing moves any more."""
        deadline = time.monotonic() + DRAIN_S + self.options.readings / self.options.rate
        before, calm_s = -1, time.monotonic()
        while time.monotonic() < deadline:
            now, open_orders = await asyncio.to_thread(self._pending)
            if now != before or open_orders:
                before, calm_s = now, time.monotonic() if now != before else calm_s
            if time.monotonic() - calm_s > CALM_S and (not open_orders or time.monotonic() - calm_s > DRAIN_S / 2):
                return
            await asyncio.sleep(0.2)

    def _pending(self) -> tuple[int, int]:
        try:
            with History(journal_file(self.site.folder / "data", "recorder")) as history:
                counts = history.counts()
        except StoreError:
            return 0, 1
        over = counts.orders.get("verified", 0) + counts.orders.get("cancelled", 0)
        return counts.readings + sum(counts.alerts.values()) + over, sum(counts.orders.values()) - over

    def _judge(self) -> Verdict:
        history = journal_file(self.site.folder / "data", "recorder")
        return judge(history, self.site.folder / "ledgers", GATEWAYS, DEVICES)

    def _report(self, verdict: Verdict, seconds: float) -> ProveReport:
        spread = quantiles([felt for _, felt in self.felt])
        slowest = sorted(self.felt, key=lambda each: -each[1])[:3]
        return ProveReport(
            faults=dict(sorted(self.done.items())),
            readings=verdict.readings,
            alerts=verdict.alerts,
            orders=verdict.orders,
            recovery_s=Recovery(p50=spread.p50, p99=spread.p99, max=round(slowest[0][1], 3) if slowest else None),
            slowest=tuple((name, round(felt, 3)) for name, felt in slowest),
            seconds=round(seconds, 1),
            broker=self.options.broker,
            seed=self.options.seed,
            good=verdict.good,
        )


class StuckError(EdgemeshError):
    """The site did not come back after a fault."""


def _newest_source(data: Path, reader: str, writers: Sequence[str]) -> int:
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
            rows = log.rows(cursor.through - 1, limit=1, max_bytes=1) if log.epoch == cursor.epoch else []
        finally:
            log.close()
        newest = max([newest, *(row.at_ns for row in rows if row.seq <= cursor.through)])
    return newest


def prepare(options: ProveOptions) -> Trial:
    """Lay the site out in its folder; nothing runs yet."""
    site = lay_out(
        options.folder,
        broker=options.broker,
        rate=options.rate / 2,
        seed=options.seed,
    )
    return Trial(options, site)
