"""Commands to an agent, and what it says to them."""

from __future__ import annotations

import enum
from typing import Annotated

from msgspec import Meta

from edgemesh.model.ids import Id, Uuid
from edgemesh.model.samples import Record

MOST_S = 7 * 86_400.0


class LogLevel(enum.StrEnum):
    """The least level that is logged; `usual` is that of the agent's start."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    USUAL = "usual"


class Command(Record, frozen=True, kw_only=True, tag_field="v", tag=1):
    """Log what is at least of `log_level`, for `for_s` seconds (0: until the next start).

    Never retained: a broker would give it again at each connect. The reply has the same `id`.
    """

    id: Uuid
    log_level: LogLevel
    for_s: Annotated[float, Meta(ge=0.0, le=MOST_S)] = 0.0


class Reply(Record, frozen=True, kw_only=True, tag_field="v", tag=1):
    """What an agent says to the command of this `id`: whether it is `done`, and a line for people."""

    id: Uuid
    agent: Id
    done: bool
    text: Annotated[str, Meta(max_length=1024)] = ""
