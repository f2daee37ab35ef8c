"""Commands to an agent, and what it says to them."""

from __future__ import annotations

import enum
from typing import Annotated

from msgspec import Meta

from edgemesh.model.alerts import AlertKind, Severity
from edgemesh.model.ids import Id, Uuid
from edgemesh.model.orders import Bid, OrderState, Skills
from edgemesh.model.samples import Record
from edgemesh.model.silences import Name, Pattern, Reason, Ruling

MOST_S = 7 * 86_400.0
MOST_SILENT_S = 366 * 86_400.0
MOST_CONSIDERED = 100
OrderPrefix = Annotated[str, Meta(pattern=r"^[0-9a-f]{4,32}(?!\n)$")]


class LogLevel(enum.StrEnum):
    """The least level that is logged; `usual` is that of the agent's start."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    USUAL = "usual"


class Silencing(Record, frozen=True, kw_only=True):
    """Open no order for alerts that fit, for `for_s` from when it is taken; fields as in `Silence`."""

    by: Name
    reason: Reason
    for_s: Annotated[float, Meta(gt=0.0, le=MOST_SILENT_S)]
    asset: Pattern = "*"
    area: Pattern = "*"
    kind: AlertKind | None = None
    severity: Severity | None = None


class Judgement(Record, frozen=True, kw_only=True):
    """What somebody says of an alert that waits for a person."""

    alert: Uuid
    ruling: Ruling
    by: Name


class Assign(Record, frozen=True, kw_only=True):
    """Give an order to an executor, whoever has it now. `order` may be the beginning of an id; `by` is who says so."""

    order: OrderPrefix
    executor: Id
    by: Annotated[str, Meta(max_length=64)] = ""


class Explain(Record, frozen=True, kw_only=True):
    """Say who would get an order now, and why; nothing changes. `order` may be the beginning of an id."""

    order: OrderPrefix


class Acknowledgement(Record, frozen=True, kw_only=True):
    """Somebody has seen an alert."""

    alert: Uuid
    by: Name


class Command(Record, frozen=True, kw_only=True, tag_field="v", tag=1):
    """One thing that an agent is to do: log what is at least of `log_level`, for `for_s` seconds (0: until the next
    start); or, a scheduler: set a `silence`, end the one of the id `end_silence`, take a judgement as `review`,
    `assign` an order, or `explain` who would get it; or, the detector that watches the asset: take note that somebody
    has seen an alert (`ack`).

    Never retained: a broker would give it again at each connect. The reply has the same `id`.
    """

    id: Uuid
    log_level: LogLevel | None = None
    for_s: Annotated[float, Meta(ge=0.0, le=MOST_S)] = 0.0
    silence: Silencing | None = None
    end_silence: Uuid | None = None
    review: Judgement | None = None
    assign: Assign | None = None
    explain: Explain | None = None
    ack: Acknowledgement | None = None

    def __post_init__(self) -> None:
        asked = (self.log_level, self.silence, self.end_silence, self.review, self.assign, self.explain, self.ack)
        if sum(part is not None for part in asked) != 1:
            raise ValueError("a command says one thing, such as `log_level`, `silence` or `assign`")

    @property
    def by(self) -> str:
        """The person who gives it, where it says so."""
        said = self.silence or self.review or self.assign or self.ack
        return said.by if said is not None else ""


class Considered(Record, frozen=True, kw_only=True):
    """Somebody who was considered for an order. `why_not` is empty for those who are in the running; their `key` tells
    who comes first, the least one; the numbers are what went into it. None: nobody knows.
    """

    executor: Id
    why_not: Annotated[str, Meta(max_length=256)] = ""
    key: Annotated[tuple[float, ...], Meta(max_length=8)] = ()
    match: float = 0.0
    load: int = 0
    max_load: int = 0
    distance_m: float | None = None
    cost: float = 0.0
    reliability: float = 0.0
    bid: Bid | None = None
    price: dict[str, float] = {}


class Explanation(Record, frozen=True, kw_only=True):
    """Who would get an order, by which strategy; at most MOST_CONSIDERED of `of` executors, those in the running first.

    `weights` are those of the price, `skills` what is asked for.
    """

    order: Uuid
    state: OrderState
    strategy: str
    executor: Id | None
    skills: Skills
    certificates: tuple[Id, ...] = ()
    least_match: float = 0.0
    weights: dict[str, float] = {}
    considered: Annotated[tuple[Considered, ...], Meta(max_length=MOST_CONSIDERED)] = ()
    of: int = 0


class Reply(Record, frozen=True, kw_only=True, tag_field="v", tag=1):
    """What an agent says to the command of this `id`: whether it is `done`, a line for people, and what was asked."""

    id: Uuid
    agent: Id
    done: bool
    text: Annotated[str, Meta(max_length=1024)] = ""
    explanation: Explanation | None = None
