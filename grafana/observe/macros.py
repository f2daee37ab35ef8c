"""What Grafana puts in the place of its macros and variables before a statement goes to InfluxDB. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

Values = Mapping[str, Sequence[str] | str]
"""The values chosen for each variable; a text stands for a variable that can have only one."""
ALL = ".*"
_SPECIAL = re.compile(r"[\\^$*+?.()|\[\]{}/]")


def fill(text: str, *, start_ms: int, end_ms: int, interval: str, values: Values) -> str:
    """The statement as it goes out; a variable that has no value is a KeyError."""
    text = text.replace("$timeFilter", f"time >= {start_ms}ms and time <= {end_ms}ms")
    text = text.replace("$__interval", interval)
    text = re.sub(r"\$\{(\w+):regex\}", lambda found: as_pattern(values[found[1]]), text)
    return re.sub(r"\$\{(\w+)\}", lambda found: as_text(values[found[1]]), text)


def as_pattern(value: Sequence[str] | str) -> str:
    """One value, or several, as a part of a regular expression; `ALL` stands as it is."""
    if isinstance(value, str):
        return value if value == ALL else _escaped(value)
    return _escaped(value[0]) if len(value) == 1 else f"({'|'.join(map(_escaped, value))})"


def as_text(value: Sequence[str] | str) -> str:
    """A value as it is; of several there can be none."""
    if not isinstance(value, str):
        raise TypeError(f"{list(value)} is to be one text")
    return value


def _escaped(value: str) -> str:
    return _SPECIAL.sub(lambda found: "\\" + found[0], value)
