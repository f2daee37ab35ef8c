"""What stands on a running site now, from its retained topics, and commands to its scheduler."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from edgemesh.bus.contract import Bus, Message
from edgemesh.errors import InputError, Rejected
from edgemesh.launch.levels import ask
from edgemesh.launch.look import connect
from edgemesh.model.agents import Card, Presence, Role
from edgemesh.model.alerts import Alert
from edgemesh.model.commands import Command
from edgemesh.model.orders import WorkOrder
from edgemesh.model.silences import Case, Silence
from edgemesh.wire import codec
from edgemesh.wire.topics import Address, Kind, Topics, parse

T = TypeVar("T")
QUIET_S = 0.4
"""Once nothing has come for so long, all that is retained is here."""
ANSWER_S = 3.0


@dataclass(slots=True)
class Standing:
    """Alerts, orders, silences and alerts that wait for a person, by id; cards by agent, owners by gateway."""

    alerts: dict[str, Alert] = field(default_factory=dict)
    orders: dict[str, WorkOrder] = field(default_factory=dict)
    silences: dict[str, Silence] = field(default_factory=dict)
    cases: dict[str, Case] = field(default_factory=dict)
    cards: dict[str, Card] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)

    def take(self, address: Address, payload: bytes) -> None:
        """Take in a message. Rejected: it breaks the rules."""
        name = address.name
        if address.kind is Kind.ALERT:
            _put(self.alerts, name, codec.decode_alert(payload, id=name) if payload else None)
        elif address.kind is Kind.ORDER:
            _put(self.orders, name, codec.decode_order(payload, id=name) if payload else None)
        elif address.kind is Kind.SILENCE:
            _put(self.silences, name, codec.decode_silence(payload, id=name) if payload else None)
        elif address.kind is Kind.REVIEW:
            _put(self.cases, name, codec.decode_case(payload, alert=name) if payload else None)
        elif address.kind is Kind.OWNERS:
            self.owners = codec.decode_owners(payload).owners if payload else {}
        elif address.kind is Kind.CARD:
            _put(self.cards, name, codec.decode_card(payload, agent=name) if payload else None)

    def detector(self, alert: str) -> str:
        """Who watches the gateway of an alert that stands. InputError: nobody does."""
        gateway = self.alerts[alert].gateway
        if gateway not in self.owners:
            raise InputError(f"no detector watches {gateway}", wish="start one, and the registry")
        return self.owners[gateway]

    def scheduler(self) -> str:
        """The scheduler that is up. InputError: none is."""
        up = (name for name, card in self.cards.items() if card.role is Role.SCHEDULER and card.state is Presence.UP)
        found = min(up, default=None)
        if found is None:
            raise InputError("the site has no scheduler that is up", wish="start it first")
        return found


class Watch:
    """Follows what stands on an open bus."""

    def __init__(self, bus: Bus, topics: Topics) -> None:
        self.standing = Standing()
        self._news = asyncio.Event()
        for pattern in (
            topics.alert("+"), topics.order("+"), topics.silence("+"), topics.review("+"), topics.card("+"),
            topics.owners(),
        ):  # fmt: skip
            bus.subscribe(pattern, self._hear)

    async def gather(self) -> Standing:
        """What is retained, once no more of it comes; at most ANSWER_S later."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                await self._wait(ANSWER_S)  # the first of it
                while await self._wait(QUIET_S):
                    pass
        return self.standing

    async def until(self, done: Callable[[Standing], bool]) -> bool:
        """Wait until it is so; False: it was not within ANSWER_S."""
        try:
            async with asyncio.timeout(ANSWER_S):
                while not done(self.standing):
                    await self._wait(ANSWER_S)
        except TimeoutError:
            return done(self.standing)
        return True

    async def _wait(self, seconds: float) -> bool:
        self._news.clear()
        try:
            await asyncio.wait_for(self._news.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def _hear(self, message: Message) -> None:
        message.settle()
        try:
            address = parse(message.topic)
            self.standing.take(address, message.payload)
        except Rejected:
            return  # whoever it is, it is none of what stands
        if address.kind is not Kind.CARD or message.retained:
            self._news.set()


async def look_at(file: Path, broker: str | None, site: str | None) -> Standing:
    """What stands on a site now. BusUnavailable without a broker."""
    bus, topics = await connect(file, broker, site)
    try:
        return await Watch(bus, topics).gather()
    finally:
        await bus.close()


async def tell(
    file: Path,
    broker: str | None,
    site: str | None,
    make: Callable[[Standing], tuple[str, Command]],
    done: Callable[[Standing], bool],
) -> Standing:
    """Give an agent of a site a command, made from what stands there, and wait until it shows.

    BusUnavailable without a broker; InputError where it is not up, refuses, or does not do it within some seconds.
    """
    bus, topics = await connect(file, broker, site)
    try:
        return await command(bus, topics, make, done)
    finally:
        await bus.close()


async def command(
    bus: Bus, topics: Topics, make: Callable[[Standing], tuple[str, Command]], done: Callable[[Standing], bool]
) -> Standing:
    """As `tell`, on an open bus."""
    watch = Watch(bus, topics)
    standing = await watch.gather()
    agent, order = make(standing)
    await ask(bus, topics, agent, order)
    if not await watch.until(done):
        raise InputError(f"has not done it within {ANSWER_S:.0f} s", source=agent, wish="see its log")
    return standing


def _put(there: dict[str, T], name: str, record: T | None) -> None:
    if record is None:
        there.pop(name, None)
    else:
        there[name] = record
