"""Clocks that were set: a gateway says by how much, and nobody takes it for time that has passed."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemesh.agents.core import Core, Samples, TimedCore
from edgemesh.agents.detector import DetectorCore
from edgemesh.agents.gateway import MAX_DOUBTS, GatewayCore
from edgemesh.agents.recorder import RecorderCore
from edgemesh.agents.registry import RegistryCore
from edgemesh.agents.scheduler import SchedulerCore
from edgemesh.detect.settings import DetectSettings, LimitRule, SilentRule
from edgemesh.dispatch.settings import DispatchSettings
from edgemesh.errors import LogDamaged
from edgemesh.model.alerts import Alert, AlertState
from edgemesh.model.orders import DispatchList, OrderState, WorkOrder
from edgemesh.model.packs import Alerts, Cards, Readings
from edgemesh.model.samples import Batch, Record, Retimed, Sample
from edgemesh.model.settings import Seconds
from edgemesh.testing import at, check_core, make_sample
from tests.unit.dispatch.plant import START, S, alert, card

HOUR = 3600 * S
PI = 77
"""A clock that is not believed."""


def gateway_says(core: GatewayCore, *samples: Sample) -> list[Batch]:
    return [batch for batch in core.handle(Samples(samples)) if isinstance(batch, Batch)]


# -- the gateway -------------------------------------------------------------------------------------------------------


def test_samples_of_a_clock_in_doubt_say_so_and_are_put_right() -> None:
    """Batches name the clock until it is right; then the log says how far it was off, and batches are plain again."""
    core = GatewayCore()
    assert gateway_says(core, make_sample(1.0))[0].clock == 0
    assert core.retime(0, PI) == ()
    assert [batch.clock for batch in gateway_says(core, make_sample(1.0, at_s=5), make_sample(2.0, at_s=9))] == [PI, PI]
    assert core.retime(HOUR, 0) == [Retimed(clock=PI, from_ns=at(5), until_ns=at(9), by_ns=HOUR)]
    assert gateway_says(core, make_sample(1.0))[0].clock == 0
    assert core.retime(HOUR, 0) == []


def test_a_time_of_the_devices_own_is_left_alone() -> None:
    """What a device says of its own clock has nothing to do with the gateway's."""
    core = GatewayCore()
    core.retime(0, PI)
    own = msgspec.structs.replace(make_sample(1.0), own_time=True)
    (batch,) = gateway_says(core, own)
    assert batch.clock == 0
    assert core.retime(HOUR, 0) == []  # no time of ours was given


def test_a_reboot_in_doubt_is_put_right_with_the_rest() -> None:
    """Two starts in 1970 one after the other: each clock is put right by what it was off, as near as can be known."""
    core = GatewayCore()
    core.retime(0, PI)
    gateway_says(core, make_sample(1.0, at_s=100))
    again = GatewayCore()
    again.load({key: part for key, part in core.save().items() if part})
    again.retime(-90 * S, PI + 1)  # begins 90 s earlier than the one before ended
    gateway_says(again, make_sample(1.0, at_s=12))
    again.retime(0, PI + 1)
    first, second = again.retime(HOUR, 0)
    assert first == Retimed(clock=PI, from_ns=at(100), until_ns=at(100), by_ns=HOUR - 90 * S)
    assert second == Retimed(clock=PI + 1, from_ns=at(12), until_ns=at(12), by_ns=HOUR)


def test_doubts_are_bounded_and_survive() -> None:
    """However often a gateway begins in doubt, it keeps a few; a part that is none is said to be damaged."""
    core = GatewayCore()
    for clock in range(1, 100):
        core.retime(0, clock)
        gateway_says(core, make_sample(1.0))
    parts = {key: part for key, part in core.save().items() if part}
    other = GatewayCore()
    other.load(parts)
    assert other.save() == {}
    assert len(other.retime(S, 0)) == MAX_DOUBTS
    assert list(other.save().values()) == [None]
    with pytest.raises(LogDamaged):
        GatewayCore().load({"clocks": b"{"})


def test_who_remembers_instants_can_be_told() -> None:
    """Gateways, detectors and schedulers hear of a clock that was set; for the others there is nothing to move."""
    timed: list[Core] = [
        GatewayCore(),
        DetectorCore("d", "s", DetectSettings(), {}),
        SchedulerCore("s", "s", DispatchSettings(), {}),
    ]
    assert all(isinstance(core, TimedCore) for core in timed)
    assert not any(isinstance(core, TimedCore) for core in (RecorderCore(), RegistryCore("r", "s")))


# -- the detector ------------------------------------------------------------------------------------------------------

RULES = DetectSettings(
    rule=(
        LimitRule(name="high", metric="flow", above=5.0, clear=4.0, hold=Seconds(2), clear_hold=Seconds(2)),
        SilentRule(name="silent", after=Seconds(10)),
    )
)


def detector() -> DetectorCore:
    return DetectorCore("det", "plant", RULES, {})


def readings(seq: int, values: Sequence[float], at_ns: Sequence[int], clock: int = 0) -> Readings:
    batch = Batch(
        device="a", asset="a", metrics=("flow",), units=("1",), at_ns=tuple(at_ns), values=(tuple(values),), clock=clock
    )
    return Readings(agent="gw", epoch="e", seq=seq, lowest=1, at_ns=0, records=(batch,))


def correction(seq: int, retimed: Retimed) -> Readings:
    return Readings(agent="gw", epoch="e", seq=seq, lowest=1, at_ns=0, records=(), retimed=(retimed,))


def played(levels: Sequence[bool], begin: int, end: int, by_ns: int) -> tuple[list[Alert], list[Alert]]:
    """The alerts of one sample a second, with the right times, and where a stretch of them has a clock that is off."""
    right: list[Alert] = []
    wrong: list[Alert] = []
    true, doubting = detector(), detector()
    seq = 0
    for second, high in enumerate(levels):
        now = START + second * S
        for core, alerts in ((true, right), (doubting, wrong)):
            alerts += core.tick(now)
        value = [9.0 if high else 1.0]
        if second == end and begin < end:
            seq += 1
            from_ns, until_ns = START + begin * S - by_ns, START + (end - 1) * S - by_ns
            wrong += doubting.handle(
                correction(seq, Retimed(clock=PI, from_ns=from_ns, until_ns=until_ns, by_ns=by_ns))
            )
        doubted = begin <= second < end
        seq += 1
        right += true.handle(readings(seq, value, [now]))
        wrong += doubting.handle(readings(seq, value, [now - by_ns if doubted else now], PI if doubted else 0))
    return right, wrong


runs = st.lists(st.tuples(st.booleans(), st.integers(1, 9)), min_size=1, max_size=12)
"""High or low, and for how many seconds."""
doubts = st.one_of(
    st.tuples(st.just(0), st.sampled_from([HOUR, -HOUR, START - 60 * S, 7 * S, -7 * S])),
    st.tuples(st.integers(0, 20), st.just(0)),
)
"""When the doubt begins, and by how much the clock is off: what was right before it was doubted stays right."""


@given(runs, doubts, st.integers(0, 60))
def test_law_a_clock_in_doubt_raises_the_same_alerts(
    runs: list[tuple[bool, int]], doubt: tuple[int, int], end: int
) -> None:
    """With a clock that is off until it is put right: as many alerts, as long, and in the end at the same times."""
    begin, by_ns = doubt
    levels = [high for high, seconds in runs for _ in range(seconds)]
    right, wrong = played(levels, begin, end, by_ns)
    last = {each.id: each for each in wrong}
    true = {each.id: each for each in right}
    known = Retimed(clock=PI, from_ns=max(0, START - by_ns), until_ns=START + end * S - by_ns, by_ns=by_ns)

    def times(alert: Alert) -> tuple[object, ...]:
        alert = alert.put_right(known) if alert.clock else alert
        return alert.state, alert.onset_at_ns, alert.raised_at_ns, alert.cleared_at_ns

    if begin < end < len(levels):
        assert sorted(map(str, map(times, last.values()))) == sorted(map(str, map(times, true.values())))


def test_an_alert_that_stands_gets_its_true_times_and_its_end_too() -> None:
    """Raised in 1970, put right, cleared in 2026: one alert, three versions, and all times of the last are true."""
    core, now = detector(), START
    core.tick(now)
    raised = core.handle(readings(1, [9.0] * 4, [S * k for k in range(1, 5)], PI))
    assert [(each.version, each.clock, each.onset_at_ns) for each in raised] == [(1, PI, S)]
    by_ns = START - 4 * S
    moved = core.handle(correction(2, Retimed(clock=PI, from_ns=S, until_ns=4 * S, by_ns=by_ns)))
    assert [(each.version, each.clock, each.onset_at_ns) for each in moved] == [(2, 0, S + by_ns)]
    over = core.handle(readings(3, [1.0] * 4, [START + S * k for k in range(1, 5)]))
    assert [(each.id, each.version, each.clock) for each in over] == [(raised[0].id, 3, 0)]
    assert over[0].onset_at_ns == S + by_ns
    assert over[0].cleared_at_ns == START + 3 * S
    assert core.handle(correction(2, Retimed(clock=PI, from_ns=S, until_ns=4 * S, by_ns=by_ns))) == []


def test_a_gateway_that_wakes_in_1970_is_not_late() -> None:
    """Times far behind the ones before, by a clock that says it is in doubt, are new samples and not old ones."""
    core = detector()
    core.tick(START)
    core.handle(readings(1, [1.0], [START]))
    assert core.handle(readings(2, [9.0] * 4, [S * k for k in range(1, 5)], PI))
    assert core.stats["late"] == 0


@pytest.mark.parametrize("by_ns", [HOUR, -HOUR, 10 * 365 * 24 * HOUR])
def test_the_detectors_own_clock_makes_nobody_silent(by_ns: int) -> None:
    """Whoever sets the detector's clock: only a device that is not heard is silent, and when its time is up."""
    core, now = detector(), START
    for second in range(8):
        core.tick(now + second * S)
        core.handle(readings(second + 1, [1.0], [now + second * S]))
    assert core.retime(by_ns, 0) == []
    now += by_ns + 7 * S
    silent = [len(core.tick(now + second * S)) for second in range(1, 12)]
    assert silent == [0] * 10 + [1]


def test_a_detector_that_is_told_goes_on_after_a_restart() -> None:
    """The law of cores holds with clocks in doubt, too: twice is once, and a restart at any point changes nothing."""
    known = Retimed(clock=PI, from_ns=S, until_ns=6 * S, by_ns=START - 6 * S)
    check_core(
        detector,
        [
            START,
            readings(1, [9.0] * 4, [S * k for k in range(1, 5)], PI),
            START + S,
            readings(2, [9.0, 9.0], [5 * S, 6 * S], PI),
            correction(3, known),
            START + 2 * S,
            readings(4, [1.0] * 4, [START + S * k for k in range(1, 5)]),
        ],
    )


# -- the scheduler -----------------------------------------------------------------------------------------------------


class Desk:
    """A scheduler with one able executor and an order that was given to it."""

    def __init__(self, start: int = START) -> None:
        self.core = SchedulerCore("s", "plant", DispatchSettings(answer_within=Seconds(30)), {})
        self.now = start
        self.seen: list[WorkOrder] = []
        self.took(self.core.tick(self.now))
        self.took(self.core.handle(Cards((card("ana"),))))

    def took(self, records: Sequence[Record]) -> list[OrderState]:
        orders = [record for record in records if isinstance(record, WorkOrder)]
        self.seen += orders
        return [order.state for order in orders]

    def raise_alert(self) -> list[OrderState]:
        return self.took(self.core.handle(Alerts(agent="d", epoch="e", seq=1, lowest=1, at_ns=0, records=(alert(),))))

    def wait(self, seconds: int) -> list[OrderState]:
        self.now += seconds * S
        return self.took(self.core.tick(self.now))

    def set_clock(self, by_ns: int, doubt: int = 0) -> None:
        self.took(self.core.retime(by_ns, doubt))
        self.now += by_ns

    def restart(self) -> None:
        self.parts |= {key: part for key, part in self.core.save().items() if part}
        self.core = SchedulerCore("s", "plant", DispatchSettings(answer_within=Seconds(30)), {})
        self.core.load(self.parts)

    parts: dict[str, bytes] = {}


@pytest.mark.parametrize("by_ns", [HOUR, -HOUR, 12 * 365 * 24 * HOUR, -(START - 60 * S)])
def test_a_deadline_comes_when_its_time_has_passed(by_ns: int) -> None:
    """A scheduler's clock that is set by an hour or by years moves no deadline, not even over a restart."""
    desk = Desk()
    desk.parts = {}
    assert desk.raise_alert() == [OrderState.OPEN, OrderState.DISPATCHED]
    desk.wait(20)
    desk.set_clock(by_ns)
    assert desk.wait(9) == []
    listed = desk.core.present(None)["dispatch/ana"]
    assert isinstance(listed, DispatchList)
    assert listed.orders[0].deadline_at_ns == desk.now + S
    desk.restart()
    assert desk.wait(0) == []
    assert desk.wait(2)[:1] == [OrderState.OPEN]
    assert "did not answer in time" in desk.seen[-1].note or "did not answer" in desk.seen[-2].note


def test_an_order_of_a_clock_in_doubt_gets_its_true_times() -> None:
    """Opened and dispatched in 1970: once the clock is right the order says when that was in truth."""
    desk = Desk(start=5 * S)
    desk.parts = {}
    desk.set_clock(0, PI)
    desk.wait(1)
    desk.raise_alert()
    desk.wait(4)
    desk.restart()
    desk.wait(1)
    desk.set_clock(START, 0)
    (entry,) = desk.core._desk.ledger.entries.values()
    assert (entry.order.opened_at_ns, entry.order.dispatched_at_ns) == (START + 6 * S, START + 6 * S)
    assert desk.wait(20) == []
    desk.restart()
    (entry,) = desk.core._desk.ledger.entries.values()
    assert entry.order.opened_at_ns == START + 6 * S


def test_one_doubt_after_the_other_is_put_right_as_one() -> None:
    """An order of a first start in 1970 gets its true time when the second start's clock is set."""
    desk = Desk(start=9 * S)
    desk.parts = {}
    desk.set_clock(0, PI)
    desk.raise_alert()
    desk.wait(2)
    desk.set_clock(-5 * S, PI + 1)
    desk.wait(1)
    desk.set_clock(START, 0)
    (entry,) = desk.core._desk.ledger.entries.values()
    assert entry.order.opened_at_ns == START + 4 * S
    assert entry.order.deadline_at_ns == START + 34 * S


def test_cleared_alerts_are_remembered_through_a_jump() -> None:
    """What wakes nobody any more wakes nobody because a clock was set: memory does not age by a jump."""
    desk = Desk(start=5 * S)
    desk.parts = {}
    desk.set_clock(0, PI)
    desk.raise_alert()
    over = alert(version=2, state=AlertState.CLEARED)
    desk.took(desk.core.handle(Alerts(agent="d", epoch="e", seq=2, lowest=1, at_ns=0, records=(over,))))
    desk.set_clock(START, 0)
    desk.wait(5)
    assert alert().id in desk.core._desk.memory.seen
    assert desk.raise_alert() == []


def test_an_alert_with_true_times_tells_its_order() -> None:
    """When an alert's times are put right, the order that it opened says so in its next version, and moves nowhere."""
    desk = Desk()
    desk.parts = {}
    desk.raise_alert()
    true = msgspec.structs.replace(alert(version=2), onset_at_ns=START + 7, raised_at_ns=START + 8)
    moved = desk.core.handle(Alerts(agent="d", epoch="e", seq=2, lowest=1, at_ns=0, records=(true,)))
    assert [(order.state, order.occurred_at_ns, order.attempt) for order in moved if isinstance(order, WorkOrder)] == [
        (OrderState.DISPATCHED, START + 7, 1)
    ]
