"""F26: a recorder that gets a tenth of the time that it needs."""

from __future__ import annotations

import asyncio
import signal
import time

from edgemesh.launch.plant import journal_file
from edgemesh.log.journal import Journal
from edgemesh.prove.condition import FLAT_MB, Growth, alerts_to_orders_s
from edgemesh.prove.drill import Drill, Figure, Finding, Ground, broken_by
from edgemesh.prove.site import GATEWAYS, Site
from edgemesh.prove.stand import newest_source

RATE = 2_000.0
STOPPED_S, RUNNING_S = 1.9, 0.05
ALERT_S = 2.0
CATCH_UP_S = 120.0


async def slow_reader(ground: Ground) -> Finding:
    """Stop the recorder most of the time, and see that only its own group feels it."""
    stand = ground.stand(rate=RATE)
    growth = Growth(stand.site, GATEWAYS)
    furthest = 0
    async with stand:
        growth.begin()
        recorder = stand.site.programs["recorder"]
        began_s, began_ns = time.monotonic(), time.time_ns()
        ground.say("the recorder is slow")
        try:
            while time.monotonic() < began_s + (12.0 if ground.short else 120.0):
                recorder.send(signal.SIGSTOP)
                await asyncio.sleep(STOPPED_S)
                furthest = max(furthest, await asyncio.to_thread(rows_behind, stand.site))
                recorder.send(signal.SIGCONT)
                await asyncio.sleep(RUNNING_S)
        finally:
            recorder.send(signal.SIGCONT)
        ended_ns, grown = time.time_ns(), growth.grown_mb()
        fresh_s = (ended_ns - _detected_through_ns(stand.site)) / 1e9
        began_s = time.monotonic()
        await stand.until(lambda: rows_behind(stand.site) < 64, CATCH_UP_S, "the recorder does not catch up")
        caught_up_s = time.monotonic() - began_s
        ground.say("coming to rest")
        await stand.rest(CATCH_UP_S)
    took_s = sorted(each for name in GATEWAYS for each in alerts_to_orders_s(stand.site, name, began_ns, ended_ns)) or [
        0.0
    ]
    broken = [f"{name} grew by {grew} MB" for name, grew in grown.items() if grew > FLAT_MB]
    broken += [f"an alert took {took_s[-1]:.1f} s to its order"] if took_s[-1] > ALERT_S else []
    broken += [f"detection was {fresh_s:.1f} s behind"] if fresh_s > ALERT_S else []
    figures: dict[str, Figure] = {
        "recorder_rows_behind": furthest,
        "caught_up_s": round(caught_up_s, 1),
        "alert_p50_s": round(took_s[len(took_s) // 2], 2),
        "alert_max_s": round(took_s[-1], 2),
        "detection_behind_s": round(fresh_s, 2),
        **{f"{name}_grew_mb": grew for name, grew in grown.items()},
    }
    return Finding(broken=(*broken_by(stand.verdict()), *broken), figures=figures)


def rows_behind(site: Site) -> int:
    """How many rows of the gateways the recorder does not have yet."""
    reader = Journal.peek(journal_file(site.folder / "data", "recorder"))
    try:
        cursors = reader.cursors()
    finally:
        reader.close()
    behind = 0
    for name in GATEWAYS:
        log = Journal.peek(journal_file(site.folder / "data", name))
        try:
            behind += log.head - (cursors[name].through if name in cursors else 0)
        finally:
            log.close()
    return behind


def _detected_through_ns(site: Site) -> int:
    """The time of the newest rows that detectors have of every gateway."""
    data = site.folder / "data"
    return min(max(newest_source(data, each, (name,)) for each in site.detectors) for name in GATEWAYS)


DRILLS = (
    Drill(
        "F26",
        "slow_reader",
        "the recorder is stopped 1.9 of every 1.95 seconds",
        "nothing lost or doubled; memory of the gateways flat; alerts and detection do not feel it",
        slow_reader,
    ),
)
