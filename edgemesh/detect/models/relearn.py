"""Relearning: a profile from windows of calm rows out of many days, near the one before it.

A warm-up is one stretch of rows; windows are pieces, between which the machine may have moved on. What the live engine
judges are deviations from a baseline that follows, so a window counts by how it deviates from its own mean: slow change
between windows makes no limit wider, while all of them together say how the channels move with each other.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgemesh.detect.models.kinds import Kind
from edgemesh.detect.models.normal import (
    FARTHEST,
    FOLDS,
    LEAST_SCALE,
    SETTLING_ROWS,
    Fit,
    Normal,
    NormalNumbers,
    doubt,
    fit_levels,
    gain_of,
    numbers_of,
)
from edgemesh.detect.models.profile import Profile, fit_forest
from edgemesh.detect.models.settings import ProfileSettings
from edgemesh.detect.models.smoothing import Levels
from edgemesh.detect.models.warmup import usable_columns, without_wild

Floats = NDArray[np.float64]
LEAST_ROWS = 512
MOST_CHANGE = 1.25
"""By this factor a limit may move at most, either way, from one profile to the next."""
_CALM_ROWS = 16


def relearn_profile(
    windows: Sequence[Floats], told: int, kinds: Sequence[Kind], settings: ProfileSettings, former: Profile
) -> Profile | None:
    """A profile of the same channels as the former one; None: too few rows, or a channel does not vary any more.

    `windows`: rows x channels each (NaN: unknown), oldest first; the last `told` of them are of alerts that were no
    fault: they begin calm, and count by how they deviate from that. `kinds`: of the channels. What is slow stays as it
    is in the former profile.
    """
    rows = sum(len(window) for window in windows)
    file = former.file
    fast = list(file.fast)
    if rows < LEAST_ROWS:
        return None
    cuts = np.cumsum([len(window) for window in windows])[:-1]
    table = without_wild(np.concatenate(list(windows))[:, fast])
    if usable_columns(table) != list(range(len(fast))):
        return None
    normal, features = _refit(np.split(table, cuts), told, [kinds[k] for k in fast], file.normal)
    forest = fit_forest(features, settings) if settings.forest_weight > 0.0 else None
    return Profile(msgspec.json.encode(msgspec.structs.replace(file, normal=normal.numbers, forest=forest)))


def _refit(windows: Sequence[Floats], told: int, kinds: Sequence[Kind], former: NormalNumbers) -> tuple[Normal, Floats]:
    """The normal of these windows (rows x fast channels), and its features of them."""
    table = np.concatenate(list(windows))
    center, scale = np.nanmedian(table, axis=0), np.nanstd(table, axis=0)
    long, width = list(former.long), len(center)
    pieces = [_levels(np.clip((window - center) / scale, -FARTHEST, FARTHEST), long) for window in windows]
    fit = fit_levels(np.concatenate(pieces), width)
    offset = np.median(fit.apply(np.concatenate(pieces)), axis=0)
    deviations = _deviations(fit, pieces, told)
    spread = np.maximum(np.maximum(_unseen_spread(pieces, told, width), _rms(deviations)), LEAST_SCALE)
    gain = gain_of(deviations, spread, kinds, len(long), doubt(len(table)))
    owner = [*range(width), *range(width), *long]
    reach = scale[owner] / gain
    before = np.array(former.scale)[owner] / np.array(former.gain)
    gain = scale[owner] / np.clip(reach, before / MOST_CHANGE, before * MOST_CHANGE)
    return Normal(numbers_of(center, scale, fit, long, offset, gain)), deviations * gain


def _levels(z: Floats, long: Sequence[int]) -> Floats:
    """Levels of one window (rows x channels, in spreads) once they have settled."""
    averages = Normal.rates_of(z.shape[1], len(long))
    return Levels(averages).run(np.concatenate([z, z[:, list(long)]], axis=1))[min(SETTLING_ROWS, len(z) // 4) :]


def _deviations(fit: Fit, pieces: Sequence[Floats], told: int) -> Floats:
    """How the features of each window lie around its own middle; of those that were told, around their beginning."""
    found = []
    for place, levels in enumerate(pieces):
        raw = fit.apply(levels)
        calm = raw[:_CALM_ROWS] if place >= len(pieces) - told else raw
        found.append(raw - calm.mean(axis=0))
    return np.concatenate(found)


def _unseen_spread(pieces: Sequence[Floats], told: int, width: int) -> Floats:
    """Root mean square of the deviations of windows that a fit has not seen, some left out in turn."""
    total, rows = 0.0, 0
    for fold in range(min(FOLDS, len(pieces))):
        kept = [levels for place, levels in enumerate(pieces) if place % FOLDS != fold]
        left = [place for place in range(len(pieces)) if place % FOLDS == fold]
        behind = sum(place >= len(pieces) - told for place in left)
        unseen = _deviations(fit_levels(np.concatenate(kept), width), [pieces[place] for place in left], behind)
        total, rows = total + (unseen**2).sum(axis=0), rows + len(unseen)
    return np.asarray(np.sqrt(total / max(1, rows)))


def _rms(deviations: Floats) -> Floats:
    return np.asarray(np.sqrt((deviations**2).mean(axis=0)))
