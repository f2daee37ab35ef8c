"""A site in one process for tests: agents on a broker in memory, each of which can be killed and built again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from edgemesh.agents.card import make_will
from edgemesh.agents.clock import Clock, SystemClock
from edgemesh.agents.core import Core, Input
from edgemesh.agents.engine import Engine
from edgemesh.agents.items import Offered
from edgemesh.agents.roles import ROLES
from edgemesh.agents.runtime import Runtime
from edgemesh.bus.contract import Bus, Message, Will
from edgemesh.bus.memory import MemoryBroker
from edgemesh.log.journal import Cursor, Journal
from edgemesh.model.agents import Role
from edgemesh.model.alerts import Alert
from edgemesh.model.packs import Readings
from edgemesh.model.samples import Record
from edgemesh.store.contract import Sink
from edgemesh.testing import make_sample, make_source
from edgemesh.wire.topics import Topics

TOPICS = Topics("site")
SOURCE = make_source()


class Keeper:
    """A core that keeps every value of `flow` that it was given, in order, by gateway; what it holds is on the disk."""

    def __init__(self) -> None:
        self.kept: dict[str, list[float | None]] = {}
        self.adopted: list[str] = []
        self._dirty = False

    def handle(self, pack: Input) -> Sequence[Record]:
        if isinstance(pack, Readings):
            values = [value for batch in pack.records for value in batch.values[0]]
            self.kept.setdefault(pack.agent, []).extend(values)
            self._dirty = True
        return []

    def tick(self, now_ns: int) -> Sequence[Record]:
        return []

    def present(self, records: Sequence[Record] | None) -> Mapping[str, Record | None]:
        return {}

    def save(self) -> Mapping[str, bytes | None]:
        parts = {"kept": msgspec.json.encode(self.kept)} if self._dirty else {}
        self._dirty = False
        return parts

    def load(self, parts: Mapping[str, bytes]) -> None:
        if "kept" in parts:
            self.kept = msgspec.json.decode(parts["kept"], type=dict[str, list[float | None]])

    def adopt(self, gateway: str, alerts: Sequence[Alert], through: Cursor | None = None) -> None:
        self.adopted.append(gateway)

    def meet(self, alert: Alert) -> Sequence[Record]:
        return ()

    def release(self, gateway: str) -> Sequence[Alert]:
        self.kept.pop(gateway, None)
        self._dirty = True
        return ()


@dataclass
class Site:
    """Agents by name. `folder` holds their files, `recipes` how to build each anew."""

    folder: Path
    broker: MemoryBroker = field(default_factory=MemoryBroker)
    agents: dict[str, Runtime] = field(default_factory=dict)
    journals: list[Journal] = field(default_factory=list)
    recipes: dict[str, Callable[[], Runtime]] = field(default_factory=dict)

    def add(
        self,
        name: str,
        role: Role,
        make_core: Callable[[], Core],
        *,
        sinks: Sequence[Sink] = (),
        readers: Sequence[str] = (),
        clock: Callable[[], Clock] = SystemClock,
        bus: Callable[[Bus], Bus] = lambda bus: bus,
    ) -> Runtime:
        """Build an agent, not started yet. `bus` may put something between it and the broker."""

        def build() -> Runtime:
            self.journals.append(Journal.open(self.folder / f"{name}.db", name))
            engine = Engine(self.journals[-1], make_core, clock(), writes=ROLES[role].writes, sinks=sinks)
            will = Will(TOPICS.card(name), make_will(engine, role, "incarnation"))
            client = bus(self.broker.client(name, will=will))
            return Runtime(engine, client, TOPICS, role, readers=readers, window=16, keep_s=0.0)

        self.recipes[name] = build
        self.agents[name] = build()
        return self.agents[name]

    async def start(self, *names: str) -> None:
        """Start these agents, or all."""
        for name in names or tuple(self.agents):
            await self.agents[name].start()

    async def kill(self, name: str) -> None:
        """End an agent as SIGKILL would: no good-bye, nothing committed, nothing closed."""
        agent = self.agents.pop(name)
        self.broker.cut(name)
        for task in agent._tasks:
            task.cancel()
        await asyncio.gather(*agent._tasks, return_exceptions=True)
        await agent.bus.close()
        await agent.steps.close()
        self.broker.heal(name)

    async def revive(self, name: str) -> Runtime:
        """Build a killed agent again from its files, and start it."""
        self.agents[name] = self.recipes[name]()
        await self.agents[name].start()
        return self.agents[name]

    async def close(self) -> None:
        """Stop what runs and close all files."""
        await asyncio.gather(*(agent.stop() for agent in self.agents.values()))
        for journal in self.journals:
            journal.close()

    def core(self, name: str) -> Core:
        """The core of a running agent, as it is now."""
        return self.agents[name].engine.core

    def put(self, gateway: str, *values: float) -> None:
        """Let a driver put one sample per value into a gateway."""
        for value in values:
            self.agents[gateway].offer(Offered((make_sample(value, source=SOURCE),)))

    def peek(self, name: str) -> Journal:
        """What an agent has committed, read beside it; closed with the site."""
        self.journals.append(Journal.peek(self.folder / f"{name}.db"))
        return self.journals[-1]

    def kept(self, name: str) -> dict[str, list[float | None]]:
        """What a Keeper has committed."""
        with contextlib.closing(Journal.peek(self.folder / f"{name}.db")) as journal:
            parts = journal.parts()
        return msgspec.json.decode(parts.get("kept", b"{}"), type=dict[str, list[float | None]])


@contextlib.asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Site]:
    """A site whose agents are stopped at the end."""
    site = Site(folder)
    try:
        yield site
    finally:
        await site.close()


@contextlib.asynccontextmanager
async def client(site: Site, name: str = "stranger") -> AsyncIterator[Bus]:
    """Another client of the site's broker, connected."""
    bus = site.broker.client(name)
    await bus.open()
    while not bus.linked:
        await asyncio.sleep(0)
    try:
        yield bus
    finally:
        await bus.close()


def collect(bus: Bus, pattern: str) -> list[Message]:
    """A list that grows with what comes on the topics of a pattern."""
    found: list[Message] = []

    def take(message: Message) -> None:
        found.append(message)
        message.settle()

    bus.subscribe(pattern, take)
    return found
