"""Any device's JSON on a pattern of MQTT topics."""

from __future__ import annotations

from edgemesh.drivers.mqtt_json.driver import create
from edgemesh.drivers.mqtt_json.settings import Settings

__all__ = ["Settings", "create"]
