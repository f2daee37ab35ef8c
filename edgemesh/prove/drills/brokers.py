"""Brokers that forget, that remember what is no more true, and of which one of two dies."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial

from edgemesh.bus.address import Address
from edgemesh.bus.contract import Message
from edgemesh.bus.mqtt import MqttBus
from edgemesh.errors import InputError, Rejected
from edgemesh.launch.plant import journal_file
from edgemesh.model.agents import Card, Presence
from edgemesh.prove.brokers import KINDS, Node, accepts
from edgemesh.prove.drill import Drill, Figure, Finding, Ground, broken_by
from edgemesh.prove.faults import Victim
from edgemesh.prove.judge import Verdict
from edgemesh.prove.onlooker import looking_on
from edgemesh.prove.site import CREW, Site
from edgemesh.wire import codec
from edgemesh.wire.topics import Topics, parse

BACK_S = 3.0
"""All are back within this once the broker accepts clients; three times as long where seconds are short of processors,
as they are when tests share them."""
ROUNDS = (2, 20)
DOWN_S = (3.0, 20.0)
GHOST_S = 4.0
"""So long a dead agent is watched: it would be found dead after 2.5 s."""
_TOPICS = Topics("prove")


@dataclass(slots=True)
class Roll:
    """Who was heard on one broker since `began_s` (monotonic): the first card of each that was not kept, and when."""

    began_s: float = 0.0
    heard_s: dict[str, float] = field(default_factory=dict)
    kept: dict[str, bytes] = field(default_factory=dict)

    def begin(self) -> None:
        """Forget who was heard."""
        self.began_s, self.heard_s = time.monotonic(), {}

    def hear(self, message: Message) -> None:
        """Take a card."""
        message.settle()
        with contextlib.suppress(Rejected):
            card = codec.decode_card(message.payload, agent=parse(message.topic).name)
            self.kept[card.agent] = message.payload
            if not message.retained and card.state is Presence.UP:
                self.heard_s.setdefault(card.agent, time.monotonic())

    def took_s(self, names: set[str]) -> float:
        """Until the last of these was heard, from the beginning. KeyError when one was not."""
        return max(self.heard_s[name] for name in names) - self.began_s


@dataclass(slots=True)
class Maps:
    """Which detectors logs were given to, in the maps of a registry that began at an instant (s UTC) or later."""

    since_s: int
    owners: set[str] = field(default_factory=set)

    def hear(self, message: Message) -> None:
        """Take a map of owners. Epochs begin with the clock, so older ones are of the registry before."""
        message.settle()
        with contextlib.suppress(Rejected):
            map_ = codec.decode_owners(message.payload)
            if map_.epoch >= self.since_s:
                self.owners |= set(map_.owners.values())


@contextlib.asynccontextmanager
async def listening(site: Site, node: Node) -> AsyncIterator[tuple[Roll, MqttBus]]:
    """Hear all cards on one broker of a site, from a connection of our own."""
    roll = Roll()
    bus = MqttBus([address_of(site, node)], "edgemesh-roll")
    bus.subscribe(_TOPICS.card("+"), roll.hear)
    await bus.open()
    try:
        yield roll, bus
    finally:
        await bus.close()


def address_of(site: Site, node: Node) -> Address:
    """The address by which the site's agents reach a broker."""
    return Address("127.0.0.1", node.port, qos=KINDS[site.broker_kind].qos)


def everybody(site: Site) -> set[str]:
    """All who show a card."""
    return {*site.gateways, *site.detectors, "scheduler", "recorder", "registry", *CREW}


def limit_s(ground: Ground) -> float:
    """Within what all must be back."""
    return 3 * BACK_S if ground.short else BACK_S


async def broker_restarts_empty(ground: Ground) -> Finding:
    """Kill the broker and start it empty, again and again; call the roll each time."""
    stand = ground.stand()
    site = stand.site
    node = own_node(site)
    names = everybody(site)
    back: list[float] = []
    live: list[float] = []
    async with stand, listening(site, node) as (roll, _):
        for number in range(ROUNDS[0] if ground.short else ROUNDS[1]):
            ground.say(f"broker restarts empty, {number + 1}")
            await site.programs[node.name].kill()
            await site.programs[node.name].start()
            await accepts(node.port, site.ready_s)
            roll.begin()
            since_ns = time.time_ns()
            await stand.until(lambda: roll.heard_s.keys() >= names, 30, "not all are back")
            back.append(roll.took_s(names))
            await stand.flowing(since_ns)
            live.append(time.monotonic() - roll.began_s)
        await stand.rest()
    verdict = await asyncio.to_thread(stand.verdict)
    broken = broken_by(verdict)
    if max(back) > limit_s(ground):
        broken.append(f"the last was back after {max(back):.1f} s")
    figures: dict[str, Figure] = {
        "restarts": len(back),
        "back_p50_s": round(sorted(back)[len(back) // 2], 2),
        "back_max_s": round(max(back), 2),
        "live_max_s": round(max(live), 2),
    }
    return Finding(broken=tuple(broken), figures=figures | _counts(verdict))


async def stale_card(ground: Ground) -> Finding:
    """Kill a detector, then cut the broker's power: it comes back with the card that the detector had shown alive."""
    stand = ground.stand()
    site = stand.site
    node, (alive, dead) = own_node(site), site.detectors[:2]
    shown: set[str] = set()
    async with stand, listening(site, node) as (roll, bus):
        await stand.until(lambda: dead in roll.kept, 15, f"{dead} shows no card")
        card = roll.kept[dead]
        ground.say("power cut")
        since_ns = time.time_ns()
        await site.programs[dead].kill()
        await stand.until(partial(stand.effect_after, Victim.DETECTOR, "", since_ns), 30, "its logs stand still")
        await site.programs[node.name].kill()
        await site.programs[node.name].start()
        await accepts(node.port, site.ready_s)
        await stand.until(lambda: bus.publish(_TOPICS.card(dead), card, retain=True), 15, "the broker is not back")
        since_ns = time.time_ns()
        await site.programs["registry"].kill()
        for file in journal_file(site.folder / "data", "registry").parent.glob("registry.db*"):
            file.unlink()  # it is a new one, which knows nobody
        maps = Maps(int(time.time()))
        await site.programs["registry"].start()
        bus.subscribe(_TOPICS.owners(), maps.hear)
        planted = await _kept_card(address_of(site, node), dead)
        async with looking_on(address_of(site, node), "prove") as onlooker:
            deadline_s = time.monotonic() + GHOST_S
            while time.monotonic() < deadline_s:
                shown |= onlooker.up & {dead}
                await asyncio.sleep(0.05)
            living = onlooker.up & {alive}
        recovered_s = await stand.flowing(since_ns)
        await stand.until(lambda: bool(maps.owners), 30, "the new registry gives no log to anybody")
        given = set(maps.owners)
        await site.programs[dead].start()
        await stand.rest()
    verdict = await asyncio.to_thread(stand.verdict)
    broken = [said for said in broken_by(verdict) if "readings" in said]  # the hand-over has drills of its own
    if planted is None or planted.state is not Presence.UP:
        broken.append("no stale card was there to be believed")
    if shown:
        broken.append(f"{dead} was shown alive by its stale card")
    if not living:
        broken.append(f"{alive} was not shown alive")
    if dead in given:
        broken.append(f"logs were given to {dead}")
    figures: dict[str, Figure] = {"watched_s": GHOST_S, "live_after_s": round(recovered_s, 2)}
    return Finding(broken=tuple(broken), figures=figures | _counts(verdict))


async def first_of_two_dies(ground: Ground) -> Finding:
    """Two brokers that know nothing of each other: the first dies, stays away, comes back; then the second dies."""
    stand = dataclasses.replace(ground, broker="two").stand()
    site = stand.site
    first, second = site.brokers
    names = everybody(site)
    figures: dict[str, Figure] = {}
    async with stand, listening(site, first) as (on_first, _), listening(site, second) as (on_second, _):
        await stand.until(lambda: on_first.heard_s.keys() >= names, 30, "not all are on the first broker")
        ground.say("the first broker dies")
        on_second.begin()
        since_ns = time.time_ns()
        await site.programs[first.name].kill()
        figures["live_after_s"] = round(await stand.flowing(since_ns), 2)
        await stand.until(lambda: on_second.heard_s.keys() >= names, 30, "not all are on the second broker")
        figures["moved_after_s"] = round(on_second.took_s(names), 2)
        await asyncio.sleep(DOWN_S[0] if ground.short else DOWN_S[1])
        ground.say("it comes back")
        await site.programs[first.name].start()
        await accepts(first.port, site.ready_s)
        on_first.begin()
        since_ns = time.time_ns()
        await stand.until(lambda: on_first.heard_s.keys() >= names, 30, "the site stays on two brokers")
        figures["went_back_after_s"] = round(on_first.took_s(names), 2)
        await stand.flowing(since_ns)
        ground.say("the second broker dies")
        since_ns = time.time_ns()
        await site.programs[second.name].kill()
        await stand.flowing(since_ns)
        await site.programs[second.name].start()
        await stand.rest()
    verdict = await asyncio.to_thread(stand.verdict)
    broken = broken_by(verdict)
    for what in ("moved_after_s", "went_back_after_s"):
        if float(figures[what]) > limit_s(ground):
            broken.append(f"{what.replace('_', ' ')} {figures[what]}")
    return Finding(broken=tuple(broken), figures=figures | _counts(verdict))


def own_node(site: Site) -> Node:
    """The first broker of ours. InputError when it is somebody else's."""
    if not site.brokers:
        raise InputError("this drill kills the broker, so it needs one of its own", source="--broker")
    return site.brokers[0]


async def _kept_card(address: Address, agent: str) -> Card | None:
    """The card that the broker has kept of an agent, as somebody sees it who has just come."""
    kept = await _kept(address, _TOPICS.card(agent))
    return codec.decode_card(kept, agent=agent) if kept else None


async def _kept(address: Address, topic: str, within_s: float = 5.0) -> bytes | None:
    """What the broker has kept on a topic; None: nothing within the time."""
    came: list[bytes] = []

    def hear(message: Message) -> None:
        message.settle()
        if message.retained:
            came.append(message.payload)

    bus = MqttBus([address], "edgemesh-newcomer")
    bus.subscribe(topic, hear)
    await bus.open()
    try:
        async with asyncio.timeout(within_s):
            while not came:
                await asyncio.sleep(0.01)
    except TimeoutError:
        return None
    finally:
        await bus.close()
    return came[0]


def _counts(verdict: Verdict) -> dict[str, Figure]:
    return {
        "readings": verdict.readings["accepted"],
        "lost": verdict.readings["lost"],
        "doubled": verdict.readings["doubled"],
        "orders": verdict.orders["opened"],
    }


DRILLS = (
    Drill(
        catalogue="F1",
        name="first_of_two_dies",
        how="two plain Mosquittos: the first is killed, stays away, comes back; then the second is killed",
        holds="all move to the second and go back to the first; 0 lost, 0 doubled",
        run=first_of_two_dies,
        guards=("look-back",),
    ),
    Drill(
        catalogue="F21",
        name="broker_restarts_empty",
        how="the broker is killed and started empty, again and again",
        holds="everybody's card is heard again < 3 s after it accepts clients; 0 lost, 0 doubled",
        run=broker_restarts_empty,
    ),
    Drill(
        catalogue="F22",
        name="stale_card",
        how="a detector is dead, the broker has kept its card that says up; a new registry, a new onlooker",
        holds="nobody shows it alive, no log is given to it; 0 readings lost, 0 doubled",
        run=stale_card,
        guards=("presence",),
    ),
)
