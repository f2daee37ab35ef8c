"""Three vendors, three ways to say the same: the payloads byte for byte."""

import json

import pytest

from firmware_sim.firmware import message
from firmware_sim.hall import Hall

AT_NS = 1_795_200_000_123_456_789


def test_pump_skid() -> None:
    """RFC 3339 with milliseconds, values in `data`."""
    topic, payload = message("pump", "pump-101", {"flow": 90.1, "running": True}, AT_NS)
    assert topic == "hall/pump-101/telemetry"
    assert payload == b'{"id":"pump-101","ts":"2026-11-20T18:40:00.123Z","data":{"flow":90.1,"running":true}}'


def test_motor_monitor() -> None:
    """Flat, epoch seconds."""
    topic, payload = message("motor", "motor-101", {"current_l1": 22.8}, AT_NS)
    assert topic == "hall/motor-101/sensors"
    assert payload == b'{"device":"motor-101","t":1795200000.123,"current_l1":22.8}'


def test_tank_station() -> None:
    """Nested groups with units, epoch milliseconds."""
    metrics: dict[str, float | bool] = {
        "level": 2.01,
        "temperature": 20.0,
        "inflow": 124.0,
        "valve_command": 50.0,
        "valve_position": 50.1,
    }
    topic, payload = message("tank", "tank-1", metrics, AT_NS)
    assert topic == "hall/tank-1/state"
    assert json.loads(payload) == {
        "sn": "tank-1",
        "time_ms": 1795200000123,
        "tank": {
            "level": {"value": 2.01, "unit": "m"},
            "temperature": {"value": 20.0, "unit": "Cel"},
            "inflow": {"value": 124.0, "unit": "m3/h"},
        },
        "valve": {"command": {"value": 50.0, "unit": "%"}, "position": {"value": 50.1, "unit": "%"}},
    }


@pytest.mark.parametrize(
    ("device", "path", "names"),
    [
        (
            "pump-101",
            "data",
            "flow suction_pressure discharge_pressure motor_current vibration_velocity vibration_acceleration "
            "bearing_temperature speed running",
        ),
        (
            "motor-101",
            None,
            "device t current_l1 current_l2 current_l3 voltage power_factor winding_temperature",
        ),
        ("tank-1", "tank", "level temperature inflow"),
        ("tank-1", "valve", "command position"),
    ],
)
def test_every_metric_in_every_message(device: str, path: str | None, names: str) -> None:
    """A hall's message carries all metrics of its kind, each time."""
    hall = Hall(7)
    _, payload = message(hall.devices[device].kind, device, hall.step()[device], AT_NS)
    body = json.loads(payload)
    assert list(body[path] if path else body) == names.split()
