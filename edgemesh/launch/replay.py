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
from edgemesh.health.responder import Responder
from edgemesh.launch.drain import drained
from edgemesh.launch.metrics import open_metrics
from edgemesh.launch.plant import Plant, build
from edgemesh.launch.truth import Confusion, Span
from edgemesh.launch.verdict import FileResult, Subject, judge_subject, read_labels, sum_up, table_lines
from edgemesh.model.agents import Role
from edgemesh.store.history import History

Progress = Callable[[int, int], None]
"""Told how many readings of how many have come to the recorder."""

PATIENCE_S = 20.0
PULSE_S = 0.1
TRAIN_ROWS = 400


class ReplayOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the person asked for. `speed` is a factor of the recorded time, or `max`. `metrics_port` None: no metrics,
    0: any free port.
    """

    source: Path
    config: Path
    data: Path
    speed: float | str = "max"
    train_rows: int = TRAIN_ROWS
    metrics_port: int | None = None


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
    metrics: Responder | None = None

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
            if self.metrics:
                await self.metrics.close()
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
    metrics = await open_metrics(plant, options.metrics_port)
    return Replay(options, plant, recordings, sum(count_values(recording) for recording in recordings), metrics)


async def play(options: ReplayOptions, *, quiet: bool = False) -> ReplayReport:
    """Prepare and run with a progress bar on standard error (none when `quiet` or where that is no terminal)."""
    replay = await prepare(options)
    if replay.metrics:
        click.echo(f"metrics: {replay.metrics.url}/metrics", err=True)
    with click.progressbar(
        length=replay.values, label="readings", file=sys.stderr, hidden=quiet or not sys.stderr.isatty(), show_pos=True
    ) as bar:

        def progress(done: int, _: int) -> None:
            bar.update(done - bar.pos)

        return await replay.run(progress)


def show(report: ReplayReport) -> None:
    """Print the report as a table for people."""
    for line in table_lines(report.files, report.total):
        click.echo(line)
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


def count_values(recording: Recording) -> int:
    """About how many readings the file holds: its lines times its metrics."""
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
    pooled = Confusion()
    results = []
    for recording in replay.recordings:
        asset = recording.source.asset
        spans = [Span(asset, alert.raised_at_ns, alert.cleared_at_ns) for alert in alerts if alert.asset == asset]
        count = sum(order.asset == asset for order in orders)
        times, labels = read_labels(recording)
        bad = recording.counts.bad_values + recording.counts.bad_rows
        subject = Subject(recording.path.name, asset, times, labels, bad)
        result, confusion = judge_subject(subject, spans, count, replay.options.train_rows)
        results.append(result)
        pooled += confusion
    accepted = sum(agent.engine.stats.readings for agent in plant.of(Role.GATEWAY))
    rows = sum(result.rows for result in results)
    return ReplayReport(
        files=tuple(results),
        total=sum_up(results, pooled),
        readings={"accepted": accepted, "delivered": delivered, "lost": accepted - delivered},
        seconds=round(seconds, 2),
        rows_per_s=round(rows / seconds, 1),
        broker=plant.broker_name,
        undrained=tuple(undrained),
    )
