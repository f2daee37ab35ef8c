"""Compact machines: what is normal, what each fault moves, and that all of it follows from the seed."""

from __future__ import annotations

import pytest

from firmware_sim import plant, rooms
from firmware_sim.compact import CompactMachine, Model

MODELS = {model.kind: model for model in (*plant.MODELS, *rooms.MODELS)}
NORMAL = {
    "fan": {"filter_dp": (70.0, 120.0), "vibration_velocity": (1.5, 4.0)},
    "gearbox": {"oil_temperature": (40.0, 75.0), "vibration_acceleration": (0.5, 2.0)},
    "compressor": {"discharge_temperature": (70.0, 95.0), "line_pressure": (6.0, 8.0), "separator_dp": (0.04, 0.3)},
    "seal": {"seal_pot_level": (60.0, 80.0)},
    "exchanger": {"exchanger_dp": (0.2, 0.5), "hot_out_temperature": (15.0, 40.0)},
    "cold-room": {"air_temperature": (2.0, 8.0), "humidity": (75.0, 97.0)},
    "cabinet": {"air_temperature": (22.0, 40.0), "humidity": (20.0, 60.0)},
    "pi": {"soc_temperature": (45.0, 65.0), "disk_percent": (30.0, 40.0)},
}
"""What a day of a healthy machine stays within."""
MOVES = [
    ("fan", "belt_slip", "speed", -0.15, -0.05),
    ("fan", "filter_clogging", "filter_dp", 2.0, 4.0),
    ("fan", "fan_imbalance", "vibration_velocity", 1.5, 6.0),
    ("gearbox", "gear_wear", "vibration_acceleration", 3.0, 20.0),
    ("gearbox", "oil_loss", "oil_temperature", 0.3, 1.0),
    ("compressor", "cooler_fouling", "discharge_temperature", 0.3, 0.5),
    ("compressor", "separator_clogging", "separator_dp", 2.0, 6.0),
    ("compressor", "air_leak", "loaded", 0.3, 1.5),
    ("seal", "seal_failure", "seal_temperature", 0.3, 0.8),
    ("exchanger", "fouling", "hot_out_temperature", 0.05, 0.4),
    ("cold-room", "gas_loss", "cooling", 0.4, 2.0),
    ("cold-room", "door_open", "air_temperature", 1.0, 6.0),
    ("cabinet", "bad_contact", "terminal_l3", 0.2, 1.0),
    ("cabinet", "fan_failed", "air_temperature", 0.5, 1.2),
    ("cabinet", "water_ingress", "humidity", 0.5, 2.5),
    ("pi", "blocked_air", "soc_temperature", 0.4, 1.0),
    ("pi", "weak_supply", "under_voltage", 0.0, 1e9),
    ("pi", "disk_filling", "disk_percent", 1.0, 2.0),
]


def play(model: Model, seconds: float, fault: str = "") -> list[dict[str, float]]:
    machine = CompactMachine(model)
    if fault:
        machine.inject(fault, 0.0)
    samples = [machine.step() for _ in range(int(seconds / model.period_s))]
    return [{metric: float(value) for metric, value in sample.items()} for sample in samples]


def mean(samples: list[dict[str, float]], metric: str) -> float:
    return sum(sample[metric] for sample in samples) / len(samples)


@pytest.mark.parametrize("kind", MODELS)
def test_a_healthy_machine_stays_in_its_ranges(kind: str) -> None:
    """For most of a day, and the seed decides it all."""
    samples = play(MODELS[kind], 20 * 3600.0)
    for metric, (low, high) in NORMAL[kind].items():
        found = [sample[metric] for sample in samples]
        assert low <= min(found), metric
        assert max(found) <= high, metric
    assert samples[:50] == play(MODELS[kind], 50 * MODELS[kind].period_s)


@pytest.mark.parametrize(("kind", "fault", "metric", "low", "high"), MOVES)
def test_a_fault_moves_what_it_should(kind: str, fault: str, metric: str, low: float, high: float) -> None:
    """At full depth and after its lags, as a share of the healthy mean."""
    model = MODELS[kind]
    healthy, ill = (play(model, 5 * 3600.0, name) for name in ("", fault))
    half = len(ill) // 2
    before, after = mean(healthy[half:], metric), mean(ill[half:], metric)
    assert low <= (after - before) / max(before, 1e-9) <= high, (before, after)


def test_every_fault_is_tried_and_ends() -> None:
    """The table above has all faults; a repair takes depth away, another machine's fault is an error."""
    assert {(kind, fault.name) for kind, model in MODELS.items() for fault in model.faults} == {
        (kind, fault) for kind, fault, *_ in MOVES
    }
    machine = CompactMachine(MODELS["pi"])
    machine.inject("disk_filling", 0.0)
    assert machine.step()["disk_percent"] > 90.0
    machine.repair("disk_filling")
    assert machine.step()["disk_percent"] < 40.0
    with pytest.raises(KeyError):
        machine.inject("belt_slip")
