"""The gateway's core: samples of many devices become columns, in the order in which they came."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemesh.agents.core import Samples
from edgemesh.agents.gateway import MAX_VALUES, GatewayCore
from edgemesh.model.samples import MAX_METRICS, Batch, Quality, Sample, Source
from edgemesh.testing import at, make_readings, make_sample, make_source
from edgemesh.wire import codec

SOURCES = [
    make_source("a", metrics=["x"]),
    make_source("b", metrics=["x", "y"]),
    make_source("b", metrics=["x", "z"]),
]
Row = tuple[int, tuple[float | None, ...], tuple[Quality, ...]]


def batches(*samples: Sample) -> list[Batch]:
    found = GatewayCore().handle(Samples(samples))
    assert all(isinstance(record, Batch) for record in found)
    return [record for record in found if isinstance(record, Batch)]


@given(st.lists(st.tuples(st.integers(0, 2), st.one_of(st.none(), st.floats(-1e6, 1e6)), st.booleans()), max_size=60))
def test_law_nothing_is_lost_added_or_reordered(drawn: list[tuple[int, float | None, bool]]) -> None:
    """The batches hold exactly the samples that went in: per source all values, times and qualities in order."""
    samples = []
    for number, (which, value, bad) in enumerate(drawn):
        source = SOURCES[which]
        quality = (Quality.BAD,) * len(source.metrics) if bad else None
        samples.append(Sample(source, at(number), (value,) * len(source.metrics), quality))

    def row_of(sample: Sample) -> Row:
        return sample.at_ns, sample.values, sample.quality or (Quality.GOOD,) * len(sample.values)

    expected = {source: [row_of(each) for each in samples if each.source is source] for source in SOURCES}
    found: dict[Source, list[Row]] = {source: [] for source in SOURCES}
    for batch in batches(*samples):
        source = Source(batch.device, batch.asset, batch.metrics, batch.units)
        for row, at_ns in enumerate(batch.at_ns):
            values = tuple(column[row] for column in batch.values)
            quality = tuple(column[row] for column in batch.quality) if batch.quality else (Quality.GOOD,) * len(values)
            found[source].append((at_ns, values, quality))
    assert found == expected


def test_all_good_needs_no_quality() -> None:
    """Where every reading is good the batch says nothing of it: fewer bytes."""
    (batch,) = batches(make_sample(1.0), make_sample(2.0, source=None, at_s=1.0))[:1]
    assert batch.quality is None


@pytest.mark.parametrize("width", [1, 8, MAX_METRICS])
def test_a_flood_is_split_into_batches_that_fit_a_message(width: int) -> None:
    """However many samples come at once, each batch stays below what a message may hold."""
    source = Source("d", "a", tuple(f"metric-{number}" for number in range(width)), ("1",) * width)
    values = tuple(-123456.78901234567 for _ in range(width))
    samples = [Sample(source, at(number), values) for number in range(2 * MAX_VALUES // width + 1)]
    found = batches(*samples)
    assert len(found) > 1
    assert sum(len(batch.at_ns) for batch in found) == len(samples)
    assert max(len(codec.encode(batch)) for batch in found) < codec.MAX_BYTES - 1_000


def test_other_inputs_are_none_of_its_business() -> None:
    """Packs of others give nothing, time gives nothing, there is no state and no retained topic."""
    core = GatewayCore()
    assert (list(core.handle(make_readings([1.0]))), list(core.tick(1)), core.save()) == ([], [], {})
    assert (core.present(None), core.readings) == ({}, 0)


def test_readings_are_values_that_are_there() -> None:
    """A missing value is no reading."""
    core = GatewayCore()
    source = make_source(metrics=["x", "y"])
    core.handle(Samples((make_sample(1.0, None, source=source), make_sample(None, None, source=source))))
    assert core.readings == 1


def test_a_sample_that_does_not_fit_its_source_is_not_believed() -> None:
    """More values than metrics is a fault of a driver: it raises here, and the engine gives up that sample alone."""
    bad = msgspec.structs.replace(make_sample(1.0), values=(1.0, 2.0))
    with pytest.raises(ValueError, match="metric"):
        batches(bad)
