"""The gateway's core: samples of many devices become columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from edgemesh.agents.core import Input, Samples
from edgemesh.errors import LogDamaged
from edgemesh.model.samples import MAX_SAMPLES, Batch, Quality, Record, Retimed, Sample, Source

MAX_VALUES = 8_000
"""Numbers of one batch at most, values and times, so that a pack of the longest ones stays below 256 KiB."""


MAX_DOUBTS = 16
"""Clocks whose times wait to be put right; of more, those of the first stay as they are."""
_PART = "clocks"


class _Doubt(msgspec.Struct):
    """A clock that was not believed: when its first and last sample were put, and how much it has been set since."""

    clock: int
    from_ns: int = -1
    until_ns: int = -1
    by_ns: int = 0


class _State(msgspec.Struct):
    """`doubted`: the last of the doubts is about the clock of now."""

    doubts: list[_Doubt] = []
    doubted: bool = False


_decode = msgspec.json.Decoder(_State).decode


class GatewayCore:
    """Turns the samples of one step into one batch per device and layout, each in the order of arrival.

    While the gateway's clock can't be believed, batches with its times name it; once it is right, a `Retimed` says by
    how much it was off.
    """

    def __init__(self) -> None:
        self.readings = 0
        self._state = _State()
        self._now_ns = 0
        self._dirty = False

    def handle(self, pack: Input) -> Sequence[Record]:
        """Return the batches of the samples; other inputs are none of a gateway's business."""
        if not isinstance(pack, Samples):
            return ()
        clock = self._note(pack.records) if self._state.doubted else 0
        groups: dict[tuple[int, bool], list[Sample]] = {}
        for sample in pack.records:
            groups.setdefault((id(sample.source), sample.own_time), []).append(sample)
        batches = [batch for (_, own), samples in groups.items() for batch in _batches(samples, 0 if own else clock)]
        self.readings += sum(batch.readings for batch in batches)
        return batches

    def retime(self, by_ns: int, doubt: int) -> Sequence[Record]:
        """Take note of how the clock was set; see `TimedCore.retime`. Once it is right, say by how much it was off."""
        doubts = self._state.doubts
        if self._state.doubted and doubts[-1].until_ns >= 0:
            doubts[-1].until_ns = max(doubts[-1].until_ns, self._now_ns)
        for each in doubts:
            each.by_ns += by_ns
        self._dirty = self._dirty or bool(doubts or doubt)
        self._state.doubted = doubt != 0
        if doubt:
            if all(each.clock != doubt for each in doubts):
                self._state.doubts = [*doubts[1 - MAX_DOUBTS :], _Doubt(doubt)]
            return ()
        self._state.doubts = []
        return [
            Retimed(clock=each.clock, from_ns=each.from_ns, until_ns=each.until_ns, by_ns=each.by_ns)
            for each in doubts
            if each.until_ns >= 0
        ]

    def tick(self, now_ns: int) -> Sequence[Record]:
        """Time alone brings no readings."""
        self._now_ns = now_ns
        return ()

    def present(self, records: Sequence[Record] | None) -> Mapping[str, Record | None]:
        """Readings leave no retained topic."""
        return {}

    def save(self) -> Mapping[str, bytes | None]:
        """Which clocks were not believed, when that changed; what was accepted is in the outbox."""
        if not self._dirty:
            return {}
        self._dirty = False
        return {_PART: msgspec.json.encode(self._state) if self._state.doubts else None}

    def load(self, parts: Mapping[str, bytes]) -> None:
        """Go on from the saved part. Raises LogDamaged when it is not what was saved."""
        if _PART in parts:
            try:
                self._state = _decode(parts[_PART])
            except msgspec.MsgspecError as damage:
                raise LogDamaged(f"the gateway's part can't be read: {damage}") from damage

    def _note(self, samples: Sequence[Sample]) -> int:
        """Remember the times that the doubtful clock gave; return its name."""
        doubt = self._state.doubts[-1]
        times = [sample.at_ns for sample in samples if not sample.own_time]
        if times:
            doubt.from_ns = min(times) if doubt.from_ns < 0 else min(doubt.from_ns, *times)
            doubt.until_ns = max(doubt.until_ns, *times)
            self._dirty = True
        return doubt.clock


def _batches(samples: Sequence[Sample], clock: int) -> list[Batch]:
    source = samples[0].source
    size = max(1, min(MAX_SAMPLES, MAX_VALUES // (1 + len(source.metrics))))
    return [_batch(source, samples[start : start + size], clock) for start in range(0, len(samples), size)]


def _batch(source: Source, samples: Sequence[Sample], clock: int) -> Batch:
    quality = None
    if any(sample.quality is not None for sample in samples):
        good = (Quality.GOOD,) * len(source.metrics)
        quality = tuple(zip(*(sample.quality or good for sample in samples), strict=True))
    return Batch(
        device=source.device,
        asset=source.asset,
        metrics=source.metrics,
        units=source.units,
        at_ns=tuple(sample.at_ns for sample in samples),
        values=tuple(zip(*(sample.values for sample in samples), strict=True)),
        quality=quality,
        clock=clock,
        trace=next((sample.trace for sample in samples if sample.trace), ""),
    )
