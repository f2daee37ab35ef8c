"""Finding drivers: by the entry-point group `edgemesh.drivers`, built-in ones like anybody else's."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import cast

from edgemesh.drivers.contract import DriverModule
from edgemesh.errors import ConfigError

GROUP = "edgemesh.drivers"


@dataclass(frozen=True, slots=True)
class Plugin:
    """An installed driver: its name in configurations, its module, and the distribution that brought it."""

    name: str
    module: str
    distribution: str
    version: str


def installed() -> tuple[Plugin, ...]:
    """All drivers that are installed here, by name; imports none of them."""
    found = {_describe(point) for point in entry_points(group=GROUP)}
    return tuple(sorted(found, key=lambda plugin: (plugin.name, plugin.module)))


def find_driver(name: str) -> DriverModule:
    """Import the driver of that name, and only that one.

    ConfigError when none or several have the name, when the import fails, or when the module is no driver.
    """
    points = {point.value: point for point in entry_points(group=GROUP) if point.name == name}
    if not points:
        raise ConfigError(f"no driver is named {name!r}", wish=_nearest(name))
    if len(points) > 1:
        raise ConfigError(
            f"several drivers are named {name!r}: {', '.join(sorted(points))}", wish="uninstall all but one of them"
        )
    (point,) = points.values()
    try:
        module = point.load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"the driver {name!r} can't be imported: {error}", wish=_origin(point)) from error
    absent = [needed for needed in ("Settings", "create") if not hasattr(module, needed)]
    if absent:
        raise ConfigError(f"{point.value} is no driver, it has no `{'` and no `'.join(absent)}`", wish=_origin(point))
    return cast("DriverModule", module)


def _describe(point: EntryPoint) -> Plugin:
    distribution = point.dist
    if distribution is None:
        return Plugin(point.name, point.value, "unknown", "")
    return Plugin(point.name, point.value, distribution.name, distribution.version)


def _origin(point: EntryPoint) -> str:
    plugin = _describe(point)
    return f"it comes from {plugin.distribution} {plugin.version}".rstrip()


def _nearest(name: str) -> str:
    names = sorted({plugin.name for plugin in installed()})
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    guess = f"did you mean {near[0]!r}? " if near else ""
    return f"{guess}installed: {', '.join(names) or 'none, install edgemesh with pip'}"
