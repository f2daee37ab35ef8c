"""Judgements: what a scorer says of a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Judgement(NamedTuple):
    """What is thought of one row: `score` (1 at the limit; high is strange), `flag`, and `blame`, the channels that
    deviate most, strongest first, in limits; empty while nothing is strange.
    """

    score: float
    flag: bool
    blame: tuple[tuple[str, float], ...] = ()


NOT_YET = Judgement(0.0, flag=False)
"""Said of rows of the warm-up."""


class Scorer(Protocol):
    """Judges rows. What it says of a row never depends on later rows, nor on how many come at once."""

    def take(self, rows: Sequence[Sequence[float | None]]) -> list[Judgement]:
        """Judge the next rows; entries as the channels, None or NaN: unknown."""
        ...
