"""The picture of a backtest: well-formed, told in words, with what was found in it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemesh.backtest.picture import check_picture, draw, write_picture
from edgemesh.backtest.run import BacktestOptions, Traces, backtest
from edgemesh.backtest.scales import Scale, time_marks, value_marks
from edgemesh.backtest.traces import CAPACITY, Trace
from edgemesh.errors import InputError
from tests.unit.backtest.small_data import BEGIN_NS, flow, write_config, write_csv

LOW = range(100, 150)
SVG = "{http://www.w3.org/2000/svg}"


def _played(here: Path, *, low: range = LOW, against: bool = False, files: int = 1) -> list[Traces]:
    config = write_config(here / "site.toml")
    other = write_config(here / "other.toml", below=50.0, clear=55.0) if against else None
    folder = here / "in"
    folder.mkdir()
    for number in range(files):
        write_csv(folder / f"pump-{number + 1}.csv", flow(300, low if number == 0 else range(0)), labels=low)
    return backtest(BacktestOptions(config=config, data=folder, against=other, traced=True))[1]


def _texts(root: ET.Element) -> list[str]:
    return [element.text or "" for element in root.iter(f"{SVG}text")]


def _boxes(root: ET.Element, kind: str) -> list[ET.Element]:
    return [box for box in root.iter(f"{SVG}rect") if box.get("class") == kind]


def test_it_shows_signal_limit_alerts_and_labels(tmp_path: Path) -> None:
    """One alert and one label are boxes at their time, the level is a broken line, all of it named in words."""
    root = ET.fromstring(draw(_played(tmp_path)))
    assert {"pump-1", "pump-1/flow", "alerts", "labelled"} <= set(_texts(root))
    (alert,), (label,) = _boxes(root, "alert-fill"), _boxes(root, "label-fill")
    assert 0 < float(alert.get("x", 0)) - float(label.get("x", 0)) < 20
    tip = alert.find(f"{SVG}title")
    assert tip is not None
    assert "warning for 51 s: flow 60" in (tip.text or "")
    assert any("dash" in line.get("class", "") for line in root.iter(f"{SVG}line"))


def test_it_is_told_in_words_and_is_readable_in_the_dark(tmp_path: Path) -> None:
    """A screen reader gets a title and a summary; dark viewers and small ones get a style of their own."""
    text = draw(_played(tmp_path))
    root = ET.fromstring(text)
    title, summary = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert title is not None
    assert summary is not None
    assert root.get("role") == "img"
    assert "1 alert, 1 order" in (summary.text or "")
    assert "prefers-color-scheme:dark" in text
    assert "max-width:560px" in text


def test_without_alerts_it_says_so(tmp_path: Path) -> None:
    """A calm recording has its curve, no box of an alert, and words for it."""
    root = ET.fromstring(draw(_played(tmp_path, low=range(0))))
    assert "alerts: none" in _texts(root)
    assert not _boxes(root, "alert-fill")
    assert list(root.iter(f"{SVG}path"))


def test_of_many_files_those_with_most_to_tell_are_shown(tmp_path: Path) -> None:
    """Twelve panels at most, the one with the alert among them, and a word about the rest."""
    texts = _texts(ET.fromstring(draw(_played(tmp_path, files=15))))
    assert sum(text in {f"pump-{number}" for number in range(1, 16)} for text in texts) == 12
    assert "pump-1" in texts
    assert any("3 more were played" in text for text in texts)


def test_two_configurations_have_a_strip_each(tmp_path: Path) -> None:
    """Alerts of A and B lie in two named strips, so that a difference is seen."""
    root = ET.fromstring(draw(_played(tmp_path, against=True)))
    assert {"alerts A", "alerts B: none"} <= set(_texts(root))


def test_names_from_outside_break_no_picture(tmp_path: Path) -> None:
    """What a configuration's name holds is text, never markup."""
    runs = _played(tmp_path)
    report = runs[0].report
    assert report is not None
    evil = Path("<script>&\x07.toml")
    runs[0].configuration = type(runs[0].configuration)(evil, runs[0].configuration.settings, {})
    root = ET.fromstring(draw(runs))
    assert any("<script>&" in text for text in _texts(root))
    assert not list(root.iter(f"{SVG}script"))


def test_the_name_decides_what_is_written(tmp_path: Path) -> None:
    """.svg and .png are written, anything else and a folder that is not there are refused before the work."""
    runs = _played(tmp_path)
    write_picture(runs, tmp_path / "a.svg")
    ET.fromstring((tmp_path / "a.svg").read_text())
    with pytest.raises(InputError, match=r"\.svg or \.png"):
        check_picture(tmp_path / "a.gif")
    with pytest.raises(InputError, match="no such folder"):
        check_picture(tmp_path / "nowhere" / "a.svg")


def test_png_is_drawn(tmp_path: Path) -> None:
    """A PNG of twice the width comes of the same picture, where the extra is installed."""
    pytest.importorskip("resvg_py", reason="pip install 'edgemesh[picture]'")
    write_picture(_played(tmp_path), tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    assert int.from_bytes(content[16:20], "big") == 1520


POINTS = st.lists(st.tuples(st.integers(0, 10**18), st.floats(-1e9, 1e9)), min_size=1, max_size=300)


@given(POINTS)
def test_a_trace_keeps_extremes_in_few_buckets(points: list[tuple[int, float]]) -> None:
    """Whatever comes in whatever order: bounded, in the order of time, least and greatest kept, every point covered."""
    trace = Trace()
    for at_ns, value in points:
        trace.add(at_ns, value)
    buckets = trace.buckets()
    assert len(buckets) <= CAPACITY
    assert [bucket.at_ns for bucket in buckets] == sorted({bucket.at_ns for bucket in buckets})
    assert min(bucket.low for bucket in buckets) == min(value for _, value in points)
    assert max(bucket.high for bucket in buckets) == max(value for _, value in points)
    for at_ns, value in points:
        assert any(
            bucket.at_ns <= at_ns < bucket.at_ns + trace.width_ns and bucket.low <= value <= bucket.high
            for bucket in buckets
        )


@given(st.integers(0, 2**62), st.integers(1, 2**61))
def test_time_marks_are_few_round_and_inside(begin_ns: int, span_ns: int) -> None:
    """Any stretch of time gets a handful of marks that lie in it."""
    marks = time_marks(begin_ns, begin_ns + span_ns)
    assert len(marks) <= 7
    assert all(begin_ns <= at_ns <= begin_ns + span_ns for at_ns, _ in marks)


@given(st.floats(-1e12, 1e12), st.floats(1e-6, 1e12))
def test_value_marks_are_few_and_inside(low: float, span: float) -> None:
    """Any range of values gets at most six marks, all within it (but for the last digit)."""
    marks = value_marks(low, low + span)
    assert len(marks) <= 6
    assert all(low - 1e-6 * abs(low) - span / 1e6 <= mark <= low + span * 1.001 + 1e-6 * abs(low) for mark in marks)


def test_a_scale_of_one_value_stays_on_the_paper() -> None:
    """A curve that stands still is drawn in the middle."""
    assert Scale(5.0, 5.0, 0.0, 10.0).at(5.0) == 5.0
    assert Scale(0.0, 1.0, 0.0, 10.0).at(99.0) == 10.0


def test_round_instants() -> None:
    """Marks stand at full quarters of an hour where an hour is shown."""
    texts = [text for _, text in time_marks(BEGIN_NS, BEGIN_NS + 3600 * 10**9)]
    assert texts == ["10:00", "10:15", "10:30", "10:45", "11:00"]
