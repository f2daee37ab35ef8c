"""Line protocol: what is written is read back, whatever it is."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgemesh.store.influx.lines import LATEST_NS, MAX_TAG, MAX_TEXT, Value, head, line, plain_tag, plain_text
from tests.unit.store.influx.parser import parse

LAW = settings(max_examples=150, deadline=None)
TEXTS = st.text(st.characters(), max_size=30) | st.text("\\,= \"\n\r\ti\ud800'/", max_size=12)
NAMES = TEXTS.filter(lambda text: plain_tag(text) != "")
VALUES = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**63 - 1) | st.booleans() | TEXTS
TIMES = st.integers(0, LATEST_NS)


@LAW
@given(NAMES, st.dictionaries(NAMES, TEXTS, max_size=4), st.dictionaries(NAMES, VALUES, min_size=1, max_size=4), TIMES)
@example("m", {"t": "ends with \\"}, {"f": 'a "quoted\\" text\\'}, 0)
@example("a,b c=d", {"k,=\\ ": "v,= \\"}, {"f": -0.0, "g": 1e-300, "h": True, "i": -(2**63)}, 5)
def test_a_line_is_read_back(measurement: str, tags: dict[str, str], fields: dict[str, Value], at_ns: int) -> None:
    """Names, tags, values with their types, and time come back from any line, but for what can't be written there."""
    text = line(head(measurement, tags), fields, at_ns)
    text.encode()  # a server reads UTF-8
    point = parse(text)
    assert point.measurement == plain_tag(measurement)
    assert point.tags == {plain_tag(name): plain_tag(value) for name, value in _last(tags).items() if plain_tag(value)}
    wanted = {plain_tag(name): plain_text(v) if isinstance(v, str) else v for name, v in fields.items()}
    assert {name: (type(v), v) for name, v in point.fields.items()} == {n: (type(v), v) for n, v in wanted.items()}
    assert point.at_ns == at_ns


def _last(tags: dict[str, str]) -> dict[str, str]:
    """Of tags whose names become one, the last by name is read; a server would do as it likes."""
    return {name: tags[name] for name in sorted(tags)}


@LAW
@given(TEXTS)
def test_plain_texts_stay(text: str) -> None:
    """A text without control characters and half surrogates is a field as it is; without a backslash it is a tag."""
    plain = text.isprintable()
    assert (plain_text(text) == text) or not plain
    assert (plain_tag(text) == text) or not plain or "\\" in text
    assert len(plain_text("x" * 10_000)) == MAX_TEXT
    assert len(plain_tag("x" * 10_000)) == MAX_TAG


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 2**63, -(2**63) - 1])
def test_what_no_server_takes_is_left_out(value: Value) -> None:
    """A number that can't be written leaves the rest of its point; a point without any field is no line."""
    assert line("m", {"a": value, "b": 1}, 7) == "m b=1i 7"
    assert line("m", {"a": value}, 7) == ""


def test_one_series_has_one_name() -> None:
    """The order in which tags are given makes no other series, and an empty tag none."""
    assert head("m", {"b": "1", "a": "2", "c": ""}) == head("m", {"a": "2", "b": "1"}) == "m,a=2,b=1"
