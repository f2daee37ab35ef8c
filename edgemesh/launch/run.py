"""Running the agents of a configuration until somebody stops them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from edgemesh.configuration.loading import Configuration
from edgemesh.errors import ConfigError
from edgemesh.launch.backup import make_backups
from edgemesh.launch.observer import Observer
from edgemesh.launch.plant import build
from edgemesh.launch.pulse import Pulse, Vitals
from edgemesh.launch.signals import stopping_on_signals
from edgemesh.model.agents import Role

logger = logging.getLogger(__name__)


def select(configuration: Configuration, roles: Sequence[str], agents: Sequence[str]) -> frozenset[str] | None:
    """The names of the agents that have one of the roles, and those named; None: neither was asked for, so all.

    ConfigError for a role that there is not, or an agent that the file does not have.
    """
    there = configuration.settings.agents()
    unknown = [role for role in roles if role not in set(Role)]
    if unknown:
        raise ConfigError(f"`{unknown[0]}` is no role", wish=f"one of {', '.join(Role)}")
    strange = [agent for agent in agents if agent not in {name for _, name in there}]
    if strange:
        wish = f"it has {', '.join(name for _, name in there)}"
        raise ConfigError(f"has no agent `{strange[0]}`", file=str(configuration.file), wish=wish)
    if not roles and not agents:
        return None
    return frozenset(name for role, name in there if role in roles or name in agents)


async def run(
    configuration: Configuration, *, names: frozenset[str] | None = None, watched_on: int | None = None
) -> None:
    """Run the agents of these names until a signal comes; without names all, and the page of the `[console]`.

    `watched_on` is the pipe of the watchdog, if there is one.
    """
    plant = await build(configuration, names=names)
    console = configuration.settings.console if names is None else None
    observer = Observer(plant, "page", page=console) if console else None
    backups = make_backups(configuration, list(plant.agents))
    pulse = Pulse(Vitals(plant.agents.values()), watched_on)
    stopping = asyncio.Event()
    with stopping_on_signals(stopping):
        try:
            if plant.broker:
                logger.info("broker: %s %s on %s", plant.broker.kind, plant.broker.version, plant.broker.address)
            await plant.start()
            for agent in plant.agents.values():
                logger.info("%s: running as %s", agent.name, agent.role)
            if observer:
                await observer.start()
                logger.info("page: %s", observer.url)
            if backups:
                for name, notice in backups.notices().items():
                    plant.agents[name].storage.heed(notice)
                backups.start()
            pulse.start()
            await stopping.wait()
            pulse.leave()
            logger.info("stopping")
        finally:
            if observer:
                await observer.stop()
            if backups:
                await asyncio.to_thread(backups.stop)
            await plant.stop()
            pulse.stop()
