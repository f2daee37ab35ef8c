"""Hostile bytes and poison, thrown at a site under load over a real broker."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edgemesh.bus.address import parse_addresses
from edgemesh.bus.mqtt import MqttBus
from edgemesh.errors import LogError
from edgemesh.launch.plant import journal_file
from edgemesh.log.journal import Journal
from edgemesh.log.quarantine import ROWS
from edgemesh.model.ids import derive_id
from edgemesh.prove import hostile, poison
from edgemesh.prove.drill import Drill, Figure, Finding, Ground, broken_by
from edgemesh.prove.faults import Victim
from edgemesh.prove.hostile import EPOCH, Case, cases, sound
from edgemesh.prove.site import CREW, GATEWAYS, Site
from edgemesh.prove.stand import Stand, StuckError
from edgemesh.wire.reasons import Reason
from edgemesh.wire.topics import Kind, Topics

STRANGERS = {Kind.READINGS: "gateway-9", Kind.ALERTS: "detector-9", Kind.ORDERS: "scheduler-9"}
"""Agents that are none: logs of this kind come under this name."""
STRANGER = STRANGERS[Kind.READINGS]
IDENTITY = derive_id("hostile drill")
LARGE_BYTES = 300_000
ROUNDS = 5
POISONED = 40
"""Packs of the stranger's log in the drill of poison; each fourth is poisoned."""
SETTLED_S = 60.0
SOON_S = 12.0
"""Where a guard is off, a log that stands still is not waited for."""
CALM_S = 2.0


@dataclass(frozen=True, slots=True)
class Mark:
    """A topic that is thrown at; in a true agent's name only what is refused is thrown."""

    kind: Kind
    topic: str
    name: str
    true: bool = False


def marks(site: Site, topics: Topics) -> list[Mark]:
    """Every kind of topic that somebody follows: a stranger's, and those of agents that are at work."""
    found = [
        *(Mark(kind, topics.log(kind.value, name), name) for kind, name in STRANGERS.items()),
        Mark(Kind.READINGS, topics.log("readings", GATEWAYS[0]), GATEWAYS[0], true=True),
        Mark(Kind.WATERMARK, topics.watermark(STRANGER, "detector"), STRANGER),
        Mark(Kind.WATERMARK, topics.watermark(GATEWAYS[0], "recorder"), GATEWAYS[0], true=True),
        Mark(Kind.CARD, topics.card("zed"), "zed"),
        Mark(Kind.CARD, topics.card(GATEWAYS[1]), GATEWAYS[1], true=True),
        Mark(Kind.OWNERS, topics.owners(), "", true=True),
        Mark(Kind.ALERT, topics.alert(IDENTITY), IDENTITY),
        Mark(Kind.ORDER, topics.order(IDENTITY), IDENTITY),
        Mark(Kind.DISPATCH, topics.dispatch(CREW[0]), CREW[0], true=True),
        Mark(Kind.ANSWER, topics.answer(CREW[0]), CREW[0], true=True),
        Mark(Kind.MODEL, topics.model(STRANGER), STRANGER),
        Mark(Kind.MODEL_STATE, topics.model_state(STRANGER), STRANGER),
        Mark(Kind.VERDICTS, topics.verdicts(STRANGER), STRANGER),
        Mark(Kind.SILENCE, topics.silence(IDENTITY), IDENTITY),
        Mark(Kind.REVIEW, topics.review(IDENTITY), IDENTITY),
        Mark(Kind.SPANS, topics.spans(STRANGER), STRANGER),
        Mark(Kind.SPANS, topics.spans(GATEWAYS[0]), GATEWAYS[0], true=True),
        Mark(Kind.SCORES, topics.scores(STRANGER), STRANGER),
        Mark(Kind.LINES, topics.lines(STRANGER), STRANGER),
        Mark(Kind.COMMAND, topics.command(GATEWAYS[0]), GATEWAYS[0], true=True),
        Mark(Kind.REPLY, topics.reply(STRANGER), STRANGER),
    ]
    for detector in site.detectors:
        found.append(Mark(Kind.ALERTS, topics.log("alerts", detector), detector, true=True))
        found.append(Mark(Kind.SCORES, topics.scores(detector), detector, true=True))
    return found


@dataclass(slots=True)
class Attacker:
    """A client that keeps to no rule but that of its own socket."""

    bus: MqttBus
    chance: random.Random
    thrown: Counter[str] = field(default_factory=Counter)

    async def throw(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish, as soon as the connection has room."""
        while not self.bus.publish(topic, payload, retain=retain):
            await asyncio.sleep(0.01)

    async def throw_all(self, found: list[Mark], topics: Topics) -> None:
        """Every case at every mark, in any order; a third of them retained."""
        every = [(mark, case) for mark in found for case in _cases(mark)]
        self.chance.shuffle(every)
        for mark, case in every:
            retain = mark.kind not in hostile.PACKS and self.chance.random() < 1 / 3
            await self.throw(mark.topic, case.payload, retain=retain)
            self.thrown[case.reason or "lawful"] += 1
        for base in (topics.log("alerts", "+")[:-1], topics.card("+")[:-1]):
            for _, name, reason in hostile.TOPICS:
                await self.throw(base + name, b"{}")
                self.thrown[reason] += 1

    async def throw_poison(self, topics: Topics, packs: int) -> None:
        """A log of readings, one of alerts and cards, with poison in each: the same ones at each call."""
        for number in range(1, packs + 1):
            for kind in (Kind.READINGS, Kind.ALERTS):
                await self.throw(topics.log(kind.value, STRANGERS[kind]), _poisoned(kind, STRANGERS[kind], number))
            if number % 10 == 0:
                card = sound(Kind.CARD, poison.NAME, number)
                await self.throw(topics.card(poison.NAME), card.replace(b"hostile", b"h%d" % number))

    async def poison_what_is_retained(self, found: list[Mark]) -> None:
        """Leave poison behind on every retained topic."""
        for mark in found:
            if mark.kind not in hostile.PACKS:
                await self.throw(mark.topic, b'{"v":1,"x":NaN}', retain=True)


def _cases(mark: Mark) -> Iterator[Case]:
    for number, case in enumerate(cases(mark.kind, mark.name, 1), 1):
        too_large = len(case.payload) > LARGE_BYTES and mark.kind is not Kind.READINGS
        empties = mark.true and not case.payload
        if too_large or empties or (mark.true and not case.reason):
            continue
        yield case
        if not mark.true:
            yield Case("a good one after it", sound(mark.kind, mark.name, number), "", "taken in")


@contextlib.asynccontextmanager
async def attacker(site: Site, seed: int) -> AsyncIterator[Attacker]:
    """A hostile client of the site's broker."""
    bus = MqttBus(parse_addresses(_address(site)), "hostile")
    await bus.open()
    try:
        yield Attacker(bus, random.Random(seed))
    finally:
        await bus.close()


def _address(site: Site) -> str:
    return f"mqtt://127.0.0.1:{site.port}"


def publish_raw(port: int, topic: bytes, payload: bytes) -> None:
    """Send what no client of ours would: a topic of any bytes. A broker that has enough of it hangs up."""
    connect = b"\x00\x04MQTT\x04\x02\x00\x3c\x00\x07hostil" + b"%d" % (len(topic) % 10)
    body = len(topic).to_bytes(2, "big") + topic + payload
    with socket.create_connection(("127.0.0.1", port), 2.0) as link, contextlib.suppress(OSError):
        link.sendall(b"\x10" + _length(len(connect)) + connect)
        link.recv(4)
        link.sendall(b"\x30" + _length(len(body)) + body)
        link.settimeout(0.2)
        link.recv(4)


def _length(size: int) -> bytes:
    """The variable length of an MQTT packet."""
    encoded = bytearray()
    while True:
        size, low = divmod(size, 128)
        encoded.append(low | (0x80 if size else 0))
        if not size:
            return bytes(encoded)


RAW_TOPICS = (
    *(b"edgemesh/v1/prove/log/readings/" + end for end in (b"#", b"+", b"a\0b", b"\xc0\xaf", b"\xed\xa0\x80", b"")),
    b"edgemesh/v1/prove/agent/" + b"/".join([b"a"] * 300),
    b"/".join([b"a"] * 3_000),
    b"",
)


# -- what was refused --------------------------------------------------------------------------------------------------


def refusals(stand: Stand) -> dict[str, Counter[str]]:
    """By agent, how many messages it has refused, by reason."""
    data = stand.site.folder / "data"
    found: dict[str, Counter[str]] = {}
    for name in (*GATEWAYS, *stand.site.detectors, "scheduler", "recorder", "registry"):
        journal = Journal.peek(journal_file(data, name))
        try:
            found[name] = Counter(journal.rejections())
        finally:
            journal.close()
    return found


def kept_rows(stand: Stand) -> int:
    """The longest quarantine of all."""
    longest = 0
    for file in (stand.site.folder / "data" / "agents").glob("*.db"):
        journal = Journal.peek(file)
        try:
            longest = max(longest, len(journal.quarantine(limit=10**6)))
        finally:
            journal.close()
    return longest


async def calm(stand: Stand) -> int:
    """Wait until nobody refuses anything any more; return how many were refused in all."""

    def total() -> int:
        try:
            return sum(each.total() for each in refusals(stand).values())
        except LogError:  # caught in the middle of a start
            return -1

    before, since_s = -1, time.monotonic()
    deadline = since_s + SETTLED_S
    while time.monotonic() < deadline:
        now = await asyncio.to_thread(total)
        if now != before:
            before, since_s = now, time.monotonic()
        elif time.monotonic() - since_s > CALM_S:
            return now
        await asyncio.sleep(0.1)
    return -1


def traces(folder: Path) -> list[str]:
    """Programs in whose log an exception stands."""
    return [file.stem for file in sorted((folder / "logs").glob("*.log")) if b"Traceback" in file.read_bytes()]


# -- the drills --------------------------------------------------------------------------------------------------------


async def hostile_bytes(ground: Ground) -> Finding:
    """Throw every case at every consumer under load; kill detectors that then find poison retained."""
    stand = ground.stand(rate=300.0 if ground.short else 1_000.0)
    topics, broken, figures = Topics("prove"), list[str](), dict[str, Figure]()
    async with stand, attacker(stand.site, ground.seed) as enemy:
        found = marks(stand.site, topics)
        for _ in range(1 if ground.short else ROUNDS):
            ground.say("throwing")
            await enemy.throw_all(found, topics)
            for topic in RAW_TOPICS:
                await asyncio.to_thread(publish_raw, stand.site.port, topic, b"{}")
        figures["live_after_s"] = round(await stand.flowing(time.time_ns()), 2)
        ground.say("starting anew among poison")
        await enemy.poison_what_is_retained(found)
        died_ns = time.time_ns()
        for name in (*stand.site.detectors, "scheduler"):
            await stand.site.programs[name].kill()
            await stand.site.programs[name].start()
        await stand.until(lambda: _all_go_on(stand, died_ns), SETTLED_S, "an agent that starts among poison")
        figures["among_poison_s"] = round((time.time_ns() - died_ns) / 1e9, 2)
        ground.say("coming to rest")
        refused = await calm(stand)
        for _ in range(AGAIN):
            if refused < 0 or not _missing(refusals(stand)["recorder"]):
                break
            await enemy.throw_all(found, topics)  # a broker may drop what comes too fast for a consumer
            refused = await calm(stand)
        if refused < 0:
            broken.append("messages are refused again and again")
        await stand.rest()
        for program in stand.site.programs.values():
            program.check()
    verdict = await asyncio.to_thread(stand.verdict)
    broken += broken_by(verdict)
    broken += [f"an exception in the log of {name}" for name in traces(stand.site.folder)]
    by_agent = refusals(stand)
    broken += _missing(by_agent["recorder"])
    longest = kept_rows(stand)
    if longest > ROWS:
        broken.append(f"a quarantine of {longest} rows")
    failed = sum(each[Reason.HANDLER_FAILED] for each in by_agent.values())
    if failed:
        broken.append(f"{failed} messages made a handler fail")
    return Finding(
        broken=tuple(broken),
        figures={
            "thrown": enemy.thrown.total(),
            "refused": refused,
            "reasons": len(set().union(*by_agent.values())),
            "accepted": verdict.readings["accepted"],
            "lost": verdict.readings["lost"],
            "doubled": verdict.readings["doubled"],
            "quarantine_rows": longest,
            **figures,
        },
    )


AGAIN = 3
"""So often at most everything is thrown once more, while the recorder has not met every kind."""


def _all_go_on(stand: Stand, since_ns: int) -> bool:
    return stand.effect_after(Victim.DETECTOR, "", since_ns) and stand.effect_after(
        Victim.SCHEDULER, "scheduler", since_ns
    )


def _missing(recorder: Counter[str]) -> list[str]:
    """Reasons of the table that the recorder, who follows every log, should have given and has not."""
    wanted = {case.reason for kind in hostile.PACKS for case in cases(kind, STRANGER, 1)} - {""}
    return [f"the recorder refused nothing as {reason}" for reason in sorted(wanted - set(recorder))]


async def poison_messages(ground: Ground) -> Finding:
    """Give every agent a fault that certain messages bring out, and throw those among others."""
    stand = ground.stand(rate=300.0 if ground.short else 1_000.0)
    for name, program in stand.site.programs.items():
        if name not in ("broker", "crew"):
            program.switches.append("--poison")
    topics, packs = Topics("prove"), POISONED if ground.short else 10 * POISONED
    async with stand, attacker(stand.site, ground.seed) as enemy:
        began_s = time.monotonic()
        ground.say("poisoning")
        for beat in itertools.count(1):  # a card of which only the retained copy is seen is no sign of life
            await enemy.throw(topics.card(STRANGER), _stranger_card(packs, beat), retain=True)
            if await asyncio.to_thread(_through, stand, packs):
                break
            if time.monotonic() - began_s > (SOON_S if ground.without else SETTLED_S):
                raise StuckError(f"a log with poison in it stands still; logs are in {stand.site.folder}/logs")
            await enemy.throw_poison(topics, packs)
            await asyncio.sleep(1.0)
        figures: dict[str, Figure] = {"through_after_s": round(time.monotonic() - began_s, 2)}
        figures["live_after_s"] = round(await stand.flowing(time.time_ns()), 2)
        ground.say("coming to rest")
        await stand.rest()
        for program in stand.site.programs.values():
            program.check()
    verdict = await asyncio.to_thread(stand.verdict)
    failed = {name: counts[Reason.HANDLER_FAILED] for name, counts in refusals(stand).items()}
    broken, wanted = broken_by(verdict), packs // 4
    failed["detectors"] = sum(failed[name] for name in stand.site.detectors)
    for name, least in (("recorder", 2 * wanted), ("scheduler", wanted), ("detectors", wanted)):
        if failed[name] < least:
            broken.append(f"{name} gave up {failed[name]} of {least} poisoned messages")
    return Finding(
        broken=tuple(broken),
        figures={
            "poisoned": wanted,
            "given_up": failed["recorder"] + failed["scheduler"] + failed["detectors"],
            "accepted": verdict.readings["accepted"],
            "lost": verdict.readings["lost"],
            "doubled": verdict.readings["doubled"],
            **figures,
        },
    )


def _poisoned(kind: Kind, name: str, number: int) -> bytes:
    """The good pack of this number, each fourth with poison in it."""
    payload = sound(kind, name, number)
    return (
        payload.replace(b'"asset":"stranger"', b'"asset":"%s"' % poison.NAME.encode()) if number % 4 == 0 else payload
    )


def _stranger_card(head: int, beat: int = 1) -> bytes:
    """A gateway that nobody has heard of; it says how far its log reaches, so that a reader asks for it."""
    card = f'"agent":"{STRANGER}","role":"gateway","state":"up","incarnation":"h","epoch":"{EPOCH}","head":{head}'
    return f'{{"v":1,{card},"beat":{beat}}}'.encode()


def _through(stand: Stand, packs: int) -> bool:
    """Whether recorder, scheduler and some detector have come to the end of the strangers' logs."""
    data, site = stand.site.folder / "data", stand.site

    def reached(reader: str, writer: str) -> bool:
        journal = Journal.peek(journal_file(data, reader))
        try:
            cursor = journal.cursors().get(writer)
        finally:
            journal.close()
        return cursor is not None and cursor.through >= packs

    writer = STRANGERS[Kind.ALERTS]
    return (
        reached("recorder", STRANGER)
        and reached("recorder", writer)
        and reached("scheduler", writer)
        and any(reached(detector, STRANGER) for detector in site.detectors)
    )


DRILLS = (
    Drill(
        catalogue="F27",
        name="poison_messages",
        how="messages on which every core and sink raises, among others",
        holds="given up after 3 tries and kept, the next ones flow, every program alive; 0 lost, 0 doubled",
        run=poison_messages,
        guards=("quarantine",),
    ),
    Drill(
        catalogue="F28",
        name="hostile_bytes",
        how="1,700 kinds of hostile messages on every topic, retained or not, and topics that MQTT forbids, under load",
        holds="each refused with a reason, no exception, nobody stops, not even started among poison; 0 lost",
        run=hostile_bytes,
    ),
)
