"""Running the agents of a configuration until somebody stops them."""

from __future__ import annotations

import asyncio
import logging

from edgemesh.configuration.loading import Configuration
from edgemesh.launch.observer import Observer
from edgemesh.launch.plant import build
from edgemesh.launch.signals import stopping_on_signals
from edgemesh.model.agents import Role

logger = logging.getLogger(__name__)


async def run(configuration: Configuration, *, roles: frozenset[Role], page: bool = True) -> None:
    """Run the agents that have one of the roles, and the page if the file has a `[console]`, until a signal comes."""
    plant = await build(configuration, roles=roles)
    console = configuration.settings.console if page else None
    observer = Observer(plant, "page", page=console) if console else None
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
            await stopping.wait()
            logger.info("stopping")
        finally:
            if observer:
                await observer.stop()
            await plant.stop()
