"""The upkeep of the history: what is over for long is forgotten, and what the disk has changed is found."""

from __future__ import annotations

import logging
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from edgemesh.model.alerts import AlertState
from edgemesh.model.orders import OrderState
from edgemesh.model.samples import Quality
from edgemesh.store.history import History
from edgemesh.store.retired import retire, retire_series
from edgemesh.store.schema import DAY_NS, MINUTE_NS, create, read_state
from edgemesh.store.scrub import Scrub
from edgemesh.store.sink import HistorySink
from edgemesh.store.size import Size, used_bytes
from tests.unit.store.test_history import SECOND_NS, START_NS, Recorder, alert, alerts, order, orders, pack


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    made = Recorder(tmp_path / "recorder.db")
    yield made
    made.connection.close()


def counts(recorder: Recorder) -> list[int]:
    tables = ("alert_version", "alert", "workorder_version", "workorder")
    return [int(str(recorder.table(f"SELECT count(*) FROM {table}")[0][0])) for table in tables]


def lived(recorder: Recorder) -> None:
    """Two alerts and two orders with three versions each; one of each is over."""
    for name, states in (
        ("open", (AlertState.PENDING, AlertState.FIRING, AlertState.FIRING)),
        ("over", (AlertState.PENDING, AlertState.FIRING, AlertState.CLEARED)),
    ):
        recorder.write(alerts(0, *(alert(version, state, name=name) for version, state in enumerate(states, 1))))
    for name, last in (("open", OrderState.ACCEPTED), ("over", OrderState.VERIFIED)):
        steps = (OrderState.OPEN, OrderState.DISPATCHED, last)
        recorder.write(orders(0, *(order(version, step, name=name) for version, step in enumerate(steps, 1))))
    recorder.write(pack([10_000], [1.0]))


def test_what_is_over_is_forgotten_in_its_time(recorder: Recorder) -> None:
    """Versions of what is over go first, then the record itself; what stands stays whole, however old."""
    lived(recorder)

    def at(second: int) -> int:
        return retire(recorder.connection, START_NS + second * SECOND_NS, versions_s=100.0, records_s=1_000.0)

    assert at(99) == 0
    assert counts(recorder) == [6, 2, 6, 2]
    assert at(101) == 6
    assert counts(recorder) == [3, 2, 3, 2]
    assert at(1_001) == 2
    assert counts(recorder) == [3, 1, 3, 1]
    assert at(10**9) == 0
    with History(recorder.path) as history:
        assert [each.state for each in history.alerts()] == [AlertState.FIRING]
        assert len(history.order_versions(history.orders()[0].id)) == 3


def test_it_goes_in_steps(recorder: Recorder) -> None:
    """No transaction is long, however much there is."""
    for number in range(12):
        recorder.write(alerts(0, alert(1, AlertState.CLEARED, name=str(number))))
    recorder.write(pack([86_400], [1.0]))
    steps = [retire(recorder.connection, START_NS + 10**18, versions_s=1.0, records_s=1.0, limit=5) for _ in range(4)]
    assert steps == [10, 10, 4, 0]


def test_a_clock_set_to_2038_takes_nothing_at_once(recorder: Recorder) -> None:
    """It is the time of the newest readings that counts, where a clock is far beyond it."""
    for hour in range(0, 48, 4):
        recorder.write(alerts(hour * 3_600_000, alert(1, AlertState.CLEARED, name=str(hour))))
    recorder.write(pack([48 * 3_600], [1.0]))
    for _ in range(5):
        retire(recorder.connection, START_NS + 4 * 10**17, versions_s=3 * 86_400.0, records_s=3 * 86_400.0)
    assert counts(recorder)[:2] == [12, 12]


def test_series_of_which_nothing_is_left_go(recorder: Recorder) -> None:
    """A device that was taken away is forgotten with its last roll-up; one that comes back is known again."""
    recorder.write(pack([0], [1.0], metric="old"), pack([0], [1.0], metric="new"))
    recorder.write(pack([10 * 86_400], [1.0], metric="new"))
    now_ns = START_NS + 10 * DAY_NS
    assert retire_series(recorder.connection, now_ns, ten_minutes_s=5 * 86_400.0) == 0  # its roll-up is still there
    for _ in range(3):
        recorder.sink.trim(recorder.connection, now_ns)
    recorder.connection.execute("DELETE FROM rollup_10min WHERE bucket < ?", (now_ns // 10**9 // 600 - 10,))
    assert retire_series(recorder.connection, now_ns, ten_minutes_s=5 * 86_400.0) == 1
    with History(recorder.path) as history:
        assert [series.metric for series in history.series()] == ["new"]


def test_a_series_that_comes_back_in_the_same_life(recorder: Recorder) -> None:
    """What the sink remembers of a series is forgotten with it."""
    recorder.write(pack([0], [1.0], metric="old"))
    recorder.connection.execute("DELETE FROM rollup_10min")
    recorder.write(pack([800 * 86_400], [2.0], metric="new"))
    with recorder.transaction() as connection:
        recorder.sink.trim(connection, START_NS + 800 * DAY_NS)
    assert recorder.table("SELECT metric FROM series") == [("new",)]
    recorder.write(pack([800 * 86_400], [2.0], metric="old"))
    with History(recorder.path) as history:
        (series,) = history.series(metric="old")
        assert history.readings(series.id, start_ns=START_NS + 700 * DAY_NS).points[0].last == 2.0


def test_a_history_of_before_gets_the_day_of_its_newest_reading(tmp_path: Path) -> None:
    """Series of an older edgemesh are not taken for dead."""
    with closing(sqlite3.connect(tmp_path / "h.db", isolation_level=None)) as connection:
        create(connection)
        connection.execute("ALTER TABLE series DROP COLUMN last_day")
        connection.execute("INSERT INTO series (gateway, device, asset, metric, unit) VALUES ('g', 'd', 'a', 'm', '1')")
        connection.execute("INSERT INTO reading VALUES (?, 1, ?, 1.0, 0)", (28_000_000, START_NS))
        create(connection)
        assert connection.execute("SELECT last_day FROM series").fetchall() == [(28_000_000 // 1440,)]


# -- what the disk has changed ----------------------------------------------------------------------------------------


def scrubbed(recorder: Recorder) -> list[tuple[int, int]]:
    """What one round finds."""
    scrub, found = Scrub(), []
    while True:
        found += scrub.step(recorder.connection, read_state(recorder.connection))
        if scrub.at_end:
            return found


def wild(recorder: Recorder, seed: int) -> None:
    """Readings as they come: several metrics, gaps, bad ones, late ones, and some that come twice."""
    chance = random.Random(seed)
    for _ in range(30):
        offsets = sorted(chance.sample(range(1_200), 40))
        if chance.random() < 0.2:
            offsets.reverse()
        values = [None if chance.random() < 0.1 else chance.gauss(0, 10.0 ** chance.randint(-3, 6)) for _ in offsets]
        quality = [chance.choice(list(Quality)) for _ in offsets] if chance.random() < 0.5 else None
        recorder.write(pack(offsets, values, quality=quality, metric=chance.choice(("flow", "level"))))


@pytest.mark.parametrize("seed", range(8))
def test_what_was_written_is_never_taken_for_damage(recorder: Recorder, seed: int) -> None:
    """Late, bad, missing and repeated readings: roll-ups say the same as readings, trimmed or not."""
    wild(recorder, seed)
    assert scrubbed(recorder) == []
    with recorder.transaction() as connection:
        recorder.sink.trim(connection, START_NS + 6 * 3_600 * SECOND_NS + 600 * SECOND_NS)
    wild(recorder, seed + 100)
    assert scrubbed(recorder) == []


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE reading SET value = value * 1.0001 WHERE rowid_is",
        "UPDATE reading SET value = -value WHERE rowid_is",
        "UPDATE reading SET at_ns = at_ns | (1 << 50) WHERE rowid_is",
        "UPDATE reading SET quality = 2 WHERE rowid_is",
        "UPDATE reading SET quality = 77 WHERE rowid_is",
        "UPDATE reading SET series = 1025 WHERE rowid_is",
        "DELETE FROM reading WHERE rowid_is",
        "UPDATE rollup_1min SET high = high + 1 WHERE bucket = 28000003",
        "UPDATE rollup_1min SET n = n + 4 WHERE bucket = 28000003",
        "DELETE FROM reading WHERE minute = 28000003 AND series = 1",
    ],
)
def test_a_flipped_bit_is_found_once_and_said(
    recorder: Recorder, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What no longer fits is counted and said once, with its place; the rest is believed."""
    recorder.write(pack(range(60, 600, 7), [float(n + 1) for n in range(78)]))
    where = f"minute = 28000003 AND series = 1 AND at_ns = {START_NS + 193 * SECOND_NS}"
    recorder.connection.execute(damage.replace("rowid_is", where))
    with caplog.at_level(logging.ERROR):
        for _ in range(30):
            with recorder.transaction() as connection:
                recorder.sink.trim(connection, START_NS + 700 * SECOND_NS)
    with History(recorder.path) as history:
        assert history.counts().damaged >= 1
    assert caplog.text.count("series 1 in minute 28000003") == 1
    assert scrubbed(recorder) == []  # known by now


def fill(recorder: Recorder, minutes: int) -> None:
    """Readings of so many minutes, 60 each."""
    for minute in range(minutes):
        recorder.write(pack(range(minute * 60, minute * 60 + 60), [float(second) for second in range(60)]))


def span(recorder: Recorder, table: str, column: str) -> tuple[object, ...]:
    return recorder.table(f"SELECT min({column}) - {START_NS // MINUTE_NS}, count(DISTINCT {column}) FROM {table}")[0]


def test_beyond_its_size_the_oldest_raw_readings_give_way(recorder: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    """Whole minutes, no more than is needed, counted and said once; roll-ups stay, and the rest is known as whole."""
    fill(recorder, 200)
    full = used_bytes(recorder.connection)
    size = Size(full - 60_000, steady=lambda: 0.0)
    with recorder.transaction() as connection:
        steps = [size.trim(connection, 500) for _ in range(60)]
    assert used_bytes(recorder.connection) <= full - 60_000
    gone = sum(steps)
    assert 1_200 < gone < 3_600
    assert steps[0] == 480  # of 500 so many whole minutes
    assert steps[-1] == 0
    assert span(recorder, "reading", "minute") == (gone // 60, 200 - gone // 60)
    assert span(recorder, "rollup_1min", "bucket") == (0, 200)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "raw readings give way" in size.notice
    with History(recorder.path) as history:
        assert history.counts().given_way == gone
        first_ns = START_NS + gone * SECOND_NS
        assert history.readings(1, start_ns=first_ns, max_points=None).resolution == "raw"
        assert history.readings(1, start_ns=first_ns - 1, max_points=None).resolution == "1min"
    scrub = Scrub()
    while scrub.step(recorder.connection, read_state(recorder.connection)) or not scrub.at_end:
        pass
    assert recorder.table("SELECT count(*) FROM damage") == [(0,)]


def test_then_minutes_and_ten_minutes_but_never_the_present(recorder: Recorder) -> None:
    """With no room at all the newest two buckets of each are left, and nothing fails."""
    fill(recorder, 200)
    size = Size(1)
    with recorder.transaction() as connection:
        while size.trim(connection, 10_000):
            pass
    assert span(recorder, "reading", "minute") == (198, 2)
    assert span(recorder, "rollup_1min", "bucket") == (198, 2)
    assert recorder.table("SELECT count(*) FROM rollup_10min") == [(2,)]
    assert "ten minutes give way" in size.notice


def test_the_notice_ends(recorder: Recorder) -> None:
    """Ten minutes after the last row gave way there is nothing to say."""
    fill(recorder, 10)
    now_s = [100.0]
    size = Size(1, steady=lambda: now_s[0])
    assert size.notice == ""
    size.trim(recorder.connection, 100)
    assert size.notice
    now_s[0] += 601
    assert size.notice == ""


def test_more_goes_than_comes(tmp_path: Path) -> None:
    """However fast readings come, retention by age keeps up: no step is smaller than what came since the last."""
    with closing(sqlite3.connect(tmp_path / "recorder.db", isolation_level=None)) as connection:
        sink = HistorySink(raw_s=60.0, step_rows=10)
        sink.prepare(connection)
        for round_ in range(5):
            minutes = range(round_ * 5, round_ * 5 + 5)
            sink.write(
                connection, [pack([minute * 60 + second for second in range(60)], [1.0] * 60) for minute in minutes]
            )
            sink.trim(connection, START_NS + (round_ * 5 + 5) * MINUTE_NS)
        (rows,) = connection.execute("SELECT count(*) FROM reading").fetchone()
        assert rows < 5 * 60 + 60 + 10 + 300
