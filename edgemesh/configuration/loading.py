"""From a file to settings that are known to be right: refuse at start, never at three in the morning."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgemesh.bus.address import parse_addresses
from edgemesh.configuration.detectors import check_method, check_sentry
from edgemesh.configuration.reader import convert, read_toml
from edgemesh.configuration.settings import EMBEDDED, PlantSettings
from edgemesh.dispatch.causes import CauseTable, read_causes
from edgemesh.drivers.contract import Driver
from edgemesh.drivers.registry import find_driver
from edgemesh.errors import ConfigError
from edgemesh.model.alerts import Stage


@dataclass(frozen=True, slots=True)
class Configuration:
    """A checked configuration: the settings, where they came from, and the drivers of each gateway, built but idle.

    `causes` is the table of causes in the place of the built-in one; None: none was named.
    """

    file: Path
    settings: PlantSettings
    drivers: Mapping[str, tuple[tuple[str, Driver], ...]]
    causes: CauseTable | None = None

    @property
    def data(self) -> Path:
        """The data folder; a relative one is taken from the folder in which the program was started."""
        return Path(self.settings.site.data)


def load(
    file: Path,
    *,
    environment: Mapping[str, str] = os.environ,
    changes: Mapping[str, object] | None = None,
    drivers: Mapping[str, Mapping[str, object]] | None = None,
) -> Configuration:
    """Read and check a configuration file.

    `changes` replace single values first (`{"site.data": "/tmp/x"}`), `drivers` settings of all drivers of a type
    (`{"replay": {"speed": "max"}}`). ConfigError says which file, which key and what would be right.
    """
    tree = read_toml(file, environment)
    for path, value in (changes or {}).items():
        *parents, last = path.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                raise ConfigError("must be a table", file=str(file), path=parent, wish=f"[{parent}]")
        node[last] = value
    settings = convert(tree, PlantSettings, file=str(file))
    _check_names(settings, file)
    _check_broker(settings.site.broker, file)
    _check_influxdb(settings, file)
    _check_notices(settings, file)
    for number, model in enumerate(settings.detection.model):
        check_method(model, file=str(file), path=f"detection.model[{number}]")
    built = {
        gateway.id: tuple(
            _driver(
                {**table, **(drivers or {}).get(str(table.get("type")), {})}, file, f"gateway[{g}].driver[{d}]", name
            )
            for d, table in enumerate(gateway.driver)
            for name in (f"{gateway.id}.{table.get('type')}-{d + 1}",)
        )
        for g, gateway in enumerate(settings.gateway)
    }
    return Configuration(file, settings, built, _causes(settings.dispatch.causes, file))


def _causes(name: str, file: Path) -> CauseTable | None:
    if not name:
        return None
    place = file.parent / name
    try:
        return read_causes(place.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        problem = f"{place} is no table of causes: {error}"
        raise ConfigError(
            problem, file=str(file), path="dispatch.causes", wish="docs/causes.md says its form"
        ) from None


def _check_names(settings: PlantSettings, file: Path) -> None:
    for what, names in (
        ("agent", [name for _, name in settings.agents()]),
        ("asset", [asset.id for asset in settings.asset]),
    ):
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise ConfigError(f"two {what}s are called `{twice[0]}`", file=str(file), wish="give each its own name")
    if settings.detector and settings.detector.stage is Stage.GATEWAY:
        check_sentry(settings, file=str(file))
    elif settings.detector and not settings.registry and settings.gateway:
        raise ConfigError(
            "is missing", file=str(file), path="registry", wish="without it no detector is given a gateway to watch"
        )


def _check_broker(broker: str, file: Path) -> None:
    if broker in EMBEDDED:
        return
    try:
        parse_addresses(broker)
    except ConfigError as error:
        wish = f'{error.wish}; or "embedded"'
        raise ConfigError(error.problem, file=str(file), path="site.broker", wish=wish) from None


def _check_influxdb(settings: PlantSettings, file: Path) -> None:
    influx = settings.influxdb
    if influx is None:
        return
    if settings.recorder is None:
        wish = "the recorder writes into InfluxDB what it keeps; or leave [influxdb] out here"
        raise ConfigError("is missing", file=str(file), path="recorder", wish=wish)
    if settings.traces.trace_ids_as_tags and influx.version != 3:
        what = f"exhausts a server of version {influx.version}"
        raise ConfigError(what, file=str(file), path="traces.trace_ids_as_tags", wish="only where influxdb.version = 3")
    problem = influx.problem()
    if problem:
        key, what, wish = problem
        raise ConfigError(what, file=str(file), path=f"influxdb.{key}", wish=wish)


def _check_notices(settings: PlantSettings, file: Path) -> None:
    names = Counter(each.name for each in (*settings.notice, *settings.ticket))
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        wish = "give each its own name"
        raise ConfigError(f"two notices or tickets are called `{twice[0]}`", file=str(file), wish=wish)
    if names and settings.recorder is None:
        wish = "the recorder's file is where notices wait; or leave [[notice]] and [[ticket]] out here"
        raise ConfigError("is missing", file=str(file), path="recorder", wish=wish)


def _driver(table: Mapping[str, object], file: Path, path: str, name: str) -> tuple[str, Driver]:
    kind = table.get("type")
    if not isinstance(kind, str):
        raise ConfigError("is missing", file=str(file), path=f"{path}.type", wish="`edgemesh plugins` lists them")
    try:
        module = find_driver(kind)
    except ConfigError as error:
        raise ConfigError(error.problem, file=str(file), path=f"{path}.type", wish=error.wish) from None
    rest = {key: value for key, value in table.items() if key != "type"}
    settings = convert(rest, module.Settings, file=str(file), path=path)
    try:
        driver = module.create(settings)
    except ValueError as error:
        raise ConfigError(str(error), file=str(file), path=path) from None
    return name, driver
