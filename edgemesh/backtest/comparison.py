"""Two configurations over the same data: what both say, and what only one does. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from edgemesh.backtest.report import AlertResult, BacktestReport


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """An alert of the one and the first of the other that overlaps it; `later_s`: how much later the other fires."""

    here: str
    there: str
    later_s: float


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Ids of alerts by who has them. Alerts are the same when asset and kind are and their times overlap."""

    both: tuple[Pair, ...]
    only_here: tuple[str, ...]
    only_there: tuple[str, ...]


def compare(here: BacktestReport, there: BacktestReport) -> Comparison:
    """Hold the alerts of two reports over the same data against each other."""
    pairs = []
    for alert in here.alerts:
        other = next((each for each in there.alerts if _overlap(alert, each)), None)
        if other is not None:
            later_s = round((other.raised_at_ns - alert.raised_at_ns) / 1e9, 1)
            pairs.append(Pair(here=alert.id, there=other.id, later_s=later_s))
    return Comparison(
        both=tuple(pairs), only_here=_alone(here.alerts, there.alerts), only_there=_alone(there.alerts, here.alerts)
    )


def _alone(alerts: Sequence[AlertResult], others: Sequence[AlertResult]) -> tuple[str, ...]:
    return tuple(alert.id for alert in alerts if not any(_overlap(alert, other) for other in others))


def _overlap(one: AlertResult, other: AlertResult) -> bool:
    if (one.asset, one.kind) != (other.asset, other.kind):
        return False
    starts_in_time = other.cleared_at_ns is None or one.raised_at_ns <= other.cleared_at_ns
    return starts_in_time and (one.cleared_at_ns is None or other.raised_at_ns <= one.cleared_at_ns)
