"""`traceparent`: what is written can be read, what is read was written by somebody, and nothing is ever an error."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgemesh.tracing.context import TraceContext, format_traceparent, parse_traceparent

HEX = "0123456789abcdef"
T, S = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
trace_ids = st.text(HEX, min_size=32, max_size=32).filter(lambda text: text.strip("0"))
span_ids = st.text(HEX, min_size=16, max_size=16).filter(lambda text: text.strip("0"))
contexts = st.builds(TraceContext, trace_ids, span_ids, st.booleans())


@given(contexts, st.sampled_from(["", " ", "\t  "]))
def test_what_is_written_is_read(context: TraceContext, blank: str) -> None:
    """And is of the form that the recommendation prescribes, to the letter; blanks around it do no harm."""
    text = format_traceparent(context)
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", text)
    assert int(text[-2:], 16) & 1 == context.sampled
    assert parse_traceparent(blank + text + blank) == context


@given(st.text() | st.text(HEX + "-", min_size=50, max_size=60))
@example(f"00-{'0' * 32}-{S}-01")
@example(f"00-{T}-{'0' * 16}-01")
def test_what_is_no_header_is_none_and_never_an_error(text: str) -> None:
    """Whatever a stranger sends; what is taken can be written again with the same meaning."""
    context = parse_traceparent(text)
    if context is not None:
        assert parse_traceparent(format_traceparent(context)) == context


@pytest.mark.parametrize(
    "text",
    [
        f"ff-{T}-{S}-01",
        f"00-{T}-{S}-01-more",
        f"00-{T.upper()}-{S}-01",
        f"00-{T}-{S}",
        f"00-{T}-{S}-0",
        f"00-{T}-{S}-01\n",
        f"00-{T}-{S}-٠١",
        f"01-{T}-{S}-01.more",
    ],
)
def test_what_the_recommendation_forbids_is_a_new_trace(text: str) -> None:
    """Version ff, more behind version 00, capitals, what is cut off, digits of another script."""
    assert parse_traceparent(text) is None


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    """What it adds behind a dash is passed over; of the flags only those that we know count."""
    assert parse_traceparent(f"cc-{T}-{S}-01") == (T, S, True, False)
    assert parse_traceparent(f"cc-{T}-{S}-02-what-the-future-holds") == (T, S, False, True)


@pytest.mark.parametrize("context", [TraceContext("0" * 32, S), TraceContext(T, "0" * 16), TraceContext("x", S)])
def test_what_is_no_context_is_not_written(context: TraceContext) -> None:
    """Nobody could read it."""
    with pytest.raises(ValueError, match="no ids of a trace"):
        format_traceparent(context)
