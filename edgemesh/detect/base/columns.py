"""Columns: a batch as rules and windows may read it, and what is known of the device's clock."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from itertools import pairwise

import msgspec

from edgemesh.model.samples import Batch, Quality, Retimed

NOT_BELIEVED = float("nan")
Values = tuple[float | None, ...]
_MOST_STREAMS = 64
_STEP_SAMPLES = 20
_STEP_NS = 10 * 10**9


@dataclass(frozen=True, slots=True)
class Columns:
    """New samples of one device, times strictly rising.

    In `values` None means that the sample had no value (time goes on), NaN that it had one that is not to be believed
    (uncertain, bad, stuck: everything holds). `cap_ns`: the longest time between two samples that counts in full;
    0: not known yet. `clean`: every value is there and can be believed.
    """

    device: str
    metrics: tuple[str, ...]
    units: tuple[str, ...]
    at_ns: tuple[int, ...]
    values: tuple[Values, ...]
    cap_ns: int
    clean: bool = False


class StreamState(msgspec.Struct, omit_defaults=True):
    """The clock of one stream: the samples of one device that hold the same metrics.

    `clock` names the gateway's clock that gave the newest times, while it can't be believed.
    """

    newest_ns: int = -1
    period_ns: int = 0
    late_run: int = 0
    late_newest_ns: int = -1
    late_clock_ns: int = 0
    clock: int = 0

    def begin(self, batch: Batch) -> bool:
        """Take note of whose times are next; True: another clock in doubt, which is behind, so time begins anew."""
        anew = 0 != batch.clock != self.clock and batch.at_ns[0] <= self.newest_ns
        if anew:
            self.newest_ns, self.late_run = -1, 0
        self.clock = batch.clock
        return anew

    def put_right(self, retimed: Retimed) -> None:
        """The clock is known now: go on as if it had been right all the time."""
        self.newest_ns = retimed.at(self.newest_ns)
        self.late_newest_ns = retimed.at(self.late_newest_ns)
        self.clock = 0


class DeviceState(msgspec.Struct, omit_defaults=True):
    """What is known of one device: its streams by name, its newest sample, when it was heard on the receiver's clock.

    `arrival_ns`: mean time between two packs with news of it. `silent`: labels of the rules that find it silent;
    `returned`: new samples since.
    """

    streams: dict[str, StreamState] = {}
    newest_ns: int = -1
    arrival_ns: int = 0
    heard_clock_ns: int = -1
    silent: list[str] = []
    returned: int = 0

    def stream(self, metrics: tuple[str, ...]) -> StreamState:
        """The stream with these metrics; of more than 64 the one made first is forgotten."""
        name = f"{zlib.crc32(chr(31).join(metrics).encode()):08x}"
        if name not in self.streams:
            if len(self.streams) >= _MOST_STREAMS:
                del self.streams[next(iter(self.streams))]
            self.streams[name] = StreamState()
        return self.streams[name]

    @property
    def clock(self) -> int:
        """The clock in doubt that gave the newest times of one of the streams; 0: none did."""
        return max((stream.clock for stream in self.streams.values()), default=0)

    def put_right(self, retimed: Retimed) -> bool:
        """Go on as if the clock had been right all the time; False: it gave none of the times here."""
        streams = [stream for stream in self.streams.values() if stream.clock == retimed.clock]
        for stream in streams:
            stream.put_right(retimed)
        if streams:
            self.newest_ns = retimed.at(self.newest_ns)
        return bool(streams)

    @property
    def period_ns(self) -> int:
        """The period of the fastest stream; 0: not known yet."""
        return min((stream.period_ns for stream in self.streams.values() if stream.period_ns), default=0)


def read_columns(batch: Batch, stream: StreamState, clock_ns: int, stats: dict[str, float]) -> Columns | None:
    """Return what is new in the batch and note it in `stream`; None when nothing is.

    Samples that are older than the newest one (`late`) or have its time (`duplicate`) are counted and left out, until
    20 of them in a row over 10 s say that the device's clock was set back (`clock_steps`).
    """
    fresh = _fresh(batch.at_ns, stream, clock_ns, stats)
    if not fresh:
        return None
    values = tuple(_believed(batch, k) for k in range(len(batch.metrics)))
    at_ns = batch.at_ns
    if len(fresh) != len(at_ns):
        at_ns = tuple(at_ns[i] for i in fresh)
        values = tuple(tuple(column[i] for i in fresh) for column in values)
    cap_ns = 3 * stream.period_ns
    _note_period(stream, at_ns)
    stream.newest_ns = at_ns[-1]
    clean = batch.quality is None and not any(None in column for column in values)
    return Columns(batch.device, batch.metrics, batch.units, at_ns, values, cap_ns, clean)


def heard_samples(batch: Batch) -> int:
    """How many samples of the batch hold at least one reading that is not bad."""
    if batch.quality is None and not any(None in column for column in batch.values):
        return len(batch.at_ns)
    quality = batch.quality or ((Quality.GOOD,) * len(batch.at_ns),) * len(batch.metrics)
    return sum(
        any(
            column[i] is not None and grade[i] is not Quality.BAD
            for column, grade in zip(batch.values, quality, strict=True)
        )
        for i in range(len(batch.at_ns))
    )


def _fresh(at_ns: tuple[int, ...], stream: StreamState, clock_ns: int, stats: dict[str, float]) -> range | list[int]:
    """Positions of samples that are newer than everything before them."""
    if at_ns[0] > stream.newest_ns and all(a < b for a, b in pairwise(at_ns)):
        stream.late_run = 0
        return range(len(at_ns))
    fresh, newest = [], stream.newest_ns
    for position, at in enumerate(at_ns):
        if at > newest or _clock_was_set_back(at, newest, stream, clock_ns, stats):
            fresh.append(position)
            newest, stream.late_run = at, 0
    return fresh


def _clock_was_set_back(at: int, newest: int, stream: StreamState, clock_ns: int, stats: dict[str, float]) -> bool:
    if at == newest:
        stats["duplicate"] += 1
        return False
    stats["late"] += 1
    if stream.late_run == 0 or at <= stream.late_newest_ns:
        stream.late_run, stream.late_clock_ns = 0, clock_ns
    stream.late_run += 1
    stream.late_newest_ns = at
    if stream.late_run < _STEP_SAMPLES or clock_ns - stream.late_clock_ns < _STEP_NS:
        return False
    stats["clock_steps"] += 1
    return True


def _believed(batch: Batch, k: int) -> Values:
    """Column `k` with NaN where the reading is there but not good."""
    if batch.quality is None:
        return batch.values[k]
    return tuple(
        value if value is None or grade is Quality.GOOD else NOT_BELIEVED
        for value, grade in zip(batch.values[k], batch.quality[k], strict=True)
    )


def _note_period(stream: StreamState, at_ns: tuple[int, ...]) -> None:
    first = stream.newest_ns if 0 <= stream.newest_ns < at_ns[0] else at_ns[0]
    intervals = len(at_ns) - (first == at_ns[0])
    if intervals == 0:
        return
    mean = (at_ns[-1] - first) // intervals
    if stream.period_ns == 0:
        stream.period_ns = mean
    else:
        weight = min(1.0, 0.1 * intervals)
        stream.period_ns += int(weight * (min(mean, 4 * stream.period_ns) - stream.period_ns))
