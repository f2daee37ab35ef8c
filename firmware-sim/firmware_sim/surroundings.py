"""What all machines of a hall share: the time of day, the air, the mains, and the demand for water."""

import math
from random import Random

START_HOUR = 15.0
"""The simulated day begins at its warmest hour, where the air changes least."""
AIR_LAG_S = 3600.0
PUMPS_HEAT_K = 1.5
"""What the pumps add to the hall's air when all of them run; ventilation grows with the hall."""


class Wander:
    """A quantity that strays about 1 and always comes back (Ornstein-Uhlenbeck).

    `share` is the standard deviation, `lag_s` the time in which it forgets.
    """

    def __init__(self, rng: Random, share: float, lag_s: float) -> None:
        self._rng, self._lag_s = rng, lag_s
        self._kick = share * math.sqrt(2.0 / lag_s)
        self.value = 1.0 + rng.gauss(0.0, share)

    def step(self) -> float:
        """The factor one second later."""
        self.value += (1.0 - self.value) / self._lag_s + self._rng.gauss(0.0, self._kick)
        return self.value


class Surroundings:
    """Air temperature (Cel), mains voltage (V) and the relative demand for water, second by second.

    Air: 21 + 3.5 sin(2π(hour - 9)/24) and the heat of the running pumps, lagged by 1 h; it starts settled.
    """

    def __init__(self, seed: int) -> None:
        self.second = 0
        self._mains = Wander(Random(f"{seed}:mains"), 0.002, 10.0)
        self.air_cel = self._air_target(1.0)
        self.volts = 400.0

    @property
    def hour(self) -> float:
        """Hour of the simulated day, 0..24."""
        return (START_HOUR + self.second / 3600.0) % 24.0

    def _air_target(self, running_share: float) -> float:
        return 21.0 + 3.5 * math.sin(2.0 * math.pi * (self.hour - 9.0) / 24.0) + PUMPS_HEAT_K * running_share

    def step(self, running_share: float) -> None:
        """One second; `running_share` (0..1) of the pumps run."""
        self.second += 1
        self.air_cel += (self._air_target(running_share) - self.air_cel) / AIR_LAG_S
        self.volts = 400.0 * self._mains.step()


def shift_inflow_m3h(hour: float) -> float:
    """Inflow of one drain tank at this hour (0..24) of a weekday: 62 m3/h in shift (06-22), 0.55 x at night."""
    return 62.0 if 6.0 <= hour < 22.0 else 62.0 * 0.55
