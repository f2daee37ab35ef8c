"""Hostile bytes: one table of named cases, thrown at every consumer by the tests and by the drill F28.

What must hold for each: one counted rejection with this reason, a row in the quarantine, the message settled, and a
good message right after it takes effect. Cases without a reason are odd but lawful; `treatment` says what becomes of
them.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edgemesh.model.ids import derive_id
from edgemesh.wire.reasons import Reason
from edgemesh.wire.topics import Kind

_R = Reason
Document = dict[str, Any]
NOW_NS = 1_700_000_000_000_000_000
PACKS = (Kind.READINGS, Kind.ALERTS, Kind.ORDERS)
EPOCH = "beef"
_HOLE = "@@hole@@"


@dataclass(frozen=True, slots=True)
class Case:
    """A payload with a name; `reason` is why it is refused, empty where `treatment` says what else becomes of it."""

    name: str
    payload: bytes
    reason: str
    treatment: str = ""


# -- what is sound on each topic -------------------------------------------------------------------------------------


def _pack(kind: Kind, name: str, number: int, record: Document) -> Document:
    header = {"v": 1, "kind": kind.value, "agent": name, "epoch": EPOCH, "seq": number, "lowest": 1, "at_ns": NOW_NS}
    return {**header, "records": [record]}


def _readings(name: str, number: int) -> Document:
    columns = {"at_ns": [NOW_NS + number * 10**9], "values": [[100.0]]}
    batch = {"device": "stranger", "asset": "stranger", "metrics": ["flow"], "units": ["1"], **columns}
    return _pack(Kind.READINGS, name, number, batch)


def _alert(name: str, number: int) -> Document:
    evidence = {"rule": "flow low", "metric": "flow", "device": "stranger", "value": 1.0}
    times = {"onset_at_ns": NOW_NS, "raised_at_ns": NOW_NS, "at_ns": NOW_NS + number}
    return {
        "id": name,
        "version": number,
        "asset": "stranger",
        "kind": "machine",
        "state": "firing",
        "severity": "info",
        "cause": "hostile",
        "evidence": [evidence],
        **times,
        "gateway": "nobody",
    }


def _order(name: str, number: int) -> Document:
    words = {"title": "Look", "cause": "hostile", "priority": "P4", "skills": {"magic": 1.0}}
    times = {"at_ns": NOW_NS + number, "opened_at_ns": NOW_NS}
    head = {"id": name, "version": number, "asset": "stranger", "alert": derive_id("hostile"), "state": "open"}
    return {**head, **words, **times}


def _over(name: str, number: int) -> Document:
    """An order that is over: the history is not to wait for its end."""
    return {**_order(name, number), "state": "cancelled"}


def _card(name: str, number: int) -> Document:
    life = {"state": "up", "incarnation": "hostile", "beat": number, "skills": {"magic": 1.0}, "max_load": number}
    return {"v": 1, "agent": name, "role": "executor", **life}


def _dispatch(name: str, number: int) -> Document:
    order = {
        "order": derive_id("hostile", number),
        "attempt": 1,
        "asset": "stranger",
        "title": "Look",
        "cause": "c",
        "skills": {"magic": 1.0},
        "priority": "P4",
        "alert": derive_id("hostile"),
        "state": "dispatched",
    }
    return {"v": 1, "executor": name, "epoch": number, "orders": [order]}


def _answer(name: str, number: int) -> Document:
    order = derive_id("hostile", number)
    return {"v": 1, "executor": name, "order": order, "attempt": 1, "answer": "done", "at_ns": NOW_NS, "note": "n"}


def _offer(name: str, number: int) -> Document:
    return {"v": 1, "asset": name, "revision": number, "at_ns": NOW_NS, "version": 1, "content": "eJwDAAAAAAE="}


def _model_state(name: str, number: int) -> Document:
    stage = {"stage": "waiting", "since_ns": NOW_NS, "reason": "r"}
    return {"v": 1, "asset": name, "agent": "nobody", "revision": number, "version": 1, "used": 0, **stage}


def _verdicts(name: str, number: int) -> Document:
    order = {"order": derive_id("hostile", number), "alert": derive_id("hostile")}
    return {"v": 1, "asset": name, "verdicts": [{**order, "verdict": "false_alarm", "at_ns": NOW_NS}]}


def _silence(name: str, number: int) -> Document:
    until = {"begin_ns": NOW_NS, "end_ns": NOW_NS + number}
    return {"v": 1, "id": name, "by": "nobody", "reason": "r", **until, "asset": "stranger"}


def _case(name: str, number: int) -> Document:
    return {"v": 1, "alert": _alert(name, number), "since_ns": NOW_NS, "until_ns": NOW_NS + number}


def _spans(name: str, number: int) -> Document:
    place = {"trace_id": derive_id("hostile"), "span_id": derive_id("hostile", number)[:16]}
    work = {"name": "publish", "role": "gateway", "agent": name, "start_ns": NOW_NS, "duration_ns": number}
    return {"v": 1, "agent": name, "spans": [{**place, **work}]}


def _scores(name: str, number: int) -> Document:
    score = {"asset": "stranger", "gateway": "nobody", "at_ns": NOW_NS + number, "score": 0.5, "metric": "flow"}
    return {"v": 1, "agent": name, "every_s": 10.0, "scores": [score]}


def _lines(name: str, number: int) -> Document:
    line = {"at_ns": NOW_NS + number, "level": "warning", "body": "b"}
    return {"v": 1, "agent": name, "lines": [line], "left_out": number}


def _reply(name: str, number: int) -> Document:
    return {"v": 1, "id": derive_id("hostile", number), "agent": name, "done": True, "text": "t"}


SOUND: dict[Kind, Callable[[str, int], Document]] = {
    Kind.READINGS: _readings,
    Kind.ALERTS: lambda name, number: _pack(Kind.ALERTS, name, number, _alert(derive_id("hostile"), number)),
    Kind.ORDERS: lambda name, number: _pack(Kind.ORDERS, name, number, _over(derive_id("hostile"), number)),
    Kind.WATERMARK: lambda name, number: {"v": 1, "epoch": EPOCH, "through": number},
    Kind.CARD: _card,
    Kind.OWNERS: lambda name, number: {"v": 1, "epoch": number, "owners": {"nobody": "noone"}},
    Kind.ALERT: _alert,
    Kind.ORDER: _order,
    Kind.DISPATCH: _dispatch,
    Kind.ANSWER: _answer,
    Kind.MODEL: _offer,
    Kind.MODEL_STATE: _model_state,
    Kind.VERDICTS: _verdicts,
    Kind.SILENCE: _silence,
    Kind.REVIEW: _case,
    Kind.SPANS: _spans,
    Kind.SCORES: _scores,
    Kind.LINES: _lines,
    Kind.COMMAND: lambda name, number: {"v": 1, "id": derive_id("hostile", number), "log_level": "usual"},
    Kind.REPLY: _reply,
    Kind.INGEST: lambda name, number: {"flow": 100.0 + number},
}
"""What is right on a topic of each kind: the document of `name` (the id in the topic), the `number`th from 1 on."""


def sound(kind: Kind, name: str, number: int) -> bytes:
    """A good message for a topic of this kind."""
    return _dump(SOUND[kind](name, number))


# -- bytes that are wrong on every topic -----------------------------------------------------------------------------

BYTES: tuple[Case, ...] = (
    Case("nothing", b"", _R.EMPTY),
    Case("blanks only", b" \r\n\t ", _R.NOT_JSON),
    Case("a page of HTML", b"<!doctype html><title>502 Bad Gateway</title>", _R.NOT_JSON),
    Case("one bracket", b"[", _R.NOT_JSON),
    Case("one brace", b"{", _R.NOT_JSON),
    Case("half a text", b'{"agent":"', _R.NOT_JSON),
    Case("a comma too many", b'{"a":1,}', _R.NOT_JSON),
    Case("single quotes", b"{'a':1}", _R.NOT_JSON),
    Case("a comment", b'{"a":1 /* one */}', _R.NOT_JSON),
    Case("a control character in a text", b'{"a":"\x1b[31m"}', _R.NOT_JSON),
    Case("a number that is none", b'{"a":01}', _R.NOT_JSON),
    Case("a hexadecimal number", b'{"a":0x1F}', _R.NOT_JSON),
    Case("two documents", b'{"a":1}{"a":1}', _R.NOT_JSON),
    Case("a line each", b'{"a":1}\n{"a":1}\n', _R.NOT_JSON),
    Case("compressed", gzip.compress(b'{"a":1}', mtime=0), _R.NOT_UTF8),
    Case("UTF-16", '{"a":1}'.encode("utf-16"), _R.NOT_UTF8),
    Case("UTF-16 without a mark", '{"a":1}'.encode("utf-16-le"), _R.NOT_UTF8),
    Case("UTF-32", '{"a":1}'.encode("utf-32"), _R.NOT_UTF8),
    Case("a byte order mark", b'\xef\xbb\xbf{"a":1}', _R.NOT_UTF8),
    Case("Latin-1", '{"a":"Größe"}'.encode("latin-1"), _R.NOT_UTF8),
    Case("overlong UTF-8", b'{"a":"\xc0\xaf"}', _R.NOT_UTF8),
    Case("a surrogate in UTF-8", b'{"a":"\xed\xa0\x80"}', _R.NOT_UTF8),
    Case("beyond Unicode", b'{"a":"\xf4\x90\x80\x80"}', _R.NOT_UTF8),
    Case("cut in a character", b'{"a":"\xe2\x82"}', _R.NOT_UTF8),
    Case("half a surrogate pair", b'{"a":"\\ud800"}', _R.NOT_UTF8),
    Case("a surrogate pair the wrong way round", b'{"a":"\\udc00\\ud800"}', _R.NOT_UTF8),
    Case("half a surrogate pair as a key", b'{"\\udfff":1}', _R.NOT_UTF8),
    Case("NUL", b'{"a":"\0"}', _R.NOT_UTF8),
    Case("100,000 brackets", b"[" * 100_000, _R.TOO_DEEP),
    Case("100,000 brackets that close", b"[" * 50_000 + b"]" * 50_000, _R.TOO_DEEP),
    Case("50,000 objects in each other", b'{"a":' * 40_000 + b"1" + b"}" * 40_000, _R.TOO_DEEP),
    Case("17 levels", b"[" * 17 + b"]" * 17, _R.TOO_DEEP),
    Case("a key twice", b'{"a":1,"a":1}', _R.DUPLICATE_KEY),
    Case("a key twice, once escaped", b'{"a":1,"\\u0061":2}', _R.DUPLICATE_KEY),
    Case("256 KiB and a byte", b'"' + b"x" * (256 * 1024 - 1) + b'"', _R.TOO_LARGE),
    Case("a million rows", b"[" + b"1," * 999_999 + b"1]", _R.TOO_LARGE),
    Case("five megabytes of nothing", bytes(5_000_000), _R.TOO_LARGE),
)
"""Wrong wherever they come."""

NUMBERS: tuple[Case, ...] = (
    Case("NaN alone", b"NaN", _R.NOT_FINITE),
    Case("Infinity alone", b"-Infinity", _R.NOT_FINITE),
    Case("1e999 alone", b"1e999", _R.NOT_FINITE),
    Case("5,000 digits alone", b"9" * 5_000, _R.OUT_OF_RANGE),
    Case("null", b"null", _R.WRONG_SHAPE),
    Case("true", b"true", _R.WRONG_SHAPE),
    Case("a number", b"5", _R.WRONG_SHAPE),
    Case("a text", b'"on"', _R.WRONG_SHAPE),
    Case("an empty list", b"[]", _R.WRONG_SHAPE),
    Case("an empty object", b"{}", _R.WRONG_SHAPE),
    Case("a list of lists", b"[[1],[2]]", _R.WRONG_SHAPE),
)
"""Bare values: wrong shapes for all records of ours; a plain device may send them, but here they hold no metric."""

# -- sound documents with one thing wrong ----------------------------------------------------------------------------

_RECORD = ("records", 0)
_PLACES: dict[Kind, dict[str, tuple[str | int, ...]]] = {
    Kind.READINGS: {"number": ("seq",), "text": (*_RECORD, "units", 0), "time": (*_RECORD, "at_ns", 0)},
    Kind.ALERTS: {"number": (*_RECORD, "version"), "text": (*_RECORD, "cause"), "time": (*_RECORD, "at_ns")},
    Kind.ORDERS: {"number": (*_RECORD, "version"), "text": (*_RECORD, "title"), "time": (*_RECORD, "at_ns")},
    Kind.WATERMARK: {"number": ("through",), "text": ("epoch",)},
    Kind.CARD: {"number": ("beat",), "text": ("incarnation",)},
    Kind.OWNERS: {"number": ("epoch",), "text": ("owners", "nobody")},
    Kind.ALERT: {"number": ("version",), "text": ("cause",), "time": ("at_ns",)},
    Kind.ORDER: {"number": ("version",), "text": ("title",), "time": ("at_ns",)},
    Kind.DISPATCH: {"number": ("epoch",), "text": ("orders", 0, "title")},
    Kind.ANSWER: {"number": ("attempt",), "text": ("note",), "time": ("at_ns",)},
    Kind.MODEL: {"number": ("revision",), "text": ("content",), "time": ("at_ns",)},
    Kind.MODEL_STATE: {"number": ("revision",), "text": ("reason",), "time": ("since_ns",)},
    Kind.VERDICTS: {"text": ("verdicts", 0, "verdict"), "time": ("verdicts", 0, "at_ns")},
    Kind.SILENCE: {"text": ("reason",), "time": ("begin_ns",)},
    Kind.REVIEW: {"number": ("alert", "version"), "text": ("alert", "cause"), "time": ("since_ns",)},
    Kind.SPANS: {"number": ("spans", 0, "duration_ns"), "text": ("spans", 0, "name"), "time": ("spans", 0, "start_ns")},
    Kind.SCORES: {"text": ("scores", 0, "metric"), "time": ("scores", 0, "at_ns")},
    Kind.LINES: {"number": ("left_out",), "text": ("lines", 0, "body"), "time": ("lines", 0, "at_ns")},
    Kind.COMMAND: {"text": ("log_level",)},
    Kind.REPLY: {"text": ("text",)},
}
_IDS: dict[Kind, tuple[str | int, ...]] = {
    Kind.READINGS: (*_RECORD, "device"),
    Kind.ALERTS: (*_RECORD, "asset"),
    Kind.ORDERS: (*_RECORD, "asset"),
    Kind.CARD: ("agent",),
    Kind.OWNERS: ("owners", "nobody"),
    Kind.ALERT: ("asset",),
    Kind.ORDER: ("asset",),
    Kind.DISPATCH: ("executor",),
    Kind.ANSWER: ("executor",),
    Kind.MODEL: ("asset",),
    Kind.MODEL_STATE: ("agent",),
    Kind.VERDICTS: ("verdicts", 0, "order"),
    Kind.SILENCE: ("id",),
    Kind.REVIEW: ("alert", "asset"),
    Kind.SPANS: ("spans", 0, "agent"),
    Kind.SCORES: ("scores", 0, "asset"),
    Kind.LINES: ("agent",),
    Kind.COMMAND: ("id",),
    Kind.REPLY: ("id",),
}
_NAMES: dict[Kind, tuple[str, ...]] = {
    **dict.fromkeys((Kind.ALERT, Kind.ORDER, Kind.SILENCE), ("id",)),
    **dict.fromkeys((Kind.DISPATCH, Kind.ANSWER), ("executor",)),
    **dict.fromkeys((Kind.MODEL, Kind.MODEL_STATE, Kind.VERDICTS), ("asset",)),
    **dict.fromkeys((Kind.CARD, Kind.SPANS, Kind.SCORES, Kind.LINES, Kind.REPLY), ("agent",)),
    **dict.fromkeys(PACKS, ("agent",)),
    Kind.REVIEW: ("alert", "id"),
}
"""The field that says again what the topic's last level says; the others have none."""
_NEEDED = {
    Kind.WATERMARK: "through",
    Kind.CARD: "incarnation",
    Kind.OWNERS: "owners",
    Kind.ALERT: "gateway",
    Kind.ORDER: "opened_at_ns",
    Kind.DISPATCH: "epoch",
    Kind.ANSWER: "answer",
    Kind.MODEL: "revision",
    Kind.MODEL_STATE: "stage",
    Kind.VERDICTS: "asset",
    Kind.SILENCE: "end_ns",
    Kind.REVIEW: "alert",
    Kind.SPANS: "spans",
    Kind.SCORES: "every_s",
    Kind.LINES: "agent",
    Kind.COMMAND: "log_level",
    Kind.REPLY: "done",
}
_ELSEWHERE = {
    Kind.READINGS: {"5,000 digits alone": _R.NOT_FINITE},
    Kind.MODEL: {"256 KiB and a byte": _R.WRONG_SHAPE},
}
"""Cases that have another reason there: values are doubles, and an offer of a model may be larger than all else."""
_WIDE = {_R.OUT_OF_RANGE: _R.WRONG_SHAPE}
"""Of readings alone integers beyond 64 bits are read, since values are doubles: elsewhere in them they do not fit."""

_VALUES: tuple[tuple[str, str, bytes, Reason], ...] = (
    ("true for a number", "number", b"true", _R.WRONG_SHAPE),
    ("a text for a number", "number", b'"7"', _R.WRONG_SHAPE),
    ("null for a number", "number", b"null", _R.WRONG_SHAPE),
    ("a list for a number", "number", b"[7]", _R.WRONG_SHAPE),
    ("a fraction for a whole number", "number", b"1.5", _R.WRONG_SHAPE),
    ("NaN for a number", "number", b"NaN", _R.NOT_FINITE),
    ("Infinity for a number", "number", b"Infinity", _R.NOT_FINITE),
    ("1e999 for a number", "number", b"1e999", _R.NOT_FINITE),
    ("2^63 for a number", "number", b"9223372036854775808", _R.OUT_OF_RANGE),
    ("-2^63-1 for a number", "number", b"-9223372036854775809", _R.OUT_OF_RANGE),
    ("30 digits for a number", "number", b"9" * 30, _R.OUT_OF_RANGE),
    ("a number for a text", "text", b"7", _R.WRONG_SHAPE),
    ("true for a text", "text", b"true", _R.WRONG_SHAPE),
    ("an object for a text", "text", b'{"a":1}', _R.WRONG_SHAPE),
    ("half a surrogate pair in a text", "text", b'"\\ud800"', _R.NOT_UTF8),
    ("overlong UTF-8 in a text", "text", b'"\xe0\x80\xaf"', _R.NOT_UTF8),
    ("a time before 1970", "time", b"-1", _R.BAD_TIME),
    ("a time with a fraction", "time", b"1700000000.5", _R.BAD_TIME),
    ("a time in ISO 8601", "time", b'"2024-05-01T12:00:00Z"', _R.BAD_TIME),
    ("true for a time", "time", b"true", _R.BAD_TIME),
    ("an id with a blank", "id", b'"a b"', _R.BAD_ID),
    ("an empty id", "id", b'""', _R.BAD_ID),
    ("an id of 65 characters", "id", b'"' + b"a" * 65 + b'"', _R.BAD_ID),
    ("an id with a line end", "id", b'"a\\n"', _R.BAD_ID),
    ("a path for an id", "id", b'"../../etc/passwd"', _R.BAD_ID),
    ("a wildcard for an id", "id", b'"+"', _R.BAD_ID),
    ("NUL in an id", "id", b'"a\\u0000"', _R.BAD_ID),
    ("a newer version", "version", b"2", _R.WRONG_VERSION),
    ("true for the version", "version", b"true", _R.WRONG_VERSION),
    ("a text for the version", "version", b'"1"', _R.WRONG_VERSION),
)
_LAWFUL: tuple[tuple[str, str, bytes, str], ...] = (
    ("a time in seconds", "time", b"1700000000", "taken as it is: 1970, for only the gateway can tell"),
    ("a time in milliseconds", "time", b"1700000000000", "taken as it is: 1970, for only the gateway can tell"),
    ("a time in 2262", "time", b"9223372036854775807", "taken as it is, for only the gateway can tell"),
)

_PACK_VALUES: tuple[tuple[str, tuple[str | int, ...], bytes, Reason], ...] = (
    ("row 0", ("seq",), b"0", _R.WRONG_SHAPE),
    ("row -1", ("seq",), b"-1", _R.WRONG_SHAPE),
    ("lowest 0", ("lowest",), b"0", _R.WRONG_SHAPE),
    ("an epoch in capitals", ("epoch",), b'"BEEF"', _R.BAD_ID),
    ("an empty epoch", ("epoch",), b'""', _R.BAD_ID),
    ("no list of records", ("records",), b"7", _R.WRONG_SHAPE),
    ("10,001 records", ("records",), b"[" + b"{}," * 10_000 + b"{}]", _R.TOO_MANY),
    ("a million records", ("records",), b"[" + b"{}," * 999_999 + b"{}]", _R.TOO_LARGE),
    ("a million records and no end", ("records",), b"[" + b"{}," * 999_999, _R.TOO_LARGE),
    ("a trace of 65 characters", ("trace",), b'"' + b"t" * 65 + b'"', _R.WRONG_SHAPE),
)
_BATCH_VALUES: tuple[tuple[str, str, bytes, Reason], ...] = (
    ("no samples", "at_ns", b"[]", _R.WRONG_SHAPE),
    ("20,001 samples", "at_ns", b"[" + b"1," * 20_000 + b"1]", _R.TOO_MANY),
    ("257 metrics", "metrics", json.dumps([f"m{n}" for n in range(257)]).encode(), _R.TOO_MANY),
    ("a metric twice", "metrics", b'["flow","flow"]', _R.WRONG_SHAPE),
    ("more units than metrics", "units", b'["1","1"]', _R.WRONG_SHAPE),
    ("a column too many", "values", b"[[1],[2]]", _R.WRONG_SHAPE),
    ("a value too many", "values", b"[[1,2]]", _R.WRONG_SHAPE),
    ("true for a value", "values", b"[[true]]", _R.WRONG_SHAPE),
    ("a text for a value", "values", b'[["1"]]', _R.WRONG_SHAPE),
    ("NaN for a value", "values", b"[[NaN]]", _R.NOT_FINITE),
    ("1e999 for a value", "values", b"[[1e999]]", _R.NOT_FINITE),
    ("5,000 digits for a value", "values", b"[[" + b"9" * 5_000 + b"]]", _R.NOT_FINITE),
    ("a quality of its own", "quality", b"[[3]]", _R.WRONG_SHAPE),
    ("a quality too many", "quality", b"[[0],[0]]", _R.WRONG_SHAPE),
)
_INGEST: tuple[tuple[str, bytes, Reason], ...] = (
    ("true for a value", b'{"flow":true}', _R.BAD_VALUE),
    ("a text for a value", b'{"flow":"7"}', _R.BAD_VALUE),
    ("a list for a value", b'{"flow":[7]}', _R.BAD_VALUE),
    ("NaN for a value", b'{"flow":NaN}', _R.BAD_VALUE),
    ("Infinity for a value", b'{"flow":-Infinity}', _R.BAD_VALUE),
    ("1e999 for a value", b'{"flow":1e999}', _R.BAD_VALUE),
    ("5,000 digits for a value", b'{"flow":' + b"9" * 5_000 + b"}", _R.BAD_VALUE),
    ("null for a value", b'{"flow":null}', _R.NO_VALUES),
    ("another metric", b'{"pressure":7}', _R.NO_VALUES),
    ("half a surrogate pair beside a value", b'{"flow":7,"a":"\\ud800"}', _R.NOT_UTF8),
    ("a value twice", b'{"flow":7,"flow":8}', _R.DUPLICATE_KEY),
)
_BARE = dict.fromkeys((_R.WRONG_SHAPE, _R.NOT_FINITE, _R.OUT_OF_RANGE), _R.NO_VALUES)


def cases(kind: Kind, name: str, number: int) -> Iterator[Case]:
    """All cases for a topic of this kind, each in the place of the good message of this name and number."""
    wide = _ELSEWHERE.get(kind, {})
    yield from (Case(case.name, case.payload, wide.get(case.name, case.reason)) for case in BYTES)
    if kind is Kind.INGEST:
        yield from (Case(case.name, case.payload, _BARE[_R(case.reason)]) for case in NUMBERS)
        yield from (Case(*row) for row in _INGEST)
        return
    good = SOUND[kind](name, number)
    swap: Mapping[Reason, Reason] = _WIDE if kind is Kind.READINGS else {}
    yield from (Case(case.name, case.payload, wide.get(case.name, case.reason)) for case in NUMBERS)
    yield from _documents(kind, good)
    places = {**_PLACES[kind], "version": ("v",)} | ({"id": _IDS[kind]} if kind in _IDS else {})
    for what, place, raw, reason in _VALUES:
        if place in places:
            yield Case(what, put(good, places[place], raw), swap.get(reason, reason))
    for what, place, raw, treatment in _LAWFUL:
        if place in places:
            yield Case(what, put(good, places[place], raw), "", treatment)
    if kind in PACKS:
        yield from (Case(what, put(good, path, raw), reason) for what, path, raw, reason in _PACK_VALUES)
    if kind is Kind.READINGS:
        for what, key, raw, reason in _BATCH_VALUES:
            yield Case(what, put(good, (*_RECORD, key), raw), reason)


def _documents(kind: Kind, good: Document) -> Iterator[Case]:
    """What is wrong with a document as a whole."""
    payload = _dump(good)
    key, first = next(iter(good.items()))
    yield Case("cut off", payload[: len(payload) // 2], _R.NOT_JSON)
    yield Case("cut off at the last brace", payload[:-1], _R.NOT_JSON)
    yield Case("a key of ours twice", b"{" + _dump({key: first})[1:-1] + b"," + payload[1:], _R.DUPLICATE_KEY)
    yield Case("1e999 in a field that nobody knows", payload[:-1] + b',"x":1e999}', _R.NOT_FINITE)
    yield Case("a key twice in a field that nobody knows", payload[:-1] + b',"x":{"a":1,"a":2}}', _R.DUPLICATE_KEY)
    yield Case("in a list", b"[" + payload + b"]", _R.WRONG_SHAPE)
    if name := _NAMES.get(kind):
        another = derive_id("other") if name[-1] == "id" else "somebody-else"
        yield Case("in another's name", put(good, name, _dump(another)), _R.ID_MISMATCH)
    needed = _NEEDED.get(kind, "records")
    yield Case("a field missing", _dump({key: value for key, value in good.items() if key != needed}), _R.WRONG_SHAPE)
    if kind in PACKS:
        other = Kind.ALERTS if kind is not Kind.ALERTS else Kind.ORDERS
        yield Case("a pack of another kind", sound(other, good["agent"], good["seq"]), _R.ID_MISMATCH)


TOPICS: tuple[tuple[str, str, Reason], ...] = (
    ("a blank in the name", "a b", _R.BAD_ID),
    ("an empty name", "", _R.BAD_ID),
    ("a name of 65 characters", "x" * 65, _R.BAD_ID),
    ("a name of 600 characters", "x" * 600, _R.TOO_LARGE),
    ("a name with an accent", "größe", _R.BAD_ID),
    ("a name that turns the line around", "a\u202eb", _R.BAD_ID),
    ("a name that steers a terminal", "a\x1b[2Jb", _R.BAD_ID),
    ("a system's name", "$SYS", _R.BAD_ID),
    ("a character that could not be read in the name", "a\ufffdb", _R.BAD_ID),
)
"""The last level of a topic, and why a message there is refused, whatever it holds."""

FORBIDDEN_TOPICS: tuple[str, ...] = ("a/+/b", "a/#", "a\0b", "+", "#", "")
"""No client may publish on these: a broker that lets them through has its connection ended."""


def put(document: Document, path: tuple[str | int, ...], raw: bytes) -> bytes:
    """The document as JSON with these raw bytes in the place of what stands at the path, or would."""
    copy: Any = json.loads(json.dumps(document))
    node: Any = copy
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = _HOLE
    if "v" in path and "v" not in document:
        copy = {"v": _HOLE, **document}
    return _dump(copy).replace(_dump(_HOLE), raw, 1)


def _dump(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
