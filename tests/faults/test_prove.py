"""The short version of the proof: a few faults at a real site, judged by ledgers outside of the agents."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

RATES = {"mosquitto": 600, "amqtt": 300}
"""Readings a second. A broker in Python on a slow core carries no more with all that a reading brings about."""


@pytest.mark.parametrize("broker", ["mosquitto", "amqtt"])
def test_a_few_faults(broker: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Nothing accepted is lost and nothing is done twice, whatever is killed; `edgemesh prove` is the long version."""
    if broker == "mosquitto":
        request.getfixturevalue("mosquitto_program")
    command = [
        *(sys.executable, "-m", "edgemesh", "prove", f"--broker={broker}", f"--keep={tmp_path / 'proof'}"),
        *("--kills=6", "--readings=6000", f"--rate={RATES[broker]}", "--seed=5", "--json"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    assert (done.returncode, report["good"]) == (0, True), report
    assert sum(report["faults"].values()) >= 5
    assert report["readings"]["accepted"] >= 5500  # a gateway killed before it wrote its ledger accepted more
    assert report["recovery_s"]["max"] < 15
