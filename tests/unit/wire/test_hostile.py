"""The table of hostile bytes at the decoders themselves: each case has the reason that the table gives."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edgemesh.errors import Rejected
from edgemesh.model.ids import derive_id
from edgemesh.prove.hostile import PACKS, SOUND, Case, cases, sound
from edgemesh.wire import codec
from edgemesh.wire.place import read_place
from edgemesh.wire.reasons import Reason
from edgemesh.wire.topics import Kind

NAME = "zed"
IDENTITY = derive_id("hostile")
DECODERS: dict[Kind, Callable[[bytes], object]] = {
    **{kind: lambda data, kind=kind: codec.decode_pack(data, kind=kind, agent=NAME) for kind in PACKS},  # type: ignore[misc]
    Kind.WATERMARK: codec.decode_watermark,
    Kind.CARD: lambda data: codec.decode_card(data, agent=NAME),
    Kind.OWNERS: codec.decode_owners,
    Kind.ALERT: lambda data: codec.decode_alert(data, id=IDENTITY),
    Kind.ORDER: lambda data: codec.decode_order(data, id=IDENTITY),
    Kind.DISPATCH: lambda data: codec.decode_dispatch(data, executor=NAME),
    Kind.ANSWER: lambda data: codec.decode_answer(data, executor=NAME),
    Kind.MODEL: lambda data: codec.decode_offer(data, asset=NAME),
    Kind.MODEL_STATE: lambda data: codec.decode_model_state(data, asset=NAME),
    Kind.VERDICTS: lambda data: codec.decode_verdicts(data, asset=NAME),
    Kind.SILENCE: lambda data: codec.decode_silence(data, id=IDENTITY),
    Kind.REVIEW: lambda data: codec.decode_case(data, alert=IDENTITY),
    Kind.SPANS: lambda data: codec.decode_spans(data, agent=NAME),
    Kind.SCORES: lambda data: codec.decode_scores(data, agent=NAME),
    Kind.LINES: lambda data: codec.decode_lines(data, agent=NAME),
    Kind.COMMAND: codec.decode_command,
    Kind.REPLY: lambda data: codec.decode_reply(data, agent=NAME),
}


def name_of(kind: Kind) -> str:
    return IDENTITY if kind in (Kind.ALERT, Kind.ORDER, Kind.SILENCE, Kind.REVIEW) else NAME


def test_the_table_has_a_decoder_for_every_kind() -> None:
    """Every kind of topic has its cases, and each but a plain device's, which is the driver's business, a decoder."""
    assert set(SOUND) == set(Kind)
    assert set(DECODERS) == set(SOUND) - {Kind.INGEST}


@pytest.mark.parametrize("kind", DECODERS)
def test_each_case_has_its_reason(kind: Kind) -> None:
    """The good message is taken, each case is refused for what is wrong with it, and no two cases share a name."""
    decode, every = DECODERS[kind], list(cases(kind, name_of(kind), 3))
    decode(sound(kind, name_of(kind), 3))
    assert len({case.name for case in every}) == len(every) > 60
    for case in every:
        assert bool(case.reason) != bool(case.treatment), case.name
        assert _reason(decode, case) == case.reason, case.name


def _reason(decode: Callable[[bytes], object], case: Case) -> str:
    try:
        decode(case.payload)
    except Rejected as rejected:
        return rejected.reason if rejected.detail.isprintable() else f"a detail of {case.name} is not printable"
    return ""


def test_what_the_wire_refuses_has_a_case() -> None:
    """Each reason that a decoder can give stands in the table; the others are those of agents and devices."""
    there = {case.reason for kind in SOUND for case in cases(kind, name_of(kind), 1)} - {""}
    others = {Reason.BAD_TOPIC, Reason.UNKNOWN_DEVICE, Reason.BAD_UNIT, Reason.HANDLER_FAILED, Reason.DAMAGED_ROW}
    assert set(Reason) - there <= others


@pytest.mark.parametrize("kind", PACKS)
def test_a_place_is_read_of_whatever_has_a_header(kind: Kind) -> None:
    """Of each case it is the right place, or none: never a wrong one, and never an error."""
    for case in cases(kind, NAME, 3):
        place = read_place(case.payload, agent=NAME)
        if place is not None and case.name not in ("30 digits for a number", "2^63 for a number"):
            assert (place.agent, place.epoch) == (NAME, "beef"), case.name
    broken = sound(kind, NAME, 3)[:-20]
    place = read_place(broken, agent=NAME)
    assert place is not None
    assert (place.seq, place.lowest, place.v) == (3, 1, 1)
    assert read_place(broken, agent="somebody-else") is None
