"""The payloads of three vendors: values in, topic and bytes out.

Each kind of device names itself, its time and its values in its own way, as devices in one hall do.
"""

import json
from datetime import UTC, datetime

from firmware_sim.channels import CHANNELS, Metrics

TOPICS = {
    "pump": "hall/{device}/telemetry",
    "motor": "hall/{device}/sensors",
    "tank": "hall/{device}/state",
}
"""Topic of each kind of device."""


def message(kind: str, device: str, metrics: Metrics, at_ns: int) -> tuple[str, bytes]:
    """Topic and payload of one sample taken at `at_ns` (integer nanoseconds UTC)."""
    body = {"pump": _skid, "motor": _monitor, "tank": _station}[kind](device, metrics, at_ns)
    payload = json.dumps(body, separators=(",", ":"), allow_nan=False).encode()
    return TOPICS[kind].format(device=device), payload


def _skid(device: str, metrics: Metrics, at_ns: int) -> dict[str, object]:
    """Pump skid controller: RFC 3339 time with milliseconds, values in a sub-object."""
    seconds, rest = divmod(at_ns, 1_000_000_000)
    stamp = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return {"id": device, "ts": f"{stamp}.{rest // 1_000_000:03d}Z", "data": metrics}


def _monitor(device: str, metrics: Metrics, at_ns: int) -> dict[str, object]:
    """Clip-on motor monitor: flat, epoch seconds as a float."""
    return {"device": device, "t": at_ns // 1_000_000 / 1000.0, **metrics}


def _station(device: str, metrics: Metrics, at_ns: int) -> dict[str, object]:
    """Tank station: epoch milliseconds, groups of values each with its unit."""

    def quantity(metric: str) -> dict[str, object]:
        return {"value": metrics[metric], "unit": CHANNELS["tank"][metric].unit}

    return {
        "sn": device,
        "time_ms": at_ns // 1_000_000,
        "tank": {name: quantity(name) for name in ("level", "temperature", "inflow")},
        "valve": {name: quantity(f"valve_{name}") for name in ("command", "position")},
    }
