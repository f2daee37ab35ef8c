"""The gateway's core: samples of many devices become columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgemesh.agents.core import Input, Samples
from edgemesh.model.samples import MAX_SAMPLES, Batch, Quality, Record, Sample, Source

MAX_VALUES = 8_000
"""Numbers of one batch at most, values and times, so that a pack of the longest ones stays below 256 KiB."""


class GatewayCore:
    """Turns the samples of one step into one batch per device and layout, each in the order of arrival."""

    def __init__(self) -> None:
        self.readings = 0

    def handle(self, pack: Input) -> Sequence[Record]:
        """Return the batches of the samples; other inputs are none of a gateway's business."""
        if not isinstance(pack, Samples):
            return ()
        groups: dict[int, list[Sample]] = {}
        for sample in pack.records:
            groups.setdefault(id(sample.source), []).append(sample)
        batches = [batch for samples in groups.values() for batch in _batches(samples)]
        self.readings += sum(batch.readings for batch in batches)
        return batches

    def tick(self, now_ns: int) -> Sequence[Record]:
        """Time alone brings no readings."""
        return ()

    def present(self, records: Sequence[Record] | None) -> Mapping[str, Record | None]:
        """Readings leave no retained topic."""
        return {}

    def save(self) -> Mapping[str, bytes | None]:
        """No state: what was accepted is in the outbox."""
        return {}

    def load(self, parts: Mapping[str, bytes]) -> None:
        """No state to go on from."""


def _batches(samples: Sequence[Sample]) -> list[Batch]:
    source = samples[0].source
    size = max(1, min(MAX_SAMPLES, MAX_VALUES // (1 + len(source.metrics))))
    return [_batch(source, samples[start : start + size]) for start in range(0, len(samples), size)]


def _batch(source: Source, samples: Sequence[Sample]) -> Batch:
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
    )
