"""The driver `mqtt_json` beyond its cases: laws over any bytes, cached sources, refused settings."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemesh.drivers import mqtt_json
from edgemesh.drivers.mqtt_json.driver import MAX_SOURCES, MqttJson
from edgemesh.model.ids import is_id
from edgemesh.model.samples import MAX_METRICS, Sample
from edgemesh.wire.reasons import Reason
from tests.contract.fake_inlet import FakeInlet, run_until


def play(table: dict[str, Any], messages: list[tuple[str, bytes]]) -> FakeInlet:
    """Run the driver with these settings over the messages."""
    inlet = FakeInlet()
    driver = mqtt_json.create(msgspec.convert(table, mqtt_json.Settings))

    def done() -> bool:
        if not inlet.listening:
            return False
        for topic, payload in messages:
            inlet.deliver(topic, payload)
        return True

    asyncio.run(run_until(driver, inlet, done))
    return inlet


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["v", "ts", "id", "a/b", "x"]), inner),
    max_leaves=8,
)
payloads = st.binary(max_size=40) | values.map(lambda value: json.dumps(value).encode())
tables = st.sampled_from(
    [
        {"topic": "{device}"},
        {"topic": "{device}", "time": "ts", "metrics": {"v": "v", "on": {"path": "x[0]", "kind": "bool"}}},
        {"topic": "{_}", "device_field": "id", "time": "v.ts"},
    ]
)


@settings(deadline=None)
@given(tables, st.lists(st.tuples(st.sampled_from(["d", "a b", "", "d+"]), payloads), max_size=8))
def test_any_bytes(table: dict[str, Any], messages: list[tuple[str, bytes]]) -> None:
    """Whatever comes is settled exactly once, gives one sound sample or a known reason, and stops nothing."""
    inlet = play(table, messages)
    assert inlet.settled == [1] * len(messages)
    assert len(inlet.samples) + len(inlet.rejections) >= len(messages)
    assert {reason for reason, *_ in inlet.rejections} <= set(Reason)
    assert inlet.groups == [1] * len(inlet.samples)
    assert all(map(is_sound, inlet.samples))


def is_sound(sample: Sample) -> bool:
    source = sample.source
    sizes = {len(source.metrics), len(source.units), len(sample.values), len(sample.quality or sample.values)}
    finite = [value for value in sample.values if value is not None]
    return (
        len(sizes) == 1
        and bool(finite)
        and all(isinstance(value, float) and abs(value) < float("inf") for value in finite)
        and all(map(is_id, (source.device, source.asset, *source.metrics)))
        and sample.at_ns > 0
    )


def test_sources_are_reused() -> None:
    """Samples of one device and layout share one Source object, so that they end up in one batch."""
    table = {"topic": "{device}"}
    one, two, other, longer = play(
        table, [("d", b'{"a":1}'), ("d", b'{"a":2}'), ("e", b'{"a":2}'), ("d", b'{"a":2,"b":1}')]
    ).samples
    assert one.source is two.source
    assert len({id(each.source) for each in (one, other, longer)}) == 3


def test_sources_are_bounded() -> None:
    """Names come from the network: their number can't fill the memory."""
    driver = MqttJson(mqtt_json.Settings(topic="{device}"))
    inlet = FakeInlet()

    def done() -> bool:
        for number in range(MAX_SOURCES + 10 if inlet.listening else 0):
            inlet.deliver(f"d{number}", b"1")
        return bool(inlet.listening)

    asyncio.run(run_until(driver, inlet, done))
    assert len(inlet.samples) == MAX_SOURCES + 10
    assert len(driver._sources) == MAX_SOURCES


def test_too_many_values() -> None:
    """A message of more values than a batch can hold is refused as a whole."""
    inlet = play({"topic": "{device}"}, [("d", json.dumps(list(range(MAX_METRICS + 1))).encode())])
    assert [reason for reason, *_ in inlet.rejections] == ["too_many"]
    assert inlet.settled == [1]


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({}, "missing required field `topic`"),
        ({"topic": "a/b"}, "nothing says which device it is"),
        ({"topic": "{device}", "asset": "{hall}"}, "`asset` uses {hall}, known here: device"),
        ({"topic": "{device}", "device": "{device"}, "a brace that belongs to no"),
        ({"topic": "{device}", "time": "a."}, "is no path"),
        ({"topic": "{device}", "time_format": "hours"}, "Invalid enum value 'hours'"),
        ({"topic": "{device}", "metrics": {"a b": "x"}}, "matching regex"),
        ({"topic": "{device}", "metrics": {"a": {"path": "x", "scale": 0.0}}}, "`scale` not 0"),
        ({"topic": "{device}", "metrics": {"a": {"path": "x", "kind": "text"}}}, "Invalid enum value 'text'"),
        ({"topic": "{device}", "metrics": {"a": "x]"}}, "is no path"),
        ({"topic": "{device}", "assets": {"a*b*": "c"}}, "takes one `\\*`"),
        ({"topic": "{device}", "assets": {"a": "c*"}}, "takes one `\\*`"),
    ],
)
def test_refused_settings(table: dict[str, Any], problem: str) -> None:
    """Wrong settings are refused when they are loaded, in words."""
    with pytest.raises(msgspec.ValidationError, match=problem):
        msgspec.convert(table, mqtt_json.Settings)


def test_fixed_device() -> None:
    """One device that is named in the settings needs no name in its messages."""
    (sample,) = play({"topic": "lab/scale", "device": "scale-1"}, [("lab/scale", b"7")]).samples
    assert sample.source.device == "scale-1"


@pytest.mark.parametrize(
    ("now_s", "said", "own"),
    [
        (1_714_564_800, 1_714_564_000, True),
        (1_714_564_800, 1_714_664_000, False),  # more than a day ahead
        (60, 1_714_564_800, True),  # the gateway's clock was never set
        (60, 12, False),
    ],
)
def test_whose_time_it_is(now_s: int, said: int, own: bool) -> None:
    """A sample says whether the device gave its time; a gateway in 1970 believes a device that knows better."""
    inlet = FakeInlet(now=now_s * 10**9)
    driver = mqtt_json.create(
        msgspec.convert({"topic": "{device}", "time": "ts", "metrics": {"v": "v"}}, mqtt_json.Settings)
    )

    def done() -> bool:
        if inlet.listening:
            inlet.deliver("d", json.dumps({"v": 1.0, "ts": said}).encode())
        return bool(inlet.listening)

    asyncio.run(run_until(driver, inlet, done))
    (sample,) = inlet.samples
    assert (sample.own_time, sample.at_ns) == (own, (said if own else now_s) * 10**9)
    assert (sample.quality is None) == own


def test_the_trace_of_a_message_is_passed_on_as_it_stands_there() -> None:
    """From the field that the settings name; a number there is no metric, and neither is it a trace."""
    table = {"topic": "{device}", "trace": "meta.traceparent"}
    said = [b'{"v": 1, "meta": {"traceparent": "00-ab"}}', b'{"v": 1, "meta": {"traceparent": 7}}', b'{"v": 1}']
    samples = play(table, [("d", payload) for payload in said]).samples
    assert [(sample.trace, sample.source.metrics) for sample in samples] == [
        ("00-ab", ("v",)),
        ("int", ("v",)),
        ("", ("v",)),
    ]
    with pytest.raises(msgspec.ValidationError, match="is no path"):
        msgspec.convert({"topic": "{device}", "trace": "a..b"}, mqtt_json.Settings)
