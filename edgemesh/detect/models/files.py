"""Models as files: a profile as plain JSON, and a manifest that says what it is, of what, from when, made by what.

Nothing in a file is believed: its size, its numbers, its trees and its two hashes are checked before it is used. It can
be read and scored without scikit-learn.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from edgemesh.detect.base.windows import Channel
from edgemesh.detect.models.kinds import Kind, find_kind
from edgemesh.detect.models.profile import Profile
from edgemesh.detect.models.provenance import About, Base
from edgemesh.model.ids import Id

MAX_MODEL_BYTES = 16 * 2**20
Hash = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Use = Literal["fast", "slow", "none"]
Text = Annotated[str, Meta(max_length=128)]
Libraries = Annotated[Mapping[Text, Text], Meta(max_length=16)]
_File = TypeVar("_File", bound=msgspec.Struct)


class ModelChannel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One channel that a model knows. `use`: judged (`fast`), only keeps an episode open (`slow`), or left out.

    `low` to `high`: in its unit, where its level lies when all is as in the warm-up; only of those that are judged.
    """

    device: Text
    metric: Text
    unit: Text
    kind: Kind
    use: Use
    low: float | None = None
    high: float | None = None

    @property
    def name(self) -> str:
        """What the profile calls it."""
        return f"{self.device}/{self.metric}" if self.device else self.metric


class ModelFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="model"):
    """A model of the asset `name`. `hash` is of the profile's bytes, `seal` of the whole file with an empty seal.

    `base`: the model of a class that it was made of, where there was one.
    """

    v: Literal[1] = 1
    name: Id
    version: Annotated[int, Meta(ge=1, lt=2**31)]
    channels: Annotated[tuple[ModelChannel, ...], Meta(min_length=1, max_length=256)]
    rows: Count
    begin_ns: Count
    end_ns: Count
    learnt_at_ns: Count
    libraries: Libraries
    hash: Hash
    seal: Annotated[str, Meta(pattern="^([0-9a-f]{64})?$")] = ""
    base: Base | msgspec.UnsetType = msgspec.UNSET
    profile: msgspec.Raw

    @property
    def about(self) -> About:
        """How it came about."""
        base = self.base if isinstance(self.base, Base) else None
        return About(self.version, self.rows, self.begin_ns, self.end_ns, self.learnt_at_ns, dict(self.libraries), base)


def describe_channels(profile: Profile, channels: Sequence[Channel], kinds: Mapping[str, Kind]) -> list[ModelChannel]:
    """What a profile knows of each of these channels; `kinds` as declared. ValueError: they are not its own."""
    file, normal = profile.file, profile.normal
    found = []
    for device, metric, unit in channels:
        name = f"{device}/{metric}" if device else metric
        if name not in file.channels:
            raise ValueError(f"the model knows no channel {name}")
        place = file.channels.index(name)
        kind = find_kind(metric, unit, kinds)
        low = high = None
        if place in file.fast:
            fast = file.fast.index(place)
            level = normal.numbers.mean[fast] + normal.numbers.offset[fast]
            _, low, high = normal.range_of(fast, level, 0.0)
        use: Use = "fast" if place in file.fast else "slow" if place in file.slow else "none"
        channel = ModelChannel(device=device, metric=metric, unit=unit, kind=kind, use=use, low=low, high=high)
        found.append(channel)
    if len(found) != len(file.channels):
        raise ValueError("the model knows more channels than there are")
    return found


def make_model(name: str, profile: Profile, channels: Sequence[ModelChannel], about: About) -> bytes:
    """A model as the bytes of its file."""
    model = ModelFile(
        name=name,
        version=max(1, about.version),
        channels=tuple(channels),
        rows=about.rows,
        begin_ns=about.begin_ns,
        end_ns=about.end_ns,
        learnt_at_ns=about.learnt_at_ns,
        libraries=dict(sorted(about.libraries.items())),
        hash=hashlib.sha256(profile.content).hexdigest(),
        base=about.base or msgspec.UNSET,
        profile=msgspec.Raw(profile.content),
    )
    return msgspec.json.encode(msgspec.structs.replace(model, seal=seal_of(model)))


def read_model(content: bytes) -> tuple[ModelFile, Profile]:
    """The model in a file, and its profile, ready to score. ValueError says what is wrong with it."""
    file = read_json(content, ModelFile)
    check_whole(file, bytes(file.profile))
    profile = Profile(bytes(file.profile))
    if sorted(channel.name for channel in file.channels) != sorted(profile.file.channels):
        raise ValueError("its channels are not those of the profile in it")
    return file, profile


def pack_model(content: bytes) -> bytes:
    """The file deflated, for its way over the wire; about half of it."""
    return zlib.compress(content, 9)


def unpack_model(packed: bytes) -> bytes:
    """The file again. ValueError: it is not whole, or too large."""
    inflate = zlib.decompressobj()
    try:
        content = inflate.decompress(packed, MAX_MODEL_BYTES + 1)
    except zlib.error as error:
        raise ValueError(f"its packing is damaged: {error}") from error
    if len(content) > MAX_MODEL_BYTES:
        raise ValueError(f"a model has at most {MAX_MODEL_BYTES // 2**20} MiB")
    if not inflate.eof or inflate.unused_data:
        raise ValueError("it is only a part of a packed model, or there is more behind it")
    return content


def check_fit(file: ModelFile, channels: Sequence[Channel]) -> None:
    """Raise ValueError unless the model is of exactly these channels: device, metric and unit."""
    known = {(channel.device, channel.metric): channel.unit for channel in file.channels}
    there = {(device, metric): unit for device, metric, unit in channels}
    for (device, metric), unit in there.items():
        if (device, metric) not in known:
            raise ValueError(f"the model knows no {metric} of {device}, which is there")
        if known[device, metric] != unit:
            raise ValueError(f"{metric} of {device} is in {unit}, the model knows it in {known[device, metric]}")
    for device, metric in known.keys() - there.keys():
        raise ValueError(f"the model needs {metric} of {device}, which is not there")


def read_json(content: bytes, kind: type[_File]) -> _File:
    """A file of a model, of which only the form was checked. ValueError says what is wrong with it."""
    if len(content) > MAX_MODEL_BYTES:
        raise ValueError(f"a model has at most {MAX_MODEL_BYTES // 2**20} MiB")
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.ValidationError as error:
        raise ValueError(f"it is no model of this version of edgemesh: {error}") from error
    except msgspec.DecodeError as error:
        raise ValueError(f"it is no whole JSON file, perhaps only a part of one: {error}") from error


def check_whole(file: Any, content: bytes) -> None:
    """ValueError: the file of a model, or the `content` that its manifest is about, was changed after it was made."""
    if not file.seal or file.seal != seal_of(file):
        raise ValueError("its seal does not fit: something in it was changed after it was made")
    if file.hash != hashlib.sha256(content).hexdigest():
        raise ValueError("its hash does not fit the numbers in it")


def seal_of(file: Any) -> str:
    """The hash over the file of a model, but for its seal."""
    bare = msgspec.structs.replace(file, seal="", libraries=dict(sorted(file.libraries.items())))
    return hashlib.sha256(msgspec.json.encode(bare)).hexdigest()
