"""The scheduler's core: from an alert to a verified order, and everything that can go wrong between."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from edgemesh.agents.scheduler import SchedulerCore
from edgemesh.dispatch.settings import DispatchSettings, WhenCleared
from edgemesh.errors import LogDamaged
from edgemesh.model.agents import Asset, Card
from edgemesh.model.alerts import Alert, AlertKind, AlertState, Severity
from edgemesh.model.orders import AnswerKind, DispatchList, Priority, WorkOrder
from edgemesh.model.packs import Alerts, Answers, Cards
from edgemesh.model.samples import Record
from tests.unit.dispatch.plant import START, S, alert, answer, card, evidence

ASSETS = {"P-101": Asset(id="P-101", asset_class="pump", criticality="A")}


class Plant:
    """A core with a clock; each verb returns the states of the order versions that it brought about."""

    def __init__(self, *cards: Card, settings: DispatchSettings | None = None) -> None:
        self.core = SchedulerCore("scheduler", "test", settings or DispatchSettings(), ASSETS, epoch=7)
        self.now_ns = START
        self.seen: list[WorkOrder] = []
        self.core.tick(START)
        self.cards(*cards)

    def _took(self, records: Sequence[Record]) -> list[str]:
        orders = [record for record in records if isinstance(record, WorkOrder)]
        assert len(orders) == len(records)
        self.seen += orders
        return [order.state.value for order in orders]

    def cards(self, *cards: Card) -> list[str]:
        return self._took(self.core.handle(Cards(cards)))

    def alerts(self, *alerts: Alert) -> list[str]:
        return self._took(self.core.handle(Alerts(agent="d1", epoch="e", seq=1, lowest=1, at_ns=START, records=alerts)))

    def say(self, name: str, said: str, attempt: int = 1, order: str = "", note: str = "") -> list[str]:
        answers = (answer(name, order or self.order.id, AnswerKind(said), attempt, note),)
        return self._took(self.core.handle(Answers(answers)))

    def wait(self, seconds: float) -> list[str]:
        self.now_ns += int(seconds * S)
        return self._took(self.core.tick(self.now_ns))

    @property
    def order(self) -> WorkOrder:
        return self.seen[-1]

    def jobs(self, name: str) -> list[str]:
        listed = self.core.present(None).get(f"dispatch/{name}")
        return [job.order for job in listed.orders] if isinstance(listed, DispatchList) else []


CLEARED = alert(state=AlertState.CLEARED, version=2)


def test_from_alert_to_verified() -> None:
    """An alert is dispatched at once, and done counts when the sensor has agreed for `verify_for`."""
    plant = Plant(card("ana"), card("ben", skills={"fitter": 1.0}))
    assert plant.alerts(alert()) == ["open", "dispatched"]
    order = plant.order
    assert (order.executor, order.attempt, order.epoch, order.priority) == ("ana", 1, 7, Priority.P1)
    assert (order.occurred_at_ns, order.detected_at_ns) == (START - 5 * S, START - 2 * S)
    assert order.deadline_at_ns == START + 30 * S
    assert plant.say("ana", "accepted") == ["accepted"]
    plant.wait(10)
    assert plant.say("ana", "started") == ["in_progress"]
    plant.wait(10)
    assert plant.say("ana", "done", note="valve opened") == ["done"]
    plant.wait(5)
    assert plant.alerts(CLEARED) == []
    assert plant.wait(59) == []
    assert plant.wait(1) == ["verified"]
    order = plant.order
    assert [one.version for one in plant.seen] == list(range(1, 7))
    assert (order.begun_at_ns, order.repaired_at_ns) == (START + 10 * S, START + 20 * S)
    assert (order.back_at_ns, order.at_ns) == (START + 25 * S, START + 85 * S)
    assert (order.note, order.executor) == ("valve opened", "ana")


def test_topics_of_the_present() -> None:
    """Each version shows its order and the lists of who has it and who had it; final orders and empty lists go."""
    plant = Plant(card("ana"), card("eva"))
    plant.alerts(alert())
    first = plant.order
    shown = plant.core.present(plant.seen)
    assert shown[f"state/order/{first.id}"] == first
    listed = shown["dispatch/ana"]
    assert isinstance(listed, DispatchList)
    assert (listed.epoch, listed.orders[0].order, listed.orders[0].attempt) == (7, first.id, 1)
    plant.say("ana", "refused")
    shown = plant.core.present(plant.seen[2:])
    assert shown["dispatch/ana"] is None
    assert isinstance(shown["dispatch/eva"], DispatchList)
    plant.alerts(CLEARED)
    assert plant.core.present(plant.seen[4:]) == {f"state/order/{first.id}": None, "dispatch/eva": None}
    assert set(plant.core.present(None).values()) == {None}


def test_the_old_holder_is_told_even_when_nobody_remembers_who_was_tried() -> None:
    """When the last one left refuses, `tried` is empty again, yet the list of who had the order is emptied."""
    plant = Plant(card("ana"))
    plant.alerts(alert())
    plant.say("ana", "refused")
    assert plant.order.tried == ()
    assert plant.core.present(plant.seen[2:])["dispatch/ana"] is None


@pytest.mark.parametrize("said", ["refused", "failed"])
def test_a_no_goes_to_the_next(said: str) -> None:
    """Who refuses or fails is tried, and the next one gets a new attempt."""
    plant = Plant(card("ana"), card("eva"))
    plant.alerts(alert())
    assert plant.say("ana", said, note="no key") == ["open", "dispatched"]
    assert (plant.order.executor, plant.order.attempt, plant.order.tried) == ("eva", 2, ("ana",))
    assert "no key" in plant.order.note


def test_silence_goes_to_the_next() -> None:
    """Nothing said by the deadline means the next one; accepting too late changes nothing."""
    plant = Plant(card("ana"), card("eva"))
    plant.alerts(alert())
    assert plant.wait(29.9) == []
    assert plant.wait(0.1) == ["open", "dispatched"]
    assert plant.say("ana", "accepted") == []
    assert plant.order.executor == "eva"


def test_work_that_takes_too_long_goes_to_the_next() -> None:
    """Accepted is no done: after `work_within` the order goes on."""
    plant = Plant(card("ana"), card("eva"))
    plant.alerts(alert())
    plant.say("ana", "accepted")
    plant.wait(3600)
    plant.say("ana", "started")
    assert plant.wait(3 * 3600 - 1) == []
    assert plant.wait(1) == ["open", "dispatched"]
    assert plant.order.begun_at_ns is None


def test_death_before_work_began_goes_to_the_next() -> None:
    """Somebody who is down loses what is not begun, and keeps what is."""
    plant = Plant(card("ana", max_load=2), card("eva"))
    plant.alerts(alert())
    begun = plant.order
    plant.say("ana", "started")
    plant.alerts(alert(asset="P-102"))
    assert plant.order.executor == "eva"
    plant.say("eva", "refused")
    waiting = plant.order
    assert waiting.executor == "ana"
    assert plant.cards(card("ana", up=False)) == ["open"]
    assert (plant.order.id, plant.order.escalated) == (waiting.id, True)
    assert plant.jobs("ana") == [begun.id]


def test_a_new_incarnation_without_the_order_goes_to_the_next() -> None:
    """Who starts anew and does not know of the order has lost it; who still counts it keeps it."""
    plant = Plant(card("ana"), card("eva"))
    plant.alerts(alert())
    plant.say("ana", "accepted")
    assert plant.cards(card("ana", incarnation="i2", load=1)) == []
    assert plant.cards(card("ana", incarnation="i3")) == ["open", "dispatched"]
    assert plant.order.executor == "eva"


def test_nobody_left_is_escalated_and_tried_again() -> None:
    """The version says who was tried; they are asked again after `retry_after`, and not before."""
    plant = Plant(card("ana"), card("eva"))
    plant.alerts(alert())
    plant.say("ana", "refused")
    assert plant.say("eva", "refused", attempt=2) == ["open"]
    assert (plant.order.escalated, plant.order.tried, plant.order.executor) == (True, (), None)
    assert "ana, eva" in plant.order.note
    assert plant.cards(card("ana", load=1)) == plant.cards(card("ana")) == []
    assert plant.wait(59) == []
    assert plant.wait(1) == ["dispatched"]
    assert (plant.order.escalated, plant.order.attempt) == (False, 3)


def test_nobody_at_all_is_escalated_until_somebody_comes() -> None:
    """An able executor who appears gets the order at once; an unable one does not."""
    plant = Plant(card("ben", skills={"fitter": 1.0}), card("low", skills={"operator": 0.2}))
    assert plant.alerts(alert()) == ["open"]
    assert plant.order.escalated
    assert plant.wait(1e6) == []
    assert plant.cards(card("cleo", skills={"electrician": 1.0})) == []
    assert plant.cards(card("ana")) == ["dispatched"]


def test_a_newcomer_does_not_bring_back_who_said_no() -> None:
    """Who refused before the escalation is not asked again just because somebody new refused as well."""
    plant = Plant(card("ana"))
    plant.alerts(alert())
    plant.say("ana", "refused")
    plant.wait(30)
    assert plant.cards(card("eva")) == ["dispatched"]
    assert plant.say("eva", "refused", attempt=2) == ["open"]
    assert "ana, eva" in plant.order.note
    assert plant.wait(59) == []
    assert plant.wait(1) == ["dispatched"]


def test_who_comes_free_gets_the_most_urgent() -> None:
    """A busy executor is not given more than `max_load`; free again, priority decides, then age."""
    plant = Plant(card("ana"))
    plant.alerts(alert())
    first = plant.order
    plant.wait(1)
    plant.alerts(alert(asset="P-102", severity=Severity.WARNING))
    plant.wait(1)
    plant.alerts(alert(asset="P-103"))
    urgent = plant.order
    assert urgent.escalated
    assert plant.jobs("ana") == [first.id]
    assert plant.say("ana", "done", order=first.id) == ["done", "dispatched"]
    assert plant.order.id == urgent.id


def test_work_given_by_others_counts() -> None:
    """A card's load beyond our own orders leaves less room; a late card that still counts ours does not."""
    plant = Plant(card("ana", load=1))
    assert plant.alerts(alert()) == ["open"]
    assert plant.cards(card("ana")) == ["dispatched"]
    plant.cards(card("ana", load=1))
    plant.alerts(alert(asset="P-102"))
    assert plant.say("ana", "done", order=plant.seen[0].id) == ["done", "dispatched"]


def test_one_open_order_per_asset_and_kind() -> None:
    """A second alert of the same kind joins the order, another kind or asset opens one."""
    plant = Plant(card("ana", max_load=9, skills={"operator": 1.0, "instrument": 1.0}))
    assert plant.alerts(alert()) == ["open", "dispatched"]
    assert plant.alerts(alert(number=1)) == []
    assert plant.alerts(alert(kind=AlertKind.SENSOR)) == ["open", "dispatched"]
    assert plant.alerts(alert(asset="P-102")) == ["open", "dispatched"]


def test_all_alerts_of_an_order_must_clear() -> None:
    """Verification begins when the last alert that joined has cleared."""
    plant = Plant(card("ana"))
    plant.alerts(alert())
    plant.alerts(alert(number=1))
    plant.say("ana", "done")
    plant.alerts(CLEARED)
    assert plant.wait(300) == []
    plant.alerts(alert(number=1, state=AlertState.CLEARED, version=2))
    assert plant.wait(60) == ["verified"]


def test_info_and_pending_open_nothing() -> None:
    """Info needs nobody and pending is not sure yet; the same alert grown worse opens an order."""
    plant = Plant(card("ana"))
    assert plant.alerts(alert(severity=Severity.INFO), alert(number=1, state=AlertState.PENDING)) == []
    assert plant.alerts(alert(severity=Severity.WARNING, version=2)) == ["open", "dispatched"]


def test_over_already_wakes_nobody() -> None:
    """An alert that clears in the very pack that brings it, or is known to be cleared, opens no order."""
    plant = Plant(card("ana"))
    assert plant.alerts(alert(), CLEARED) == []
    assert plant.alerts(alert(number=1, state=AlertState.CLEARED, version=3)) == []
    assert plant.alerts(alert(number=1, version=2)) == []
    past = msgspec.structs.replace(alert(number=2, state=AlertState.CLEARED, version=2), past=True)
    assert plant.alerts(past) == []


def test_cleared_before_work_began() -> None:
    """Nobody is bothered further; by the other policy the work is done all the same."""
    plant = Plant(card("ana"))
    plant.alerts(alert())
    plant.say("ana", "accepted")
    assert plant.alerts(CLEARED) == ["cancelled"]
    assert plant.jobs("ana") == []
    assert plant.say("ana", "started") == []
    plant = Plant(card("ana"), settings=DispatchSettings(when_cleared=WhenCleared.KEEP))
    plant.alerts(alert())
    assert plant.alerts(CLEARED) == []
    assert plant.say("ana", "done") == ["done"]
    assert plant.wait(60) == ["verified"]


def test_cleared_while_at_work_goes_on() -> None:
    """Once begun, work is finished and verified."""
    plant = Plant(card("ana"))
    plant.alerts(alert())
    plant.say("ana", "started")
    assert plant.alerts(CLEARED) == []
    assert plant.say("ana", "done") == ["done"]
    assert plant.wait(60) == ["verified"]


def test_still_there_after_done_is_reopened() -> None:
    """Done is not verified: the same order opens again and whoever did it comes last."""
    plant = Plant(card("ana", skills={"operator": 1.0}), card("eva", skills={"operator": 0.5}))
    plant.alerts(alert())
    order = plant.order
    assert order.executor == "ana"
    plant.say("ana", "done")
    assert plant.wait(599) == []
    assert plant.wait(1) == ["open", "dispatched"]
    assert (plant.order.id, plant.order.reopened, plant.order.executor) == (order.id, 1, "eva")
    assert plant.order.repaired_at_ns is None
    assert plant.say("eva", "refused", attempt=2) == ["open", "dispatched"]
    assert plant.order.executor == "ana"


def test_back_during_verification_is_reopened() -> None:
    """A new alert of the same kind before the order is verified opens the same order again."""
    plant = Plant(card("ana"))
    plant.alerts(alert())
    plant.say("ana", "done")
    plant.alerts(CLEARED)
    plant.wait(30)
    assert plant.alerts(alert(number=1)) == ["open", "dispatched"]
    assert plant.order.reopened == 1
    plant.say("ana", "done", attempt=2)
    assert plant.wait(599) == []
    assert plant.wait(1) == ["open", "dispatched"]


def test_back_after_verification_is_rework() -> None:
    """Within `rework_within` a new order says which one did not hold; later it does not."""
    plant = Plant(card("ana"), settings=DispatchSettings())
    for number, wait_s, rework in ((0, 0.0, False), (1, 6 * 86400.0, True), (2, 8 * 86400.0, False)):
        plant.wait(wait_s)
        plant.alerts(alert(number=number))
        assert plant.seen[-2].note.startswith("rework") is rework
        plant.say("ana", "done")
        plant.alerts(alert(number=number, state=AlertState.CLEARED, version=2))
        assert plant.wait(60) == ["verified"]


def test_worse_alert_raises_the_priority() -> None:
    """A warning that becomes critical makes the order more urgent at once, and never less again."""
    plant = Plant(card("ana"))
    plant.alerts(alert(severity=Severity.WARNING))
    assert plant.order.priority is Priority.P2
    assert plant.alerts(alert(version=2)) == ["dispatched"]
    assert (plant.order.priority, plant.order.attempt, plant.order.executor) == (Priority.P1, 1, "ana")
    assert plant.alerts(alert(severity=Severity.WARNING, version=3)) == []


def test_better_evidence_counts_at_the_next_dispatch() -> None:
    """When newer evidence names another cause, the next dispatch asks for other skills; nobody is called off."""
    plant = Plant(card("ana"), card("ben", skills={"fitter": 1.0}))
    plant.alerts(alert(evidence("flow")))
    leak = alert(evidence("flow"), evidence("motor_current", value=9.0), version=2)
    assert plant.alerts(leak) == []
    assert plant.say("ana", "refused") == ["open", "dispatched"]
    assert plant.order.executor == "ben"
    assert "fitter" in plant.order.skills


def test_answers_that_do_not_count_are_counted() -> None:
    """Unknown, alien, old, doubled and contradictory answers change nothing and leave their reason in the stats."""
    plant = Plant(card("ana"), card("eva"))
    plant.alerts(alert())
    assert plant.say("ana", "done", order="0" * 32) == []
    assert plant.say("eva", "accepted") == []
    assert plant.say("ana", "accepted", attempt=2) == []
    assert plant.say("ana", "started") == ["in_progress"]
    assert plant.say("ana", "started") == plant.say("ana", "accepted") == []
    assert plant.say("ana", "refused") == []
    assert {key: count for key, count in plant.core.stats.items() if key.startswith("answers_")} == {
        "answers_unknown_order": 1,
        "answers_other_executor": 1,
        "answers_other_attempt": 1,
        "answers_started": 1,
        "answers_again": 2,
        "answers_out_of_order": 1,
    }


def test_twice_is_once() -> None:
    """The same packs again bring about nothing."""
    plant = Plant(card("ana"))
    plant.alerts(alert())
    assert plant.alerts(alert()) == []
    plant.say("ana", "done")
    plant.alerts(CLEARED)
    assert plant.alerts(alert()) == plant.alerts(CLEARED) == plant.cards(card("ana")) == []
    assert plant.wait(60) == ["verified"]
    assert plant.alerts(alert()) == plant.alerts(CLEARED) == plant.alerts(alert(version=3)) == []


def test_an_end_counts_whatever_its_version() -> None:
    """After a change of detectors the end may come with a version we saw already; cleared is final."""
    plant = Plant(card("ana"))
    plant.alerts(alert(version=5))
    plant.say("ana", "done")
    plant.alerts(alert(version=2, state=AlertState.CLEARED))
    assert plant.wait(60) == ["verified"]


def test_finals_are_forgotten() -> None:
    """After the rework window nothing of an order is left in memory or on disk."""
    plant = Plant(card("ana"))
    plant.alerts(alert())
    plant.say("ana", "done")
    plant.alerts(CLEARED)
    plant.wait(60)
    parts = dict(plant.core.save())
    assert {key.partition("/")[0] for key in parts} == {"epoch", "order", "alert", "executor", "begun", "past"}
    plant.wait(7 * 86400)
    assert set(plant.core.save().values()) == {None}
    assert plant.core.save() == {}


def test_a_damaged_part_is_named() -> None:
    """Bytes that were never saved are refused with the name of the part."""
    core = SchedulerCore("scheduler", "test", DispatchSettings(), {})
    with pytest.raises(LogDamaged, match="order/x"):
        core.load({"order/x": b"{"})


def test_the_fence_never_falls() -> None:
    """A scheduler that starts with a clock set back keeps the epoch that it has given out before."""
    before = SchedulerCore("scheduler", "test", DispatchSettings(), ASSETS, epoch=2_000)
    after = SchedulerCore("scheduler", "test", DispatchSettings(), ASSETS, epoch=5)
    after.load({name: part for name, part in before.save().items() if part is not None})
    assert after.epoch == 2_000
    newer = SchedulerCore("scheduler", "test", DispatchSettings(), ASSETS, epoch=3_000)
    newer.load({name: part for name, part in before.save().items() if part is not None})
    assert newer.epoch == 3_000
    assert newer.save() == {"epoch": b"3000"}
