"""Backtests: recorded data through the production cores, from CSV and from a history."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from edgemesh.backtest.report import BacktestReport
from edgemesh.backtest.run import BacktestOptions, backtest
from edgemesh.errors import ConfigError, EdgemeshError, InputError
from edgemesh.model.ids import derive_id
from tests.unit.backtest.small_data import BEGIN_NS, SECOND_NS, flow, make_pack, write_config, write_csv, write_history

LOW = range(100, 150)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_config(tmp_path / "site.toml")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "pump-1.csv", flow(300, LOW), labels=LOW)


def _run(config: Path, data: Path, **more: object) -> BacktestReport:
    return backtest(msgspec.convert({"config": config, "data": data, "train_rows": 0, **more}, BacktestOptions))[
        0
    ].report


def _timeless(report: BacktestReport) -> BacktestReport:
    return msgspec.structs.replace(report, seconds=0.0, rows_per_s=0.0)


def test_it_says_what_fires_when_and_for_how_long(config: Path, data: Path) -> None:
    """The limit with its hold and clear times decides, and the alert carries metric, cause and a derived id."""
    report = _run(config, data)
    (alert,) = report.alerts
    assert (alert.asset, alert.kind, alert.severity) == ("pump-1", "machine", "warning")
    assert alert.onset_at_ns == BEGIN_NS + 100 * SECOND_NS
    assert alert.raised_at_ns == BEGIN_NS + 102 * SECOND_NS
    assert alert.cleared_at_ns == BEGIN_NS + 153 * SECOND_NS
    assert alert.lasted_s == report.alarm_s == 51.0
    assert alert.metrics == ("pump-1/flow",)
    assert alert.id == derive_id("small", "pump-1", "machine", alert.onset_at_ns)
    assert (report.rows, report.readings) == (300, 300)


def test_an_alert_opens_one_order(config: Path, data: Path) -> None:
    """The scheduler plays along: the alert on an asset of criticality A becomes an order that names it."""
    report = _run(config, data)
    (order,) = report.orders
    assert (order.alert, order.priority) == (report.alerts[0].id, "P2")
    assert report.alerts[0].order == order.id
    assert report.total["orders"] == 1


def test_labels_give_rates(config: Path, data: Path) -> None:
    """50 labelled rows, 48 of them while it fires, and 3 flagged after the label."""
    total = _run(config, data).total
    assert (total["faults"], total["detected"]) == (1, 1)
    assert total["mar"] == 4.0
    assert total["far"] == pytest.approx(100 * 3 / 250, abs=0.05)
    assert total["f1"] == pytest.approx(2 * 48 / (2 * 48 + 3 + 2), abs=0.001)


def test_twice_is_equal(config: Path, data: Path) -> None:
    """Nothing but the input decides: two backtests of the same data are equal in everything but their own duration."""
    assert _timeless(_run(config, data)) == _timeless(_run(config, data))


def test_a_history_plays_like_the_file(config: Path, data: Path, tmp_path: Path) -> None:
    """The same readings out of a recorder's file give the same alerts with the same ids, however they were packed."""
    values = flow(300, LOW)
    packs = [make_pack(values[k : k + 7], seq=k // 7 + 1, start_s=k) for k in range(0, 300, 7)]
    write_history(tmp_path / "kept" / "agents" / "recorder.db", packs)
    from_file, from_folder = (
        _run(config, tmp_path / "kept" / "agents" / "recorder.db"),
        _run(config, tmp_path / "kept"),
    )
    assert _timeless(from_file) == msgspec.structs.replace(_timeless(from_folder), data=from_file.data)
    unit = [msgspec.structs.replace(alert, evidence=(), cause="") for alert in from_file.alerts]
    assert unit == [msgspec.structs.replace(alert, evidence=(), cause="") for alert in _run(config, data).alerts]
    assert from_file.rows == 300


def test_a_device_that_falls_silent_in_a_history_is_noticed(config: Path, tmp_path: Path) -> None:
    """Time passes in a gap of a history as it passed at the site: 30 s without a sample raise, its return clears."""
    packs = [make_pack(flow(60), seq=1, start_s=0), make_pack(flow(60), seq=2, start_s=200)]
    (alert,) = _run(config, write_history(tmp_path / "recorder.db", packs)).alerts
    assert alert.kind == "silent"
    assert BEGIN_NS + 85 * SECOND_NS <= alert.raised_at_ns <= BEGIN_NS + 95 * SECOND_NS
    assert alert.cleared_at_ns is not None


def test_a_range_plays_only_what_lies_in_it(config: Path, data: Path, tmp_path: Path) -> None:
    """From counts in, to does not; both for files and for histories."""
    history = write_history(tmp_path / "recorder.db", [make_pack(flow(300, LOW), seq=1, start_s=0)])
    for source in (data, history):
        report = _run(config, source, begin_ns=BEGIN_NS + 110 * SECOND_NS, end_ns=BEGIN_NS + 120 * SECOND_NS)
        assert (report.rows, report.from_ns) == (10, BEGIN_NS + 110 * SECOND_NS)
        assert report.to_ns == BEGIN_NS + 119 * SECOND_NS
        assert report.alerts[0].cleared_at_ns is report.alerts[0].lasted_s is None


def test_a_comparison_says_who_says_what(config: Path, tmp_path: Path) -> None:
    """A deep fall is in both, a shallow one only where the limit is higher; the other way round it is the other one."""
    values = [*flow(200, range(50, 80)), *(75.0 if second in range(50, 90) else 90.0 for second in range(200))]
    data = write_csv(tmp_path / "pump-1.csv", values)
    lower = write_config(tmp_path / "lower.toml", below=70.0, clear=72.0)
    answer, _ = backtest(BacktestOptions(config=config, data=data, against=lower))
    other, _ = backtest(BacktestOptions(config=lower, data=data, against=config))
    assert answer.comparison is not None
    assert other.comparison is not None
    deep, shallow = answer.report.alerts
    assert [(pair.here, pair.later_s) for pair in answer.comparison.both] == [(deep.id, 0.0)]
    assert (answer.comparison.only_here, answer.comparison.only_there) == ((shallow.id,), ())
    assert (other.comparison.only_here, other.comparison.only_there) == ((), (shallow.id,))


def test_rows_that_cannot_be_read_are_counted_and_told(config: Path, tmp_path: Path) -> None:
    """Text among the numbers does not end a backtest; it says how much was left out."""
    file = write_csv(tmp_path / "pump-1.csv", flow(50))
    file.write_text(file.read_text() + "yesterday,3\n1714557900,broken\n")
    report = _run(config, file)
    assert report.files[0].bad == 2
    assert "2 cells or rows" in report.notes[0]


def test_the_asset_may_be_named(config: Path, tmp_path: Path) -> None:
    """A file with any name is what the person says it is, with its class and criticality."""
    file = write_csv(tmp_path / "export.csv", flow(300, LOW))
    assert _run(config, file).alerts[0].asset == "export"
    named = _run(config, file, asset="pump-1")
    assert (named.alerts[0].asset, named.orders[0].priority) == ("pump-1", "P2")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda here: here / "nothing.csv", "no such file or folder"),
        (lambda here: here, "no *.csv in this folder"),
        (lambda here: _written(here / "empty.csv", b""), "the file is empty"),
        (lambda here: _written(here / "heads.csv", b"time,flow\n"), "no rows"),
        (lambda here: _written(here / "binary.csv", b"\x00\x01\x02"), "no text"),
        (lambda here: _written(here / "x.db", b"SQLite format 3\0" + bytes(84)), "is no history of edgemesh"),
        (lambda here: write_history(here / "bare.db", []), "holds no raw readings"),
    ],
)
def test_data_that_cannot_be_played_is_refused(config: Path, tmp_path: Path, make: object, says: str) -> None:
    """Missing, empty, unreadable or foreign data: an error that names the source and what is wrong."""
    (tmp_path / "in").mkdir()
    path = make(tmp_path / "in")  # type: ignore[operator]
    with pytest.raises(InputError) as refused:
        _run(config, path)
    assert says in str(refused.value)
    assert str(path) in str(refused.value)


def _written(file: Path, content: bytes) -> Path:
    file.write_bytes(content)
    return file


def test_a_range_that_holds_nothing_is_refused(config: Path, data: Path) -> None:
    """The error says what the data do hold, so that the next try fits."""
    with pytest.raises(InputError, match="2024-05-01T10:00:00Z to 2024-05-01T10:04:59Z"):
        _run(config, data, begin_ns=BEGIN_NS + 9_000 * SECOND_NS)
    with pytest.raises(InputError, match="ends before it begins"):
        _run(config, data, begin_ns=5, end_ns=5)


def test_a_configuration_without_a_detector_is_refused(tmp_path: Path, data: Path) -> None:
    """Nothing could fire: said before anything is played, and a missing file or an odd asset too."""
    bare = tmp_path / "bare.toml"
    bare.write_text('[site]\nid = "small"\n')
    with pytest.raises(ConfigError, match="detector"):
        _run(bare, data)
    with pytest.raises(EdgemeshError, match=r"nowhere\.toml"):
        _run(tmp_path / "nowhere.toml", data)
    with pytest.raises(InputError, match="--asset"):
        _run(write_config(tmp_path / "site.toml"), data, asset="{nope}")
