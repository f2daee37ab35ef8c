"""A scheduler on the bus: calls that end in time, bids of plain clients, and people who ask or decide."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from edgemesh.agents import runtime
from edgemesh.agents.obedience import Obedience
from edgemesh.agents.runtime import Runtime
from edgemesh.agents.scheduler import SchedulerCore
from edgemesh.bus.contract import Bus, Message
from edgemesh.dispatch.settings import DispatchSettings, StrategyName
from edgemesh.errors import InputError
from edgemesh.health.commands import obey
from edgemesh.launch import assignment
from edgemesh.model.agents import Role
from edgemesh.model.commands import Assign, Command, LogLevel
from edgemesh.model.orders import Answer, AnswerKind, Bid, WorkOrder
from edgemesh.testing import make_alert, make_card, make_pack
from edgemesh.wire import codec
from tests.unit.agents.site import TOPICS, Site, client, collect, running

Until = Callable[..., Awaitable[None]]
BY_AUCTION = DispatchSettings(strategy=StrategyName.AUCTION)


class Desk:
    """A scheduler that obeys, and a plain client that hears its orders."""

    def __init__(self, site: Site, bus: Bus, until: Until) -> None:
        self.site, self.bus, self.until = site, bus, until
        self.orders, self.lists = collect(bus, TOPICS.order("+")), collect(bus, TOPICS.dispatch("+"))
        self.agent: Runtime = site.add("boss", Role.SCHEDULER, lambda: SchedulerCore("boss", "site", BY_AUCTION, {}))
        obey(self.agent, TOPICS, None, Obedience(self.agent, TOPICS).take)

    async def open(self, *names: str) -> WorkOrder:
        """Executors that are there, and an alert: the call."""
        await self.site.start()
        await self.until(lambda: self.agent.linked)
        for name in names:
            card = msgspec.structs.replace(make_card(name), heartbeat_s=3600.0)
            self.bus.publish(TOPICS.card(name), codec.encode(card))
        core = self.agent.engine.core
        assert isinstance(core, SchedulerCore)
        await self.until(lambda: len(core.executors) == len(names))
        self.bus.publish(TOPICS.log("alerts", "det"), codec.encode(make_pack([make_alert()], agent="det")))
        await self.until(lambda: self.orders)
        return self.order()

    def order(self) -> WorkOrder:
        """The newest version that was shown."""
        shown = [message for message in self.orders if message.payload][-1]
        return codec.decode_order(shown.payload, id=shown.topic.rpartition("/")[2])


def on(folder: Path, until: Until, body: Callable[[Desk], Awaitable[None]]) -> None:
    """Run a test at a desk of its own."""

    async def run() -> None:
        async with running(folder) as site, client(site) as bus:
            await body(Desk(site, bus, until))

    asyncio.run(run())


def test_a_call_ends_in_time(tmp_path: Path, until: Until, monkeypatch: pytest.MonkeyPatch) -> None:
    """The award comes when the window is over, not with the next tick of the clock."""
    monkeypatch.setattr(runtime, "TICK_S", 1e6)

    async def body(desk: Desk) -> None:
        order = await desk.open("ana", "ben")
        assert (order.state.value, order.deadline_at_ns is not None) == ("open", True)
        await desk.until(lambda: desk.lists)
        assert desk.lists[-1].topic == TOPICS.dispatch("ana")

    on(tmp_path, until, body)


def test_a_plain_client_bids(tmp_path: Path, until: Until, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes on `answer/{executor}` decides; a bid with NaN goes into the quarantine and decides nothing."""
    monkeypatch.setattr(runtime, "TICK_S", 1e6)

    async def body(desk: Desk) -> None:
        order = await desk.open("ana", "ben")
        for name, cost in (("ana", 9.0), ("ben", 2.0)):
            said = Answer(executor=name, order=order.id, attempt=1, answer=AnswerKind.BID, bid=Bid(cost=cost))
            payload = codec.encode(said)
            desk.bus.publish(TOPICS.answer(name), payload.replace(b"9.0", b"NaN"))
            desk.bus.publish(TOPICS.answer(name), payload)
        await desk.until(lambda: desk.lists)
        assert desk.lists[-1].topic == TOPICS.dispatch("ben")
        assert desk.agent.engine.stats.rejected == 1

    on(tmp_path, until, body)


def test_people_ask_and_decide(tmp_path: Path, until: Until, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scheduler is found by its card; what it says comes back, and what it refuses is an error with its reason."""

    async def body(desk: Desk) -> None:
        order = await desk.open("ana", "ben")

        async def connect(*_place: object) -> tuple[Bus, object]:
            bus = desk.site.broker.client("person")
            await bus.open()
            await desk.until(lambda: bus.linked)
            return bus, TOPICS

        monkeypatch.setattr(assignment, "connect", connect)
        here = Path("unused"), None, None
        said = await assignment.assign_order(*here, order.id[:8], "ben", "mia")
        assert said == f"ben has order {order.id[:8]} now: {order.title}"
        await desk.until(lambda: desk.order().executor == "ben")
        told = await assignment.explain_order(*here, order.id[:4])
        assert (told.order, told.executor, told.strategy) == (order.id, "ben", "auction")
        with pytest.raises(InputError, match="boss: nobody is called max"):
            await assignment.assign_order(*here, order.id, "max", "mia")
        with pytest.raises(InputError, match="there is no order ffff"):
            await assignment.explain_order(*here, "ffff")

    on(tmp_path, until, body)


def test_nobody_answers_for_a_scheduler_that_is_not_there(until: Until) -> None:
    """It is said that there is none; an agent that takes no such command says so itself."""

    async def body() -> None:
        from edgemesh.bus.memory import MemoryBroker

        bus = MemoryBroker().client("person")
        await bus.open()
        with pytest.raises(InputError, match="has no scheduler that is up"):
            await assignment.find_scheduler(bus, TOPICS, within_s=0.01)
        await bus.close()

    asyncio.run(body())


def test_other_agents_say_that_they_can_not(tmp_path: Path, until: Until) -> None:
    """A command that an agent does not take is answered, and nothing waits for ever."""

    async def body(desk: Desk) -> None:
        await desk.open("ana", "ben")
        replies: list[Message] = collect(desk.bus, TOPICS.reply("+"))
        for number, command in enumerate(
            (
                Command(id="1" * 32, log_level=LogLevel.DEBUG),
                Command(id="2" * 32, assign=Assign(order="0000", executor="ana")),
            )
        ):
            desk.bus.publish(TOPICS.command("boss"), codec.encode(command))
            await desk.until(lambda count=number: len(replies) > count)
        said = [codec.decode_reply(message.payload, agent="boss") for message in replies]
        assert [(reply.done, reply.text) for reply in said] == [
            (False, "takes no such command"),
            (False, "there is no order 0000"),
        ]

    on(tmp_path, until, body)
