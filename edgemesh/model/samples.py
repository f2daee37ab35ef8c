"""Samples and batches: what one read of a device yields, and many of them as columns."""

from __future__ import annotations

import enum
from typing import Annotated

import msgspec
from msgspec import Meta

from edgemesh.model.ids import Id

MAX_METRICS = 256
MAX_SAMPLES = 20_000


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of everything that goes over the wire: frozen, keyword only, new fields carry defaults."""


class Quality(enum.IntEnum):
    """How far a reading can be believed: rules read good, uncertain only holds, bad counts as silent."""

    GOOD = 0
    UNCERTAIN = 1
    BAD = 2


class Source(msgspec.Struct, frozen=True):
    """Where samples come from and how their values are laid out; a driver makes one and uses it again."""

    device: str
    asset: str
    metrics: tuple[str, ...]
    units: tuple[str, ...]


class Sample(msgspec.Struct, frozen=True):
    """What one read of a device yields. `values[k]` belongs to `source.metrics[k]`; None: no value this time.

    `at_ns` is UTC in integer nanoseconds: the gateway's clock at the moment it is put, or with `own_time` what the
    device itself says. `quality` holds one entry per metric, or None when all are good. `trace` is a W3C traceparent
    where the device has begun a trace of its own, as it came; empty: none.
    """

    source: Source
    at_ns: int
    values: tuple[float | None, ...]
    quality: tuple[Quality, ...] | None = None
    own_time: bool = False
    trace: str = ""


At = Annotated[int, Meta(ge=0, le=2**63 - 1, description="UTC, integer nanoseconds since 1970")]
Doubt = Annotated[int, Meta(ge=0, le=2**63 - 1, description="a gateway's clock that can't be believed; 0: it can")]
Unit = Annotated[str, Meta(max_length=32, description="UCUM code, `1` for a pure number")]


class Batch(Record, frozen=True, kw_only=True):
    """Consecutive samples of one device as columns.

    `at_ns` has n entries; `values` has one column of n entries per metric, null where a sample had no value.
    `quality`, if given, has the same shape as `values`; absent means that every reading is good. `clock` names the
    gateway's clock that gave `at_ns` while it can't be believed: a `Retimed` will say by how much it was off. `trace`
    is the W3C traceparent that the device gave with one of the samples, if any is recorded.
    """

    device: Id
    asset: Id
    metrics: Annotated[tuple[Id, ...], Meta(min_length=1, max_length=MAX_METRICS)]
    units: Annotated[tuple[Unit, ...], Meta(min_length=1, max_length=MAX_METRICS)]
    at_ns: Annotated[tuple[At, ...], Meta(min_length=1, max_length=MAX_SAMPLES)]
    values: Annotated[tuple[tuple[float | None, ...], ...], Meta(min_length=1, max_length=MAX_METRICS)]
    quality: tuple[tuple[Quality, ...], ...] | None = None
    clock: Doubt = 0
    trace: Annotated[str, Meta(max_length=64)] = ""

    def __post_init__(self) -> None:
        m, n = len(self.metrics), len(self.at_ns)
        if len(set(self.metrics)) != m:
            raise ValueError("`metrics` names one metric twice")
        if len(self.units) != m or len(self.values) != m:
            raise ValueError(f"`units` and `values` must have one entry per metric ({m})")
        if any(len(column) != n for column in self.values):
            raise ValueError(f"each column of `values` must have one entry per sample ({n})")
        if self.quality is not None and (len(self.quality) != m or any(len(column) != n for column in self.quality)):
            raise ValueError("`quality` must have the shape of `values`")

    @property
    def readings(self) -> int:
        """How many readings (values that are there) the batch holds."""
        return sum(len(column) - column.count(None) for column in self.values)


class Retimed(Record, frozen=True, kw_only=True):
    """The gateway's clock is right now: `by_ns` has to be added to what its doubtful `clock` gave, for good.

    Those times lie from `from_ns` to `until_ns`; 0 for `by_ns` says that they were right.
    """

    clock: Annotated[int, Meta(ge=1, le=2**63 - 1)]
    from_ns: At
    until_ns: At
    by_ns: Annotated[int, Meta(ge=-(2**63) + 1, le=2**63 - 1)]

    def at(self, at_ns: int) -> int:
        """An instant of the doubtful clock as it was in truth; one that it can't have given stays as it is."""
        return move(at_ns, self.by_ns) if self.from_ns <= at_ns <= self.until_ns else at_ns


def move(at_ns: int, by_ns: int) -> int:
    """An instant so much later, within what an instant can be."""
    return min(max(at_ns + by_ns, 0), 2**63 - 1)
