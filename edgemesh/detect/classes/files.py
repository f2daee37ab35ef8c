"""Models of classes as files: no device is named in them, only roles; any asset of the class can bind its own to these.

As a model of one asset (`models/files.py`): plain JSON, a manifest with version, hash, seal, schema with units,
training range and library versions, and nothing of it is believed before it was checked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta

from edgemesh.detect.classes.binding import bind_profile, bind_rows
from edgemesh.detect.classes.numbers import ClassNumbers
from edgemesh.detect.classes.roles import roles_of
from edgemesh.detect.learning.learner import Learner
from edgemesh.detect.models.files import (
    Count,
    Hash,
    Libraries,
    ModelFile,
    Text,
    Use,
    check_whole,
    describe_channels,
    make_model,
    read_json,
    read_model,
    seal_of,
)
from edgemesh.detect.models.forest import Forest
from edgemesh.detect.models.kinds import Kind
from edgemesh.detect.models.profile import Profile
from edgemesh.detect.models.provenance import About, Base
from edgemesh.model.agents import Asset
from edgemesh.model.ids import Id

_MARK = b'"kind":"class_model"'
_NO_MODEL = "what judges this asset (a slow series, a plug-in, several detectors) takes no model file"


class Role(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One role that a class knows; see `roles.roles_of` and `models.files.ModelChannel`."""

    name: Text
    unit: Text
    kind: Kind
    use: Use


class ClassFile(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="class_model"
):
    """A model of the class `name`, learnt from `rows` rows of the `assets`. Hash and seal as in `ModelFile`."""

    v: Literal[1] = 1
    name: Id
    version: Annotated[int, Meta(ge=1, lt=2**31)]
    roles: Annotated[tuple[Role, ...], Meta(min_length=1, max_length=256)]
    assets: Annotated[tuple[Id, ...], Meta(min_length=1, max_length=10_000)]
    rows: Count
    begin_ns: Count
    end_ns: Count
    learnt_at_ns: Count
    libraries: Libraries
    hash: Hash
    seal: Annotated[str, Meta(pattern="^([0-9a-f]{64})?$")] = ""
    numbers: msgspec.Raw

    @property
    def base(self) -> Base:
        """What models of assets that were made of it say of it."""
        return Base(self.name, self.version, self.hash)


def make_class(
    name: str, numbers: ClassNumbers, units: Sequence[str], kinds: Sequence[Kind], assets: Sequence[str], about: About
) -> bytes:
    """A model of a class as the bytes of its file. `units` and `kinds` are those of its roles."""
    content = msgspec.json.encode(numbers)
    uses: list[Use] = [
        "fast" if k in numbers.fast else "slow" if k in numbers.slow else "none" for k in range(len(units))
    ]
    roles = tuple(
        Role(name=role, unit=unit, kind=kind, use=use)
        for role, unit, kind, use in zip(numbers.roles, units, kinds, uses, strict=True)
    )
    file = ClassFile(
        name=name,
        version=about.version,
        roles=roles,
        assets=tuple(sorted(assets)),
        rows=about.rows,
        begin_ns=about.begin_ns,
        end_ns=about.end_ns,
        learnt_at_ns=about.learnt_at_ns,
        libraries=dict(sorted(about.libraries.items())),
        hash=hashlib.sha256(content).hexdigest(),
        numbers=msgspec.Raw(content),
    )
    return msgspec.json.encode(msgspec.structs.replace(file, seal=seal_of(file)))


def read_class(content: bytes) -> tuple[ClassFile, ClassNumbers]:
    """The model of a class in a file. ValueError says what is wrong with it."""
    file = read_json(content, ClassFile)
    check_whole(file, bytes(file.numbers))
    numbers = msgspec.json.decode(bytes(file.numbers), type=ClassNumbers)
    if tuple(role.name for role in file.roles) != numbers.roles:
        raise ValueError("its roles are not those of the numbers in it")
    if numbers.forest is not None:
        Forest(numbers.forest.trees)
    return file, numbers


def class_of(content: bytes) -> str:
    """The class that a file is the model of; empty: it is that of an asset, or none at all."""
    return read_class(content)[0].name if _MARK in content[:64] else ""


def read_any(content: bytes) -> ModelFile | ClassFile:
    """The model in a file, of an asset or of a class. ValueError says what is wrong with it."""
    return read_class(content)[0] if _MARK in content[:64] else read_model(content)[0]


def bind(file: ClassFile, numbers: ClassNumbers, asset: Asset, learner: Learner) -> bytes | str:
    """The model of an asset, as a file, out of that of its class and what its learner knows of it so far.

    That is its model, or the rows of a warm-up that is not complete yet. Its version is that of the class, or the next
    one of the asset where that is higher. A text: why it has to wait. ValueError: why it can't be.
    """
    if file.name != asset.asset_class:
        raise ValueError(f"it is a model of the class {file.name}, {asset.id} is a {asset.asset_class}")
    about, channels = learner.state.about, learner.scoring.channels
    if about.base is not None and about.base.name == file.name and file.version <= about.base.version:
        raise ValueError(f"version {file.version} is not newer than version {about.base.version}, which is in use")
    if not learner.scoring.takes_models or learner.scoring.is_series:
        raise ValueError(_NO_MODEL)
    if not learner.learnt and len(learner.scoring.warmup) < numbers.short_rows:
        return f"{numbers.short_rows} rows of the asset have to come first" if channels else ""
    roles = roles_of(asset.id, channels, learner.settings.places)
    if not learner.learnt and set(roles) < {role.name for role in file.roles}:
        return "not all of its roles have come yet"
    _check_units(file, dict(zip(roles, (unit for _, _, unit in channels), strict=True)))
    profile = _bound(numbers, roles, learner)
    if profile is None:
        return "a channel of the asset was unknown for too long in its first rows"
    made = About(
        version=max(file.version, about.version + 1),
        rows=file.rows,
        begin_ns=file.begin_ns,
        end_ns=file.end_ns,
        learnt_at_ns=file.learnt_at_ns,
        libraries=dict(file.libraries),
        base=file.base,
    )
    described = describe_channels(profile, channels, learner.settings.machine.kinds)
    return make_model(asset.id, profile, described, made)


def _bound(numbers: ClassNumbers, roles: Sequence[str], learner: Learner) -> Profile | None:
    """The profile of an asset whose channels have these roles; None: too much of its rows is unknown."""
    machine = learner.scoring.make_machine()
    ordered = [roles[k] for k in machine.order]
    if not learner.learnt:
        rows = np.array(learner.scoring.warmup, dtype=np.float64)[:, machine.order]
        return bind_rows(numbers, machine.channels, ordered, rows)
    own = learner.machine.profile if learner.machine is not None else None
    if own is None:
        raise ValueError(_NO_MODEL)
    return bind_profile(numbers, machine.channels, ordered, own)


def _check_units(file: ClassFile, units: dict[str, str]) -> None:
    for role in file.roles:
        unit = units.get(role.name)
        if unit is None:
            raise ValueError(f"the class needs {role.name}, which is not there")
        if unit != role.unit:
            raise ValueError(f"{role.name} is in {unit}, the class knows it in {role.unit}")
    for name in sorted(units.keys() - {role.name for role in file.roles}):
        raise ValueError(f"the class knows no {name}, which is there")
