"""Models of their own against one of the class: `python benchmarks/classes.py [--seeds 3] [--kind fan ...]`.

Fleets of simulated machines (firmware-sim's equations, a row a minute), each of another size. The class is learnt from
two days of six of them. A newcomer is then judged by what it learns itself from its first two days, from its first 400
rows, or by its class after an hour; it is well, or falls ill on its first day (6 h after its start) or on the fifth.
Then the cost of a row where many assets of one class come in one pack, with and without a model in common.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgemesh.agents.detector import DetectorCore
from edgemesh.detect.classes.binding import bind_rows
from edgemesh.detect.classes.files import make_class
from edgemesh.detect.classes.numbers import ClassNumbers, learn_class
from edgemesh.detect.methods.machine import MachineScorer
from edgemesh.detect.models.files import pack_model
from edgemesh.detect.models.kinds import Kind, find_kind
from edgemesh.detect.models.provenance import About
from edgemesh.detect.models.settings import ProfileSettings
from edgemesh.detect.rollout.stages import RolloutSettings
from edgemesh.detect.settings import DetectSettings, ModelSettings
from edgemesh.model.agents import Asset
from edgemesh.model.packs import Readings
from edgemesh.model.rollouts import ModelOffer
from edgemesh.model.samples import Batch
from edgemesh.model.settings import Seconds
from firmware_sim import plant
from firmware_sim.compact import CompactMachine, Model

Floats = NDArray[np.float64]
DAY_ROWS = 1440
PERIOD_S = 60.0
DAYS = 5
POOL = 6
SHORT_ROWS = 60
FIRST, LATER = 360, 4 * DAY_ROWS
AFTER_S = 7200.0
OWN_2D, OWN_400, CLASS = "own, 2 days", "own, 400 rows", "class, 60 rows"
VARIANTS = (OWN_2D, OWN_400, CLASS)
WARM_UP = {OWN_2D: 2880, OWN_400: 400, CLASS: 2880}


@dataclass
class Outcome:
    """Over all newcomers: false episodes on the first day and after it, days that each has judged, faults by when."""

    false: dict[str, int] = field(default_factory=lambda: {"first": 0, "later": 0})
    judged_days: dict[str, float] = field(default_factory=lambda: {"first": 0.0, "later": 0.0})
    seen_min: dict[str, list[float | None]] = field(default_factory=lambda: {"first": [], "later": []})


class Fleet:
    """Machines of one kind. Each has its own size: what its sensors read is scaled, temperatures are shifted."""

    def __init__(self, kind: str) -> None:
        model: Model = next(each for each in plant.MODELS if each.kind == kind)
        self.model = dataclasses.replace(model, period_s=PERIOD_S)
        self.roles = tuple(channel.metric for channel in model.channels)
        self.units = tuple(channel.unit for channel in model.channels)
        self.kinds = tuple(find_kind(*each) for each in zip(self.roles, self.units, strict=True))

    def play(self, seed: int, rows: int, fault: tuple[int, str] | None = None) -> Floats:
        """The rows of one machine; a fault begins before a row of it, and is mended two hours after full depth."""
        machine, chance = CompactMachine(self.model, seed), Random(f"{seed}:{self.model.kind}:size")
        thermal = [kind is Kind.THERMAL for kind in self.kinds]
        size = np.array([1.0 if hot else chance.uniform(0.7, 1.4) for hot in thermal])
        shift = np.array([chance.uniform(-5.0, 5.0) if hot else 0.0 for hot in thermal])
        table = np.empty((rows, len(self.roles)))
        ramps = {each.name: each.ramp_s for each in self.model.faults}
        for row in range(rows):
            if fault is not None and row == fault[0]:
                machine.inject(fault[1])
            if fault is not None and row == fault[0] + int((ramps[fault[1]] + AFTER_S) / PERIOD_S):
                machine.repair(fault[1])
            metrics = machine.step()
            table[row] = [float(metrics[role]) for role in self.roles]
        return np.asarray(table * size + shift)

    def settings(self, variant: str) -> ProfileSettings:
        return ProfileSettings(train_rows=WARM_UP[variant], trim=False)

    def learn(self, seed: int) -> ClassNumbers:
        pool = [self.play(10_000 + 100 * seed + k, WARM_UP[CLASS]) for k in range(POOL)]
        numbers = learn_class(pool, self.roles, self.kinds, self.settings(CLASS), SHORT_ROWS)
        assert numbers is not None
        return numbers


def flags_of(fleet: Fleet, variant: str, numbers: ClassNumbers, table: Floats) -> list[bool]:
    """Whether an episode stands at each row; never in the warm-up."""
    scorer = MachineScorer(fleet.roles, fleet.settings(variant), units=fleet.units)
    begin = 0
    if variant == CLASS:
        roles = [fleet.roles[k] for k in scorer.order]
        profile = bind_rows(numbers, scorer.channels, roles, table[:SHORT_ROWS][:, scorer.order])
        assert profile is not None
        scorer.begin(profile)
        scorer.settle(table[:SHORT_ROWS].tolist(), SHORT_ROWS // 4)
        begin = SHORT_ROWS
    return [False] * begin + [judgement.flag for judgement in scorer.take(table[begin:].tolist())]


def onsets(flags: Sequence[bool]) -> list[int]:
    """The rows at which episodes begin."""
    return [row for row, flag in enumerate(flags) if flag and not (row and flags[row - 1])]


def judge(fleet: Fleet, seeds: int) -> dict[str, Outcome]:
    """Every variant over all newcomers of a fleet."""
    outcomes = {variant: Outcome() for variant in VARIANTS}
    for seed in range(seeds):
        numbers = fleet.learn(seed)
        well = fleet.play(seed, DAYS * DAY_ROWS)
        ill = [
            (when, begin, fault, fleet.play(seed, rows, (begin, fault.name)))
            for fault in fleet.model.faults
            for when, begin, rows in (("first", FIRST, 2 * DAY_ROWS), ("later", LATER, DAYS * DAY_ROWS))
        ]
        for variant, outcome in outcomes.items():
            warm_up = SHORT_ROWS if variant == CLASS else WARM_UP[variant]
            for row in onsets(flags_of(fleet, variant, numbers, well)):
                outcome.false["first" if row < DAY_ROWS else "later"] += 1
            outcome.judged_days["first"] += max(0, DAY_ROWS - warm_up) / DAY_ROWS
            outcome.judged_days["later"] += (DAYS * DAY_ROWS - max(DAY_ROWS, warm_up)) / DAY_ROWS
            for when, begin, fault, table in ill:
                end = begin + int((fault.ramp_s + AFTER_S) / PERIOD_S)
                found = [row for row in onsets(flags_of(fleet, variant, numbers, table)) if begin <= row < end]
                outcome.seen_min[when].append((found[0] - begin + 1) * PERIOD_S / 60.0 if found else None)
    return outcomes


def line(variant: str, outcome: Outcome) -> str:
    """One line of the table."""
    cells = []
    for when in ("first", "later"):
        seen = [minutes for minutes in outcome.seen_min[when] if minutes is not None]
        mean = f"{np.mean(seen):.0f}" if seen else "-"
        days = outcome.judged_days[when]
        false = f"{outcome.false[when] / days:.2f}" if days else "blind"
        cells.append(f"{len(seen):>4} of {len(outcome.seen_min[when]):<3} {mean:>6} {false:>8}")
    return f"  {variant:<16}" + " |".join(cells)


CHANNELS = 8
NAMES, UNITS = tuple(f"m{k}" for k in range(CHANNELS)), ("1",) * CHANNELS
KINDS = (Kind.OTHER,) * CHANNELS
BRIEF = Seconds(1.0)


def packs_of(assets: int) -> int:
    """How many packs are measured."""
    return max(50, 400 // assets)


@functools.cache
def learn_noise(forest_weight: float) -> ClassNumbers:
    """A class whose channels are noise."""
    pool = [np.random.default_rng(100 + k).normal(size=(400, CHANNELS)) for k in range(POOL)]
    numbers = learn_class(pool, NAMES, KINDS, ProfileSettings(forest_weight=forest_weight), SHORT_ROWS)
    assert numbers is not None
    return numbers


def own_forest(numbers: ClassNumbers, seed: int) -> ClassNumbers:
    """The same with a forest that no other asset has: one of its limits differs in its last digits."""
    assert numbers.forest is not None
    trees = numbers.forest.trees
    threshold = (trees.threshold[0] + 1e-12 * (seed + 1), *trees.threshold[1:])
    forest = msgspec.structs.replace(numbers.forest, trees=msgspec.structs.replace(trees, threshold=threshold))
    return msgspec.structs.replace(numbers, forest=forest)


class Hall:
    """A detector over assets of one class, of which each pack has a row; the forest is one, or one for each asset."""

    def __init__(self, assets: int, *, shared: bool, forest_weight: float) -> None:
        names = [f"a{k}" for k in range(assets)]
        chance, rows = np.random.default_rng(1), SHORT_ROWS + 20 + packs_of(assets)
        self._tables = {name: chance.normal(size=(rows, CHANNELS)).tolist() for name in names}
        self._row = self._seq = 0
        rollout = RolloutSettings(shadow_rows=1, shadow_for=BRIEF, canary_for=BRIEF)
        settings = DetectSettings(model=(ModelSettings(),), rollout=rollout)
        self._core = DetectorCore("d", "bench", settings, {name: Asset(id=name, asset_class="c") for name in names})
        numbers = learn_noise(forest_weight)
        for k, name in enumerate(names):
            file = make_class("c", numbers if shared else own_forest(numbers, k), UNITS, KINDS, ["x"], About(version=1))
            packed = pack_model(file)
            self._core.handle(ModelOffer(asset=name, revision=1, at_ns=0, version=1, content=packed, asset_class="c"))
        self.run(SHORT_ROWS + 20)

    def run(self, rows: int) -> float:
        """So many packs of a row of each asset; CPU microseconds per row."""
        packs = [self._pack(self._row + k) for k in range(rows)]
        self._row += rows
        began = time.process_time()
        for pack in packs:
            self._core.handle(pack)
        return 1e6 * (time.process_time() - began) / (rows * len(self._tables))

    def _pack(self, row: int) -> Readings:
        self._seq += 1
        records = tuple(
            Batch(
                device=f"d-{name}",
                asset=name,
                metrics=NAMES,
                units=UNITS,
                at_ns=(row * 10**9,),
                values=tuple((value,) for value in table[row]),
            )
            for name, table in self._tables.items()
        )
        return Readings(agent="gw", epoch="e", seq=self._seq, lowest=1, at_ns=0, records=records)


def costs() -> None:
    """Print what a row costs in the detector's core, by how many assets of a class come together."""
    print(f"detector core, CPU us per row of {CHANNELS} channels, a row of each asset in a pack, medians by turns")
    print("  assets   forest in doubt (0.15): each its own, one for all, ratio | always asked (1): the same")
    for assets in (1, 8, 64):
        cells = []
        for weight in (0.15, 1.0):
            halls = [Hall(assets, shared=shared, forest_weight=weight) for shared in (False, True)]
            spans = [[hall.run(1) for hall in halls] for _ in range(packs_of(assets))]
            own, shared_us = (statistics.median(column) for column in zip(*spans, strict=True))
            cells.append(f"{own:>8.0f} {shared_us:>8.0f} {shared_us / own:>6.2f}")
        print(f"  {assets:>6}   {' | '.join(cells)}", flush=True)


def main() -> None:
    """Play and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--costs", action="store_true", help="only what a row costs")
    parser.add_argument("--kind", action="append", choices=["fan", "gearbox", "compressor", "exchanger"])
    given = parser.parse_args()
    if given.costs:
        costs()
        return
    print("                    first day                | fifth day (false alarms: second to fifth)")
    print("                    seen   after min   false/day | seen   after min   false/day")
    for kind in given.kind or ["fan", "gearbox", "compressor", "exchanger"]:
        fleet = Fleet(kind)
        print(f"{kind}, {given.seeds} newcomers, {len(fleet.model.faults)} faults")
        for variant, outcome in judge(fleet, given.seeds).items():
            print(line(variant, outcome), flush=True)
    costs()
    print(f"{time.process_time():.0f} s of CPU")


if __name__ == "__main__":
    main()
