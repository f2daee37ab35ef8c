"""Schedules: the days and hours during which a rule counts, told from an instant alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_PART = re.compile(r"(?:(?P<days>[A-Z][a-z]{2}(?:-[A-Z][a-z]{2})?)\s*)?(?P<hours>\d\d:\d\d-\d\d:\d\d)?")
_HOURS = re.compile(r"([01]\d|2[0-4]):([0-5]\d)")
_DAY_MIN = 24 * 60
_MINUTE_NS = 60 * 10**9


@dataclass(frozen=True, slots=True)
class Schedule:
    """Stretches of the week: weekdays on which each begins (0 is Monday), minute of the day, minutes that it lasts."""

    stretches: tuple[tuple[frozenset[int], int, int], ...]
    zone: tzinfo = UTC

    def is_open(self, at_ns: int) -> bool:
        """Whether the instant (ns UTC) lies within; always, where there are no stretches."""
        return not self.stretches or _is_open(self, at_ns // _MINUTE_NS)


@lru_cache(maxsize=4096)
def _is_open(schedule: Schedule, minute: int) -> bool:
    local = datetime.fromtimestamp(minute * 60, schedule.zone)
    today, yesterday = local.weekday(), (local.weekday() - 1) % 7
    now = local.hour * 60 + local.minute
    return any(
        (today in days and start <= now < start + lasts) or (yesterday in days and now < start + lasts - _DAY_MIN)
        for days, start, lasts in schedule.stretches
    )


@lru_cache(maxsize=256)
def parse_schedule(text: str) -> Schedule:
    """Read `"Mon-Fri 06:00-22:00, Sat 08:00-12:00 Europe/Berlin"`; hours over midnight belong to the day they begin on.

    Without a time zone the hours are UTC; an empty text is always. Raise ValueError for anything else.

    >>> shift = parse_schedule("Mon-Fri 22:00-06:00")
    >>> [shift.is_open(hour * 3600 * 10**9) for hour in (21, 22, 29, 30)]  # 1970 began on a Thursday
    [False, True, True, False]
    """
    parts = [part.strip() for part in text.split(",")] if text.strip() else []
    zone: tzinfo = UTC
    if parts:
        head, _, last = parts[-1].rpartition(" ")
        if last.isascii() and (last == "UTC" or "/" in last):
            parts[-1], zone = head.strip(), _zone(last)
    return Schedule(tuple(_stretch(part, text) for part in parts), zone)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        raise ValueError(f"there is no time zone {name!r} on this machine, like Europe/Berlin or UTC") from None


def _stretch(part: str, text: str) -> tuple[frozenset[int], int, int]:
    match = _PART.fullmatch(part)
    if match is None or not part:
        raise ValueError(f'expected a schedule like "Mon-Fri 06:00-22:00" or "Sat, Sun Europe/Berlin", got {text!r}')
    days = frozenset(range(7)) if match["days"] is None else _days(match["days"], text)
    start, end = (0, _DAY_MIN) if match["hours"] is None else map(_minute, match["hours"].split("-"))
    if start in (_DAY_MIN, end):
        raise ValueError(f"a schedule's hours must begin before 24:00 and last a while, got {text!r}")
    return days, start, end - start if end > start else end - start + _DAY_MIN


def _days(text: str, whole: str) -> frozenset[int]:
    first, _, last = text.partition("-")
    if first not in _DAYS or (last and last not in _DAYS):
        raise ValueError(f"days are {', '.join(_DAYS)}, got {whole!r}")
    start = _DAYS.index(first)
    return frozenset((start + k) % 7 for k in range((_DAYS.index(last or first) - start) % 7 + 1))


def _minute(text: str) -> int:
    match = _HOURS.fullmatch(text)
    if match is None or (match[1] == "24" and match[2] != "00"):
        raise ValueError(f"hours go from 00:00 to 24:00, got {text!r}")
    return int(match[1]) * 60 + int(match[2])
