"""The three-phase motor of a pump: currents, winding heat, overload relay."""

import math
from dataclasses import dataclass

from firmware_sim.channels import Metrics

RATED_A = 28.5
"""Nameplate current of the 15 kW, 4-pole, 400 V reference motor, A."""
MAGNETISING_A = 16.1
"""Reactive part of the current, nearly independent of load, A."""
EFFICIENCY = 0.921
NOMINAL_V = 400.0
INRUSH_A = 6.5 * RATED_A
"""Current during the first 1.5 s of a direct start, A."""
INRUSH_S = 1.5
HEATING_S, COOLING_S = 1800.0, 5400.0
"""Time constants of the winding: running with its fan, and stopped."""
BEST_POINT_A = 22.81
"""Current at the best point of the pump, A; a new motor is warm from it."""
RELAY_S, RELAY_TRIP = 240.0, 1.44
"""Thermal overload relay of class 10: its heat follows (I/In)² with this time constant and trips above 1.2².
It trips after 7 s at 7.2 x rated current from cold, and after about 4 min when a running motor loses a phase."""


@dataclass(frozen=True, slots=True)
class MotorCondition:
    """What ails a motor; the defaults are a healthy one.

    `phase_loss` 0..1, a phase is open above 0. `winding` 0..1 depth of an inter-turn fault (unbalance to about
    10 %, +15 K). `fouling` 0..1 share by which the cooling is worse. `voltage_unbalance` in %.
    """

    phase_loss: float = 0.0
    winding: float = 0.0
    fouling: float = 0.0
    voltage_unbalance: float = 0.0


class Motor:
    """Electrical and thermal state of one motor; `step` moves it on by one second.

    `spread` are the factors of the three phases of this very motor (their mean is 1, a healthy unbalance is
    below 2 %). The motor starts in thermal steady state at `air_cel` and the best point of the pump.
    """

    def __init__(self, spread: tuple[float, float, float] = (1.0, 1.0, 1.0), air_cel: float = 24.0) -> None:
        self.spread = spread
        self.volts = NOMINAL_V
        self.current_a = BEST_POINT_A
        self.active_a = math.sqrt(BEST_POINT_A**2 - MAGNETISING_A**2)
        self.phases_a = (BEST_POINT_A, BEST_POINT_A, BEST_POINT_A)
        self.tripped = False
        self.winding_cel = air_cel + 80.0 * (BEST_POINT_A / RATED_A) ** 2
        self._relay_heat = (BEST_POINT_A / RATED_A) ** 2
        self._on_s = 3600.0

    @property
    def mean_a(self) -> float:
        """Mean of the three phase currents, A."""
        return sum(self.phases_a) / 3.0

    def reset(self) -> None:
        """Resets the overload relay after a trip, as an electrician does."""
        self.tripped = False
        self._relay_heat = min(self._relay_heat, (BEST_POINT_A / RATED_A) ** 2)

    def step(
        self,
        torque_w: float,
        on: bool,
        condition: MotorCondition,
        air_cel: float = 24.0,
        volts: float = NOMINAL_V,
    ) -> None:
        """One second at the shaft torque `torque_w`, given as power at rated speed (W).

        The current sqrt(Im² + (T / (ηm·√3·U))²) does not depend on speed, so it serves a drive too.
        """
        self.volts = volts
        self._on_s = self._on_s + 1.0 if on else 0.0
        self.active_a = torque_w / (EFFICIENCY * math.sqrt(3.0) * volts) if on else 0.0
        self.current_a = math.hypot(MAGNETISING_A, self.active_a) if on else 0.0
        if on and self._on_s <= INRUSH_S:
            self.current_a = INRUSH_A
        self.phases_a = self._phases(condition)
        self._heat(on, condition, air_cel)

    def _phases(self, condition: MotorCondition) -> tuple[float, float, float]:
        one, two, three = (self.current_a * share for share in self.spread)
        if condition.phase_loss > 0.0:
            return 0.0, two * math.sqrt(3.0), three * math.sqrt(3.0)
        depth = condition.winding
        return one * (1.0 + 0.13 * depth), two * (1.0 - 0.04 * depth), three

    def _heat(self, on: bool, condition: MotorCondition, air_cel: float) -> None:
        effective_a = math.sqrt(sum(phase * phase for phase in self.phases_a) / 3.0)
        load = min(effective_a, 1.3 * RATED_A) / RATED_A
        rise_k = 80.0 * (1.0 + condition.fouling) * (1.0 + 0.02 * condition.voltage_unbalance**2) * load**2
        if on:
            rise_k += 15.0 * condition.winding
        target = air_cel + rise_k
        self.winding_cel += (target - self.winding_cel) / (HEATING_S if on else COOLING_S)
        stress = max(self.phases_a) / RATED_A
        self._relay_heat += (stress * stress - self._relay_heat) / RELAY_S
        if self._relay_heat > RELAY_TRIP:
            self.tripped = True

    def metrics(self) -> Metrics:
        """The true values of the motor monitor's channels, without noise.

        The power factor is active over total current: 0.71 at 69 % load, which is usual for a motor chosen one
        size too large.
        """
        one, two, three = self.phases_a
        return {
            "current_l1": one,
            "current_l2": two,
            "current_l3": three,
            "voltage": self.volts,
            "power_factor": self.active_a / self.current_a if self.current_a > 0.0 else 0.0,
            "winding_temperature": self.winding_cel,
        }
