"""What each kind of device measures: units, ranges and noise, one row per metric."""

from dataclasses import dataclass
from random import Random

Metrics = dict[str, float | bool]
"""Values of one device at one instant, by metric; `running` is the only bool."""


@dataclass(frozen=True, slots=True)
class Channel:
    """One measured metric and the sensor behind it.

    `unit` is a UCUM code. `low` and `high` end the sensor's range, readings stop there. The noise of one sample
    has σ = `noise` (in the unit) + `share` x |value|. `digits` is the firmware's resolution (decimal places).
    `settled` is how near (in the unit) a value without noise has to be to its old level to count as recovered.
    """

    metric: str
    unit: str
    low: float
    high: float
    noise: float
    share: float
    digits: int
    settled: float

    @property
    def span(self) -> float:
        """Width of the sensor's range, in the unit."""
        return self.high - self.low

    def sigma(self, value: float) -> float:
        """Standard deviation of one sample around `value`, in the unit."""
        return self.noise + self.share * abs(value)

    def sample(self, value: float, rng: Random) -> float:
        """One noisy reading of the true `value`, not yet limited to the range nor rounded."""
        return value + rng.gauss(0.0, 1.0) * self.sigma(value)

    def digitise(self, value: float) -> float:
        """The reading as the firmware gives it away: inside the range, rounded."""
        return round(min(self.high, max(self.low, value)), self.digits)


PUMP_CHANNELS = (
    Channel("flow", "m3/h", 0.0, 150.0, 0.0, 0.006, 2, 1.5),
    Channel("suction_pressure", "bar", -1.0, 3.0, 0.01, 0.0, 3, 0.04),
    Channel("discharge_pressure", "bar", 0.0, 10.0, 0.01, 0.0, 3, 0.05),
    Channel("motor_current", "A", 0.0, 60.0, 0.0, 0.008, 2, 0.5),
    Channel("vibration_velocity", "mm/s", 0.0, 45.0, 0.0, 0.04, 3, 0.15),
    Channel("vibration_acceleration", "[g]", 0.0, 16.0, 0.0, 0.06, 4, 0.05),
    Channel("bearing_temperature", "Cel", -20.0, 150.0, 0.1, 0.0, 2, 2.0),
    Channel("speed", "/min", 0.0, 3600.0, 0.0, 0.0007, 0, 15.0),
)

MOTOR_CHANNELS = (
    Channel("current_l1", "A", 0.0, 60.0, 0.0, 0.008, 2, 0.5),
    Channel("current_l2", "A", 0.0, 60.0, 0.0, 0.008, 2, 0.5),
    Channel("current_l3", "A", 0.0, 60.0, 0.0, 0.008, 2, 0.5),
    Channel("voltage", "V", 0.0, 600.0, 0.5, 0.0, 1, 10.0),
    Channel("power_factor", "1", 0.0, 1.0, 0.003, 0.0, 3, 0.03),
    Channel("winding_temperature", "Cel", 0.0, 200.0, 0.2, 0.0, 2, 2.0),
)

TANK_CHANNELS = (
    Channel("level", "m", 0.0, 4.0, 0.004, 0.0, 4, 0.15),
    Channel("temperature", "Cel", -20.0, 100.0, 0.05, 0.0, 2, 2.0),
    Channel("inflow", "m3/h", 0.0, 400.0, 0.0, 0.006, 2, 40.0),
    Channel("valve_command", "%", 0.0, 100.0, 0.0, 0.0, 1, 20.0),
    Channel("valve_position", "%", 0.0, 100.0, 0.2, 0.0, 1, 20.0),
)

CHANNELS: dict[str, dict[str, Channel]] = {
    "pump": {channel.metric: channel for channel in PUMP_CHANNELS},
    "motor": {channel.metric: channel for channel in MOTOR_CHANNELS},
    "tank": {channel.metric: channel for channel in TANK_CHANNELS},
}
"""Channels by kind of device and metric, in the order in which the firmware lists them."""
