"""Laws of the codec: decode undoes encode, and hostile bytes are Rejected and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from edgemesh.errors import Rejected
from edgemesh.model.agents import Card, Owners, Watermark
from edgemesh.model.alerts import Alert
from edgemesh.model.commands import Command, Reply
from edgemesh.model.orders import Answer, DispatchList, WorkOrder
from edgemesh.model.packs import Alerts, Pack, Readings
from edgemesh.model.rollouts import ModelOffer, ModelState
from edgemesh.model.samples import Record
from edgemesh.model.silences import Case, Silence
from edgemesh.model.spans import Spans
from edgemesh.model.told import Lines, Scores
from edgemesh.model.verdicts import Verdicts
from edgemesh.wire import codec
from edgemesh.wire.reasons import Reason
from tests.unit.wire import strategies as my


def kind_of(pack: Pack) -> str:
    return "readings" if isinstance(pack, Readings) else "alerts" if isinstance(pack, Alerts) else "orders"


def row_of(pack: Pack) -> tuple[str, tuple[Record, ...]]:
    """Kind and records of the outbox row that the pack comes from."""
    if isinstance(pack, Readings) and pack.retimed:
        return codec.RETIMED, pack.retimed
    return kind_of(pack), pack.records


def pack_bytes(pack: Pack, body: bytes | None = None) -> bytes:
    kind, records = row_of(pack)
    return codec.encode_pack(
        kind,
        agent=pack.agent,
        epoch=pack.epoch,
        seq=pack.seq,
        lowest=pack.lowest,
        at_ns=pack.at_ns,
        trace=pack.trace,
        live=pack.live,
        commit_us=pack.commit_us,
        publish_us=pack.publish_us,
        body=codec.encode_records(records) if body is None else body,
    )


@given(my.packs)
def test_a_pack_comes_back_as_it_went(pack: Pack) -> None:
    """encode_pack around a ready body, and plain encode, both decode to the pack; `v` and `kind` stand first."""
    payload = pack_bytes(pack)
    kind = kind_of(pack)
    assert payload.startswith(b'{"v":1,"kind":"%s","agent":' % kind.encode())
    if len(pack.trace) <= 64:
        assert codec.decode_pack(payload, kind=kind, agent=pack.agent) == pack
        assert codec.decode_pack(codec.encode(pack), kind=kind, agent=pack.agent) == pack
    assert msgspec.json.decode(payload, type=type(pack)) == pack


@given(my.packs)
def test_a_body_comes_back_as_it_went(pack: Pack) -> None:
    """An outbox row holds exactly the records that were put into it."""
    kind, records = row_of(pack)
    assert codec.decode_body(kind, codec.encode_records(records)) == records


@given(my.packs, st.sampled_from([None, 1, "\u00e9:", [[1]], {"agent": {"v": 2}}]), st.booleans())
def test_a_newer_writer_is_understood(pack: Pack, extra: object, spaced: bool) -> None:
    """Unknown fields, other spacing and any order of the keys change nothing."""
    fields: dict[str, Any] = {**json.loads(pack_bytes(pack)), "of_a_newer_version": extra}
    for record in fields["records"]:
        record["also_new"] = extra
    payload = json.dumps(dict(reversed(fields.items())), indent=1 if spaced else None).encode()
    assert codec.decode_pack(payload, kind=kind_of(pack), agent=pack.agent) == pack


@given(my.cards)
def test_a_card_comes_back(card: Card) -> None:
    """Decoding undoes encoding."""
    assert codec.decode_card(codec.encode(card), agent=card.agent) == card


@given(my.watermarks)
def test_a_watermark_comes_back(watermark: Watermark) -> None:
    """Decoding undoes encoding."""
    assert codec.decode_watermark(codec.encode(watermark)) == watermark


@given(my.owners)
def test_owners_come_back(owners: Owners) -> None:
    """Decoding undoes encoding."""
    assert codec.decode_owners(codec.encode(owners)) == owners


@given(my.answers)
def test_an_answer_comes_back(answer: Answer) -> None:
    """Decoding undoes encoding."""
    assert codec.decode_answer(codec.encode(answer), executor=answer.executor) == answer


@given(my.dispatch_lists)
def test_a_dispatch_comes_back(dispatch: DispatchList) -> None:
    """Decoding undoes encoding."""
    assert codec.decode_dispatch(codec.encode(dispatch), executor=dispatch.executor) == dispatch


@given(my.alerts)
def test_an_alert_comes_back(alert: Alert) -> None:
    """Decoding undoes encoding."""
    assert codec.decode_alert(codec.encode(alert), id=alert.id) == alert


@given(my.offers)
def test_an_offer_comes_back(offer: ModelOffer) -> None:
    """Decoding undoes encoding."""
    assert codec.decode_offer(codec.encode(offer), asset=offer.asset) == offer


@given(my.model_states)
def test_what_is_said_of_an_offer_comes_back(state: ModelState) -> None:
    """Decoding undoes encoding."""
    assert codec.decode_model_state(codec.encode(state), asset=state.asset) == state


@given(my.verdict_lists)
def test_verdicts_come_back(verdicts: Verdicts) -> None:
    """Decoding undoes encoding."""
    assert codec.decode_verdicts(codec.encode(verdicts), asset=verdicts.asset) == verdicts


@given(my.span_lists)
def test_spans_come_back(spans: Spans) -> None:
    """Decoding undoes encoding."""
    assert codec.decode_spans(codec.encode(spans), agent=spans.agent) == spans


@given(my.commands)
def test_a_command_comes_back(command: Command) -> None:
    """Decoding undoes encoding."""
    assert codec.decode_command(codec.encode(command)) == command


@given(my.silences)
def test_a_silence_comes_back(silence: Silence) -> None:
    """Decoding undoes encoding, and the topic must name it."""
    assert codec.decode_silence(codec.encode(silence), id=silence.id) == silence
    with pytest.raises(Rejected, match="id_mismatch"):
        codec.decode_silence(codec.encode(silence), id="0" * 31 + ("1" if silence.id.endswith("0") else "0"))


@given(my.cases)
def test_an_alert_that_waits_comes_back(case: Case) -> None:
    """Decoding undoes encoding."""
    assert codec.decode_case(codec.encode(case), alert=case.alert.id) == case


@pytest.mark.parametrize("asked", ["", ',"log_level":"info","end_silence":"' + "a" * 32 + '"'])
def test_a_command_says_one_thing(asked: str) -> None:
    """A command that says nothing, or two things, is refused."""
    with pytest.raises(Rejected, match="one thing"):
        codec.decode_command(('{"v":1,"id":"' + "b" * 32 + '"' + asked + "}").encode())


@given(my.replies)
def test_a_reply_comes_back(reply: Reply) -> None:
    """Decoding undoes encoding."""
    assert codec.decode_reply(codec.encode(reply), agent=reply.agent) == reply


@given(my.scores)
def test_scores_come_back(scores: Scores) -> None:
    """Decoding undoes encoding."""
    assert codec.decode_scores(codec.encode(scores), agent=scores.agent) == scores


@given(my.lines)
def test_lines_come_back(lines: Lines) -> None:
    """Decoding undoes encoding."""
    assert codec.decode_lines(codec.encode(lines), agent=lines.agent) == lines


@given(my.orders)
def test_a_work_order_comes_back(order: WorkOrder) -> None:
    """Decoding undoes encoding."""
    assert codec.decode_order(codec.encode(order), id=order.id) == order


DECODERS: list[Callable[[bytes], object]] = [
    codec.decode_json,
    codec.decode_watermark,
    codec.decode_owners,
    lambda payload: codec.decode_pack(payload, kind="readings", agent="a"),
    lambda payload: codec.decode_pack(payload, kind="alerts", agent="a"),
    lambda payload: codec.decode_pack(payload, kind="orders", agent="a"),
    lambda payload: codec.decode_body("readings", payload),
    lambda payload: codec.decode_body("alerts", payload),
    lambda payload: codec.decode_body("orders", payload),
    lambda payload: codec.decode_card(payload, agent="a"),
    lambda payload: codec.decode_answer(payload, executor="a"),
    lambda payload: codec.decode_dispatch(payload, executor="a"),
    lambda payload: codec.decode_alert(payload, id="a" * 32),
    lambda payload: codec.decode_order(payload, id="a" * 32),
    lambda payload: codec.decode_offer(payload, asset="a"),
    lambda payload: codec.decode_model_state(payload, asset="a"),
    lambda payload: codec.decode_verdicts(payload, asset="a"),
    lambda payload: codec.decode_spans(payload, agent="a"),
    codec.decode_command,
    lambda payload: codec.decode_reply(payload, agent="a"),
    lambda payload: codec.decode_scores(payload, agent="a"),
    lambda payload: codec.decode_lines(payload, agent="a"),
]


def survives(payload: bytes) -> None:
    """Every decoder takes the bytes or raises Rejected with a known reason and a short, printable detail."""
    refusals = []
    for decode in DECODERS:
        try:
            decode(payload)
        except Rejected as rejected:
            refusals.append(rejected)
    for refusal in refusals:
        assert refusal.reason in set(Reason)
        assert len(refusal.detail) < 400
        assert refusal.detail.isprintable()


json_texts = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["v", "kind", "agent", "é"]), inner),
).map(lambda value: json.dumps(value).encode())


@given(st.binary(max_size=200) | json_texts)
def test_any_bytes_are_taken_or_rejected(payload: bytes) -> None:
    """No bytes make a decoder raise anything but Rejected."""
    survives(payload)


SPLICES = [
    b"",
    b"\0",
    b'"',
    b"\\",
    b"\\u",
    b"\\ud800",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"-",
    b"1e999",
    b"NaN",
    b"true",
]
SPLICES += [
    b"null",
    b"9" * 30,
    b"\xff",
    b"\xef\xbb\xbf",
    b'"v":1,',
    b'"agent":"a",',
    b'"records":[],',
    b"[" * 20,
    b"\n",
]
valid = st.one_of(
    my.packs.map(pack_bytes),
    *(some.map(codec.encode) for some in (my.cards, my.watermarks, my.owners, my.answers)),
    *(some.map(codec.encode) for some in (my.dispatch_lists, my.alerts, my.orders, my.offers)),
    *(some.map(codec.encode) for some in (my.model_states, my.verdict_lists)),
)


@st.composite
def mutants(draw: st.DrawFn) -> bytes:
    """A sound message with up to three stretches of it replaced, doubled or cut out."""
    payload: bytes = draw(valid)
    for _ in range(draw(st.integers(1, 3))):
        begin = draw(st.integers(0, len(payload)))
        end = draw(st.integers(begin, min(begin + 40, len(payload))))
        new = draw(st.sampled_from([*SPLICES, payload[begin:end] * 2]) | st.binary(max_size=3))
        payload = payload[:begin] + new + payload[end:]
    return payload


@settings(max_examples=300)
@given(mutants())
def test_a_mutated_message_is_taken_or_rejected(payload: bytes) -> None:
    """No damage to a sound message makes a decoder raise anything but Rejected."""
    survives(payload)


def has_one_meaning(payload: bytes) -> bool:
    """An independent judge: sound JSON without a key twice in one object."""

    def make(pairs: list[tuple[str, object]]) -> dict[str, object]:
        if len(dict(pairs)) != len(pairs):
            raise ValueError("duplicate key")
        return dict(pairs)

    try:
        json.loads(payload, object_pairs_hook=make)
    except ValueError:
        return False
    return True


@settings(max_examples=300)
@given(st.data())
def test_the_quick_way_takes_nothing_that_the_strict_way_refuses(data: st.DataObject) -> None:
    """A pack with keys or whole fields doubled, dropped or renamed never gets through as sound while it is not."""
    batch = data.draw(my.batches())
    pack = Readings(agent="a", epoch="e", seq=1, lowest=1, at_ns=0, records=(batch,))
    payload = pack_bytes(pack)
    fields = [
        b'"%s":' % name.encode() for name in (*Readings.__struct_fields__, *type(batch).__struct_fields__, "kind")
    ]
    for _ in range(data.draw(st.integers(1, 3))):
        old = data.draw(st.sampled_from(fields))
        new = data.draw(
            st.sampled_from([b"", b'"x":1,' + old, old[:-1] + b":1," + old, b'"v":1,' + old, b'"trace":"",' + old])
        )
        payload = payload.replace(old, new if new else b'"y":', 1)
    try:
        codec.decode_pack(payload, kind="readings", agent="a")
    except Rejected:
        return
    assert has_one_meaning(payload)


@given(my.packs)
def test_what_we_write_goes_the_quick_way(pack: Pack) -> None:
    """Our own packs of batches, whatever they say, need no second parse unless a text has a colon."""
    payload = pack_bytes(pack)
    if (
        isinstance(pack, Readings)
        and not pack.retimed
        and len(pack.trace) <= 64
        and b":" not in b"".join(map(str.encode, texts_of(pack)))
    ):
        assert codec._decode_readings(payload) == pack


def texts_of(pack: Readings) -> list[str]:
    units = [unit for batch in pack.records for unit in batch.units]
    return [pack.trace, *(batch.trace for batch in pack.records), *units]


STRATEGIES: dict[str, st.SearchStrategy[Any]] = {
    "batch": my.batches(),
    "evidence": my.evidence,
    "alert": my.alerts,
    "order": my.orders,
    "dispatch": my.dispatches,
    "dispatch list": my.dispatch_lists,
    "answer": my.answers,
    "card": my.cards,
    "watermark": my.watermarks,
    "owners": my.owners,
    "offer": my.offers,
    "figures": my.figures,
    "model state": my.model_states,
    "verdict": my.order_verdicts,
    "verdicts": my.verdict_lists,
    "span": my.spans,
    "spans": my.span_lists,
    "command": my.commands,
    "reply": my.replies,
    "score": my.score,
    "scores": my.scores,
    "line": my.line,
    "lines": my.lines,
}


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_laws_speak_of_every_field(name: str) -> None:
    """No optional field of a record is left at its default by the strategies, so the laws above hold for all."""
    at_default: set[str] = set()
    moved: set[str] = set()

    @settings(max_examples=100, phases=[Phase.generate], database=None, derandomize=True, deadline=None)
    @given(STRATEGIES[name])
    def collect(record: msgspec.Struct) -> None:
        spelt = json.loads(codec.encode(record))
        fields = {field.encode_name for field in msgspec.structs.fields(record)}
        moved.update(fields & set(spelt))
        at_default.update(fields - set(spelt))

    collect()
    assert at_default <= moved
