"""When the next copy of a journal is due. Pure."""

from __future__ import annotations

DAY_S = 86_400.0
SHARE = 0.5
"""Of a write budget: so much of it copies may take; the rest is for commits."""


def interval_s(every_s: float, size: int, budget: int | None) -> float:
    """How long after a copy of so many bytes the next one begins: `every_s`, or longer where a budget asks for it.

    `budget` is in bytes a day (None: none).

    >>> interval_s(300.0, 10_000_000, None), interval_s(300.0, 10_000_000, 2_000_000_000)
    (300.0, 864.0)
    """
    return every_s if not budget else max(every_s, size * DAY_S / (SHARE * budget))
