"""Telling an agent of a running site what to log."""

from __future__ import annotations

import asyncio
import difflib
import secrets
from collections.abc import Mapping
from pathlib import Path

from edgemesh.bus.contract import Bus, Message
from edgemesh.errors import InputError, Rejected
from edgemesh.launch.look import connect
from edgemesh.model.agents import Card, Presence
from edgemesh.model.commands import Command, LogLevel, Reply
from edgemesh.wire import codec
from edgemesh.wire.topics import Topics, parse

ANSWER_S = 3.0


async def change_level(
    file: Path, broker: str | None, site: str | None, agent: str, level: LogLevel, *, for_s: float = 0.0
) -> str:
    """Have the agent log what is at least of this level, for so long (0: until its next start); what it says to it.

    BusUnavailable without a broker; InputError where there is no such agent (with the nearest name), where it is down
    or where it says nothing within 3 s.
    """
    bus, topics = await connect(file, broker, site)
    try:
        return await command(bus, topics, agent, Command(id=secrets.token_hex(16), log_level=level, for_s=for_s))
    finally:
        await bus.close()


async def command(bus: Bus, topics: Topics, agent: str, order: Command, *, within_s: float | None = None) -> str:
    """Give a command on an open bus and return the line that the agent says; InputError as `change_level`."""
    return (await ask(bus, topics, agent, order, within_s=within_s)).text


async def ask(bus: Bus, topics: Topics, agent: str, order: Command, *, within_s: float | None = None) -> Reply:
    """Give a command on an open bus and return what the agent says to it; InputError as `change_level`."""
    within_s = ANSWER_S if within_s is None else within_s
    cards: dict[str, Card] = {}
    said: asyncio.Queue[Reply] = asyncio.Queue()

    def see(message: Message) -> None:
        message.settle()
        try:
            name = parse(message.topic).name
            if message.payload:
                cards[name] = codec.decode_card(message.payload, agent=name)
        except Rejected:
            pass  # whoever it is, it is none that we could command

    def hear(message: Message) -> None:
        message.settle()
        try:
            reply = codec.decode_reply(message.payload, agent=agent)
        except Rejected:
            return
        if reply.id == order.id:
            said.put_nowait(reply)

    bus.subscribe(topics.card("+"), see)
    bus.subscribe(topics.reply(agent), hear)
    bus.publish(topics.command(agent), codec.encode(order))
    try:
        async with asyncio.timeout(within_s):
            reply = await said.get()
    except TimeoutError:
        raise _silence(topics.site, agent, cards, within_s) from None
    if not reply.done:
        raise InputError(reply.text or "the command was refused", source=agent)
    return reply


def _silence(site: str, agent: str, cards: Mapping[str, Card], within_s: float) -> InputError:
    """Why an agent has said nothing, as far as its card tells."""
    if agent not in cards:
        near = difflib.get_close_matches(agent, cards, n=1, cutoff=0.5)
        known = ", ".join(sorted(cards)) or "nobody so far"
        return InputError(
            f"site {site} has no agent `{agent}`", wish=f"did you mean `{near[0]}`?" if near else f"there are: {known}"
        )
    if cards[agent].state is Presence.DOWN:
        return InputError("is down", source=agent, wish="start it first")
    return InputError(
        f"says nothing within {within_s:.0f} s", source=agent, wish="does it run this version of edgemesh?"
    )
