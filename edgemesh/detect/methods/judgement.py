"""Judgements: what a scorer says of a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Blame(NamedTuple):
    """One channel's part: its deviation in limits, its smoothed value, and the range of that which is normal.

    Normal is what the baseline allows; for a channel that has left what the others imply, what they imply. `channel` is
    its position among the scorer's channels.
    """

    name: str
    score: float
    channel: int = 0
    value: float = 0.0
    low: float = 0.0
    high: float = 0.0


class Judgement(NamedTuple):
    """What is thought of one row: `score` (1 at the limit; high is strange), `flag`, and `blame`, the channels that
    deviate most, strongest first; empty while nothing is strange. `since`: how many rows in a row, this one included,
    there have been signs of what may become an episode, or has just done so. `by`: of several methods those that agree
    on a flag, by their versions.
    """

    score: float
    flag: bool
    blame: tuple[Blame, ...] = ()
    since: int = 0
    by: tuple[str, ...] = ()


NOT_YET = Judgement(0.0, flag=False)
"""Said of rows of the warm-up."""


class Scorer(Protocol):
    """Judges rows. What it says of a row never depends on later rows, nor on how many come at once."""

    def take(self, rows: Sequence[Sequence[float | None]]) -> Sequence[Judgement]:
        """Judge the next rows; entries as the channels, None or NaN: unknown."""
        ...
