"""The archive and its forms: what comes out of a history is what went in, however it is cut and written."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Iterator
from datetime import timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemesh.model.alerts import AlertState
from edgemesh.model.orders import OrderState
from edgemesh.model.samples import Quality
from edgemesh.store.archive import Archive, Selection
from edgemesh.store.forms import (
    COLUMNS,
    Kind,
    csv_writer,
    in_groups,
    instant_text,
    json_writer,
    read_instant,
    rows,
)
from edgemesh.store.schema import MINUTE_NS
from tests.unit.store.test_history import SECOND_NS, START_NS, Recorder, alert, alerts, order, orders, pack
from tests.unit.store.test_rollup_laws import Given, batches, brute_force, brute_rollups, make_packs

EVERY = Selection()
INSTANTS = st.integers(0, 2**62)
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    made = Recorder(tmp_path / "recorder.db")
    yield made
    made.connection.close()


@settings(max_examples=25, deadline=None)
@given(st.lists(batches(), max_size=8), st.integers(1, 5))
def test_csv_json_and_parquet_hold_what_came(some: list[Given], step: int) -> None:
    """Every reading and roll-up is there once, to the bit and the nanosecond, whatever the steps of reading."""
    pq = pytest.importorskip("pyarrow.parquet", reason="needs the extra `parquet`")
    from edgemesh.store.parquet import parquet_writer

    held = brute_force(some)
    raw = {(*names, at_ns, *reading) for names, readings in held.items() for at_ns, reading in readings.items()}
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgemesh.store.archive.STEP_ROWS", step)
        recorder = Recorder(Path(folder) / "recorder.db")
        for each in make_packs(some, [2, 2]):
            recorder.write(each)
        with Archive(recorder.path) as archive:
            series = archive.select(EVERY)
            found = list(rows(archive, "raw", series, EVERY))
            assert {(row[3], row[4], row[0], *row[6:]) for row in found} == raw
            assert len(found) == len(raw)
            text = io.StringIO(newline="")
            csv_writer(text, COLUMNS["raw"])(found)
            read = list(csv.DictReader(io.StringIO(text.getvalue())))
            assert [(read_instant(row["time"]), float(row["value"]), int(row["quality"])) for row in read] == [
                (row[0], *row[6:]) for row in found
            ]
            text = io.StringIO()
            json_writer(text, COLUMNS["raw"])(found)
            objects = [json.loads(line) for line in text.getvalue().splitlines()]
            assert [(each["device"], each["metric"], each["value"]) for each in objects] == [
                (row[3], row[4], row[6]) for row in found
            ]
            file = Path(folder) / "x.parquet"
            with parquet_writer(file, COLUMNS["raw"]) as write:
                for group in in_groups(found, 3):
                    write(group)
            table = pq.read_table(file)
            assert table.column("time").cast("int64").to_pylist() == [row[0] for row in found]
            assert table.column("value").to_pylist() == [row[6] for row in found]
            assert str(table.schema.field("time").type) == "timestamp[ns, tz=UTC]"
            widths: tuple[tuple[Kind, int], ...] = (("1min", 1), ("10min", 10))
            for kind, width in widths:
                minutes = {
                    (row[3], row[4], row[0] // (width * MINUTE_NS), row[6], round(row[7] * row[6]), *row[8:10], row[10])
                    for row in rows(archive, kind, series, EVERY)
                }
                assert minutes == {each[:-1] for each in brute_rollups(held, width * MINUTE_NS)}
        recorder.connection.close()


@given(INSTANTS, ZONES)
def test_an_instant_is_read_as_it_was_written(at_ns: int, zone: timezone) -> None:
    """To the nanosecond, in any zone."""
    assert read_instant(instant_text(at_ns)) == at_ns
    assert read_instant(instant_text(at_ns, zone)) == at_ns


@pytest.mark.parametrize("text", ["", "2024", "2024-05-01T12:00:00", "2024-05-01T12:00:00.1x2Z", "x.5Z"])
def test_what_is_no_instant_is_refused(text: str) -> None:
    """Nothing is guessed, no zone either."""
    with pytest.raises(ValueError, match=r"Invalid isoformat|is no instant"):
        read_instant(text)


def test_a_range_takes_in_its_beginning_and_not_its_end(recorder: Recorder) -> None:
    """Raw readings to the nanosecond, roll-ups by the buckets that overlap."""
    recorder.write(pack([0, 59, 60, 119, 120], [1.0, 2.0, 3.0, 4.0, 5.0]))
    span = Selection(start_ns=START_NS + 59 * SECOND_NS, end_ns=START_NS + 119 * SECOND_NS)
    with Archive(recorder.path) as archive:
        series = archive.select(span)
        assert [row[6] for row in rows(archive, "raw", series, span)] == [2.0, 3.0]
        assert [row[6] for row in rows(archive, "1min", series, span)] == [2, 2]
        told: list[int] = []
        assert len(list(rows(archive, "raw", series, EVERY, told.append))) == 5
        assert told == [START_NS + minute * MINUTE_NS for minute in (1, 2, 3)]


def test_patterns_choose(recorder: Recorder) -> None:
    """Of each name any of the patterns, and all names together; what came since the choice is left out."""
    recorder.write(pack([0], [1.0]), pack([0], [2.0], metric="head"), pack([0], [3.0], gateway="g2"))
    with Archive(recorder.path) as archive:
        for selection, wanted in (
            (Selection(metrics=("fl*", "x")), {1.0, 3.0}),
            (Selection(metrics=("flow",), gateways=("g?",)), {1.0, 3.0}),
            (Selection(metrics=("*d",), gateways=("g[13]",)), {2.0}),
            (Selection(assets=("pump-2",)), set()),
        ):
            series = archive.select(selection)
            assert {row[6] for row in rows(archive, "raw", series, EVERY)} == wanted
        few, many = archive.select(Selection(metrics=("head",))), archive.select(EVERY)
        both = zip(rows(archive, "raw", few, EVERY), rows(archive, "raw", many, EVERY), strict=False)
        assert [(one[6], other[6]) for one, other in both] == [(2.0, 1.0)]  # two at a time do not mix


def test_the_recorder_writes_on_meanwhile(recorder: Recorder) -> None:
    """Whoever stops in the middle of reading holds nothing: the write-ahead log can be emptied into the file."""
    for minute in range(5):
        recorder.write(pack([minute * 60], [float(minute)]))
    with Archive(recorder.path) as archive:
        series = archive.select(EVERY)
        found = rows(archive, "raw", series, EVERY)
        assert next(found)[6] == 0.0
        recorder.write(pack([7 * 60], [7.0]), pack([8 * 60], [8.0], metric="new"))
        assert recorder.table("PRAGMA wal_checkpoint(TRUNCATE)")[0][0] == 0
        assert [row[6] for row in found] == [1.0, 2.0, 3.0, 4.0, 7.0]
        assert len(list(rows(archive, "1min", series, EVERY))) == 6  # of series that came since there is none


def test_alerts_and_orders(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The latest version of each, in the order of time, also when many came at one instant."""
    monkeypatch.setattr("edgemesh.store.archive.STEP_RECORDS", 2)
    for number in range(5):
        recorder.write(alerts(0, alert(1, AlertState.FIRING, name=str(number))))
        recorder.write(orders(0, order(1, OrderState.OPEN, name=str(number))))
    recorder.write(alerts(0, alert(2, AlertState.CLEARED, name="3")))
    with Archive(recorder.path) as archive:
        found = list(rows(archive, "alerts", {}, EVERY))
        assert len({row[1] for row in found}) == len(found) == 5
        assert sorted(row[6] for row in found) == ["cleared", *["firing"] * 4]
        assert len(list(rows(archive, "orders", {}, EVERY))) == 5
        assert len(list(archive.versions_of_alerts())) == 6
        assert len(list(archive.versions_of_orders())) == 5
        late = Selection(start_ns=START_NS + 1)
        assert list(rows(archive, "alerts", {}, late)) == list(rows(archive, "orders", {}, late)) == []
        assert list(rows(archive, "alerts", {}, Selection(assets=("pump-2",)))) == []
        assert list(rows(archive, "alerts", {}, Selection(metrics=("flow",)))) == []  # no evidence names it


def test_readings_of_every_quality_leave(recorder: Recorder) -> None:
    """Bad ones, too, marked; they are in no roll-up."""
    recorder.write(pack([0, 1], [1.0, 9.0], quality=[Quality.UNCERTAIN, Quality.BAD]))
    with Archive(recorder.path) as archive:
        series = archive.select(EVERY)
        assert [row[6:] for row in rows(archive, "raw", series, EVERY)] == [(1.0, 1), (9.0, 2)]
        assert [row[6] for row in rows(archive, "1min", series, EVERY)] == [1]
