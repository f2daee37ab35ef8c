"""Headers for a collector, as OpenTelemetry writes them."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemesh.tracing.headers import parse_headers

NAMES = st.text("abcXYZ-_", min_size=1, max_size=10)
VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20).map(str.strip)


@given(
    st.dictionaries(NAMES, VALUES, max_size=5).filter(lambda made: len({each.lower() for each in made}) == len(made))
)
def test_what_was_written_is_read(headers: dict[str, str]) -> None:
    """Whatever signs a value has, percent-encoded it comes back; blanks around are none of it."""
    text = " , ".join(f"{name} = {quote(value)}" for name, value in headers.items())
    assert parse_headers(text) == headers


def test_an_equals_sign_may_stand_in_a_value() -> None:
    """Keys in base 64 end with one; a comma at the end is nothing."""
    assert parse_headers("api-key=YWI=,") == {"api-key": "YWI="}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("s3cret", "header 1 is not"),
        ("a=b,=s3cret", "header 2 is not"),
        ("a b=s3cret", "header 1 is not"),
        ("a=s3cret%0d%0ahost:x", "header `a` holds"),
        ("a=s3cret%00", "header `a` holds"),
        ("a=s3cret\u00e9", "header `a` holds"),
        ("Host=s3cret", "header `Host` is set"),
        ("content-length=3", "header `content-length` is set"),
        ("a=1,A=s3cret", "header `A` is there twice"),
        (",".join(f"a{number}=s3cret" for number in range(33)), "more than 32 headers"),
        ("a=" + "s3cret" * 2_000, "more than 8192 characters"),
    ],
)
def test_what_is_no_header_is_refused_without_its_value(text: str, problem: str) -> None:
    """The message says which one it is; it may be printed."""
    with pytest.raises(ValueError, match=re.escape(problem)) as refused:
        parse_headers(text)
    assert "s3cret" not in str(refused.value)
