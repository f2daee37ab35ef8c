"""Alerts of Prometheus and Grafana: what comes on Alertmanager's webhook becomes metrics of assets."""

from __future__ import annotations

from edgemesh.drivers.alertmanager.driver import create
from edgemesh.drivers.alertmanager.settings import Settings

__all__ = ["Settings", "create"]
