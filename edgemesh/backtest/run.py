"""Backtest: recorded data through the production cores, and what one or two configurations say of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from edgemesh.agents.watches import Observer
from edgemesh.backtest.chain import Block, Chain
from edgemesh.backtest.comparison import Comparison, compare
from edgemesh.backtest.recorded import Range, Recorded, open_recorded
from edgemesh.backtest.report import BacktestReport, Played, make_report
from edgemesh.backtest.traces import Trace
from edgemesh.configuration.loading import Configuration, load
from edgemesh.errors import ConfigError, InputError
from edgemesh.launch.lines import instant_text
from edgemesh.launch.plant import need_for_detection
from edgemesh.launch.replay import TRAIN_ROWS
from edgemesh.launch.verdict import label_runs
from edgemesh.store.playback import LATEST_NS

Progress = Callable[[str, int, int], None]
"""Told the name of the configuration, and how many readings of about how many were played."""


class BacktestOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the person asked for. `begin_ns` counts in, `end_ns` does not; `asset` is what the data are of."""

    config: Path
    data: Path
    against: Path | None = None
    begin_ns: int = 0
    end_ns: int = LATEST_NS
    train_rows: int = TRAIN_ROWS
    asset: str | None = None
    traced: bool = False


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The one JSON object of `edgemesh backtest --json`; with `--against` both reports, and what differs."""

    report: BacktestReport
    against: BacktestReport | None = None
    comparison: Comparison | None = None


@dataclass
class Traces:
    """Curves of one run, if they were asked for: values by asset, then (device, metric); scores and labels by asset.

    `settings` are the configuration's, for its levels.
    """

    configuration: Configuration
    report: BacktestReport | None = None
    values: dict[str, dict[tuple[str, str], Trace]] = field(default_factory=dict)
    units: dict[tuple[str, str], str] = field(default_factory=dict)
    scores: dict[str, Trace] = field(default_factory=dict)
    labels: dict[str, list[tuple[int, int]]] = field(default_factory=dict)

    def observe(self, asset: str, at_ns: int, score: float) -> None:
        """Take the score of one row."""
        self.scores.setdefault(asset, Trace()).add(at_ns, score)

    def take(self, block: Block) -> None:
        """Take the values of a block."""
        for sample in block.samples:
            source = sample.source
            curves = self.values.setdefault(source.asset, {})
            for metric, unit, value in zip(source.metrics, source.units, sample.values, strict=True):
                if value is not None:
                    channel = (source.device, metric)
                    if channel not in curves:
                        curves[channel], self.units[channel] = Trace(), unit
                    curves[channel].add(sample.at_ns, value)


def backtest(options: BacktestOptions, progress: Progress = lambda *_: None) -> tuple[Answer, list[Traces]]:
    """Play the data through one configuration, or two; also gives the traces of each, where they are asked for.

    ConfigError and InputError before anything is played, where the files can tell.
    """
    if options.begin_ns >= options.end_ns:
        raise InputError("the range ends before it begins", source="--from/--to")
    files = [options.config, *([options.against] if options.against else [])]
    plans = [_prepare(file, options) for file in files]
    traces = [Traces(configuration) for configuration, _ in plans]
    reports = [
        _play(configuration, data, options, progress, trace)
        for (configuration, data), trace in zip(plans, traces, strict=True)
    ]
    for trace, report in zip(traces, reports, strict=True):
        trace.report = report
    if len(reports) == 1:
        return Answer(report=reports[0]), traces
    return Answer(report=reports[0], against=reports[1], comparison=compare(*reports)), traces


def _prepare(file: Path, options: BacktestOptions) -> tuple[Configuration, Recorded]:
    configuration = load(file, drivers={"replay": {"path": str(options.data), "speed": "max"}})
    if configuration.settings.detector is None:
        raise ConfigError("is missing", file=str(file), path="detector", wish="without it nothing can fire")
    need_for_detection(configuration.settings)
    within = Range(options.begin_ns, options.end_ns)
    return configuration, open_recorded(options.data, configuration, within, asset=options.asset)


def _play(
    configuration: Configuration, data: Recorded, options: BacktestOptions, progress: Progress, traces: Traces
) -> BacktestReport:
    name = str(configuration.file)
    observer: Observer | None = traces.observe if options.traced else None
    chain = Chain(configuration.settings, file=name, observer=observer)
    began_s = time.monotonic()
    rows = readings = 0
    begin_ns, end_ns = LATEST_NS, 0
    for block in data.blocks():
        first_ns = block.samples[0].at_ns
        if data.waits:
            chain.wait(first_ns)
        if options.traced:
            traces.take(block)
        readings += sum(batch.readings for batch in chain.play(block))
        rows += len(block.samples)
        times = [sample.at_ns for sample in block.samples]
        begin_ns, end_ns = min(begin_ns, *times), max(end_ns, *times)
        progress(name, readings, data.readings)
    if not rows:
        raise _nothing(options, data)
    subjects = data.subjects()
    for subject in subjects:
        if subject.labels:
            traces.labels.setdefault(subject.asset, []).extend(label_runs(subject.times_ns, subject.labels))
    played = Played(
        subjects=subjects,
        alerts=list(chain.alerts.values()),
        orders=list(chain.orders.values()),
        begin_ns=begin_ns,
        end_ns=end_ns,
        rows=rows,
        readings=readings,
        seconds=time.monotonic() - began_s,
        notes=data.notes,
    )
    return make_report(played, config=name, data=str(options.data), train_rows=options.train_rows)


def _nothing(options: BacktestOptions, data: Recorded) -> InputError:
    if data.seen is None:
        return InputError("no row has a time that can be read", source=str(options.data), wish="look into the file")
    first, last = map(instant_text, data.seen)
    return InputError("nothing lies in this range", source=str(options.data), wish=f"it holds {first} to {last}")
