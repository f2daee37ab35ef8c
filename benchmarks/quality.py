"""Quality of the scoring engine on public data: `python benchmarks/quality.py DATA [--robust]`.

DATA holds `skab/**/*.csv` and `nab/windows.json` with its files; what is missing is left out. SKAB: fit on the first
400 rows, score the rest, rows of all files pooled; mean of the seeds and the worst. NAB: standard profile, one
configuration. Causality: truncated copies of files are judged anew; the call fails if an earlier judgement changes, if
the same check does not catch a method that looks ahead, or if the mean F1 is below `--least`. `--robust` adds what
becomes of the figures when constants, sensors, rows and warm-ups change.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgemesh.detect.methods.detectors import installed
from edgemesh.detect.methods.episodes import Pace
from edgemesh.detect.methods.machine import MachineScorer
from edgemesh.detect.methods.plugged import PluginMethod
from edgemesh.detect.methods.series import SeriesScorer
from edgemesh.detect.models.settings import ProfileSettings, SeriesSettings
from edgemesh.drivers.instants import instant_of
from edgemesh.drivers.replay.recording import find_recordings, open_recording
from edgemesh.drivers.replay.settings import Settings as ReplaySettings
from edgemesh.launch.nab import nab_score
from edgemesh.launch.truth import Confusion

Table = NDArray[np.float64]
Flags = list[bool]
TRAIN_ROWS = 400
EVERY_OTHER = "every other row, pace halved"
PARTS = {"both": ProfileSettings().forest_weight, "chart alone": 0.0, "forest alone": 1.0}


@dataclass
class Run:
    """One recording: its channels, times, rows, and the label of each row."""

    name: str
    channels: tuple[str, ...]
    at_ns: list[int]
    table: Table
    labels: Flags


@dataclass
class Figures:
    """Pooled rows of several files, false episodes (runs of flags without a labelled row) and hours of normal rows."""

    rows: Confusion
    false: int
    normal_h: float

    def __str__(self) -> str:
        rate = self.false / self.normal_h if self.normal_h else 0.0
        return f"{self.rows.f1:.3f} / {self.rows.far:4.1f} / {self.rows.mar:4.1f}   {rate:.2f}"


def read_run(path: Path) -> Run:
    recording = open_recording(path, ReplaySettings(path=str(path)))
    rows = list(recording.rows())
    table = np.array([values for _, values, _ in rows], dtype=np.float64)
    at = recording.labels.index("anomaly") if "anomaly" in recording.labels else None
    labels = [at is not None and bool(marks[at]) for _, _, marks in rows]
    return Run(path.stem, recording.source.metrics, [at_ns for at_ns, _, _ in rows], table, labels)


def machine_flags(run: Run, settings: ProfileSettings, pace: Pace | None = None, *, rows_at_once: int = 64) -> Flags:
    scorer = MachineScorer(run.channels, settings, pace=pace)
    rows = run.table.tolist()
    blocks = (rows[start : start + rows_at_once] for start in range(0, len(rows), rows_at_once))
    return [each.flag for block in blocks for each in scorer.take(block)]


def judge(runs: Sequence[Run], flags: Sequence[Flags], train_rows: int = TRAIN_ROWS) -> Figures:
    figures = Figures(Confusion(), 0, 0.0)
    for run, marks in zip(runs, flags, strict=True):
        for label, flag in zip(run.labels[train_rows:], marks[train_rows:], strict=True):
            figures.rows.add(label, flag)
        figures.false += sum(not any(run.labels[a:b]) for a, b in spans(marks))
        period_s = float(np.median(np.diff(run.at_ns))) / 1e9
        figures.normal_h += run.labels[train_rows:].count(False) * period_s / 3600
    return figures


def spans(flags: Flags) -> Iterator[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.array([False, *flags, False]).astype(int))).tolist()
    yield from zip(edges[::2], edges[1::2], strict=True)


def skab(runs: Sequence[Run], seeds: int) -> float:
    """Print the table of parts; return the mean F1 of both together."""
    print(f"SKAB, {len(runs)} files, F1 / FAR % / MAR %, false episodes per normal hour")
    means = []
    for part, weight in PARTS.items():
        found = []
        for seed in range(seeds if weight else 1):
            settings = ProfileSettings(forest_weight=weight, seed=seed)
            found.append(judge(runs, [machine_flags(run, settings) for run in runs]))
        mean = statistics.mean(each.rows.f1 for each in found)
        means.append(mean)
        far, mar = (statistics.mean(getattr(each.rows, rate) for each in found) for rate in ("far", "mar"))
        rate = statistics.mean(each.false / each.normal_h for each in found)
        worst = min(range(len(found)), key=lambda seed: found[seed].rows.f1)
        print(
            f"  {part:<13} {mean:.3f} / {far:4.1f} / {mar:4.1f}   {rate:.2f}"
            f"   worst of {len(found)}: {found[worst]} (seed {worst})"
        )
    return means[0]


def plugged(runs: Sequence[Run]) -> None:
    """Print the figures of every detector that is installed as a plug-in, with the settings that it has by default."""
    for plugin in installed():
        flags = []
        for run in runs:
            method = PluginMethod(plugin.name, [("", channel, "1") for channel in run.channels])
            flags.append([each.flag for each in method.take(run.table.tolist())])
            if method.failures:
                break
        print(f"  {plugin.name:<17} {judge(runs, flags) if len(flags) == len(runs) else 'does not judge here'}")


def nab(folder: Path, seeds: int) -> None:
    windows = json.loads((folder / "windows.json").read_text())
    found = []
    for seed in range(seeds):
        judged = []
        for name, labels in windows.items():
            run = read_run(folder / name)
            scorer = SeriesScorer("value", SeriesSettings(seed=seed))
            flags = [each.flag for each in scorer.take(run.table.tolist())]
            judged.append((flags, [_rows_of(run, *map(instant_of, label)) for label in labels]))
        found.append(nab_score(judged))
    print(
        f"NAB, {len(windows)} series, standard profile: {statistics.mean(found):.1f}"
        f", worst of {seeds}: {min(found):.1f}"
    )


def _rows_of(run: Run, first_ns: int, last_ns: int) -> tuple[int, int]:
    inside = [row for row, at_ns in enumerate(run.at_ns) if first_ns <= at_ns <= last_ns]
    return inside[0], inside[-1]


def looks_ahead(judge_rows: Callable[[Table], Flags], table: Table, cuts: Sequence[int]) -> int | None:
    """The first cut at which the flags of the rows before it change when what comes after is taken away."""
    whole = judge_rows(table)
    return next((cut for cut in cuts if judge_rows(table[:cut]) != whole[:cut]), None)


def check_causality(runs: Sequence[Run]) -> bool:
    def engine(run: Run) -> Callable[[Table], Flags]:
        return lambda table: machine_flags(
            Run(run.name, run.channels, run.at_ns, table, run.labels), ProfileSettings(), rows_at_once=17
        )

    def series(table: Table) -> Flags:
        return [each.flag for each in SeriesScorer("v", SeriesSettings()).take(table[:, :1].tolist())]

    def seer(table: Table) -> Flags:
        centred = np.convolve(table[:, -1], np.ones(31) / 31, "same")
        return [bool(value) for value in centred < centred[100:400].min()]

    broken = []
    for run in runs[:6]:
        cuts = sorted({401, 450, 599, 612, 700, 801, 950, len(run.table) - 1})
        for name, method in (("machine", engine(run)), ("series", series)):
            cut = looks_ahead(method, run.table, cuts)
            if cut is not None:
                broken.append(f"{name} on {run.name} cut at row {cut}")
    caught = any(looks_ahead(seer, run.table, range(570, 700, 10)) is not None for run in runs[:6])
    print(
        f"Causality: {len(runs[:6])} files x 8 truncated copies x 2 methods, changed: {', '.join(broken) or 'none'}; ",
        end="",
    )
    print("a centred average is caught" if caught else "A CENTRED AVERAGE IS NOT CAUGHT")
    return caught and not broken


def robust(runs: Sequence[Run]) -> None:
    """What becomes of the figures (chart alone where constants change: no chance in it) when things change."""
    chart = ProfileSettings(forest_weight=0.0)
    print("Robustness: F1 / FAR / MAR, false episodes per normal hour")
    base = Pace()
    found = []
    for name in Pace.__struct_fields__:
        for factor in (0.8, 1.25):
            value = getattr(base, name)
            changed = max(1, round(value * factor)) if isinstance(value, int) else value * factor
            pace = msgspec.structs.replace(base, **{name: changed})
            found.append((judge(runs, [machine_flags(run, chart, pace) for run in runs]), f"{name} x {factor}"))
    scores = [figures.rows.f1 for figures, _ in found]
    worst = min(found, key=lambda each: each[0].rows.f1)
    print(
        f"  {len(found)} changes of one constant: mean F1 {statistics.mean(scores):.3f}, worst {worst[0]} ({worst[1]})"
    )
    for name, change in CHANGES.items():
        changed_runs = [change(run, np.random.default_rng(k)) for k, run in enumerate(runs)]
        halved = name == EVERY_OTHER
        settings = msgspec.structs.replace(chart, train_rows=200) if halved else chart
        pace = base.scaled(0.5) if halved else base
        flags = [machine_flags(run, settings, pace) for run in changed_runs]
        print(f"  {name:<42} {judge(changed_runs, flags, settings.train_rows)}")


def _changed(run: Run, table: Table, rows: slice | NDArray[np.intp] = slice(None), channels: Sequence[str] = ()) -> Run:
    at_ns, labels = np.array(run.at_ns)[rows].tolist(), np.array(run.labels)[rows].tolist()
    return Run(run.name, tuple(channels) or run.channels, at_ns, table[rows], labels)


def _without(run: Run, place: int) -> Run:
    return _changed(
        run, np.delete(run.table, place, axis=1), channels=[*run.channels[:place], *run.channels[place + 1 :]]
    )


def _stepped(run: Run, chance: np.random.Generator) -> Run:
    table, width = run.table.copy(), run.table.shape[1]
    size = chance.uniform(4, 12, width) * chance.choice([-1, 1], width) * (chance.random(width) < 0.5)
    table[: chance.integers(60, 200)] += size * table[200:400].std(axis=0)
    return _changed(run, table)


def _stuck(run: Run, _: np.random.Generator) -> Run:
    table = run.table.copy()
    table[420:, 3] = table[420, 3]
    return _changed(run, table)


def _gone(run: Run, chance: np.random.Generator) -> Run:
    table = run.table.copy()
    for start in chance.integers(0, len(table), 6):
        table[start : start + 40, chance.integers(table.shape[1])] = np.nan
    return _changed(run, table)


def _spiked(run: Run, chance: np.random.Generator) -> Run:
    table = run.table.copy()
    table[chance.random(table.shape) < 0.001] = 65535.0
    return _changed(run, table)


def _shuffled(run: Run, chance: np.random.Generator) -> Run:
    order = chance.permutation(len(run.channels))
    return _changed(run, run.table[:, order], channels=[run.channels[k] for k in order])


CHANGES: dict[str, Callable[[Run, np.random.Generator], Run]] = {
    "as it is (chart alone)": lambda run, chance: run,
    "warm-up begins 75 rows later": lambda run, chance: _changed(run, run.table, slice(75, None)),
    "warm-up begins 150 rows later": lambda run, chance: _changed(run, run.table, slice(150, None)),
    "a level step inside the warm-up": _stepped,
    EVERY_OTHER: lambda run, chance: _changed(run, run.table, slice(None, None, 2)),
    "a tenth of the rows lost": lambda run, chance: _changed(
        run, run.table, np.flatnonzero((np.arange(len(run.table)) < 400) | (chance.random(len(run.table)) > 0.1))
    ),
    "channels scaled and shifted": lambda run, chance: _changed(run, run.table * 1000.0 - 5.0),
    "channels in another order": _shuffled,
    "names that say nothing": lambda run, chance: _changed(
        run, run.table, channels=[f"c{k}" for k in range(len(run.channels))]
    ),
    "pressure stuck from row 420": _stuck,
    "six gaps of 40 rows in single channels": _gone,
    "one cell in 1,000 is 65535": _spiked,
    "without the vibration sensors": lambda run, chance: _without(_without(run, 1), 0),
    "without current": lambda run, chance: _without(run, 2),
    "without thermal sensors": lambda run, chance: _without(_without(run, 5), 4),
    "flow alone (and thermal)": lambda run, chance: _changed(
        run, run.table[:, [4, 5, 7]], channels=[run.channels[k] for k in (4, 5, 7)]
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--least", type=float, default=0.90, help="mean F1 on SKAB below which the call fails")
    parser.add_argument("--robust", action="store_true")
    options = parser.parse_args()
    began = time.process_time()
    folder, sound = options.data / "skab", True
    if folder.is_dir():
        runs = [run for run in map(read_run, find_recordings(folder)) if any(run.labels)]
        sound = skab(runs, options.seeds) >= options.least
        plugged(runs)
        sound = check_causality(runs) and sound
        if options.robust:
            robust(runs)
    if (options.data / "nab" / "windows.json").is_file():
        nab(options.data / "nab", options.seeds)
    print(f"{time.process_time() - began:.0f} s of CPU")
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
