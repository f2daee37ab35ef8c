"""All drills, in the order of their numbers."""

from __future__ import annotations

from edgemesh.prove.drill import Drill

DRILLS: tuple[Drill, ...] = ()
