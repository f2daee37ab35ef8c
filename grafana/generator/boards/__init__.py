"""One module for each dashboard, and the panels that several of them share."""

from __future__ import annotations

import importlib

from grafana.generator.panels import Json

NAMES = ("site", "devices", "device", "anomalies", "workorders", "agents", "links", "traces", "pipeline")
"""The modules; the file of each dashboard has the same name."""


def make(name: str) -> Json:
    """One dashboard."""
    made: Json = importlib.import_module(f"grafana.generator.boards.{name}").make()
    return made
