"""Clocks that jump, start in 1970, drift or are set right: the short versions of drill F20, and their measure."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgemesh.drivers.count.ledger import Ledger, Span
from edgemesh.prove.drill import Drill, Ground
from edgemesh.prove.drills.clock import DRILLS, NoFaketime, find_faketime, true_times
from edgemesh.prove.show import run_drill


@pytest.fixture(scope="module")
def faketime() -> None:
    """Not installed: skip with a hint, but fail where the environment says that this is CI."""
    try:
        find_faketime()
    except NoFaketime as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))


@pytest.mark.usefixtures("faketime")
@pytest.mark.parametrize("drill", DRILLS, ids=lambda drill: drill.name)
def test_a_clock_that_is_wrong_breaks_nothing(drill: Drill, tmp_path: Path, mosquitto_program: str) -> None:
    """Nothing is lost, doubled or timed out, nobody is called silent, and every reading is at its time in the end."""
    ground = Ground(folder=tmp_path, broker="mosquitto", seed=1, short=True, without=(), say=lambda _: None)
    report = run_drill(drill, ground)
    assert report.broken == ()
    assert int(report.figures["readings"]) > 500
    assert int(report.figures["alerts"]) > 3


@pytest.mark.usefixtures("faketime")
def test_without_its_guard_the_drill_finds_what_is_broken(tmp_path: Path, mosquitto_program: str) -> None:
    """With a clock that follows the machine's, readings of 1970 are gone with the first look of retention."""
    drill = next(drill for drill in DRILLS if drill.name == "clock_in_1970")
    assert drill.guards == ("clock",)
    ground = Ground(folder=tmp_path, broker="mosquitto", seed=1, short=True, without=("clock",), say=lambda _: None)
    report = run_drill(drill, ground)
    assert any("put right" in said for said in report.broken)
    assert len(report.broken) > 1


def test_true_times_come_from_a_clock_that_nobody_sets(tmp_path: Path) -> None:
    """Each sample was put between two lines of the ledger; a sample that was never accepted has one of them."""
    ledger = Ledger(str(tmp_path / "ledger"))
    for span in (Span(0, 2, False, 10), Span(0, 2, True, 30), Span(2, 1, False, 40)):
        ledger.write(span)
    ledger.close()
    times = true_times(tmp_path / "ledger")
    assert [until_ns - from_ns for from_ns, until_ns in times.values()] == [20, 20, 0]
    assert times[2][0] - times[0][0] == 30
