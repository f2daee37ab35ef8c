"""Recorded data as the blocks that gateways would commit: CSV files, or the raw readings of a history."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec

from edgemesh.backtest.chain import Block
from edgemesh.configuration.loading import Configuration
from edgemesh.drivers.replay.driver import Replay as ReplayDriver
from edgemesh.drivers.replay.recording import Recording, find_recordings, open_recording
from edgemesh.drivers.replay.settings import Settings as ReplaySettings
from edgemesh.errors import InputError, StoreError
from edgemesh.launch.labels import find_windows, label_rows
from edgemesh.launch.plant import journal_file
from edgemesh.launch.replay import count_values
from edgemesh.launch.verdict import Subject, label_column
from edgemesh.model.samples import Quality, Sample, Source
from edgemesh.store.history import Series
from edgemesh.store.playback import LATEST_NS, Playback

SLICE_NS = 10**9
_NEAR_NS = 120 * 10**9
"""A history that begins so soon after what was trimmed began earlier."""
_SQLITE = b"SQLite format 3\0"


@dataclass(frozen=True, slots=True)
class Range:
    """From an instant up to another one, in ns UTC."""

    begin_ns: int = 0
    end_ns: int = LATEST_NS

    def holds(self, at_ns: int) -> bool:
        """Whether the instant lies inside."""
        return self.begin_ns <= at_ns < self.end_ns


class Recorded(Protocol):
    """Data that can be played once. After `blocks` the rest is known.

    `readings` is about how many there are, for the progress. `waits`: time passes between blocks, too. `seen` are the
    first and last instant of the data, whatever the range; None: there are none. `notes` are for the person.
    """

    readings: int
    waits: bool
    seen: tuple[int, int] | None
    notes: list[str]

    def blocks(self) -> Iterator[Block]:
        """The blocks in the order in which they came."""
        ...

    def subjects(self) -> list[Subject]:
        """What is judged by itself: each file, or each asset."""
        ...


def open_recorded(path: Path, configuration: Configuration, within: Range, *, asset: str | None = None) -> Recorded:
    """Look into what the path names; InputError says what is missing, empty or unreadable.

    CSV (a file, a folder, a pattern), a history's SQLite file, or a data folder that holds one.
    """
    history = _find_history(path, configuration)
    if history is not None:
        return HistoryData(history, within)
    gateway, settings, rows = _replay_settings(path, configuration, asset)
    recordings = [open_recording(file, settings) for file in find_recordings(path)]
    return CsvData(gateway, recordings, rows, within)


def _find_history(path: Path, configuration: Configuration) -> Path | None:
    if path.is_file():
        try:
            with path.open("rb") as file:
                return path if file.read(len(_SQLITE)) == _SQLITE else None
        except OSError as error:
            raise InputError(f"can't be opened: {error.strerror}", source=str(path)) from error
    recorder = configuration.settings.recorder
    file_ = journal_file(path, recorder.agent if recorder else "recorder")
    return file_ if file_.is_file() else None


def _replay_settings(
    path: Path, configuration: Configuration, asset: str | None
) -> tuple[str, ReplaySettings, int | None]:
    """The gateway that plays recordings, how, and in blocks of how many rows.

    A configuration that has none is given one that calls the device like the file and commits like a live site.
    """
    found = [
        (gateway, driver.settings, driver.settings.rows_per_batch)
        for gateway, drivers in configuration.drivers.items()
        for _, driver in drivers
        if isinstance(driver, ReplayDriver)
    ]
    names = [gateway.id for gateway in configuration.settings.gateway]
    without = (names[0] if names else "gateway-1", ReplaySettings(path=str(path), device="{stem}"), None)
    gateway, settings, rows = found[0] if found else without
    try:
        settings = settings if asset is None else msgspec.structs.replace(settings, asset=asset)
    except ValueError as error:
        raise InputError(str(error), source="--asset") from error
    return gateway, settings, rows


@dataclass
class CsvData:
    """Files one after the other, as the driver `replay` plays them; without `rows_per_block` in slices of a second."""

    gateway: str
    recordings: list[Recording]
    rows_per_block: int | None
    within: Range
    waits: bool = False
    seen: tuple[int, int] | None = None
    notes: list[str] = field(default_factory=list)
    _subjects: list[Subject] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.readings = sum(count_values(recording) for recording in self.recordings)

    def blocks(self) -> Iterator[Block]:
        """See `Recorded.blocks`."""
        for recording in self.recordings:
            yield from self._blocks(recording)

    def subjects(self) -> list[Subject]:
        """See `Recorded.subjects`: the files that have rows in the range, in their order."""
        return [subject for subject in self._subjects if subject.times_ns]

    def _blocks(self, recording: Recording) -> Iterator[Block]:
        column, times, labels = label_column(recording), [], []
        block: list[Sample] = []
        for at_ns, values, row_labels in recording.rows():
            self.seen = _widened(self.seen, at_ns)
            if not self.within.holds(at_ns):
                continue
            times.append(at_ns)
            if column is not None:
                labels.append(bool(row_labels[column]))
            if block and self._is_whole(block, at_ns):
                yield Block(self.gateway, block)
                block = []
            block.append(Sample(recording.source, at_ns, values, own_time=True))
        if block:
            yield Block(self.gateway, block)
        windows = find_windows(recording.path) if column is None else None
        counts = recording.counts
        bad = counts.bad_values + counts.bad_rows
        if bad:
            self.notes.append(f"{recording.path.name}: {bad} cells or rows could not be read; the rest was played")
        labels = labels if windows is None else label_rows(times, windows)
        self._subjects.append(Subject(recording.path.name, recording.source.asset, times, labels, bad))

    def _is_whole(self, block: list[Sample], next_ns: int) -> bool:
        """Whether the next row belongs into another block."""
        if self.rows_per_block is not None:
            return len(block) >= self.rows_per_block
        return next_ns // SLICE_NS != block[-1].at_ns // SLICE_NS


@dataclass(slots=True)
class _Cells:
    values: list[float | None]
    quality: list[Quality]


Slice = dict[tuple[str, Source, int], _Cells]
"""Samples of about one time by gateway, source and instant."""


class HistoryData:
    """The raw readings of a history in the order of time, in slices of a second.

    A device is one stream of all metrics that it ever had; what a sample lacked is missing.
    """

    def __init__(self, path: Path, within: Range) -> None:
        self.waits = True
        self.notes: list[str] = []
        self._path, self._within = path, within
        try:
            with Playback(path) as history:
                self.seen = history.extent()
                self.readings = history.count_raw(within.begin_ns, within.end_ns)
                trimmed = history.raw_from_ns
        except StoreError as error:
            if error.retryable:
                raise
            wish = "name a recorder's file, like data/demo/agents/recorder.db"
            raise InputError(f"is no history of edgemesh: {error}", source=str(path), wish=wish) from error
        if self.seen is None:
            raise InputError("the history holds no raw readings", source=str(path), wish="`keep_raw` says how long")
        if trimmed > within.begin_ns and self.seen[0] < trimmed + _NEAR_NS:
            self.notes.append("raw readings older than the history's first were trimmed; `keep_raw` says how long")
        self._times: dict[str, list[int]] = {}

    def blocks(self) -> Iterator[Block]:
        """See `Recorded.blocks`."""
        with Playback(self._path) as history:
            series = history.series()
            sources, places = _sources(series)
            gateways = {each.id: each.gateway for each in series}
            end_ns = -1
            samples: Slice = {}
            for at_ns, one, value, quality in history.instants(self._within.begin_ns, self._within.end_ns):
                if at_ns >= end_ns:
                    yield from self._slice(samples)
                    samples, end_ns = {}, (at_ns // SLICE_NS + 1) * SLICE_NS
                source, place = sources[one], places[one]
                key = (gateways[one], source, at_ns)
                cells = samples.get(key)
                if cells is None:
                    cells = samples[key] = _Cells([None] * len(source.metrics), [Quality.GOOD] * len(source.metrics))
                cells.values[place], cells.quality[place] = value, Quality(quality)
            yield from self._slice(samples)

    def subjects(self) -> list[Subject]:
        """See `Recorded.subjects`: the assets, by name; nothing is labelled."""
        return [Subject(asset, asset, times, ()) for asset, times in sorted(self._times.items())]

    def _slice(self, samples: Slice) -> Iterator[Block]:
        blocks: dict[str, list[Sample]] = {}
        for (gateway, source, at_ns), cells in samples.items():
            quality = tuple(cells.quality) if any(cells.quality) else None
            sample = Sample(source, at_ns, tuple(cells.values), quality, own_time=True)
            blocks.setdefault(gateway, []).append(sample)
            self._times.setdefault(source.asset, []).append(at_ns)
        for gateway, block in blocks.items():
            yield Block(gateway, block)


def _sources(series: list[Series]) -> tuple[dict[int, Source], dict[int, int]]:
    """The source of each series, and its place in it; a metric whose unit changed is in a source of its own."""
    groups: dict[tuple[str, str, str, int], list[Series]] = {}
    for one in sorted(series):
        number = 0
        while one.metric in {other.metric for other in groups.get((one.gateway, one.device, one.asset, number), ())}:
            number += 1
        groups.setdefault((one.gateway, one.device, one.asset, number), []).append(one)
    sources: dict[int, Source] = {}
    places: dict[int, int] = {}
    for (_, device, asset, _), members in groups.items():
        metrics, units = tuple(one.metric for one in members), tuple(one.unit for one in members)
        source = Source(device, asset, metrics, units)
        for place, one in enumerate(members):
            sources[one.id], places[one.id] = source, place
    return sources, places


def _widened(seen: tuple[int, int] | None, at_ns: int) -> tuple[int, int]:
    return (at_ns, at_ns) if seen is None else (min(seen[0], at_ns), max(seen[1], at_ns))
