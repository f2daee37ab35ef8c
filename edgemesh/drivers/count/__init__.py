"""Counting devices: what comes in is known beforehand, so that what comes out can be held against it."""

from __future__ import annotations

from edgemesh.drivers.count.driver import create
from edgemesh.drivers.count.settings import Settings

__all__ = ["Settings", "create"]
