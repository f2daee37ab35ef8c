"""Settings of `count`, checked when they are loaded."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from edgemesh.model import settings as base
from edgemesh.model.ids import Id

Positive = Annotated[int, Meta(ge=1, le=1_000_000)]


class Settings(base.Settings, frozen=True, kw_only=True):
    """See README.md: every setting has its line there."""

    devices: Annotated[int, Meta(ge=1, le=10_000)] = 4
    rate: Annotated[float, Meta(gt=0.0, le=1e6)] = 10.0
    samples: Annotated[int, Meta(ge=0)] = 0
    period: Positive = 100
    excursion: Positive = 10
    prefix: Annotated[Id, Meta(max_length=48)] = "counter"
    ledger: str = ""
    until: str = ""

    def __post_init__(self) -> None:
        if self.excursion >= self.period:
            raise ValueError(f"`excursion` must be shorter than `period` ({self.period})")
