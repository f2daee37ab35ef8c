"""Hypothesis strategies for every record that goes over the wire."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from edgemesh.model.agents import Card, Owners, Presence, Role, Watermark
from edgemesh.model.alerts import Alert, AlertKind, AlertState, Evidence, Review, Severity, Stage
from edgemesh.model.commands import (
    MOST_S,
    Acknowledgement,
    Assign,
    Command,
    Considered,
    Explain,
    Explanation,
    Judgement,
    LogLevel,
    Reply,
    Silencing,
)
from edgemesh.model.orders import (
    MOST_BID,
    Answer,
    AnswerKind,
    Bid,
    Dispatch,
    DispatchList,
    OrderState,
    Priority,
    Verdict,
    WorkOrder,
)
from edgemesh.model.packs import Alerts, Orders, Pack, Readings
from edgemesh.model.rollouts import ModelFigures, ModelOffer, ModelState, RolloutStage
from edgemesh.model.samples import Batch, Quality, Retimed
from edgemesh.model.silences import Case, Ruling, Silence
from edgemesh.model.spans import Link, Span, SpanKind, Spans
from edgemesh.model.told import Line, LineLevel, Lines, Score, Scores
from edgemesh.model.verdicts import MOST_VERDICTS, OrderVerdict, Verdicts

INT64 = 2**63 - 1
ids = st.text("ABCXYZabcxyz0123456789_-", min_size=1, max_size=64)
uuids = st.text("0123456789abcdef", min_size=32, max_size=32)
epochs = st.text("0123456789abcdef", min_size=1, max_size=32)
at_ns = st.integers(0, INT64)
counts = st.integers(0, INT64)
sequences = st.integers(1, INT64)
integers = st.integers(-INT64 - 1, INT64)
numbers = st.floats(allow_nan=False, allow_infinity=False)
grades = st.floats(0.0, 1.0)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
units = st.text(st.characters(exclude_categories=["Cs"]), max_size=32)
skills = st.dictionaries(ids, grades, max_size=3)


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    """A batch of up to 4 metrics and 6 samples, with gaps, with and without quality."""
    m, n = draw(st.integers(1, 4)), draw(st.integers(1, 6))

    def columns(cells: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[tuple[Any, ...], ...]]:
        column = st.lists(cells, min_size=n, max_size=n).map(tuple)
        return st.lists(column, min_size=m, max_size=m).map(tuple)

    return Batch(
        device=draw(ids),
        asset=draw(ids),
        metrics=tuple(draw(st.lists(ids, min_size=m, max_size=m, unique=True))),
        units=tuple(draw(st.lists(units, min_size=m, max_size=m))),
        at_ns=tuple(draw(st.lists(at_ns, min_size=n, max_size=n))),
        values=draw(columns(st.none() | numbers)),
        quality=draw(st.none() | columns(st.sampled_from(Quality))),
        clock=draw(st.just(0) | st.integers(1, INT64)),
        trace=draw(st.text(max_size=64)),
    )


retimed = st.builds(
    Retimed, clock=st.integers(1, INT64), from_ns=at_ns, until_ns=at_ns, by_ns=st.integers(-INT64, INT64)
)


evidence = st.builds(
    Evidence, rule=texts, metric=ids, device=ids, value=st.none() | numbers, unit=units, normal=texts, score=numbers
)
alerts = st.builds(
    Alert,
    id=uuids,
    version=integers,
    asset=ids,
    kind=st.sampled_from(AlertKind),
    state=st.sampled_from(AlertState),
    severity=st.sampled_from(Severity),
    cause=texts,
    evidence=st.lists(evidence, max_size=3).map(tuple),
    onset_at_ns=at_ns,
    raised_at_ns=at_ns,
    at_ns=at_ns,
    gateway=ids,
    cleared_at_ns=st.none() | at_ns,
    confidence=numbers,
    model=texts,
    origin=texts,
    by=texts,
    clock=counts,
    past=st.booleans(),
    stage=st.sampled_from(Stage),
    review=st.none() | st.sampled_from(Review),
    consequence=texts,
    action=texts,
)
orders = st.builds(
    WorkOrder,
    id=uuids,
    version=integers,
    asset=ids,
    alert=uuids,
    state=st.sampled_from(OrderState),
    title=texts,
    cause=texts,
    priority=st.sampled_from(Priority),
    skills=skills,
    at_ns=at_ns,
    opened_at_ns=at_ns,
    attempt=integers,
    executor=st.none() | ids,
    tried=st.lists(ids, max_size=3).map(tuple),
    epoch=integers,
    escalated=st.booleans(),
    reopened=integers,
    note=texts,
    verdict=st.none() | st.sampled_from(Verdict),
    deadline_at_ns=st.none() | at_ns,
    occurred_at_ns=st.none() | at_ns,
    detected_at_ns=st.none() | at_ns,
    dispatched_at_ns=st.none() | at_ns,
    begun_at_ns=st.none() | at_ns,
    repaired_at_ns=st.none() | at_ns,
    back_at_ns=st.none() | at_ns,
    trace=texts,
    confidence=grades,
    parts=st.lists(texts, max_size=3).map(tuple),
    duration_s=st.floats(0.0, 1e6),
)
dispatches = st.builds(
    Dispatch,
    order=uuids,
    attempt=integers,
    asset=ids,
    title=texts,
    cause=texts,
    skills=skills,
    priority=st.sampled_from(Priority),
    alert=uuids,
    state=st.sampled_from(OrderState),
    reopened=integers,
    deadline_at_ns=st.none() | at_ns,
    trace=texts,
    parts=st.lists(texts, max_size=3).map(tuple),
    duration_s=st.floats(0.0, 1e6),
)
dispatch_lists = st.builds(
    DispatchList, executor=ids, epoch=integers, orders=st.lists(dispatches, max_size=3).map(tuple)
)
bids = st.builds(Bid, cost=st.none() | st.floats(0.0, MOST_BID), load=st.none() | st.integers(0, 10**9))
answers = st.builds(
    Answer,
    executor=ids,
    order=uuids,
    attempt=sequences,
    answer=st.sampled_from(AnswerKind),
    at_ns=at_ns,
    note=texts,
    verdict=st.none() | st.sampled_from(Verdict),
    bid=st.none() | bids,
)
order_verdicts = st.builds(
    OrderVerdict,
    order=uuids,
    alert=uuids,
    verdict=st.sampled_from(Verdict),
    at_ns=at_ns,
    learnt=st.booleans(),
)
verdict_lists = st.builds(Verdicts, asset=ids, verdicts=st.lists(order_verdicts, max_size=MOST_VERDICTS).map(tuple))
trace_ids = st.text("0123456789abcdef", min_size=32, max_size=32)
span_ids = st.text("0123456789abcdef", min_size=16, max_size=16)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
spans = st.builds(
    Span,
    trace_id=trace_ids,
    span_id=span_ids,
    parent=st.just("") | span_ids,
    name=names,
    role=st.sampled_from(Role),
    agent=ids,
    kind=st.sampled_from(SpanKind),
    start_ns=at_ns,
    duration_ns=counts,
    error=texts,
    attributes=st.dictionaries(names, texts | counts | numbers, max_size=3),
    links=st.lists(st.builds(Link, trace_id=trace_ids, span_id=span_ids), max_size=2).map(tuple),
)
span_lists = st.builds(Spans, agent=ids, spans=st.lists(spans, max_size=3).map(tuple), dropped=counts)
silences = st.builds(
    Silence, id=uuids, by=st.just("ana"), reason=st.just("oil change"), begin_ns=st.integers(0, 2**60),
    end_ns=st.integers(0, 2**60), asset=st.just("pump-*"), kind=st.none() | st.sampled_from(AlertKind),
    severity=st.none() | st.sampled_from(Severity),
)  # fmt: skip
cases = st.builds(Case, alert=alerts, since_ns=at_ns, until_ns=at_ns)
silencings = st.builds(
    Silencing, by=st.just("ana"), reason=st.just("oil change"), for_s=st.floats(1.0, 1e6), area=st.just("hall-?")
)
judgements = st.builds(Judgement, alert=uuids, ruling=st.sampled_from(Ruling), by=st.just("ana"))
commands = (
    st.builds(Command, id=uuids, log_level=st.sampled_from(LogLevel), for_s=st.floats(0.0, MOST_S))
    | st.builds(Command, id=uuids, silence=silencings)
    | st.builds(Command, id=uuids, end_silence=uuids)
    | st.builds(Command, id=uuids, review=judgements)
    | st.builds(Command, id=uuids, ack=st.builds(Acknowledgement, alert=uuids, by=st.just("ana")))
    | st.builds(Command, id=uuids, assign=st.builds(Assign, order=uuids, executor=ids, by=texts))
    | st.builds(Command, id=uuids, explain=st.builds(Explain, order=uuids))
)
considered = st.builds(
    Considered, executor=ids, why_not=texts, key=st.lists(numbers, max_size=3).map(tuple), match=grades, load=counts,
    distance_m=st.none() | numbers, cost=numbers, bid=st.none() | bids, price=st.dictionaries(ids, numbers, max_size=2),
)  # fmt: skip
explanations = st.builds(
    Explanation, order=uuids, state=st.sampled_from(OrderState), strategy=texts, executor=st.none() | ids,
    skills=skills, certificates=st.lists(ids, max_size=2).map(tuple),
    considered=st.lists(considered, max_size=2).map(tuple),
)  # fmt: skip
replies = st.builds(Reply, id=uuids, agent=ids, done=st.booleans(), text=texts, explanation=st.none() | explanations)
score = st.builds(
    Score, asset=ids, gateway=ids, at_ns=at_ns, score=st.floats(0.0, 1e6), device=st.just("") | ids,
    metric=st.just("") | ids, method=st.sampled_from(("model", "rules")),
)  # fmt: skip
scores = st.builds(Scores, agent=ids, every_s=st.floats(0.1, 86_400.0), scores=st.lists(score, max_size=4).map(tuple))
line = st.builds(
    Line, at_ns=at_ns, level=st.sampled_from(LineLevel), body=texts, logger=texts, exception=texts,
    trace_id=st.just("") | uuids, span_id=st.text("0123456789abcdef", max_size=16),
)  # fmt: skip
lines = st.builds(Lines, agent=ids, lines=st.lists(line, max_size=4).map(tuple), left_out=counts)
cards = st.builds(
    Card,
    agent=ids,
    role=st.sampled_from(Role),
    state=st.sampled_from(Presence),
    incarnation=texts,
    beat=counts,
    heartbeat_s=st.floats(0.001, 3600.0),
    version=texts,
    skills=skills,
    load=counts,
    max_load=counts,
    certificates=st.lists(ids, max_size=3, unique=True).map(tuple),
    area=st.none() | ids,
    place=st.none() | st.tuples(st.floats(-1e5, 1e5), st.floats(-1e5, 1e5)),
    shifts=st.sampled_from(("", "Mon-Fri 06:00-14:00")),
    cost=st.floats(0.0, 1e9),
    energy_weight=st.floats(0.0, 1e6),
    epoch=texts.map(lambda text: text[:32]),
    head=counts,
    trouble=texts,
    notice=texts,
    lost=counts,
    stats=st.dictionaries(texts, numbers, max_size=3),
)


offers = st.one_of(
    st.builds(
        ModelOffer,
        asset=ids,
        revision=sequences,
        at_ns=at_ns,
        version=counts,
        content=st.binary(min_size=1, max_size=50),
        asset_class=st.one_of(st.just(""), ids),
    ),
    st.builds(ModelOffer, asset=ids, revision=sequences, at_ns=at_ns, back=st.just(True)),
)
figures = st.builds(
    ModelFigures,
    rows=counts,
    alerts=counts,
    firing_s=numbers,
    high=grades,
    median=numbers,
    top=numbers,
    us_per_row=numbers,
)
model_states = st.builds(
    ModelState,
    asset=ids,
    agent=ids,
    revision=sequences,
    version=counts,
    used=counts,
    stage=st.sampled_from(RolloutStage),
    since_ns=at_ns,
    reason=texts,
    done=grades,
    new=st.none() | figures,
    former=st.none() | figures,
)


@st.composite
def _marks(draw: st.DrawFn) -> Watermark:
    edges = sorted(draw(st.lists(st.integers(0, 2**60), max_size=9, unique=True)))
    through, *rest = [2 * edge for edge in edges] or [0]
    spans = tuple(zip(rest[::2], rest[1::2], strict=False))
    epoch = draw(st.text("0123456789abcdef", max_size=32))
    return Watermark(epoch=epoch, through=through, ahead=spans, resend=draw(st.booleans()))


watermarks = _marks()
owners = st.builds(Owners, epoch=counts, owners=st.dictionaries(ids, ids, max_size=4))


def _packs(
    kind: type[Pack], records: st.SearchStrategy[Any], most: int = 3, **more: st.SearchStrategy[Any]
) -> st.SearchStrategy[Pack]:
    return st.builds(
        kind,
        agent=ids,
        epoch=epochs,
        seq=sequences,
        lowest=sequences,
        at_ns=at_ns,
        trace=texts,
        live=counts,
        commit_us=counts,
        publish_us=counts,
        records=st.lists(records, max_size=most).map(tuple),
        **more,
    )


timings = _packs(Readings, batches(), 0, retimed=st.lists(retimed, min_size=1, max_size=3).map(tuple))
packs = st.one_of(_packs(Readings, batches()), _packs(Alerts, alerts), _packs(Orders, orders), timings)
