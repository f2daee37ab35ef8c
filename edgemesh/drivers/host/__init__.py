"""The gateway's own machine: processor, memory, disk, temperature."""

from __future__ import annotations

from edgemesh.drivers.host.driver import create
from edgemesh.drivers.host.settings import Settings

__all__ = ["Settings", "create"]
