"""Asking the scheduler of a running site who would get an order, and giving one to somebody by name."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from pathlib import Path

from edgemesh.bus.contract import Bus, Message
from edgemesh.errors import InputError, Rejected
from edgemesh.launch.levels import ask
from edgemesh.launch.look import connect
from edgemesh.model.agents import Presence, Role
from edgemesh.model.commands import Assign, Command, Considered, Explain, Explanation, Reply
from edgemesh.wire import codec
from edgemesh.wire.topics import Topics, parse

FIND_S = 3.0
_FOREVER = 1e17


async def assign_order(file: Path, broker: str | None, site: str | None, order: str, executor: str, by: str) -> str:
    """Have the scheduler give an order to somebody; what it says.

    BusUnavailable without a broker; InputError where there is no scheduler, or where it refuses, with its reason.
    """
    command = Command(id=secrets.token_hex(16), assign=Assign(order=order, executor=executor, by=by))
    return (await _ask(file, broker, site, command)).text


async def explain_order(file: Path, broker: str | None, site: str | None, order: str) -> Explanation:
    """What the scheduler says of who would get an order; errors as `assign_order`."""
    reply = await _ask(file, broker, site, Command(id=secrets.token_hex(16), explain=Explain(order=order)))
    if reply.explanation is None:
        raise InputError("explains nothing", source=reply.agent, wish="update it to this version")
    return reply.explanation


async def _ask(file: Path, broker: str | None, site: str | None, command: Command) -> Reply:
    bus, topics = await connect(file, broker, site)
    try:
        return await ask(bus, topics, await find_scheduler(bus, topics), command)
    finally:
        await bus.close()


async def find_scheduler(bus: Bus, topics: Topics, within_s: float = FIND_S) -> str:
    """The name of the site's scheduler, from its card. InputError where none shows itself in time."""
    found: asyncio.Queue[str] = asyncio.Queue()

    def see(message: Message) -> None:
        message.settle()
        with contextlib.suppress(Rejected):
            name = parse(message.topic).name
            if message.payload:
                card = codec.decode_card(message.payload, agent=name)
                if card.role is Role.SCHEDULER and card.state is Presence.UP:
                    found.put_nowait(name)

    bus.subscribe(topics.card("+"), see)
    try:
        async with asyncio.timeout(within_s):
            return await found.get()
    except TimeoutError:
        raise InputError(f"site {topics.site} has no scheduler that is up", wish="start `edgemesh run`") from None
    finally:
        bus.unsubscribe(topics.card("+"))


def explanation_lines(told: Explanation) -> list[str]:
    """An explanation as lines for people: who gets it, what is asked for, and everybody who was considered."""
    asked = ", ".join(f"{skill} >= {least:g}" for skill, least in sorted(told.skills.items())) or "no skill"
    needs = f"{asked}{''.join(f', certificate {one}' for one in told.certificates)}"
    verb = "would get it" if told.state == "open" else "has it"
    who = f"{told.executor} {verb}" if told.executor else "nobody: it stays open and is escalated"
    lines = [f"order {told.order[:8]}, {told.state}, by {told.strategy}: {who}", f"asks for {needs}"]
    if told.weights:
        lines.append("weights  " + "  ".join(f"{name} {weight:g}" for name, weight in told.weights.items()))
    rows = [("executor", "match", "load", "away", "kept", "price", "why"), *map(_row, told.considered)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    lines += ["", *("  ".join([*map(str.ljust, row[:-1], widths), row[-1]]).rstrip() for row in rows)]
    if told.of > len(told.considered):
        lines.append(f"and {told.of - len(told.considered)} more")
    return lines


def _row(one: Considered) -> tuple[str, ...]:
    price = sum(one.price.values())
    parts = " + ".join(f"{name} {value:.2f}" for name, value in one.price.items() if value)
    if one.price:
        why = f"{'bid' if one.bid else 'no bid, estimated'}: {parts or 'nothing'}"
    else:
        why = "key " + ", ".join("none" if abs(part) > _FOREVER else f"{part:g}" for part in one.key)
    return (
        one.executor,
        f"{one.match:.2f}",
        f"{one.load}/{one.max_load}",
        "?" if one.distance_m is None else f"{one.distance_m:.0f} m",
        f"{one.reliability:.0%}",
        f"{price:.2f}" if one.price else "-",
        f"not: {one.why_not}" if one.why_not else why,
    )
