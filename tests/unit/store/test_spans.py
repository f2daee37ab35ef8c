"""Spans in the history: each once, those that matter for long, and never more than there is room for."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing

import msgspec
import pytest

from edgemesh.model.agents import Role
from edgemesh.model.spans import Span
from edgemesh.store import spans as module
from edgemesh.store.contract import SpanSink
from edgemesh.store.schema import MINUTE_NS, create
from edgemesh.store.spans import SpanStore, read_trace
from edgemesh.testing import START_NS, make_alert, make_pack, make_readings
from edgemesh.tracing import names
from edgemesh.tracing.context import TraceContext, format_traceparent
from edgemesh.tracing.ids import trace_of_alert, trace_of_row

HOUR_NS = 3_600 * 10**9


class Told:
    """A mirror that remembers."""

    def __init__(self) -> None:
        self.spans_told: list[Span] = []

    def spans(self, connection: sqlite3.Connection, spans: Sequence[Span]) -> None:
        self.spans_told += spans


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        create(connection)
        connection.execute(  # retention believes no time that is long after the newest reading
            "INSERT INTO rollup_10min VALUES (?, 1, 1, 0, 0, 0, 0, 0)", ((START_NS + 100 * HOUR_NS) // MINUTE_NS // 10,)
        )
        SpanStore().prepare(connection)
        yield connection


def make_span(trace: int, number: int, *, name: str = "score", start_ns: int = START_NS) -> Span:
    return Span(
        trace_id=f"{trace:032x}",
        span_id=f"{number:016x}",
        name=name,
        role=Role.DETECTOR,
        agent="d",
        start_ns=start_ns,
    )


def ids(db: sqlite3.Connection) -> list[int]:
    return [int(span_id, 16) for (span_id,) in db.execute("SELECT span_id FROM span ORDER BY id")]


def test_a_span_that_comes_again_is_one_and_is_mirrored_once(db: sqlite3.Connection) -> None:
    """The first telling stays."""
    told = Told()
    store = SpanStore(mirrors=[told])
    assert isinstance(store, SpanSink)
    store.keep(db, [make_span(1, 1), make_span(1, 1, start_ns=START_NS + 5)])
    store.keep(db, [make_span(1, 1), make_span(1, 2)])
    assert list(read_trace(db, f"{1:032x}")) == [make_span(1, 1), make_span(1, 2)]
    assert told.spans_told == [make_span(1, 1), make_span(1, 2)]


def test_logs_tell_their_own_part(db: sqlite3.Connection) -> None:
    """Alerts always, readings where the head says so, and only then."""
    pack = make_readings([1.0])
    trace_id = trace_of_row(pack.agent, pack.epoch, pack.seq)
    silent = msgspec.structs.replace(pack, trace=format_traceparent(TraceContext(trace_id, "1" * 16, sampled=False)))
    store = SpanStore()
    store.write(db, [pack, silent, msgspec.structs.replace(pack, trace="nonsense")])
    assert ids(db) == []
    store.write(db, [msgspec.structs.replace(pack, trace=format_traceparent(TraceContext(trace_id, "1" * 16)))])
    assert [span.name for span in read_trace(db, trace_id)] == ["sample", "commit readings", "publish readings"]
    store.write(db, [make_pack([make_alert()], agent="d")])
    assert [span.name for span in read_trace(db, trace_of_alert(make_alert()))] == [names.ALERT, "publish alerts"]


def test_what_leads_to_an_alert_is_kept_for_long_whenever_it_came(db: sqlite3.Connection) -> None:
    """Spans that came before the alert, with it and after it; the sampled ones beside it go after an hour."""
    store = SpanStore(keep_s=86_400.0, keep_share_s=3_600.0)
    store.keep(db, [make_span(1, 1), make_span(2, 2)])
    store.keep(db, [make_span(1, 3, name=names.ALERT)])
    store.keep(db, [make_span(1, 4), make_span(3, 5, start_ns=START_NS + 2 * HOUR_NS)])
    store.trim(db, START_NS + HOUR_NS)
    assert ids(db) == [1, 2, 3, 4, 5]
    store.trim(db, START_NS + 2 * HOUR_NS)
    assert ids(db) == [1, 3, 4, 5]
    store.trim(db, START_NS + 25 * HOUR_NS)
    assert ids(db) == []


def test_the_oldest_give_way_when_there_are_too_many(db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each kind: many samples push no alert out."""
    monkeypatch.setattr(module, "MOST", {0: 3, 1: 2})
    store = SpanStore()
    store.keep(db, [make_span(9, 1, name=names.ALERT), make_span(9, 2)])
    store.keep(db, [make_span(k, k) for k in range(10, 20)])
    store.trim(db, START_NS)
    assert ids(db) == [1, 2, 17, 18, 19]


def test_a_clock_far_ahead_condemns_nothing(db: sqlite3.Connection) -> None:
    """Time is believed up to a day after the newest reading."""
    db.execute("UPDATE rollup_10min SET bucket = ?", (START_NS // MINUTE_NS // 10,))
    store = SpanStore(keep_s=30 * 86_400.0)
    store.keep(db, [make_span(1, 1, name=names.ALERT)])
    store.trim(db, 2**62)
    assert ids(db) == [1]


def test_a_history_of_an_older_recorder_has_no_spans() -> None:
    """Its tables are not there yet: that is no error."""
    with closing(sqlite3.connect(":memory:")) as connection:
        assert list(read_trace(connection, "a")) == []
