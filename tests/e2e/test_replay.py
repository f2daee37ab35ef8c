"""Recorded data through the production agents: small files made here, and the real ones where they are."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgemesh.log.journal import Journal
from tests.e2e.command import call

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("EDGEMESH_DATA", ROOT.parent / "shared" / "data"))

REPORT_KEYS = {"files", "total", "readings", "seconds", "rows_per_s", "broker"}
FILE_KEYS = {
    "file", "asset", "rows", "bad", "faults", "detected", "detected_after_s", "alerts", "orders", "f1", "far", "mar",
}  # fmt: skip
TOTAL_KEYS = {"faults", "detected", "alerts", "orders", "f1", "far", "mar"}


def _stamp(second: int) -> str:
    return f"2024-05-01 {10 + second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"


def _skab(file: Path, rows: int = 700, fault: range = range(500, 660)) -> None:
    """A rig with three sensors at 1 Hz, in SKAB's form; in the fault all of them leave their place."""
    chance = random.Random(4)
    lines = ["datetime;Accelerometer1RMS;Pressure;Volume Flow RateRMS;anomaly;changepoint"]
    for second in range(rows):
        off = 3.0 if second in fault else 0.0
        cells = [
            base + off * spread + chance.gauss(0, spread / 4) for base, spread in ((0.2, 0.05), (1.0, 0.2), (32.0, 2.0))
        ]
        label, change = float(second in fault), float(second == fault.start)
        lines.append(";".join([_stamp(second), *(f"{cell:.6f}" for cell in cells), str(label), str(change)]))
    file.write_text("\n".join(lines) + "\n")


def _plain(file: Path) -> tuple[int, int]:
    """`timestamp,value` with text and blanks in the number column, gaps, repeated and backward times, a broken row.

    Returns the rows with a time, and the readings among them.
    """
    lines, rows, readings = ["timestamp,value"], 0, 0
    for minute in range(400):
        second = minute * 60 + (3600 if minute > 200 else 0)
        if minute in (50, 51):
            second = 49 * 60  # the same time three times
        if minute == 60:
            second = 10 * 60  # backwards
        value = {30: "broken", 31: "", 32: "NaN", 33: "1e999", 34: "12,5"}.get(minute, f"{20 + minute % 7}")
        lines.append(f"{_stamp(second)},{value}" if minute != 34 else f'{_stamp(second)},"{value}"')
        rows += 1
        readings += minute not in (30, 31, 32, 33, 34)
    lines.insert(100, "yesterday,3")
    file.write_text("\n".join(lines) + "\n")
    return rows, readings


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str, Path]:
    """One replay of the two small files: its JSON, what it said besides, and where it kept its logs."""
    here = tmp_path_factory.mktemp("replay")
    (here / "in").mkdir()
    _skab(here / "in" / "1.csv")
    _plain(here / "in" / "2.csv")
    done = call("replay", "in", "--json", "--keep", "kept", cwd=here)
    assert done.returncode == 0, done.stderr
    return msgspec.json.decode(done.stdout), done.stderr, here


def test_the_one_json_object_has_all_fields(replayed: tuple[dict[str, Any], str, Path]) -> None:
    """One object on standard output and nothing else, with the fields that are promised."""
    report, _, _ = replayed
    assert set(report) >= REPORT_KEYS
    assert set(report["total"]) >= TOTAL_KEYS
    assert [set(each) >= FILE_KEYS for each in report["files"]] == [True, True]
    assert not report.get("undrained")


def test_nothing_is_lost(replayed: tuple[dict[str, Any], str, Path], tmp_path: Path) -> None:
    """Every reading that could be read reached the history; the rest is counted."""
    report, _, _ = replayed
    _, readings = _plain(tmp_path / "again.csv")
    assert report["readings"]["lost"] == 0
    assert report["readings"]["accepted"] == report["readings"]["delivered"] == 700 * 3 + readings


def test_a_labelled_fault_is_found_and_dispatched(replayed: tuple[dict[str, Any], str, Path]) -> None:
    """The model learns on the first 400 rows, sees the fault within seconds, and an order comes of it."""
    skab, plain = replayed[0]["files"]
    assert (skab["file"], skab["rows"], skab["bad"], skab["faults"], skab["detected"]) == ("1.csv", 700, 0, 1, 1)
    assert 0 <= skab["detected_after_s"] < 30
    assert skab["f1"] > 0.8
    assert skab["alerts"] >= 1
    assert skab["orders"] >= 1
    assert (plain["faults"], plain["f1"], plain["far"], plain["mar"]) == (None, None, None, None)


def test_text_in_a_number_column_plays_on_and_is_counted(replayed: tuple[dict[str, Any], str, Path]) -> None:
    """Cells that are no number, a row without a time, repeated and backward times: counted, kept, never the end."""
    report, _, here = replayed
    plain = report["files"][1]
    rows, readings = _plain(here / "in" / "2.csv")
    assert plain["rows"] == rows
    assert plain["bad"] >= 4
    journal = Journal.peek(here / "kept" / "agents" / "gateway-1.db")
    counts, kept = journal.rejections(), journal.quarantine(limit=50)
    journal.close()
    assert counts["bad_value"] + counts.get("not_finite", 0) >= 3
    assert counts["bad_time"] == 2
    assert any("2 repeated and 1 backward times" in each.detail for each in kept)
    assert readings < rows


def test_the_table_for_people(tmp_path: Path) -> None:
    """Without --json: a row per file, a row for all, and what was lost; cells that could not be read are said."""
    _plain(tmp_path / "2.csv")
    done = call("replay", "2.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2.csv" in done.stdout
    assert "0 lost" in done.stdout
    assert "could not be read; the rest was played" in done.stdout
    assert {each.name for each in tmp_path.iterdir()} == {"2.csv"}


def test_a_speed_is_kept(tmp_path: Path) -> None:
    """At 60 times the recorded speed two minutes take two seconds."""
    lines = ["timestamp,value", *(f"{_stamp(second)},{second % 5}" for second in range(121))]
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    began_s = time.monotonic()
    done = call("replay", "a.csv", "--speed", "60", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = msgspec.json.decode(done.stdout)
    assert 2.0 <= report["seconds"] < 8.0
    assert time.monotonic() - began_s >= 2.0
    assert report["readings"] == {"accepted": 121, "delivered": 121, "lost": 0}


@pytest.fixture
def valve1() -> Path:
    """The 16 experiments of SKAB's valve1."""
    folder = DATA / "skab" / "valve1"
    if not folder.is_dir():
        pytest.skip(f"needs the SKAB recordings in {folder}; EDGEMESH_DATA may name another place of `skab/valve1`")
    return folder


def test_the_real_rig(valve1: Path, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """SKAB's valve1, 16 files at full speed: within 60 s, nothing lost, every file judged, most faults found."""
    began_s = time.monotonic()
    done = call("replay", valve1, "--speed", "max", "--json", cwd=tmp_path, timeout_s=90)
    seconds = time.monotonic() - began_s
    assert done.returncode == 0, done.stderr
    report = msgspec.json.decode(done.stdout)
    record_property("seconds", seconds)
    record_property("total", report["total"])
    assert len(report["files"]) == 16
    assert all(set(each) >= FILE_KEYS and each["faults"] == 1 and each["f1"] is not None for each in report["files"])
    assert report["readings"]["lost"] == 0
    assert report["readings"]["accepted"] == 8 * sum(each["rows"] for each in report["files"])
    assert report["total"]["detected"] >= 12
    assert report["total"]["f1"] >= 0.6
    assert seconds < 60, f"took {seconds:.1f} s"
