"""F13 and F14: a link that is slow to answer, loses, doubles and disorders, and one of 64 kbit/s."""

from __future__ import annotations

import asyncio
import re
import time

from edgemesh.prove.afterwards import Afterwards
from edgemesh.prove.condition import FLAT_MB, Growth, alerts_to_orders_s, lost_links
from edgemesh.prove.drill import Drill, Figure, Finding, Ground, broken_by
from edgemesh.prove.onlooker import looking_on
from edgemesh.prove.site import DEVICES, GATEWAYS, Site
from edgemesh.prove.ways import CALM, Weather, behind, broker_address

BAD = Weather(delay_s=0.15, jitter_s=0.05, loss=0.05, doubled=0.02)
"""One direction of it; a question and its answer take 300 ms give or take 100."""
BAD_RATE = 100.0
SLOW_UP = Weather(rate=8_000.0, delay_s=0.02)
SLOW_DOWN = Weather(rate=64_000.0, delay_s=0.02)
SLOW_RATE = 120.0
"""The gateway half of it is about twice what the slow link carries, beside the alerts."""
ALERT_S = 5.0
CATCH_UP_S = 120.0
SELDOM = 3
_PERIOD = re.compile(r"^period = (\d+)$", re.MULTILINE)


async def bad_network(ground: Ground) -> Finding:
    """A gateway and the recorder behind a link that nobody would want."""
    names = ("gateway-1", "recorder")
    stand = ground.stand(rate=BAD_RATE)
    growth = Growth(stand.site, names)
    async with behind(stand.site, names, seed=ground.seed) as way:
        async with stand:
            way.weather(up=BAD, down=BAD)
            await asyncio.sleep(3.0 if ground.short else 60.0)
            growth.begin()
            ground.say("bad weather")
            await asyncio.sleep(9.0 if ground.short else 600.0)
            grown = growth.grown_mb()
            links = lost_links(stand.site, names)
            behind_s = await asyncio.to_thread(_behind_s, Afterwards(stand.site, "gateway-1", _per_s(BAD_RATE)))
            way.weather(up=CALM, down=CALM)
            ground.say("coming to rest")
            await stand.rest(CATCH_UP_S)
        carried = {"packets": way.up.carried + way.down.carried, "packets_lost": way.up.lost + way.down.lost}
    broken = [f"{name} grew by {grew} MB" for name, grew in grown.items() if grew > FLAT_MB]
    figures: dict[str, Figure] = {f"{name}_grew_mb": grew for name, grew in grown.items()}
    figures |= {"behind_s": behind_s, "links_lost": links, **carried, "way": way.how}
    return Finding(broken=(*broken_by(stand.verdict()), *broken), figures=figures)


async def slow_link(ground: Ground) -> Finding:
    """A gateway and the only detector behind 64 kbit/s: the gateway's readings lag, the detector's alerts must not."""
    names = ("gateway-1", "detector-1")
    stand = ground.stand(rate=SLOW_RATE, detectors=("detector-1",))
    _calm_down(stand.site)
    growth = Growth(stand.site, names)
    async with (
        behind(stand.site, names, seed=ground.seed) as way,
        stand,
        looking_on(broker_address(stand.site), "prove") as onlooker,
    ):
        growth.begin()
        way.weather(up=SLOW_UP, down=SLOW_DOWN)
        began_s, began_ns = time.monotonic(), time.time_ns()
        ground.say("64 kbit/s")
        await asyncio.sleep(12.0 if ground.short else 300.0)
        ended_ns, grown, links = time.time_ns(), growth.grown_mb(), lost_links(stand.site, names)
        dead = [name for name in names if onlooker.deaths.get(name, 0.0) > began_s]
        behind_s = await asyncio.to_thread(_behind_s, Afterwards(stand.site, "gateway-1", _per_s(SLOW_RATE)))
        way.weather(up=CALM, down=CALM)
        ground.say("coming to rest")
        await stand.rest(CATCH_UP_S)
    took_s = sorted(alerts_to_orders_s(stand.site, "gateway-2", began_ns, ended_ns)) or [0.0]
    broken = [f"{name} grew by {grew} MB" for name, grew in grown.items() if grew > FLAT_MB]
    broken += [f"{name} was taken for dead" for name in dead]
    broken += ["the slow link was not too slow for the readings"] if behind_s < 1.0 else []
    broken += [f"{links} links were lost"] if links else []
    broken += [f"an alert took {took_s[-1]:.1f} s to its order"] if took_s[-1] > ALERT_S else []
    figures: dict[str, Figure] = {
        "alert_p50_s": round(took_s[len(took_s) // 2], 2),
        "alert_max_s": round(took_s[-1], 2),
        "alerts": len(took_s),
        "readings_behind_s": behind_s,
        "links_lost": links,
        **{f"{name}_grew_mb": grew for name, grew in grown.items()},
        "way": way.how,
    }
    return Finding(broken=(*broken_by(stand.verdict()), *broken), figures=figures)


def _calm_down(site: Site) -> None:
    """Have excursions come more seldom, so that the alerts themselves are not too many for the link."""
    file = site.folder / "prove.toml"
    file.write_text(_PERIOD.sub(lambda found: f"period = {int(found[1]) * SELDOM}", file.read_text()))


def _per_s(rate: float) -> float:
    return rate / 2 / len(GATEWAYS) / DEVICES


def _behind_s(after: Afterwards) -> float:
    """How many seconds of readings are accepted and not in the history."""
    after.begin()
    return round(after.missing / after.per_s, 1)


DRILLS = (
    Drill(
        "F13",
        "bad_network",
        "300 ms ± 100 to an answer, 5 % of packets lost each way, some doubled, out of order",
        "nothing lost or doubled; memory of gateway and recorder flat",
        bad_network,
    ),
    Drill(
        "F14",
        "slow_link",
        "a gateway and the detector behind 64 kbit/s, with twice as many readings as that carries",
        "nothing lost or doubled; alerts overtake readings; no link lost, nobody taken for dead; memory flat",
        slow_link,
        guards=("pace",),
    ),
)
