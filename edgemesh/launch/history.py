"""`edgemesh history`: find the history, choose what of it, and take it out or over to InfluxDB."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Literal, TextIO

from edgemesh.configuration.loading import load
from edgemesh.configuration.settings import PlantSettings
from edgemesh.errors import InputError, StoreError
from edgemesh.launch.why import find_history
from edgemesh.store.archive import Archive, Seen, Selection
from edgemesh.store.curves import Resolution
from edgemesh.store.forms import COLUMNS, Kind, csv_writer, in_groups, rows
from edgemesh.store.history import Series
from edgemesh.store.influx.guard import MAX_SERIES
from edgemesh.store.influx.transcript import Transcript
from edgemesh.store.influx.transfer import archive_chunks
from edgemesh.store.playback import LATEST_NS

Form = Literal["csv", "parquet", "line-protocol"]
Every = Literal["auto", "raw", "1m", "10m"]
RESOLUTIONS: dict[str, Resolution] = {"raw": "raw", "1m": "1min", "10m": "10min"}
RAW_FOR_NS, MINUTES_FOR_NS = 3_600 * 10**9, 36 * 3_600 * 10**9
"""`auto` takes raw readings up to an hour, minutes up to 36 hours, and ten minutes beyond."""


@dataclass(frozen=True, slots=True)
class Source:
    """A recorder's file, and what the configuration that named it says (None: the file was named itself)."""

    file: Path
    settings: PlantSettings | None = None

    @property
    def max_series(self) -> int:
        """How many series of a measurement InfluxDB is to have."""
        influx = self.settings.influxdb if self.settings else None
        return influx.max_series if influx else MAX_SERIES

    def site(self, given: str | None) -> str:
        """The site; InputError when nobody says which."""
        if given or self.settings:
            return given or str(self.settings.site.id if self.settings else "")
        raise InputError("of which site is this?", source=str(self.file), wish="name its configuration, or give --site")


def find_source(place: Path) -> Source:
    """The history of a configuration (.toml), of a data folder, or the recorder's file itself.

    ConfigError and InputError say what is missing.
    """
    if place.suffix == ".toml":
        return Source(find_history(place), load(place).settings)
    return Source(find_history(place))


@contextmanager
def opened(source: Source) -> Iterator[Archive]:
    """The history, opened for reading beside its recorder. InputError for a file that is none."""
    try:
        archive = Archive(source.file)
    except StoreError as error:
        if error.retryable:
            raise
        raise InputError(f"is no history of edgemesh: {error}", source=str(source.file)) from error
    with archive:
        yield archive


@dataclass(frozen=True, slots=True)
class Span:
    """From when until when (ns, UTC): `last_s` counts back from the end, which is that of the newest reading."""

    since_ns: int | None = None
    until_ns: int | None = None
    last_s: float | None = None

    def applied(self, archive: Archive, selection: Selection) -> Selection:
        """The selection with this span; without beginning or length it is as long as the history."""
        end_ns = LATEST_NS if self.until_ns is None else self.until_ns
        start_ns = self.since_ns or 0
        if self.last_s is not None:
            newest_ns = archive.newest_ns() or 0
            start_ns = max(0, min(end_ns, newest_ns + 1) - round(self.last_s * 1e9))
        if start_ns >= end_ns:
            raise InputError("nothing can lie between these two times", wish="--since comes before --until")
        return replace(selection, start_ns=start_ns, end_ns=end_ns)


def find_series(archive: Archive, selection: Selection) -> dict[int, Series]:
    """The series that fit. InputError when none does, with names that are near."""
    found = archive.select(selection)
    if found:
        return found
    there = archive.series()
    if not there:
        raise InputError("holds no readings yet", source=str(archive.path))
    for word, patterns, names in (
        ("gateway", selection.gateways, {each.gateway for each in there}),
        ("asset", selection.assets, {each.asset for each in there}),
        ("device", selection.devices, {each.device for each in there}),
        ("metric", selection.metrics, {each.metric for each in there}),
    ):
        if patterns and not archive.select(_only(word, patterns)):
            near = difflib.get_close_matches(patterns[0], names, n=3, cutoff=0.5) or sorted(names)[:5]
            raise InputError(f"no {word} is called {' or '.join(patterns)}", wish=f"there are {', '.join(near)}")
    raise InputError("no series fits all of these names", wish="leave one of them out")


def _only(word: str, patterns: tuple[str, ...]) -> Selection:
    return replace(Selection(), **{f"{word}s": patterns})  # type: ignore[arg-type]


def choose(archive: Archive, every: Every, selection: Selection) -> Resolution:
    """The resolution that is asked for; `auto`: the finest that is kept for all of the range and not too much."""
    if every != "auto":
        return RESOLUTIONS[every]
    newest_ns = archive.newest_ns() or 0
    start_ns = max(selection.start_ns, archive.oldest_ns("10min") or 0)
    length_ns = min(selection.end_ns, newest_ns + 1) - start_ns
    if length_ns > MINUTES_FOR_NS:
        return "10min"
    fit: Resolution = "raw" if length_ns <= RAW_FOR_NS else "1min"
    finest = archive.finest(start_ns)
    return max(fit, finest, key=("raw", "1min", "10min").index)


# -- export ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Export:
    """What leaves, as what: `kinds` in one file (CSV and Parquet: one), of the series of a selection."""

    form: Form
    kinds: tuple[Kind, ...]
    series: dict[int, Series]
    selection: Selection
    site: str = ""
    max_series: int = MAX_SERIES


def export(archive: Archive, wanted: Export, target: Path | None, stream: TextIO, seen: Seen | None = None) -> int:
    """Write into a file, whole or not at all, or onto `stream`; return how many rows or lines there were."""
    if target is None:
        return _write_text(archive, wanted, stream, seen)
    part = target.with_name(f"{target.name}.part")
    try:
        if wanted.form == "parquet":
            count = _write_parquet(archive, wanted, part, seen)
        else:
            with part.open("w", encoding="utf-8", newline="") as file:
                count = _write_text(archive, wanted, file, seen)
                _settle(file)
        part.replace(target)
    except OSError as error:
        raise InputError(f"can't be written: {error.strerror}", source=str(target)) from error
    finally:
        part.unlink(missing_ok=True)
    return count


def _settle(file: IO[str]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _write_text(archive: Archive, wanted: Export, stream: TextIO, seen: Seen | None) -> int:
    count = 0
    if wanted.form == "line-protocol":
        for line in lines_of(archive, wanted, seen):
            stream.write(line.decode() + "\n")
            count += 1
        return count
    kind = wanted.kinds[0]
    write = csv_writer(stream, COLUMNS[kind])
    for group in in_groups(rows(archive, kind, wanted.series, wanted.selection, seen), 1_000):
        write(group)
        count += len(group)
    return count


def lines_of(archive: Archive, wanted: Export, seen: Seen | None = None) -> Iterator[bytes]:
    """Line protocol, as the recorder's mirror writes it."""
    transcript = Transcript(wanted.site, max_series=wanted.max_series)
    chunks = archive_chunks(archive, transcript, wanted.kinds, wanted.series, wanted.selection, seen=seen)
    for chunk in chunks:
        yield from chunk.lines
    transcript.close()


def _write_parquet(archive: Archive, wanted: Export, file: Path, seen: Seen | None) -> int:
    from edgemesh.store.parquet import GROUP_ROWS, parquet_writer  # heavy, and an extra

    kind, count = wanted.kinds[0], 0
    with parquet_writer(file, COLUMNS[kind]) as write:
        for group in in_groups(rows(archive, kind, wanted.series, wanted.selection, seen), GROUP_ROWS):
            write(group)
            count += len(group)
    with file.open("rb") as written:
        os.fsync(written.fileno())
    return count
