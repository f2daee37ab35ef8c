"""An end-suction centrifugal pump with its valves: hydraulics, cavitation, bearing heat, vibration features.

The reference machine P-101 moves water of 20 Cel: best point 90 m3/h at 32 m, 15 kW 4-pole motor, 1480 /min.
Flow Q is in m3/h, heads are in m of water, n is the speed ratio, θ a valve opening, ξ the share of cavitation.
"""

import math
from dataclasses import dataclass
from random import Random

from firmware_sim.channels import Metrics
from firmware_sim.motor import NOMINAL_V, Motor, MotorCondition

SHUT_OFF_M = 38.0
CURVE = 7.407e-4
"""Pump curve: head = shut-off head - CURVE x Q², m per (m3/h)²."""
BEST_M3H = 90.0
EFFICIENCY = 0.76
STATIC_M = 12.0
PIPE, OUTLET, INLET = 1.802e-3, 6.17e-4, 4.94e-5
"""Losses of the discharge pipe, the open outlet valve and the open inlet, m per (m3/h)²."""
STRAINER_M = 6.0
"""Head lost in a wholly clogged strainer at the best point, m."""
WEIGHT = 998.0 * 9.81
"""Density of water x gravity, N/m3."""
BAR_PER_M = WEIGHT / 1e5
RATED_RPM = 1480.0
LEVEL_M = 2.0
"""Suction level above the pump for which STATIC_M holds, m."""
SHUT = 0.02
"""Opening of a shut valve: it never closes wholly."""
VALVE_RATE = 1.0 / 20.0
"""Full travel of a valve takes 20 s."""
BEARING_HEATS_S, BEARING_COOLS_S = 1200.0, 2400.0
RUN_IN_S = 86400.0


@dataclass(frozen=True, slots=True)
class PumpCondition:
    """What ails a pump; the defaults are a healthy one. Shares and depths are 0..1.

    Valve openings `inlet` and `outlet` (share of open); `clogging` of the strainer; `leak` (share of the flow
    that is lost before the meter); `wear` of the impeller; `air` drawn in; `imbalance`, `misalignment` and
    `looseness` (mm/s at full speed); depth of `bearing` damage; lack of lubrication,
    `dryness`; `reverse`, 1 while it turns the wrong way.
    """

    inlet: float = 1.0
    outlet: float = 1.0
    clogging: float = 0.0
    leak: float = 0.0
    wear: float = 0.0
    air: float = 0.0
    imbalance: float = 0.0
    misalignment: float = 0.0
    looseness: float = 0.0
    bearing: float = 0.0
    dryness: float = 0.0
    reverse: float = 0.0


HEALTHY = PumpCondition()
HEALTHY_MOTOR = MotorCondition()


class Pump:
    """State of one pump and its motor; `step` moves both on by one second.

    A new pump runs and is warm: flow at the best point, temperatures settled at `air_cel`.
    """

    def __init__(self, motor: Motor | None = None, air_cel: float = 24.0) -> None:
        self.motor = motor if motor is not None else Motor(air_cel=air_cel)
        self.speed_ratio = 1.0
        self.flow_m3h = 90.0
        self.head_m = 32.0
        self.suction_bar = 0.0
        self.discharge_bar = 0.0
        self.shaft_w = 0.0
        self.cavitation = 0.0
        self.npsh_ratio = 0.0
        self.inlet = self.outlet = 1.0
        self.bearing_cel = air_cel + 27.0
        self.run_in_k = 0.0
        self.running = True
        self._condition = HEALTHY
        self._motor_condition = HEALTHY_MOTOR
        self._running_s = 3600.0

    def step(
        self,
        condition: PumpCondition = HEALTHY,
        motor_condition: MotorCondition = HEALTHY_MOTOR,
        *,
        level_m: float = LEVEL_M,
        air_cel: float = 24.0,
        volts: float = NOMINAL_V,
        run: bool = True,
    ) -> None:
        """One second with the suction level `level_m` above the pump; a tripped motor does not `run`."""
        self._condition = condition
        self._motor_condition = motor_condition
        self.running = run and not self.motor.tripped
        self._running_s = self._running_s + 1.0 if self.running else 0.0
        self._turn()
        self.inlet = _travel(self.inlet, condition.inlet)
        self.outlet = _travel(self.outlet, condition.outlet)
        torque_w = self._flow(condition, level_m)
        self.motor.step(torque_w, self.running, motor_condition, air_cel, volts)
        self._warm(condition, air_cel)

    @property
    def leaked_m3h(self) -> float:
        """What leaves the circuit through a leak, m3/h."""
        return self.flow_m3h * self._condition.leak

    def _turn(self) -> None:
        """Direct start within one step, stop with a time constant of 4 s."""
        target, lag_s = (1.0, 0.8) if self.running else (0.0, 4.0)
        self.speed_ratio += (target - self.speed_ratio) * min(1.0, 1.0 / lag_s)

    def _flow(self, condition: PumpCondition, level_m: float) -> float:
        """Flow, heads and pressures of this second; returns the torque as power (W).

        The efficiency parabola is divided out in closed form, so that a shut pump has no division by zero and
        draws 60 % of its power at the best point, as real radial pumps do.
        """
        n = self.speed_ratio
        suction_loss = INLET / self.inlet**2 + condition.clogging * STRAINER_M / BEST_M3H**2
        discharge_loss = PIPE + OUTLET / self.outlet**2
        self._cavitate(condition, level_m, suction_loss)
        shut_off = SHUT_OFF_M * n * n * (1.0 - 0.2 * condition.wear) * (1.0 - 0.15 * self.cavitation)
        shut_off *= 1.0 - 0.5 * condition.reverse
        drive = max(0.0, shut_off - STATIC_M - (LEVEL_M - level_m))
        target = math.sqrt(drive / (CURVE + suction_loss + discharge_loss * (1.0 - condition.leak) ** 2))
        self.flow_m3h += (target - self.flow_m3h) * 0.5
        self.head_m = max(0.0, shut_off - CURVE * self.flow_m3h**2)
        self.suction_bar = (level_m - suction_loss * self.flow_m3h**2) * BAR_PER_M
        self.discharge_bar = self.suction_bar + self.head_m * BAR_PER_M
        torque_w = 0.0
        if n >= 0.1:
            best = WEIGHT * (self.head_m / n) * (BEST_M3H * n / 3600.0)
            torque_w = best / (EFFICIENCY * (1.0 - 0.2 * condition.wear) * (2.0 - self._relative_flow()))
        self.shaft_w = torque_w * n
        return torque_w

    def _cavitate(self, condition: PumpCondition, level_m: float, suction_loss: float) -> None:
        """ξ from the flow of the second before: near the limit it surges by itself, as it should."""
        available = 10.1 + level_m - suction_loss * self.flow_m3h**2
        required = 1.8 + 1.2 * (self.flow_m3h / BEST_M3H) ** 2
        self.npsh_ratio = available / required
        dry = min(1.0, max(0.0, (1.5 - self.npsh_ratio) / 0.5))
        self.cavitation = max(dry, condition.air)

    def _relative_flow(self) -> float:
        """Flow over the best flow at this speed, at most 1.5."""
        n = self.speed_ratio
        return min(1.5, self.flow_m3h / (n * BEST_M3H)) if n >= 0.1 else 0.0

    def _warm(self, condition: PumpCondition, air_cel: float) -> None:
        n = self.speed_ratio
        self.run_in_k *= 1.0 - 1.0 / RUN_IN_S
        rise_k = 27.0 + 45.0 * condition.bearing**3 + 2.5 * condition.misalignment + 15.0 * condition.dryness
        target = air_cel + (rise_k + self.run_in_k) * n
        self.bearing_cel += (target - self.bearing_cel) / (BEARING_HEATS_S if self.running else BEARING_COOLS_S)

    def velocity_mms(self) -> float:
        """RMS velocity at the bearing housing, 10-1000 Hz, mm/s: the root of the sum of squares of its causes."""
        n, condition = self.speed_ratio, self._condition
        if n < 0.1:
            return 0.0
        off_best = 0.5 * n * (1.0 + 4.0 * (self._relative_flow() - 1.0) ** 2)
        value = math.hypot(
            1.0 * n,
            (0.6 + condition.imbalance) * n * n,
            condition.misalignment * n,
            off_best,
            3.5 * self.cavitation * n,
            5.0 * condition.bearing**3 * n,
            condition.looseness * n,
            1.8 * condition.reverse * n,
            0.8 if self._motor_condition.phase_loss > 0.0 else 0.0,
        )
        if self._running_s < 8.0:
            value *= 1.0 + 1.5 * math.exp(-self._running_s / 3.0)
        return value

    def acceleration_g(self) -> float:
        """RMS acceleration, 1-10 kHz, in [g]: bearing damage shows here first, and cavitation roars here."""
        n, condition = self.speed_ratio, self._condition
        return math.hypot(
            0.25 * n * n,
            1.2 * self.cavitation * n,
            0.15 * (math.exp(4.0 * condition.bearing) - 1.0) * n,
            0.7 * condition.dryness * n,
        )

    def metrics(self, rng: Random | None = None) -> Metrics:
        """The true values of the skid's channels: means, or with `rng` the fluctuation of this very second.

        The fluctuation is the machine's, not the sensors': cavitation shakes flow (4 % x ξ) and pressures (4 % x ξ
        and 0.05 bar x ξ), looseness makes the velocity unsteady.
        """
        surge, pulse, gulp, rattle = (rng.gauss(0.0, 1.0) for _ in range(4)) if rng else (0.0,) * 4
        loose = min(1.0, self._condition.looseness / 2.0)
        return {
            "flow": self.flow_m3h * (1.0 - self._condition.leak) * (1.0 + 0.04 * self.cavitation * surge),
            "suction_pressure": self.suction_bar + 0.05 * self.cavitation * gulp,
            "discharge_pressure": self.discharge_bar * (1.0 + 0.04 * self.cavitation * pulse),
            "motor_current": self.motor.mean_a,
            "vibration_velocity": self.velocity_mms() * max(0.0, 1.0 + 0.14 * loose * rattle),
            "vibration_acceleration": self.acceleration_g(),
            "bearing_temperature": self.bearing_cel,
            "speed": RATED_RPM * self.speed_ratio,
            "running": self.running,
        }


def _travel(opening: float, target: float) -> float:
    """The valve one second later: it moves no faster than `VALVE_RATE` and never shuts wholly."""
    return max(SHUT, opening + min(VALVE_RATE, max(-VALVE_RATE, target - opening)))
