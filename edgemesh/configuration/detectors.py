"""Checking what a configuration says of detectors that are plug-ins."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from edgemesh.configuration.reader import convert
from edgemesh.configuration.settings import PlantSettings
from edgemesh.detect.methods.detectors import BUILT_IN, find_detector
from edgemesh.detect.models.settings import ScoreSettings
from edgemesh.errors import ConfigError, PluginMissing


def check_method(settings: ScoreSettings, *, file: str, path: str) -> None:
    """Refuse methods that there are not, and settings of plug-ins that they do not have.

    ConfigError says what would be right. A plug-in that is installed but lacks something is let pass: rules go on
    alone then, see `detect.methods.plugged`.
    """
    methods = settings.methods
    if len(set(methods)) < len(methods):
        raise ConfigError("names a method twice", file=file, path=f"{path}.method", wish="each has one voice")
    for name in settings.plugin:
        if name not in methods or name in BUILT_IN:
            plugins = [method for method in methods if method not in BUILT_IN]
            wish = _nearest(name, plugins) or f"the method is `{', '.join(methods)}`"
            raise ConfigError("is no plug-in that is used here", file=file, path=f"{path}.plugin.{name}", wish=wish)
    if not isinstance(settings.vote, str):
        _check_weights(settings.vote, methods, file, f"{path}.vote")
    for method in methods:
        if method not in BUILT_IN:
            _check_plugin(method, settings.plugin.get(method, {}), file, path)


def check_sentry(settings: PlantSettings, *, file: str) -> None:
    """Refuse what `stage = "gateway"` does not go together with. ConfigError says what would be right."""
    agents = settings.detector.agents if settings.detector else ()
    if not settings.gateway:
        wish = 'add [[gateway]], or leave `stage = "gateway"` out where detectors watch gateways elsewhere'
        problem = "watches the gateways of its own file, and there is none"
        raise ConfigError(problem, file=file, path="detector.stage", wish=wish)
    if len(agents) != 1:
        problem = "must name the sentry" if not agents else "names more than the one sentry that there can be"
        wish = f'a name that no other agent of the site has, like agents = ["{settings.gateway[0].id[:57]}-sentry"]'
        raise ConfigError(problem, file=file, path="detector.agents", wish=wish)
    if settings.detection.model:
        wish = "rules and templates judge on the gateway; move [[detection.model]] to the file of the site's detector"
        problem = "can't be learnt by a sentry, which is to stay light"
        raise ConfigError(problem, file=file, path="detection.model", wish=wish)
    if not settings.detection.rule:
        wish = "add [[detection.rule]] or [[detection.template]]"
        raise ConfigError("has no rule, so the sentry would find nothing", file=file, path="detection", wish=wish)


def find_lacking(settings: ScoreSettings) -> list[str]:
    """What keeps plug-ins of checked settings from judging here, a line for each."""
    said = []
    for method in settings.methods:
        if method in BUILT_IN:
            continue
        try:
            module, _ = find_detector(method)
            module.create([("", "any", "1")], convert(settings.plugin.get(method, {}), module.Settings, file=""))
        except Exception as error:  # noqa: BLE001  whatever the code of others raises
            problem = error.problem if isinstance(error, ConfigError) else str(error)
            said.append(f"the detector {method} can't judge here, rules go on: {problem}")
    return said


def _check_weights(weights: Mapping[str, float], methods: Sequence[str], file: str, path: str) -> None:
    for name in weights:
        if name not in methods:
            wish = _nearest(name, methods) or f"the method is `{', '.join(methods)}`"
            raise ConfigError("is no method that votes here", file=file, path=f"{path}.{name}", wish=wish)
    for method in methods:
        if method not in weights:
            raise ConfigError("is missing", file=file, path=f"{path}.{method}", wish="each has a weight, or none has")


def _check_plugin(method: str, table: Mapping[str, Any], file: str, path: str) -> None:
    try:
        module, _ = find_detector(method)
    except PluginMissing:
        return
    except ConfigError as error:
        raise ConfigError(error.problem, file=file, path=f"{path}.method", wish=error.wish) from None
    convert(table, module.Settings, file=file, path=f"{path}.plugin.{method}")


def _nearest(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean `{near[0]}`?" if near else ""
