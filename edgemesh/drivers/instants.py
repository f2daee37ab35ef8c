"""Instants as devices and files write them, as nanoseconds UTC."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Literal

TimeFormat = Literal["auto", "iso8601", "s", "ms", "us", "ns"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SCALE = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_MAGNITUDES = ((1e11, "s"), (1e14, "ms"), (1e17, "us"), (math.inf, "ns"))
_LATEST = 2**63 - 1


def instant_of(value: object, time_format: TimeFormat = "auto") -> int:
    """The instant that a number or a text stands for; finer digits than a microsecond of a text in ISO 8601 are lost.

    `auto`: a number, also one in a text, counts since 1970 in seconds below 1e11, then in milliseconds (below 1e14),
    microseconds (below 1e17) or nanoseconds; any other text is ISO 8601. A text without a zone is UTC. ValueError when
    it is no instant between 1970 and 2262.
    """
    if isinstance(value, str):
        return reader_of(value, time_format)(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or time_format == "iso8601":
        raise ValueError(f"{value!r:.40} is no time")
    return _from_number(value, time_format)


def reader_of(example: str, time_format: str = "auto") -> Callable[[str], int]:
    """The function that reads times written like the example; a format with `%` in it is one of `strptime`.

    The function raises ValueError for a text that is no time; this one never raises.
    """
    if "%" in time_format:
        return lambda text: _checked(_from_moment, datetime.strptime(text.strip(), time_format))
    if time_format == "auto":
        unit = _unit_of(example)
        return _from_iso if unit is None else lambda text: _from_number(_number(text), unit)
    if time_format == "iso8601":
        return _from_iso
    return lambda text: _from_number(_number(text), time_format)


def _unit_of(example: str) -> str | None:
    try:
        size = abs(_number(example))
    except ValueError:
        return None
    return next((unit for bound, unit in _MAGNITUDES if size < bound), None)


def _number(text: str) -> int | float:
    return int(text) if text.isdecimal() and len(text) < 20 else float(text)


def _from_number(value: int | float, unit: str) -> int:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is no time")
    if unit == "auto":
        unit = next(unit for bound, unit in _MAGNITUDES if abs(value) < bound)
    scale = _SCALE[unit]
    if isinstance(value, int):
        return _within(value * scale)
    whole = math.floor(value)
    return _within(whole * scale + round((value - whole) * scale))


def _from_iso(text: str) -> int:
    text = text.strip()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = datetime.fromisoformat(text.replace("/", "-"))
    return _checked(_from_moment, moment)


def _from_moment(moment: datetime) -> int:
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return _within((moment - _EPOCH) // _MICROSECOND * 1000)


def _checked(read: Callable[[datetime], int], moment: datetime) -> int:
    try:
        return read(moment)
    except OverflowError:
        raise ValueError(f"{moment} is out of range") from None


def _within(at_ns: int) -> int:
    if not 0 <= at_ns <= _LATEST:
        raise ValueError(f"{at_ns} ns is not between 1970 and 2262")
    return at_ns
