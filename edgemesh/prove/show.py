"""Running a proof from the command line: where it keeps its files, what a person sees of it."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from edgemesh.errors import EdgemeshError, InputError
from edgemesh.prove.catalogue import DRILLS
from edgemesh.prove.drill import Drill, Figure, Finding, Ground
from edgemesh.prove.faults import FAULTS, Fault, choose
from edgemesh.prove.stand import StuckError
from edgemesh.prove.trial import Recovery, TrialOptions, TrialReport, prepare

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar  # click names it nowhere else


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What the person asked for. `rate` is readings a second; `short` are drills of seconds instead of minutes."""

    faults: tuple[Fault, ...]
    drills: tuple[Drill, ...]
    broker: str
    kills: int
    readings: int
    rate: float
    seed: int
    short: bool = False
    without: tuple[str, ...] = ()
    soak_s: float = 0.0


class DrillReport(msgspec.Struct, frozen=True, kw_only=True):
    """One drill: what must hold, what did not, and the figures."""

    catalogue: str
    name: str
    holds: str
    held: bool
    broken: tuple[str, ...]
    figures: dict[str, Figure]
    seconds: float


class ProveReport(msgspec.Struct, frozen=True, kw_only=True):
    """The one JSON object of `edgemesh prove --json`; the first groups are those of the trial, empty without one."""

    faults: dict[str, int] = {}
    readings: dict[str, int] = {}
    alerts: dict[str, int] = {}
    orders: dict[str, int] = {}
    recovery_s: Recovery = Recovery()
    slowest: tuple[tuple[str, float], ...] = ()
    drills: tuple[DrillReport, ...] = ()
    seconds: float
    broker: str
    seed: int
    good: bool


def listing() -> list[str]:
    """All faults, a line each: number, name, and what is done."""
    lines = {f"{fault.catalogue:<4} {fault.name:<24} {fault.how.value}" for fault in FAULTS}
    lines |= {f"{drill.catalogue:<4} {drill.name:<24} {drill.how}" for drill in DRILLS}
    return sorted(lines, key=lambda line: (int(line[1:4]), line))


def choose_or_refuse(only: str, *, everything: bool = False) -> tuple[tuple[Fault, ...], tuple[Drill, ...]]:
    """The faults and drills of a comma-separated list; none named: the trial's mix. InputError for an unknown one."""
    if everything:
        return choose(()), DRILLS
    names = [name.strip() for name in only.split(",") if name.strip()]
    for name in names:
        known = {word for fault in FAULTS for word in (fault.name, fault.catalogue)}
        known |= {word for drill in DRILLS for word in (drill.name, drill.catalogue)}
        if name not in known:
            raise InputError(f"no fault is called {name!r}", source="--only", wish="--only F0 lists them")
    drills = tuple(drill for drill in DRILLS if drill.name in names or drill.catalogue in names)
    return choose(names), drills


def play(plan: Plan, folder: Path | None) -> ProveReport:
    """Run the proof with a progress bar on standard error, in a folder that is removed unless one is named.

    That of a trial that got stuck stays, with its logs. InputError for a folder that is not empty.
    """
    if folder is not None and folder.exists() and any(folder.iterdir()):
        raise InputError("the folder is not empty", source=str(folder), wish="name a new one")
    began_s = time.monotonic()
    with ExitStack() as stack:
        place = (folder or Path(tempfile.mkdtemp(prefix="edgemesh-prove-"))).resolve()
        if folder is None:
            stack.callback(shutil.rmtree, place, ignore_errors=True)
        try:
            trial = _trial(plan, place / "trial") if plan.faults else None
        except StuckError:
            stack.pop_all()  # it says where the logs are: somebody will want to read them
            raise
        drills = _drills(plan, place)
    good = (trial is None or trial.verdict.good) and all(drill.held for drill in drills)
    report = ProveReport(
        drills=tuple(drills),
        broker=plan.broker,
        seed=plan.seed,
        good=good,
        seconds=round(time.monotonic() - began_s, 1),
    )
    if trial is None:
        return report
    return msgspec.structs.replace(
        report,
        faults=trial.faults,
        readings=trial.verdict.readings,
        alerts=trial.verdict.alerts,
        orders=trial.verdict.orders,
        recovery_s=trial.recovery_s,
        slowest=trial.slowest,
    )


def _trial(plan: Plan, folder: Path) -> TrialReport:
    options = TrialOptions(
        folder=folder,
        broker=plan.broker,
        kills=plan.kills,
        readings=plan.readings,
        rate=plan.rate,
        seed=plan.seed,
        faults=plan.faults,
        without=plan.without,
        soak_s=plan.soak_s,
    )
    with _bar("faults", plan.kills) as bar:

        def progress(what: str, done: int, _: int) -> None:
            bar.update(done - bar.pos, what)

        return asyncio.run(prepare(options).run(progress))


def _drills(plan: Plan, place: Path) -> list[DrillReport]:
    reports: list[DrillReport] = []
    with _bar("drills", len(plan.drills)) as bar:
        for drill in plan.drills:
            folder = place / f"{drill.catalogue}-{drill.name}"
            folder.mkdir(parents=True)
            prefix = f"{drill.catalogue} {drill.name}"
            ground = Ground(
                folder=folder,
                broker=plan.broker,
                seed=plan.seed,
                short=plan.short,
                without=plan.without,
                say=_saying(bar, prefix),
            )
            ground.say("starting")
            reports.append(run_drill(drill, ground))
            bar.update(1)
    return reports


def run_drill(drill: Drill, ground: Ground) -> DrillReport:
    """Run one drill. What keeps it from its end (a site that does not come back) is a promise broken, with its text."""
    began_s = time.monotonic()
    try:
        finding = asyncio.run(drill.run(ground))
    except EdgemeshError as error:
        finding = Finding(broken=(str(error),))
    return DrillReport(
        catalogue=drill.catalogue,
        name=drill.name,
        holds=drill.holds,
        held=finding.held,
        broken=finding.broken,
        figures=finding.figures,
        seconds=round(time.monotonic() - began_s, 1),
    )


def _bar(label: str, length: int) -> ProgressBar[str]:
    return click.progressbar(
        length=max(length, 1),
        label=label,
        file=sys.stderr,
        hidden=not sys.stderr.isatty(),
        item_show_func=lambda what: what or "",
    )


def _saying(bar: ProgressBar[str], prefix: str) -> Callable[[str], None]:
    def say(what: str) -> None:
        bar.update(0, f"{prefix}: {what}")

    return say


def table(report: ProveReport) -> str:
    """The report as lines for people."""
    lines = [*(_trial_lines(report) if report.faults else ()), *_drill_lines(report.drills)]
    lines += ["", f"broker    {report.broker}; seed {report.seed}; {report.seconds} s"]
    return "\n".join([*lines, "nothing lost, nothing twice" if report.good else "NOT GOOD"])


def _trial_lines(report: ProveReport) -> list[str]:
    readings, alerts, orders, recovery = report.readings, report.alerts, report.orders, report.recovery_s
    return [
        *(f"{name:<20} {count:>5}" for name, count in report.faults.items()),
        "",
        f"readings  {readings['accepted']} accepted, {readings['lost']} lost, {readings['doubled']} doubled",
        f"alerts    {alerts['expected']} expected, {alerts['lost']} lost, {alerts['doubled']} doubled",
        f"orders    {orders['opened']} opened, {orders['verified']} verified, {orders['lost']} lost, "
        f"{orders['started_twice']} started twice",
        f"recovery  p50 {recovery.p50} s, p99 {recovery.p99} s, max {recovery.max} s",
        f"bound     0 in {readings['accepted']} means at most 3 in {readings['accepted']} at 95 %",
    ]


def _drill_lines(drills: Sequence[DrillReport]) -> list[str]:
    lines: list[str] = []
    for drill in drills:
        mark = "held  " if drill.held else "BROKEN"
        figures = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in drill.figures.items())
        lines.append(f"{mark} {drill.catalogue:<4} {drill.name:<24} {drill.seconds:>6.1f} s  {figures}")
        lines += [f"       {problem}" for problem in drill.broken]
    return lines
