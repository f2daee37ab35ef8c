"""Strict JSON: what any bytes from the network must pass before a word of them is believed."""

from __future__ import annotations

import json
import math
import re

from edgemesh.errors import Rejected
from edgemesh.wire.reasons import Reason

MAX_BYTES = 256 * 1024
MAX_DEPTH = 16
_INT64 = range(-(2**63), 2**63)
_DETAIL = 160

_FLAT = bytes.maketrans(b"{}", b"[]")
_NO_SKELETON = bytes(set(range(256)) - set(b'[]{}"'))
# A pair of surrogates, else one alone (group 1), else any other escape: so that `\\ud800` is seen as what it is.
_SURROGATE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)


def shorten(text: str) -> str:
    """The text as one short printable ASCII line, for the detail of a Rejected."""
    line = text[:_DETAIL].encode("unicode_escape").decode("ascii")
    return line if len(line) <= _DETAIL and len(text) <= _DETAIL else line[:_DETAIL] + "..."


def check_bytes(payload: bytes, max_bytes: int = MAX_BYTES) -> None:
    """Size, encoding and depth, without parsing. Rejected: `empty`, `too_large`, `not_utf8`, `too_deep`."""
    if not payload:
        raise Rejected(Reason.EMPTY)
    if len(payload) > max_bytes:
        raise Rejected(Reason.TOO_LARGE, f"{len(payload)} bytes, {max_bytes} are allowed")
    if not payload.isascii():
        _check_utf8(payload)
    if b"\0" in payload:
        raise Rejected(Reason.NOT_UTF8, "a NUL byte, as in UTF-16")
    if b"\\" in payload and any(match[1] for match in _SURROGATE.finditer(payload)):
        raise Rejected(Reason.NOT_UTF8, "half a surrogate pair")
    if payload.count(b"[") + payload.count(b"{") > MAX_DEPTH:
        _check_depth(payload)


def _check_utf8(payload: bytes) -> None:
    if payload.startswith(b"\xef\xbb\xbf"):
        raise Rejected(Reason.NOT_UTF8, "a byte order mark")
    try:
        payload.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Rejected(Reason.NOT_UTF8, f"{error.reason} at byte {error.start}") from None


def _check_depth(payload: bytes) -> None:
    """Peel off one level of brackets after the other; whatever is left after MAX_DEPTH rounds is too deep.

    Text that is no JSON may be judged wrongly, but never so that a parser would recurse further than twice MAX_DEPTH.
    """
    if b"\\" in payload:
        payload = payload.replace(b"\\\\", b"").replace(b'\\"', b"")
    skeleton = payload.translate(_FLAT, _NO_SKELETON)
    brackets = b"".join(skeleton.split(b'"')[::2])
    for _ in range(MAX_DEPTH):
        if not brackets:
            return
        brackets = brackets.replace(b"[]", b"")
    if b"[]" in brackets or brackets.count(b"[") > MAX_DEPTH:
        raise Rejected(Reason.TOO_DEEP, f"more than {MAX_DEPTH} levels")


def _make_object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise Rejected(Reason.DUPLICATE_KEY, shorten(key))
            seen.add(key)
    return made


def _make_float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise Rejected(Reason.NOT_FINITE, f"{shorten(text[:32])} is too large for a double")
    return value


def _make_int(text: str) -> int:
    if len(text) > 20 or (value := int(text)) not in _INT64:
        raise Rejected(Reason.OUT_OF_RANGE, f"an integer of {len(text)} characters does not fit into 64 bits")
    return value


def _make_wide(text: str) -> float:
    return int(text) if len(text) < 19 else _make_float(text)


def _refuse_constant(text: str) -> object:
    raise Rejected(Reason.NOT_FINITE, f"the literal {text}")


_PARSER = json.JSONDecoder(
    object_pairs_hook=_make_object, parse_float=_make_float, parse_int=_make_int, parse_constant=_refuse_constant
)
_WIDE_PARSER = json.JSONDecoder(
    object_pairs_hook=_make_object, parse_float=_make_float, parse_int=_make_wide, parse_constant=_refuse_constant
)


def parse_checked(payload: bytes, *, wide: bool = False) -> object:
    """Parse bytes that passed `check_bytes`. `wide`: integers may exceed 64 bits, and then come as floats.

    Rejected: `not_json`, `duplicate_key`, `not_finite`, `out_of_range`.
    """
    try:
        value: object = (_WIDE_PARSER if wide else _PARSER).decode(payload.decode("utf-8"))
    except json.JSONDecodeError as error:
        raise Rejected(Reason.NOT_JSON, f"{error.msg} at character {error.pos}") from None
    return value


def decode_json(payload: bytes, *, max_bytes: int = MAX_BYTES) -> object:
    """Any device's JSON as dict, list, str, int (64 bits), float (finite), bool or None.

    Rejected: `empty`, `too_large`, `not_utf8`, `too_deep`, `not_json`, `duplicate_key`, `not_finite`, `out_of_range`.
    """
    check_bytes(payload, max_bytes)
    return parse_checked(payload)
