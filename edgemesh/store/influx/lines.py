"""Line protocol: one point as one line of text. Pure.

`measurement,tag=value field=value time`, as InfluxDB 1.x, 2.x, 3.x and VictoriaMetrics read it. Two things can't be
written there at all and are made plain first: control characters become blanks, and in names and tags a backslash,
which has no escape of its own there, becomes a slash.
Source: https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/
"""

from __future__ import annotations

import math
from collections.abc import Mapping

Value = float | int | bool | str
MAX_TEXT = 4_096
"""Longer texts in fields are cut; a field may have 64 KiB."""
MAX_TAG = 256
LATEST_NS = 2**63 - 2
"""The last instant that servers take."""

_CONTROLS = dict.fromkeys((*range(32), *range(127, 160), 8232, 8233), " ")
_NAME = str.maketrans({",": "\\,", " ": "\\ "})
_TAG = str.maketrans({",": "\\,", "=": "\\=", " ": "\\ "})
_TEXT = str.maketrans({"\\": "\\\\", '"': '\\"'})
_IN_TAGS = {**_CONTROLS, ord("\\"): "/"}


def plain_tag(text: str) -> str:
    """The text as a name or tag can hold it: no control characters, no backslash, at most 256 characters."""
    return _encodable(text[:MAX_TAG].translate(_IN_TAGS))


def plain_text(text: str) -> str:
    """The text as a field holds it: no control characters, at most 4,096 characters."""
    return _encodable(text[:MAX_TEXT].translate(_CONTROLS))


def _encodable(text: str) -> str:
    """The text without half surrogates, which no UTF-8 can hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def head(measurement: str, tags: Mapping[str, str]) -> str:
    """Measurement and tags, sorted by name; tags that are empty are left out. It names the series."""
    texts = [(plain_tag(name).translate(_TAG), plain_tag(tags[name]).translate(_TAG)) for name in sorted(tags)]
    return ",".join([plain_tag(measurement).translate(_NAME), *(f"{name}={text}" for name, text in texts if text)])


def field_text(value: Value) -> str:
    """The value with its type: `1.5`, `3i`, `true`, `"text"`; empty for one that can't be written.

    Those are numbers that are not finite, and integers beyond 64 bits.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value}i" if -(2**63) <= value < 2**63 else ""
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else ""
    return f'"{plain_text(value).translate(_TEXT)}"'


def line(head: str, fields: Mapping[str, Value], at_ns: int) -> str:
    """One line of a series at an instant (UTC ns); empty when none of the fields can be written."""
    texts = [(name, field_text(value)) for name, value in fields.items()]
    body = ",".join(f"{plain_tag(name).translate(_TAG)}={text}" for name, text in texts if text)
    return f"{head} {body} {min(at_ns, LATEST_NS)}" if body else ""
