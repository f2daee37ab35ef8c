"""Checking what a configuration says of detectors that are plug-ins."""

from __future__ import annotations

import difflib

from edgemesh.configuration.reader import convert
from edgemesh.detect.detectors import BUILT_IN, find_detector
from edgemesh.detect.model_settings import ScoreSettings
from edgemesh.errors import ConfigError, PluginMissing


def check_method(settings: ScoreSettings, *, file: str, path: str) -> None:
    """Refuse methods that there are not, and settings of plug-ins that they do not have.

    ConfigError says what would be right. A plug-in that is installed but lacks something is let pass: rules go on
    alone then, see `detect.plugged`.
    """
    method = settings.method
    for name in settings.plugin:
        if name != method or name in BUILT_IN:
            near = difflib.get_close_matches(name, [method], n=1, cutoff=0.5)
            wish = f"did you mean `{near[0]}`?" if near and method not in BUILT_IN else f"the method is `{method}`"
            raise ConfigError("is no plug-in that is used here", file=file, path=f"{path}.plugin.{name}", wish=wish)
    if method in BUILT_IN:
        return
    try:
        module, _ = find_detector(method)
    except PluginMissing:
        return
    except ConfigError as error:
        raise ConfigError(error.problem, file=file, path=f"{path}.method", wish=error.wish) from None
    convert(settings.plugin.get(method, {}), module.Settings, file=file, path=f"{path}.plugin.{method}")
