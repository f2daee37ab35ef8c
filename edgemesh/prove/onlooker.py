"""Somebody on the bus who sees who lives, by the rules of the mesh, and when each was taken for dead."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from edgemesh.agents.presence import PresenceTracker
from edgemesh.bus.address import Address
from edgemesh.bus.contract import Bus, Message
from edgemesh.bus.mqtt import MqttBus
from edgemesh.errors import Rejected
from edgemesh.model.agents import Card, Presence
from edgemesh.wire import codec
from edgemesh.wire.topics import Topics, parse

SWEEP_S = 0.05


@dataclass(slots=True)
class Onlooker:
    """`deaths` are when (monotonic seconds) each agent was found dead last, `wills` when the broker last said that it
    was gone. `up` are those who live.
    """

    deaths: dict[str, float] = field(default_factory=dict)
    wills: dict[str, float] = field(default_factory=dict)
    up: set[str] = field(default_factory=set)
    _tracker: PresenceTracker = field(default_factory=PresenceTracker)

    def hear(self, message: Message) -> None:
        """Take a card."""
        with contextlib.suppress(Rejected):
            if message.payload:
                now_s = time.monotonic()
                card = codec.decode_card(message.payload, agent=parse(message.topic).name)
                if not message.retained and card.state is Presence.DOWN:
                    self.wills[card.agent] = now_s
                self._note(self._tracker.see(card, retained=message.retained, now_s=now_s))
        message.settle()

    def sweep(self) -> None:
        """Let time pass."""
        self._note(self._tracker.sweep(time.monotonic()))

    def _note(self, cards: list[Card]) -> None:
        for card in cards:
            if card.state is Presence.UP:
                self.up.add(card.agent)
            else:
                self.up.discard(card.agent)
                self.deaths[card.agent] = time.monotonic()


@contextlib.asynccontextmanager
async def looking_on(address: Address, site: str) -> AsyncIterator[Onlooker]:
    """Look on, from a connection of our own, until the block ends."""
    onlooker = Onlooker()
    bus: Bus = MqttBus([address], "edgemesh-onlooker")
    bus.subscribe(Topics(site).card("+"), onlooker.hear)

    async def sweep() -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            onlooker.sweep()

    await bus.open()
    sweeping = asyncio.create_task(sweep())
    try:
        yield onlooker
    finally:
        sweeping.cancel()
        await bus.close()
