"""Training of a class: one model out of recorded data of several of its assets, as a file."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgemesh.backtest.chain import Chain
from edgemesh.backtest.recorded import Range, open_recorded
from edgemesh.configuration.loading import Configuration, load
from edgemesh.configuration.settings import AssetSettings, PlantSettings
from edgemesh.detect.classes.files import make_class
from edgemesh.detect.classes.numbers import learn_class
from edgemesh.detect.classes.roles import roles_of
from edgemesh.detect.learning.learner import Learner
from edgemesh.detect.methods.lessons import MachineLesson
from edgemesh.detect.models.kinds import Kind
from edgemesh.detect.models.profile import libraries_now
from edgemesh.detect.models.provenance import About
from edgemesh.detect.models.settings import ProfileSettings
from edgemesh.errors import ConfigError, InputError
from edgemesh.launch.plant import need_for_detection
from edgemesh.store.playback import LATEST_NS

SHORT_ROWS = 60


@dataclass(frozen=True, slots=True)
class WarmUp:
    """The whole warm-up of one asset: `rows` (n x channels, NaN: unknown), and role, unit and kind of each channel."""

    asset: str
    roles: tuple[str, ...]
    units: tuple[str, ...]
    kinds: tuple[Kind, ...]
    rows: NDArray[np.float64]
    span_ns: tuple[int, int]
    settings: ProfileSettings


def train_class(
    config: Path, data: Sequence[str], asset_class: str, *, version: int = 1, short_rows: int = SHORT_ROWS
) -> bytes:
    """The model of a class from recorded data of its assets: the rows that their detector would learn them from.

    Of `data` each is a history, which holds any number of assets; or CSV of one asset, `ASSET=PATH` or called as it.
    ConfigError where nothing is learnt, InputError where the data do not hold a whole warm-up, or differ too much.
    """
    found: dict[str, WarmUp] = {}
    for each in data:
        for warm_up in _warm_ups(config, each, asset_class):
            if warm_up.asset in found:
                raise InputError(
                    f"there is more than one warm-up of {warm_up.asset}", source=each, wish="leave one out"
                )
            found[warm_up.asset] = warm_up
    pool = [found[asset] for asset in sorted(found)]
    first = pool[0]
    schema = dict(zip(first.roles, zip(first.units, first.kinds, strict=True), strict=True))
    for other in pool[1:]:
        _check_alike(first, other)
    roles = sorted(schema)
    tables = [each.rows[:, [each.roles.index(role) for role in roles]] for each in pool]
    units, kinds = [schema[role][0] for role in roles], [schema[role][1] for role in roles]
    numbers = learn_class(tables, roles, kinds, first.settings, short_rows)
    if numbers is None:
        wish = f"each asset needs {short_rows + 128} rows and more (`train_rows`) in which something varies"
        raise InputError("nothing can be learnt from that", source=", ".join(data), wish=wish)
    about = About(
        version=version,
        rows=sum(map(len, tables)),
        begin_ns=min(each.span_ns[0] for each in pool),
        end_ns=max(each.span_ns[1] for each in pool),
        learnt_at_ns=time.time_ns(),
        libraries=libraries_now(),
    )
    return make_class(asset_class, numbers, units, kinds, [each.asset for each in pool], about)


def _warm_ups(config: Path, data: str, asset_class: str) -> list[WarmUp]:
    """The warm-ups of all assets of the class in one place. InputError: there is none."""
    name, _, rest = data.partition("=")
    path = Path(rest if rest and not Path(data).exists() else data)
    if not path.exists():
        raise InputError("is not there", source=str(path), wish="give CSV, a history, or ASSET=CSV")
    configuration = load(config, drivers={"replay": {"path": str(path), "speed": "max"}})
    if not configuration.settings.detection.model:
        raise ConfigError("is missing", file=str(config), path="detection.model", wish="without it nothing is learnt")
    need_for_detection(configuration.settings)
    given = name if path != Path(data) else path.stem if path.suffix == ".csv" else None
    settings = _settings(configuration.settings, given, asset_class, data)
    found = _play(configuration, settings, path, given, asset_class, str(config))
    if not found:
        wish = "a warm-up is as long as `train_rows` says, with its gate open and no rule firing"
        what = given or f"any asset of the class {asset_class}"
        raise InputError(f"does not hold a whole warm-up of {what}", source=str(path), wish=wish)
    return found


def _settings(settings: PlantSettings, given: str | None, asset_class: str, source: str) -> PlantSettings:
    """The settings, in which the asset that CSV is of is one of the class."""
    if given is None:
        return settings
    known = {each.id: each.asset_class for each in settings.asset}
    if known.get(given, asset_class) != asset_class:
        raise InputError(f"{given} is a {known[given]}, not a {asset_class}", source=source, wish="leave it out")
    if given in known:
        return settings
    try:
        asset = msgspec.convert({"id": given, "class": asset_class}, AssetSettings)
    except ValueError as error:
        raise InputError(f"{given} can't be the name of an asset: {error}", source=source, wish="ASSET=FILE") from error
    return msgspec.structs.replace(settings, asset=(*settings.asset, asset))


def _play(
    configuration: Configuration, settings: PlantSettings, path: Path, given: str | None, asset_class: str, file: str
) -> list[WarmUp]:
    """Play the data until the warm-ups of all assets of the class are whole, or it ends."""
    wanted = [each.id for each in settings.asset if each.asset_class == asset_class and given in (None, each.id)]
    recorded = open_recorded(path, configuration, Range(0, LATEST_NS), asset=given)
    chain = Chain(settings, file=file, puts_off=True)
    found: dict[str, WarmUp] = {}
    for block in recorded.blocks():
        if recorded.waits:
            chain.wait(block.samples[0].at_ns)
        chain.play(block)
        for asset in wanted:
            learner = chain.learner(asset) if asset not in found else None
            if learner is not None and learner.wants:
                found[asset] = _warm_up(asset, learner, str(path))
        if len(found) == len(wanted):
            break
    return list(found.values())


def _warm_up(asset: str, learner: Learner, source: str) -> WarmUp:
    lesson, channels = learner.scoring.lesson(), learner.scoring.channels
    if not isinstance(lesson, MachineLesson):
        raise InputError(f"{asset} is a slow series, which has no model", source=source, wish="leave it out")
    try:
        roles = roles_of(asset, channels, learner.settings.places)
    except ValueError as error:
        raise InputError(str(error), source=source) from error
    order = [lesson.channels.index(f"{device}/{metric}" if device else metric) for device, metric, _ in channels]
    table = np.frombuffer(lesson.rows, dtype="<f8").reshape(-1, len(channels))[:, order]
    about = learner.state.about
    units = tuple(unit for _, _, unit in channels)
    kinds = tuple(lesson.kinds[k] for k in order)
    return WarmUp(asset, roles, units, kinds, table, (about.begin_ns, about.end_ns), lesson.settings)


def _check_alike(first: WarmUp, other: WarmUp) -> None:
    """Raise InputError unless both have the same roles, in the same units and of the same kinds."""
    one = dict(zip(first.roles, zip(first.units, first.kinds, strict=True), strict=True))
    two = dict(zip(other.roles, zip(other.units, other.kinds, strict=True), strict=True))
    for role in sorted(one.keys() | two.keys()):
        if one.get(role) != two.get(role):
            has = [f"{name} has {_told(each.get(role))}" for name, each in ((first.asset, one), (other.asset, two))]
            wish = "leave one of them out, or use `metrics` and `exclude` of [[detection.model]]"
            raise InputError(f"of {role} {' and '.join(has)}", source=other.asset, wish=wish)


def _told(entry: tuple[str, Kind] | None) -> str:
    return "none" if entry is None else f"one in {entry[0]} ({entry[1]})"
