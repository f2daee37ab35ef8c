"""What people hear in a week of a site of 30 gateways: `python -m benchmarks.alarm_load [--days 7] [--only MACHINE]`.

Every fault of the simulator comes once, as the production watch with the rules of configs/rules.toml tells it; besides,
gateways die, a hall loses its power, and wires are loose. The scheduler's core runs through the week in simulated time
with the settings of configs/factory.toml. Heard is what opens an order or asks for a review; a crew without limits does
each order in the time that the table of causes says, and the alert clears a minute later.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from benchmarks.causes import record, warm
from benchmarks.rules import MODELS, faults_of
from edgemesh.agents.scheduler import SchedulerCore
from edgemesh.configuration.loading import load
from edgemesh.dispatch.settings import DispatchSettings
from edgemesh.model.agents import Asset, Card, Presence, Role
from edgemesh.model.alerts import Alert, AlertKind, AlertState, Evidence, Severity
from edgemesh.model.ids import derive_id
from edgemesh.model.orders import Answer, AnswerKind, OrderState, WorkOrder
from edgemesh.model.packs import Alerts, Answers, Cards
from edgemesh.model.samples import Record

FACTORY = Path(__file__).parent.parent / "configs" / "factory.toml"
S = 10**9
BEGIN_NS = 1_767_600_000 * S
GATEWAYS, HALLS, DEVICES = 30, 3, 5
DEATHS, CHATTER = 3, 3
WINDOW_S, DAY_S = 600.0, 86_400.0
SKILLS = (
    "operator", "fitter", "instrument", "electrician", "lubrication", "vibration", "refrigeration", "automation",
)  # fmt: skip

Stream = Sequence[tuple[float, Alert]]
"""Versions of alerts of one fault, with the seconds since its onset."""


@dataclass
class Week:
    """The site, its scheduler and its crew; `heard` is when (s) something was put before a person, and of what."""

    days: float
    settings: DispatchSettings
    seed: int = 1
    now_s: float = 0.0
    heard: list[tuple[float, str]] = field(default_factory=list)
    raised: int = 0
    orders: dict[str, WorkOrder] = field(default_factory=dict)
    standing: dict[str, Alert] = field(default_factory=dict)
    causes: dict[str, str] = field(default_factory=dict)
    cut_s: float = 0.0

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._reviews: set[str] = set()
        self.assets: dict[str, Asset] = {}
        self.core = SchedulerCore("scheduler", "site", self.settings, self.assets)

    def at(self, at_s: float, do: Callable[[], None]) -> None:
        """Have something happen."""
        heapq.heappush(self.events, (at_s, next(self._numbers), do))

    def hall(self, gateway: int) -> str:
        return f"hall-{gateway * HALLS // GATEWAYS}"

    def add_asset(self, name: str, gateway: int) -> None:
        asset_class = name.partition(".")[0].rstrip("0123456789").rstrip("-")
        grade = "ABC"[len(self.assets) % 3]
        self.assets[name] = Asset(id=name, asset_class=asset_class, area=self.hall(gateway), criticality=grade)

    def hear(self, alert: Alert, cause: str) -> None:
        """An alert comes to the scheduler."""
        if alert.id not in self.causes:
            self.causes[alert.id] = cause
            self.raised += 1
        if alert.state is AlertState.CLEARED:
            self.standing.pop(alert.id, None)
        else:
            self.standing[alert.id] = alert
        pack = Alerts(agent="d", epoch="e", seq=1, lowest=1, at_ns=self.now_ns, records=(alert,))
        self.took(self.core.handle(pack))

    def clear(self, alert: str) -> None:
        """An alert is over, if it still stands."""
        if (last := self.standing.get(alert)) is not None:
            over = msgspec.structs.replace(
                last, state=AlertState.CLEARED, version=last.version + 1, at_ns=self.now_ns, cleared_at_ns=self.now_ns
            )
            self.hear(over, self.causes[alert])

    @property
    def now_ns(self) -> int:
        return BEGIN_NS + int(self.now_s * S)

    def took(self, records: Sequence[Record]) -> None:
        for order in records:
            assert isinstance(order, WorkOrder)
            if order.id not in self.orders:
                self.heard.append((self.now_s, f"{order.asset}"))
            self.orders[order.id] = order
            if order.state is OrderState.DISPATCHED:
                self.at(self.now_s + 60.0, lambda order=order: self.work(order))  # type: ignore[misc]
        for topic, case in self.core.news().items():
            if topic.startswith("state/review/") and case is not None and topic not in self._reviews:
                self._reviews.add(topic)
                self.heard.append((self.now_s, topic))

    def work(self, order: WorkOrder) -> None:
        """The crew begins an order, and is done in the time that the table says."""
        self.say(order, AnswerKind.STARTED)
        if self.orders[order.id].state is OrderState.IN_PROGRESS:
            self.at(self.now_s + max(order.duration_s, 900.0), lambda: self.finish(order))

    def finish(self, order: WorkOrder) -> None:
        """Done; what was wrong clears a minute later, with all that had the same cause."""
        self.say(order, AnswerKind.DONE)
        cause = self.causes[order.alert]
        for alert in [name for name in self.standing if self.causes[name] == cause]:
            self.at(self.now_s + 60.0, lambda alert=alert: self.clear(alert))  # type: ignore[misc]

    def say(self, order: WorkOrder, said: AnswerKind) -> None:
        answer = Answer(executor="crew", order=order.id, attempt=order.attempt, answer=said)
        self.took(self.core.handle(Answers((answer,))))

    def cards(self, *cards: Card) -> None:
        self.took(self.core.handle(Cards(cards)))

    def run(self) -> None:
        """Play until the end."""
        self.core.tick(self.now_ns)
        self.cards(_card("crew", Role.EXECUTOR, skills=dict.fromkeys(SKILLS, 1.0), max_load=10_000))
        end_s, tick_s = self.days * DAY_S, 0.0
        while tick_s < end_s:
            while self.events and self.events[0][0] <= tick_s:
                at_s, _, do = heapq.heappop(self.events)
                self.now_s = max(self.now_s, at_s)
                do()
            self.now_s = tick_s
            self.took(self.core.tick(self.now_ns))
            tick_s += 1.0 if self.events and self.events[0][0] < tick_s + 10.0 else 5.0


def _card(name: str, role: Role, *, up: bool = True, skills: dict[str, float] | None = None, max_load: int = 1) -> Card:
    state = Presence.UP if up else Presence.DOWN
    return Card(agent=name, role=role, state=state, incarnation="1", skills=skills or {}, max_load=max_load)


def plan_fault(week: Week, fault: str, stream: Stream) -> None:
    """A fault comes once, somewhere, as it was recorded, and ends with its repair."""
    gateway = week.chance.randrange(GATEWAYS)
    onset_s = week.chance.uniform(0.0, week.days * DAY_S * 0.8)
    ids: dict[str, str] = {}
    for at_s, alert in stream:
        name = f"{alert.asset}_{fault}"
        week.add_asset(name, gateway)
        ids.setdefault(alert.id, derive_id(fault, alert.id))
        moved = msgspec.structs.replace(alert, id=ids[alert.id], asset=name, gateway=f"g{gateway}")
        week.at(onset_s + at_s, lambda moved=moved: _tell(week, moved, fault))  # type: ignore[misc]


def _tell(week: Week, alert: Alert, fault: str) -> None:
    """Pass a recorded version on, unless the fault was mended before."""
    mended = any(
        order.state in (OrderState.DONE, OrderState.VERIFIED) and week.causes.get(order.alert) == fault
        for order in week.orders.values()
    )
    if not mended:
        week.hear(msgspec.structs.replace(alert, at_ns=week.now_ns), fault)


def plan_silence(week: Week, gateways: Sequence[int], at_s: float, cause: str) -> None:
    """Gateways lose their power for an hour: their cards go down, their devices are missed one after the other."""
    for gateway in gateways:
        name = f"g{gateway}"
        week.at(at_s + week.chance.uniform(2.5, 5.0), lambda name=name: week.cards(_card(name, Role.GATEWAY, up=False)))  # type: ignore[misc]
        week.at(at_s + 3600.0, lambda name=name: week.cards(_card(name, Role.GATEWAY)))  # type: ignore[misc]
        for device in range(DEVICES):
            asset = f"unit-{gateway}-{device}"
            week.add_asset(asset, gateway)
            missed_s = week.chance.choice((10.0, 15.0, 30.0, 180.0)) + week.chance.uniform(0.0, 5.0)
            alert = make_alert(asset, name, AlertKind.SILENT, f"{cause}-{asset}")
            week.at(at_s + missed_s, lambda alert=alert: week.hear(alert, cause))  # type: ignore[misc]
            week.at(at_s + 3605.0, lambda alert=alert: week.clear(alert.id))  # type: ignore[misc]


def plan_chatter(week: Week, number: int, at_s: float) -> None:
    """A loose wire: an alert that comes and goes every 4 to 20 s for ten minutes."""
    gateway, asset, cause = week.chance.randrange(GATEWAYS), f"loose-{number}", f"chatter-{number}"
    week.add_asset(asset, gateway)
    end_s, round_ = at_s + 600.0, itertools.count()
    while at_s < end_s:
        alert = make_alert(asset, f"g{gateway}", AlertKind.MACHINE, f"{cause}-{next(round_)}")
        week.at(at_s, lambda alert=alert: week.hear(alert, cause))  # type: ignore[misc]
        at_s += week.chance.uniform(2.0, 10.0)
        week.at(at_s, lambda alert=alert: week.clear(alert.id))  # type: ignore[misc]
        at_s += week.chance.uniform(2.0, 10.0)


def make_alert(asset: str, gateway: str, kind: AlertKind, name: str) -> Alert:
    """A warning of one metric."""
    shown = Evidence(rule="r", metric="silence" if kind is AlertKind.SILENT else "level", device=asset, score=1.2)
    return Alert(
        id=derive_id("load", name), version=1, asset=asset, kind=kind, state=AlertState.FIRING,
        severity=Severity.WARNING, cause=name, evidence=(shown,), onset_at_ns=BEGIN_NS, raised_at_ns=BEGIN_NS,
        at_ns=BEGIN_NS, gateway=gateway,
    )  # fmt: skip


def play(days: float, streams: dict[str, Stream], settings: DispatchSettings, seed: int = 1) -> Week:
    """A week, or less, with these faults, dead gateways, one dark hall and loose wires."""
    week = Week(days, settings, seed)
    for fault, stream in streams.items():
        plan_fault(week, fault, stream)
    for number in range(DEATHS):
        at_s = week.chance.uniform(0.0, 0.4) * days * DAY_S
        plan_silence(week, [GATEWAYS - 1 - number], at_s, f"death-{number}")
    for number in range(CHATTER):
        plan_chatter(week, number, week.chance.uniform(0.0, 0.9) * days * DAY_S)
    week.cut_s = 0.6 * days * DAY_S
    plan_silence(week, range(GATEWAYS // HALLS), week.cut_s, "power-cut")
    week.run()
    return week


def figures(week: Week) -> dict[str, float]:
    """What DOMAIN says of alarm load, for this week."""
    windows = Counter(int(at_s // WINDOW_S) for at_s, _ in week.heard)
    total = week.days * DAY_S / WINDOW_S
    by_cause = Counter(week.causes[order.alert] for order in week.orders.values())
    times: dict[str, list[float]] = {}
    for at_s, what in week.heard:
        times.setdefault(what, []).append(at_s)
    chatter = sum(
        any(third - first <= 60.0 for first, third in zip(each, each[2:], strict=False)) for each in times.values()
    )
    return {
        "alerts raised": week.raised,
        "annunciated": len(week.heard),
        "per 10 min, mean": len(week.heard) / total,
        "per day, mean": len(week.heard) / week.days,
        "worst 10 min": max(windows.values(), default=0),
        "10 min windows above 10, %": 100.0 * sum(count > 10 for count in windows.values()) / total,
        "within 10 min of the power cut": sum(week.cut_s <= at_s < week.cut_s + WINDOW_S for at_s, _ in week.heard),
        "chattering": chatter,
        "causes": len(set(week.causes.values())),
        "causes with one order": sum(count == 1 for count in by_cause.values()),
        "causes with more": sum(count > 1 for count in by_cause.values()),
        "causes with none": len(set(week.causes.values()) - by_cause.keys()),
        "open after the end": sum(not order.state.final for order in week.orders.values()),
    }


TARGETS = {
    "per 10 min, mean": "≤ 1", "per day, mean": "≤ 150", "worst 10 min": "≤ 10", "10 min windows above 10, %": "< 1",
    "within 10 min of the power cut": "≤ 10", "chattering": "0", "causes with one order": "all",
    "causes with more": "0", "causes with none": "0",
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=float, default=7.0)
    parser.add_argument("--only", choices=["hall", *MODELS], help="faults of one machine")
    options = parser.parse_args()
    streams: dict[str, Stream] = {}
    for kind in [options.only] if options.only else ["hall", *MODELS]:
        calm = warm(kind)
        streams |= {fault: stream for fault in faults_of(kind) if (stream := record(fault, calm))}
    week = play(options.days, streams, load(FACTORY).settings.dispatch)
    print(f"{len(streams)} faults, {DEATHS} dead gateways, a dark hall, {CHATTER} loose wires in {options.days:g} days")
    print(f"{'':<34} {'here':>8}  target (ISA-18.2, EEMUA 191)")
    for name, value in figures(week).items():
        print(f"{name:<34} {value:>8.3g}  {TARGETS.get(name, '')}")
    by_cause = Counter(week.causes[order.alert] for order in week.orders.values())
    for cause, count in by_cause.most_common():
        if count > 1:
            print(f"  {cause}: {count} orders")


if __name__ == "__main__":
    main()
