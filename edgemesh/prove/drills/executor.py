"""Executors that die just as they begin the work: it is begun once, and comes to its end, whoever had the order."""

from __future__ import annotations

import asyncio
import random
import time

from edgemesh.errors import StoreError
from edgemesh.launch.plant import journal_file
from edgemesh.launch.report import quantiles
from edgemesh.prove.drill import Drill, Finding, Ground, broken_by
from edgemesh.prove.stand import DRAIN_S, RECOVER_S, Stand, StuckError
from edgemesh.store.history import History

KILLS, KILLS_SHORT = 30, 2
RATE = 20.0
"""Readings a second."""
POINTS = ("begun.after", "begun.after", "begun.before")
"""In turn."""
SOON_S = 6.0
"""Where a guard is off, all the other orders are not waited for."""
NEXT = 3
"""The last order that is begun before the death is one of so many."""


def done(stand: Stand) -> int:
    """How many orders are done."""
    try:
        with History(journal_file(stand.site.folder / "data", "recorder")) as history:
            counts = history.counts().orders
    except StoreError:
        return 0
    return sum(counts.get(state, 0) for state in ("done", "verified"))


async def run(ground: Ground) -> Finding:
    """Let the whole crew die again and again, each time as one of them begins the work."""
    stand = ground.stand(rate=RATE)
    crew = stand.site.programs["crew"]
    whole, chance = list(crew.switches), random.Random(f"{ground.seed}:executor")
    felt: list[float] = []
    kills = KILLS_SHORT if ground.short else KILLS
    async with stand:
        for number in range(kills):
            ground.say(f"{number} of {kills} deaths")
            await crew.kill()
            crew.switches = [*whole, f"--fail={POINTS[number % len(POINTS)]}:{chance.randint(1, NEXT)}:kill"]
            await crew.start()
            assert crew.process is not None
            try:
                await asyncio.wait_for(crew.process.wait(), DRAIN_S)
            except TimeoutError:
                raise StuckError("nothing to do for the crew") from None
            died_s, before = time.monotonic(), await asyncio.to_thread(done, stand)
            crew.switches = whole
            await crew.start()
            await stand.until(lambda so_far=before: done(stand) > so_far, RECOVER_S, "the crew")  # type: ignore[misc]
            felt.append(time.monotonic() - died_s)
        ground.say("coming to rest")
        await stand.rest(DRAIN_S if not ground.without else SOON_S)
    verdict = await asyncio.to_thread(stand.verdict)
    return Finding(
        broken=tuple(broken_by(verdict)),
        figures={
            "kills": kills,
            "orders": verdict.orders["opened"],
            "lost": verdict.orders["lost"],
            "started_twice": verdict.orders["started_twice"],
            "recovery_p50_s": quantiles(felt).p50 or 0.0,
            "recovery_max_s": round(max(felt), 3),
        },
    )


DRILLS = (
    Drill(
        "F6",
        "executor_at_begin",
        "killed when the work begins, before and after it is on record",
        "every order comes to its end, no work is begun twice",
        run,
        ("grant", "fence"),
    ),
)
