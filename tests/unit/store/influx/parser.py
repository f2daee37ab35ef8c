"""A small parser of line protocol, written from its grammar and not from our builder."""

from __future__ import annotations

from typing import NamedTuple

Parsed = float | int | bool | str


class Point(NamedTuple):
    """One line as a server understands it."""

    measurement: str
    tags: dict[str, str]
    fields: dict[str, Parsed]
    at_ns: int


def parse(line: str) -> Point:
    """Read one line. ValueError for one that a server would refuse."""
    if any(ord(sign) < 32 for sign in line):
        raise ValueError(f"control character in {line!r}")
    key, at = _word(line, 0, " ")
    texts, at = _fields(line, at + 1)
    name, *tags = _split(key, ",")
    if not name or not texts:
        raise ValueError(f"no name or no field in {line!r}")
    return Point(_unescape(name, ", "), dict(_pair(tag) for tag in tags), texts, int(line[at + 1 :]))


def _word(text: str, start: int, ends: str) -> tuple[str, int]:
    """From `start` to the first of `ends` that no backslash stands before."""
    at = start
    while at < len(text) and text[at] not in ends:
        at += 2 if text[at] == "\\" and at + 1 < len(text) else 1
    if at >= len(text):
        raise ValueError(f"nothing after {text[start:]!r}")
    return text[start:at], at


def _split(text: str, sign: str) -> list[str]:
    parts: list[str] = []
    start = 0
    while True:
        try:
            part, at = _word(text, start, sign)
        except ValueError:
            return [*parts, text[start:]]
        parts.append(part)
        start = at + 1


def _pair(text: str) -> tuple[str, str]:
    name, value = _split(text, "=")
    if not name or not value:
        raise ValueError(f"empty tag in {text!r}")
    return _unescape(name, ",= "), _unescape(value, ",= ")


def _unescape(text: str, signs: str) -> str:
    out, at = "", 0
    while at < len(text):
        if text[at] == "\\" and at + 1 < len(text) and text[at + 1] in signs:
            at += 1
        out += text[at]
        at += 1
    return out


def _fields(line: str, start: int) -> tuple[dict[str, Parsed], int]:
    found: dict[str, Parsed] = {}
    at = start
    while True:
        name, at = _word(line, at, "=")
        at += 1
        if line[at] == '"':
            value, at = _string(line, at + 1)
            found[_unescape(name, ",= ")] = value
        else:
            end = min(index for index in (line.find(",", at), line.find(" ", at)) if index >= 0)
            found[_unescape(name, ",= ")] = _number(line[at:end])
            at = end
        if line[at] == " ":
            return found, at
        if line[at] != ",":
            raise ValueError(f"{line[at:]!r} after a field")
        at += 1


def _string(line: str, at: int) -> tuple[str, int]:
    out = ""
    while line[at] != '"':
        if line[at] == "\\" and line[at + 1] in '\\"':
            at += 1
        out += line[at]
        at += 1
    return out, at + 1


def _number(text: str) -> Parsed:
    if text in ("true", "false"):
        return text == "true"
    if text.endswith("i"):
        value = int(text[:-1])
        if not -(2**63) <= value < 2**63:
            raise ValueError(f"{text} is too large")
        return value
    if any(sign not in "0123456789+-.e" for sign in text):
        raise ValueError(f"{text!r} is no number")
    return float(text)
