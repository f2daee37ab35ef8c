"""Panels: what the picture shows of each asset: which signals, and which alerts, labels, scores and levels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import pairwise
from statistics import median

from edgemesh.backtest.report import AlertResult
from edgemesh.backtest.run import Traces
from edgemesh.backtest.traces import Bucket
from edgemesh.detect.settings import LimitRule
from edgemesh.launch.lines import count_text
from edgemesh.model.agents import Asset

MOST_SIGNALS = 2
Channel = tuple[str, str]


@dataclass(frozen=True, slots=True)
class SignalCurve:
    """One metric of a device over time, and the levels of the limits that watch it."""

    name: str
    unit: str
    buckets: Sequence[Bucket]
    levels: Sequence[float]


@dataclass(frozen=True, slots=True)
class Strip:
    """Stretches of time with a text each: alerts of a configuration, or labels."""

    name: str
    kind: str
    stretches: Sequence[tuple[int, int, str]]


@dataclass(frozen=True, slots=True)
class Panel:
    """One asset. `scores` are of each configuration that has a model, by its name; `alerts` says how many there are."""

    asset: str
    begin_ns: int
    end_ns: int
    signals: Sequence[SignalCurve]
    scores: Sequence[tuple[str, Sequence[Bucket]]]
    strips: Sequence[Strip]
    alerts: str


def make_panels(runs: Sequence[Traces], most: int) -> tuple[list[Panel], int]:
    """The panels of the assets that have most to tell, in the order of the data, and how many are left out.

    First come assets with alerts, the more the earlier, then those with labels, then the rest.
    """
    first = runs[0]
    alarms: Counter[str] = Counter()
    for run in runs:
        alarms.update(alert.asset for alert in _alerts(run))
    assets = [asset for asset, curves in first.values.items() if curves]
    ranked = sorted(assets, key=lambda asset: (-alarms[asset], not first.labels.get(asset)))
    chosen = set(ranked[:most])
    return [_panel(runs, asset) for asset in assets if asset in chosen], len(assets) - len(chosen)


def _alerts(run: Traces, asset: str | None = None) -> list[AlertResult]:
    alerts = run.report.alerts if run.report else ()
    return [alert for alert in alerts if asset in (None, alert.asset)]


def _panel(runs: Sequence[Traces], asset: str) -> Panel:
    curves = {channel: trace.buckets() for channel, trace in runs[0].values[asset].items()}
    begin_ns = min(buckets[0].at_ns for buckets in curves.values())
    last_ns = max(buckets[-1].at_ns for buckets in curves.values())
    width_ns = max(trace.width_ns for trace in runs[0].values[asset].values())
    end_ns = max(last_ns + width_ns, begin_ns + 1)
    alerts = [alert for run in runs for alert in _alerts(run, asset)]
    signals = [
        SignalCurve(
            f"{device}/{metric}",
            runs[0].units[device, metric],
            curves[device, metric],
            _levels(runs[0], asset, device, metric),
        )
        for device, metric in _telling(curves, alerts)
    ]
    scores = [(_name(run, runs), run.scores[asset].buckets()) for run in runs if asset in run.scores]
    strips = [
        Strip(
            "alerts" if len(runs) == 1 else f"alerts {_name(run, runs)}",
            "alert" if run is runs[0] else "other",
            [(a.raised_at_ns, end_ns if a.cleared_at_ns is None else a.cleared_at_ns, _tip(a)) for a in found],
        )
        for run in runs
        for found in (_alerts(run, asset),)
    ]
    labels = runs[0].labels.get(asset)
    if labels is not None:
        strips.append(Strip("labelled", "label", [(begin, end, "labelled as a fault") for begin, end in labels]))
    counts = [len(_alerts(run, asset)) for run in runs]
    told = ", ".join(f"{name} {count}" for name, count in zip("AB", counts, strict=False))
    alerts_ = count_text(counts[0], "alert") if len(runs) == 1 else f"alerts: {told}"
    return Panel(asset, begin_ns, end_ns, signals, scores, strips, alerts_)


def _name(run: Traces, runs: Sequence[Traces]) -> str:
    return "" if len(runs) == 1 else "AB"[[each is run for each in runs].index(True)]


def _tip(alert: AlertResult) -> str:
    lasted = "still firing at the end" if alert.lasted_s is None else f"for {alert.lasted_s:g} s"
    return f"{alert.severity} {lasted}: {alert.cause}"


def _telling(curves: dict[Channel, list[Bucket]], alerts: Sequence[AlertResult]) -> list[Channel]:
    """The channels that alerts name, strongest and most often first; without any the one that moves most."""
    weight: Counter[Channel] = Counter()
    for alert in alerts:
        for evidence in alert.evidence:
            weight[evidence.device, evidence.metric] += min(evidence.score, 10.0)  # type: ignore[assignment]
    named = [channel for channel, _ in weight.most_common() if channel in curves]
    return named[:MOST_SIGNALS] or [max(curves, key=lambda channel: _movement(curves[channel]))]


def _movement(buckets: Sequence[Bucket]) -> float:
    """How far the means of a curve lie apart, in steps that it usually makes."""
    means = [bucket.mean for bucket in buckets]
    span = max(means) - min(means)
    steps = [abs(b - a) for a, b in pairwise(means)]
    return span / (median(steps) + 0.01 * span) if span and steps else 0.0


def _levels(run: Traces, asset: str, device: str, metric: str) -> list[float]:
    """The levels of the limits that watch a channel."""
    settings = run.configuration.settings
    known = next((each.asset() for each in settings.asset if each.id == asset), Asset(id=asset))
    return [
        rule.level
        for rule in settings.detection.rule
        if isinstance(rule, LimitRule)
        and fnmatchcase(known.asset_class, rule.asset_class)
        and fnmatchcase(asset, rule.asset)
        and fnmatchcase(device, rule.device)
        and fnmatchcase(metric, rule.metric)
    ]
