"""What the rules of configs/rules.toml see: `python benchmarks/rules.py [--days 7] [--only MACHINE]`.

Normal days of each simulated machine, which have to raise nothing; then each fault of the simulator, after hours of
normal running, until two hours past its full depth: the rules that fire, and after how many minutes. Simulated time
runs as fast as the processor allows; what is measured is the production watch over one asset.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edgemesh.configuration.loading import load
from edgemesh.detect.base.moment import Moment
from edgemesh.detect.settings import DetectSettings
from edgemesh.detect.watch import Watch
from edgemesh.model.agents import Asset
from edgemesh.model.alerts import Alert, AlertState
from edgemesh.model.samples import Batch
from firmware_sim import plant, rooms
from firmware_sim.channels import CHANNELS, Metrics
from firmware_sim.compact import CompactMachine, Model
from firmware_sim.faults import FAULTS
from firmware_sim.hall import Hall

CONFIG = Path(__file__).parent.parent / "configs" / "rules.toml"
START_NS = 1_767_625_200 * 10**9
"""A Monday, 15 o'clock UTC, as in the simulation."""
PACK = 12
"""Samples in a batch."""
AFTER_S = 2 * 3600.0
"""How long a fault is watched at full depth."""
INVISIBLE = {"sensor_spikes": "single samples: no rule may wake anybody"}
MODELS: dict[str, Model] = {model.kind: model for model in (*plant.MODELS, *rooms.MODELS)}
ASSETS = {"hall": "pump-101", "seal": "pump-201"}
CLASSES = {"hall": "pump", "seal": "pump"}


class Player(Protocol):
    """A machine that plays: samples of its devices, and faults."""

    period_s: float

    def step(self) -> dict[str, tuple[str, Metrics]]: ...

    def inject(self, fault: str) -> float: ...


class CompactPlayer:
    """A compact machine as one device."""

    def __init__(self, model: Model, seed: int) -> None:
        self._machine, self.period_s = CompactMachine(model, seed), model.period_s
        self._units = {channel.metric: channel.unit for channel in model.channels}

    def step(self) -> dict[str, tuple[str, Metrics]]:
        kind = self._machine.model.kind
        return {f"{kind}-1": (ASSETS.get(kind, f"{kind}-1"), self._machine.step())}

    def unit(self, device: str, metric: str) -> str:
        return self._units.get(metric, "1")

    def inject(self, fault: str) -> float:
        self._machine.inject(fault)
        return next(each.ramp_s for each in self._machine.model.faults if each.name == fault)


class HallPlayer:
    """The hall with one pump, its motor and its tank; physics each second, samples every five."""

    period_s = 5.0

    def __init__(self, seed: int) -> None:
        self._hall = Hall(seed, pumps=1)

    def step(self) -> dict[str, tuple[str, Metrics]]:
        for _ in range(int(self.period_s)):
            samples = self._hall.step()
        return {name: (self._hall.devices[name].asset, metrics) for name, metrics in samples.items()}

    def unit(self, device: str, metric: str) -> str:
        channel = CHANNELS[self._hall.devices[device].kind].get(metric)
        return channel.unit if channel else "1"

    def inject(self, fault: str) -> float:
        target = "tank-1" if FAULTS[fault].target == "tank" else "pump-101"
        known = {"sensor_noise": "flow", "stuck_sensor": "flow", "sensor_drift": "discharge_pressure"}
        self._hall.inject(fault, target, ramp_s=FAULTS[fault].slow_ramp_s, metric=known.get(fault))
        return FAULTS[fault].slow_ramp_s


@dataclass
class Firing:
    """An alert, or another rule of one that stands: when (s of the run), which rule, severity, the line for people."""

    at_s: float
    rule: str
    severity: str
    cause: str


class Run:
    """One machine under the watches of its assets."""

    def __init__(self, kind: str, settings: DetectSettings, seed: int = 7) -> None:
        self.player = HallPlayer(seed) if kind == "hall" else CompactPlayer(MODELS[kind], seed)
        self._settings, self._watches = settings, dict[str, Watch]()
        self._stats: dict[str, float] = dict.fromkeys(("late", "duplicate", "clock_steps", "models_refused"), 0.0)
        self.second = 0.0
        self.readings = 0

    def play(self, seconds: float) -> Iterator[Firing]:
        """Go on for so long; yield what fires."""
        end = self.second + seconds
        while self.second < end:
            rows: dict[str, list[tuple[int, str, Metrics]]] = {}
            for _ in range(PACK):
                self.second += self.player.period_s
                at_ns = START_NS + int(self.second * 1e9)
                for device, (asset, metrics) in self.player.step().items():
                    rows.setdefault(device, []).append((at_ns, asset, metrics))
            batches: dict[str, list[Batch]] = {}
            for device, samples in rows.items():
                batches.setdefault(samples[0][1], []).append(self._batch(device, samples))
            moment = Moment(START_NS + int(self.second * 1e9), int(self.second * 1e9))
            for asset, found in batches.items():
                for alert in self._watch(asset).take(found, moment):
                    yield from self._firings(alert)
            for watch in self._watches.values():
                if moment.clock_ns > watch.due_ns:
                    for alert in watch.look_for_silence(moment):
                        yield from self._firings(alert)

    def _watch(self, asset: str) -> Watch:
        if asset not in self._watches:
            asset_class = asset.rstrip("0123456789").rstrip("-")
            self._watches[asset] = Watch(
                "s", Asset(id=asset, asset_class=asset_class), "g", self._settings, self._stats
            )
        return self._watches[asset]

    def _batch(self, device: str, samples: list[tuple[int, str, Metrics]]) -> Batch:
        metrics = tuple(samples[0][2])
        self.readings += len(metrics) * len(samples)
        return Batch(
            device=device,
            asset=samples[0][1],
            metrics=metrics,
            units=tuple(self.player.unit(device, metric) for metric in metrics),
            at_ns=tuple(at_ns for at_ns, _, _ in samples),
            values=tuple(tuple(float(values[metric]) for _, _, values in samples) for metric in metrics),
        )

    def _firings(self, alert: Alert) -> Iterator[Firing]:
        """The newest evidence of a version that is not an end."""
        if alert.state is not AlertState.CLEARED:
            at_s = (alert.at_ns - START_NS) / 1e9
            yield Firing(at_s, alert.evidence[-1].rule, alert.severity.value, alert.cause)


def faults_of(kind: str) -> list[str]:
    return list(FAULTS) if kind == "hall" else [fault.name for fault in MODELS[kind].faults]


def normal_days(kind: str, days: float, settings: DetectSettings) -> list[Firing]:
    """Play normal days and print what they raise."""
    run, begin = Run(kind, settings), time.process_time()
    raised = list(run.play(days * 86_400.0))
    spent = time.process_time() - begin
    print(f"{kind:<12} {days:g} days, {run.readings:>9} readings, {spent:5.1f} s: {len(raised)} raised")
    for firing in raised[:10]:
        print(f"    day {firing.at_s / 86_400:5.2f}  {firing.severity:<8} {firing.rule}: {firing.cause}")
    return raised


def fault_row(fault: str, calm: Run, after_s: float = AFTER_S) -> dict[str, float]:
    """Play a fault from a calm run on; return the minutes after which each rule fired, first one first.

    The fault is played until `after_s` behind its full depth.
    """
    run = copy.deepcopy(calm)
    begin_s, ramp_s = run.second, run.player.inject(fault)
    found: dict[str, float] = {}
    for firing in run.play(ramp_s + after_s):
        found.setdefault(firing.rule, (firing.at_s - begin_s) / 60.0)
    return found


def fault_table(kind: str, settings: DetectSettings, warm_s: float) -> int:
    """Print a line per fault; return how many visible ones no rule has seen."""
    calm, missed = Run(kind, settings), 0
    for firing in calm.play(warm_s):
        print(f"    before any fault: {firing.rule}: {firing.cause}")
        missed += 1
    for fault in faults_of(kind):
        ramp_s = FAULTS[fault].slow_ramp_s if kind == "hall" else _ramp_s(kind, fault)
        found = fault_row(fault, calm)
        words = ", ".join(f"{rule} {minutes:.1f}" for rule, minutes in found.items())
        if not found:
            words = INVISIBLE.get(fault, "NOT SEEN")
            missed += fault not in INVISIBLE
        print(f"{kind:<11} {fault:<21} {ramp_s / 60:>6.0f}  {words}")
    return missed


def _ramp_s(kind: str, fault: str) -> float:
    return next(each.ramp_s for each in MODELS[kind].faults if each.name == fault)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=float, default=7.0, help="normal days to play; 0: none")
    parser.add_argument("--only", choices=["hall", *MODELS], help="one machine")
    parser.add_argument("--no-faults", action="store_true", help="normal days alone")
    options = parser.parse_args()
    settings = load(CONFIG).settings.detection
    kinds = [options.only] if options.only else ["hall", *MODELS]
    bad = sum(len(normal_days(kind, options.days, settings)) for kind in kinds if options.days)
    if not options.no_faults:
        print(f"{'machine':<11} {'fault':<21} {'min':>6}  rule and minutes after the onset (`min`: to full depth)")
        for kind in kinds:
            bad += fault_table(kind, settings, 2 * 86_400.0 if kind == "exchanger" else 2.5 * 3600.0)
    print("nothing raised on normal days, every visible fault seen" if not bad else f"{bad} wrong")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
