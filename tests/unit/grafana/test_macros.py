"""What stands in the place of Grafana's macros and variables."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grafana.observe.macros import ALL, as_pattern, fill

names = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1)


@settings(deadline=None)
@given(st.lists(names, min_size=1, max_size=5), names)
def test_a_pattern_fits_the_chosen_values_and_no_others(values: list[str], other: str) -> None:
    """Whatever characters they have."""
    pattern = re.compile(f"^{as_pattern(values)}$")
    assert all(pattern.fullmatch(value) for value in values)
    assert bool(pattern.fullmatch(other)) == (other in values)


def test_all_is_everything_even_nothing() -> None:
    """A series that does not have the tag belongs to All."""
    assert re.fullmatch(as_pattern(ALL), "")


def test_a_statement_is_filled() -> None:
    """Time, interval, several values, one, and a text."""
    text = "$timeFilter /^${site:regex}$/ /^${gateway:regex}$/ '${trace}' time($__interval)"
    values = {"site": ["a/b", "c"], "gateway": ["g"], "trace": "abc"}
    filled = fill(text, start_ms=1, end_ms=2, interval="10s", values=values)
    assert filled == r"time >= 1ms and time <= 2ms /^(a\/b|c)$/ /^g$/ 'abc' time(10s)"


def test_a_variable_without_a_value_is_noticed() -> None:
    """It does not become an empty text."""
    with pytest.raises(KeyError):
        fill("${nobody:regex}", start_ms=0, end_ms=0, interval="", values={})


def test_several_values_are_no_text() -> None:
    """They would be a statement that means something else."""
    with pytest.raises(TypeError):
        fill("'${site}'", start_ms=0, end_ms=0, interval="", values={"site": ["a", "b"]})
