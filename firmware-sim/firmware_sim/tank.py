"""A tank whose inlet valve keeps the level, and the switch that protects the pumps behind it."""

from dataclasses import dataclass

from firmware_sim.channels import Metrics

AREA_M2 = 30.0
SETPOINT_M = 2.0
DEPTH_M = 4.0
VALVE_RATE = 100.0 / 20.0
"""Full travel of the valve takes 20 s, %/s."""
SUPPLY_M3H = 248.0
"""Inflow through the wholly open inlet valve, m3/h."""
GAIN = 150.0
"""Of the level controller, % of valve per m."""
LEVEL_FILTER_S = 30.0
WATER_S = 6 * 3600.0
"""Time constant with which the water follows the air."""


@dataclass(frozen=True, slots=True)
class TankCondition:
    """What ails a tank: `stiction`, % of command by which its valve lags before it moves."""

    stiction: float = 0.0


HEALTHY_TANK = TankCondition()


class Tank:
    """Level (m), water temperature (Cel), inlet valve (%) and inflow (m3/h); `step` moves on by one second.

    The level balance is h' = (inflow - outflow) / (3600 x area).
    """

    def __init__(self, area_m2: float = AREA_M2, level_m: float = SETPOINT_M, supply_m3h: float = SUPPLY_M3H) -> None:
        self.area_m2 = area_m2
        self.level_m = level_m
        self.supply_m3h = supply_m3h
        self.command = self.position = 50.0
        self.inflow_m3h = supply_m3h * 0.5
        self.water_cel = 20.0
        self._heard_m = level_m

    def step(
        self,
        outflow_m3h: float,
        *,
        inflow_m3h: float | None = None,
        expected_m3h: float | None = None,
        air_cel: float = 20.0,
        condition: TankCondition = HEALTHY_TANK,
    ) -> None:
        """One second; `outflow_m3h` is what leaves for good (what a pump brings back does not count).

        Without `inflow_m3h` the valve decides: its controller feeds forward the metered use `expected_m3h` (None: half
        of the supply) and corrects by the filtered level.
        """
        self._heard_m += (self.level_m - self._heard_m) / LEVEL_FILTER_S
        feed = 50.0 if expected_m3h is None else 100.0 * expected_m3h / self.supply_m3h
        self.command = min(100.0, max(0.0, feed + GAIN * (SETPOINT_M - self._heard_m)))
        lag = self.command - self.position
        if abs(lag) > condition.stiction:
            self.position += min(VALVE_RATE, max(-VALVE_RATE, lag))
        self.inflow_m3h = self.supply_m3h * self.position / 100.0 if inflow_m3h is None else inflow_m3h
        change_m = (self.inflow_m3h - outflow_m3h) / (3600.0 * self.area_m2)
        self.level_m = min(DEPTH_M, max(0.0, self.level_m + change_m))
        self.water_cel += (air_cel - 6.0 - self.water_cel) / WATER_S

    def metrics(self) -> Metrics:
        """The true values of the tank's channels, without noise."""
        return {
            "level": self.level_m,
            "temperature": self.water_cel,
            "inflow": self.inflow_m3h,
            "valve_command": self.command,
            "valve_position": self.position,
        }


class LevelSwitch:
    """Starts a pump above `start_m`, stops it below `stop_m`, and lets it rest for `pause_s` after a stop."""

    def __init__(self, start_m: float = 2.8, stop_m: float = 1.2, pause_s: float = 300.0, on: bool = True) -> None:
        self.start_m, self.stop_m, self.pause_s = start_m, stop_m, pause_s
        self.on = on
        self.starts = 0
        self._rest_s = 0.0

    def step(self, level_m: float) -> bool:
        """Whether the pump shall run in this second."""
        self._rest_s = max(0.0, self._rest_s - 1.0)
        if self.on and level_m < self.stop_m:
            self.on = False
            self._rest_s = self.pause_s
        elif not self.on and level_m > self.start_m and self._rest_s == 0.0:
            self.on = True
            self.starts += 1
        return self.on
