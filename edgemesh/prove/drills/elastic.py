"""Detectors that come and go under load: only as much moves as has to."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Mapping

from edgemesh.bus.address import parse_addresses
from edgemesh.bus.contract import Message
from edgemesh.bus.mqtt import MqttBus
from edgemesh.errors import Rejected
from edgemesh.prove.drill import Drill, Figure, Finding, Ground, broken_by
from edgemesh.prove.faults import Victim
from edgemesh.prove.site import Site
from edgemesh.prove.stand import Stand
from edgemesh.wire import codec
from edgemesh.wire.topics import Topics

GATEWAYS = tuple(f"gateway-{number}" for number in range(1, 25))
DETECTORS = tuple(f"detector-{number}" for number in range(1, 6))
FIRST = DETECTORS[:3]
SETTLED_S = 15.0
LOAD_S = (2.0, 10.0)
"""Seconds of load between one change and the next: short and long."""

Map = Mapping[str, str]


class Onlooker:
    """Hears every map of owners."""

    def __init__(self) -> None:
        self.maps: list[Map] = []

    def hear(self, message: Message) -> None:
        """Take a map, if it is one that was not there before."""
        message.settle()
        if message.payload:
            with contextlib.suppress(Rejected):
                owners = codec.decode_owners(message.payload).owners
                if not self.maps or self.maps[-1] != owners:
                    self.maps.append(dict(owners))

    def shares(self, *detectors: str) -> bool:
        """Whether every gateway is given to one of these, and none of them is without."""
        newest = self.maps[-1] if self.maps else {}
        return set(newest) == set(GATEWAYS) and set(newest.values()) == set(detectors)


@contextlib.asynccontextmanager
async def onlooker(site: Site) -> AsyncIterator[Onlooker]:
    """Follow the maps of a site's registry."""
    looking = Onlooker()
    bus = MqttBus(parse_addresses(f"mqtt://127.0.0.1:{site.port}"), "onlooker")
    bus.subscribe(Topics("prove").owners(), looking.hear)
    await bus.open()
    try:
        yield looking
    finally:
        await bus.close()


async def detectors_come_and_go(ground: Ground) -> Finding:
    """Three detectors, then one, then five, under load."""
    stand = ground.stand(rate=1_000.0, detectors=DETECTORS, gateways=GATEWAYS)
    programs = stand.site.programs
    late = {name: programs.pop(name) for name in DETECTORS[3:]}
    figures: dict[str, Figure] = {}
    async with stand, onlooker(stand.site) as looking:
        await stand.until(lambda: looking.shares(*FIRST), SETTLED_S, "three detectors do not share the gateways")
        await _load(stand, ground)
        ground.say("three become one")
        for name in FIRST[1:]:
            await programs[name].kill()
        figures["taken_over_after_s"] = await _moved(stand, looking, FIRST[0])
        await _load(stand, ground)
        ground.say("one becomes five")
        programs |= late
        for name in (*FIRST[1:], *late):
            await programs[name].start()
        figures["spread_after_s"] = await _moved(stand, looking, *DETECTORS)
        await _load(stand, ground)
        await stand.rest()
    verdict = await asyncio.to_thread(stand.verdict)
    changes, needless = moves(looking.maps)
    shown: dict[str, Figure] = {
        "readings": verdict.readings["accepted"],
        "lost": verdict.readings["lost"],
        "doubled": verdict.readings["doubled"],
        "alerts": verdict.alerts["expected"],
        "maps": changes,
        "needless_moves": needless,
    }
    broken = broken_by(verdict)
    if needless:
        broken.append(f"{needless} gateways changed hands between detectors that both stayed")
    return Finding(broken=tuple(broken), figures=shown | figures)


async def _load(stand: Stand, ground: Ground) -> None:
    """Let it run for a while, and see that what is new comes through every log."""
    since_ns = time.time_ns()
    await asyncio.sleep(LOAD_S[0] if ground.short else LOAD_S[1])
    await stand.until(lambda: stand.effect_after(Victim.DETECTOR, "", since_ns), SETTLED_S, "a log stands still")


async def _moved(stand: Stand, looking: Onlooker, *detectors: str) -> float:
    began_s, since_ns = time.monotonic(), time.time_ns()
    await stand.until(lambda: looking.shares(*detectors), SETTLED_S, f"{len(detectors)} detectors do not share")
    await stand.until(lambda: stand.effect_after(Victim.DETECTOR, "", since_ns), SETTLED_S, "a log stands still")
    return round(time.monotonic() - began_s, 2)


def moves(maps: list[Map]) -> tuple[int, int]:
    """How often the map changed, and how many gateways moved from an owner that stayed to one that was there already.

    With rendezvous hashing a gateway moves only from a detector that leaves or to one that comes: 1/N of them each.
    """
    needless = 0
    for old, new in itertools.pairwise(maps):
        stayed = set(old.values()) & set(new.values())
        both = old.keys() & new.keys()
        needless += sum(old[each] != new[each] and {old[each], new[each]} <= stayed for each in both)
    return max(0, len(maps) - 1), needless


DRILLS = (
    Drill(
        catalogue="F29",
        name="detectors_come_and_go",
        how="detectors 3 -> 1 -> 5 under load",
        holds="a gateway moves only from a detector that leaves or to one that comes; 0 lost, 0 doubled",
        run=detectors_come_and_go,
    ),
)
