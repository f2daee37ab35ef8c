"""Agents killed at the worst instants: inside a transaction, between commit and settle, between publish and settle."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field

from edgemesh.errors import LogError
from edgemesh.launch.plant import journal_file
from edgemesh.launch.report import quantiles
from edgemesh.log.journal import Cursor, Journal
from edgemesh.prove.drill import Drill, Finding, Ground, broken_by
from edgemesh.prove.faults import Victim
from edgemesh.prove.site import GATEWAYS, Program
from edgemesh.prove.stand import DRAIN_S, RECOVER_S, Stand, StuckError, newest_source
from edgemesh.store.history import History

SOON_S = 12.0
"""Where a guard is off the end of lost orders is not waited for."""
ROUNDS = 8
"""How often each point is gone through; once when it has to be short."""
POINTS = ("effect.before-cursor", "commit.before", "commit.after", "publish.after", "settle.before")


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to kill, and at which points. `effects`: the last of them before its death is one of so many."""

    victim: Victim
    effects: int
    points: Sequence[str] = POINTS


GATEWAY = Target(Victim.GATEWAY, 60)
DETECTOR = Target(Victim.DETECTOR, 4)
SCHEDULER = Target(Victim.SCHEDULER, 10)
RECORDER = Target(Victim.RECORDER, 40, tuple(point for point in POINTS if point != "publish.after"))


@dataclass(slots=True)
class Siege:
    """One site whose agents die at points.

    `felt` is seconds from a death to the next effect; `died` the death that no effect has followed yet: seconds of the
    monotonic clock, and UTC in ns.
    """

    stand: Stand
    target: Target
    chance: random.Random
    kills: Counter[str] = field(default_factory=Counter)
    felt: list[float] = field(default_factory=list)
    died: tuple[float, int] | None = None

    async def lay(self, rounds: int) -> None:
        """Go through all points so many times. What has died at one point is started to die at the next."""
        for _ in range(rounds):
            program = self._choose()
            whole = list(program.switches)
            await program.kill()
            for point in self.target.points:
                program.switches = [*whole, f"--fail={point}:{self.chance.randint(1, self.target.effects)}:kill"]
                await program.start()
                await self._back(program)
                await self._death(program, point)
            program.switches = whole
            await program.start()
            await self._back(program)

    def _choose(self) -> Program:
        site = self.stand.site
        names = site.of(self.target.victim)
        if self.target.victim is Victim.DETECTOR:
            names = [name for name in names if self._owns(name)] or names
        return site.programs[self.chance.choice(names)]

    def _owns(self, detector: str) -> bool:
        """Whether a detector has something to do."""
        try:
            return newest_source(self.stand.site.folder / "data", detector, GATEWAYS) > 0
        except LogError:  # it has not begun
            return False

    async def _back(self, program: Program) -> None:
        """Wait for its next effect, or until it is dead once more: then it was not back since the death before."""
        if self.died is None or program.process is None:
            return
        died_s, died_ns = self.died
        process = program.process

        def back() -> bool:
            return self.stand.effect_after(self.target.victim, program.name, died_ns)

        await self.stand.until(lambda: process.returncode is not None or back(), RECOVER_S, program.name)
        if process.returncode is None:
            self.felt.append(time.monotonic() - died_s)
            self.died = None

    async def _death(self, program: Program, point: str) -> None:
        assert program.process is not None
        try:
            await asyncio.wait_for(program.process.wait(), RECOVER_S)
        except TimeoutError:
            raise StuckError(f"{program.name} does not come to {point}") from None
        self.kills[point] += 1
        self.died = self.died or (time.monotonic(), time.time_ns())


def missing_versions(stand: Stand) -> int:
    """How many versions of alerts and orders are missing in the history, among those before the last of each.

    A past alert has its last version only.
    """
    with History(journal_file(stand.site.folder / "data", "recorder")) as history:
        alerts = [alert.id for alert in history.alerts(limit=1_000_000) if not alert.past]
        chains: list[list[int]] = [[each.version for each in history.alert_versions(alert)] for alert in alerts]
        orders = [order.id for order in history.orders(limit=1_000_000)]
        chains += [[each.version for each in history.order_versions(order)] for order in orders]
    return sum(max(versions) - len(versions) for versions in chains)


def is_drained(stand: Stand) -> bool:
    """Whether the recorder has all that the other agents have written: one that comes back late may still hold rows."""
    data = stand.site.folder / "data"
    try:
        with closing(Journal.peek(journal_file(data, "recorder"))) as journal:
            cursors = journal.cursors()
        for writer in (*GATEWAYS, *stand.site.detectors, "scheduler"):
            with closing(Journal.peek(journal_file(data, writer))) as log:
                if log.head and cursors.get(writer) != Cursor(log.epoch, log.head):
                    return False
    except LogError:
        return False
    return True


async def come_to_rest(stand: Stand, within_s: float) -> None:
    """Rest, and rest again if an agent that was still away brings something when it is back."""
    await stand.rest(within_s)
    if not await asyncio.to_thread(is_drained, stand):
        with suppress(StuckError):  # the verdict will say what is lost
            await stand.until(lambda: is_drained(stand), within_s, "not all is drained")
        await stand.rest(within_s)


async def run_at_points(ground: Ground, target: Target) -> Finding:
    """Kill at every point, once or often, and judge by the ledgers."""
    stand = ground.stand(rate=600.0 if ground.short else 1_000.0)
    siege = Siege(stand, target, random.Random(f"{ground.seed}:{target.victim}"))
    async with stand:
        ground.say("killing")
        await siege.lay(1 if ground.short else ROUNDS)
        ground.say("coming to rest")
        await come_to_rest(stand, SOON_S if ground.without else DRAIN_S)
    verdict = await asyncio.to_thread(stand.verdict)
    holes = await asyncio.to_thread(missing_versions, stand)
    spread = quantiles(siege.felt)
    return Finding(
        broken=(*broken_by(verdict), *([f"{holes} versions of alerts and orders lost"] if holes else [])),
        figures={
            "kills": sum(siege.kills.values()),
            "accepted": verdict.readings["accepted"],
            "lost": verdict.readings["lost"] + verdict.alerts["lost"] + verdict.orders["lost"],
            "doubled": verdict.readings["doubled"] + verdict.alerts["doubled"] + verdict.orders["started_twice"],
            "alerts": verdict.alerts["expected"],
            "orders": verdict.orders["opened"],
            "recovery_p50_s": spread.p50 or 0.0,
            "recovery_max_s": round(max(siege.felt), 3),
        },
    )


def _drill(number: str, target: Target, holds: str, guards: tuple[str, ...]) -> Drill:
    async def run(ground: Ground) -> Finding:
        return await run_at_points(ground, target)

    how = "killed between effect and cursor, before and after commit, publish and settle"
    return Drill(number, f"{target.victim}_at_points", how, holds, run, guards)


DRILLS = (
    _drill("F2", GATEWAY, "each committed reading arrives once", ("settle-after-commit", "commit")),
    _drill("F3", DETECTOR, "no alert lost or doubled; state goes on", ("transaction",)),
    _drill("F4", SCHEDULER, "every order comes to its end, no work is begun twice", ("checkpoint", "transaction")),
    _drill("F5", RECORDER, "history complete, no row twice", ("transaction", "cursor", "watermark", "gap")),
)
