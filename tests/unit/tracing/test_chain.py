"""Ids that are the same for everybody, and the spans that packs tell of themselves."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from edgemesh.dispatch.moves import answered, dispatched, given_back, opened, verified
from edgemesh.dispatch.triage import Plan
from edgemesh.model.agents import Role
from edgemesh.model.alerts import AlertState
from edgemesh.model.orders import Answer, AnswerKind, Priority, WorkOrder
from edgemesh.model.packs import Alerts, Orders, Pack, Readings
from edgemesh.model.spans import Span
from edgemesh.testing import SECOND_NS, at, make_alert, make_readings
from edgemesh.tracing import names
from edgemesh.tracing.chain import APART_NS, matters, of_alerts, of_orders, of_readings
from edgemesh.tracing.context import parse_traceparent
from edgemesh.tracing.ids import is_row_sampled, is_sampled, threshold, trace_continued, trace_of_alert, trace_of_row
from tests.unit.wire import strategies as my

PLAN = Plan(cause="worn", title="Change the bearing", skills={}, priority=Priority.P2)


@given(my.ids, my.epochs, my.sequences, st.floats(0, 1), st.floats(0, 1))
def test_the_head_decides_the_same_everywhere(agent: str, epoch: str, seq: int, less: float, more: float) -> None:
    """The decision is in the trace id: who records less records a part of what others do; 0 is none and 1 all."""
    less, more = sorted((less, more))
    trace_id = trace_of_row(agent, epoch, seq)
    assert not is_sampled(trace_id, less) or is_sampled(trace_id, more)
    assert is_sampled(trace_id, 1.0)
    assert not is_sampled(trace_id, 0.0)
    assert is_row_sampled(agent, epoch, seq, threshold(less)) == is_sampled(trace_id, less)


def test_the_share_is_kept() -> None:
    """Of 10,000 rows about 5 % are recorded, at 5 %."""
    recorded = sum(is_sampled(trace_of_row("gateway-1", "e0", seq), 0.05) for seq in range(10_000))
    assert 430 < recorded < 570


def test_an_alert_is_in_the_trace_of_the_row_that_raised_it() -> None:
    """All its versions are; an alert that time itself raised has a trace of its own."""
    alert = msgspec.structs.replace(make_alert(), origin="gateway-1/e0/7")
    later = msgspec.structs.replace(alert, version=2, state=AlertState.CLEARED)
    assert trace_of_alert(alert) == trace_of_alert(later) == trace_of_row("gateway-1", "e0", 7)
    alone = make_alert()
    assert trace_of_alert(alone) not in (trace_of_alert(alert), trace_of_alert(make_alert(onset_s=1.0)))


def test_a_pack_of_readings_tells_sample_commit_and_publish() -> None:
    """With the durations that its header says: sampled at 0 s, 2.5 ms to the disk, 0.1 ms more to the broker."""
    pack = msgspec.structs.replace(make_readings([1.0], at_s=0.0), at_ns=at(0.4), commit_us=2_500, publish_us=2_600)
    sample, commit, publish = of_readings(pack, trace_of_row(pack.agent, pack.epoch, pack.seq))
    assert (sample.start_ns, sample.duration_ns, sample.parent) == (at(0.0), 400_000_000, "")
    assert (commit.start_ns, commit.duration_ns, commit.parent) == (at(0.4), 2_500_000, sample.span_id)
    assert (publish.start_ns, publish.duration_ns, publish.parent) == (commit.end_ns, 100_000, commit.span_id)
    assert publish.attributes[names.MESSAGE] == f"{pack.epoch}/{pack.seq}"


def test_a_device_ahead_of_its_gateway_gives_no_span_that_ends_before_it_begins() -> None:
    """The sample took no time then."""
    pack = msgspec.structs.replace(make_readings([1.0], at_s=9.0), at_ns=at(0.0))
    sample = of_readings(pack, "a" * 32)[0]
    assert (sample.start_ns, sample.duration_ns) == (at(0.0), 0)


@given(my.packs)
def test_the_same_pack_tells_the_same_spans(pack: Pack) -> None:
    """Whatever its records say, and all of them are within what a span may hold."""
    spans, again = _told(pack), _told(pack)
    assert spans == again
    assert all(msgspec.json.decode(msgspec.json.encode(span), type=Span) == span for span in spans)


def _told(pack: Pack) -> list[Span]:
    if isinstance(pack, Readings):
        return of_readings(pack, "a" * 32)
    return list(of_alerts(pack) if isinstance(pack, Alerts) else of_orders(pack))


def _orders(*records: WorkOrder) -> list[Span]:
    return list(
        of_orders(Orders(agent="s", epoch="e", seq=1, lowest=1, at_ns=at(2), publish_us=900, records=tuple(records)))
    )


def _story() -> list[WorkOrder]:
    alert = msgspec.structs.replace(make_alert(), origin="gateway-1/e0/7")
    first = opened("f" * 32, alert, PLAN, at(2), 1)
    given_out = dispatched(first, "ana", at(2), at(60), 1)
    say = Answer(executor="ana", order=first.id, attempt=1, answer=AnswerKind.STARTED)
    started = answered(given_out, say, at(5), at(90))
    done = answered(started, msgspec.structs.replace(say, answer=AnswerKind.DONE), at(65), at(90))
    return [first, given_out, started, done, verified(done, at(70), at(66))]


def test_an_order_tells_dispatch_answer_work_and_verification() -> None:
    """In the trace of its alert; what the executor did is told of the executor."""
    spans = _orders(*_story())
    assert [span.name for span in spans] == [names.DISPATCH, names.ANSWER, names.WORK, names.VERIFY]
    assert [span.duration_ns // SECOND_NS for span in spans] == [0, 3, 60, 5]
    assert [span.role for span in spans] == [Role.SCHEDULER, Role.EXECUTOR, Role.EXECUTOR, Role.SCHEDULER]
    assert {span.trace_id for span in spans} == {trace_of_row("gateway-1", "e0", 7)}
    context = parse_traceparent(_story()[0].trace)
    assert context is not None
    assert spans[0].parent == context.span_id
    assert {span.parent for span in spans[1:]} == {spans[0].span_id}
    assert matters(spans[0])


def test_a_refusal_is_an_error_and_an_order_without_a_trace_tells_nothing() -> None:
    """The note says what went wrong; records of an older edgemesh have no trace."""
    _, given_out, *_ = _story()
    refused = given_back(given_out, at(6), ("ana",), "ana: no time")
    (span,) = _orders(refused)
    assert (span.name, span.error, span.duration_ns) == (names.ANSWER, "ana: no time", 4 * SECOND_NS)
    for trace in ("", "00-nonsense"):
        assert _orders(msgspec.structs.replace(given_out, trace=trace)) == []


def test_what_takes_days_is_a_trace_of_its_own_with_a_link() -> None:
    """An order that is verified long after it was opened goes on elsewhere, and says from where."""
    done = _story()[3]
    repaired_ns = done.opened_at_ns + APART_NS + SECOND_NS
    late = verified(msgspec.structs.replace(done, repaired_at_ns=repaired_ns), repaired_ns + SECOND_NS, repaired_ns)
    (span,) = _orders(late)
    context = parse_traceparent(done.trace)
    assert context is not None
    assert span.trace_id == trace_continued(done.id) != context.trace_id
    assert [(link.trace_id, link.span_id) for link in span.links] == [context[:2]]
    assert span.parent == ""
