"""What verdicts do to false alarms and to detection: `python benchmarks/feedback.py [--weeks 6] [--seeds 1]`.

Weeks of simulated machines (firmware-sim's equations, a row a minute) with benign disturbances, which are a small depth
of something for an hour, and faults that grow to full depth. Half an hour after each alert a technician says what it
was. The same rows go through three detectors: nobody says anything; verdicts; verdicts and a new model each week.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from edgemesh.agents.detector import DetectorCore
from edgemesh.detect.models.settings import ProfileSettings
from edgemesh.detect.settings import DetectSettings, ModelSettings
from edgemesh.model.alerts import Alert
from edgemesh.model.ids import derive_id
from edgemesh.model.orders import Verdict
from edgemesh.model.packs import Readings
from edgemesh.model.samples import Batch
from edgemesh.model.settings import Seconds
from edgemesh.model.verdicts import OrderVerdict, Verdicts
from firmware_sim import plant
from firmware_sim.channels import Metrics
from firmware_sim.compact import CompactMachine

S = 10**9
HOUR, DAY, WEEK = 3600.0, 86_400.0, 7 * 86_400.0
START_NS = 1_767_625_200 * S
PERIOD_S = 60.0
PACK = 30
WARM_DAYS = 4.0
"""A warm-up of two days and as long again before anything happens."""
ANSWER_S = 1800.0
AFTER_S = 2 * HOUR
DISTURBED = {"fan": ("filter_clogging", "fan_imbalance"), "exchanger": ("fouling",), "gearbox": ("oil_loss",)}
"""What shows a little of itself now and then and is no fault: dust that is brushed off, another grade of oil."""
DEPTH = (0.05, 0.15)
MACHINE = ProfileSettings(train_rows=2880, trim=False)
VARIANTS = {
    "no verdicts": (False, 0.0),
    "verdicts": (True, 0.0),
    "verdicts, weekly model": (True, WEEK),
}


@dataclass
class History:
    """Rows of a machine, and when it was really ill (fault, from, until, in s)."""

    kind: str
    seed: int
    rows: list[Metrics] = field(default_factory=list)
    faults: list[tuple[str, float, float]] = field(default_factory=list)
    disturbances: int = 0


@dataclass
class Outcome:
    """Alerts about nothing by week, and after how many minutes each fault was seen (None: never)."""

    false: list[int]
    seen_min: list[float | None]


def make_history(kind: str, seed: int, weeks: int) -> History:
    """Play a machine with a fault every three and a half days, and three disturbances a week between them."""
    model = next(each for each in plant.MODELS if each.kind == kind)
    machine = CompactMachine(dataclasses.replace(model, period_s=PERIOD_S), seed)
    chance, history = Random(f"{seed}:{kind}:history"), History(kind, seed)
    begins: dict[int, tuple[str, float]] = {}
    ends: dict[int, str] = {}
    at_s, number = WARM_DAYS * DAY, 0
    while at_s + 3.5 * DAY <= weeks * WEEK:
        fault = model.faults[number % len(model.faults)]
        until_s = at_s + fault.ramp_s + AFTER_S
        history.faults.append((fault.name, at_s, until_s))
        begins[int(at_s / PERIOD_S)], ends[int(until_s / PERIOD_S)] = (fault.name, fault.ramp_s), fault.name
        number += 1
        for slot in (1.6, 2.4, 3.1)[: 1 + number % 2]:
            begin_s = at_s + (slot + chance.uniform(-0.1, 0.1)) * DAY
            lasts_s, depth = chance.uniform(0.7, 1.5) * HOUR, chance.uniform(*DEPTH)
            name = chance.choice(DISTURBED[kind])
            begins[int(begin_s / PERIOD_S)] = name, lasts_s / depth
            ends[int((begin_s + lasts_s) / PERIOD_S)] = name
            history.disturbances += 1
        at_s += 3.5 * DAY
    for row in range(int(weeks * WEEK / PERIOD_S)):
        if row in begins:
            machine.inject(*begins[row])
        if row in ends:
            machine.repair(ends[row])
        history.rows.append(machine.step())
    return history


class Site:
    """A detector over one machine, and a technician who looks at each alert after half an hour."""

    def __init__(self, history: History, *, verdicts: bool, retrain_s: float) -> None:
        model = ModelSettings(machine=MACHINE, retrain_every=Seconds(retrain_s))
        self._core = DetectorCore("d", "site", DetectSettings(model=(model,)), {})
        self._history, self._verdicts = history, verdicts
        self._due: list[tuple[float, Alert]] = []
        self.raised: list[Alert] = []
        kind = next(each for each in plant.MODELS if each.kind == history.kind)
        self._units = {channel.metric: channel.unit for channel in kind.channels}
        self._replaced = {fault.name for fault in kind.faults if fault.action.startswith("replace")}

    def play(self) -> None:
        rows = self._history.rows
        for seq, first in enumerate(range(0, len(rows), PACK), start=1):
            now_s = (first + PACK) * PERIOD_S
            self._core.tick(START_NS + int(now_s * S))
            alerts = self._core.handle(self._pack(seq, first, rows[first : first + PACK]))
            self.raised += [alert for alert in alerts if alert.version == 1]
            self._due += [(now_s + ANSWER_S, alert) for alert in alerts if alert.version == 1 and self._verdicts]
            while self._due and self._due[0][0] <= now_s:
                self._say(*self._due.pop(0))

    def _say(self, now_s: float, alert: Alert) -> None:
        fault = self.fault_of(alert)
        verdict = Verdict.FALSE_ALARM
        if fault is not None:
            verdict = Verdict.REPLACED_PART if fault[0] in self._replaced else Verdict.REAL_FAULT
        if fault is not None and verdict is Verdict.REPLACED_PART and now_s < fault[2]:  # with it the fault ends
            self._due.append((fault[2], alert))
            self._due.sort(key=lambda due: due[0])
            return
        found = OrderVerdict(
            order=derive_id("order", alert.id),
            alert=alert.id,
            verdict=verdict,
            at_ns=START_NS + int(now_s * S),
            learnt=True,
        )
        self._core.handle(Verdicts(asset=self._history.kind, verdicts=(found,)))

    def fault_of(self, alert: Alert) -> tuple[str, float, float] | None:
        """The fault that the machine had when the alert was raised, or within the two hours before."""
        at_s = (alert.raised_at_ns - START_NS) / S
        return next((each for each in self._history.faults if each[1] <= at_s <= each[2] + AFTER_S), None)

    def outcome(self, weeks: int) -> Outcome:
        result = Outcome([0] * weeks, [])
        raised = [(alert.raised_at_ns - START_NS) / S for alert in self.raised]
        for alert, at_s in zip(self.raised, raised, strict=True):
            if self.fault_of(alert) is None:
                result.false[min(weeks - 1, int(at_s / WEEK))] += 1
        for _, begin_s, until_s in self._history.faults:
            after_s = [at_s - begin_s for at_s in raised if begin_s <= at_s <= until_s]
            result.seen_min.append(min(after_s) / 60.0 if after_s else None)
        return result

    def _pack(self, seq: int, first: int, rows: Sequence[Metrics]) -> Readings:
        metrics = tuple(name for name in rows[0] if name in self._units)
        batch = Batch(
            device=f"{self._history.kind}-1",
            asset=self._history.kind,
            metrics=metrics,
            units=tuple(self._units[name] for name in metrics),
            at_ns=tuple(START_NS + int((first + k + 1) * PERIOD_S * S) for k in range(len(rows))),
            values=tuple(tuple(float(row[name]) for row in rows) for name in metrics),
        )
        return Readings(agent="gw", epoch="e", seq=seq, lowest=1, at_ns=0, records=(batch,))


def main() -> None:
    """Play and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weeks", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", choices=sorted(DISTURBED), action="append")
    given = parser.parse_args()
    kinds = given.only or sorted(DISTURBED)
    histories = [make_history(kind, seed, given.weeks) for kind in kinds for seed in range(given.seeds)]
    disturbances, faults = sum(h.disturbances for h in histories), sum(len(h.faults) for h in histories)
    print(f"{len(histories)} machines ({', '.join(kinds)}), {given.weeks} weeks at a row a minute:")
    print(f"{disturbances} benign disturbances, {faults} faults\n")
    weeks = range(given.weeks)
    head = "".join(f"{week + 1:>6}" for week in weeks)
    print(f"{'false alarms in week':<24}{head}{'all':>7}  faults seen, after (mean)")
    for name, (verdicts, retrain_s) in VARIANTS.items():
        outcomes = []
        for history in histories:
            site = Site(history, verdicts=verdicts, retrain_s=retrain_s)
            site.play()
            outcomes.append(site.outcome(given.weeks))
        false = [sum(outcome.false[week] for outcome in outcomes) for week in weeks]
        seen = [after for outcome in outcomes for after in outcome.seen_min if after is not None]
        row = "".join(f"{count:>6}" for count in false)
        mean = sum(seen) / max(1, len(seen))
        print(f"{name:<24}{row}{sum(false):>7}  {len(seen)} of {faults}, {mean:.0f} min", flush=True)
    print(f"\n{time.process_time():.0f} s of CPU")


if __name__ == "__main__":
    main()
