"""The trial: faults one after the other under load, and how long each is felt."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from edgemesh.launch.report import Quantiles, quantiles
from edgemesh.prove.faults import Fault, How, Victim, endless, plan
from edgemesh.prove.judge import Verdict
from edgemesh.prove.site import lay_out
from edgemesh.prove.stand import DRAIN_S, RECOVER_S, Stand

FREEZE_S = 5.0
"""Twice what it takes for an agent to be taken for dead."""

Progress = Callable[[str, int, int], None]
"""Told what is under way, and how many of how many faults are over."""


class Recovery(Quantiles, frozen=True):
    """Seconds from a fault to the first new effect."""

    max: float | None = None


class TrialOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the person asked for. `rate` is readings a second of the whole site, `without` guards that are left off.

    With `soak_s` faults of all kinds come for so many seconds, and `kills`, `readings` and `faults` say nothing.
    """

    folder: Path
    broker: str = "embedded"
    kills: int = 60
    readings: int = 200_000
    rate: float = 2_000.0
    seed: int = 1
    faults: tuple[Fault, ...] = ()
    without: tuple[str, ...] = ()
    soak_s: float = 0.0


class TrialReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a trial has found."""

    faults: dict[str, int]
    verdict: Verdict
    recovery_s: Recovery
    slowest: tuple[tuple[str, float], ...]


@dataclass(slots=True)
class Trial:
    """One run. `felt` is how long each fault was felt, in seconds."""

    options: TrialOptions
    stand: Stand
    felt: list[tuple[str, float]] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)

    async def run(self, progress: Progress) -> TrialReport:
        """Start the site, hit it, let it come to rest, stop it, and judge."""
        chance = random.Random(f"{self.options.seed}:trial")
        progress("starting", 0, self.options.kills)
        async with self.stand:
            if self.options.soak_s:
                await self._soak(chance, progress)
            else:
                await self._throw(chance, progress)
            progress("coming to rest", self.options.kills, self.options.kills)
            await self.stand.rest(DRAIN_S + self.options.readings / self.options.rate)
        verdict = await asyncio.to_thread(self.stand.verdict)
        return self._report(verdict)

    async def _throw(self, chance: random.Random, progress: Progress) -> None:
        for number, fault in enumerate(plan(self.options.faults, self.options.kills, self.options.seed)):
            progress(fault.name, number, self.options.kills)
            await asyncio.sleep(chance.uniform(0.1, 0.9))
            await self._hit(fault, chance)
        progress("counting on", self.options.kills, self.options.kills)
        enough, wanted_s = self.options.readings, self.options.readings / self.options.rate
        await self.stand.until(lambda: self.stand.pending()[0] >= enough, wanted_s * 3, "the rest is missing")

    async def _soak(self, chance: random.Random, progress: Progress) -> None:
        began_s, soak_s = time.monotonic(), self.options.soak_s
        for fault in endless(self.options.seed):
            passed_s = time.monotonic() - began_s
            if passed_s > soak_s:
                return
            progress(fault.name, int(self.options.kills * passed_s / soak_s), self.options.kills)
            await asyncio.sleep(chance.uniform(0.1, 0.9))
            await self._hit(fault, chance)

    async def _hit(self, fault: Fault, chance: random.Random) -> None:
        site = self.stand.site
        names = site.of(fault.victim)
        if fault.victim is Victim.DETECTOR:
            names = [name for name in names if self.stand.has_begun(name)]
        if not names:
            return
        name = chance.choice(names)
        program = site.programs[name]
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
        effect = f"{fault.name} of {name}"
        within_s = RECOVER_S + site.ready_s
        await self.stand.until(lambda: self.stand.effect_after(fault.victim, name, hit_ns), within_s, effect)
        pause_s = FREEZE_S if fault.how is How.FREEZE else 0.0
        self.felt.append((fault.name, max(0.0, time.monotonic() - hit_s - pause_s)))
        self.done[fault.name] += 1

    def _report(self, verdict: Verdict) -> TrialReport:
        spread = quantiles([felt for _, felt in self.felt])
        slowest = sorted(self.felt, key=lambda each: -each[1])[:3]
        return TrialReport(
            faults=dict(sorted(self.done.items())),
            verdict=verdict,
            recovery_s=Recovery(p50=spread.p50, p99=spread.p99, max=round(slowest[0][1], 3) if slowest else None),
            slowest=tuple((name, round(felt, 3)) for name, felt in slowest),
        )


def prepare(options: TrialOptions) -> Trial:
    """Lay the site out in its folder; nothing runs yet."""
    site = lay_out(options.folder, broker=options.broker, rate=options.rate / 2, seed=options.seed)
    site.weaken(options.without)
    return Trial(options, Stand(site))
