"""What an answer of the server means for the lines that were sent. Pure."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

MAX_WAIT_S = 3_600.0
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
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


def wait_s(reply: Reply, failures: int, chance: Callable[[], float], now_s: float) -> float:
    """How long to wait before the same lines are sent again, after so many failures in a row (at least 1).

    What the server asks for (`Retry-After`, in seconds or as a date; `now_s` is UTC), up to an hour; else twice as long
    each time, from 1 s up to a minute. `chance` (0 to 1) spreads that, so that many writers do not come at once.
    """
    asked_s = _asked_s(reply.retry_after, now_s)
    if asked_s is not None:
        return min(asked_s, MAX_WAIT_S) + chance()
    longest_s = min(FIRST_WAIT_S * 2.0 ** min(failures - 1, 10), LONGEST_WAIT_S)
    return longest_s * (0.5 + 0.5 * chance())


def _asked_s(header: str, now_s: float) -> float | None:
    text = header.strip()
    if text.isdecimal() and len(text) < 10:
        return float(text)
    import email.utils  # only here, for it brings a good deal with it

    try:
        at_s: float = email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    return max(at_s - now_s, 0.0)
