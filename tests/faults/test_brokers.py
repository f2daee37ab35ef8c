"""Brokers that forget, brokers of other kinds, one of two that dies; many clients, and two of one name.

`LONG=1 pytest tests/faults` tries the slower brokers too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgemesh.prove.drill import Drill, Ground
from edgemesh.prove.drills import brokers, clients
from edgemesh.prove.show import DrillReport, run_drill

DRILLS = {drill.name: drill for drill in (*brokers.DRILLS, *clients.DRILLS)}
long = pytest.mark.skipif(not os.environ.get("LONG"), reason="LONG=1 runs it")


def play(drill: Drill, folder: Path, *without: str, broker: str = "mosquitto") -> DrillReport:
    """Run the short version of a drill."""
    ground = Ground(folder=folder, broker=broker, seed=1, short=True, without=without, say=lambda _: None)
    return run_drill(drill, ground)


@pytest.mark.usefixtures("mosquitto_program")
@pytest.mark.parametrize("name", ["first_of_two_dies", "broker_restarts_empty", "stale_card", "two_of_one_name"])
def test_what_is_accepted_outlives_its_broker(name: str, tmp_path: Path) -> None:
    """Whatever the broker forgets or remembers, and whoever else has our name: no loss, no double."""
    report = play(DRILLS[name], tmp_path)
    assert report.broken == ()
    assert int(report.figures["readings"]) > 500


@pytest.mark.parametrize("broker", ["mosquitto", "amqtt"])
def test_many_clients_come_back_spread(broker: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Clients that lost their broker together are all back soon, and do not come all at once."""
    if broker == "mosquitto":
        request.getfixturevalue("mosquitto_program")
    report = play(DRILLS["thousand_clients"], tmp_path, broker=broker)
    assert report.broken == ()
    assert int(report.figures["clients"]) == clients.CLIENTS[0]


@pytest.mark.usefixtures("mosquitto_program")
@pytest.mark.parametrize(
    ("name", "guard", "found"),
    [
        pytest.param("stale_card", "presence", "logs were given to detector-2", marks=long),
        pytest.param("first_of_two_dies", "look-back", "the site stays on two brokers", marks=long),
        pytest.param("two_of_one_name", "writer", "two agents write into one folder", marks=long),
    ],
)
def test_without_its_guard_the_drill_finds_what_is_broken(name: str, guard: str, found: str, tmp_path: Path) -> None:
    """What the drill looks for happens when the guard is off."""
    assert guard in DRILLS[name].guards
    assert any(found in said for said in play(DRILLS[name], tmp_path, guard).broken)


def kill_three_times(broker: str) -> dict[str, Any]:
    """Run the trial with three kills of the broker; its report."""
    command = [
        *(sys.executable, "-m", "edgemesh", "prove", f"--broker={broker}", "--only=broker_killed"),
        *("--kills=3", "--readings=4000", "--rate=600", "--json"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["faults"] == {"broker_killed": 3}
    assert report["readings"]["accepted"] >= 3500
    return report


@pytest.mark.parametrize("broker", ["nats", pytest.param("two", marks=long)])
def test_brokers_of_other_kinds_are_killed(broker: str, need_server: Callable[[str], None]) -> None:
    """Killed and started empty, whatever broker it is: nothing is lost, nothing is done twice."""
    need_server(broker)
    report = kill_three_times(broker)
    assert report["good"], report


@long
@pytest.mark.parametrize("broker", ["rabbitmq", "nats-cluster"])
def test_brokers_that_are_long_away_lose_no_reading(broker: str, need_server: Callable[[str], None]) -> None:
    """Brokers that take ten seconds to come back: every reading arrives once (docs/brokers.md says what may not)."""
    need_server(broker)
    readings = kill_three_times(broker)["readings"]
    assert (readings["lost"], readings["doubled"]) == (0, 0)


def test_a_drill_that_kills_the_broker_wants_one_of_its_own(tmp_path: Path) -> None:
    """Somebody else's broker is not touched: the drill says so instead."""
    report = play(DRILLS["broker_restarts_empty"], tmp_path, broker="mqtt://broker.invalid")
    assert "one of its own" in report.broken[0]
