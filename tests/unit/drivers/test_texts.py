"""Names, instants, paths, patterns: how texts from outside are read."""

from __future__ import annotations

import doctest
from datetime import UTC, datetime
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemesh.drivers import instants, names, templates
from edgemesh.drivers.mqtt_json import paths, topics
from edgemesh.model.ids import is_id


@pytest.mark.parametrize("module", [names, paths, topics], ids=lambda module: module.__name__)
def test_examples(module: ModuleType) -> None:
    """The examples in the docstrings are true."""
    result = doctest.testmod(module)
    assert (result.failed, result.attempted > 0) == (0, True)


@given(st.lists(st.text(max_size=80), max_size=20))
def test_metric_names_are_ids(heads: list[str]) -> None:
    """Whatever the heads of the columns, each gets a name of its own that is an identifier."""
    made = names.metric_names(heads)
    assert len(set(made)) == len(made) == len(heads)
    assert all(map(is_id, made))


@given(st.text(max_size=100))
def test_id_from(text: str) -> None:
    """A text becomes an identifier or nothing, and an identifier stays as it is."""
    made = names.id_from(text)
    assert is_id(made) or made == ""
    assert names.id_from(made) == made


@given(st.datetimes(datetime(1970, 1, 1), datetime(2262, 1, 1)))
def test_iso_there_and_back(moment: datetime) -> None:
    """A written time is read to the microsecond, with and without its zone."""
    delta = moment - datetime(1970, 1, 1)
    at_ns = (delta.days * 86_400 + delta.seconds) * 1_000_000_000 + delta.microseconds * 1000
    assert instants.instant_of(moment.isoformat()) == at_ns
    assert instants.instant_of(moment.replace(tzinfo=UTC).isoformat(" "), "iso8601") == at_ns


@given(st.integers(946_684_800, 4_000_000_000), st.integers(0, 999_999_999))
def test_numbers_by_magnitude(seconds: int, rest_ns: int) -> None:
    """From the year 2000 to 2096 the unit of an integer is told by its size, exactly."""
    at_ns = seconds * 1_000_000_000 + rest_ns
    for unit_ns in (1_000_000_000, 1_000_000, 1_000, 1):
        assert instants.instant_of(at_ns // unit_ns) == at_ns // unit_ns * unit_ns
        assert instants.instant_of(str(at_ns // unit_ns)) == at_ns // unit_ns * unit_ns


@given(
    st.text() | st.floats() | st.integers() | st.booleans() | st.none(), st.sampled_from(["auto", "iso8601", "s", "ns"])
)
def test_no_time_is_a_value_error(value: object, time_format: instants.TimeFormat) -> None:
    """Anything at all is an instant in range or a ValueError."""
    try:
        at_ns = instants.instant_of(value, time_format)
    except ValueError:
        return
    assert 0 <= at_ns < 2**63


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59-23:00", "1969-12-31", "-1", "1e30"])
def test_out_of_range(text: str) -> None:
    """Times before 1970 and after 2262 are none."""
    with pytest.raises(ValueError, match=r".+"):
        instants.instant_of(text)


@pytest.mark.parametrize("text", ["", ".", "a..b", "a.", "[x]", "a[-1]", 'a."', "a b]", "a[1"])
def test_no_path(text: str) -> None:
    """What is no path is refused when the settings are loaded."""
    with pytest.raises(ValueError, match="is no path"):
        paths.parse_path(text)


@given(st.recursive(st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10))
def test_follow_finds_leaves(document: object) -> None:
    """Each leaf is found at its own path."""
    for path, value in paths.leaves(document):
        assert paths.follow(document, path) == value


def test_topic_pattern() -> None:
    """Named levels are read out of a topic, whatever follows a `#`."""
    pattern = topics.parse_topic("/{hall}/x/{_}/{device}/#")
    assert pattern.subscription == "/+/x/+/+/#"
    assert pattern.read("/north/x/7/p1/a/b") == {"hall": "north", "device": "p1"}
    assert templates.fill("{hall}-{device}", pattern.read("/n/x/y/d")) == "n-d"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "1 to 512"),
        ("a/\0", "NUL"),
        ("a/+/b", "level '\\+'"),
        ("a/#/b", "level '#'"),
        ("a/pump-{n}", "level 'pump-{n}'"),
        ("{Device}", "level '{Device}'"),
        ("{a}/{a}", "two levels named 'a'"),
    ],
)
def test_no_pattern(text: str, problem: str) -> None:
    """What is wrong with a pattern is said in words."""
    with pytest.raises(ValueError, match=problem):
        topics.parse_topic(text)
