"""Agents as others see them: cards, watermarks, owners."""

from __future__ import annotations

import enum
from typing import Annotated

from msgspec import Meta

from edgemesh.model.ids import Id
from edgemesh.model.orders import Skills
from edgemesh.model.samples import Record

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Epoch = Annotated[str, Meta(pattern=r"^[0-9a-f]{1,32}(?!\n)$")]
Metres = Annotated[float, Meta(ge=-1e6, le=1e6)]
Place = tuple[Metres, Metres]
"""Where something stands on the site's own plan: metres east and north of its corner."""
Certificates = Annotated[tuple[Id, ...], Meta(max_length=64)]


class Role(enum.StrEnum):
    """What an agent does; a sentry is a light detector in the process of its gateway."""

    GATEWAY = "gateway"
    DETECTOR = "detector"
    SENTRY = "sentry"
    SCHEDULER = "scheduler"
    EXECUTOR = "executor"
    RECORDER = "recorder"
    REGISTRY = "registry"


class Presence(enum.StrEnum):
    """What a card says of its agent; `down` is what a Last Will leaves behind."""

    UP = "up"
    DOWN = "down"


class Card(Record, frozen=True, kw_only=True, tag_field="v", tag=1):
    """An agent's retained self-description and heartbeat.

    `incarnation` is new at every start, `beat` rises by one every `heartbeat_s` seconds. A retained card alone is no
    sign of life: only a rising beat is. `epoch` and `head` are
    the outbox and its last row, so that a reader sees what it lacks (agents with a log). `trouble` says what the agent
    can't do now (empty: all is well), `notice` what goes badly but harms nothing so far, `lost` what of its log is gone
    for good though not every reader had it: readings that gave way to newer ones and rows that were damaged, ever.
    `stats` are health numbers.

    Of executors: `load` of `max_load` orders are held now. `skills` are grades 0..1. `shifts` are the hours of the week
    in which orders are taken, like `Mon-Fri 06:00-14:00 Europe/Berlin` (empty: always). `cost` is what an order costs,
    in the site's money; `energy_weight` how much a unit of energy that a bid names counts.
    """

    agent: Id
    role: Role
    state: Presence
    incarnation: Annotated[str, Meta(max_length=64)]
    beat: Count = 0
    heartbeat_s: Annotated[float, Meta(gt=0.0, le=3600.0)] = 1.0
    version: Annotated[str, Meta(max_length=64)] = ""
    skills: Skills = {}
    load: Count = 0
    max_load: Count = 1
    certificates: Certificates = ()
    area: Id | None = None
    place: Place | None = None
    shifts: Annotated[str, Meta(max_length=200)] = ""
    cost: Annotated[float, Meta(ge=0.0, le=1e9)] = 0.0
    energy_weight: Annotated[float, Meta(ge=0.0, le=1e6)] = 1.0
    epoch: Annotated[str, Meta(max_length=32)] = ""
    head: Count = 0
    trouble: Annotated[str, Meta(max_length=256)] = ""
    notice: Annotated[str, Meta(max_length=256)] = ""
    lost: Count = 0
    stats: dict[str, float] = {}

    def __post_init__(self) -> None:
        if self.shifts:
            from edgemesh.model.schedules import parse_schedule  # time zones, which only executors need

            parse_schedule(self.shifts)


class Watermark(Record, frozen=True, kw_only=True, tag_field="v", tag=1):
    """A consumer group has everything of a log up to and including `through` of `epoch`.

    An empty epoch: the consumer has seen nothing of this log yet. With `resend` the consumer asks the producer to
    publish again from `through + 1` on; it is then no promise. `ahead` are the spans of rows (first and last) that it
    has beyond.
    """

    epoch: Annotated[str, Meta(pattern=r"^[0-9a-f]{0,32}(?!\n)$")]
    through: Count
    resend: bool = False
    ahead: Annotated[tuple[tuple[Count, Count], ...], Meta(max_length=16)] = ()

    def __post_init__(self) -> None:
        least = self.through + 2
        for first, last in self.ahead:
            if not least <= first <= last:
                raise ValueError("the spans of `ahead` must rise, with rows missing before each")
            least = last + 2


class Owners(Record, frozen=True, kw_only=True, tag_field="v", tag=1):
    """Which detector owns which gateway's log; `epoch` only grows."""

    epoch: Count
    owners: dict[Id, Id]


class Asset(Record, frozen=True, kw_only=True):
    """The thing maintained. `criticality` A (plant stops), B (output lost), C (rest). Whoever works on it must have its
    `certificates`.
    """

    id: Id
    asset_class: Id = "machine"
    area: Id = "site"
    criticality: Annotated[str, Meta(pattern="^[ABC]$")] = "B"
    place: Place | None = None
    certificates: Certificates = ()
