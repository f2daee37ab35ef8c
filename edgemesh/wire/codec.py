"""Records to bytes and back. Encoding trusts our own records; decoding trusts nothing.

Every decoder raises Rejected and nothing else, whatever the bytes. Unknown fields are ignored (a newer version may add
some), `v` may be missing and is then 1. Instants are checked for their range only: whether a time is plausible is for
the gateway to say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import msgspec
from msgspec.json import Decoder, Encoder

from edgemesh.errors import Rejected
from edgemesh.model.agents import Card, Owners, Watermark
from edgemesh.model.alerts import Alert
from edgemesh.model.commands import Command, Reply
from edgemesh.model.orders import Answer, DispatchList, WorkOrder
from edgemesh.model.packs import Alerts, Header, Orders, Pack, Readings
from edgemesh.model.rollouts import MAX_PACKED_BYTES, ModelOffer, ModelState
from edgemesh.model.samples import Batch, Record, Retimed
from edgemesh.model.silences import Case, Silence
from edgemesh.model.spans import Spans
from edgemesh.model.told import Lines, Scores
from edgemesh.model.verdicts import Verdicts
from edgemesh.wire.reasons import Reason
from edgemesh.wire.strict import MAX_BYTES, check_bytes, decode_json, parse_checked, shorten

__all__ = [
    "MAX_BYTES",
    "MAX_OFFER_BYTES",
    "MAX_RECORDS",
    "RETIMED",
    "VERSION",
    "decode_alert",
    "decode_answer",
    "decode_body",
    "decode_card",
    "decode_command",
    "decode_dispatch",
    "decode_json",
    "decode_lines",
    "decode_model_state",
    "decode_offer",
    "decode_order",
    "decode_owners",
    "decode_pack",
    "decode_reply",
    "decode_scores",
    "decode_spans",
    "decode_verdicts",
    "decode_watermark",
    "encode",
    "encode_pack",
    "encode_records",
]

VERSION = 1
RETIMED = "retimed"
"""The kind of an outbox row that holds `Retimed`; it goes out as a pack of readings."""
MAX_RECORDS = 10_000
MAX_OFFER_BYTES = MAX_PACKED_BYTES // 3 * 4 + 4096
"""Of an offer of a model; everything else has at most MAX_BYTES."""

T = TypeVar("T")
_encode = Encoder().encode
_PACKS: dict[str, type[Pack]] = {"readings": Readings, "alerts": Alerts, "orders": Orders}
_HEADS = {kind: f'{{"v":{VERSION},"kind":"{kind}",'.encode() for kind in _PACKS}
_BODY = b',"records":'
_RETIMED = b',"records":[],"retimed":'
_VERSION_FIRST = f'{{"v":{VERSION},'.encode()

_PACK: Decoder[Pack] = Decoder(Pack)
_BATCHES: Decoder[tuple[Batch, ...]] = Decoder(tuple[Batch, ...])
_TIMINGS = Decoder(tuple[Retimed, ...])
_ALERTS = Decoder(tuple[Alert, ...])
_ORDERS = Decoder(tuple[WorkOrder, ...])
_CARD = Decoder(Card)
_WATERMARK = Decoder(Watermark)
_OWNERS = Decoder(Owners)
_ANSWER = Decoder(Answer)
_DISPATCH = Decoder(DispatchList)
_ALERT = Decoder(Alert)
_ORDER = Decoder(WorkOrder)
_OFFER = Decoder(ModelOffer)
_MODEL_STATE = Decoder(ModelState)
_VERDICTS = Decoder(Verdicts)
_SILENCE = Decoder(Silence)
_CASE = Decoder(Case)
_SPANS = Decoder(Spans)
_COMMAND = Decoder(Command)
_REPLY = Decoder(Reply)
_SCORES = Decoder(Scores)
_LINES = Decoder(Lines)

_INSTANTS = ("at_ns", "since_ns", "start_ns", "begin_ns", "end_ns", "from_ns", "until_ns")
"""Ends of the names of fields that hold an instant."""

# What a pack and a batch surely spell out when they decode at all: the fields without a default, `v` and `kind`.
_PACK_KEYS = 8
_BATCH_KEYS = 6


def encode(record: msgspec.Struct) -> bytes:
    """The record as compact JSON, fields at their default left out. Floats must be finite: NaN would leave as null."""
    return _encode(record)


def encode_records(records: Sequence[Record]) -> bytes:
    """Records of one kind as a JSON array: what an outbox row holds, and the `body` of `encode_pack`."""
    return _encode(records)


def encode_pack(
    kind: str,
    *,
    agent: str,
    epoch: str,
    seq: int,
    lowest: int,
    at_ns: int,
    trace: str = "",
    live: int = 0,
    commit_us: int = 0,
    publish_us: int = 0,
    body: bytes,
) -> bytes:
    """A pack around a body that `encode_records` made, without touching the body again.

    `kind` is readings, alerts, orders, or RETIMED for a pack of readings that holds only what it says of their times
    (else KeyError); the other fields are those of `model.packs.Header`.
    """
    header = _encode(
        Header(
            agent=agent,
            epoch=epoch,
            seq=seq,
            lowest=lowest,
            at_ns=at_ns,
            trace=trace,
            live=live,
            commit_us=commit_us,
            publish_us=publish_us,
        )
    )
    if kind == RETIMED:
        return b"".join((_HEADS["readings"], header[1:-1], _RETIMED, body, b"}"))
    return b"".join((_HEADS[kind], header[1:-1], _BODY, body, b"}"))


def decode_pack(payload: bytes, *, kind: str, agent: str) -> Pack:
    """A pack from the topic of the agent's log of that kind (readings, alerts, orders, else KeyError)."""
    check_bytes(payload)
    readings = kind == "readings"
    pack: Pack | None = _decode_readings(payload) if readings else None
    if pack is None:
        pack = _decode_slowly(_PACK, payload, wide=readings)
    if type(pack) is not _PACKS[kind]:
        raise Rejected(Reason.ID_MISMATCH, f"a pack of another kind on a topic of {kind}")
    _match(pack.agent, agent)
    return pack


def decode_body(kind: str, body: bytes) -> tuple[Record, ...]:
    """The records of an outbox row of that kind (readings, alerts, orders, RETIMED, else KeyError)."""
    return _BODIES[kind](body)


def _decode_batches(body: bytes) -> tuple[Batch, ...]:
    check_bytes(body)
    try:
        batches = _BATCHES.decode(body)
    except msgspec.DecodeError:
        pass  # said more clearly below
    else:
        if body.count(b":") == _count_keys(batches):
            return batches
    return _decode_slowly(_BATCHES, body, wide=True)


_BODIES: dict[str, Callable[[bytes], tuple[Record, ...]]] = {
    "readings": _decode_batches,
    "alerts": lambda body: _decode_small(_ALERTS, body),
    "orders": lambda body: _decode_small(_ORDERS, body),
    RETIMED: lambda body: _decode_small(_TIMINGS, body),
}


def decode_card(payload: bytes, *, agent: str) -> Card:
    """A card from the agent's topic."""
    return _decode_of_agent(_CARD, payload, agent)


def decode_watermark(payload: bytes) -> Watermark:
    """How far a consumer group is; agent and group stand in the topic only."""
    return _decode_small(_WATERMARK, payload)


def decode_owners(payload: bytes) -> Owners:
    """The site's map of owners."""
    return _decode_small(_OWNERS, payload)


def decode_answer(payload: bytes, *, executor: str) -> Answer:
    """An answer from the executor's topic."""
    answer = _decode_small(_ANSWER, payload)
    _match(answer.executor, executor)
    return answer


def decode_dispatch(payload: bytes, *, executor: str) -> DispatchList:
    """The orders given to one executor, from its topic."""
    dispatch = _decode_small(_DISPATCH, payload)
    _match(dispatch.executor, executor)
    return dispatch


def decode_alert(payload: bytes, *, id: str) -> Alert:  # noqa: A002  the wire's own word
    """An alert from its state topic."""
    alert = _decode_small(_ALERT, payload)
    _match(alert.id, id)
    return alert


def decode_order(payload: bytes, *, id: str) -> WorkOrder:  # noqa: A002  the wire's own word
    """A work order from its state topic."""
    order = _decode_small(_ORDER, payload)
    _match(order.id, id)
    return order


def decode_offer(payload: bytes, *, asset: str) -> ModelOffer:
    """An offer of a model from the asset's topic. What is in its `content` is not looked at."""
    check_bytes(payload, MAX_OFFER_BYTES)
    offer = _decode_slowly(_OFFER, payload)
    _match(offer.asset, asset)
    return offer


def decode_model_state(payload: bytes, *, asset: str) -> ModelState:
    """What a detector says of an offer, from the asset's topic."""
    state = _decode_small(_MODEL_STATE, payload)
    _match(state.asset, asset)
    return state


def decode_spans(payload: bytes, *, agent: str) -> Spans:
    """What an agent has recorded, from its topic."""
    return _decode_of_agent(_SPANS, payload, agent)


def decode_verdicts(payload: bytes, *, asset: str) -> Verdicts:
    """What was found about an asset's alerts, from the asset's topic."""
    verdicts = _decode_small(_VERDICTS, payload)
    _match(verdicts.asset, asset)
    return verdicts


def decode_silence(payload: bytes, *, id: str) -> Silence:  # noqa: A002  the wire's own word
    """A silence from its state topic."""
    silence = _decode_small(_SILENCE, payload)
    _match(silence.id, id)
    return silence


def decode_case(payload: bytes, *, alert: str) -> Case:
    """An alert that waits for a person, from its topic."""
    case = _decode_small(_CASE, payload)
    _match(case.alert.id, alert)
    return case


def decode_command(payload: bytes) -> Command:
    """A command; the agent stands in the topic only."""
    return _decode_small(_COMMAND, payload)


def decode_reply(payload: bytes, *, agent: str) -> Reply:
    """What an agent says to a command, from its topic."""
    return _decode_of_agent(_REPLY, payload, agent)


def decode_scores(payload: bytes, *, agent: str) -> Scores:
    """Scores from the detector's topic."""
    return _decode_of_agent(_SCORES, payload, agent)


def decode_lines(payload: bytes, *, agent: str) -> Lines:
    """Lines of a log from the agent's topic."""
    return _decode_of_agent(_LINES, payload, agent)


class _OfAgent(Protocol):
    @property
    def agent(self) -> str: ...


_Said = TypeVar("_Said", bound=_OfAgent)


def _decode_of_agent(decoder: Decoder[_Said], payload: bytes, agent: str) -> _Said:
    """A message that says whose it is, from that agent's topic."""
    said = _decode_small(decoder, payload)
    _match(said.agent, agent)
    return said


def _match(said: str, topic: str) -> None:
    if said != topic:
        raise Rejected(Reason.ID_MISMATCH, f"the topic says {shorten(topic)}, the message {shorten(said)}")


def _count_keys(batches: tuple[Batch, ...]) -> int:
    """How many keys the batches surely spell out."""
    return _BATCH_KEYS * len(batches) + sum(
        (batch.quality is not None) + (batch.clock != 0) + (batch.trace != "") for batch in batches
    )


def _decode_readings(payload: bytes) -> Readings | None:
    """Decode a pack of readings in one pass, or None when only the slow way can tell whether it is sound.

    msgspec is silent about duplicate keys. But each key has a colon: with exactly as many colons as there are keys that
    must be there once, no key is there twice, none is unknown, and no value went unchecked.
    """
    if not payload.startswith(_VERSION_FIRST):
        return None
    try:
        pack = _PACK.decode(payload)
    except msgspec.DecodeError:
        return None
    if not isinstance(pack, Readings):
        return None
    keys = _PACK_KEYS + _count_keys(pack.records)
    keys += (pack.trace != "") + (pack.live != 0) + (pack.commit_us != 0) + (pack.publish_us != 0)
    return pack if payload.count(b":") == keys else None


def _decode_small(decoder: Decoder[T], payload: bytes) -> T:
    check_bytes(payload)
    return _decode_slowly(decoder, payload)


def _decode_slowly(decoder: Decoder[T], payload: bytes, *, wide: bool = False) -> T:
    """Parse twice: once for what is wrong as JSON, once into the record."""
    value = parse_checked(payload, wide=wide)
    if isinstance(value, dict):
        version, records = value.get("v", VERSION), value.get("records")
        if type(version) is not int or version != VERSION:
            raise Rejected(Reason.WRONG_VERSION, f"this program understands version {VERSION}")
    else:
        records = value
    if isinstance(records, list) and len(records) > MAX_RECORDS:
        raise Rejected(Reason.TOO_MANY, f"{len(records)} records, {MAX_RECORDS} are allowed")
    try:
        return decoder.decode(payload)
    except msgspec.ValidationError as error:
        text = str(error)
        raise Rejected(_reason(text), shorten(text)) from None
    except msgspec.DecodeError as error:
        raise Rejected(Reason.NOT_JSON, shorten(str(error))) from None


def _reason(problem: str) -> Reason:
    """The reason code for what msgspec says of JSON that is sound and of our version: `Expected ... - at `$.path``."""
    said, _, path = problem.rpartition(" - at ")
    if "matching regex" in said:
        return Reason.BAD_ID
    if "of length <=" in said and "`array`" in said:
        return Reason.TOO_MANY
    if "`int`" in said and any(name in path for name in _INSTANTS):
        return Reason.BAD_TIME
    return Reason.WRONG_SHAPE
