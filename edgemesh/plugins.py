"""Plug-ins: modules found by entry points, built-in ones like anybody else's."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType

from edgemesh.errors import ConfigError, PluginMissing

_NEEDED = ("Settings", "create")


@dataclass(frozen=True, slots=True)
class Plugin:
    """An installed plug-in: its name in configurations, its module, and the distribution that brought it."""

    name: str
    module: str
    distribution: str
    version: str


def installed(group: str) -> tuple[Plugin, ...]:
    """All plug-ins of a group that are installed here, by name; imports none of them."""
    found = {_describe(point) for point in entry_points(group=group)}
    return tuple(sorted(found, key=lambda plugin: (plugin.name, plugin.module)))


def find_plugin(group: str, what: str, name: str, *, others: Iterable[str] = ()) -> tuple[ModuleType, Plugin]:
    """Import the plug-in of that name, and only that one. `what` it is called in errors; `others`: names beside it.

    PluginMissing when the import fails; ConfigError when none or several have the name, or the module is none.
    """
    points = {point.value: point for point in entry_points(group=group) if point.name == name}
    if not points:
        raise ConfigError(f"no {what} is named {name!r}", wish=_nearest(group, name, others))
    if len(points) > 1:
        raise ConfigError(
            f"several {what}s are named {name!r}: {', '.join(sorted(points))}", wish="uninstall all but one of them"
        )
    (point,) = points.values()
    try:
        module: ModuleType = point.load()
    except Exception as error:
        raise PluginMissing(f"the {what} {name!r} can't be imported: {error}", wish=_origin(point)) from error
    absent = [needed for needed in _NEEDED if not hasattr(module, needed)]
    if absent:
        raise ConfigError(f"{point.value} is no {what}, it has no `{'` and no `'.join(absent)}`", wish=_origin(point))
    return module, _describe(point)


def _describe(point: EntryPoint) -> Plugin:
    distribution = point.dist
    if distribution is None:
        return Plugin(point.name, point.value, "unknown", "")
    return Plugin(point.name, point.value, distribution.name, distribution.version)


def _origin(point: EntryPoint) -> str:
    plugin = _describe(point)
    return f"it comes from {plugin.distribution} {plugin.version}".rstrip()


def _nearest(group: str, name: str, others: Iterable[str]) -> str:
    names = [*others, *sorted({plugin.name for plugin in installed(group)})]
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    guess = f"did you mean {near[0]!r}? " if near else ""
    return f"{guess}installed: {', '.join(names) or 'none, install edgemesh with pip'}"
