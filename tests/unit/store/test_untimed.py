"""Readings and alerts whose gateway's clock could not be believed: kept, shown, and put right."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemesh.model.alerts import AlertState
from edgemesh.model.packs import Alerts, Pack, Readings
from edgemesh.model.samples import Batch, Quality, Retimed
from edgemesh.store.history import History
from edgemesh.store.retention import HEAD_START_NS, Pace
from edgemesh.store.schema import MINUTE_NS
from edgemesh.store.sink import HistorySink
from edgemesh.store.untimed import CLOCKS_KEPT
from tests.unit.store.test_history import START_NS, Recorder, alert

S = 10**9
HOUR = 3600 * S
PI = 77
TABLES = ("reading", "rollup_1min", "rollup_10min")


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    made = Recorder(tmp_path / "recorder.db")
    yield made
    made.connection.close()


def doubtful(times: Sequence[int], values: Sequence[float], clock: int = PI, gateway: str = "g1") -> Readings:
    batch = Batch(
        device="p1",
        asset="p1",
        metrics=("flow",),
        units=("1",),
        at_ns=tuple(times),
        values=(tuple(values),),
        clock=clock,
    )
    return Readings(agent=gateway, epoch="0", seq=1, lowest=1, at_ns=1, records=(batch,))


def correction(by_ns: int, clock: int = PI, gateway: str = "g1", from_ns: int = 0, until_ns: int = 2**62) -> Readings:
    retimed = Retimed(clock=clock, from_ns=from_ns, until_ns=until_ns, by_ns=by_ns)
    return Readings(agent=gateway, epoch="0", seq=2, lowest=1, at_ns=1, records=(), retimed=(retimed,))


def everything(connection: sqlite3.Connection) -> dict[str, list[tuple[object, ...]]]:
    rows = {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in TABLES}
    rows["untimed"] = connection.execute("SELECT * FROM untimed").fetchall()
    return rows


@pytest.fixture
def reader(recorder: Recorder) -> Iterator[History]:
    with History(recorder.path) as history:
        yield history


def test_what_has_no_time_yet_waits_and_is_shown_as_uncertain(recorder: Recorder, reader: History) -> None:
    """Readings of 1970 are there to be seen, are in no roll-up, and outlive retention until somebody sets the clock."""
    recorder.write(doubtful([5 * S, 6 * S], [1.0, 2.0]))
    with recorder.transaction() as connection:
        recorder.sink.trim(connection, START_NS)
    curve = reader.readings(device="p1", metric="flow")
    assert [(point.at_ns, point.last, point.quality) for point in curve.points] == [
        (5 * S, 1.0, Quality.UNCERTAIN),
        (6 * S, 2.0, Quality.UNCERTAIN),
    ]
    assert reader.readings(device="p1", metric="flow", resolution="1min").points == []
    assert (reader.counts().readings, reader.counts().untimed) == (2, 2)
    recorder.write(correction(START_NS))
    curve = reader.readings(device="p1", metric="flow")
    assert [(point.at_ns - START_NS, point.quality) for point in curve.points] == [(5 * S, 0), (6 * S, 0)]
    (minute,) = reader.readings(device="p1", metric="flow", resolution="1min").points
    assert (minute.at_ns, minute.n, minute.mean) == (START_NS, 2, 1.5)
    assert (reader.counts().readings, reader.counts().untimed, reader.counts().retimed) == (2, 0, 2)


def test_a_series_that_was_put_right_is_not_old(recorder: Recorder, reader: History) -> None:
    """A device that was heard in 1970 only is of the day on which that was in truth: nothing of it is forgotten."""
    recorder.write(doubtful([5 * S], [1.0]), correction(START_NS))
    with recorder.transaction() as connection:
        recorder.sink.trim(connection, START_NS)
    assert len(reader.readings(device="p1", metric="flow", resolution="raw").points) == 1


def test_many_are_put_right_a_step_at_a_time(
    recorder: Recorder, reader: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long time in doubt is put right in pieces, and between two of them everything is there exactly once."""
    monkeypatch.setattr("edgemesh.store.sink.RELEASE_ROWS", 30)
    values = [float(number) for number in range(100)]
    recorder.write(doubtful([S * number for number in range(100)], values))
    recorder.write(correction(START_NS))
    for left in (70, 40, 10, 0, 0):
        assert reader.counts().untimed == left
        curve = reader.readings(device="p1", metric="flow")
        assert [(point.at_ns, point.last) for point in curve.points] == [
            (START_NS + S * number, float(number)) for number in range(100)
        ]
        recorder.write()


def test_housekeeping_goes_on_with_it(recorder: Recorder, reader: History, monkeypatch: pytest.MonkeyPatch) -> None:
    """When nothing comes any more, what is left gets its time all the same."""
    monkeypatch.setattr("edgemesh.store.sink.RELEASE_ROWS", 1)
    recorder.write(doubtful([S, 2 * S, 3 * S], [1.0, 2.0, 3.0]))
    recorder.write(correction(START_NS))
    with recorder.transaction() as connection:
        recorder.sink.trim(connection, START_NS)
    assert (reader.counts().untimed, reader.counts().retimed) == (0, 3)


Stretch = tuple[int, list[float], int, int]
"""Seconds after the one before, values a second apart, by how many seconds the clock was off, which clock."""
stretches = st.lists(
    st.tuples(
        st.integers(1, 300),
        st.lists(st.integers(-9, 9).map(float), min_size=1, max_size=8),
        st.sampled_from([0, 0, 3600, -3600, 5, -5, START_NS // S - 100]),
        st.integers(1, 3),
    ),
    min_size=1,
    max_size=8,
)


@given(stretches, st.booleans(), st.lists(st.integers(1, 3), max_size=6), st.integers(1, 10))
def test_law_in_the_end_all_is_as_if_the_clock_had_been_right(
    given: list[Stretch], again: bool, sizes: list[int], release: int
) -> None:
    """However often and far a clock was off, put right in pieces, with a restart or a rollback between."""
    offs = {clock: off for _, _, off, clock in given}
    wrong: list[Pack] = []
    right: list[Pack] = []
    now = START_NS
    for gap, values, _, clock in given:
        times = [now + S * (gap + number) for number in range(len(values))]
        now = times[-1]
        off = offs[clock]
        right.append(doubtful(times, values, clock=0))
        wrong.append(doubtful([at_ns - off * S for at_ns in times], values, clock=clock))
    wrong += [correction(off * S, clock=clock) for clock, off in offs.items()]
    if again:
        wrong += wrong[-len(offs) :]
    with closing(_opened()) as true, closing(_opened()) as late:
        _commit(true, HistorySink(), right)
        sink = HistorySink()
        for size in [*sizes, len(wrong)]:
            pytest.MonkeyPatch().setattr("edgemesh.store.sink.RELEASE_ROWS", release)
            late.execute("BEGIN")
            sink.write(late, wrong[:size])
            late.execute("ROLLBACK")
            _commit(late, sink, wrong[:size])
            wrong = wrong[size:]
            if again:
                sink = HistorySink()
        while late.execute("SELECT count(*) FROM untimed").fetchone()[0]:
            _commit(late, sink, [])
        assert everything(late) == everything(true)
        assert _state(late)["readings"] == _state(true)["readings"]
        assert _state(late)["duplicates"] == _state(late)["untimed"] == 0


def _opened() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    HistorySink().prepare(connection)
    return connection


def _commit(connection: sqlite3.Connection, sink: HistorySink, packs: Sequence[Pack]) -> None:
    connection.execute("BEGIN")
    sink.write(connection, packs)
    connection.execute("COMMIT")


def _state(connection: sqlite3.Connection) -> dict[str, int]:
    return dict(connection.execute("SELECT name, value FROM history_state"))


def test_twice_is_once(recorder: Recorder, reader: History) -> None:
    """A batch in doubt that comes again replaces itself, before its time is known and after."""
    for _ in range(2):
        recorder.write(doubtful([S, 2 * S], [1.0, 2.0]))
    assert (reader.counts().readings, reader.counts().duplicates, reader.counts().untimed) == (4, 2, 2)
    recorder.write(correction(START_NS))
    recorder.write(correction(START_NS), doubtful([S, 2 * S], [1.0, 2.0]))
    assert (reader.counts().readings, reader.counts().duplicates, reader.counts().untimed) == (6, 4, 0)
    assert recorder.table("SELECT count(*) FROM reading") == [(2,)]


def test_clocks_of_two_gateways_are_two(recorder: Recorder, reader: History) -> None:
    """The name of a clock says something within its gateway only."""
    recorder.write(doubtful([S], [1.0]), doubtful([S], [2.0], gateway="g2"))
    recorder.write(correction(START_NS, gateway="g2"))
    assert [point.last for point in reader.readings(device="p1", metric="flow", start_ns=START_NS).points] == [2.0]


def test_alerts_get_their_true_times(recorder: Recorder, reader: History) -> None:
    """Every version that was raised by a clock in doubt is put right, also one that comes when all is known already."""
    raised = msgspec.structs.replace(alert(1, AlertState.FIRING), clock=PI, gateway="g1")
    cleared = msgspec.structs.replace(alert(2, AlertState.CLEARED), clock=PI, gateway="g1")
    recorder.write(Alerts(agent="d", epoch="0", seq=1, lowest=1, at_ns=1, records=(raised,)))
    recorder.write(correction(HOUR))
    (kept,) = reader.alerts()
    assert (kept.clock, kept.onset_at_ns, kept.raised_at_ns) == (
        0,
        raised.onset_at_ns + HOUR,
        raised.raised_at_ns + HOUR,
    )
    recorder.write(Alerts(agent="d", epoch="0", seq=2, lowest=1, at_ns=1, records=(cleared,)))
    assert [each.onset_at_ns for each in reader.alert_versions(raised.id)] == [raised.onset_at_ns + HOUR] * 2
    assert recorder.table("SELECT raised_at_ns FROM alert") == [(raised.raised_at_ns + HOUR,)]
    assert recorder.table("SELECT count(*) FROM untimed_alert") == [(0,)]


def test_a_clock_that_nobody_ever_sets_is_bounded(tmp_path: Path) -> None:
    """Raw readings live as long by their own clock as others do, and of a gateway only the last clocks are kept."""
    recorder = Recorder(tmp_path / "recorder.db")
    recorder.sink = HistorySink(raw_s=60.0)
    for clock in range(1, 40):
        recorder.write(doubtful([S * number for number in range(0, 200, 10)], [1.0] * 20, clock=clock))
    for _ in range(3):
        with recorder.transaction() as connection:
            recorder.sink.trim(connection, START_NS)
    assert recorder.table("SELECT count(DISTINCT clock), count(*), min(at_ns) FROM untimed") == [
        (CLOCKS_KEPT, CLOCKS_KEPT * 7, 130 * S)
    ]
    assert recorder.table("SELECT count(*) FROM untimed_clock") == [(CLOCKS_KEPT,)]
    with History(recorder.path) as history:
        assert history.counts().untimed == CLOCKS_KEPT * 7
    recorder.connection.close()


def test_alerts_of_1970_are_not_old(recorder: Recorder, reader: History) -> None:
    """What clocks that were never set have raised is not forgotten at once, but with what came after it."""
    year_ns = 365 * 24 * HOUR
    for number in range(3):
        times = {"onset_at_ns": S, "raised_at_ns": S, "at_ns": S, "clock": PI if number < 2 else 0}
        if number == 2:
            times = dict.fromkeys(times, START_NS) | {"clock": 0}
        records = [
            msgspec.structs.replace(alert(version, state, name=str(number)), **times)
            for version, state in ((1, AlertState.FIRING), (2, AlertState.CLEARED))
        ]
        committed_ns = START_NS if number == 2 else S
        recorder.write(Alerts(agent="d", epoch="0", seq=1, lowest=1, at_ns=committed_ns, records=tuple(records)))
    for years, left in ((0, 3), (1, 3), (3, 0)):
        recorder.write(doubtful([START_NS + years * year_ns], [1.0], clock=0))
        with recorder.transaction() as connection:
            recorder.sink.trim(connection, START_NS + years * year_ns)
        assert len(reader.alerts()) == left
    assert recorder.table("SELECT count(*) FROM alert_version") == [(0,)]


# -- retention and a clock that is set ---------------------------------------------------------------------------------


def test_a_jump_forward_deletes_next_to_nothing(recorder: Recorder) -> None:
    """With the recorder's clock in 2038 for an hour, two hours of readings are gone at most, not all of them."""
    steady = 0
    recorder.sink._pace = Pace(lambda: steady)
    recorder.write(doubtful([START_NS + MINUTE_NS * number for number in range(360)], [1.0] * 360, clock=0))
    for _ in range(720):
        steady += 5 * S
        with recorder.transaction() as connection:
            recorder.sink.trim(connection, 2**61)
    ((kept,),) = recorder.table("SELECT count(*) FROM reading")
    assert isinstance(kept, int)
    assert 360 - 120 - HEAD_START_NS // MINUTE_NS <= kept < 360


def test_retention_keeps_up_and_leaps_gaps(recorder: Recorder) -> None:
    """In ordinary times nothing is kept longer than it should be; after days off what is old goes within hours."""
    steady, day = 0, 1440
    recorder.sink = HistorySink(raw_s=3600.0)
    recorder.sink._pace = Pace(lambda: steady)
    recorder.write(doubtful([START_NS + MINUTE_NS * number for number in range(60)], [1.0] * 60, clock=0))
    recorder.write(doubtful([START_NS + MINUTE_NS * (3 * day + number) for number in range(60)], [1.0] * 60, clock=0))
    now = START_NS + MINUTE_NS * (3 * day + 60)
    for _ in range(30):
        steady += 60 * S
        now += 60 * S
        with recorder.transaction() as connection:
            recorder.sink.trim(connection, now)
    kept = recorder.connection.execute("SELECT min(minute) FROM reading").fetchone()
    assert 0 <= kept[0] - (START_NS // MINUTE_NS + 3 * day) <= 30
    for _ in range(120):
        steady += 60 * S
        now += 60 * S
        with recorder.transaction() as connection:
            recorder.sink.trim(connection, now)
    assert recorder.table("SELECT count(*) FROM reading") == [(0,)]
