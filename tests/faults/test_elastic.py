"""Detectors that come and go: the short version of drill F29, and what it measures with."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgemesh.prove.drill import Ground
from edgemesh.prove.drills.elastic import DRILLS, moves
from edgemesh.prove.show import run_drill


def test_only_what_has_to_move_moves(tmp_path: Path, mosquitto_program: str) -> None:
    """Three detectors, then one, then five: nothing is lost or doubled, no gateway moves without need."""
    (drill,) = DRILLS
    ground = Ground(folder=tmp_path, broker="mosquitto", seed=1, short=True, without=(), say=lambda _: None)
    report = run_drill(drill, ground)
    assert report.broken == ()
    assert int(report.figures["readings"]) > 1_000
    assert int(report.figures["alerts"]) > 5
    assert int(report.figures["maps"]) >= 2


@pytest.mark.parametrize(
    ("maps", "expected"),
    [
        ([], (0, 0)),
        ([{"a": "x", "b": "y"}, {"a": "x", "b": "x"}], (1, 0)),  # y left
        ([{"a": "x", "b": "x"}, {"a": "x", "b": "y"}], (1, 0)),  # y came
        ([{"a": "x", "b": "y"}, {"a": "y", "b": "x"}], (1, 2)),  # both stayed
        ([{"a": "x", "b": "y", "c": "y"}, {"a": "y", "b": "z", "c": "y"}], (1, 0)),  # x left, z came
    ],
)
def test_needless_moves_are_counted(maps: list[dict[str, str]], expected: tuple[int, int]) -> None:
    """A gateway that changes hands between two that were there before and after has moved without need."""
    assert moves(list(maps)) == expected
