"""What is going on, as it can be heard on the bus."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemesh.console import present
from edgemesh.console.overview import MAX_LIST, Overview, patterns
from edgemesh.console.views import plain
from edgemesh.model.agents import Card, Owners, Presence, Role
from edgemesh.model.alerts import Alert, AlertState, Review, Severity, Stage
from edgemesh.model.ids import derive_id
from edgemesh.model.orders import OrderState, Priority
from edgemesh.wire import codec
from edgemesh.wire.topics import Topics
from tests.unit.console.hall import Hall, S
from tests.unit.wire import strategies as my

_FIRING = (AlertState.FIRING, AlertState.ACKNOWLEDGED)
_KNOWN_TOPICS = [pattern.replace("+", "a" * 32) for pattern in patterns(Topics("hall"))]
_hall = Hall()
_SOUND = [
    codec.encode(record) for record in (_hall.alert("a"), _hall.order("a"), Owners(epoch=1, owners={"a": "b"}))
] + [
    codec.encode_pack(kind, agent="a" * 32, epoch="a", seq=1, lowest=1, at_ns=1, body=codec.encode_records(records))
    for kind, records in (
        ("readings", [_hall.batch("p")]),
        ("alerts", [_hall.alert("a")]),
        ("orders", [_hall.order("a")]),
    )
]


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """Sound bytes with a piece cut out or put in."""
    sound = draw(st.sampled_from(_SOUND))
    cut = draw(st.integers(0, len(sound)))
    return sound[:cut] + draw(st.binary(max_size=6)) + sound[cut + draw(st.integers(0, 6)) :]


topics = (
    st.text(max_size=40) | st.sampled_from(_KNOWN_TOPICS) | my.ids.map(lambda name: f"edgemesh/v1/hall/agent/{name}")
)


@given(st.lists(st.tuples(topics, st.binary(max_size=200) | broken(), st.booleans()), max_size=20))
def test_arbitrary_bytes_on_arbitrary_topics_never_raise(messages: list[tuple[str, bytes, bool]]) -> None:
    """Whatever comes is shown or counted, and what is shown is JSON."""
    overview = Overview("hall")
    for number, (topic, payload, retained) in enumerate(messages):
        overview.take(topic, payload, retained, float(number), number * S)
    snapshot = overview.snapshot(100.0, 100 * S)
    msgspec.json.decode(msgspec.json.encode(snapshot))
    assert sum(snapshot.rejected.values()) <= len(messages)


@pytest.mark.parametrize("payload", [b"{", b"\xff", b"[" * 100_000, b"{}", b'{"kind":"readings"}', b"x" * 300_000])
@pytest.mark.parametrize("topic", _KNOWN_TOPICS)
def test_each_bad_message_is_counted_with_its_reason(topic: str, payload: bytes) -> None:
    """One bad message is one count, and nothing of it is shown."""
    hall = Hall()
    hall.say(topic, payload)
    snapshot = hall.look()
    assert sum(snapshot.rejected.values()) == 1
    assert snapshot.agents + snapshot.alerts + snapshot.orders + snapshot.devices == ()


@given(st.lists(st.tuples(st.integers(0, 5), st.none() | st.sampled_from(list(AlertState))), max_size=40))
def test_the_alerts_follow_the_retained_topics(moves: list[tuple[int, AlertState | None]]) -> None:
    """An alert is listed exactly while the last word on its topic is that it fires; an emptied topic removes it."""
    hall, stands = Hall(), dict[str, AlertState | None]()
    for number, state in moves:
        name = f"pump-{number}"
        stands[name] = state
        if state is None:
            hall.say(hall.topics.alert(hall.alert(name).id), b"")
        else:
            hall.stand(hall.alert(name, state=state))
    shown = {alert.asset for alert in hall.look().alerts}
    assert shown == {name for name, state in stands.items() if state in _FIRING}


@given(st.lists(st.tuples(st.integers(0, 5), st.none() | st.sampled_from(list(OrderState))), max_size=40))
def test_the_orders_follow_the_retained_topics(moves: list[tuple[int, OrderState | None]]) -> None:
    """An order is listed exactly while the last word on its topic is that it is not over."""
    hall, stands = Hall(), dict[str, OrderState | None]()
    for number, state in moves:
        name = f"pump-{number}"
        stands[name] = state
        if state is None:
            hall.say(hall.topics.order(hall.order(name).id), b"")
        else:
            hall.stand(hall.order(name, state))
    snapshot = hall.look()
    assert {order.asset for order in snapshot.orders} == {n for n, state in stands.items() if state and not state.final}
    assert snapshot.totals.orders == len(snapshot.orders)


def test_the_most_urgent_come_first() -> None:
    """Alerts by severity and then the newest, orders nobody can take first, then by priority and age."""
    hall = Hall()
    for name, severity in (("a", Severity.INFO), ("b", Severity.CRITICAL), ("c", Severity.WARNING)):
        hall.stand(hall.alert(name, severity=severity))
    hall.now_s += 5
    hall.stand(hall.alert("d", severity=Severity.CRITICAL))
    hall.stand(hall.order("p3", priority=Priority.P3), hall.order("p1", priority=Priority.P1))
    hall.stand(hall.order("p4", priority=Priority.P4, escalated=True))
    snapshot = hall.look()
    assert [alert.asset for alert in snapshot.alerts] == ["d", "b", "c", "a"]
    assert [order.asset for order in snapshot.orders] == ["p4", "p1", "p3"]
    assert (snapshot.totals.critical, snapshot.totals.escalated) == (2, 1)


def test_what_is_gone_after_a_new_link_is_dropped() -> None:
    """An alert whose topic was emptied while the broker was out of reach does not stay for ever."""
    hall = Hall()
    hall.stand(hall.alert("gone"), hall.alert("stays"), hall.order("gone"))
    hall.overview.link(False, hall.now_s)
    assert not hall.look().linked
    hall.now_s += 60
    hall.stand(hall.alert("early"))
    hall.overview.link(True, hall.now_s)
    hall.now_s += 1
    hall.stand(hall.alert("stays"))
    assert len(hall.look().alerts) == 3
    hall.now_s += 5
    snapshot = hall.look()
    assert [alert.asset for alert in snapshot.alerts] == ["stays", "early"]
    assert snapshot.orders == ()


def test_a_lost_broker_kills_no_agent() -> None:
    """While we can't hear them, silence says nothing; when the link is back they have time to speak."""
    hall = Hall()
    hall.beat("detector-1")
    hall.overview.link(False, hall.now_s)
    hall.now_s += 60
    assert hall.look().agents[0].presence == "up"
    hall.overview.link(True, hall.now_s)
    hall.now_s += 1
    hall.look()
    hall.beat("detector-1", beat=62)
    hall.now_s += 2
    assert hall.look().agents[0].presence == "up"
    hall.now_s += 10
    assert hall.look().agents[0].presence == "down"


def test_a_retained_card_is_no_sign_of_life() -> None:
    """An agent is unknown until it beats, up while it beats, down when it stops, and each turn is told."""
    hall = Hall()
    hall.beat("detector-1", retained=True)
    assert hall.look().agents[0].presence == "unknown"
    for beat in range(2, 6):
        hall.now_s += 1
        hall.beat("detector-1", beat=beat, stats={"inbox": 3.0})
    agent = hall.look().agents[0]
    assert (agent.presence, agent.age_s, agent.uptime_s, agent.stats) == ("up", 0.0, 3.0, {"inbox": 3.0})
    hall.now_s += 4
    snapshot = hall.look()
    assert (snapshot.agents[0].presence, snapshot.agents[0].age_s) == ("down", 4.0)
    assert (snapshot.totals.agents, snapshot.totals.agents_up) == (1, 0)
    hall.beat("detector-1", beat=7)
    assert [(event.mark, event.subject) for event in hall.look().story] == [
        ("down", "detector-1"),
        ("up", "detector-1"),
    ]


def test_a_last_will_counts_soon() -> None:
    """An agent whose card says `down` is down unless it beats again within 1.5 s."""
    hall = Hall()
    hall.beat("detector-1")
    will = Card(agent="detector-1", role=Role.DETECTOR, state=Presence.DOWN, incarnation="first")
    hall.say(hall.topics.card("detector-1"), will)
    assert hall.look().agents[0].presence == "up"
    hall.now_s += 1.6
    assert hall.look().agents[0].presence == "down"


def test_an_agent_whose_card_was_removed_is_not_listed() -> None:
    """An emptied card takes the agent off the list; when it beats again it is back, and up."""
    hall = Hall()
    hall.beat("detector-1")
    hall.say(hall.topics.card("detector-1"), b"")
    assert hall.look().agents == ()
    hall.now_s += 1
    hall.beat("detector-1", beat=2)
    assert [agent.presence for agent in hall.look().agents] == ["up"]


def test_the_rate_settles_at_what_comes_in() -> None:
    """12 devices with 4 readings a second are 48 readings/s, in all and at their gateway, and 0 when nothing comes."""
    hall = Hall()
    for second in range(60):
        hall.now_s = 1000.0 + second
        hall.pack("readings", "gateway-1", *(hall.batch(f"pump-{n}", ((1.0,),) * 4) for n in range(12)))
    hall.now_s += 0.5
    hall.say(hall.topics.owners(), Owners(epoch=1, owners={"gateway-1": "detector-2"}))
    snapshot = hall.look()
    assert snapshot.per_s == pytest.approx(48.0, rel=0.02)
    assert snapshot.gateways[0].per_s == snapshot.per_s
    assert (snapshot.gateways[0].readings, snapshot.gateways[0].owner) == (48 * 60, "detector-2")
    assert snapshot.totals.readings == 48 * 60
    assert len(snapshot.trail) == 59
    assert all(point == pytest.approx(48.0, rel=0.05) for point in snapshot.trail[8:])
    assert max(snapshot.trail) < 55
    hall.now_s += 120
    assert hall.look().per_s == 0.0
    assert hall.look().trail[-1] == 0.0


def test_a_pack_counts_once() -> None:
    """A pack that comes again, or an older one, adds nothing; another epoch starts over."""
    hall = Hall()
    for seq in (1, 2, 2, 1, 3):
        hall.pack("readings", "gateway-1", hall.batch("pump-1"), seq=seq)
    assert hall.look().totals.readings == 6


@given(st.lists(my.batches(), max_size=4))
def test_counting_values_without_reading_them_is_exact(batches: list[object]) -> None:
    """The cheap count of a pack equals the readings in its batches, gaps left out."""
    hall = Hall()
    hall.pack("readings", "gateway-1", *batches)  # type: ignore[arg-type]
    assert hall.look().totals.readings == sum(batch.readings for batch in batches)  # type: ignore[attr-defined]


def test_a_device_is_quiet_after_longer_than_it_is_used_to() -> None:
    """Used to each second: quiet after 10 s. Used to each minute: not yet. A day later both are forgotten."""
    hall = Hall()
    for second in range(600):
        hall.now_s += 1
        batches = [hall.batch("fast")] + ([hall.batch("slow")] if second % 60 == 0 else [])
        hall.pack("readings", "gateway-1", *batches)
    hall.now_s += 15
    snapshot = hall.look()
    assert [(device.device, device.quiet) for device in snapshot.devices] == [("fast", True), ("slow", False)]
    assert snapshot.devices[0].age_s == 15.0
    assert (snapshot.totals.devices, snapshot.totals.devices_quiet) == (2, 1)
    hall.now_s += 90_000
    assert hall.look().devices == ()


def test_the_story_is_told_once() -> None:
    """Log and state topic, a resend and a later version of the same state: one line for each step."""
    hall = Hall()
    steps = [
        hall.order("pump-1"),
        hall.order("pump-1", OrderState.DISPATCHED, executor="mara", attempt=1),
        hall.order("pump-1", OrderState.DISPATCHED, executor="jo", attempt=2, version=3),
        hall.order("pump-1", OrderState.ACCEPTED, executor="jo", attempt=2),
        hall.order("pump-1", OrderState.DONE, executor="jo", attempt=2),
        hall.order("pump-1", OrderState.VERIFIED, executor="jo", attempt=2),
    ]
    for _ in range(2):
        hall.pack("alerts", "detector-1", hall.alert("pump-1"), hall.alert("pump-1", version=2))
        for step in steps:
            hall.stand(step)
            hall.pack("orders", "scheduler-1", step)
        hall.pack("alerts", "detector-1", hall.alert("pump-1", state=AlertState.CLEARED, cleared_at_ns=hall.now_ns))
    snapshot = hall.look()
    marks = [event.mark for event in snapshot.story]
    assert marks == ["warning", "opened", "dispatched", "dispatched", "accepted", "done", "verified", "cleared"]
    assert "to mara" in snapshot.story[2].text
    assert "to jo" in snapshot.story[3].text
    assert [event.number for event in snapshot.story] == list(range(1, 9))
    assert snapshot.totals.verified == 1


def test_an_alert_that_gets_worse_is_told_again() -> None:
    """Severity that rises is news, evidence that changes is not."""
    hall = Hall()
    alert = hall.alert("pump-1")
    worse = msgspec.structs.replace(alert, version=3, severity=Severity.CRITICAL)
    seen = msgspec.structs.replace(worse, version=4, state=AlertState.ACKNOWLEDGED, by="mara")
    hall.pack("alerts", "detector-1", alert, msgspec.structs.replace(alert, version=2, evidence=()), worse, seen)
    assert [event.mark for event in hall.look().story] == ["warning", "critical", "acknowledged"]


def test_an_order_nobody_can_take_is_told() -> None:
    """Escalation is a line of its own."""
    hall = Hall()
    hall.pack("orders", "scheduler-1", hall.order("pump-1", escalated=True))
    assert [event.mark for event in hall.look().story] == ["opened", "escalated"]


def test_what_stood_already_is_told_at_the_start() -> None:
    """A console that comes late tells what its retained topics say; a topic that changes later is told by the log."""
    hall = Hall()
    hall.say(hall.topics.alert(hall.alert("pump-1").id), hall.alert("pump-1"), retained=True)
    hall.stand(hall.alert("pump-2"))
    assert [event.subject for event in hall.look().story] == ["pump-1"]


def test_the_latest_twenty_that_are_over_are_kept() -> None:
    """Closed orders and cleared alerts: the newest first, by their own time, whatever the order of their arrival."""
    hall = Hall()
    for number in (*range(10, 30), *range(10)):
        at_ns = hall.now_ns + number * S
        hall.pack("orders", "scheduler-1", hall.order(f"pump-{number}", OrderState.VERIFIED, at_ns=at_ns))
        cleared = hall.alert(f"pump-{number}", state=AlertState.CLEARED, cleared_at_ns=at_ns)
        hall.pack("alerts", "detector-1", cleared)
    hall.now_s += 100
    snapshot = hall.look()
    newest = [f"pump-{number}" for number in range(29, 9, -1)]
    assert [order.asset for order in snapshot.closed] == newest
    assert [alert.asset for alert in snapshot.cleared] == newest
    assert snapshot.closed[0].took_s == 29.0
    assert snapshot.cleared[0].lasted_s == 34.0


def test_an_order_on_hold_stays_where_it_had_come() -> None:
    """`on hold` is no step; the instants say how far the order is."""
    hall = Hall()
    hall.stand(
        hall.order("a", OrderState.ON_HOLD),
        hall.order("b", OrderState.ON_HOLD, executor="mara", dispatched_at_ns=hall.now_ns),
        hall.order("c", OrderState.ON_HOLD, executor="mara", begun_at_ns=hall.now_ns),
    )
    assert {order.asset: order.step for order in hall.look().orders} == {"a": 0, "b": 2, "c": 3}


def test_lists_are_cut_and_counts_are_full() -> None:
    """A flood of alerts makes no endless snapshot, and beyond what there is room for it is counted."""
    hall = Hall()
    room = present.Present[Alert]()._room
    for number in range(room + 3):
        hall.stand(hall.alert("pump-1", id=derive_id("flood", number)))
    snapshot = hall.look()
    assert (len(snapshot.alerts), snapshot.totals.alerts) == (MAX_LIST, room)
    assert snapshot.rejected == {"too_many": 3}


def test_a_huge_alert_is_refused() -> None:
    """One retained message can't fill the memory: at most 32 KiB each."""
    hall = Hall()
    hall.stand(hall.alert("pump-1", cause="x" * 40_000))
    assert hall.look().rejected == {"too_large": 1}


def test_another_site_is_not_shown() -> None:
    """Messages of another site count as refused."""
    hall = Hall()
    hall.say(Topics("elsewhere").alert(hall.alert("pump-1").id), hall.alert("pump-1"))
    assert hall.look().alerts == ()
    assert hall.look().rejected == {"bad_topic": 1}


@given(st.text(max_size=600))
@settings(max_examples=300)
def test_texts_are_printable_and_short(text: str) -> None:
    """No control character, no escape sequence and no change of direction reaches a screen."""
    shown = plain(text)
    assert len(shown) <= 240
    assert shown.isprintable()


def test_hostile_texts_keep_their_harmless_part() -> None:
    """Escape sequences and bidirectional overrides become blanks, the rest stays."""
    assert plain("\x1b[31mred\x07 \u202egnorw\n\tend") == "[31mred gnorw end"


def test_changes_rise_only_with_news() -> None:
    """Two looks with nothing between them show the same; a message or a silence that is noticed is news."""
    hall = Hall()
    hall.beat("detector-1")
    hall.look()
    before = hall.overview.changes
    hall.now_s += 1
    hall.look()
    assert hall.overview.changes == before
    hall.now_s += 5
    hall.look()
    assert hall.overview.changes > before


def test_the_overview_is_light() -> None:
    """Neither the web library nor the terminal's is loaded by the pure part."""
    code = (
        "import sys, edgemesh.console.overview, edgemesh.console.lines; "
        "print([name for name in ('aiohttp', 'rich', 'asyncio', 'paho', 'numpy') if name in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"


def test_what_was_over_before_it_was_known_is_told_as_such() -> None:
    """A past alert stands in the story once, and never among those that fire."""
    hall = Hall()
    over = hall.alert("pump-1", state=AlertState.CLEARED, cleared_at_ns=hall.now_ns, version=2, past=True)
    hall.pack("alerts", "detector-1", over)
    snapshot = hall.look()
    assert snapshot.alerts == ()
    assert [event.text for event in snapshot.story] == ["noticed afterwards: the flow of pump-1 is too low"]


def test_what_a_gateway_has_decided_alone_is_said_to_be_so() -> None:
    """While it stands, in the view and in the story, and how the site has ended it."""
    hall = Hall()
    alone = hall.alert("pump-1", stage=Stage.GATEWAY)
    hall.pack("alerts", "sentry-1", alone)
    hall.stand(alone)
    (view,) = hall.look().alerts
    assert (view.stage, view.review) == ("gateway", "")
    over = hall.alert(
        "pump-1",
        state=AlertState.CLEARED,
        cleared_at_ns=hall.now_ns,
        version=2,
        stage=Stage.GATEWAY,
        review=Review.WITHDRAWN,
    )
    hall.pack("alerts", "detector-1", over)
    hall.say(hall.topics.alert(over.id), b"")
    snapshot = hall.look()
    assert (snapshot.alerts, snapshot.cleared[0].review) == ((), "withdrawn")
    assert [event.text for event in snapshot.story] == [
        "by the gateway alone: the flow of pump-1 is too low",
        "withdrawn by the site: the flow of pump-1 is too low",
    ]
