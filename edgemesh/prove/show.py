"""Running a proof from the command line: where it keeps its files, what a person sees of it."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import click

from edgemesh.errors import InputError
from edgemesh.prove.faults import Fault, choose
from edgemesh.prove.trial import ProveOptions, ProveReport, prepare


def choose_or_refuse(only: str) -> tuple[Fault, ...]:
    """The faults of a comma-separated list. InputError for one that there is not."""
    try:
        return choose([name.strip() for name in only.split(",") if name.strip()])
    except ValueError as error:
        raise InputError(str(error), source="--only") from None


def play(
    faults: tuple[Fault, ...], *, folder: Path | None, broker: str, kills: int, readings: int, rate: float, seed: int
) -> ProveReport:
    """Run the proof with a progress bar on standard error, in a folder that is removed unless one is named.

    InputError for a folder that is not empty.
    """
    if folder is not None and folder.exists() and any(folder.iterdir()):
        raise InputError("the folder is not empty", source=str(folder), wish="name a new one")
    with ExitStack() as stack:
        place = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgemesh-prove-")))
        options = ProveOptions(
            folder=place.resolve(),
            broker=broker,
            kills=kills,
            readings=readings,
            rate=rate,
            seed=seed,
            faults=faults,
        )
        hidden = not sys.stderr.isatty()
        with click.progressbar(
            length=max(kills, 1), label="faults", file=sys.stderr, hidden=hidden, item_show_func=lambda what: what or ""
        ) as bar:

            def progress(what: str, done: int, _: int) -> None:
                bar.update(done - bar.pos, what)

            return asyncio.run(prepare(options).run(progress))


def table(report: ProveReport) -> str:
    """The report as a few lines for people."""
    readings, alerts, orders, recovery = report.readings, report.alerts, report.orders, report.recovery_s
    lines = [f"{name:<20} {count:>5}" for name, count in report.faults.items()]
    lines += [
        "",
        f"readings  {readings['accepted']} accepted, {readings['lost']} lost, {readings['doubled']} doubled",
        f"alerts    {alerts['expected']} expected, {alerts['lost']} lost, {alerts['doubled']} doubled",
        f"orders    {orders['opened']} opened, {orders['verified']} verified, {orders['lost']} lost, "
        f"{orders['started_twice']} started twice",
        f"recovery  p50 {recovery.p50} s, p99 {recovery.p99} s, max {recovery.max} s",
        f"bound     0 in {readings['accepted']} means at most 3 in {readings['accepted']} at 95 %",
        f"broker    {report.broker}; seed {report.seed}; {report.seconds} s",
    ]
    return "\n".join([*lines, "nothing lost, nothing twice" if report.good else "NOT GOOD"])
