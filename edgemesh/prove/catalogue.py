"""All drills, in the order of their numbers."""

from __future__ import annotations

from edgemesh.prove.drill import Drill
from edgemesh.prove.drills import elastic, executor, failpoints, storage, watchdog

DRILLS: tuple[Drill, ...] = (*failpoints.DRILLS, *executor.DRILLS, *storage.DRILLS, *watchdog.DRILLS, *elastic.DRILLS)
