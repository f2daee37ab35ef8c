"""The waterfall: every span has its line, none is wider than the terminal, and parents come before their children."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from edgemesh.console.waterfall import in_order, parts, waterfall
from edgemesh.model.agents import Role
from edgemesh.model.spans import Link, Span
from edgemesh.tracing import names

T = "a" * 32
_NAMES = ["sample", "commit readings", "score", names.ALERT, names.DISPATCH, names.ANSWER, names.VERIFY]


def span(name: str, number: int, *, parent: int = 0, start_ns: int = 0, took_ns: int = 0, error: str = "") -> Span:
    return Span(
        trace_id=T,
        span_id=f"{number:016x}",
        parent=f"{parent:016x}" if parent else "",
        name=name,
        role=Role.GATEWAY,
        agent="agent-1",
        start_ns=start_ns,
        duration_ns=took_ns,
        error=error,
    )


@st.composite
def traces(draw: st.DrawFn) -> list[Span]:
    """Spans whose parents may be there, missing, themselves, or each other."""
    return [
        span(
            draw(st.sampled_from(_NAMES)),
            number,
            parent=draw(st.integers(0, 12)),
            start_ns=draw(st.integers(0, 2**62)),
            took_ns=draw(st.integers(0, 2**61)),
            error=draw(st.sampled_from(["", "bad_value: 7\x1b[31m"])),
        )
        for number in range(1, draw(st.integers(1, 10)))
    ]


@given(traces(), st.integers(1, 200), st.booleans())
def test_every_span_has_one_line_that_fits(spans: list[Span], width: int, fine: bool) -> None:
    """And what others wrote can't steer the terminal."""
    rows = waterfall(in_order(spans), width=width, fine=fine)
    lines = ["".join(text for text, _ in row) for row in rows]
    assert len([row for row in rows if row[0][1] == "name"]) == len(spans)
    assert all(len(line) <= max(84, width) for line in lines)
    assert all("\x1b" not in line for line in lines)
    assert fine or all(line.isascii() for line in lines)


@given(traces())
def test_no_span_comes_before_its_parent_and_none_gets_lost(spans: list[Span]) -> None:
    """Whatever the clocks of two hosts say; those that are each other's parents are in some order."""
    ordered = in_order(spans)
    assert sorted(each.span_id for each in ordered) == sorted(each.span_id for each in spans)
    place = {each.span_id: k for k, each in enumerate(ordered)}
    for each in spans:
        line, above = [each], {one.span_id: one for one in spans}
        while (parent := above.get(line[-1].parent)) and parent not in line:
            line.append(parent)
        if above.get(line[-1].parent) is None and len(line) > 1:
            assert place[line[1].span_id] < place[each.span_id]
    assert sorted(each.span_id for part in parts(ordered) for each in part) == sorted(place)


def test_a_sample_that_waited_long_does_not_hide_the_rest() -> None:
    """It has an axis of its own, and so has what comes after the dispatch."""
    spans = [
        span("sample", 1, took_ns=3_600 * 10**9),
        span("score", 2, parent=1, start_ns=3_600 * 10**9, took_ns=400_000),
        span(names.DISPATCH, 3, parent=2, start_ns=3_600 * 10**9 + 500_000, took_ns=500_000),
        span(names.ANSWER, 4, parent=3, start_ns=3_600 * 10**9 + 600_000, took_ns=60 * 10**9),
    ]
    assert [[each.span_id[-1] for each in part] for part in parts(spans)] == [["1"], ["2", "3"], ["4"]]


def test_a_line_of_its_own_says_what_went_wrong_and_where_a_trace_goes_on_from() -> None:
    """So an error is seen without colour."""
    bad = span(names.REFUSE, 1, error="not_json: cut off")
    linked = Span(
        trace_id=T, span_id="2" * 16, name="verify", role=Role.SCHEDULER, agent="s", start_ns=5,
        links=(Link(trace_id="b" * 32, span_id="3" * 16),),
    )  # fmt: skip
    text = "\n".join("".join(piece for piece, _ in row) for row in waterfall([bad, linked]))
    assert "not_json: cut off" in text
    assert f"goes on from trace {'b' * 32}" in text
    assert waterfall([]) == []


def test_what_an_alert_says_is_said_again_only_when_it_is_another_thing() -> None:
    """Versions that change nothing for people are a line each, not two."""
    versions = [
        msgspec.structs.replace(
            span(names.ALERT, k, start_ns=k), attributes={names.STATE: state, names.CAUSE: "flow 60, normal > 80"}
        )
        for k, state in enumerate(["firing", "firing", "cleared"], start=1)
    ]
    said = [row[0][0].strip() for row in waterfall(versions) if len(row) == 1 and "flow" in row[0][0]]
    assert said == ["firing: flow 60, normal > 80", "cleared: flow 60, normal > 80"]
