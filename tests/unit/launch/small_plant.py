"""A whole plant on a broker in memory: a scripted device, the production agents, an executor that does as told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from edgemesh.bus.contract import Message
from edgemesh.bus.memory import MemoryBroker
from edgemesh.configuration.loading import Configuration, load
from edgemesh.drivers.contract import Inlet
from edgemesh.errors import Rejected
from edgemesh.launch.plant import Plant, build, journal_file
from edgemesh.model.agents import Card, Presence, Role
from edgemesh.model.alerts import Alert
from edgemesh.model.orders import Answer, AnswerKind, DispatchList, OrderState, WorkOrder
from edgemesh.store.history import History
from edgemesh.testing import make_sample, make_source
from edgemesh.wire import codec
from edgemesh.wire.topics import Topics

FILE = """
[site]
id = "small"
data = "{data}"

[[asset]]
id = "pump-1"
class = "pump"
criticality = "A"

[[gateway]]
id = "gateway-1"

[detector]
agents = ["detector-1"]

[[detection.rule]]
kind = "limit"
name = "flow low"
metric = "flow"
below = 80.0
clear = 85.0
hold = "2s"
clear_hold = "2s"

[scheduler]

[dispatch]
answer_within = "30s"
work_within = "60s"
verify_for = "100ms"
reopen_after = "60s"

[recorder]

[registry]
"""
TOPICS = Topics("small")
NEXT = {
    OrderState.DISPATCHED: AnswerKind.ACCEPTED,
    OrderState.ACCEPTED: AnswerKind.STARTED,
    OrderState.IN_PROGRESS: AnswerKind.DONE,
}


@dataclass
class Device:
    """A driver whose device measures every recorded second; its flow falls after `healthy` samples until repaired.

    While it is `quiet` it measures nothing.
    """

    healthy: int = 10
    quiet: bool = False
    taken: int = 0
    repaired: bool = False

    async def run(self, inlet: Inlet) -> None:
        source = make_source("pump-1", metrics=("flow",), units=("m3/h",))
        while True:
            if self.quiet:
                await asyncio.sleep(0.005)
                continue
            value = 90.0 if self.repaired or self.taken < self.healthy else 60.0
            inlet.put([make_sample(value, source=source, at_s=float(self.taken))])
            self.taken += 1
            await asyncio.sleep(0.005)


@dataclass
class Executor:
    """Answers each state of its order with the next one, again and again while that state stands; done repairs."""

    device: Device
    patient_in: OrderState | None = None
    lists: list[DispatchList] = field(default_factory=list)
    standing: DispatchList | None = None

    async def run(self, broker: MemoryBroker) -> None:
        bus = broker.client("ana")
        bus.subscribe(TOPICS.dispatch("ana"), self._take)
        await bus.open()
        beat = 0
        try:
            while True:
                beat += 1
                card = Card(
                    agent="ana",
                    role=Role.EXECUTOR,
                    state=Presence.UP,
                    incarnation="one",
                    beat=beat,
                    skills=dict.fromkeys(("hydraulics", "operator", "mechanics", "electrical", "automation"), 1.0),
                    max_load=1,
                )
                bus.publish(TOPICS.card("ana"), codec.encode(card), retain=True)
                for order in self.standing.orders if self.standing else ():
                    if order.state in NEXT and order.state is not self.patient_in:
                        said = NEXT[order.state]
                        self.device.repaired = self.device.repaired or said is AnswerKind.DONE
                        answer = Answer(executor="ana", order=order.order, attempt=order.attempt, answer=said)
                        bus.publish(TOPICS.answer("ana"), codec.encode(answer))
                await asyncio.sleep(0.03)
        finally:
            await bus.close()

    def _take(self, message: Message) -> None:
        message.settle()
        self.standing = None
        if message.payload:
            with contextlib.suppress(Rejected):
                self.standing = codec.decode_dispatch(message.payload, executor="ana")
                self.lists.append(self.standing)


@dataclass
class SmallPlant:
    """One plant per role, so that each can be killed and built again from its files."""

    configuration: Configuration
    device: Device
    executor: Executor
    broker: MemoryBroker = field(default_factory=MemoryBroker)
    parts: dict[Role, Plant] = field(default_factory=dict)
    dropped: list[Plant] = field(default_factory=list)

    async def start(self, role: Role) -> None:
        self.parts[role] = await build(
            self.configuration,
            names=frozenset(name for each, name in self.configuration.settings.agents() if each is role),
            connect=lambda client, will: self.broker.client(client, will=will),
        )
        await self.parts[role].start()

    async def kill(self, role: Role) -> None:
        """As SIGKILL: no good-bye, nothing committed, nothing closed."""
        part = self.parts.pop(role)
        self.dropped.append(part)
        for intake in part.intakes.values():
            await intake.stop()
        for name, agent in part.agents.items():
            self.broker.cut(f"edgemesh-small-{name}")
            for task in agent._tasks:
                task.cancel()
            await asyncio.gather(*agent._tasks, return_exceptions=True)
            await agent.bus.close()
            await agent.steps.close()
            self.broker.heal(f"edgemesh-small-{name}")

    def order_state(self) -> OrderState | None:
        """The state of the order that the executor sees."""
        return self.executor.standing.orders[0].state if self.executor.standing else None

    def history(self) -> tuple[list[Alert], list[WorkOrder]]:
        """What the recorder has written until now."""
        path = journal_file(self.configuration.data, "recorder")
        with History(path) as history:
            return list(history.alerts(limit=100)), list(history.orders(limit=100))

    def is_verified(self) -> bool:
        return any(order.state is OrderState.VERIFIED for order in self.history()[1])


@contextlib.asynccontextmanager
async def small_plant(folder: Path, *, more: str = "") -> AsyncIterator[SmallPlant]:
    """The plant with everything running; at the end nothing runs and all files are closed. `more` is configuration."""
    file = folder / "small.toml"
    file.write_text(FILE.format(data=folder / "data") + more)
    device = Device()
    loaded = load(file)
    configuration = Configuration(loaded.file, loaded.settings, {"gateway-1": (("script", device),)})
    plant = SmallPlant(configuration, device, Executor(device))
    executor = asyncio.create_task(plant.executor.run(plant.broker))
    try:
        for role in (Role.RECORDER, Role.SCHEDULER, Role.REGISTRY, Role.DETECTOR, Role.GATEWAY):
            await plant.start(role)
        yield plant
    finally:
        executor.cancel()
        await asyncio.gather(executor, return_exceptions=True)
        for part in plant.parts.values():
            await part.stop()
        for part in plant.dropped:
            for agent in part.agents.values():
                agent.engine.journal.close()
