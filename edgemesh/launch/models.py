"""The models of a site, read from the logs of its detectors while they run or not."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from edgemesh.configuration.loading import load
from edgemesh.detect.classes.files import ClassFile, read_any
from edgemesh.detect.models.files import ModelFile, describe_channels, make_model, read_model
from edgemesh.detect.models.profile import Profile
from edgemesh.detect.models.provenance import Base
from edgemesh.detect.rollout.stages import RolloutState
from edgemesh.detect.watch_state import WatchState
from edgemesh.errors import InputError, LogError
from edgemesh.launch.lines import instant_text
from edgemesh.launch.rollout_text import stage_text
from edgemesh.log.journal import Journal


@dataclass(frozen=True, slots=True)
class Kept:
    """How far the detector `agent` is with an asset: `content` is its model's file, None while it learns or a series.

    `warm_rows`: rows of the warm-up so far. `rollout`: the newest model that it was offered, and how that stands.
    """

    agent: str
    asset: str
    method: str
    warm_rows: int
    content: bytes | None
    rollout: RolloutState = field(default_factory=RolloutState)


def find_models(place: Path) -> list[Kept]:
    """The models of a data folder, or of the site of a configuration file. InputError: there is none here."""
    data = place if place.is_dir() else load(place).data
    found = []
    for file in sorted((data / "agents").glob("*.db")):
        try:
            with contextlib.closing(Journal.peek(file)) as journal:
                found += _models(journal.agent, journal.parts())
        except LogError as error:
            raise InputError(f"can't be read: {error}", source=str(file)) from error
    if not found:
        wish = "was the site started from this folder, and has its detector heard of anything yet?"
        raise InputError("no detector has watched anything here", source=str(data), wish=wish)
    return found


def find_model(place: Path, asset: str) -> Kept:
    """The model of one asset. InputError: there is none."""
    models = find_models(place)
    found = [kept for kept in models if kept.asset == asset]
    if not found:
        names = ", ".join(sorted({kept.asset for kept in models})[:8])
        raise InputError(f"nobody watches {asset}", source=str(place), wish=f"there is {names}")
    return max(found, key=lambda kept: kept.content is not None)


def open_model(file: Path) -> ModelFile | ClassFile:
    """The model in a file, of an asset or of a class. InputError says what is wrong with it."""
    try:
        return read_any(file.read_bytes())
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror}", source=str(file)) from error
    except ValueError as error:
        raise InputError(str(error), source=str(file), wish="train or fetch it again") from error


def offers_of(config: Path, files: Sequence[Path]) -> list[tuple[str, int, bytes]]:
    """What is to be offered: asset, version and file of each model; that of a class once for each asset of the class.

    InputError: a file is no model, or the configuration has no asset of its class.
    """
    offers = []
    for name in files:
        file, content = open_model(name), name.read_bytes()
        assets = [file.name]
        if isinstance(file, ClassFile):
            known = load(config).settings.asset
            assets = [each.id for each in known if each.asset_class == file.name]
            if not assets:
                wish = f"there is {', '.join(sorted({each.asset_class for each in known})) or 'no [[asset]] at all'}"
                raise InputError(f"has no [[asset]] of the class {file.name}", source=str(config), wish=wish)
        offers += [(asset, file.version, content) for asset in assets]
    return offers


def _models(agent: str, parts: Mapping[str, bytes]) -> list[Kept]:
    found = []
    for name in sorted(parts):
        if name.startswith("asset/") and name.endswith("/state"):
            asset = name.split("/")[1]
            state = msgspec.json.decode(parts[name], type=WatchState)
            learner, content = state.learner, parts.get(f"asset/{asset}/model")
            file = None
            if content is not None:
                profile = Profile(content, max(1, learner.about.version))
                described = describe_channels(profile, state.window.channels, {})
                file = make_model(asset, profile, described, learner.about)
            found.append(Kept(agent, asset, learner.method, learner.warm_rows, file, state.rollout))
    return found


def listing(models: list[Kept]) -> list[str]:
    """A line for each asset."""
    width = max(len(kept.asset) for kept in models)
    lines = [f"{'asset':<{width}}  version  learnt from           until                 rows  channels  detector"]
    for kept in models:
        head = f"{kept.asset:<{width}}  "
        if kept.content is None:
            learning = f"learning, {kept.warm_rows} rows so far" if kept.warm_rows else ""
            lines.append(f"{head}{learning or _without(kept.method)} ({kept.agent}){_offered(kept.rollout)}")
            continue
        file = read_model(kept.content)[0]
        begin, end = instant_text(file.begin_ns), instant_text(file.end_ns)
        judged = sum(channel.use != "none" for channel in file.channels)
        of_class = (
            f"; of the class {file.base.name}, version {file.base.version}" if isinstance(file.base, Base) else ""
        )
        behind = f"{kept.agent}{of_class}{_offered(kept.rollout)}"
        lines.append(f"{head}{file.version:>7}  {begin}  {end}  {file.rows:>5} {judged:>9}  {behind}")
    return lines


def _without(method: str) -> str:
    """What judges an asset of which there is no model."""
    if method == "series":
        return "a slow series, judged by its own past"
    return f"judged by {method}" if method not in ("", "machine") else "no model"


def _offered(rollout: RolloutState) -> str:
    """How the newest offer stands, to be put behind a line; empty: there was none."""
    if not rollout.revision:
        return ""
    what = f"version {rollout.version}" if rollout.version else "back to the former one"
    so_far = f" {rollout.tenth * 10} %" if rollout.runs else ""
    return f"; {what}: {stage_text(rollout.stage)}{so_far}{': ' if rollout.reason else ''}{rollout.reason}"


_USES = {"fast": "", "slow": "slow: only its moves count", "none": "left out: it did not vary, or was not known"}


def telling(file: ModelFile | ClassFile) -> list[str]:
    """What a model is, for people."""
    made = ", ".join(f"{name} {version}" for name, version in sorted(file.libraries.items())) or "not known"
    of_class = isinstance(file, ClassFile)
    lines = [
        f"{'class ' if of_class else ''}{file.name}, version {file.version}",
        f"  hash     {file.hash}",
        f"  learnt   {instant_text(file.learnt_at_ns)}",
        f"  from     {file.rows} rows, {instant_text(file.begin_ns)} to {instant_text(file.end_ns)}",
        f"  with     {made}",
    ]
    if isinstance(file, ClassFile):
        lines += [f"  assets   {', '.join(file.assets)}", "  roles"]
        return lines + [f"    {role.name:<32} {role.kind:<12} {role.unit:<8} {_USES[role.use]}" for role in file.roles]
    if isinstance(file.base, Base):
        lines.append(f"  of       the class {file.base.name}, version {file.base.version}@{file.base.hash[:8]}")
    lines.append("  channels")
    for channel in file.channels:
        normal = _USES[channel.use]
        if channel.low is not None and channel.high is not None:
            normal = f"{channel.low:.4g} to {channel.high:.4g} {channel.unit}"
        lines.append(f"    {channel.name:<32} {channel.kind:<12} {normal}")
    return lines
