"""The disk under a running site: torn, flipped, full, read-only, deleted, put back; and the absence of each guard.

`LONG=1 pytest tests/faults` leaves every guard off, else one.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest

from edgemesh.prove import disks

pytestmark = pytest.mark.usefixtures("mosquitto_program")
long = pytest.mark.skipif(not os.environ.get("LONG"), reason="LONG=1 runs it")


def prove(*arguments: str) -> tuple[int, dict[str, Any]]:
    """Run one short drill; its exit status and what it says. No root where it is needed: skip, but fail in CI."""
    if lacks := disks.missing():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(lacks)
    command = [sys.executable, "-m", "edgemesh", "prove", "--broker=mosquitto", "--json", "--short", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.stdout, done.stderr
    (drill,) = json.loads(done.stdout)["drills"]
    return done.returncode, drill


@pytest.mark.parametrize(
    ("drill", "figure"),
    [
        ("torn_files", "cuts"),
        ("flipped_bits", "rows_quarantined"),
        ("disk_full", "readings_dropped"),
        ("disk_read_only", "alerts"),
        ("log_put_back", "noticed"),
    ],
)
def test_the_disk_fails(drill: str, figure: str) -> None:
    """What was committed is there or counted as gone, it is said and alerted once, and the site goes on."""
    status, found = prove(f"--only={drill}")
    assert (status, found["broken"]) == (0, [])
    assert found["figures"][figure] > 0


@pytest.mark.parametrize(
    ("drill", "guard", "problem"),
    [
        # what is committed after is skipped: until the log has grown past where it was, or for as long as one waits
        ("log_put_back", "witness", "readings lost|nothing arrives"),
        pytest.param("flipped_bits", "checksum", "no alert about the damaged rows", marks=long),
        pytest.param("disk_full", "reserve", "", marks=long),
        pytest.param(
            "disk_read_only", "settle-after-commit", "samples were settled that could not be kept", marks=long
        ),
    ],
)
def test_without_a_guard(drill: str, guard: str, problem: str) -> None:
    """What a guard keeps from happening happens without it, and is found; `problem`: its words, an expression."""
    status, found = prove(f"--only={drill}", f"--without={guard}")
    assert (status, found["held"]) == (1, False)
    assert re.search(problem, "; ".join(found["broken"]))
