"""F10: a connection that is dead one way only, and nobody is told: no reset, no good-bye."""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple

from edgemesh.prove.drill import Drill, Figure, Finding, Ground, broken_by
from edgemesh.prove.onlooker import Onlooker, looking_on
from edgemesh.prove.stand import Stand
from edgemesh.prove.ways import CALM, GONE, Cell, Way, behind, broker_address

VICTIMS = ("gateway-1", "detector-1")
NOTICE_S = 3.0
SEEN_S = 12.0
POLL_S = 0.02
LOST = "connection lost"


class Noticed(NamedTuple):
    """Seconds until a victim gave its link up, until the others were told (the broker says its last will) or missed its
    heartbeats, and until they took it for dead.
    """

    itself_s: float
    others_s: float
    dead_s: float


async def half_open(ground: Ground) -> Finding:
    """Drop what a gateway and a detector send, then what they are sent, and see who notices."""
    stand = ground.stand()
    found: dict[str, list[Noticed]] = {"up": [], "down": []}
    async with behind(stand.site, VICTIMS, seed=ground.seed) as way:
        address = broker_address(stand.site)
        async with stand, looking_on(address, "prove") as onlooker:
            for number in range(2 if ground.short else 20):
                direction = ("up", "down")[number % 2]
                ground.say(f"what goes {direction} is dropped")
                found[direction] += await _drop(stand, way, onlooker, direction)
                await stand.flowing(time.time_ns())
            ground.say("coming to rest")
            await stand.rest()
    figures: dict[str, Figure] = {}
    for direction, each in found.items():
        if _can_notice(way, direction):
            figures[f"{direction}_by_itself_s"] = round(max(one.itself_s for one in each), 2)
        figures[f"{direction}_by_others_s"] = round(max(one.others_s for one in each), 2)
    broken = [f"{name} is {seconds}" for name, seconds in figures.items() if not float(seconds) < NOTICE_S]
    figures |= {"dead_s": round(max(one.dead_s for each in found.values() for one in each), 2), "way": way.how}
    return Finding(broken=(*broken_by(stand.verdict()), *broken), figures=figures)


async def _drop(stand: Stand, way: Way, onlooker: Onlooker, direction: str) -> list[Noticed]:
    """Drop one direction until everybody has noticed of every victim, or the time is over."""
    await stand.until(lambda: onlooker.up.issuperset(VICTIMS), SEEN_S, "the victims do not show")
    before = {name: _losses(stand, name) for name in VICTIMS}
    began_s = time.monotonic()
    way.weather(**{direction: GONE})
    itself: dict[str, float] = {}
    try:
        while time.monotonic() < began_s + SEEN_S:
            lost = [name for name in VICTIMS if name not in itself and _losses(stand, name) > before[name]]
            itself |= dict.fromkeys(lost, time.monotonic())
            if (len(itself) == len(VICTIMS) or not _can_notice(way, direction)) and not onlooker.up.intersection(
                VICTIMS
            ):
                break
            await asyncio.sleep(POLL_S)
    finally:
        way.weather(**{direction: CALM})

    def took(at_s: float) -> float:
        return at_s - began_s if at_s > began_s else SEEN_S

    return [
        Noticed(
            took(itself.get(name, 0.0)),
            min(took(onlooker.wills.get(name, 0.0)), took(onlooker.deaths.get(name, 0.0))),
            took(onlooker.deaths.get(name, 0.0)),
        )
        for name in VICTIMS
    ]


def _can_notice(way: Way, direction: str) -> bool:
    """Whether a victim can find out itself in time: behind a proxy, which confirms what it drops, and while messages
    still come, it takes half a minute.
    """
    return isinstance(way, Cell) or direction == "down"


def _losses(stand: Stand, name: str) -> int:
    return stand.site.programs[name].log.read_text(errors="replace").count(LOST)


DRILLS = (
    Drill(
        "F10",
        "half_open",
        "one way of the connections of a gateway and a detector is dropped without a reset, then the other way",
        "both sides notice within 3 s; nothing lost or doubled",
        half_open,
        guards=("hearing",),
    ),
)
