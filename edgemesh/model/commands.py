"""Commands to an agent, and what it says to them."""

from __future__ import annotations

import enum
from typing import Annotated

from msgspec import Meta

from edgemesh.model.alerts import AlertKind, Severity
from edgemesh.model.ids import Id, Uuid
from edgemesh.model.samples import Record
from edgemesh.model.silences import Name, Pattern, Reason, Ruling

MOST_S = 7 * 86_400.0
MOST_SILENT_S = 366 * 86_400.0


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


class Acknowledgement(Record, frozen=True, kw_only=True):
    """Somebody has seen an alert."""

    alert: Uuid
    by: Name


class Command(Record, frozen=True, kw_only=True, tag_field="v", tag=1):
    """One thing to do: log what is at least of `log_level`, for `for_s` seconds (0: until the next start); or, to a
    scheduler, set a `silence`, end the one of the id `end_silence`, or take a judgement as `review`; or, to the
    detector that watches the asset, take note that somebody has seen an alert (`ack`).

    Never retained: a broker would give it again at each connect. The reply to a `log_level` has the same `id`; what
    others were told shows in their retained topics.
    """

    id: Uuid
    log_level: LogLevel | None = None
    for_s: Annotated[float, Meta(ge=0.0, le=MOST_S)] = 0.0
    silence: Silencing | None = None
    end_silence: Uuid | None = None
    review: Judgement | None = None
    ack: Acknowledgement | None = None

    def __post_init__(self) -> None:
        asked = (self.log_level, self.silence, self.end_silence, self.review, self.ack)
        if sum(one is not None for one in asked) != 1:
            raise ValueError("a command says one thing: `log_level`, `silence`, `end_silence`, `review` or `ack`")


class Reply(Record, frozen=True, kw_only=True, tag_field="v", tag=1):
    """What an agent says to the command of this `id`: whether it is `done`, and a line for people."""

    id: Uuid
    agent: Id
    done: bool
    text: Annotated[str, Meta(max_length=1024)] = ""
