"""Many clients at once, and two of one name."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from edgemesh.bus.address import Address
from edgemesh.bus.mqtt import MqttBus
from edgemesh.launch.plant import journal_file
from edgemesh.log.journal import Journal
from edgemesh.prove.brokers import KINDS, Node, accepts
from edgemesh.prove.drill import Drill, Figure, Finding, Ground, broken_by
from edgemesh.prove.drills.brokers import own_node
from edgemesh.prove.faults import Victim
from edgemesh.prove.judge import judge
from edgemesh.prove.site import DEVICES, Program, Site
from edgemesh.prove.stand import Stand, StuckError

CLIENTS = (200, 1_000)
DOWN_S = 2.0
BACK_S = 15.0
SLOT_S = 0.1
CROWD = 0.5
"""No more than this share of the clients may come within one SLOT_S: what is not jittered comes all at once."""
_FILES_PER_CLIENT, _FILES_BESIDE = 2, 500
TWIN = "twin"
NOTICED_S = 60.0
NOTICES = {"bus": "ends each link soon after it gave it", "cards": "two agents run under the name gateway-1"}
"""What the bus of either says, and what whoever hears the cards says."""
REFUSED = "is the agent running twice?"
"""What the log of the older one says to it."""


@dataclass(slots=True)
class Crowd:
    """Clients of the bus that do nothing but link; `linked_s` is when (monotonic) each was linked last.

    `stalled_s`: the longest that this process stood still during the last `wait`; what came meanwhile came at once.
    """

    clients: list[MqttBus]
    linked_s: dict[int, float] = field(default_factory=dict)
    stalled_s: float = 0.0

    @classmethod
    def make(cls, address: Address, count: int) -> Crowd:
        """So many clients of one broker, not yet open."""
        crowd = cls([MqttBus([address], f"crowd-{number}") for number in range(count)])
        for number, client in enumerate(crowd.clients):
            client.subscribe(f"crowd/{number}", lambda message: message.settle())
            client.on_link(lambda up, number=number: crowd._note(number, up))  # type: ignore[misc]
        return crowd

    def _note(self, number: int, up: bool) -> None:
        if up:
            self.linked_s[number] = time.monotonic()
        else:
            self.linked_s.pop(number, None)

    async def wait(self, within_s: float) -> None:
        """Return when all are linked. StuckError when they are not within the time."""
        self.stalled_s = 0.0
        deadline_s = time.monotonic() + within_s
        while len(self.linked_s) < len(self.clients):
            now_s = time.monotonic()
            if now_s > deadline_s:
                raise StuckError(
                    f"{len(self.clients) - len(self.linked_s)} of {len(self.clients)} clients are not back"
                )
            await asyncio.sleep(SLOT_S / 10)
            self.stalled_s = max(self.stalled_s, time.monotonic() - now_s - SLOT_S / 10)

    def busiest(self) -> int:
        """The most clients that came within one SLOT_S."""
        slots = Counter(int(at_s / SLOT_S) for at_s in self.linked_s.values())
        return max(slots.values(), default=0)


async def thousand_clients(ground: Ground) -> Finding:
    """Link them all, kill the broker, start it, and see them come."""
    count = CLIENTS[0] if ground.short else CLIENTS[1]
    site = ground.stand().site  # only its broker is started
    node = own_node(site)
    async with _files_for(count), _broker(site, node) as broker:
        crowd = Crowd.make(Address("127.0.0.1", node.port, qos=KINDS[site.broker_kind].qos), count)
        ground.say(f"{count} clients link")
        began_s = time.monotonic()
        await asyncio.gather(*(client.open() for client in crowd.clients))
        try:
            await crowd.wait(60.0)
            first_s = time.monotonic() - began_s
            await broker.kill()
            ground.say("the broker is away")
            await asyncio.sleep(DOWN_S)
            await broker.start()
            await accepts(node.port, site.ready_s)
            back_s = time.monotonic()
            await crowd.wait(2 * BACK_S)
        finally:
            await asyncio.gather(*(client.close() for client in crowd.clients))
    took_s = [max(0.0, at_s - back_s) for at_s in crowd.linked_s.values()]
    broken = [f"the last came after {max(took_s):.1f} s"] if max(took_s) > BACK_S else []
    if crowd.busiest() > CROWD * count and crowd.stalled_s < SLOT_S:
        broken.append(f"{crowd.busiest()} of {count} came within {SLOT_S} s")
    figures: dict[str, Figure] = {
        "clients": count,
        "back_p50_s": round(sorted(took_s)[count // 2], 2),
        "back_max_s": round(max(took_s), 2),
        "peak_per_100_ms": crowd.busiest(),
        "stalled_s": round(crowd.stalled_s, 2),
        "first_link_s": round(first_s, 2),
    }
    return Finding(broken=tuple(broken), figures=figures)


@contextlib.asynccontextmanager
async def _broker(site: Site, node: Node) -> AsyncIterator[Program]:
    """The site's broker alone."""
    program = site.programs[node.name]
    await program.start()
    try:
        await accepts(node.port, site.ready_s)
        yield program
    finally:
        await program.stop()


@contextlib.asynccontextmanager
async def _files_for(clients: int) -> AsyncIterator[None]:
    """Allow this process and those that it starts as many open files as the clients need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = clients * _FILES_PER_CLIENT + _FILES_BESIDE
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def two_of_one_name(ground: Ground) -> Finding:
    """Start a second gateway-1 on the folder of the first; then one with a folder of its own, which somebody copied."""
    stand = ground.stand()
    site = stand.site
    gateway = site.programs["gateway-1"]
    figures: dict[str, Figure] = {}
    async with stand:
        ground.say("two on one folder")
        figures["refused_after_s"] = await _one_folder(stand)
        logs = Logs(site.folder / "logs")
        ground.say("two of one name")
        site.programs[TWIN] = twin = _twin(site)
        began_s = time.monotonic()
        await twin.start()
        for what, text in NOTICES.items():
            await stand.until(partial(logs.say, text), NOTICED_S, f"not noticed by {what}")
            figures[f"{what}_noticed_s"] = round(time.monotonic() - began_s, 1)
        await asyncio.sleep(0.0 if ground.short else NOTICED_S)
        figures["takeovers_per_min"] = round(60 * logs.count("lost its link") / (time.monotonic() - began_s), 1)
        site.enough()
        await twin.stop()
        await _emptied(stand, journal_file(site.folder / "data", "gateway-1"))
        ground.say("the twin alone")
        await gateway.stop()
        await twin.start()
        await _emptied(stand, journal_file(site.folder / TWIN, "gateway-1"))
        await stand.rest()
    verdict = await asyncio.to_thread(stand.verdict)
    history = journal_file(site.folder / "data", "recorder")
    twins = await asyncio.to_thread(judge, history, site.folder / "ledgers", [TWIN], DEVICES)
    broken = broken_by(verdict) + [f"of the twin's: {said}" for said in broken_by(twins) if "alerts" not in said]
    figures |= {"readings": verdict.readings["accepted"], "twins_readings": twins.readings["accepted"]}
    figures |= {what: verdict.readings[what] + twins.readings[what] for what in ("lost", "doubled")}
    return Finding(broken=tuple(broken), figures=figures)


async def _one_folder(stand: Stand) -> float:
    """Start a second gateway-1 on the folder of the first, until one of them is refused; then have one run again."""
    site = stand.site
    logs, began_s = Logs(site.folder / "logs"), time.monotonic()
    arguments = ["run", str(site.folder / "prove.toml"), "--agent=gateway-1", "--log-level=warning"]
    second = Program("second", "edgemesh", arguments, site.folder / "logs" / "second.log")
    await second.start()
    try:
        await stand.until(partial(logs.say, REFUSED), 30.0, "two agents write into one folder")
        refused_s = round(time.monotonic() - began_s, 1)
    finally:
        await second.kill()
    await site.programs["gateway-1"].kill()
    await site.programs["gateway-1"].start()
    since_ns = time.time_ns()
    await stand.until(partial(stand.effect_after, Victim.GATEWAY, "gateway-1", since_ns), 30.0, "nothing arrives")
    return refused_s


def _twin(site: Site) -> Program:
    """A second gateway-1 that somebody set up by mistake: its own folder, its own devices."""
    text = (site.folder / "prove.toml").read_text()
    text = text.replace(f'data = "{site.folder}/data"', f'data = "{site.folder}/{TWIN}"')
    text = text.replace('prefix = "gateway-1"', f'prefix = "{TWIN}"')
    text = text.replace(f"{site.folder}/ledgers/gateway-1", f"{site.folder}/ledgers/{TWIN}")
    file = site.folder / f"{TWIN}.toml"
    file.write_text(text)
    arguments = ["run", str(file), "--agent=gateway-1", "--log-level=warning"]
    return Program(TWIN, "edgemesh", arguments, site.folder / "logs" / f"{TWIN}.log")


class Logs:
    """What the programs of a site log from now on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._skip = {file: file.stat().st_size for file in folder.glob("*.log")}

    def count(self, text: str) -> int:
        """How often any of them has said this."""
        return sum(self._read(file).count(text) for file in self._folder.glob("*.log"))

    def say(self, text: str) -> bool:
        """Whether any of them has said this."""
        return self.count(text) > 0

    def _read(self, file: Path) -> str:
        return file.read_bytes()[self._skip.get(file, 0) :].decode(errors="replace")


async def _emptied(stand: Stand, log: Path) -> None:
    """Wait until the recorder has all that a gateway's log holds."""
    await stand.until(lambda: _has_all(stand, log), 2 * NOTICED_S, f"{log} is not taken in")


def _has_all(stand: Stand, log: Path) -> bool:
    with contextlib.ExitStack() as stack:
        journals = [
            stack.enter_context(contextlib.closing(Journal.peek(file)))
            for file in (log, journal_file(stand.site.folder / "data", "recorder"))
        ]
        written, reader = journals
        cursor = reader.cursors().get("gateway-1")
        return cursor is not None and cursor.epoch == written.epoch and cursor.through >= written.head


DRILLS = (
    Drill(
        catalogue="F24",
        name="thousand_clients",
        how="1,000 clients lose their broker and link again at once",
        holds="all back < 15 s, spread by jitter",
        run=thousand_clients,
    ),
    Drill(
        catalogue="F25",
        name="two_of_one_name",
        how="a second gateway-1 on the folder of the first, then one with a folder of its own",
        holds="one of the first two is refused; the others are noticed and said; no loss",
        run=two_of_one_name,
        guards=("writer",),
    ),
)
