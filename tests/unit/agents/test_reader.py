"""The reader: says how far it is, asks for what it lacks, follows the map of owners."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

import pytest

from edgemesh.agents.reader import Reader
from edgemesh.agents.roles import ROLES
from edgemesh.log.journal import Cursor
from edgemesh.log.outbox import Span
from edgemesh.model.agents import Card, Owners, Presence, Role, Watermark
from edgemesh.testing import make_alert
from edgemesh.wire import codec
from tests.unit.agents.site import TOPICS

EPOCH = "ab"


class Said(NamedTuple):
    agent: str
    through: int
    resend: bool
    ahead: tuple[Span, ...] = ()


class Line:
    """A bus that keeps the watermarks that are published, and takes none while it is `full`."""

    def __init__(self) -> None:
        self.full = False
        self.said: list[Said] = []
        self.retained: dict[str, int] = {}

    def publish(
        self, topic: str, payload: bytes, *, retain: bool = False, traceparent: str = "", bulk: bool = False
    ) -> bool:
        if self.full:
            return False
        mark: Watermark = codec.decode_watermark(payload)
        assert not (retain and mark.resend), "a wish is not retained"
        self.retained[topic.split("/")[-2]] = mark.through if retain else self.retained.get(topic.split("/")[-2], 0)
        self.said.append(Said(topic.split("/")[-2], mark.through, mark.resend, mark.ahead))
        return True


def make(role: Role = Role.RECORDER, **cursors: int) -> tuple[Reader, Line]:
    line = Line()
    known = {name: Cursor(EPOCH, through) for name, through in cursors.items()}
    return Reader(line, TOPICS, known, group=role.value, traits=ROLES[role]), line  # type: ignore[arg-type]


def card(agent: str = "gw", head: int = 5, *, epoch: str = EPOCH, role: Role = Role.GATEWAY) -> Card:
    return Card(agent=agent, role=role, state=Presence.UP, incarnation="i", epoch=epoch, head=head)


def in_loop(test: Callable[[], None]) -> None:
    async def body() -> None:
        test()

    asyncio.run(body())


def test_cursors_that_moved_are_said() -> None:
    """What is on the disk is published as a watermark."""
    reader, line = make()
    in_loop(lambda: reader.moved({"gw": Cursor(EPOCH, 3)}))
    assert line.said == [Said("gw", 3, resend=False)]


def test_a_watermark_without_room_is_said_later() -> None:
    """When the bus took it not, the next heartbeat says it."""
    reader, line = make()
    line.full = True
    in_loop(lambda: reader.moved({"gw": Cursor(EPOCH, 3)}))
    line.full = False
    reader.chase(1.0)
    assert Said("gw", 3, resend=False) in line.said


def test_the_same_wish_is_not_said_twice_at_once() -> None:
    """Many packs after one gap are one ask; after half a second it is said again."""
    reader, line = make(gw=3)
    for _ in range(10):
        reader.ask("gw", 10.0)
    assert line.said == [Said("gw", 3, resend=True)]
    reader.ask("gw", 10.6)
    assert len(line.said) == 2


def test_after_a_reconnect_everything_is_said_again() -> None:
    """The broker may have forgotten it all: our cursors, and what we lack."""
    reader, line = make(a=1, b=2)
    reader.linked(1.0)
    assert sorted(line.said) == [Said("a", 1, False), Said("a", 1, True), Said("b", 2, False), Said("b", 2, True)]


def test_a_log_that_is_new_to_us_is_asked_for_at_once() -> None:
    """The first card of a producer with rows, or with a new epoch, makes us ask."""
    reader, line = make()
    reader.saw(card(), 1.0)
    reader.saw(card(), 1.1)
    assert line.said == [Said("gw", 0, resend=True)]
    reader.saw(card(epoch="cd"), 9.0)
    assert len(line.said) == 2


@pytest.mark.parametrize(("through", "asks"), [(4, 1), (5, 0)])
def test_the_last_row_of_a_quiet_log_is_missed_too(through: int, asks: int) -> None:
    """Behind the head that a card names, and nothing came between two heartbeats: ask."""
    reader, line = make(gw=through)
    reader.saw(card(), 1.0)
    line.said.clear()
    reader.chase(5.0)
    reader.chase(6.0)
    assert len([each for each in line.said if each.resend]) == asks


def test_cards_of_roles_that_we_do_not_follow_are_nothing_to_us() -> None:
    """A scheduler follows alerts, not readings."""
    reader, line = make(Role.SCHEDULER)
    reader.saw(card(), 1.0)
    reader.chase(5.0)
    reader.chase(6.0)
    assert line.said == []


def test_owners_are_followed_by_epoch() -> None:
    """A newer map says what is gained and lost; an older one, or the same again, nothing."""
    reader, _ = make(Role.DETECTOR)
    assert reader.own(Owners(epoch=2, owners={"a": "me", "b": "you"}), "me") == (["a"], [])
    assert reader.own(Owners(epoch=2, owners={}), "me") == ((), ())
    assert reader.own(Owners(epoch=1, owners={"b": "me"}), "me") == ((), ())
    assert reader.own(Owners(epoch=3, owners={"a": "you", "b": "me"}), "me") == (["b"], ["a"])


def test_what_was_given_away_while_we_were_down_is_lost() -> None:
    """Cursors on the disk tell what was ours; the first map says what of it still is."""
    reader, _ = make(Role.DETECTOR, a=5, b=7)
    assert reader.own(Owners(epoch=9, owners={"a": "me", "b": "you"}), "me") == (["a"], ["b"])


def test_a_step_of_the_time_before_says_nothing_of_a_log_that_was_lost() -> None:
    """Lost and got back while a step was at work: its cursor is not ours any more, so we begin with the log anew."""
    reader, line = make(Role.DETECTOR)
    for epoch, owner in ((1, "me"), (2, "you"), (3, "me")):
        reader.own(Owners(epoch=epoch, owners={"a": owner}), "me")
    in_loop(lambda: reader.moved({"a": Cursor(EPOCH, 9)}))
    assert (line.said, reader.predecessor("a")) == ([], (True, None))
    in_loop(lambda: reader.moved({"a": Cursor(EPOCH, 4)}, ["a"]))
    assert (line.said, reader.predecessor("a")) == ([Said("a", 4, resend=False)], (False, None))


@pytest.mark.parametrize(("through", "since"), [(1_999, 0), (2_000, 0), (2_003, 3), (9_000, 7_000)])
def test_a_log_that_is_new_to_us_is_rehearsed_in_part(through: int, since: int) -> None:
    """Of what the owner before us had we ask for so many rows; his mark stays retained until we are further."""
    reader, line = make(Role.DETECTOR)
    reader.own(Owners(epoch=1, owners={"a": "me"}), "me")
    begun = reader.begin("a", Cursor(EPOCH, through))
    assert begun == (Cursor(EPOCH, since) if since else None)
    reader.ask("a", 1.0)
    in_loop(lambda: reader.moved({"a": Cursor(EPOCH, through - 1)}, ["a"]))
    assert line.said == [Said("a", since, resend=True), Said("a", through - 1, resend=False)]
    assert line.retained == {"a": 0}
    in_loop(lambda: reader.moved({"a": Cursor(EPOCH, through)}))
    reader.say()
    assert line.retained == {"a": through}


def test_who_rehearses_does_not_take_the_mark_back() -> None:
    """The third owner is told how far the first has come, not where the second was when it lost the log again."""
    reader, _ = make(Role.DETECTOR)
    for through in (1_519, 453):
        reader.marked("a", Watermark(epoch=EPOCH, through=through))
    reader.marked("a", Watermark(epoch=EPOCH, through=9_999, resend=True))
    assert reader.predecessor("a") == (True, Cursor(EPOCH, 1_519))
    reader.marked("a", Watermark(epoch="cd", through=2))
    assert reader.predecessor("a") == (True, Cursor("cd", 2))


def test_a_mark_with_rows_ahead_stays_until_all_of_them_were_rehearsed() -> None:
    """Who is through the first rows, but not yet where the owner before him was ahead, does not stand in for him."""
    through = Cursor(EPOCH, 5, ((9, 12),))
    reader, line = make(Role.DETECTOR)
    reader.own(Owners(epoch=1, owners={"a": "me"}), "me")
    reader.begin("a", through)
    reader.marked("a", Watermark(epoch=EPOCH, through=5, ahead=((9, 12),)))
    for row, retained in ((8, 0), (11, 0), (12, 12)):
        in_loop(lambda row=row: reader.moved({"a": Cursor(EPOCH, row)}, ["a"]))  # type: ignore[misc]
        reader.say()
        assert line.retained == {"a": retained}
    reader.marked("a", Watermark(epoch=EPOCH, through=11))
    assert reader.predecessor("a")[1] == through
    reader.marked("a", Watermark(epoch=EPOCH, through=12))
    assert reader.predecessor("a")[1] == Cursor(EPOCH, 12)


def test_open_alerts_are_known_by_gateway() -> None:
    """Alerts that stand on retained topics, until they are emptied."""
    reader, _ = make(Role.DETECTOR)
    alert = make_alert(gateway="gw")
    reader.open_alert(alert.id, alert)
    assert list(reader.open_alerts("gw")) == [alert]
    assert list(reader.open_alerts("other")) == []
    reader.open_alert(alert.id, None)
    assert list(reader.open_alerts("gw")) == []


# -- lanes and absence ---------------------------------------------------------------------------------------------


def test_rows_ahead_are_said_with_marks_and_wishes() -> None:
    """The producer need not send again what we have beyond a hole, nor wait for it."""
    reader, line = make()
    cursor = Cursor(EPOCH, 3, ((7, 9),))
    in_loop(lambda: reader.moved({"gw": cursor}))
    reader.ask("gw", 1.0)
    assert line.said == [Said("gw", 3, False, ((7, 9),)), Said("gw", 3, True, ((7, 9),))]


@pytest.mark.parametrize(
    ("before", "after", "asks"),
    [
        (Cursor(EPOCH, 3, ((7, 9),)), Cursor(EPOCH, 3, ((7, 10),)), 1),
        (Cursor(EPOCH, 3, ((7, 9),)), Cursor(EPOCH, 4, ((7, 9),)), 1),
        (Cursor(EPOCH, 3, ((7, 9),)), Cursor(EPOCH, 4, ((7, 10),)), 0),
        (Cursor(EPOCH, 3, ((7, 10),)), Cursor(EPOCH, 4, ((7, 10),)), 0),
    ],
)
def test_each_lane_has_to_get_on(before: Cursor, after: Cursor, asks: int) -> None:
    """Where one lane stands still before the head while the other flows, we ask."""
    reader, line = make()
    reader.saw(card(head=10), 1.0)
    in_loop(lambda: reader.moved({"gw": before}))
    reader.chase(5.0)
    in_loop(lambda: reader.moved({"gw": after}))
    line.said.clear()
    reader.chase(6.0)
    assert len([each for each in line.said if each.resend]) == asks


def test_after_a_long_absence_we_wait_for_the_map() -> None:
    """What was ours may be another's: we say and want nothing before we know, for two seconds at the most."""
    reader, line = make(Role.DETECTOR)
    reader.own(Owners(epoch=1, owners={"a": "me", "b": "me"}), "me", 1.0)
    in_loop(lambda: reader.moved({"a": Cursor(EPOCH, 3), "b": Cursor(EPOCH, 5)}))
    line.said.clear()
    reader.unlinked(10.0)
    reader.linked(20.0)
    assert (line.said, reader.in_doubt(20.0), reader.in_doubt(23.0)) == ([], True, False)
    assert reader.own(Owners(epoch=2, owners={"a": "me", "b": "you"}), "me", 20.5) == ([], ["b"])
    assert line.said == [Said("a", 3, False), Said("a", 3, True)]
    assert not reader.in_doubt(20.5)


def test_the_same_map_ends_the_doubt() -> None:
    """Nothing has moved: we go on where we were."""
    reader, line = make(Role.DETECTOR)
    reader.own(Owners(epoch=1, owners={"a": "me"}), "me", 1.0)
    in_loop(lambda: reader.moved({"a": Cursor(EPOCH, 3)}))
    line.said.clear()
    reader.unlinked(10.0)
    reader.linked(20.0)
    reader.own(Owners(epoch=1, owners={"a": "me"}), "me", 20.1)
    assert line.said == [Said("a", 3, False), Said("a", 3, True)]


def test_a_blip_raises_no_doubt() -> None:
    """Nothing is given away so soon."""
    reader, line = make(Role.DETECTOR)
    reader.own(Owners(epoch=1, owners={"a": "me"}), "me", 1.0)
    in_loop(lambda: reader.moved({"a": Cursor(EPOCH, 3)}))
    line.said.clear()
    reader.unlinked(10.0)
    reader.linked(10.5)
    assert not reader.in_doubt(10.5)
    assert line.said == [Said("a", 3, False), Said("a", 3, True)]
