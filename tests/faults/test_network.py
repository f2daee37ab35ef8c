"""Networks that are cut, half dead, bad or slow, and a reader that is slow: short, at real sites."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgemesh.prove import ways
from edgemesh.prove.drill import Drill, Ground
from edgemesh.prove.drills import bad_links, half_open, network, slow_reader
from edgemesh.prove.show import DrillReport, run_drill

pytestmark = pytest.mark.usefixtures("mosquitto_program")

DRILLS = {drill.name: drill for drill in (*network.DRILLS, *half_open.DRILLS, *bad_links.DRILLS, *slow_reader.DRILLS)}
HASTE = ("live readings came", "the backlog came at", "an alert took", "detection was")
"""Beginnings of what a busy machine may bring about; whatever else is broken is broken."""


def run(drill: Drill, folder: Path, *without: str) -> DrillReport:
    ground = Ground(folder=folder, broker="mosquitto", seed=3, short=True, without=without, say=lambda what: None)
    return run_drill(drill, ground)


@pytest.mark.parametrize("name", DRILLS)
def test_nothing_is_lost_or_doubled(name: str, tmp_path: Path) -> None:
    """Whatever the network does: nothing lost, nothing doubled, memory flat, half-open links noticed within 3 s."""
    report = run(DRILLS[name], tmp_path)
    assert [problem for problem in report.broken if not problem.startswith(HASTE)] == [], report


@pytest.mark.parametrize("name", ["gateway_cut", "half_open"])
def test_without_root_a_proxy_does(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no namespace can be made the same drill goes over a TCP proxy, and holds."""
    monkeypatch.setattr(ways, "missing", lambda: "root")
    report = run(DRILLS[name], tmp_path)
    assert report.figures["way"] == "streams"
    assert [problem for problem in report.broken if not problem.startswith(HASTE)] == [], report


@pytest.mark.parametrize(
    ("name", "guard", "found"), [("half_open", "hearing", "by_itself_s"), ("slow_link", "pace", "taken for dead")]
)
def test_without_a_guard(name: str, guard: str, found: str, tmp_path: Path) -> None:
    """What a guard keeps from happening happens without it, and is found."""
    report = run(DRILLS[name], tmp_path, guard)
    assert not report.held
    assert found in "; ".join(report.broken)
