"""Metrics and health of the agents of a process, where they are wanted."""

from __future__ import annotations

from edgemesh.configuration.settings import MetricsSettings
from edgemesh.health.pages import make_pages
from edgemesh.health.responder import Responder
from edgemesh.launch.plant import Plant


def make_responder(plant: Plant, port: int | None) -> Responder | None:
    """What serves them by `[metrics]`, and by `port` where one is given; None: neither asks for it."""
    settings = plant.configuration.settings.metrics
    if settings is None and port is None:
        return None
    settings = settings or MetricsSettings()
    pages = make_pages(plant.topics.site, plant.agents.values)
    return Responder(pages, settings.host, settings.port if port is None else port)


async def open_metrics(plant: Plant, port: int | None) -> Responder | None:
    """Serve them on a port that was asked for, whatever the configuration says; None: it was not.

    ConfigError when it is in use; the plant is stopped then.
    """
    if port is None:
        return None
    responder = make_responder(plant, port)
    assert responder is not None
    try:
        await responder.open()
    except BaseException:
        await plant.stop()
        raise
    return responder
