"""Laws of the scheduler's core, hunted with random alerts, answers, cards, time and restarts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from edgemesh.agents.core import Input
from edgemesh.agents.scheduler import SchedulerCore
from edgemesh.dispatch.settings import DispatchSettings, FlappingSettings, WhenCleared
from edgemesh.model.agents import Asset, Card
from edgemesh.model.alerts import Alert, AlertKind, AlertState, Severity
from edgemesh.model.orders import ORDER_MOVES, AnswerKind, DispatchList, OrderState, WorkOrder
from edgemesh.model.packs import Alerts, Answers, Cards
from edgemesh.model.samples import Record
from tests.unit.dispatch.plant import START, S, alert, answer, card, evidence

ASSET_NAMES = ("P-101", "P-102")
ASSETS = {
    name: Asset(id=name, asset_class="pump", criticality=grade) for name, grade in zip(ASSET_NAMES, "AC", strict=True)
}
NAMES = ("ana", "ben", "eva")
METRICS = ("suction_pressure", "vibration_velocity", "winding_temperature")
SKILLS: tuple[dict[str, float], ...] = (
    {"operator": 1.0},
    {"fitter": 1.0, "operator": 0.3},
    {"electrician": 0.6, "fitter": 0.6},
    {},
)
ALL_SKILLS = {"operator": 1.0, "fitter": 1.0, "electrician": 1.0, "instrument": 1.0}
HELD = (OrderState.DISPATCHED, OrderState.ACCEPTED, OrderState.IN_PROGRESS)

Step = Input | int


def run(core: SchedulerCore, step: Step) -> Sequence[Record]:
    return core.tick(step) if isinstance(step, int) else core.handle(step)


def keep(parts: dict[str, bytes], core: SchedulerCore) -> None:
    """What a commit does with the saved parts."""
    for key, part in core.save().items():
        if part is None:
            parts.pop(key, None)
        else:
            parts[key] = part


class World(RuleBasedStateMachine):
    """A core that is restarted now and then, and what its log says of each order."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: dict[str, bytes] = {}
        self.log: list[WorkOrder] = []
        self.orders: dict[str, WorkOrder] = {}
        self.kinds: dict[str, AlertKind] = {}
        self.alerts: dict[str, Alert] = {}
        self.people: dict[str, Card] = {}
        self.steps: list[Step] = []
        self.now_ns = START
        self.numbers = 0
        self.sound = True

    def make(self) -> SchedulerCore:
        return SchedulerCore("scheduler", "test", self.settings, ASSETS)

    @initialize(policy=st.sampled_from(list(WhenCleared)))
    def begin(self, policy: WhenCleared) -> None:
        self.settings = DispatchSettings(when_cleared=policy, flapping=FlappingSettings(count=100))
        self.core = self.make()
        self.step(self.now_ns)

    def step(self, step: Step) -> None:
        """One input, checked version by version; the same input again brings about nothing."""
        self.steps.append(step)
        self.sound = False
        for record in run(self.core, step):
            assert isinstance(record, WorkOrder)
            self.check(record)
        assert list(run(self.core, step)) == []
        self.sound = True

    def check(self, order: WorkOrder) -> None:
        before = self.orders.get(order.id)
        self.log.append(order)
        if before is None:
            assert (order.version, order.state, order.attempt) == (1, OrderState.OPEN, 0)
        else:
            assert not before.state.final
            assert order.version == before.version + 1
            assert order.state is before.state or order.state in ORDER_MOVES[before.state]
            assert order.attempt == before.attempt + (
                order.state is OrderState.DISPATCHED and before.state is OrderState.OPEN
            )
        self.orders[order.id] = order
        if order.state is OrderState.DISPATCHED and before is not None and before.state is OrderState.OPEN:
            held = sum(one.executor == order.executor and one.state in HELD for one in self.orders.values())
            someone = self.people[order.executor or ""]
            assert someone.state.value == "up"
            assert held <= someone.max_load
            assert all(someone.skills.get(skill, 0.0) >= least for skill, least in order.skills.items())

    # -- what happens

    @rule(dt_s=st.sampled_from((0.25, 5.0, 30.0, 60.0, 600.0, 5 * 3600.0)))
    def time_passes(self, dt_s: float) -> None:
        self.now_ns += int(dt_s * S)
        self.step(self.now_ns)

    @rule(
        asset=st.sampled_from(ASSET_NAMES),
        kind=st.sampled_from((AlertKind.MACHINE, AlertKind.SENSOR)),
        severity=st.sampled_from(list(Severity)),
        state=st.sampled_from((AlertState.PENDING, AlertState.FIRING, AlertState.FIRING, AlertState.FIRING)),
        metric=st.sampled_from(METRICS),
    )
    def alert_begins(self, asset: str, kind: AlertKind, severity: Severity, state: AlertState, metric: str) -> None:
        self.numbers += 1
        shown = evidence(metric, value=0.0 if metric.startswith("suction") else 9.0)
        self.tell(alert(shown, asset=asset, number=self.numbers, kind=kind, severity=severity, state=state))

    @rule(data=st.data())
    def alert_changes(self, data: st.DataObject) -> None:
        """Any alert in any other version: later, older, contradictory, back from the dead."""
        if self.alerts:
            old = self.alerts[data.draw(st.sampled_from(sorted(self.alerts)))]
            changes: dict[str, Any] = {
                "state": data.draw(st.sampled_from((AlertState.FIRING, AlertState.ACKNOWLEDGED, AlertState.CLEARED))),
                "severity": data.draw(st.sampled_from(list(Severity))),
                "evidence": (evidence(data.draw(st.sampled_from(METRICS)), value=9.0),),
                "version": max(1, old.version + data.draw(st.integers(-1, 2))),
            }
            self.tell(Alert(**{**{name: getattr(old, name) for name in old.__struct_fields__}, **changes}))

    @rule(data=st.data())
    def alert_ends(self, data: st.DataObject) -> None:
        standing = sorted(one.id for one in self.alerts.values() if one.state is not AlertState.CLEARED)
        if standing:
            self.end(self.alerts[data.draw(st.sampled_from(standing))])

    def end(self, known: Alert) -> None:
        over = {name: getattr(known, name) for name in known.__struct_fields__}
        self.tell(Alert(**{**over, "state": AlertState.CLEARED, "version": known.version + 1}))

    def tell(self, *alerts: Alert) -> None:
        for one in alerts:
            known = self.alerts.get(one.id)
            if known is None or (
                known.state is not AlertState.CLEARED
                and (one.state is AlertState.CLEARED or one.version > known.version)
            ):
                self.alerts[one.id] = one
            self.kinds[one.id] = one.kind
        self.step(Alerts(agent="d1", epoch="e", seq=1, lowest=1, at_ns=START, records=alerts))

    @rule(data=st.data())
    def somebody_answers(self, data: st.DataObject) -> None:
        """Anybody says anything of any order: mostly fitting, often late, doubled, alien or contradictory."""
        if self.orders:
            standing = [one.id for one in self.orders.values() if one.state in HELD]
            order = self.orders[data.draw(st.sampled_from([*standing, *standing, *self.orders]))]
            name = data.draw(st.sampled_from((order.executor or "ana", order.executor or "ben", *NAMES)))
            attempt = max(1, order.attempt + data.draw(st.sampled_from((0, 0, 0, 0, -1, 1))))
            said = data.draw(st.sampled_from(list(AnswerKind)))
            self.step(Answers((answer(name, order.id, said, attempt),)))

    @rule(
        name=st.sampled_from(NAMES),
        up=st.sampled_from((True, True, True, False)),
        incarnation=st.sampled_from(("i1", "i2")),
        skills=st.sampled_from(SKILLS),
        load=st.integers(0, 2),
        max_load=st.integers(0, 3),
    )
    def card_changes(
        self, name: str, up: bool, incarnation: str, skills: dict[str, float], load: int, max_load: int
    ) -> None:
        self.see(card(name, up=up, incarnation=incarnation, skills=skills, load=load, max_load=max_load))

    def see(self, *cards: Card) -> None:
        self.people |= {one.agent: one for one in cards}
        self.step(Cards(cards))

    @rule()
    def save(self) -> None:
        keep(self.parts, self.core)
        assert self.core.save() == {}

    @rule()
    def restart(self) -> None:
        self.save()
        self.core = self.make()
        self.core.load(self.parts)
        self.step(self.now_ns)
        assert self.core.save() == {}

    # -- what always holds

    @invariant()
    def one_open_order_per_asset_and_kind(self) -> None:
        standing = Counter((one.asset, self.kinds[one.alert]) for one in self.orders.values() if not one.state.final)
        assert all(count == 1 for count in standing.values())

    @invariant()
    def lists_hold_what_executors_hold(self) -> None:
        if not hasattr(self, "core"):
            return
        shown = self.core.present(None)
        listed = {
            (topic.removeprefix("dispatch/"), job.order, job.attempt, job.state)
            for topic, record in shown.items()
            if isinstance(record, DispatchList)
            for job in record.orders
        }
        assert listed == {
            (one.executor, one.id, one.attempt, one.state) for one in self.orders.values() if one.state in HELD
        }
        standing = {record.id: record for record in shown.values() if isinstance(record, WorkOrder)}
        assert standing == {one.id: one for one in self.orders.values() if not one.state.final}

    @invariant()
    def urgent_alerts_have_an_order(self) -> None:
        standing = {(one.asset, self.kinds[one.alert]) for one in self.orders.values() if not one.state.final}
        for one in self.alerts.values():
            if one.state in (AlertState.FIRING, AlertState.ACKNOWLEDGED) and one.severity is not Severity.INFO:
                assert (one.asset, one.kind) in standing

    def teardown(self) -> None:
        if self.steps and self.sound:
            self.replay_is_equal()
            self.all_ends_well()

    def replay_is_equal(self) -> None:
        """The same inputs give the same log to a core that never restarts, and to one that restarts all the time."""
        core = self.make()
        assert [record for step in self.steps for record in run(core, step)] == self.log
        records: list[Record] = []
        parts: dict[str, bytes] = {}
        now_ns = 0
        for step in self.steps:
            core = self.make()
            core.load(parts)
            now_ns = max(now_ns, step) if isinstance(step, int) else now_ns
            records += core.tick(now_ns)
            records += run(core, step)
            keep(parts, core)
        assert records == self.log

    def all_ends_well(self) -> None:
        """With one willing and able executor every order that stands is verified once its alerts clear."""
        standing = [one.id for one in self.orders.values() if not one.state.final]
        self.see(*(card(name, up=False, incarnation="i9") for name in NAMES))
        self.now_ns += 5 * 3600 * S
        self.step(self.now_ns)
        self.see(card("zoe", skills=ALL_SKILLS, max_load=100))
        for _ in range(3):
            for one in list(self.orders.values()):
                if one.state in HELD and one.executor == "zoe":
                    self.step(Answers((answer("zoe", one.id, AnswerKind.DONE, one.attempt),)))
            for known in list(self.alerts.values()):
                self.end(known)
            self.now_ns += 60 * S
            self.step(self.now_ns)
        assert {self.orders[order].state for order in standing} <= {OrderState.VERIFIED}


World.TestCase.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
TestWorld = World.TestCase
