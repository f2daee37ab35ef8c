"""Votes: N of the last M samples have to agree before a rule believes them."""

from __future__ import annotations

import re
from functools import lru_cache

from edgemesh.detect.base.decision import Seen

MOST = 64
_TEXT = re.compile(r"\s*(\d{1,3})\s+of\s+(\d{1,3})\s*")


@lru_cache(maxsize=256)
def parse_votes(text: str) -> tuple[int, int]:
    """Read `"3 of 5"` as (3, 5); an empty text is (1, 1). Raise ValueError for anything else.

    >>> parse_votes("3 of 5")
    (3, 5)
    """
    if not text:
        return 1, 1
    match = _TEXT.fullmatch(text)
    needed, among = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= needed <= among <= MOST:
        raise ValueError(f'expected votes like "3 of 5", at most {MOST} samples, got {text!r}')
    return needed, among


def vote(ballots: list[int], seen: Seen, needed: int, among: int) -> Seen:
    """Add what one sample shows to the last `among` (changed in place) and return what they show together.

    Beyond when `needed` of them are; within when `needed` are and fewer than that are beyond; else between.

    >>> ballots: list[int] = []
    >>> [vote(ballots, seen, 2, 3).name for seen in (Seen.BEYOND, Seen.WITHIN, Seen.BEYOND, Seen.WITHIN, Seen.WITHIN)]
    ['BETWEEN', 'BETWEEN', 'BEYOND', 'WITHIN', 'WITHIN']
    """
    ballots.append(int(seen))
    del ballots[:-among]
    if ballots.count(Seen.BEYOND) >= needed:
        return Seen.BEYOND
    return Seen.WITHIN if ballots.count(Seen.WITHIN) >= needed else Seen.BETWEEN
