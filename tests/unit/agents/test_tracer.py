"""The tracer: what is recorded and what is not; a step done again tells the same, and nothing waits for it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from edgemesh.agents.items import Heard
from edgemesh.agents.tracer import MESSAGE_SPANS, MOST_WAITING, Tracer
from edgemesh.model.agents import Role
from edgemesh.model.alerts import Alert
from edgemesh.model.packs import Pack, Readings
from edgemesh.model.spans import Link, Span
from edgemesh.testing import EPOCH, FixedClock, at, make_alert, make_batch, make_pack, make_readings
from edgemesh.tracing.chain import matters, of_readings, ref
from edgemesh.tracing.context import TraceContext, format_traceparent, parse_traceparent
from edgemesh.tracing.ids import trace_of_alert, trace_of_row
from edgemesh.wire import codec
from edgemesh.wire.strict import MAX_BYTES

CLOCK = FixedClock(at(5.0))


def make_tracer(role: Role = Role.DETECTOR, *, share: float = 0.05) -> Tracer:
    return Tracer("agent-1", role, CLOCK, share=share)


def heard(kind: str, at_ns: int = at(4.0)) -> Heard:
    return Heard(kind, "gateway-1", "t", b"", lambda: None, at_ns=at_ns)


def raised_by(pack: Readings) -> Alert:
    return msgspec.structs.replace(make_alert(), origin=ref(pack))


def told(tracer: Tracer, pack: Readings, *records: Alert) -> list[Span]:
    return sent(tracer, "readings", pack, at(4.0), records)


def sent(tracer: Tracer, kind: str, pack: Pack, came_ns: int, records: Sequence[Alert] = ()) -> list[Span]:
    tracer.add(tracer.handled(heard(kind, came_ns), pack, came_ns + 500_000_000, records))
    message = tracer.take()
    return list(message.spans) if message else []


def test_a_pack_of_which_nothing_comes_tells_nothing_and_one_that_raises_tells_all() -> None:
    """Sampled or not, an alert has the stages before it; sampled without an alert, only our own are told."""
    pack = make_readings([1.0])
    trace_id = trace_of_row(pack.agent, pack.epoch, pack.seq)
    sampled = msgspec.structs.replace(pack, trace=format_traceparent(TraceContext(trace_id, "1" * 16)))
    tracer = make_tracer()
    assert told(tracer, pack) == []
    assert told(tracer, pack, make_alert()) == []  # of a row before it
    own = ["receive readings", "score"]
    upstream = ["sample", "commit readings", "publish readings"]
    assert [span.name for span in told(tracer, sampled)] == own
    assert [span.name for span in told(tracer, pack, raised_by(pack))] == upstream + own
    assert [span.name for span in told(tracer, sampled, raised_by(pack))] == own  # the recorder tells the rest
    assert {span.trace_id for span in told(tracer, pack, raised_by(pack))} == {trace_id}


def test_a_header_that_nobody_can_read_is_a_new_trace() -> None:
    """A stranger's nonsense is no error; a trace of another's is told beside the alert's."""
    pack = msgspec.structs.replace(make_readings([1.0]), trace="00-nonsense")
    assert told(make_tracer(), pack) == []
    foreign = msgspec.structs.replace(pack, trace=format_traceparent(TraceContext("c" * 32, "1" * 16)))
    spans = told(make_tracer(), foreign, raised_by(pack))
    assert {span.trace_id for span in spans} == {"c" * 32, trace_of_row(pack.agent, pack.epoch, pack.seq)}


def test_a_step_that_is_done_again_tells_the_same_spans() -> None:
    """By another process of the same agent, later: the same ids, so they are one."""
    pack = make_readings([1.0])
    first = told(make_tracer(), pack, raised_by(pack))
    again = sent(make_tracer(), "readings", pack, at(4.1), [raised_by(pack)])
    assert [span.span_id for span in again] == [span.span_id for span in first]
    refusal = [make_tracer().refused(at_ns, "t", b"{", "not_json", "cut off") for at_ns in (at(1), at(2))]
    assert refusal[0].span_id == refusal[1].span_id
    assert refusal[0].error == "not_json: cut off"


def test_rows_say_where_they_go_out_only_if_they_are_recorded() -> None:
    """Readings by the share, alerts and orders always; the trace is that of the row or of the alert."""
    rows = [make_tracer(share=0.05).traceparent([make_batch([1.0])], EPOCH, seq) for seq in range(1, 401)]
    said = [parse_traceparent(row) for row in rows if row]
    assert 5 < len(said) < 45
    assert all(context is not None and context.sampled for context in said)
    assert make_tracer(share=0.0).traceparent([make_batch([1.0])], EPOCH, 1) == ""
    alert = parse_traceparent(make_tracer(share=0.0).traceparent([make_alert()], EPOCH, 1))
    assert alert is not None
    assert alert.trace_id == trace_of_alert(make_alert())


def test_a_scheduler_tells_of_alerts_and_a_recorder_of_nothing() -> None:
    """What a recorder keeps is told by the packs themselves."""
    pack = make_pack([make_alert()], agent="detector-1")
    spans = sent(make_tracer(Role.SCHEDULER), "alerts", pack, at(4.0))
    assert [(span.name, span.duration_ns) for span in spans] == [
        ("receive alerts", 500_000_000),
        ("triage", 500_000_000),
    ]
    assert sent(make_tracer(Role.RECORDER), "alerts", pack, at(4.0)) == []


def test_what_could_not_be_sent_is_the_next() -> None:
    """Nothing is lost where there is no room for a moment, and the order stays."""
    tracer = make_tracer()
    tracer.add([tracer.refused(at(1), "t", bytes([number]), "wrong_shape", "") for number in range(5)])
    first = tracer.take()
    assert first is not None
    tracer.put_back(first)
    assert tracer.take() == first
    assert (tracer.take(), tracer.dropped) == (None, 0)


@given(st.lists(st.integers(1, 900), max_size=6))
def test_what_waits_is_bounded_counted_and_fits_into_messages(many: list[int]) -> None:
    """Whatever comes and however long nobody takes it: what is told and what gave way is all there was."""
    tracer = make_tracer()
    span = tracer.refused(at(1), "t" * 600, b"x", "wrong_shape", "y" * 600)
    for count in many:
        tracer.add([span] * count)
    taken = 0
    while message := tracer.take():
        taken += len(message.spans)
        assert len(message.spans) <= MESSAGE_SPANS
        assert len(codec.encode(message)) < MAX_BYTES
    assert taken <= MOST_WAITING
    assert taken + tracer.dropped == sum(many)


DEVICE = "00-" + "d" * 32 + "-" + "e" * 16 + "-01"


def test_a_device_that_has_begun_a_trace_is_gone_on_with() -> None:
    """The row goes out in it, the sample below the device's span, whatever the share; an alert's trace is linked."""
    batches = [make_batch([1.0]), msgspec.structs.replace(make_batch([2.0], device="other"), trace=DEVICE)]
    header = make_tracer(Role.GATEWAY, share=0.0).traceparent(batches, EPOCH, 7)
    context = parse_traceparent(header)
    assert context is not None
    assert (context.trace_id, context.sampled) == ("d" * 32, True)
    pack = msgspec.structs.replace(make_readings([1.0]), records=tuple(batches), trace=header)
    sample, commit, publish = of_readings(pack, "d" * 32)
    assert (sample.parent, commit.parent, publish.parent) == ("e" * 16, sample.span_id, commit.span_id)
    assert sample.links == ()
    own = {span.name: span for span in told(make_tracer(), pack, raised_by(pack)) if span.trace_id != "d" * 32}
    assert own["sample"].links == (Link(trace_id="d" * 32, span_id="e" * 16),)
    assert not matters(own["sample"])
    assert make_tracer(Role.GATEWAY, share=0.0).traceparent(batches[:1], EPOCH, 7) == ""


@given(st.text(max_size=80) | st.builds(lambda more: "01" + DEVICE[2:] + "-" + more, st.text(max_size=600)))
def test_whatever_a_device_sends_as_traceparent_is_one_or_counted(said: str) -> None:
    """What comes of it fits into a batch and can be read; a long one is none; `not recorded` is no error."""
    tracer = make_tracer(Role.GATEWAY)
    made = tracer.continued(said)
    known = parse_traceparent(said) if len(said) <= 512 else None
    assert tracer.ignored == (known is None)
    assert made == (format_traceparent(known) if known and known.sampled else "")
    assert len(made) <= 64
    assert (tracer.continued(DEVICE[:-1] + "0"), tracer.ignored) == ("", int(known is None))
