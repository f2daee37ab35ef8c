"""Agents that die or freeze at the worst instants, and the absence of each guard, which must be noticed.

`LONG=1 pytest tests/faults` goes through all of them, else the quickest of each kind.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from edgemesh.prove.catalogue import DRILLS
from edgemesh.prove.guards import GUARDS

pytestmark = pytest.mark.usefixtures("mosquitto_program")
long = pytest.mark.skipif(not os.environ.get("LONG"), reason="LONG=1 runs it")


def prove(*arguments: str) -> tuple[int, dict[str, Any]]:
    """Run `edgemesh prove`; its exit status and its report."""
    command = [sys.executable, "-m", "edgemesh", "prove", "--broker=mosquitto", "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize(
    "drill",
    [
        "detector_at_points",
        "recorder_at_points",
        "frozen_in_transaction",
        pytest.param("gateway_at_points", marks=long),
        pytest.param("scheduler_at_points", marks=long),
        pytest.param("executor_at_begin", marks=long),
    ],
)
def test_at_the_worst_instant(drill: str) -> None:
    """Killed between effect and cursor, around the commit and the settling, or frozen with the lock: no loss."""
    status, report = prove(f"--only={drill}", "--short")
    assert (status, report["good"]) == (0, True), report["drills"]
    assert sum(each["figures"].get("kills", each["figures"].get("frozen", 0)) for each in report["drills"]) >= 2


@pytest.mark.parametrize(
    ("guard", "found", "arguments"),
    [
        ("transaction", "lost", "--only=scheduler_at_points --short"),
        ("watermark", "readings lost", "--only=recorder_at_points --short"),
        ("cursor", "readings doubled", "--only=recorder_at_points --short"),
        ("settle-after-commit", "readings lost", "--only=gateway_at_points --short"),
        ("fence", "orders started twice", "--only=executor_at_begin --short"),
        ("grant", "orders started twice", "--only=executor_at_begin --short"),
        pytest.param("gap", "lost", "--only=recorder_at_points --short", marks=long),
        pytest.param("transaction", "lost", "--only=recorder_at_points --short", marks=long),
        pytest.param("checkpoint", "orders lost", "--only=scheduler_at_points --short", marks=long),
        pytest.param("watchdog", "no new effect", "--only=frozen_in_transaction --short", marks=long),
    ],
)
def test_without_a_guard(guard: str, found: str, arguments: str) -> None:
    """What a guard keeps from happening happens without it, and is found."""
    status, report = prove(*arguments.split(), f"--without={guard}")
    assert (status, report["good"]) == (1, False)
    assert found in "; ".join(problem for drill in report["drills"] for problem in drill["broken"])


def test_every_drill_names_guards_that_there_are() -> None:
    """The catalogue says of each drill which guards it rests on, by the names that `--without` takes."""
    assert not {guard for drill in DRILLS for guard in drill.guards} - GUARDS.keys()
