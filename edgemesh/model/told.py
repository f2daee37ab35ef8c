"""What agents tell beside their logs: scores, and lines of the program's log. It may get lost; nothing waits for it."""

from __future__ import annotations

import enum
from typing import Annotated, Literal

from msgspec import Meta

from edgemesh.model.ids import Id
from edgemesh.model.samples import At, Record

MOST_SCORES = 500
MOST_LINES = 100
MOST_BODY = 2_048

Method = Literal["model", "rules"]


class Score(Record, frozen=True, kw_only=True):
    """The greatest score of an asset within an interval that begins at `at_ns` (by the time of its rows).

    1.0 is at the limit. `method` says whose: `model`, or `rules` of an asset without one, where 0 is at or within the
    clear level of the rule that is nearest to its own, and 1 at its level. `device` and `metric` deviated most then;
    empty: nothing was strange.
    """

    asset: Id
    gateway: Id
    at_ns: At
    score: Annotated[float, Meta(ge=0.0)]
    device: Annotated[str, Meta(max_length=64)] = ""
    metric: Annotated[str, Meta(max_length=64)] = ""
    method: Method = "model"


class Scores(Record, frozen=True, kw_only=True, tag_field="v", tag=1):
    """What a detector has found of assets, each with an interval that is over."""

    agent: Id
    every_s: Annotated[float, Meta(gt=0.0, le=86_400.0)]
    scores: Annotated[tuple[Score, ...], Meta(max_length=MOST_SCORES)] = ()


class LineLevel(enum.StrEnum):
    """How bad it is; the levels of Python's logging from `warning` on."""

    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class Line(Record, frozen=True, kw_only=True):
    """One line of the program's log. `exception`: its traceback, the end of it. Ids where it belongs to a trace."""

    at_ns: At
    level: LineLevel
    body: Annotated[str, Meta(max_length=MOST_BODY)]
    logger: Annotated[str, Meta(max_length=128)] = ""
    exception: Annotated[str, Meta(max_length=2 * MOST_BODY)] = ""
    trace_id: Annotated[str, Meta(max_length=32)] = ""
    span_id: Annotated[str, Meta(max_length=16)] = ""


class Lines(Record, frozen=True, kw_only=True, tag_field="v", tag=1):
    """Lines of an agent, oldest first. `left_out`: how many more there were since its start than it may tell."""

    agent: Id
    lines: Annotated[tuple[Line, ...], Meta(max_length=MOST_LINES)] = ()
    left_out: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0
