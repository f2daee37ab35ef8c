"""Each kind of hostile bytes is Rejected with the one reason that fits it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from edgemesh.errors import Rejected
from edgemesh.wire import codec
from edgemesh.wire.reasons import SENTENCES, Reason
from edgemesh.wire.strict import MAX_BYTES

BATCH = {
    "device": "pump-7",
    "asset": "pump-7",
    "metrics": ["flow"],
    "units": ["m3/h"],
    "at_ns": [1, 2],
    "values": [[1.5, None]],
}
PACK = {
    "v": 1,
    "kind": "readings",
    "agent": "gw1",
    "epoch": "0f",
    "seq": 3,
    "lowest": 1,
    "at_ns": 9,
    "records": [BATCH],
}
SOUND = json.dumps(PACK, separators=(",", ":")).encode()


def reason_of(act: Callable[[], object]) -> str:
    with pytest.raises(Rejected) as caught:
        act()
    assert len(caught.value.detail) < 400
    assert caught.value.detail.isprintable()
    return caught.value.reason


def pack_reason(payload: bytes) -> str:
    return reason_of(lambda: codec.decode_pack(payload, kind="readings", agent="gw1"))


def changed(**fields: Any) -> bytes:
    return json.dumps({**PACK, **fields}, separators=(",", ":")).encode()


def rebatched(**fields: Any) -> bytes:
    return changed(records=[{**BATCH, **fields}])


def test_every_reason_has_its_sentence() -> None:
    """Whoever sees a code can look up what it means."""
    assert set(SENTENCES) == set(Reason)
    assert all(sentence.endswith(".") for sentence in SENTENCES.values())


def test_the_sound_pack_is_sound() -> None:
    """What the cases below are made from decodes."""
    assert codec.decode_pack(SOUND, kind="readings", agent="gw1").seq == 3


# Bytes that are wrong whatever they were meant to be: every decoder names the same reason.
ANYWHERE = {
    "nothing": (b"", "empty"),
    "blank": (b"  \n", "not_json"),
    "oversize": (b" " * (MAX_BYTES + 1), "too_large"),
    "a million rows": (b"[" + b"0," * 1_000_000 + b"0]", "too_large"),
    "prose": (b"hello", "not_json"),
    "two values": (b"{} {}", "not_json"),
    "single quotes": (b"{'a':1}", "not_json"),
    "trailing comma": (b'{"a":1,}', "not_json"),
    "leading zero": (b'{"a":01}', "not_json"),
    "plus sign": (b'{"a":+1}', "not_json"),
    "raw control character": (b'{"a":"\x01"}', "not_json"),
    "comment": (b'{"a":1} // no', "not_json"),
    "NaN": (b'{"a":NaN}', "not_finite"),
    "Infinity": (b'{"a":Infinity}', "not_finite"),
    "-Infinity": (b'{"a":[-Infinity]}', "not_finite"),
    "1e999": (b'{"a":1e999}', "not_finite"),
    "-1E+400": (b'{"a":-1E+400}', "not_finite"),
    "400 digits and a point": (b'{"a":' + b"9" * 400 + b".0}", "not_finite"),
    "duplicate": (b'{"a":1,"a":1}', "duplicate_key"),
    "duplicate, spelt otherwise": (b'{"a":1,"\\u0061":1}', "duplicate_key"),
    "duplicate, empty key": (b'{"":1,"":2}', "duplicate_key"),
    "duplicate, nested": (b'{"x":[{"y":{"a":1,"b":2,"a":3}}]}', "duplicate_key"),
    "100,000 brackets": (b"[" * 100_000, "too_deep"),
    "100,000 brackets, closed": (b"[" * 100_000 + b"]" * 100_000, "too_deep"),
    "100,000 braces": (b'{"a":' * 50_000, "too_deep"),
    "300 levels": (b'{"a":[' * 150 + b"]}" * 150, "too_deep"),
    "17 levels": (b"[" * 17 + b"]" * 17, "too_deep"),
    "17 levels beside many": (b"[" + b"[]," * 99 + b"[" * 16 + b"]" * 17, "too_deep"),
    "17 levels, text between": (b'["\\"]]]]","\\\\",' + b"[" * 16 + b"]" * 17, "too_deep"),
    "UTF-16": ('{"a":1}'.encode("utf-16"), "not_utf8"),
    "UTF-16, no mark": ('{"a":1}'.encode("utf-16-le"), "not_utf8"),
    "UTF-32": ('{"a":1}'.encode("utf-32"), "not_utf8"),
    "UTF-8 mark": (b'\xef\xbb\xbf{"a":1}', "not_utf8"),
    "NUL": (b'{"a":"\0"}', "not_utf8"),
    "latin-1": ('{"a":"\u00fc"}'.encode("latin-1"), "not_utf8"),
    "overlong": (b'{"a":"\xc0\xaf"}', "not_utf8"),
    "cut UTF-8": (b'{"a":"\xe2\x82', "not_utf8"),
    "raw surrogate": (b'{"a":"\xed\xa0\x80"}', "not_utf8"),
    "high surrogate alone": (b'{"a":"\\ud800"}', "not_utf8"),
    "low surrogate alone": (b'{"a":"\\uDC00"}', "not_utf8"),
    "surrogates the wrong way round": (b'{"a":"\\udc00\\ud800"}', "not_utf8"),
    "two high ones and a low": (b'{"a":"\\ud83d\\ud83d\\ude00"}', "not_utf8"),
    "surrogate after a backslash": (b'{"a":"\\\\\\ud800"}', "not_utf8"),
    "surrogate in a key": (b'{"\\ud800":1}', "not_utf8"),
}
WORDS: dict[str, Callable[[bytes], object]] = {
    "json": codec.decode_json,
    "pack": lambda payload: codec.decode_pack(payload, kind="readings", agent="gw1"),
    "alerts": lambda payload: codec.decode_pack(payload, kind="alerts", agent="gw1"),
    "body": lambda payload: codec.decode_body("readings", payload),
    "orders": lambda payload: codec.decode_body("orders", payload),
    "card": lambda payload: codec.decode_card(payload, agent="gw1"),
    "watermark": codec.decode_watermark,
    "owners": codec.decode_owners,
    "answer": lambda payload: codec.decode_answer(payload, executor="ann"),
    "dispatch": lambda payload: codec.decode_dispatch(payload, executor="ann"),
    "alert": lambda payload: codec.decode_alert(payload, id="0" * 32),
    "order": lambda payload: codec.decode_order(payload, id="0" * 32),
    "model_state": lambda payload: codec.decode_model_state(payload, asset="pump-7"),
    "verdicts": lambda payload: codec.decode_verdicts(payload, asset="pump-7"),
    "scores": lambda payload: codec.decode_scores(payload, agent="det1"),
    "lines": lambda payload: codec.decode_lines(payload, agent="gw1"),
    "command": codec.decode_command,
    "reply": lambda payload: codec.decode_reply(payload, agent="gw1"),
}


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("name", ANYWHERE)
def test_hostile_bytes_have_one_reason_everywhere(name: str, word: str) -> None:
    """No decoder is softer than another on what is no strict JSON."""
    payload, reason = ANYWHERE[name]
    assert reason_of(lambda: WORDS[word](payload)) == reason


@pytest.mark.parametrize("digits", [20, 400, 5_000, 200_000])
def test_an_integer_of_too_many_digits_is_out_of_range(digits: int) -> None:
    """Neither a device nor an agent can hand over an integer beyond 64 bits, or make us work on its digits."""
    payload = b'{"v":1,"a":' + b"9" * digits + b"}"
    assert reason_of(lambda: codec.decode_json(payload)) == "out_of_range"
    assert reason_of(lambda: codec.decode_watermark(payload)) == "out_of_range"


def test_integers_up_to_the_edge_of_64_bits_are_taken() -> None:
    """The range is exactly that of a signed 64-bit integer."""
    assert codec.decode_json(b"[9223372036854775807,-9223372036854775808]") == [2**63 - 1, -(2**63)]
    assert reason_of(lambda: codec.decode_json(b"[9223372036854775808]")) == "out_of_range"
    assert reason_of(lambda: codec.decode_json(b"[-9223372036854775809]")) == "out_of_range"


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        (
            b'{"t":21.5,"on":true,"n":null,"s":"\\ud83d\\ude00 \xc3\xa9"}',
            {"t": 21.5, "on": True, "n": None, "s": "\U0001f600 \u00e9"},
        ),
        (b'"\\\\ud800"', "\\ud800"),
        (b"23.5", 23.5),
        (b"[" * 16 + b"]" * 16, json.loads("[" * 16 + "]" * 16)),
        (b'["' + b"[" * 99 + b'","\\"' + b"{" * 99 + b'"]', ["[" * 99, '"' + "{" * 99]),
        (b'["\\\\",' + b"[]," * 40 + b"1]", ["\\", *[[]] * 40, 1]),
        (b'{"a":{"a":{"a":1}},"b":[{"a":1},{"a":2}]}', {"a": {"a": {"a": 1}}, "b": [{"a": 1}, {"a": 2}]}),
        (b"1e-999", 0.0),
    ],
)
def test_sound_json_is_taken(payload: bytes, value: object) -> None:
    """Strict does not mean narrow: sixteen levels, brackets in texts, pairs of surrogates and bare values are fine."""
    assert codec.decode_json(payload) == value


def test_a_driver_may_allow_less() -> None:
    """The limit of bytes is the caller's, up to the exact byte."""
    assert codec.decode_json(b"[1]", max_bytes=3) == [1]
    assert reason_of(lambda: codec.decode_json(b"[1]", max_bytes=2)) == "too_large"


def test_a_pack_cut_anywhere_is_rejected() -> None:
    """No prefix of a pack passes for a pack, nor does one with a byte too many."""
    assert pack_reason(b"") == "empty"
    for end in range(1, len(SOUND)):
        assert pack_reason(SOUND[:end]) == "not_json"
    assert pack_reason(SOUND + b"}") == "not_json"


SHAPES = {
    "array": (b"[]", "wrong_shape"),
    "null": (b"null", "wrong_shape"),
    "text": (b'"x"', "wrong_shape"),
    "empty object": (b"{}", "wrong_shape"),
    "no kind": (json.dumps({key: PACK[key] for key in PACK if key != "kind"}).encode(), "wrong_shape"),
    "unknown kind": (changed(kind="meals"), "wrong_shape"),
    "another kind": (changed(kind="alerts", records=[]), "id_mismatch"),
    "another agent": (changed(agent="gw2"), "id_mismatch"),
    "bad agent": (changed(agent="gw/1"), "bad_id"),
    "long agent": (changed(agent="g" * 65), "bad_id"),
    "agent with newline": (changed(agent="gw1\n"), "bad_id"),
    "agent is a number": (changed(agent=1), "wrong_shape"),
    "epoch is no hex": (changed(epoch="XYZ"), "bad_id"),
    "later version": (changed(v=2), "wrong_version"),
    "version is true": (changed(v=True), "wrong_version"),
    "version is a text": (changed(v="1"), "wrong_version"),
    "version is null": (changed(v=None), "wrong_version"),
    "version with a point": (changed(v=1.0), "wrong_version"),
    "later version of another shape": (b'{"v":2,"rows":[]}', "wrong_version"),
    "seq is zero": (changed(seq=0), "wrong_shape"),
    "seq is true": (changed(seq=True), "wrong_shape"),
    "seq is a text": (changed(seq="3"), "wrong_shape"),
    "seq beyond 64 bits": (changed(seq=2**63), "wrong_shape"),
    "negative time": (changed(at_ns=-1), "bad_time"),
    "time with a point": (changed(at_ns=1.5), "bad_time"),
    "time beyond 64 bits": (changed(at_ns=2**63), "bad_time"),
    "time as text": (changed(at_ns="2024-01-01"), "bad_time"),
    "long trace": (changed(trace="x" * 65), "wrong_shape"),
    "records is an object": (changed(records={}), "wrong_shape"),
    "10,001 records": (changed(records=[0] * 10_001), "too_many"),
    "record is null": (changed(records=[None]), "wrong_shape"),
    "negative sample time": (rebatched(at_ns=[-1, 0]), "bad_time"),
    "sample time is null": (rebatched(at_ns=[None, 0]), "bad_time"),
    "no samples": (rebatched(at_ns=[], values=[[]]), "wrong_shape"),
    "20,001 samples": (rebatched(at_ns=[0] * 20_001, values=[[0] * 20_001]), "too_many"),
    "257 metrics": (
        rebatched(metrics=[f"m{k}" for k in range(257)], units=["1"] * 257, values=[[0, 0]] * 257),
        "too_many",
    ),
    "metric with a slash": (rebatched(metrics=["a/b"]), "bad_id"),
    "one metric twice": (rebatched(metrics=["a", "a"], units=["1"] * 2, values=[[0, 0]] * 2), "wrong_shape"),
    "short column": (rebatched(values=[[1.5]]), "wrong_shape"),
    "too many columns": (rebatched(values=[[1.5, 2], [1, 2]]), "wrong_shape"),
    "value is true": (rebatched(values=[[True, 1]]), "wrong_shape"),
    "value is a text": (rebatched(values=[["1.5", 1]]), "wrong_shape"),
    "value is 1e999": (SOUND.replace(b"1.5", b"1e999"), "not_finite"),
    "value is NaN": (SOUND.replace(b"1.5", b"NaN"), "not_finite"),
    "value of 5,000 digits": (SOUND.replace(b"1.5", b"7" * 5000), "not_finite"),
    "quality of another shape": (rebatched(quality=[[0]]), "wrong_shape"),
    "unknown quality": (rebatched(quality=[[0, 3]]), "wrong_shape"),
    "duplicate seq": (SOUND.replace(b'"seq":3', b'"seq":3,"seq":3'), "duplicate_key"),
    "duplicate v": (SOUND.replace(b'"v":1', b'"v":1,"v":1'), "duplicate_key"),
    "duplicate device": (SOUND.replace(b'"device":', b'"device":"x","device":'), "duplicate_key"),
    "duplicate spaced": (SOUND.replace(b'"seq":3', b'"seq" : 3 , "seq"\t:4'), "duplicate_key"),
    "duplicate instead of v": (SOUND.replace(b'"v":1', b'"seq":1'), "duplicate_key"),
    "duplicate of a default": (SOUND.replace(b'"at_ns":9', b'"at_ns":9,"trace":"","trace":""'), "duplicate_key"),
    "duplicate in an unknown field": (SOUND[:-1] + b',"x":{"a":1,"a":1}}', "duplicate_key"),
    "overflow in an unknown field": (SOUND[:-1] + b',"x":1e999}', "not_finite"),
    "surrogate in an unknown field": (SOUND[:-1] + b',"x":"\\ud800"}', "not_utf8"),
    "depth in an unknown field": (SOUND[:-1] + b',"x":' + b"[" * 999 + b"]" * 999 + b"}", "too_deep"),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_pack_of_the_wrong_shape_has_one_reason(name: str) -> None:
    """Types, ranges, counts, names and the topic's word are all held, and each breach has its own code."""
    payload, reason = SHAPES[name]
    assert pack_reason(payload) == reason


def test_a_wide_integer_is_a_fine_value() -> None:
    """A double may be written without a point; whether the quick or the slow way reads it makes no difference."""
    quick = SOUND.replace(b"1.5", b"1" + b"0" * 200)
    for payload in (quick, quick[:-1] + b',"x":1}'):
        pack = codec.decode_pack(payload, kind="readings", agent="gw1")
        assert pack.records[0].values == ((1e200, None),)  # type: ignore[union-attr]


ORDER = "0123456789abcdef" * 2
ANSWER = {"v": 1, "executor": "ann", "order": ORDER, "attempt": 1, "answer": "done", "at_ns": 5}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"executor": "bob"}, "id_mismatch"),
        ({"executor": "a b"}, "bad_id"),
        ({"order": "x"}, "bad_id"),
        ({"order": ORDER.upper()}, "bad_id"),
        ({"attempt": 0}, "wrong_shape"),
        ({"attempt": True}, "wrong_shape"),
        ({"attempt": 2**63}, "out_of_range"),
        ({"answer": "perhaps\u0007\n"}, "wrong_shape"),
        ({"answer": "x" * 9000}, "wrong_shape"),
        ({"at_ns": -5}, "bad_time"),
        ({"note": "x" * 2001}, "wrong_shape"),
        ({"note": None}, "wrong_shape"),
        ({"v": 3}, "wrong_version"),
    ],
)
def test_an_answer_is_held_to_its_shape(fields: dict[str, Any], reason: str) -> None:
    """A plain executor's mistakes are told apart."""
    payload = json.dumps({**ANSWER, **fields}).encode()
    assert reason_of(lambda: codec.decode_answer(payload, executor="ann")) == reason


def test_a_plain_executor_may_leave_out_the_version() -> None:
    """Without `v` a message is of version 1."""
    payload = json.dumps({key: ANSWER[key] for key in ANSWER if key != "v"}).encode()
    assert codec.decode_answer(payload, executor="ann").attempt == 1


CARD = b'{"v":1,"agent":"gw1","role":"gateway","state":"up","incarnation":"x"}'
DISPATCH = b'{"v":1,"executor":"ann","epoch":1}'
ALERT = (
    b'{"id":"%s","version":1,"asset":"p","kind":"machine","state":"firing","severity":"info","cause":"c","evidence":[],'
    b'"onset_at_ns":1,"raised_at_ns":1,"at_ns":1,"gateway":"g"}' % ORDER.encode()
)
WORK_ORDER = (
    b'{"id":"%s","version":1,"asset":"p","alert":"%s","state":"open","title":"t","cause":"c","priority":"P1",'
    b'"skills":{},"at_ns":1,"opened_at_ns":1}' % (ORDER.encode(), ORDER.encode())
)


def test_the_topic_names_the_sender() -> None:
    """Nobody speaks for another: the name in the topic is the name in the message."""
    assert codec.decode_card(CARD, agent="gw1").agent == "gw1"
    assert reason_of(lambda: codec.decode_card(CARD, agent="gw2")) == "id_mismatch"
    assert codec.decode_dispatch(DISPATCH, executor="ann").executor == "ann"
    assert reason_of(lambda: codec.decode_dispatch(DISPATCH, executor="bob")) == "id_mismatch"
    assert codec.decode_alert(ALERT, id=ORDER).id == ORDER
    assert reason_of(lambda: codec.decode_alert(ALERT, id="f" * 32)) == "id_mismatch"
    assert codec.decode_order(WORK_ORDER, id=ORDER).id == ORDER
    assert reason_of(lambda: codec.decode_order(WORK_ORDER, id="f" * 32)) == "id_mismatch"


@pytest.mark.parametrize("version", [b"true", b"1.0", b"2", b'"1"', b"null", b"[]"])
def test_a_record_without_a_version_of_its_own_is_held_to_it_as_well(version: bytes) -> None:
    """Alerts and orders need not say `v`, but when they do it is this one."""
    assert reason_of(lambda: codec.decode_alert(b'{"v":' + version + b"," + ALERT[1:], id=ORDER)) == "wrong_version"
    assert (
        reason_of(lambda: codec.decode_order(b'{"v":' + version + b"," + WORK_ORDER[1:], id=ORDER)) == "wrong_version"
    )


def test_an_integer_of_an_alert_fits_into_64_bits_in_a_pack_as_well() -> None:
    """Only values of readings, which are doubles, may have more digits."""
    body = b"[" + ALERT.replace(b'"version":1', b'"version":9223372036854775808') + b"]"
    payload = codec.encode_pack("alerts", agent="gw1", epoch="0", seq=1, lowest=1, at_ns=1, body=body)
    assert reason_of(lambda: codec.decode_pack(payload, kind="alerts", agent="gw1")) == "out_of_range"
    assert reason_of(lambda: codec.decode_body("alerts", body)) == "out_of_range"


def test_a_body_with_a_key_twice_is_rejected() -> None:
    """What stands in an outbox is held to the same rules as what comes from the network."""
    body = codec.encode_records(codec.decode_body("readings", json.dumps([BATCH]).encode()))
    assert reason_of(lambda: codec.decode_body("readings", body.replace(b"[{", b'[{"asset":"p",'))) == "duplicate_key"


def test_a_detail_never_dumps_the_message() -> None:
    """What lands in a log line is short and holds no control character, whoever wrote it."""
    with pytest.raises(Rejected) as caught:
        codec.decode_json(json.dumps({"k": 1}).encode().replace(b"k", b"\\u001b[31m" * 1000)[:-1] + b',"":1,"":1}')
    assert caught.value.reason == "duplicate_key"
    bomb = b'{"' + b"\\u001b" * 5000 + b'":1,"' + b"\\u001b" * 5000 + b'":1}'
    with pytest.raises(Rejected) as caught:
        codec.decode_json(bomb)
    assert len(caught.value.detail) < 200
    assert caught.value.detail.isprintable()


OFFER = b'{"v":1,"asset":"pump-7","revision":5,"at_ns":9,"version":2,"content":"eJwDAAAAAAE="}'


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (OFFER.replace(b'"pump-7"', b'"pump-8"'), "id_mismatch"),
        (OFFER.replace(b'"pump-7"', b'"a/b"'), "bad_id"),
        (OFFER.replace(b"eJwDAAAAAAE=", b"?"), "wrong_shape"),
        (OFFER.replace(b"eJwDAAAAAAE=", b""), "wrong_shape"),
        (OFFER.replace(b'"content"', b'"back":true,"content"'), "wrong_shape"),
        (OFFER.replace(b'"revision":5', b'"revision":0'), "wrong_shape"),
        (OFFER.replace(b'"version":2', b'"version":2,"version":3'), "duplicate_key"),
        (OFFER.replace(b'"v":1', b'"v":2'), "wrong_version"),
        (OFFER.replace(b"eJwDAAAAAAE=", b"A" * 960_004), "wrong_shape"),
        (b" " * (codec.MAX_OFFER_BYTES + 1), "too_large"),
        (b"", "empty"),
    ],
)
def test_an_offer_that_breaks_a_rule_is_refused(payload: bytes, reason: str) -> None:
    """It may be larger than anything else on the wire, and is looked at as closely."""
    assert reason_of(lambda: codec.decode_offer(payload, asset="pump-7")) == reason
    assert codec.decode_offer(OFFER, asset="pump-7").version == 2
    large = OFFER.replace(b"eJwDAAAAAAE=", b"A" * 960_000)
    assert len(codec.decode_offer(large, asset="pump-7").content) == 720_000
