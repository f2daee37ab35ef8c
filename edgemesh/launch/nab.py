"""The score of the Numenta Anomaly Benchmark, standard profile, from its published description.

Of all flags inside a window only the earliest counts, the more the earlier it is; each flag outside costs, less just
behind a window; a window without a flag costs 1. 0 is what a detector gets that never flags, 100 a perfect one.

Source: Lavin and Ahmad, Evaluating real-time anomaly detection algorithms, ICMLA 2015.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

FALSE_ALARM_COST = 0.11
MISS_COST = 1.0
_PROBATION = 0.15
_LONGEST = 5000

Window = tuple[int, int]
"""First and last row of a labelled window."""


def probation_rows(rows: int) -> int:
    """How many first rows are not scored: 15 % of the first 5,000."""
    return int(_PROBATION * min(rows, _LONGEST))


def nab_score(files: Iterable[tuple[Sequence[bool], Sequence[Window]]]) -> float:
    """One score for all files: the flags of each, and its windows in rising order.

    >>> flags = [False] * 1000
    >>> flags[300] = True
    >>> nab_score([(flags, [(300, 400)])]), nab_score([([False] * 1000, [(300, 400)])])
    (100.0, 0.0)
    """
    won, windows = 0.0, 0
    for flags, spans in files:
        won += _raw_score(flags, spans)
        windows += len(spans)
    return 100.0 * (won + windows * MISS_COST) / (windows * (1.0 + MISS_COST)) if windows else 0.0


def _raw_score(flags: Sequence[bool], windows: Sequence[Window]) -> float:
    flagged = [row for row, flag in enumerate(flags) if flag and row >= probation_rows(len(flags))]
    score = 0.0
    for first, last in windows:
        inside = [row for row in flagged if first <= row <= last]
        score += _reward(-(last - inside[0] + 1) / (last - first + 1)) / _reward(-1.0) if inside else -MISS_COST
    for row in flagged:
        before = [window for window in windows if window[1] < row]
        if any(first <= row <= last for first, last in windows):
            continue
        first, last = before[-1] if before else (0, -1)
        score += FALSE_ALARM_COST * (_reward((row - last) / max(1, last - first)) if before else -1.0)
    return score


def _reward(position: float) -> float:
    """+1 (nearly) at the start of a window, -1, to 0 at its end, 0, to -1 from three lengths behind it."""
    return -1.0 if position > 3.0 else 2.0 / (1.0 + math.exp(5.0 * position)) - 1.0
