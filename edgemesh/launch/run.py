"""Running the agents of a configuration until somebody stops them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from edgemesh.configuration.loading import Configuration
from edgemesh.errors import ConfigError
from edgemesh.health.commands import obey
from edgemesh.health.lines import LineKeeper
from edgemesh.health.logs import LogOutput
from edgemesh.launch.backup import make_backups
from edgemesh.launch.metrics import make_responder
from edgemesh.launch.observer import Observer
from edgemesh.launch.plant import Plant, build
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
    configuration: Configuration,
    *,
    names: frozenset[str] | None = None,
    watched_on: int | None = None,
    metrics_port: int | None = None,
    output: LogOutput | None = None,
) -> None:
    """Run the agents of these names until a signal comes; without names all, and the page of the `[console]`.

    `watched_on` is the pipe of the watchdog, if there is one; `metrics_port` turns metrics on, or stands for the port
    of `[metrics]`. Agents obey commands about what is logged where there is an `output`. ConfigError when a port is in
    use.
    """
    plant = await build(configuration, names=names)
    if output:
        _connect_log(plant, output)
    console = configuration.settings.console if names is None else None
    observer = Observer(plant, "page", page=console) if console else None
    responder = make_responder(plant, metrics_port)
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
            if responder:
                await responder.open()
                logger.info("metrics: %s/metrics", responder.url)
            if backups:
                for name, notice in backups.notices().items():
                    plant.agents[name].storage.heed(notice)
                backups.start()
            pulse.start()
            await stopping.wait()
            pulse.leave()
            logger.info("stopping")
        finally:
            if responder:
                await responder.close()
            if observer:
                await observer.stop()
            if backups:
                await asyncio.to_thread(backups.stop)
            await plant.stop()
            pulse.stop()


def _connect_log(plant: Plant, output: LogOutput) -> None:
    """Have the log know its agents, the agents obey what is said of it, and the site see what is bad in it."""
    output.speakers.know(plant.topics.site, {name: agent.role.value for name, agent in plant.agents.items()})
    for agent in plant.agents.values():
        obey(agent, plant.topics, output)
    if plant.teller:
        plant.teller.keeper = LineKeeper(output.speakers)
        logging.getLogger().addHandler(plant.teller.keeper)
