"""What keeps an alert from an order of its own: silences, reviews, others that are silent with it, flapping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemesh.agents.scheduler import SchedulerCore
from edgemesh.dispatch.settings import (
    DispatchSettings,
    FlappingSettings,
    GroupSettings,
    ReviewSettings,
    SilenceWindow,
    WhenUnreviewed,
)
from edgemesh.model.agents import Asset, Role
from edgemesh.model.alerts import Alert, AlertKind, AlertState, Severity
from edgemesh.model.commands import Command, Judgement, Silencing
from edgemesh.model.ids import derive_id
from edgemesh.model.orders import OrderState, WorkOrder
from edgemesh.model.packs import Alerts, Cards
from edgemesh.model.samples import Record
from edgemesh.model.settings import Seconds
from edgemesh.model.silences import Case, Ruling, Silence
from tests.unit.dispatch.plant import START, S, alert, card

UNSURE = msgspec.structs.replace(alert(number=7), confidence=0.6)
SURE = msgspec.structs.replace(UNSURE, confidence=0.9, version=2)
ID = "ab" * 16


class Site:
    """A core with a clock, through which every pack goes twice, with a restart from what it saved between."""

    def __init__(self, settings: DispatchSettings | None = None, assets: int = 40) -> None:
        self.settings = settings or DispatchSettings()
        self.assets = {
            f"a{k}": Asset(id=f"a{k}", area=f"hall-{k // 20}", criticality="A" if k == 0 else "C")
            for k in range(assets)
        } | {"P-101": Asset(id="P-101", criticality="A", area="hall-0")}
        self.parts: dict[str, bytes] = {}
        self.told: dict[str, Record | None] = {}
        self.orders: dict[str, WorkOrder] = {}
        self.now_ns = START
        self.core = self.make()
        self.wait(0)

    def make(self) -> SchedulerCore:
        return SchedulerCore("scheduler", "test", self.settings, self.assets)

    def restart(self) -> None:
        self.core = self.make()
        self.core.load(self.parts)
        self.core.tick(self.now_ns)

    def took(self, records: Sequence[Record]) -> None:
        for order in records:
            assert isinstance(order, WorkOrder)
            self.orders[order.id] = order
        self.told |= self.core.news()
        for name, part in self.core.save().items():
            if part is None:
                self.parts.pop(name, None)
            else:
                self.parts[name] = part

    def hear(self, *alerts: Alert) -> None:
        pack = Alerts(agent="d1", epoch="e", seq=1, lowest=1, at_ns=START, records=alerts)
        self.took(self.core.handle(pack))
        self.took(self.core.handle(pack))
        self.restart()

    def down(self, *gateways: str) -> None:
        self.took(self.core.handle(Cards(tuple(card(name, up=False, role=Role.GATEWAY) for name in gateways))))

    def command(self, command: Command) -> None:
        self.took(self.core.handle(command))
        self.took(self.core.handle(command))
        self.restart()

    def wait(self, seconds: float) -> None:
        self.now_ns += int(seconds * S)
        self.took(self.core.tick(self.now_ns))

    @property
    def open(self) -> list[WorkOrder]:
        return [order for order in self.orders.values() if not order.state.final]


def silent(number: int, gateway: str, state: AlertState = AlertState.FIRING) -> Alert:
    version = 1 if state is AlertState.FIRING else 2
    made = alert(asset=f"a{number}", kind=AlertKind.SILENT, state=state, version=version, severity=Severity.WARNING)
    return msgspec.structs.replace(made, gateway=gateway)


def cleared(of: Alert) -> Alert:
    return msgspec.structs.replace(of, state=AlertState.CLEARED, version=of.version + 5)


def silencing(**fields: object) -> Command:
    asked = {"by": "ana", "reason": "oil change", "for_s": 600.0} | fields
    return Command(id=ID, silence=msgspec.convert(asked, Silencing))


# -- reviews ----------------------------------------------------------------------------------------------


def test_an_unsure_alert_waits_and_a_sure_one_does_not() -> None:
    """Below the level it waits for a person and shows; at the level it opens its order at once."""
    site = Site()
    site.hear(UNSURE)
    assert site.open == []
    case = site.told[f"state/review/{UNSURE.id}"]
    assert isinstance(case, Case)
    assert (case.alert, case.since_ns, case.until_ns) == (UNSURE, START, START + 1800 * S)
    assert site.core.present(None) == {f"state/review/{UNSURE.id}": case}
    site.hear(SURE)
    assert [order.alert for order in site.open] == [UNSURE.id]
    assert site.told[f"state/review/{UNSURE.id}"] is None


@pytest.mark.parametrize("ruling", Ruling)
def test_a_person_decides(ruling: Ruling) -> None:
    """Confirmed, it opens its order at once; dismissed, it opens none as long as it stands, however sure it gets."""
    site = Site()
    site.hear(UNSURE)
    site.command(Command(id=ID, review=Judgement(alert=UNSURE.id, ruling=ruling, by="ana")))
    assert len(site.open) == (1 if ruling is Ruling.CONFIRM else 0)
    assert site.told[f"state/review/{UNSURE.id}"] is None
    site.hear(msgspec.structs.replace(SURE, version=3))
    site.wait(4000)
    assert len(site.open) == (1 if ruling is Ruling.CONFIRM else 0)
    site.hear(cleared(UNSURE))
    site.hear(msgspec.structs.replace(SURE, id=derive_id("another")))
    assert len(site.open) == 1


@pytest.mark.parametrize("then", WhenUnreviewed)
def test_nobody_looks(then: WhenUnreviewed) -> None:
    """After the time-out the policy decides; a restart does not begin it anew."""
    site = Site(DispatchSettings(review=ReviewSettings(time_out=Seconds(60.0), then=then)))
    site.hear(UNSURE)
    site.wait(59)
    site.restart()
    assert site.open == []
    site.wait(1)
    assert len(site.open) == (1 if then is WhenUnreviewed.OPEN else 0)
    assert site.core.news() == {}
    assert site.told[f"state/review/{UNSURE.id}"] is None


def test_what_clears_while_it_waits_is_over() -> None:
    """Nobody is asked about what is gone, and a late word on it changes nothing."""
    site = Site()
    site.hear(UNSURE)
    site.hear(cleared(UNSURE))
    assert site.told[f"state/review/{UNSURE.id}"] is None
    site.command(Command(id=ID, review=Judgement(alert=UNSURE.id, ruling=Ruling.CONFIRM, by="ana")))
    site.wait(4000)
    assert not site.orders
    assert not [name for name in site.parts if name.startswith("kept/")]


# -- silences ----------------------------------------------------------------------------------------------


def test_a_silence_keeps_alerts_from_orders_until_it_ends() -> None:
    """Silenced alerts open no order; what still stands at the end opens one then, what has cleared does not."""
    site = Site()
    site.command(silencing(asset="P-*"))
    silence = site.told[f"state/silence/{ID}"]
    assert isinstance(silence, Silence)
    assert (silence.by, silence.reason, silence.end_ns) == ("ana", "oil change", START + 600 * S)
    first, second = alert(number=1), alert(number=2, kind=AlertKind.SENSOR)
    site.hear(first, second, alert(asset="a3", number=3))
    assert [order.asset for order in site.open] == ["a3"]
    site.hear(cleared(second))
    site.wait(598)
    assert len(site.orders) == 1
    site.wait(3)
    assert [order.alert for order in site.open] == [alert(asset="a3", number=3).id, first.id]
    assert site.told[f"state/silence/{ID}"] is None


def test_a_silence_can_be_ended() -> None:
    """Ended by a person, it is over within a second."""
    site = Site()
    site.command(silencing())
    site.hear(alert())
    site.command(Command(id="cd" * 16, end_silence=ID))
    assert site.told[f"state/silence/{ID}"] is None
    site.wait(1)
    assert len(site.open) == 1


@pytest.mark.parametrize(
    ("fields", "silent_"),
    [
        ({"asset": "P-1*"}, True),
        ({"asset": "Q-*"}, False),
        ({"area": "hall-0"}, True),
        ({"area": "hall-1"}, False),
        ({"kind": "machine"}, True),
        ({"kind": "sensor"}, False),
        ({"severity": "critical"}, True),
        ({"severity": "warning"}, False),
    ],
)
def test_a_silence_covers_what_fits(fields: dict[str, str], silent_: bool) -> None:
    """Asset and area by pattern, the kind, and the severity up to which it counts."""
    site = Site()
    site.command(silencing(**fields))
    site.hear(alert())
    assert bool(site.open) is not silent_


def test_windows_of_the_configuration_come_again() -> None:
    """A schedule silences by itself; START is a Tuesday, 22:13 UTC."""
    window = SilenceWindow(when="Tue 22:00-22:30", reason="flushing", asset="P-*")
    site = Site(DispatchSettings(silence=(window,)))
    site.hear(alert())
    site.wait(10 * 60)
    assert not site.orders
    site.wait(10 * 60)
    assert len(site.open) == 1
    with pytest.raises(ValueError, match="schedule"):
        SilenceWindow(when="now and then", reason="x")


def test_a_clock_that_is_set_neither_ends_nor_lengthens_what_waits() -> None:
    """Silences and reviews last as long as they would have."""
    site = Site()
    site.command(silencing(asset="a1"))
    site.hear(UNSURE)
    site.core.retime(3600 * S, 0)
    site.now_ns += 3600 * S
    site.wait(599)
    assert len(site.core.present(None)) == 2
    site.wait(2)
    assert list(site.core.present(None)) == [f"state/review/{UNSURE.id}"]


# -- topology ----------------------------------------------------------------------------------------------


def test_a_dead_gateway_is_one_order() -> None:
    """Its card says it is down: all that is silent behind it is one order, whenever it comes."""
    site = Site()
    site.down("g1")
    site.hear(silent(1, "g1"))
    site.wait(6)
    site.hear(silent(2, "g1"), silent(3, "g1"))
    site.wait(60)
    site.hear(silent(4, "g1"))
    site.wait(6)
    (order,) = site.open
    assert (order.asset, order.title) == ("g1", "Check power and network of gateway g1")
    for number in range(1, 5):
        assert site.open == [order]
        site.hear(silent(number, "g1", AlertState.CLEARED))
    assert site.open == []


def test_many_silent_assets_behind_a_living_gateway_are_one_order() -> None:
    """Without a word of the gateway three silent assets at once are its trouble, two are their own."""
    for count, places in ((2, ["a1", "a2"]), (3, ["g1"]), (9, ["g1"])):
        site = Site()
        site.hear(*(silent(number, "g1") for number in range(1, count + 1)))
        assert not site.orders
        site.wait(6)
        assert sorted(order.asset for order in site.open) == places


def test_a_power_cut_is_at_most_ten_orders() -> None:
    """Two halls of twenty gateways go dark within half a minute, in any order: one order for each hall, few besides."""
    site = Site()
    for step in range(40):
        number = step * 7 % 40
        site.hear(silent(number, f"g{number}"))
        if step % 3:
            site.down(f"g{number}")
        site.wait(0.7)
    site.wait(10)
    assert {"hall-0", "hall-1"} <= {order.asset for order in site.open}
    assert len(site.orders) <= 10


def test_spread_makes_it_more_urgent() -> None:
    """A silent sensor of an asset of criticality C is P4; many of them behind one gateway are a step above."""
    alone, many = Site(), Site()
    alone.hear(silent(1, "g1"))
    many.hear(*(silent(number, "g1") for number in range(1, 8)))
    for site in (alone, many):
        site.wait(6)
    assert ([order.priority for order in alone.open], [order.priority for order in many.open]) == (["P4"], ["P3"])


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 39), st.booleans(), st.booleans()), max_size=40))
def test_silence_in_any_order_leaves_nothing_behind(steps: list[tuple[int, bool, bool]]) -> None:
    """Whatever is silent, comes back, goes down: once all has cleared no order is open and nothing is kept."""
    core = SchedulerCore("s", "test", DispatchSettings(), {})
    orders: dict[str, OrderState] = {}
    now_ns, heard = START, set[int]()

    def took(records: Sequence[Record]) -> None:
        orders.update({order.id: order.state for order in records if isinstance(order, WorkOrder)})

    def hear(one: Alert) -> None:
        took(core.handle(Alerts(agent="d", epoch="e", seq=1, lowest=1, at_ns=START, records=(one,))))

    for number, over, dies in steps:
        gateway = f"g{number % 6}"
        took(core.handle(Cards((card(gateway, up=not dies, role=Role.GATEWAY),))))
        hear(silent(number, gateway, AlertState.CLEARED if over else AlertState.FIRING))
        heard.add(number)
        now_ns += 2 * S
        took(core.tick(now_ns))
    for number in heard:
        hear(silent(number, f"g{number % 6}", AlertState.CLEARED))
    took(core.tick(now_ns + 3600 * S))
    assert all(state.final for state in orders.values())
    saved = parts_of(core)
    assert not [name for name in saved if name.startswith(("kept/", "mute/"))]


def parts_of(core: SchedulerCore) -> Mapping[str, bytes]:
    return {name: part for name, part in core.save().items() if part is not None}


# -- flapping ----------------------------------------------------------------------------------------------


def flap(site: Site, times: int, every_s: float) -> None:
    for number in range(times):
        one = alert(number=100 + number)
        site.hear(one)
        site.wait(every_s / 2)
        site.hear(cleared(one))
        site.wait(every_s / 2)


def test_an_alert_that_flaps_keeps_one_order() -> None:
    """From the third time in a minute on the order stays, until it was calm for ten minutes."""
    site = Site()
    flap(site, 20, 10.0)
    assert len(site.orders) == 3
    (order,) = site.open
    assert "comes and goes" in order.note
    site.wait(580)
    assert len(site.open) == 1
    site.wait(20)
    assert site.open == []
    assert site.orders[order.id].state is OrderState.CANCELLED


def test_with_patience_it_is_one_order_from_the_start() -> None:
    """With `cancel_after` the first order waits for the alert to come back; one that clears for good goes."""
    site = Site(DispatchSettings(cancel_after=Seconds(60.0)))
    flap(site, 20, 10.0)
    assert len(site.orders) == 1
    calm = Site(DispatchSettings(cancel_after=Seconds(60.0)))
    flap(calm, 1, 10.0)
    calm.wait(54)
    assert len(calm.open) == 1
    calm.wait(2)
    assert calm.open == []


def test_slow_returns_do_not_flap() -> None:
    """Alerts of one asset that come every minute or later each have their order."""
    site = Site(DispatchSettings(flapping=FlappingSettings(count=3, within=Seconds(60.0))))
    flap(site, 5, 61.0)
    assert len(site.orders) == 5
    assert site.open == []


def test_a_brief_alert_opens_no_order_where_that_is_asked_for() -> None:
    """With `open_after` what is not critical has to stand for so long; what is critical has not."""
    site = Site(DispatchSettings(open_after=Seconds(30.0), group=GroupSettings(within=Seconds(0.0))))
    warning = alert(number=1, severity=Severity.WARNING)
    site.hear(warning)
    site.wait(29)
    site.hear(cleared(warning))
    site.wait(60)
    assert not site.orders
    site.hear(alert(number=2, severity=Severity.WARNING), alert(asset="a1", number=3))
    assert [order.asset for order in site.open] == ["a1"]
    site.wait(30)
    assert len(site.open) == 2
