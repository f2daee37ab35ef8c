"""What an answer of the server means for the lines that were sent. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass

HOLD_S = 30.0
"""What only a person can put right is tried again after so long."""


class Verdict(enum.Enum):
    """DONE: they are stored. AGAIN: the same lines later. HOLD: as AGAIN, and somebody must see to it. HALVE: fewer at
    once. REFUSED: never again. PARTLY: never again, and the good ones among them are stored.
    """

    DONE = enum.auto()
    AGAIN = enum.auto()
    HOLD = enum.auto()
    HALVE = enum.auto()
    REFUSED = enum.auto()
    PARTLY = enum.auto()


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a request. `status` 0: no answer at all; `text` is for people; `retry_after` is the header."""

    status: int
    text: str = ""
    retry_after: str = ""


def judge(reply: Reply) -> Verdict:
    """What a reply means."""
    status = reply.status
    if 200 <= status < 300:
        return Verdict.DONE
    if status in (400, 422):
        return Verdict.PARTLY if "partial write" in reply.text.lower() else Verdict.REFUSED
    if status == 413:
        return Verdict.HALVE
    if status == 0 or status in (408, 425, 429) or status >= 500:
        return Verdict.AGAIN
    return Verdict.HOLD  # 401, 403, 404; a redirect or another refusal says that the address is wrong
