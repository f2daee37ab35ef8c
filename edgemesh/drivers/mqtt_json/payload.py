"""A device's JSON, with single numbers that can't be used let through: they cost their metric, not the message."""

from __future__ import annotations

import json

from edgemesh.errors import Rejected
from edgemesh.wire.codec import decode_json
from edgemesh.wire.reasons import Reason

_INT64_DIGITS = 18


def read_document(payload: bytes) -> object:
    """Decode strictly, but numbers beyond a double come as `inf` or `nan` and integers beyond 64 bits as float.

    Rejected as `decode_json`, without its reasons `not_finite` and `out_of_range`.
    """
    try:
        return decode_json(payload)
    except Rejected as error:
        if error.reason not in (Reason.NOT_FINITE, Reason.OUT_OF_RANGE):
            raise
    # Size, encoding and depth were found right before a number was met.
    try:
        document: object = _LENIENT.decode(payload.decode("utf-8"))
    except json.JSONDecodeError as error:
        raise Rejected(Reason.NOT_JSON, f"{error.msg} at character {error.pos}") from None
    return document


def _make_object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise Rejected(Reason.DUPLICATE_KEY)
    return made


def _make_int(text: str) -> int | float:
    return int(text) if len(text) <= _INT64_DIGITS else float(text)


_LENIENT = json.JSONDecoder(object_pairs_hook=_make_object, parse_int=_make_int)
