"""Holding alerts against what is known to have been wrong: the simulator's faults, or a recording's labels. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

AFTER_NS = 10 * 1_000_000_000
"""An alert that is raised this long after a fault ended still belongs to it: what was disturbed settles."""


class TruthEvent(msgspec.Struct, frozen=True):
    """What the simulator publishes of its own faults; `event` is injected, full, repaired or recovered."""

    event: str
    id: str
    fault: str
    asset: str
    at_ns: int


@dataclass(slots=True)
class Fault:
    """A fault that was there, from `begin_ns` to `end_ns` (None: it still is)."""

    name: str
    asset: str
    begin_ns: int
    end_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """A time in which an alert of an asset was firing; `end_ns` None: it still is. `what` it said."""

    asset: str
    begin_ns: int
    end_ns: int | None = None
    what: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """How many faults there were, how many were seen while they were there, and which alerts no fault explains."""

    injected: int
    detected: int
    alerts: int
    false: tuple[Span, ...] = ()


class Truth:
    """The faults that a simulator says it has injected."""

    def __init__(self) -> None:
        self.faults: dict[str, Fault] = {}

    def take(self, payload: bytes) -> None:
        """Take an event in; what is no event is ignored, for it is not ours."""
        try:
            event = msgspec.json.decode(payload, type=TruthEvent)
        except msgspec.DecodeError:
            return
        if event.event == "injected":
            self.faults.setdefault(event.id, Fault(event.fault, event.asset, event.at_ns))
        elif event.event == "recovered" and event.id in self.faults:
            self.faults[event.id].end_ns = event.at_ns

    def judge(self, alerts: Sequence[Span], *, before_ns: int) -> Judgement:
        """Hold alerts against the faults that were injected before `before_ns`: later ones had no time to show."""
        faults = list(self.faults.values())
        due = [fault for fault in faults if fault.begin_ns < before_ns]
        detected = sum(any(_explains(fault, alert) for alert in alerts) for fault in due)
        false = tuple(alert for alert in alerts if not any(_explains(fault, alert) for fault in faults))
        return Judgement(len(due), detected, len(alerts), false)


def _explains(fault: Fault, alert: Span) -> bool:
    until = None if fault.end_ns is None else fault.end_ns + AFTER_NS
    began_in_it = alert.begin_ns >= fault.begin_ns and (until is None or alert.begin_ns <= until)
    return fault.asset == alert.asset and began_in_it


@dataclass(slots=True)
class Confusion:
    """Rows by label and flag, as SKAB counts them."""

    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0

    def add(self, label: bool, flag: bool) -> None:
        """Count one row."""
        if flag:
            self.tp, self.fp = self.tp + label, self.fp + (not label)
        else:
            self.fn, self.tn = self.fn + label, self.tn + (not label)

    def __iadd__(self, other: Confusion) -> Confusion:
        self.tp, self.fp, self.fn, self.tn = (
            self.tp + other.tp,
            self.fp + other.fp,
            self.fn + other.fn,
            self.tn + other.tn,
        )
        return self

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, 0..1; 0 where nothing was found."""
        return 2 * self.tp / (2 * self.tp + self.fp + self.fn) if self.tp else 0.0

    @property
    def far(self) -> float:
        """False-alarm rate: flagged share of the normal rows in %."""
        return 100.0 * self.fp / (self.fp + self.tn) if self.fp else 0.0

    @property
    def mar(self) -> float:
        """Missed-alarm rate: share of the labelled rows that no alert covers, in %."""
        return 100.0 * self.fn / (self.fn + self.tp) if self.fn else 0.0


def flags(times_ns: Sequence[int], spans: Iterable[Span]) -> list[bool]:
    """One flag per row: whether an alert was firing at that instant (raised at or before it, not yet cleared)."""
    spans = sorted(spans, key=lambda span: span.begin_ns)
    return [
        any(span.begin_ns <= at_ns and (span.end_ns is None or at_ns < span.end_ns) for span in spans)
        for at_ns in times_ns
    ]
