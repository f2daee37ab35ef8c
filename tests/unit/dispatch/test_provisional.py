"""What a sentry has decided alone waits at the scheduler: for a word, or for as long as is worth it."""

from __future__ import annotations

import msgspec
import pytest

from edgemesh.agents.scheduler import SchedulerCore
from edgemesh.dispatch import provisional
from edgemesh.dispatch.provisional import Provisional
from edgemesh.dispatch.settings import DispatchSettings
from edgemesh.model.agents import Role
from edgemesh.model.alerts import Alert, AlertState, Review, Severity, Stage
from edgemesh.model.orders import AnswerKind, OrderState, WorkOrder
from edgemesh.model.packs import Alerts, Answers, Cards
from edgemesh.model.settings import Seconds
from tests.unit.dispatch.plant import START, S, alert, answer, card
from tests.unit.dispatch.test_laws import keep


def sent(number: int = 1, *, version: int = 1, asset: str = "P-101", severity: Severity = Severity.WARNING) -> Alert:
    """An alert of a sentry."""
    return msgspec.structs.replace(
        alert(number=number, version=version, asset=asset, severity=severity), stage=Stage.GATEWAY
    )


def over(one: Alert, review: Review | None = None) -> Alert:
    return msgspec.structs.replace(one, state=AlertState.CLEARED, version=one.version + 1, review=review)


class Room:
    """A scheduler with a detector that is alive, and somebody who can do everything."""

    def __init__(self, *, detector: bool = True, settings: DispatchSettings | None = None) -> None:
        self.settings = settings or DispatchSettings()
        self.parts: dict[str, bytes] = {}
        self.now_s, self.numbers = 0, 0
        self.core = self.make()
        self.wait(1)
        self.cards(card("ana", skills={"operator": 1.0, "fitter": 1.0, "electrician": 1.0, "instrument": 1.0}))
        if detector:
            self.detector(up=True)

    def make(self) -> SchedulerCore:
        return SchedulerCore("scheduler", "test", self.settings, {})

    def wait(self, seconds: int) -> list[WorkOrder]:
        made: list[WorkOrder] = []
        for _ in range(seconds):
            self.now_s += 1
            made += self.orders(self.core.tick(START + self.now_s * S))
        return made

    def alerts(self, *alerts: Alert) -> list[WorkOrder]:
        self.numbers += 1
        pack = Alerts(agent="x", epoch="e", seq=self.numbers, lowest=1, at_ns=START, records=alerts)
        return self.orders(self.core.handle(pack))

    def cards(self, one: object) -> None:
        self.orders(self.core.handle(Cards((one,))))  # type: ignore[arg-type]

    def detector(self, *, up: bool, name: str = "det") -> None:
        self.cards(card(name, up=up, role=Role.DETECTOR))

    def orders(self, records: object) -> list[WorkOrder]:
        """The newest version of each order that has changed; what was saved is kept."""
        keep(self.parts, self.core)
        assert isinstance(records, list | tuple)
        return list({order.id: order for order in records}.values())

    def restart(self) -> None:
        self.core = self.make()
        self.core.load(dict(self.parts))
        self.wait(1)


def test_it_waits_for_a_word_while_a_detector_is_alive() -> None:
    """Nothing for 30 s, then one order that says why; newer versions do not make it wait longer."""
    room = Room()
    assert room.alerts(sent()) == []
    assert room.wait(20) == []
    assert room.alerts(sent(version=2, severity=Severity.CRITICAL)) == []
    assert room.wait(9) == []
    (first,) = room.wait(1)
    assert (first.state, first.alert) == (OrderState.DISPATCHED, sent().id)
    assert first.note.startswith("decided on the gateway")
    assert room.core.stats["alerts_unconfirmed"] == 1
    assert room.alerts(sent(version=3)) == []


@pytest.mark.parametrize("review", [*Review, None])
def test_what_is_over_in_time_opens_nothing(review: Review | None) -> None:
    """Confirmed, withdrawn or over by itself: no order of its own, then or later, whatever comes late."""
    room = Room()
    room.alerts(sent())
    room.wait(29)
    assert room.alerts(over(sent(), review)) == []
    assert room.wait(60) == []
    assert room.alerts(sent(version=2)) == []
    assert room.wait(60) == []
    assert not any(name.startswith("held/") for name in room.parts)


def test_the_end_may_come_before_the_beginning() -> None:
    """The logs of sentry and detector are not in step: who was judged before it was heard of waits for nothing."""
    room = Room()
    room.alerts(over(sent(), Review.WITHDRAWN))
    room.alerts(sent())
    assert room.wait(60) == []


def test_confirmed_is_one_order() -> None:
    """The site's own alert opens it at once, and what waited goes."""
    room = Room()
    room.alerts(sent())
    (order,) = room.alerts(alert(number=2), over(sent(), Review.CONFIRMED))
    assert order.alert == alert(number=2).id
    assert room.wait(29) == []


def test_confirmed_too_late_joins_the_order() -> None:
    """Nobody said a word in time; when the site does after all, its alert goes on with the order that there is."""
    room = Room()
    room.alerts(sent())
    (order,) = room.wait(30)
    made = room.alerts(alert(number=2), over(sent(), Review.CONFIRMED))
    assert {one.id for one in made} <= {order.id}
    assert not any(one.state.final for one in made)
    (last,) = room.alerts(over(alert(number=2)))
    assert (last.id, last.state) == (order.id, OrderState.CANCELLED)


def test_withdrawn_too_late_takes_back_what_nobody_has_begun() -> None:
    """The order says that the site found nothing. Work that has begun is finished, and verified as ever."""
    room = Room()
    room.alerts(sent())
    (order,) = room.wait(30)
    (gone,) = room.alerts(over(sent(), Review.WITHDRAWN))
    assert (gone.id, gone.state) == (order.id, OrderState.CANCELLED)
    assert "withdrawn" in gone.note
    room = Room()
    room.alerts(sent())
    (order,) = room.wait(30)
    for said in (AnswerKind.ACCEPTED, AnswerKind.STARTED):
        room.core.handle(Answers((answer("ana", order.id, said),)))
    assert room.alerts(over(sent(), Review.WITHDRAWN)) == []
    (done,) = room.core.handle(Answers((answer("ana", order.id, AnswerKind.DONE),)))
    assert isinstance(done, WorkOrder)
    assert [one.state for one in room.wait(61)] == [OrderState.VERIFIED]


def test_without_a_detector_nobody_is_waited_for() -> None:
    """Five seconds, so that a restart is not taken for absence; one detector that lives is enough to wait."""
    room = Room(detector=False)
    room.alerts(sent())
    assert room.wait(4) == []
    assert len(room.wait(1)) == 1
    room = Room()
    room.detector(up=True, name="other")
    room.alerts(sent())
    room.wait(3)
    room.detector(up=False)
    assert room.wait(10) == []
    room.detector(up=False, name="other")
    assert room.wait(4) == []
    assert len(room.wait(1)) == 1
    room = Room()
    room.alerts(sent())
    room.wait(3)
    room.detector(up=False)
    room.wait(4)
    room.detector(up=True)
    assert room.wait(22) == []
    assert len(room.wait(1)) == 1


def test_a_restart_changes_nothing() -> None:
    """What waits, since when, and who is alive is in the checkpoint."""
    room = Room()
    room.alerts(sent())
    room.wait(10)
    room.restart()
    assert room.wait(18) == []
    assert len(room.wait(1)) == 1
    room = Room()
    room.alerts(sent())
    room.wait(20)
    room.detector(up=False)
    room.restart()
    assert room.wait(3) == []
    assert len(room.wait(1)) == 1


def test_a_clock_that_is_set_makes_nobody_wait_longer_or_shorter() -> None:
    """Hours forward or back: what waits moves along."""
    for by_s in (7_200, -7_200):
        room = Room()
        room.alerts(sent())
        room.wait(10)
        room.core.retime(by_s * S, 0)
        room.now_s += by_s
        assert room.wait(19) == []
        assert len(room.wait(1)) == 1
        room = Room()
        room.alerts(sent())
        room.wait(3)
        room.detector(up=False)
        room.core.retime(by_s * S, 0)
        room.now_s += by_s
        assert room.wait(4) == []
        assert len(room.wait(1)) == 1


def test_the_configuration_may_trust_sentries() -> None:
    """`confirm_within = 0`: they are acted on at the next tick, as alerts of the site are at once."""
    room = Room(settings=DispatchSettings(confirm_within=Seconds(0.0)))
    room.alerts(sent())
    assert len(room.wait(1)) == 1


def test_no_more_wait_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a flood the first are acted on: none is forgotten, and memory is bounded."""
    monkeypatch.setattr(provisional, "MOST_HELD", 3)
    waiting = Provisional(30.0)
    for number in range(5):
        waiting.hold(sent(number), START + number)
    assert [one.id for one in waiting.due(START + 5)] == [sent(0).id, sent(1).id]
    assert len(waiting.held) == 3
