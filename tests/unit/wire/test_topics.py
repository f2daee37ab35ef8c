"""Topics are made and read in one place, and read strictly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemesh.errors import Rejected
from edgemesh.wire.topics import Address, Kind, Topics, parse
from tests.unit.wire.strategies import ids

T = Topics("hall-1")
TABLE = [
    (T.log("readings", "gw1"), "edgemesh/v1/hall-1/log/readings/gw1", Address("hall-1", Kind.READINGS, "gw1")),
    (T.log("alerts", "det"), "edgemesh/v1/hall-1/log/alerts/det", Address("hall-1", Kind.ALERTS, "det")),
    (T.log("orders", "sch"), "edgemesh/v1/hall-1/log/orders/sch", Address("hall-1", Kind.ORDERS, "sch")),
    (
        T.watermark("gw1", "rec"),
        "edgemesh/v1/hall-1/watermark/gw1/rec",
        Address("hall-1", Kind.WATERMARK, "gw1", "rec"),
    ),
    (T.card("gw1"), "edgemesh/v1/hall-1/agent/gw1", Address("hall-1", Kind.CARD, "gw1")),
    (T.silence("c" * 32), "edgemesh/v1/hall-1/state/silence/" + "c" * 32, Address("hall-1", Kind.SILENCE, "c" * 32)),
    (T.review("d" * 32), "edgemesh/v1/hall-1/state/review/" + "d" * 32, Address("hall-1", Kind.REVIEW, "d" * 32)),
    (T.spans("det"), "edgemesh/v1/hall-1/told/spans/det", Address("hall-1", Kind.SPANS, "det")),
    (T.owners(), "edgemesh/v1/hall-1/owners", Address("hall-1", Kind.OWNERS)),
    (T.alert("a" * 32), "edgemesh/v1/hall-1/state/alert/" + "a" * 32, Address("hall-1", Kind.ALERT, "a" * 32)),
    (T.order("b" * 32), "edgemesh/v1/hall-1/state/order/" + "b" * 32, Address("hall-1", Kind.ORDER, "b" * 32)),
    (T.dispatch("ann"), "edgemesh/v1/hall-1/dispatch/ann", Address("hall-1", Kind.DISPATCH, "ann")),
    (T.answer("ann"), "edgemesh/v1/hall-1/answer/ann", Address("hall-1", Kind.ANSWER, "ann")),
    (T.ingest("pump-7"), "edgemesh/v1/hall-1/ingest/pump-7", Address("hall-1", Kind.INGEST, "pump-7")),
    (T.command("gw1"), "edgemesh/v1/hall-1/command/gw1", Address("hall-1", Kind.COMMAND, "gw1")),
    (T.reply("gw1"), "edgemesh/v1/hall-1/reply/gw1", Address("hall-1", Kind.REPLY, "gw1")),
    (T.model("pump-7"), "edgemesh/v1/hall-1/model/pump-7", Address("hall-1", Kind.MODEL, "pump-7")),
    (
        T.model_state("pump-7"),
        "edgemesh/v1/hall-1/state/model/pump-7",
        Address("hall-1", Kind.MODEL_STATE, "pump-7"),
    ),
    (T.scores("det1"), "edgemesh/v1/hall-1/told/scores/det1", Address("hall-1", Kind.SCORES, "det1")),
    (T.lines("gw1"), "edgemesh/v1/hall-1/told/lines/gw1", Address("hall-1", Kind.LINES, "gw1")),
    (T.verdicts("pump-7"), "edgemesh/v1/hall-1/state/verdicts/pump-7", Address("hall-1", Kind.VERDICTS, "pump-7")),
]


def test_the_table_names_every_kind() -> None:
    """No kind of topic is left out of the table below."""
    assert {address.kind for _, _, address in TABLE} == set(Kind)


@pytest.mark.parametrize(("made", "text", "address"), TABLE)
def test_a_topic_is_made_and_read_back(made: str, text: str, address: Address) -> None:
    """What Topics makes is the documented text, and parse says what went in."""
    assert made == text
    assert parse(made) == address


def test_plus_makes_a_pattern_anywhere() -> None:
    """A subscription to everybody is the same call with `+`."""
    assert T.log("+", "+") == "edgemesh/v1/hall-1/log/+/+"
    assert T.watermark("gw1", "+") == "edgemesh/v1/hall-1/watermark/gw1/+"
    assert T.below("state/alert/x") == T.alert("x")


@pytest.mark.parametrize("name", ["", "a/b", "a+", "#", "++", "a b", "é", "a\0", "a\n", "x" * 65])
def test_a_bad_name_makes_no_topic(name: str) -> None:
    """A name that could break out of its level is refused where the topic is made."""
    with pytest.raises(ValueError, match="1 to 64"):
        T.card(name)
    with pytest.raises(ValueError, match="1 to 64"):
        Topics(name)


def test_a_site_is_no_pattern_and_a_log_is_of_a_known_kind() -> None:
    """`+` is for the names below one site; a log of something else is refused."""
    with pytest.raises(ValueError, match="1 to 64"):
        Topics("+")
    with pytest.raises(ValueError, match="readings, alerts or orders"):
        T.log("owners", "gw1")


@pytest.mark.parametrize(
    ("topic", "reason"),
    [
        ("", "bad_topic"),
        ("edgemesh", "bad_topic"),
        ("edgemesh/v1", "bad_topic"),
        ("edgemesh/v1/", "bad_topic"),
        ("edgemesh/v1/s", "bad_topic"),
        ("edgemesh/v2/s/owners", "bad_topic"),
        ("edgemesh/v11/s/owners", "bad_topic"),
        ("/edgemesh/v1/s/owners", "bad_topic"),
        ("edgemesh/v1/s/owners/x", "bad_topic"),
        ("edgemesh/v1/s/log/readings", "bad_topic"),
        ("edgemesh/v1/s/log/readings/", "bad_id"),
        ("edgemesh/v1/s/log/readings/a/b", "bad_topic"),
        ("edgemesh/v1/s/log/answers/a", "bad_topic"),
        ("edgemesh/v1/s/log", "bad_topic"),
        ("edgemesh/v1/s/watermark/a", "bad_topic"),
        ("edgemesh/v1/s/card/a", "bad_topic"),
        ("edgemesh/v1/s/state/a", "bad_topic"),
        ("edgemesh/v1//owners", "bad_id"),
        ("edgemesh/v1/s t/owners", "bad_id"),
        ("edgemesh/v1/s/ingest/größe", "bad_id"),
        ("edgemesh/v1/s/ingest/a\n", "bad_id"),
        ("edgemesh/v1/s/ingest/" + "a" * 65, "bad_id"),
        ("edgemesh/v1/s/ingest/\0", "bad_topic"),
        ("edgemesh/v1/s/ingest/+", "bad_topic"),
        ("edgemesh/v1/s/ingest/a#", "bad_topic"),
        ("edgemesh/v1/+/owners", "bad_topic"),
        ("edgemesh/v1/s/" + "a/" * 150, "bad_topic"),
        ("edgemesh/v1/s/" + "a/" * 300, "too_large"),
        ("edgemesh/v1/s/ingest/" + "a" * 65_000, "too_large"),
    ],
)
def test_a_bad_topic_is_rejected_with_its_reason(topic: str, reason: str) -> None:
    """Each way of being wrong has one reason code, and the detail stays short."""
    for _ in range(2):  # what was rejected is not remembered as sound
        with pytest.raises(Rejected) as caught:
            parse(topic)
        assert caught.value.reason == reason
        assert len(caught.value.detail) < 200


@given(site=ids, agent=ids, group=ids)
def test_any_names_survive_the_way_through_a_topic(site: str, agent: str, group: str) -> None:
    """Parsing undoes Topics for all identifiers."""
    assert parse(Topics(site).watermark(agent, group)) == Address(site, Kind.WATERMARK, agent, group)


@given(
    st.text(max_size=40) | st.lists(st.sampled_from(["edgemesh", "v1", "log", "readings", "a", "", "+"])).map("/".join)
)
def test_any_text_is_an_address_or_rejected(topic: str) -> None:
    """No text makes parse raise anything but Rejected."""
    try:
        address = parse(topic)
    except Rejected:
        return
    assert address.site
