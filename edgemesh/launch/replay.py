"""Replay: recorded data through the production agents, and what they made of it."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import msgspec

from edgemesh.agents.clock import DataClock
from edgemesh.configuration.loading import Configuration, load
from edgemesh.drivers.replay.driver import Replay as ReplayDriver
from edgemesh.drivers.replay.recording import Recording, find_recordings, open_recording
from edgemesh.drivers.replay.settings import Settings as ReplaySettings
from edgemesh.errors import ConfigError
from edgemesh.launch.drain import drained
from edgemesh.launch.labels import find_windows, label_rows
from edgemesh.launch.plant import Plant, build
from edgemesh.launch.truth import Confusion, Span, flags
from edgemesh.model.agents import Role
from edgemesh.store.history import History

Progress = Callable[[int, int], None]
"""Told how many readings of how many have come to the recorder."""

PATIENCE_S = 20.0
PULSE_S = 0.1
TRAIN_ROWS = 400


class ReplayOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the person asked for. `speed` is a factor of the recorded time, or `max`."""

    source: Path
    config: Path
    data: Path
    speed: float | str = "max"
    train_rows: int = TRAIN_ROWS


class FileResult(msgspec.Struct, frozen=True, kw_only=True):
    """One recording: `rows` played, `bad` refused cells and rows, labelled faults, when the first was detected.

    `detected_after_s` counts from the first labelled row to the first alert inside the label, in recorded time; rates
    are over the rows after the first `train_rows`; None where there are no labels.
    """

    file: str
    asset: str
    rows: int
    bad: int
    faults: int | None
    detected: int | None
    detected_after_s: float | None
    alerts: int
    orders: int
    f1: float | None
    far: float | None
    mar: float | None


class ReplayReport(msgspec.Struct, frozen=True, kw_only=True):
    """The one JSON object of `edgemesh replay --json`; `total` pools the rows of all labelled files, as SKAB does."""

    files: tuple[FileResult, ...]
    total: dict[str, float | int | None]
    readings: dict[str, int]
    seconds: float
    rows_per_s: float
    broker: str
    undrained: tuple[str, ...] = ()


@dataclass(slots=True)
class Replay:
    """A replay that is ready to run. `values` is about how many readings the recordings hold."""

    options: ReplayOptions
    plant: Plant
    recordings: Sequence[Recording]
    values: int

    async def run(self, progress: Progress) -> ReplayReport:
        """Play everything, wait until each log has reached its readers, stop, and judge."""
        began_s = time.monotonic()

        def watch() -> None:
            progress(min(self._delivered(), self.values), self.values)

        try:
            await self.plant.start()
            reading = asyncio.gather(*(intake.finished() for intake in self.plant.intakes.values()))
            while not reading.done():
                watch()
                await asyncio.wait([reading], timeout=PULSE_S)
            await reading
            rest = await drained(self.plant, patience_s=PATIENCE_S, watch=watch)
        finally:
            await self.plant.stop()
        return judge(self, seconds=time.monotonic() - began_s, undrained=rest)

    def _delivered(self) -> int:
        return sum(agent.engine.stats.readings for agent in self.plant.of(Role.RECORDER))


async def prepare(options: ReplayOptions) -> Replay:
    """Look into all recordings, then build the agents; InputError and ConfigError before anything runs."""
    changes = {"site.data": str(options.data)}
    configuration = load(options.config, changes=changes, drivers={"replay": _driver_changes(options)})
    settings = _replay_settings(configuration, options)
    recordings = [open_recording(file, settings) for file in find_recordings(options.source)]
    plant = await build(configuration, clock=DataClock)
    return Replay(options, plant, recordings, sum(_count_values(recording) for recording in recordings))


async def play(options: ReplayOptions, *, quiet: bool = False) -> ReplayReport:
    """Prepare and run with a progress bar on standard error (none when `quiet` or where that is no terminal)."""
    replay = await prepare(options)
    with click.progressbar(
        length=replay.values, label="readings", file=sys.stderr, hidden=quiet or not sys.stderr.isatty(), show_pos=True
    ) as bar:

        def progress(done: int, _: int) -> None:
            bar.update(done - bar.pos)

        return await replay.run(progress)


def show(report: ReplayReport) -> None:
    """Print the report as a table for people."""
    heads = ("file", "rows", "faults", "after s", "alerts", "orders", "F1", "FAR %", "MAR %")
    rows = [
        (
            each.file[:44],
            str(each.rows),
            "-" if each.faults is None else f"{each.detected}/{each.faults}",
            _cell(each.detected_after_s),
            str(each.alerts),
            str(each.orders),
            _cell(each.f1, 3),
            _cell(each.far),
            _cell(each.mar),
        )
        for each in report.files
    ]
    total = report.total
    seen = f"{total['detected']}/{total['faults']}" if total["f1"] is not None else "-"
    count = str(sum(each.rows for each in report.files))
    rates = (_cell(total["f1"], 3), _cell(total["far"]), _cell(total["mar"]))
    rows.append(("all", count, seen, "", str(total["alerts"]), str(total["orders"]), *rates))
    for file, *rest in (heads, *rows):
        click.echo(f"{file:<44} " + " ".join(f"{cell:>7}" for cell in rest))
    readings = report.readings
    click.echo(
        f"{readings['accepted']} readings accepted, {readings['lost']} lost; "
        f"{report.seconds} s, {report.rows_per_s} rows/s through {report.broker}"
    )
    for each in report.files:
        if each.bad:
            click.echo(f"{each.file}: {each.bad} cells or rows could not be read; the rest was played")
    for line in report.undrained:
        click.echo(f"not finished: {line}", err=True)


def _cell(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _driver_changes(options: ReplayOptions) -> dict[str, object]:
    return {"path": str(options.source), "speed": options.speed}


def _replay_settings(configuration: Configuration, options: ReplayOptions) -> ReplaySettings:
    for drivers in configuration.drivers.values():
        for _, driver in drivers:
            if isinstance(driver, ReplayDriver):
                return driver.settings
    raise ConfigError(
        "has no gateway with a driver of type `replay`",
        file=str(options.config),
        wish="`configs/skab.toml` shows one",
    )


def _count_values(recording: Recording) -> int:
    with recording.path.open("rb") as file:
        lines = sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
    return max(0, lines - 1) * len(recording.source.metrics)


def judge(replay: Replay, *, seconds: float, undrained: Sequence[str]) -> ReplayReport:
    """Hold what the stopped plant has left in its history against the labels."""
    plant, path = replay.plant, replay.plant.history()
    if path is None:
        raise ConfigError("has no [recorder]: nothing to judge by", file=str(replay.options.config))
    with History(path) as history:
        alerts, orders = history.alerts(limit=100_000), history.orders(limit=100_000)
        delivered = history.counts().readings
    total = Confusion()
    results = []
    for recording in replay.recordings:
        asset = recording.source.asset
        spans = [Span(asset, alert.raised_at_ns, alert.cleared_at_ns) for alert in alerts if alert.asset == asset]
        count = sum(order.asset == asset for order in orders)
        result, confusion = _judge_file(recording, spans, count, replay.options.train_rows)
        results.append(result)
        total += confusion
    accepted = sum(agent.engine.stats.readings for agent in plant.of(Role.GATEWAY))
    labelled = [result for result in results if result.faults is not None]
    rows = sum(result.rows for result in results)
    return ReplayReport(
        files=tuple(results),
        total={
            "faults": sum(result.faults or 0 for result in labelled),
            "detected": sum(result.detected or 0 for result in labelled),
            "alerts": sum(result.alerts for result in results),
            "orders": sum(result.orders for result in results),
            "f1": round(total.f1, 3) if labelled else None,
            "far": round(total.far, 1) if labelled else None,
            "mar": round(total.mar, 1) if labelled else None,
        },
        readings={"accepted": accepted, "delivered": delivered, "lost": accepted - delivered},
        seconds=round(seconds, 2),
        rows_per_s=round(rows / seconds, 1),
        broker=plant.broker_name,
        undrained=tuple(undrained),
    )


def _judge_file(
    recording: Recording, spans: Sequence[Span], orders: int, train_rows: int
) -> tuple[FileResult, Confusion]:
    times, labels = [], []
    column = _label_column(recording)
    for at_ns, _, row_labels in recording.rows():
        times.append(at_ns)
        if column is not None:
            labels.append(bool(row_labels[column]))
    windows = find_windows(recording.path) if column is None else None
    if windows is not None:
        labels = label_rows(times, windows)
    confusion = Confusion()
    after_s: float | None = None
    runs = _runs(times, labels)
    if labels:
        for label, flag in list(zip(labels, flags(times, spans), strict=True))[train_rows:]:
            confusion.add(label, flag)
        delays = [delay for begin, end in runs if (delay := _delay_s(begin, end, spans)) is not None]
        after_s = delays[0] if delays else None
    result = FileResult(
        file=recording.path.name,
        asset=recording.source.asset,
        rows=len(times),
        bad=recording.counts.bad_values + recording.counts.bad_rows,
        faults=len(runs) if labels else None,
        detected=sum(_delay_s(begin, end, spans) is not None for begin, end in runs) if labels else None,
        detected_after_s=after_s,
        alerts=len(spans),
        orders=orders,
        f1=round(confusion.f1, 3) if labels else None,
        far=round(confusion.far, 1) if labels else None,
        mar=round(confusion.mar, 1) if labels else None,
    )
    return result, confusion


def _label_column(recording: Recording) -> int | None:
    """The column that labels rows; SKAB's `changepoint` labels instants and is none."""
    named = [index for index, name in enumerate(recording.labels) if name != "changepoint"]
    return named[0] if named else None


def _runs(times: Sequence[int], labels: Sequence[bool]) -> list[tuple[int, int]]:
    """First and last instant of each stretch of labelled rows."""
    runs: list[tuple[int, int]] = []
    before = False
    for at_ns, label in zip(times, labels, strict=False):
        if label:
            runs = [*runs[:-1], (runs[-1][0], at_ns)] if before else [*runs, (at_ns, at_ns)]
        before = label
    return runs


def _delay_s(begin: int, end: int, spans: Sequence[Span]) -> float | None:
    """Seconds from the first labelled row to the first alert that fires inside the label; None: never."""
    hits = [max(span.begin_ns, begin) for span in spans if span.begin_ns <= end and (span.end_ns or end + 1) > begin]
    return round((min(hits) - begin) / 1e9, 1) if hits else None
