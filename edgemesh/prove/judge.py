"""Holding what took effect against what was accepted, from ledgers that the agents do not keep themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edgemesh.drivers.count.ledger import read_ledger
from edgemesh.model.alerts import Alert
from edgemesh.model.orders import OrderState, WorkOrder
from edgemesh.store.history import History


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the proof has found; every figure but the first of each group should be 0.

    `readings.doubled` are readings that took effect twice; `alerts.expected` are excursions that reached the history.
    `orders.lost` are orders without an end, `orders.started_twice` those whose work was begun more than once.
    """

    readings: dict[str, int]
    alerts: dict[str, int]
    orders: dict[str, int]

    @property
    def good(self) -> bool:
        """Nothing was lost and nothing was done twice."""
        readings, alerts, orders = self.readings, self.alerts, self.orders
        bad = readings["lost"] + readings["doubled"] + alerts["lost"] + alerts["doubled"]
        return readings["accepted"] > 0 and bad + orders["lost"] + orders["started_twice"] == 0


@dataclass(frozen=True, slots=True)
class Excursion:
    """A stretch of samples above the limit: the instants of its first and last sample in the history."""

    asset: str
    begin_ns: int
    end_ns: int


def accepted_numbers(ledger: Path, devices: int) -> dict[int, set[int]]:
    """By device, the numbers of the samples that the gateway said it had committed."""
    numbers: dict[int, set[int]] = {device: set() for device in range(devices)}
    for span in read_ledger(ledger):
        if span.accepted:
            for sample in range(span.first, span.first + span.size):
                numbers[sample % devices].add(sample // devices)
    return numbers


def judge(history_file: Path, ledgers: Path, gateways: Sequence[str], devices: int) -> Verdict:
    """Read the ledgers and the history. StoreError when there is no history."""
    accepted = lost = doubled = 0
    excursions: list[Excursion] = []
    with History(history_file) as history:
        for gateway in gateways:
            for device, numbers in accepted_numbers(ledgers / gateway, devices).items():
                name = f"{gateway}-{device}"
                counts = _values(history, name, "count")
                seen = Counter(int(value) for _, value in counts)
                accepted += 2 * len(numbers)
                lost += 2 * len(numbers - seen.keys())
                doubled += sum(times - 1 for times in seen.values())
                excursions += find_excursions(name, _values(history, name, "level"))
        doubled += history.counts().duplicates
        alerts, orders = history.alerts(limit=1_000_000), history.orders(limit=1_000_000)
    return Verdict(
        readings={"accepted": accepted, "lost": lost, "doubled": doubled},
        alerts=count_alerts(excursions, alerts),
        orders=count_orders(orders, ledgers / "starts"),
    )


def _values(history: History, device: str, metric: str) -> list[tuple[int, float]]:
    curve = history.readings(device=device, metric=metric, resolution="raw", max_points=None)
    return [(point.at_ns, point.last) for point in curve.points]


def find_excursions(asset: str, levels: Iterable[tuple[int, float]]) -> list[Excursion]:
    """The stretches of samples above 0.5, in time order."""
    found: list[Excursion] = []
    above = False
    for at_ns, level in levels:
        if level > 0.5:
            begin = found.pop().begin_ns if above else at_ns
            found.append(Excursion(asset, begin, at_ns))
        above = level > 0.5
    return found


def count_alerts(excursions: Sequence[Excursion], alerts: Sequence[Alert]) -> dict[str, int]:
    """Each excursion must have exactly one alert, and each alert its excursion."""
    by_asset: dict[str, list[Alert]] = {}
    for alert in alerts:
        by_asset.setdefault(alert.asset, []).append(alert)
    lost = doubled = matched = 0
    for each in excursions:
        hits = [a for a in by_asset.get(each.asset, ()) if each.begin_ns <= a.onset_at_ns <= each.end_ns]
        lost += not hits
        doubled += max(0, len(hits) - 1)
        matched += len(hits)
    return {
        "expected": len(excursions),
        "raised": len(alerts),
        "lost": lost,
        "doubled": doubled,
        "unexplained": len(alerts) - matched,
    }


def count_orders(orders: Sequence[WorkOrder], starts: Path) -> dict[str, int]:
    """Each order must come to its end, and its work must have begun once (again only after it was reopened)."""
    lines = starts.read_text().splitlines() if starts.exists() else []
    begun = Counter(line.split(" ")[0] for line in lines if line)
    allowed = {order.id: 1 + order.reopened for order in orders}
    return {
        "opened": len(orders),
        "verified": sum(order.state is OrderState.VERIFIED for order in orders),
        "started": sum(begun.values()),
        "lost": sum(not order.state.final for order in orders),
        "started_twice": sum(times > allowed.get(order, 1) for order, times in begun.items()),
    }
