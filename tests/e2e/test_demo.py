"""The demo, as a new user runs it: the whole loop in one command, one JSON object, nothing left behind."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.e2e.command import Running, running, wait_for

FOR_S = 45


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Running, float, Path]:
    """One demo that ends by itself: its report, the ended command, its seconds, its folder."""
    here = tmp_path_factory.mktemp("demo")
    began_s = time.monotonic()
    with running("demo", "--for", str(FOR_S), "--json", "--port", "0", "--data", "data/demo", cwd=here) as command:
        status = command.wait(FOR_S + 20)
        seconds = time.monotonic() - began_s
        assert status == 0, f"{command.said}\n{command.complained}"
        assert not command.survivors()
        return msgspec.json.decode(command.said), command, seconds, here


def test_one_fault_goes_all_the_way_and_nothing_is_lost(demo: tuple[dict[str, Any], Running, float, Path]) -> None:
    """Within 45 s at least one order is verified; every reading that was accepted is in the history."""
    report = demo[0]
    assert report["readings"]["lost"] == 0
    assert report["readings"]["accepted"] == report["readings"]["delivered"] > 10_000
    assert report["faults"]["injected"] >= 1
    assert report["faults"]["detected"] == report["faults"]["injected"]
    assert report["orders"]["verified"] >= 1
    assert report["orders"]["opened"] <= report["alerts"]["raised"]
    assert (report["alerts"]["false"], report.get("unexplained", [])) == (0, [])


def test_the_report_has_the_promised_fields(demo: tuple[dict[str, Any], Running, float, Path]) -> None:
    """One JSON object on standard output and nothing else, with these keys."""
    report, command, _, _ = demo
    assert command.said.count("\n") == 1
    assert set(report) >= {"readings", "faults", "alerts", "orders", "latency_ms", "broker", "seed"}
    assert set(report["readings"]) == {"accepted", "delivered", "lost"}
    assert set(report["faults"]) == {"injected", "detected"}
    assert set(report["alerts"]) == {"raised", "false"}
    assert {"opened", "dispatched", "verified"} <= set(report["orders"])
    for name in ("reading_to_alert", "alert_to_dispatch"):
        spread = report["latency_ms"][name]
        assert set(spread) == {"p50", "p99"}
        assert 0 < spread["p50"] <= spread["p99"] < 5_000
    assert report["broker"].split()[0] in ("mosquitto", "amqtt")
    assert report["seed"] == 7


def test_it_ends_in_time_and_leaves_only_its_data_folder(demo: tuple[dict[str, Any], Running, float, Path]) -> None:
    """It takes its time and at most five seconds more; the only thing left is the folder it was given."""
    _, _, seconds, here = demo
    assert FOR_S <= seconds < FOR_S + 5
    assert {each.name for each in here.iterdir()} - {"stdout.txt", "stderr.txt"} == {"data"}
    assert {each.name for each in (here / "data").iterdir()} == {"demo"}


@pytest.mark.parametrize("broker", ["embedded", "amqtt"])
def test_ctrl_c_ends_it_within_three_seconds(tmp_path: Path, broker: str) -> None:
    """An endless demo ends at Ctrl-C with status 0, its broker and its simulator with it."""
    with running("demo", "--port", "0", "--broker", broker, cwd=tmp_path) as command:
        gateway = tmp_path / "data" / "demo" / "agents" / "gateway-1.db-wal"
        wait_for(lambda: gateway.exists() and gateway.stat().st_size > 100_000, command, 20)
        began_s = time.monotonic()
        command.interrupt()
        assert command.wait(10) == 0, command.complained
        assert time.monotonic() - began_s < 3.0
        assert not command.survivors()
        assert "Traceback" not in command.complained
        assert "readings" in command.said
