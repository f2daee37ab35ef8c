"""Binding: the profile of one machine out of what its class has in common and a few rows, or a profile, of its own."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgemesh.detect.classes.numbers import ClassNumbers, Scatter, levels_of, settled, spread_of
from edgemesh.detect.models.normal import NormalNumbers
from edgemesh.detect.models.profile import Profile, ProfileFile
from edgemesh.detect.models.slow import SlowNumbers
from edgemesh.detect.models.warmup import without_wild

Floats = NDArray[np.float64]
_MOSTLY = 0.9


def bind_rows(numbers: ClassNumbers, channels: Sequence[str], roles: Sequence[str], rows: Floats) -> Profile | None:
    """The profile of a machine from the class and its first rows (n x channels, NaN: unknown), at least `short_rows`.

    `channels` are the profile's, with the role of each. None: a channel is unknown in more than a tenth of the rows.
    ValueError: the roles are not those of the class.
    """
    place_of = _places(numbers, roles)
    rows = without_wild(rows)
    fast = rows[:, [place_of[k] for k in numbers.fast]]
    slow = rows[:, [place_of[k] for k in numbers.slow]]
    known = (~np.isnan(np.concatenate([fast, slow], axis=1))).mean(axis=0)
    if len(rows) < numbers.short_rows or known.min() < _MOSTLY:
        return None
    share = numbers.short_rows / len(rows)
    center, spread = np.nanmedian(fast, axis=0), _scatter(numbers).believe(spread_of(fast), share)
    mean = settled(levels_of(fast, center, spread, ())).mean(axis=0)
    origin = np.nanmedian(slow, axis=0) if numbers.slow else np.empty(0)
    return _profile(numbers, channels, place_of, (center, spread, mean), share, origin)


def bind_profile(numbers: ClassNumbers, channels: Sequence[str], roles: Sequence[str], own: Profile) -> Profile:
    """The profile of a machine from the class and the profile that it has learnt itself, of the same `channels`.

    ValueError: the roles are not those of the class, or one did not vary when the machine was learnt.
    """
    place_of = _places(numbers, roles)
    file, normal = own.file, own.file.normal
    fast, slow = [place_of[k] for k in numbers.fast], [place_of[k] for k in numbers.slow]
    for place in [place for place in fast if place not in file.fast] + [
        place for place in slow if place not in file.slow
    ]:
        raise ValueError(f"{channels[place]} did not vary when the asset was learnt, and the class knows how it moves")
    own_fast, own_slow = [file.fast.index(place) for place in fast], [file.slow.index(place) for place in slow]
    center, scale, mean = (np.array(column)[own_fast] for column in (normal.center, normal.scale, normal.mean))
    spread = _scatter(numbers).believe(scale, 0.0)
    origin = np.array(file.slowness.origin)[own_slow]
    return _profile(numbers, channels, place_of, (center, spread, mean * scale / spread), 0.0, origin)


def _places(numbers: ClassNumbers, roles: Sequence[str]) -> list[int]:
    """Where each role of the class stands among these."""
    if sorted(roles) != sorted(numbers.roles):
        missing, spare = sorted(set(numbers.roles) - set(roles)), sorted(set(roles) - set(numbers.roles))
        raise ValueError(
            f"the class has {', '.join(missing) or 'no more'}, the asset has {', '.join(spare) or 'no more'}"
        )
    return [roles.index(role) for role in numbers.roles]


def _scatter(numbers: ClassNumbers) -> Scatter:
    return Scatter(*map(np.array, (numbers.scatter, numbers.differs, numbers.short_bias, numbers.short_error)))


def _profile(
    numbers: ClassNumbers,
    channels: Sequence[str],
    place_of: Sequence[int],
    lies: tuple[Floats, Floats, Floats],
    share: float,
    origin: Floats,
) -> Profile:
    """`lies`: center and spread of each fast role, and the mean of its level in spreads; `share`: see `Scatter`."""
    center, spread, mean = (tuple(column.tolist()) for column in lies)
    doubt = 1.0 + (numbers.short_doubt - 1.0) * share**0.5
    normal = NormalNumbers(
        center=center,
        scale=spread,
        mean=mean,
        long=numbers.long,
        middle=tuple(mean[k] for k in numbers.long),
        precision=numbers.precision,
        stretch=numbers.stretch,
        offset=numbers.offset,
        gain=tuple(gain / doubt for gain in numbers.gain),
    )
    file = ProfileFile(
        channels=tuple(channels),
        fast=tuple(place_of[k] for k in numbers.fast),
        slow=tuple(place_of[k] for k in numbers.slow),
        normal=normal,
        slowness=SlowNumbers(origin=tuple(origin.tolist()), limit=numbers.moves),
        forest=numbers.forest,
    )
    return Profile(msgspec.json.encode(file))
