"""Finding drivers: by the entry-point group `edgemesh.drivers`, built-in ones like anybody else's."""

from __future__ import annotations

from typing import cast

from edgemesh import plugins
from edgemesh.drivers.contract import DriverModule
from edgemesh.plugins import Plugin

__all__ = ["GROUP", "Plugin", "find_driver", "installed"]

GROUP = "edgemesh.drivers"


def installed() -> tuple[Plugin, ...]:
    """All drivers that are installed here, by name; imports none of them."""
    return plugins.installed(GROUP)


def find_driver(name: str) -> DriverModule:
    """Import the driver of that name, and only that one.

    ConfigError when none or several have the name, when the import fails, or when the module is no driver.
    """
    return cast("DriverModule", plugins.find_plugin(GROUP, "driver", name)[0])
