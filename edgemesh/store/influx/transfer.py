"""The transfer: lines of a history or a file go to InfluxDB in one go, by the sender that the recorder has."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path

from edgemesh.errors import InputError, StoreError
from edgemesh.store.archive import STEP_ROWS, Archive, Selection
from edgemesh.store.curves import Resolution
from edgemesh.store.forms import Kind
from edgemesh.store.history import Series
from edgemesh.store.influx.measurements import ROLLUPS
from edgemesh.store.influx.progress import Progress
from edgemesh.store.influx.reader import MAX_BYTES, Place, Request
from edgemesh.store.influx.sender import Post, Sender
from edgemesh.store.influx.spool import Lane
from edgemesh.store.influx.transcript import Transcript
from edgemesh.store.schema import MINUTE_NS
from edgemesh.store.table_files import Line

CHUNK_LINES = 5_000
PATIENCE_S = 300.0
"""A server that takes nothing for so long is given up."""
MAX_LINE = 1_000_000
ORDER: tuple[Kind, ...] = ("alerts", "orders", "raw", "1min", "10min")
"""The kinds in the order in which they are written."""
_ROLLUPS = tuple(f"{name},".encode() for name in ROLLUPS.values())
_LINE = re.compile(rb"[^ ,#][^ ]* [^ ].* [0-9]+$")

Mark = tuple[str, int]
"""Where a source goes on: a kind and an instant in ns, or in a file `offset` and bytes, `row` and rows."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Lines for one lane. `mark`: with these lines stored it may go on there (None: only from the beginning)."""

    lane: Lane
    lines: Sequence[bytes]
    mark: Mark | None


def file_chunks(file: Path, begin: Mark | None = None) -> Iterator[Chunk]:
    """The lines of a file in line protocol. InputError when it can't be read, or holds something else."""
    try:
        with file.open("rb") as stream:
            stream.seek(begin[1] if begin else 0)
            groups: dict[Lane, list[bytes]] = {Lane.READINGS: [], Lane.ROLLUPS: []}
            while line := stream.readline(MAX_LINE):
                text = line.rstrip(b"\r\n")
                if text and not text.startswith(b"#"):
                    if len(line) == MAX_LINE or not _LINE.match(text):
                        raise InputError(f"is no line protocol before byte {stream.tell()}", source=str(file))
                    groups[Lane.ROLLUPS if text.startswith(_ROLLUPS) else Lane.READINGS].append(text)
                if sum(map(len, groups.values())) >= CHUNK_LINES:
                    yield from _file_chunk(groups, stream.tell())
            yield from _file_chunk(groups, stream.tell())
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror}", source=str(file)) from error


def _file_chunk(groups: dict[Lane, list[bytes]], offset: int) -> Iterator[Chunk]:
    """What was read so far; the last chunk has the mark, for only then all of it is stored."""
    there = [(lane, tuple(lines)) for lane, lines in groups.items() if lines]
    for number, (lane, lines) in enumerate(there, 1):
        yield Chunk(lane, lines, ("offset", offset) if number == len(there) else None)
        groups[lane].clear()


def table_chunks(lines: Iterable[Line], transcript: Transcript, begin: Mark | None = None) -> Iterator[Chunk]:
    """The lines of readings that were exported, minute by minute as they were."""
    numbers: dict[tuple[str, ...], int] = {}
    done = skip = begin[1] if begin else 0
    made: list[bytes] = []
    for _, minute in groupby(islice(lines, skip, None), key=lambda line: line.at_ns // MINUTE_NS):
        for part in _parts(minute):
            rows = sorted((_number(numbers, transcript, each), each.at_ns, each.value, each.quality) for each in part)
            made += (line.encode() for line in transcript.raw(rows))
            done += len(rows)
        if len(made) >= CHUNK_LINES:
            yield Chunk(Lane.READINGS, made, ("row", done))
            made = []
    if made:
        yield Chunk(Lane.READINGS, made, ("row", done))


def _parts(lines: Iterator[Line]) -> Iterator[list[Line]]:
    while part := list(islice(lines, STEP_ROWS)):
        yield part


def _number(numbers: dict[tuple[str, ...], int], transcript: Transcript, line: Line) -> int:
    """The number of the series of a line, which the transcript knows from now on."""
    names = (line.gateway, line.device, line.asset, line.metric, line.unit)
    number = numbers.get(names)
    if number is None:
        number = numbers[names] = len(numbers) + 1
        transcript.name([Series(number, *names)])
    return number


def archive_chunks(
    archive: Archive,
    transcript: Transcript,
    kinds: Iterable[Kind],
    series: dict[int, Series],
    selection: Selection,
    *,
    begin: Mark | None = None,
    seen: Callable[[int], None] | None = None,
) -> Iterator[Chunk]:
    """The lines of a history, as its mirror writes them: alerts and orders first, in all their versions.

    With `begin` readings and roll-ups go on there; alerts and orders come again, for they decide each other's places.
    """
    transcript.learn(archive)
    transcript.name(series.values())
    asked = [kind for kind in ORDER if kind in kinds]
    for kind in asked:
        start_ns = selection.start_ns
        if kind == "alerts" or kind == "orders":
            yield from _events(archive, transcript, kind, selection)
            continue
        if begin and begin[0] in asked:
            if asked.index(kind) < asked.index(begin[0]):
                continue
            start_ns = max(start_ns, begin[1]) if kind == begin[0] else start_ns
        yield from _readings(archive, transcript, kind, list(series), (start_ns, selection.end_ns), seen)


def _events(archive: Archive, transcript: Transcript, kind: str, selection: Selection) -> Iterator[Chunk]:
    """Each version is told to the transcript, also those that are not asked for: they may hold a place."""
    lines: list[bytes] = []
    if kind == "alerts":
        told = (
            (transcript.alert(each), selection.takes_alert(each), each.at_ns) for each in archive.versions_of_alerts()
        )
    else:
        told = (
            (transcript.order(each), selection.takes_order(each), each.at_ns) for each in archive.versions_of_orders()
        )
    for made, takes, at_ns in told:
        if takes and selection.start_ns <= at_ns < selection.end_ns:
            lines += (line.encode() for line in made)
        if len(lines) >= CHUNK_LINES:
            yield Chunk(Lane.EVENTS, lines, None)
            lines = []
    if lines:
        yield Chunk(Lane.EVENTS, lines, None)


def _readings(
    archive: Archive,
    transcript: Transcript,
    resolution: Resolution,
    series: Sequence[int],
    span: tuple[int, int],
    seen: Callable[[int], None] | None,
) -> Iterator[Chunk]:
    lane = Lane.READINGS if resolution == "raw" else Lane.ROLLUPS
    lines: list[bytes] = []
    begins_ns = span[0]
    for begins_ns, made in _made(archive, transcript, resolution, series, span, seen):
        lines += (line.encode() for line in made)
        if len(lines) >= CHUNK_LINES:
            yield Chunk(lane, lines, (resolution, begins_ns))
            lines = []
    if lines:
        yield Chunk(lane, lines, (resolution, begins_ns))


def _made(
    archive: Archive,
    transcript: Transcript,
    resolution: Resolution,
    series: Sequence[int],
    span: tuple[int, int],
    seen: Callable[[int], None] | None,
) -> Iterator[tuple[int, list[str]]]:
    """The start of a bucket in ns, and lines of it."""
    if resolution == "raw":
        for raw in archive.raw(series, *span, seen):
            yield raw[0][1] // MINUTE_NS * MINUTE_NS, transcript.raw(raw)
    else:
        for rollups in archive.rollups(resolution, series, *span, seen):
            yield rollups[0][1], transcript.rolled_up(resolution, rollups)


class ChunkReader:
    """Chunks in the place of a spool: what `edgemesh.store.influx.sender.Sender` takes its lines from.

    `mark` is that of the last chunk that was dealt with; `done`: all of them were.
    """

    def __init__(self, chunks: Iterator[Chunk]) -> None:
        self._chunks = chunks
        self._number = 0
        self._chunk: Chunk | None = next(chunks, None)
        self.mark: Mark | None = None

    @property
    def done(self) -> bool:
        """Whether nothing is left."""
        return self._chunk is None

    def take(self, lane: Lane, place: Place, max_lines: int) -> Request | None:
        """The next lines after a place, at most so many, if they are of this lane; None: they are not."""
        chunk = self._chunk
        if chunk is not None and chunk.lane == lane and place.row > self._number:
            self.mark = chunk.mark or self.mark
            chunk = self._chunk = next(self._chunks, None)
            self._number += 1
        if chunk is None or chunk.lane != lane:
            return None
        row = self._number + 1
        skip = place.skip if place.into == row else 0
        lines = _fitting(chunk.lines[skip : skip + max_lines])
        end = skip + len(lines)
        ends = Place(row) if end == len(chunk.lines) else Place(self._number, end, row)
        return Request(lane, place, ends, len(lines), b"\n".join(lines), True)

    def close(self) -> None:
        """Nothing is open."""


def _fitting(lines: Sequence[bytes]) -> Sequence[bytes]:
    """The first lines, as many as one request may hold, and one at least."""
    size = 0
    for number, line in enumerate(lines):
        size += len(line) + 1
        if size > MAX_BYTES and number:
            return lines[:number]
    return lines


@dataclass(slots=True)
class Outcome:
    """What came of a transfer: lines stored and refused for good, and why, the latest reasons."""

    stored: int = 0
    refused: int = 0
    reasons: tuple[str, ...] = ()


def transfer(
    chunks: Iterator[Chunk],
    post: Callable[[], Post],
    buckets: dict[Lane, str],
    *,
    max_lines: int = CHUNK_LINES,
    patience_s: float = PATIENCE_S,
    tell: Callable[[int, str, Mark | None], None] = lambda stored, waiting, mark: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Outcome:
    """Send all chunks, one request at a time, with the sender's patience; every lane has to have a bucket.

    `tell` hears after each step how many lines are stored, why it waits (empty: it does not), and the last mark. Lines
    that the server refuses for good are counted, the rest goes on. InputError when the server refuses us; StoreError
    when it takes nothing for so long.
    """
    reader, progress, outcome = ChunkReader(chunks), Progress(), Outcome()
    sender = Sender(reader, progress, post, buckets, max_lines=max_lines, every_s=0.0, clock=clock)
    health = progress.health
    try:
        while not reader.done:
            rest_s = sender.step()
            outcome.stored = health.sent_lines
            dead = progress.dead()
            outcome.refused += sum(each.lines for each in dead)
            outcome.reasons = tuple(dict.fromkeys((*outcome.reasons, *(each.reason for each in dead))))[-3:]
            progress.buried({each.key for each in dead})
            tell(outcome.stored, health.failing, reader.mark)
            if health.held:
                raise InputError(f"InfluxDB takes nothing: {health.held}", wish="put that right, then begin again")
            if health.failing and clock() - health.since_s > patience_s:
                raise StoreError(f"InfluxDB can't be written: {health.failing}", retryable=True)
            if rest_s:
                sleep(rest_s)
    finally:
        sender.close()
    return outcome
