"""Verdicts on their way through the scheduler: onto the order, and to whoever watches the asset."""

from __future__ import annotations

import msgspec

from edgemesh.agents.scheduler import SchedulerCore
from edgemesh.dispatch.settings import DispatchSettings, WhenCleared
from edgemesh.model.alerts import Alert, AlertState
from edgemesh.model.orders import Answer, AnswerKind, Verdict, WorkOrder
from edgemesh.model.packs import Alerts, Answers, Cards
from edgemesh.model.samples import Record
from edgemesh.model.verdicts import MOST_VERDICTS, Verdicts
from tests.unit.dispatch.plant import START, S, alert, card, evidence

TOPIC = "state/verdicts/P-101"
LEARNT = msgspec.structs.replace(evidence("flow"), rule="model")
SETTINGS = DispatchSettings(when_cleared=WhenCleared.KEEP)


class Plant:
    """A scheduler with one executor; its disk survives."""

    def __init__(self) -> None:
        self.core = SchedulerCore("s", "test", SETTINGS, {}, epoch=7)
        self.parts: dict[str, bytes] = {}
        self.now_ns = START
        self.orders: list[WorkOrder] = []
        self.core.tick(START)
        self.core.handle(Cards((card("ana"),)))

    def alerts(self, *alerts: Alert) -> None:
        self.keep(self.core.handle(Alerts(agent="d", epoch="e", seq=1, lowest=1, at_ns=START, records=alerts)))

    def done(self, verdict: Verdict | None, said: AnswerKind = AnswerKind.DONE) -> None:
        order = self.orders[-1]
        word = Answer(executor="ana", order=order.id, attempt=order.attempt, answer=said, verdict=verdict)
        self.keep(self.core.handle(Answers((word,))))

    def wait(self, seconds: float) -> None:
        self.now_ns += int(seconds * S)
        self.keep(self.core.tick(self.now_ns))

    def keep(self, records: object) -> None:
        assert isinstance(records, list)
        self.orders += records
        for name, part in self.core.save().items():
            self.parts.pop(name, None) if part is None else self.parts.update({name: part})

    def restart(self) -> None:
        self.core = SchedulerCore("s", "test", SETTINGS, {}, epoch=8)
        self.core.load(self.parts)
        self.core.tick(self.now_ns)

    def told(self, records: list[Record] | None = None) -> Verdicts | None:
        found = self.core.present(records).get(TOPIC)
        assert found is None or isinstance(found, Verdicts)
        return found


def test_what_was_found_goes_onto_the_order_and_to_the_asset() -> None:
    """With `done` comes the verdict: the order has it, and the asset's topic says it, also after a restart."""
    plant = Plant()
    plant.alerts(alert(LEARNT))
    assert plant.told() is None
    plant.done(Verdict.FALSE_ALARM)
    order = plant.orders[-1]
    assert (order.state.value, order.verdict) == ("done", Verdict.FALSE_ALARM)
    told = plant.told([order])
    assert told is not None
    (found,) = told.verdicts
    assert (found.order, found.alert, found.verdict, found.learnt) == (order.id, order.alert, Verdict.FALSE_ALARM, True)
    plant.restart()
    assert plant.told() == told


def test_a_second_answer_changes_nothing() -> None:
    """The same answer, or another verdict on what is done, counts as said before."""
    plant = Plant()
    plant.alerts(alert(LEARNT))
    plant.done(Verdict.REAL_FAULT)
    told, version = plant.told(), plant.orders[-1].version
    plant.done(Verdict.REAL_FAULT)
    plant.done(Verdict.FALSE_ALARM)
    assert (plant.told(), plant.orders[-1].version) == (told, version)


def test_an_answer_without_a_verdict_says_nothing() -> None:
    """Nobody has to give one; and what comes with another answer than `done` does not count."""
    plant = Plant()
    plant.alerts(alert(LEARNT))
    plant.done(Verdict.FALSE_ALARM, AnswerKind.STARTED)
    plant.done(None)
    assert plant.orders[-1].verdict is None
    assert plant.told() is None


def test_alarms_of_rules_are_told_apart() -> None:
    """A detector has to know whether its model was wrong, or a rule."""
    plant = Plant()
    plant.alerts(alert(evidence("flow")))
    plant.done(Verdict.FALSE_ALARM)
    told = plant.told()
    assert told is not None
    assert [found.learnt for found in told.verdicts] == [False]


def test_work_that_did_not_help_has_no_verdict_any_more() -> None:
    """The order is open again; what is found the next time takes the place of what was said before."""
    plant = Plant()
    plant.alerts(alert(LEARNT))
    plant.done(Verdict.FALSE_ALARM)
    plant.wait(SETTINGS.reopen_after + 1)
    assert plant.orders[-1].verdict is None
    plant.done(Verdict.REAL_FAULT)
    told = plant.told()
    assert told is not None
    assert [found.verdict for found in told.verdicts] == [Verdict.REAL_FAULT]


def test_only_so_many_are_kept() -> None:
    """The newest 32 of an asset."""
    plant = Plant()
    for number in range(40):
        plant.alerts(alert(LEARNT, number=number))
        plant.done(Verdict.REAL_FAULT)
        plant.alerts(alert(LEARNT, number=number, state=AlertState.CLEARED, version=2))
        plant.wait(SETTINGS.verify_for + 1)
    told = plant.told()
    assert told is not None
    assert len(told.verdicts) == MOST_VERDICTS
    assert told.verdicts[-1].order == plant.orders[-1].id
