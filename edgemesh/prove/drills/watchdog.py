"""An agent frozen inside a write transaction, holding SQLite's lock: the watchdog ends it, and it goes on."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from dataclasses import dataclass, field
from pathlib import Path

from edgemesh.launch.plant import journal_file
from edgemesh.launch.report import quantiles
from edgemesh.prove.drill import Drill, Finding, Ground, broken_by
from edgemesh.prove.drills.failpoints import come_to_rest
from edgemesh.prove.faults import Victim
from edgemesh.prove.site import Program
from edgemesh.prove.stand import DRAIN_S, RECOVER_S, Stand, StuckError

BACK_S = 5.0
BUSY_S = 15.0
"""What is still right where a short run shares its machine with others."""
AWAY_S = 20.0
"""After this it is not waited for any more."""
ROUNDS = 10
VICTIMS = {
    Victim.RECORDER: ("recorder", 40),
    Victim.DETECTOR: ("detector-1", 4),
    Victim.GATEWAY: ("gateway-1", 60),
    Victim.SCHEDULER: ("scheduler", 8),
}
"""Each with how many effects it has before it freezes, at most."""


@dataclass(slots=True)
class Cold:
    """One site whose agents freeze. `felt` is seconds from there to the next effect."""

    stand: Stand
    chance: random.Random
    locked: int = 0
    felt: list[float] = field(default_factory=list)

    async def freeze(self, victim: Victim) -> None:
        """Have an agent freeze in the middle of a transaction, and wait until its work goes on."""
        name, effects = VICTIMS[victim]
        program = self.stand.site.programs[name]
        whole = list(program.switches)
        await program.kill()
        program.switches = [*whole, f"--fail=commit.before:{self.chance.randint(1, effects)}:stop"]
        await program.start()
        program.switches = whole
        frozen_s, frozen_ns = await self._frozen(program)
        self.locked += await asyncio.to_thread(is_locked, journal_file(self.stand.site.folder / "data", name))
        await self.stand.until(
            lambda: self.stand.effect_after(victim, name, frozen_ns), AWAY_S, f"{name} frozen in a transaction"
        )
        self.felt.append(time.monotonic() - frozen_s)

    async def _frozen(self, program: Program) -> tuple[float, int]:
        """Wait until a process of the program is stopped; return when that was seen."""
        assert program.process is not None
        deadline = time.monotonic() + RECOVER_S
        while not any(is_stopped(pid) for pid in [program.process.pid, *children(program.process.pid)]):
            if time.monotonic() > deadline:
                raise StuckError(f"{program.name} does not come to its failpoint")
            await asyncio.sleep(0.01)
        return time.monotonic(), time.time_ns()


def children(pid: int) -> list[int]:
    """The processes that a process has started and that still are."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def is_stopped(pid: int) -> bool:
    """Whether a process is stopped by a signal."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return False


def is_locked(file: Path) -> bool:
    """Whether somebody holds the write lock of a database."""
    connection = sqlite3.connect(file, timeout=0.0, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    except sqlite3.OperationalError:
        return True
    finally:
        connection.close()
    return False


async def run(ground: Ground) -> Finding:
    """Freeze one agent after the other while it holds the lock."""
    stand = ground.stand(rate=600.0)
    victims = [Victim.RECORDER, Victim.DETECTOR] if ground.short else list(VICTIMS) * ROUNDS
    for name, _ in VICTIMS.values():
        stand.site.programs[name].arguments.append("--watched")
    cold = Cold(stand, random.Random(f"{ground.seed}:cold"))
    async with stand:
        for victim in victims:
            ground.say(f"{victim} frozen")
            await cold.freeze(victim)
        ground.say("coming to rest")
        await come_to_rest(stand, DRAIN_S)
    verdict = await asyncio.to_thread(stand.verdict)
    limit_s, slowest_s = BUSY_S if ground.short else BACK_S, max(cold.felt)
    late = [f"the next effect came {slowest_s:.1f} s after the freeze"] if slowest_s >= limit_s else []
    # On a machine that is busy the watchdog may be quicker than our look at the lock.
    free = [] if cold.locked else ["none of them held the lock"]
    return Finding(
        broken=(*broken_by(verdict), *late, *free),
        figures={
            "frozen": len(victims),
            "seen_with_lock": cold.locked,
            "accepted": verdict.readings["accepted"],
            "lost": verdict.readings["lost"] + verdict.alerts["lost"] + verdict.orders["lost"],
            "doubled": verdict.readings["doubled"] + verdict.alerts["doubled"] + verdict.orders["started_twice"],
            "back_p50_s": quantiles(cold.felt).p50 or 0.0,
            "back_max_s": round(slowest_s, 3),
        },
    )


DRILLS = (
    Drill(
        "F8",
        "frozen_in_transaction",
        "SIGSTOP while it holds the write lock of its log",
        "the watchdog ends it; effects go on within 5 s",
        run,
        ("watchdog",),
    ),
)
