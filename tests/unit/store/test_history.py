"""The history: what the sink keeps, what the reader gives, and what retention forgets."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgemesh.errors import StoreError
from edgemesh.model.alerts import Alert, AlertKind, AlertState, Severity
from edgemesh.model.ids import derive_id
from edgemesh.model.orders import OrderState, Priority, WorkOrder
from edgemesh.model.packs import Alerts, Orders, Pack, Readings
from edgemesh.model.samples import Batch, Quality
from edgemesh.store.history import History, HistorySink, Latency, Point
from edgemesh.store.retention import trim
from edgemesh.store.schema import MINUTE_NS

SECOND_NS = 1_000_000_000
START_NS = 28_000_000 * MINUTE_NS
"""Start of a minute and of ten minutes."""


class Recorder:
    """A database as the recorder has it, and a sink that writes into it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.sink = HistorySink()
        with self.transaction():
            self.sink.prepare(self.connection)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        self.connection.execute("BEGIN IMMEDIATE")
        yield self.connection
        self.connection.execute("COMMIT")

    def write(self, *packs: Pack) -> None:
        with self.transaction() as connection:
            self.sink.write(connection, packs)

    def table(self, question: str) -> list[tuple[object, ...]]:
        return self.connection.execute(question).fetchall()


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    made = Recorder(tmp_path / "recorder.db")
    yield made
    made.connection.close()


def pack(
    offsets_s: Sequence[float],
    values: Sequence[float | None],
    *,
    quality: Sequence[Quality] | None = None,
    metric: str = "flow",
    gateway: str = "g1",
) -> Readings:
    batch = Batch(
        device="p1",
        asset="pump-1",
        metrics=(metric,),
        units=("m3/h",),
        at_ns=tuple(START_NS + round(offset * SECOND_NS) for offset in offsets_s),
        values=(tuple(values),),
        quality=None if quality is None else (tuple(quality),),
    )
    return Readings(agent=gateway, epoch="0", seq=1, lowest=1, at_ns=1, records=(batch,))


def alert(version: int, state: AlertState, *, name: str = "x", at_s: float = 0.0) -> Alert:
    return Alert(
        id=derive_id(name),
        version=version,
        asset="pump-1",
        kind=AlertKind.MACHINE,
        state=state,
        severity=Severity.WARNING,
        cause="flow is low",
        evidence=(),
        onset_at_ns=START_NS,
        raised_at_ns=START_NS,
        at_ns=START_NS + round(at_s * SECOND_NS),
        gateway="g1",
    )


def order(version: int, state: OrderState, *, name: str = "x") -> WorkOrder:
    return WorkOrder(
        id=derive_id("order", name),
        version=version,
        asset="pump-1",
        alert=derive_id(name),
        state=state,
        title="look",
        cause="flow is low",
        priority=Priority.P2,
        skills={"pumps": 0.5},
        at_ns=START_NS,
        opened_at_ns=START_NS,
    )


def alerts(committed_ms: float, *records: Alert) -> Alerts:
    at_ns = START_NS + round(committed_ms * 1_000_000)
    return Alerts(agent="d1", epoch="0", seq=1, lowest=1, at_ns=at_ns, records=records)


def orders(committed_ms: float, *records: WorkOrder) -> Orders:
    at_ns = START_NS + round(committed_ms * 1_000_000)
    return Orders(agent="s1", epoch="0", seq=1, lowest=1, at_ns=at_ns, records=records)


def test_read_while_written(recorder: Recorder) -> None:
    """A reader sees each commit, and the state before it while the recorder is in the middle of one."""
    recorder.write(pack([0, 1, 2], [1.0, None, 3.0]))
    with History(recorder.path) as history:
        with recorder.transaction() as connection:
            recorder.sink.write(connection, [pack([3], [4.0])])
            assert history.counts().readings == 2
        counts = history.counts()
        assert (counts.packs, counts.readings, counts.duplicates, counts.series) == (2, 3, 0, 1)
        curve = history.readings(device="p1", metric="flow")
        assert curve.resolution == "raw"
        assert [(point.at_ns, point.last) for point in curve.points] == [
            (START_NS, 1.0),
            (START_NS + 2 * SECOND_NS, 3.0),
            (START_NS + 3 * SECOND_NS, 4.0),
        ]


def test_after_the_recorder(recorder: Recorder) -> None:
    """The history can be read when the recorder has closed its file."""
    recorder.write(pack([0], [1.0]))
    recorder.connection.close()
    with History(recorder.path) as history:
        assert history.counts().readings == 1
        assert history.series() == [(1, "g1", "p1", "pump-1", "flow", "m3/h")]


def test_no_history(tmp_path: Path) -> None:
    """No file is worth waiting for; a file that is something else is not."""
    with pytest.raises(StoreError, match="no history yet") as missing:
        History(tmp_path / "none.db")
    assert missing.value.retryable
    (tmp_path / "text.db").write_text("hello" * 1000)
    with pytest.raises(StoreError) as other:
        History(tmp_path / "text.db")
    assert not other.value.retryable


def test_newer_schema(recorder: Recorder) -> None:
    """Tables of a newer edgemesh are neither read nor written."""
    recorder.connection.execute("UPDATE history_state SET value = 99 WHERE name = 'schema'")
    with pytest.raises(StoreError, match="schema 99"):
        History(recorder.path)
    with pytest.raises(StoreError, match="schema 99"):
        HistorySink().prepare(recorder.connection)


def test_later_value_stays(recorder: Recorder) -> None:
    """A time that comes again replaces the reading, in the roll-ups too, and is counted."""
    recorder.write(pack([0, 1], [100.0, 2.0]))
    recorder.write(pack([0, 0], [50.0, 1.0]))
    with History(recorder.path) as history:
        assert [point.last for point in history.readings(1, resolution="raw").points] == [1.0, 2.0]
        assert history.readings(1, resolution="1min").points == [Point(START_NS, 2, 1.5, 1.0, 2.0, 2.0)]
        assert history.readings(1, resolution="10min").points == [Point(START_NS, 2, 1.5, 1.0, 2.0, 2.0)]
        assert history.counts().duplicates == 2


def test_repetition_after_a_restart(recorder: Recorder) -> None:
    """A sink that has just started knows which times are there already."""
    recorder.write(pack([30, 31], [1.0, 2.0]))
    recorder.sink = HistorySink()
    recorder.write(pack([31, 32], [4.0, 5.0]))
    with History(recorder.path) as history:
        assert history.readings(1, resolution="1min").points == [Point(START_NS, 3, 10 / 3, 1.0, 5.0, 5.0)]
        assert history.counts().duplicates == 1


def test_bad_and_not_finite(recorder: Recorder) -> None:
    """Bad readings are kept but not rolled up; what is not finite is counted and left out."""
    good, bad = Quality.GOOD, Quality.BAD
    recorder.write(pack([0, 1, 2], [1.0, -127.0, 3.0], quality=[good, bad, Quality.UNCERTAIN]))
    recorder.write(pack([3, 4, 5], [math.nan, math.inf, 5.0]))
    with History(recorder.path) as history:
        assert [(point.last, point.quality) for point in history.readings(1, resolution="raw").points] == [
            (1.0, 0),
            (-127.0, 2),
            (3.0, 1),
            (5.0, 0),
        ]
        assert history.readings(1, resolution="1min").points == [Point(START_NS, 3, 3.0, 1.0, 5.0, 5.0)]
        assert (history.counts().readings, history.counts().unusable) == (6, 2)


def test_resolutions(recorder: Recorder) -> None:
    """`auto` takes the finest resolution that fits, and merging keeps least, greatest and count."""
    recorder.write(pack(range(3600), [float(second % 60) for second in range(3600)]))
    with History(recorder.path) as history:

        def seen(points: int | None, **more: int) -> tuple[str, int]:
            curve = history.readings(1, max_points=points, **more)  # type: ignore[arg-type]
            assert sum(point.n for point in curve.points) == (3600 if not more else 60)
            assert (min(p.low for p in curve.points), max(p.high for p in curve.points)) == (0.0, 59.0)
            assert all(p.low <= p.mean <= p.high for p in curve.points)
            assert [p.at_ns for p in curve.points] == sorted(p.at_ns for p in curve.points)
            return curve.resolution, len(curve.points)

        assert seen(None) == ("raw", 3600)
        assert seen(3600) == ("raw", 3600)
        assert seen(3599) == ("1min", 60)
        assert seen(59) == ("10min", 6)
        assert seen(5) == ("10min", 3)
        assert seen(59, start_ns=START_NS + 60 * SECOND_NS, end_ns=START_NS + 120 * SECOND_NS) == ("1min", 1)
        assert len(history.readings(1, resolution="raw", max_points=100).points) == 100
        within = history.readings(1, start_ns=START_NS + 70 * SECOND_NS, end_ns=START_NS + 75 * SECOND_NS).points
        assert [point.last for point in within] == [10.0, 11.0, 12.0, 13.0, 14.0]
        assert history.readings(1, start_ns=5, end_ns=5).points == []
        assert history.readings(99).points == []
        with pytest.raises(ValueError, match="name a series"):
            history.readings(device="p1")


def test_device_behind_two_gateways(recorder: Recorder) -> None:
    """A device that moves to another gateway stays one curve."""
    recorder.write(pack([0, 2], [1.0, 3.0]), pack([1, 3], [2.0, 4.0], gateway="g2"), pack([0], [9.0], metric="other"))
    with History(recorder.path) as history:
        assert [point.last for point in history.readings(device="p1", metric="flow").points] == [1.0, 2.0, 3.0, 4.0]
        assert len(history.series(device="p1")) == 3


def test_alerts_and_orders(recorder: Recorder) -> None:
    """The highest version is the present one in whatever order they come, and all versions are kept."""
    recorder.write(
        alerts(1, alert(2, AlertState.CLEARED)),
        alerts(2, alert(1, AlertState.FIRING), alert(1, AlertState.FIRING, name="y")),
        alerts(2, alert(1, AlertState.FIRING)),
        orders(3, order(1, OrderState.OPEN), order(2, OrderState.DISPATCHED)),
    )
    with History(recorder.path) as history:
        assert history.alerts(AlertState.FIRING) == [alert(1, AlertState.FIRING, name="y")]
        assert history.alerts("cleared") == [alert(2, AlertState.CLEARED)]
        assert len(history.alerts()) == 2
        assert len(history.alerts(limit=1)) == 1
        assert [each.version for each in history.alert_versions(derive_id("x"))] == [1, 2]
        assert history.orders() == history.orders("dispatched") == [order(2, OrderState.DISPATCHED)]
        assert [each.state for each in history.order_versions(order(1, OrderState.OPEN).id)] == ["open", "dispatched"]
        assert history.counts().alerts == {"firing": 1, "cleared": 1}
        assert history.counts().orders == {"dispatched": 1}


def test_latencies(recorder: Recorder) -> None:
    """From the sample that fired the alert to its commit, and on to the commit of the first dispatch."""
    recorder.write(
        alerts(1, alert(1, AlertState.PENDING)),
        alerts(2005, alert(2, AlertState.FIRING, at_s=2.0)),
        alerts(9000, alert(3, AlertState.CLEARED, at_s=9.0)),
        alerts(9500, alert(1, AlertState.FIRING, name="y", at_s=9.5)),
        alerts(9600, alert(1, AlertState.PENDING, name="z", at_s=9.5)),
        orders(2006, order(1, OrderState.OPEN)),
        orders(5000, order(4, OrderState.DISPATCHED)),
        orders(2008, order(2, OrderState.DISPATCHED)),
    )
    with History(recorder.path) as history:
        assert history.latencies() == [Latency(5.0, 3.0), Latency(0.0, None)]


def test_trim(recorder: Recorder) -> None:
    """Each table loses what is past its age and nothing younger, in steps; counts and longer roll-ups stay."""
    recorder.write(pack(range(0, 3600, 10), [1.0] * 360))
    now_ns = START_NS + 3600 * SECOND_NS
    ages = {"raw_s": 1200.0, "minute_s": 2400.0, "ten_minutes_s": 3000.0}
    steps = []
    while True:
        with recorder.transaction() as connection:
            steps.append(trim(connection, now_ns, limit=50, pace=None, **ages))
        if not steps[-1]:
            break
    assert steps == [50 + 20 + 1, 50, 50, 50, 40, 0]
    assert recorder.table("SELECT count(*), min(at_ns) FROM reading") == [(120, START_NS + 2400 * SECOND_NS)]
    assert recorder.table("SELECT count(*), min(bucket) FROM rollup_1min") == [(40, 28_000_020)]
    assert recorder.table("SELECT count(*), min(bucket) FROM rollup_10min") == [(5, 2_800_001)]
    with History(recorder.path) as history:
        assert history.counts().readings == 360
        assert history.readings(1).resolution == "10min"
        assert history.readings(1, start_ns=START_NS + 1200 * SECOND_NS).resolution == "1min"
        assert history.readings(1, start_ns=START_NS + 2400 * SECOND_NS).resolution == "raw"


def test_late_readings_after_trimming(recorder: Recorder) -> None:
    """A backlog older than the raw readings kept still ends up in the roll-ups, and its repetition does not."""
    recorder.write(pack(range(0, 120, 10), [2.0] * 12), pack([3600], [1.0]))
    with recorder.transaction() as connection:
        trim(connection, START_NS + 3600 * SECOND_NS, raw_s=600.0)
    recorder.write(pack([5, 65], [8.0, 8.0]))
    recorder.write(pack([5, 65], [8.0, 20.0]))
    with History(recorder.path) as history:
        end_ns = START_NS + 600 * SECOND_NS
        minutes = history.readings(1, resolution="1min", end_ns=end_ns).points
        assert [(p.n, round(p.mean * p.n), p.low, p.high, p.last) for p in minutes] == [
            (7, 20, 2.0, 8.0, 2.0),
            (7, 32, 2.0, 20.0, 2.0),
        ]
        (ten,) = history.readings(1, resolution="10min", end_ns=end_ns).points
        assert (ten.n, round(ten.mean * ten.n), ten.high) == (14, 52, 20.0)


def test_clock_far_ahead(recorder: Recorder) -> None:
    """After a clock that was years ahead for a moment, what comes next is whole again."""
    recorder.write(pack([0], [1.0]))
    with recorder.transaction() as connection:
        trim(connection, START_NS + 10**18)
    recorder.write(pack([60, 61], [2.0, 3.0]))
    with History(recorder.path) as history:
        assert history.readings(1, start_ns=START_NS + 60 * SECOND_NS).resolution == "raw"


@pytest.mark.parametrize(
    "write", [lambda r: r.sink.trim(r.connection, START_NS), lambda r: r.sink.write(r.connection, [])]
)
def test_never_commits(recorder: Recorder, write: Callable[[Recorder], None]) -> None:
    """The sink leaves the transaction open."""
    recorder.connection.execute("BEGIN")
    write(recorder)
    assert recorder.connection.in_transaction
    recorder.connection.execute("ROLLBACK")
