"""What settings are made of: frozen structs that refuse unknown keys, durations and sizes with their unit."""

from __future__ import annotations

import math
import re

import msgspec

_AMOUNT = re.compile(r"^\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*$")
_SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "KB": 1000, "MB": 1000**2, "GB": 1000**3, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of every settings struct: immutable, keyword only, no unknown keys."""


class Seconds(float):
    """A duration. In TOML a text with its unit: `"250ms"`, `"3s"`, `"10min"`, `"6h"`, `"30d"`."""

    @classmethod
    def parse(cls, text: object) -> Seconds:
        """Raise ValueError when the text is not a finite, non-negative number and a unit."""
        match = _AMOUNT.match(text) if isinstance(text, str) else None
        if match is None or match[2] not in _SECONDS or not math.isfinite(float(match[1])):
            raise ValueError(f'expected a duration with its unit, like "250ms", "3s", "10min" or "6h", got {text!r}')
        return cls(float(match[1]) * _SECONDS[match[2]])


class Bytes(int):
    """A size. In TOML a text with its unit: `"64KiB"`, `"500MB"`, `"2GB"`."""

    @classmethod
    def parse(cls, text: object) -> Bytes:
        """Raise ValueError when the text is not a non-negative number and a unit."""
        match = _AMOUNT.match(text) if isinstance(text, str) else None
        if match is None or match[2] not in _BYTES:
            raise ValueError(f'expected a size with its unit, like "64KiB", "500MB" or "2GB", got {text!r}')
        return cls(int(float(match[1]) * _BYTES[match[2]]))


class BytesPerDay(int):
    """An amount written in a day. In TOML a text like `"2GB/day"`."""

    @classmethod
    def parse(cls, text: object) -> BytesPerDay:
        """Raise ValueError when the text is not a size in a day, or none at all."""
        size, slash, span = text.partition("/") if isinstance(text, str) else ("", "", "")
        if not slash or span.strip() != "day" or not (amount := Bytes.parse(size)):
            raise ValueError(f'expected a size in a day, like "500MB/day" or "2GB/day", got {text!r}')
        return cls(amount)


class Secret(str):
    """A text that is never printed: `str`, `repr` and error messages show `***`; `reveal` gives it to a login."""

    __slots__ = ()

    def reveal(self) -> str:
        """The text itself."""
        return str.__str__(self)

    def __repr__(self) -> str:
        return "'***'"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return format("***", spec)


def decode_amount(kind: type, value: object) -> object:
    """Hook for `msgspec.convert`: turn texts into `Seconds`, `Bytes`, `BytesPerDay` and `Secret`."""
    if kind is Seconds or kind is Bytes or kind is BytesPerDay:
        return kind.parse(value)
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise NotImplementedError(f"no setting is of type {kind!r}")
