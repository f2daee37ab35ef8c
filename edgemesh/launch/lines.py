"""Instants and durations as the commands print them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def instant_text(at_ns: int) -> str:
    """The instant in UTC, to the second; it can be given back to `--from` and `--to`.

    >>> instant_text(1_700_000_000_900_000_000)
    '2023-11-14T22:13:20Z'
    """
    return (_EPOCH + timedelta(seconds=at_ns // 10**9)).strftime("%Y-%m-%dT%H:%M:%SZ")


def count_text(count: int, noun: str) -> str:
    """So many of them.

    >>> count_text(1, "alert"), count_text(0, "alert")
    ('1 alert', '0 alerts')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def duration_text(seconds: float) -> str:
    """A duration in the unit that tells it best: `4.2 s`, `12 min`, `3.5 h`, `2.0 d`.

    >>> [duration_text(s) for s in (4.21, 725.0, 12_600.0, 172_800.0)]
    ['4.2 s', '12 min', '3.5 h', '2.0 d']
    """
    for limit, size, digits, unit in ((100, 1, 1, "s"), (5_400, 60, 0, "min"), (129_600, 3600, 1, "h")):
        if seconds < limit:
            return f"{seconds / size:.{digits}f} {unit}"
    return f"{seconds / 86_400:.1f} d"
