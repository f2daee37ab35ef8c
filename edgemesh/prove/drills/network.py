"""F9: the network is cut for a while, between a gateway and the broker, and between readers and the broker."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from edgemesh.prove.afterwards import Afterwards
from edgemesh.prove.drill import Drill, Figure, Finding, Ground, broken_by
from edgemesh.prove.site import DEVICES, GATEWAYS
from edgemesh.prove.stand import Stand
from edgemesh.prove.ways import CALM, GONE, Way, behind

RATE = 600.0
LIVE_S, RATIO = 2.0, 10.0
"""What must hold after a cut: live data again within this, and the backlog this many times as fast as the live rate."""
SMALL_S = 5.0
"""The backlog of a shorter cut is too small to tell how fast it comes."""


async def cut_gateway(ground: Ground) -> Finding:
    """Cut one gateway off, and see how its log comes after."""
    return await _cut(ground, ("gateway-1",), (1.0, 5.0) if ground.short else (1.0, 60.0, 600.0))


async def cut_readers(ground: Ground) -> Finding:
    """Cut the recorder and a detector off, and see how they catch up."""
    return await _cut(ground, ("recorder", "detector-1"), (5.0,) if ground.short else (1.0, 60.0))


async def _cut(ground: Ground, names: Sequence[str], cuts_s: Sequence[float]) -> Finding:
    stand = ground.stand(rate=RATE)
    figures: dict[str, Figure] = {}
    broken: list[str] = []
    async with behind(stand.site, names, seed=ground.seed) as way:
        async with stand:
            for number, cut_s in enumerate(cuts_s):
                ground.say(f"cut for {cut_s:g} s")
                after = await _one(stand, way, cut_s, silent=number % 2 == 0)
                figures |= _figures(after, cut_s)
                broken += _late(after, cut_s)
            ground.say("coming to rest")
            await stand.rest()
        figures["way"] = way.how
    return Finding(broken=(*broken_by(stand.verdict()), *broken), figures=figures)


async def _one(stand: Stand, way: Way, cut_s: float, *, silent: bool) -> Afterwards:
    """One cut: packets vanish in the middle of the way (silent), or the link itself is down."""
    if silent:
        way.weather(up=GONE, down=GONE)
    else:
        await way.unplug()
    await asyncio.sleep(cut_s)
    if silent:
        way.weather(up=CALM, down=CALM)
    else:
        await way.plug()
    after = Afterwards(stand.site, "gateway-1", RATE / 2 / len(GATEWAYS) / DEVICES)
    await asyncio.to_thread(after.begin)
    await after.end(30.0 + cut_s)
    return after


def _figures(after: Afterwards, cut_s: float) -> dict[str, Figure]:
    name = f"after_{cut_s:g}_s"
    figures: dict[str, Figure] = {
        f"{name}_live_after_s": round(after.live_s or 0.0, 2),
        f"{name}_alert_after_s": round(after.alert_s or 0.0, 2),
    }
    if cut_s >= SMALL_S:
        figures[f"{name}_drain_ratio"] = round(after.drain_ratio, 1)
        figures[f"{name}_backlog_s"] = round(after.missing / after.per_s, 1)
    return figures


def _late(after: Afterwards, cut_s: float) -> list[str]:
    broken = []
    if (after.live_s or 0.0) > LIVE_S:
        broken.append(f"live readings came {after.live_s:.1f} s after a cut of {cut_s:g} s")
    if cut_s >= SMALL_S and after.drain_ratio < RATIO:
        broken.append(f"the backlog came at {after.drain_ratio:.1f} times the live rate after {cut_s:g} s")
    return broken


DRILLS = (
    Drill(
        "F9",
        "gateway_cut",
        "a gateway's network is cut for 1 s, 60 s, 10 min (short: 1 s, 5 s)",
        "nothing lost or doubled; live within 2 s of healing; backlog at 10 times the live rate",
        cut_gateway,
    ),
    Drill(
        "F9",
        "readers_cut",
        "the network of the recorder and of a detector is cut for 1 s, 60 s (short: 5 s)",
        "nothing lost or doubled; live within 2 s of healing; backlog at 10 times the live rate",
        cut_readers,
    ),
)
