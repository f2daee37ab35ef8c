"""What a learner remembers from row to row."""

from __future__ import annotations

import msgspec

from edgemesh.detect.decision import Switch


class Smoother(msgspec.Struct, omit_defaults=True):
    """A bias-corrected EWMA in motion. `weight` is the part of the mean that is known, 0..1."""

    mean: list[float] = []
    weight: float = 0.0


class LearnerState(msgspec.Struct, omit_defaults=True):
    """`warm_rows` of the warm-up are there, or the rest says how the model's channels stand.

    `baseline`: where each channel's deviation stands in calm times, in spreads; it moves once per block of rows.
    """

    warm_rows: int = 0
    smoother: Smoother = msgspec.field(default_factory=Smoother)
    baseline: list[float] = []
    block_sum: list[float] = []
    block_rows: int = 0
    switch: Switch = msgspec.field(default_factory=Switch)
