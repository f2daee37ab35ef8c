"""Waiting until every log has reached its readers: what replay and demo do before they count."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from edgemesh.agents.roles import ROLES
from edgemesh.agents.runtime import Runtime
from edgemesh.launch.plant import Plant
from edgemesh.model.agents import Role

POLL_S = 0.02


def behind(plant: Plant) -> list[str]:
    """What is still on its way: one line per log and reader, or per agent with work waiting."""
    waiting = [f"{agent.name} has work waiting" for agent in plant.agents.values() if agent.waiting]
    for writer in plant.agents.values():
        head = writer.engine.journal.head
        if writer.feed and head:
            marks = writer.feed.feeder.watermarks()
            waiting += [
                f"{group} lacks {head - marks.get(group, 0)} packs of {writer.name}"
                for group in _groups(plant, writer)
                if marks.get(group, 0) < head
            ]
    return waiting


def _groups(plant: Plant, writer: Runtime) -> list[str]:
    return [role.value for role in ROLES[writer.role].readers if plant.of(Role(role))]


async def drained(plant: Plant, *, patience_s: float, watch: Callable[[], None] = lambda: None) -> list[str]:
    """Wait until nothing is on its way in three looks running; return what still is when it has not moved for
    `patience_s`. `watch` is called at each look.
    """
    calm, before, moved_s = 0, [""], time.monotonic()
    while calm < 3:
        watch()
        rest = behind(plant)
        calm = 0 if rest else calm + 1
        if rest != before:
            before, moved_s = rest, time.monotonic()
        if rest and time.monotonic() - moved_s > patience_s:
            return rest
        await asyncio.sleep(POLL_S)
    return []
