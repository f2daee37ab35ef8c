"""Plays recorded CSV files as if their devices were here."""

from __future__ import annotations

from edgemesh.drivers.replay.cells import Row
from edgemesh.drivers.replay.driver import create
from edgemesh.drivers.replay.recording import Recording, find_recordings, open_recording
from edgemesh.drivers.replay.settings import Settings

__all__ = ["Recording", "Row", "Settings", "create", "find_recordings", "open_recording"]
