"""Simulated machines under the rules of configs/rules.toml: `make rule-table`, in hours instead of days."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from edgemesh.configuration.loading import load
from edgemesh.detect.settings import DetectSettings, LimitRule
from firmware_sim import plant, rooms

ROOT = Path(__file__).parents[2]
KINDS = ["hall", *(model.kind for model in (*plant.MODELS, *rooms.MODELS))]
HOURS = {"hall": 1.1, "fan": 3.0, "compressor": 6.0, "exchanger": 72.0, "cold-room": 48.0, "cabinet": 24.0}
SEEN = [
    ("hall", "inlet_valve_closing", "suction low", 20.0),
    ("hall", "phase_loss", "phase lost critical", 0.5),
    ("hall", "sensor_sentinel", "sensor gone", 0.5),
    ("hall", "stuck_sensor", "flow meter stuck", 3.0),
    ("fan", "fan_imbalance", "vibration zone warning", 12.0),
    ("gearbox", "oil_loss", "oil temperature warning", 100.0),
    ("compressor", "air_leak", "load share warning", 75.0),
    ("seal", "seal_failure", "seal pot level warning", 20.0),
    ("cold-room", "door_open", "too warm warning", 60.0),
    ("cabinet", "fan_failed", "cabinet hot warning", 40.0),
    ("pi", "weak_supply", "under-voltage critical", 0.5),
]
"""Machine, fault, how a rule that has to fire begins, and the most minutes that it may take."""


@cache
def table() -> ModuleType:
    """benchmarks/rules.py as a module."""
    spec = importlib.util.spec_from_file_location("benchmarks_rules", ROOT / "benchmarks" / "rules.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@cache
def calm(kind: str) -> tuple[Any, list[str]]:
    """A machine after some normal hours, and what they raised."""
    run = table().Run(kind, load(ROOT / "configs" / "rules.toml").settings.detection)
    return run, [f"{firing.rule}: {firing.cause}" for firing in run.play(HOURS.get(kind, 5.0) * 3600.0)]


@pytest.mark.parametrize("kind", KINDS)
def test_normal_hours_raise_nothing(kind: str) -> None:
    """With every template and rule of the sample configuration at work."""
    run, raised = calm(kind)
    assert raised == []
    assert run.readings > 1000


@pytest.mark.parametrize(("kind", "fault", "rule", "minutes"), SEEN)
def test_a_fault_is_seen_in_time(kind: str, fault: str, rule: str, minutes: float) -> None:
    """By the rule that names it."""
    found = table().fault_row(fault, calm(kind)[0], after_s=min(2.0 * minutes, 90.0) * 60.0)
    times = [after for name, after in found.items() if name.startswith(rule)]
    assert times, f"only {found}"
    assert min(times) <= minutes


def test_the_table_can_fail() -> None:
    """A level that lies within what is normal raises on a normal hour."""
    wrong = DetectSettings(rule=(LimitRule(metric="oil_temperature", above=40.0),))
    assert [firing.rule for firing in table().Run("gearbox", wrong).play(3600.0)] == ["oil_temperature > 40 warning"]
