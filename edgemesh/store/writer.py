"""Writing readings: columns become rows and roll-ups, and a time that comes again replaces what it said before."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, repeat

from edgemesh.model.samples import Batch, Quality
from edgemesh.store.contract import Mirror
from edgemesh.store.rollup import NOTHING, Rollup, Rollups, correct, recompute_minute, recompute_ten, roll_up
from edgemesh.store.schema import DAY_NS, MINUTE_NS, TEN, State

Row = tuple[int, int, int, float, int]
"""Minute, series, time in ns, value, quality: a row of the table `reading`."""

Reading = tuple[int, float, int]
"""Time in ns, value, quality."""

_PUT = "INSERT OR REPLACE INTO reading VALUES (?, ?, ?, ?, ?)"
_FLUSH_ROWS = 100_000


@dataclass(slots=True)
class Memory:
    """What the writer remembers of the tables between two writes; true only for the state that was committed then.

    `latest_ns[series]` is a time in ns after which the series has no reading yet; `newest_minute` was the newest of all
    series when the memory began; `days` is the last day on which series that come together were noted to have come.
    """

    writes: int = -1
    newest_minute: int = -1
    layouts: dict[tuple[str, str, str, tuple[str, ...], tuple[str, ...]], tuple[int, ...]] = field(default_factory=dict)
    latest_ns: dict[int, int] = field(default_factory=dict)
    days: dict[tuple[int, ...], int] = field(default_factory=dict)

    def forget(self, connection: sqlite3.Connection) -> None:
        """Start over from what the tables say."""
        self.layouts.clear()
        self.latest_ns.clear()
        self.days.clear()
        (newest,) = connection.execute("SELECT max(minute) FROM reading").fetchone()
        self.newest_minute = -1 if newest is None else newest


class ReadingWriter:
    """Writes batches inside one transaction; the counters are of this transaction. `mirror` is told of all of it."""

    def __init__(
        self, connection: sqlite3.Connection, memory: Memory, state: State, mirror: Mirror | None = None
    ) -> None:
        self._connection, self._memory, self._mirror = connection, memory, mirror
        self._raw_from, self._minutes_from = state["raw_from"], state["minutes_from"]
        self._rollups = Rollups()
        self._rows: list[Iterable[Row]] = []
        self._waiting = 0
        self.readings = self.duplicates = self.unusable = 0

    def add(self, gateway: str, batch: Batch) -> None:
        """Take the readings of a batch over; `flush` writes the last of them."""
        runs = _runs(batch.at_ns)
        latest = self._memory.latest_ns
        for position, series in enumerate(self._seen(gateway, batch)):
            column = batch.values[position]
            quality = batch.quality[position] if batch.quality else None
            if runs and batch.at_ns[0] > latest[series]:
                self._append(series, batch.at_ns, runs, column, quality)
                latest[series] = batch.at_ns[-1]
            else:
                self.merge(series, self._usable(batch.at_ns, column, quality))
        if self._waiting > _FLUSH_ROWS:
            self.flush()

    def readings_of(self, gateway: str, batch: Batch) -> Iterator[tuple[int, list[Reading]]]:
        """Each series of a batch with its readings, counted; those that are not finite are left out."""
        for position, series in enumerate(self._seen(gateway, batch)):
            quality = batch.quality[position] if batch.quality else None
            yield series, self._usable(batch.at_ns, batch.values[position], quality)

    def flush(self) -> None:
        """Write all that was taken over."""
        if self._rows:
            self._connection.executemany(_PUT, chain.from_iterable(self._rows))
            self._rows.clear()
            self._waiting = 0
        self._rollups.flush(self._connection)

    # -- the usual way: times that only grow ---------------------------------------------------------------------------

    def _append(
        self,
        series: int,
        times: tuple[int, ...],
        runs: list[tuple[int, int, int]],
        column: tuple[float | None, ...],
        quality: tuple[Quality, ...] | None,
    ) -> None:
        for minute, start, end in runs:
            stamps = times[start:end]
            values: tuple[float, ...] = column[start:end]  # type: ignore[assignment]
            if quality is None and None not in values and math.isfinite(total := sum(values)):
                self.readings += end - start
                self._rows.append(zip(repeat(minute), repeat(series), stamps, values, repeat(0)))
                if self._mirror:
                    self._mirror.readings(minute, series, stamps, values, None)
                rollup = Rollup(end - start, total, min(values), max(values), values[-1], stamps[-1])
            else:
                found = self._usable(stamps, column[start:end], quality[start:end] if quality else None)
                self._rows.append([(minute, series, *reading) for reading in found])
                self._tell(minute, series, found, good=quality is None)
                rollup = _roll_up(found)
            self._waiting += end - start
            if rollup.n:
                self._rollups.add(minute, series, rollup)

    def _tell(self, minute: int, series: int, readings: Iterable[Reading], *, good: bool = False) -> None:
        if self._mirror and (columns := tuple(zip(*readings, strict=True))):
            times, values, quality = columns
            self._mirror.readings(minute, series, times, values, None if good else quality)

    def _usable(
        self, times: tuple[int, ...], column: tuple[float | None, ...], quality: tuple[Quality, ...] | None
    ) -> list[Reading]:
        """The readings that are there; those that are not finite are counted and left out."""
        found: list[Reading] = []
        for at_ns, value, how in zip(times, column, quality or repeat(Quality.GOOD), strict=False):
            if value is None:
                continue
            self.readings += 1
            if math.isfinite(value):
                found.append((at_ns, value, int(how)))
            else:
                self.unusable += 1
        return found

    # -- the long way: times that may be there already -----------------------------------------------------------------

    def merge(self, series: int, readings: list[Reading]) -> None:
        """Write readings, counted already, of any time and order."""
        if not readings:
            return
        self.flush()
        latest = self._memory.latest_ns
        if series not in latest:
            latest[series] = self._latest_ns(series)
        self._note_day((series,), max(at_ns for at_ns, *_ in readings) // DAY_NS)
        minutes: dict[int, dict[int, Reading]] = {}
        for reading in readings:
            fresh = minutes.setdefault(reading[0] // MINUTE_NS, {})
            self.duplicates += reading[0] in fresh
            fresh[reading[0]] = reading
        for minute, fresh in minutes.items():
            self._merge_minute(minute, series, fresh)
        latest[series] = max(latest[series], max(at_ns for at_ns, *_ in readings))

    def _merge_minute(self, minute: int, series: int, fresh: dict[int, Reading]) -> None:
        stored: dict[int, Reading] = {
            row[0]: row
            for row in self._connection.execute(
                "SELECT at_ns, value, quality FROM reading WHERE minute = ? AND series = ? AND at_ns BETWEEN ? AND ?",
                (minute, series, min(fresh), max(fresh)),
            )
        }
        again = fresh.keys() & stored.keys()
        self.duplicates += len(again)
        self._connection.executemany(_PUT, [(minute, series, *reading) for reading in fresh.values()])
        self._tell(minute, series, fresh.values())
        if not again:
            rollup = _roll_up(fresh.values())
            if rollup.n:
                self._rollups.add(minute, series, rollup)
            return
        delta = _roll_up(fresh.values()).plus(_minus(stored[at_ns] for at_ns in again))
        if minute < self._raw_from:
            correct(self._connection, minute, series, delta, minute_too=True)
            return
        recompute_minute(self._connection, minute, series)
        if minute // TEN * TEN < self._minutes_from:
            correct(self._connection, minute, series, delta, minute_too=False)
        else:
            recompute_ten(self._connection, minute // TEN, series)

    # -- the dictionary of series --------------------------------------------------------------------------------------

    def _seen(self, gateway: str, batch: Batch) -> tuple[int, ...]:
        """The series of a batch, noted as alive on its day."""
        ids = self._series(gateway, batch)
        self._note_day(ids, batch.at_ns[-1] // DAY_NS)
        return ids

    def _note_day(self, ids: tuple[int, ...], day: int) -> None:
        if self._memory.days.get(ids, -1) < day:
            self._memory.days[ids] = day
            self._connection.executemany(
                "UPDATE series SET last_day = max(last_day, ?) WHERE id = ?", [(day, series) for series in ids]
            )

    def _series(self, gateway: str, batch: Batch) -> tuple[int, ...]:
        key = (gateway, batch.device, batch.asset, batch.metrics, batch.units)
        ids = self._memory.layouts.get(key)
        if ids is None:
            ids = self._memory.layouts[key] = tuple(
                self._one_series((gateway, batch.device, batch.asset, metric, unit))
                for metric, unit in zip(batch.metrics, batch.units, strict=True)
            )
        return ids

    def _one_series(self, names: tuple[str, str, str, str, str]) -> int:
        found = self._connection.execute(
            "SELECT id FROM series WHERE gateway = ? AND device = ? AND asset = ? AND metric = ? AND unit = ?", names
        ).fetchone()
        if found:
            series = int(found[0])
            self._memory.latest_ns.setdefault(series, self._latest_ns(series))
            return series
        made = self._connection.execute(
            "INSERT INTO series (gateway, device, asset, metric, unit) VALUES (?, ?, ?, ?, ?)", names
        ).lastrowid
        assert made is not None
        self._memory.latest_ns[made] = -1
        return made

    def _latest_ns(self, series: int) -> int:
        """The newest reading of a series, or the end of the minute before the newest one."""
        newest = self._memory.newest_minute
        (latest,) = self._connection.execute(
            "SELECT max(at_ns) FROM reading WHERE minute = ? AND series = ?", (newest, series)
        ).fetchone()
        return newest * MINUTE_NS - 1 if latest is None else int(latest)


def _runs(times: tuple[int, ...]) -> list[tuple[int, int, int]]:
    """Minute, start and end of each stretch of times in one minute; none when the times don't strictly grow."""
    first, last = times[0] // MINUTE_NS, times[-1] // MINUTE_NS
    if any(map(int.__ge__, times, times[1:])):
        return []
    if first == last:
        return [(first, 0, len(times))]
    runs: list[tuple[int, int, int]] = []
    start, minute = 0, first
    for position, at_ns in enumerate(times):
        if at_ns // MINUTE_NS != minute:
            runs.append((minute, start, position))
            start, minute = position, at_ns // MINUTE_NS
    runs.append((minute, start, len(times)))
    return runs


def _roll_up(readings: Iterable[Reading]) -> Rollup:
    """The roll-up of those that can be believed at all."""
    return roll_up((at_ns, value) for at_ns, value, quality in readings if quality < Quality.BAD)


def _minus(readings: Iterable[Reading]) -> Rollup:
    """What takes count and sum of these readings back; the rest can't be taken back."""
    gone = _roll_up(readings)
    return NOTHING._replace(n=-gone.n, total=-gone.total)
