"""All drills, in the order of their numbers."""

from __future__ import annotations

from edgemesh.prove.drill import Drill
from edgemesh.prove.drills import (
    bad_links,
    brokers,
    clients,
    clock,
    elastic,
    executor,
    failpoints,
    half_open,
    hostile,
    network,
    slow_reader,
    storage,
    watchdog,
)

DRILLS: tuple[Drill, ...] = (
    *failpoints.DRILLS,
    *executor.DRILLS,
    *network.DRILLS,
    *half_open.DRILLS,
    *bad_links.DRILLS,
    *brokers.DRILLS,
    *clients.DRILLS,
    *storage.DRILLS,
    *clock.DRILLS,
    *slow_reader.DRILLS,
    *watchdog.DRILLS,
    *elastic.DRILLS,
    *hostile.DRILLS,
)
