"""Formulas: what can be computed from several channels of a machine. Plain numbers in, one number or None out.

None says that the inputs admit no answer (a mean of 0, a logarithm of nothing). Sources stand with each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

_WATER = 998.0 * 9.81
"""Weight of a cubic metre of water at 20 Cel, N."""
_BAR_PA = 1e5


def pump_head(flow: float, speed_ratio: float, shut_off: float, curve: float) -> float:
    """Head (m) of a pump on its curve: H0 n² - a Q², Q in m3/h.

    >>> round(pump_head(90.0, 1.0, 38.0, 7.407e-4), 1)
    32.0

    Source: affinity laws, and a parabola through shut-off head and best point.
    """
    return shut_off * speed_ratio**2 - curve * flow**2


def head_residual(
    flow: float, suction: float, discharge: float, speed_ratio: float, *, shut_off: float, curve: float
) -> float:
    """Measured head less that of the curve, m of water; pressures in bar.

    >>> round(head_residual(90.0, 0.16, 3.29, 1.0, shut_off=38.0, curve=7.407e-4), 1)
    -0.0
    """
    measured = (discharge - suction) * _BAR_PA / _WATER
    return measured - max(0.0, pump_head(flow, speed_ratio, shut_off, curve))


def pump_current(
    flow: float,
    speed_ratio: float,
    volts: float,
    *,
    shut_off: float,
    curve: float,
    best_flow: float,
    pump_efficiency: float,
    motor_efficiency: float,
    magnetising: float,
) -> float | None:
    """Current (A) of the motor of a pump that delivers `flow` (m3/h) on its curve; None while it hardly turns.

    >>> round(pump_current(90.0, 1.0, 400.0, shut_off=38.0, curve=7.407e-4, best_flow=90.0, pump_efficiency=0.76,
    ...     motor_efficiency=0.921, magnetising=16.1), 1)
    22.8

    Source: parabolic efficiency about the best point divided out in closed form; magnetising and active current at
    right angles.
    """
    if speed_ratio < 0.1 or volts <= 0.0:
        return None
    head = max(0.0, pump_head(flow, speed_ratio, shut_off, curve))
    share = min(1.5, flow / (speed_ratio * best_flow))
    hydraulic_w = _WATER * (head / speed_ratio) * (best_flow * speed_ratio / 3600.0)
    torque_w = hydraulic_w / (pump_efficiency * (2.0 - share))
    return math.hypot(magnetising, torque_w / (motor_efficiency * math.sqrt(3.0) * volts))


def winding_target(current: float, ambient: float, *, rated: float, rise: float) -> float:
    """Winding temperature (Cel) that a motor settles at: its rise goes with the square of the load, at most 1.3 x.

    >>> winding_target(28.5, 24.0, rated=28.5, rise=80.0)
    104.0

    Source: copper losses; IEC 60034-1 for rises at rated load.
    """
    return ambient + rise * min(abs(current) / rated, 1.3) ** 2


def unbalance(values: Sequence[float]) -> float | None:
    """Largest deviation from the mean, in % of the mean; None when that is not above 0.

    >>> unbalance((10.0, 10.0, 13.0))
    18.181818181818183

    Source: definition of NEMA MG 1 for voltages.
    """
    mean = sum(values) / len(values)
    return 100.0 * max(abs(value - mean) for value in values) / mean if mean > 0.0 else None


def slip(driven: float, driving: float, *, ratio: float) -> float | None:
    """By how many % the driven side is slower than `ratio` x the driving one; None while that stands.

    >>> round(slip(950.0, 1000.0, ratio=1.0), 9)
    5.0
    """
    expected = ratio * driving
    return 100.0 * (1.0 - driven / expected) if expected > 0.0 else None


def conductance(
    hot_in: float, hot_out: float, cold_in: float, cold_out: float, *, flow: float, heat: float
) -> float | None:
    """UA (kW/K) of a counter-flow heat exchanger from its cold side; `flow` in m3/h, `heat` in kWh/(m3 K).

    >>> round(conductance(60.0, 45.0, 20.0, 35.0, flow=10.0, heat=1.16), 2)
    6.96

    Source: logarithmic mean temperature difference. None where the temperatures cross.
    """
    one, two = hot_in - cold_out, hot_out - cold_in
    if one <= 0.0 or two <= 0.0 or flow <= 0.0:
        return None
    mean = one if math.isclose(one, two, rel_tol=1e-6) else (one - two) / math.log(one / two)
    return heat * flow * (cold_out - cold_in) / mean


def dew_point(air: float, humidity: float) -> float | None:
    """Dew point (Cel) of air at `humidity` (% RH); None for air drier than is possible.

    >>> round(dew_point(25.0, 50.0), 1)
    13.9

    Source: Magnus formula, constants of WMO-No. 8 (17.62, 243.12 Cel).
    """
    if humidity <= 0.0 or air <= -243.0:
        return None
    gamma = math.log(min(humidity, 100.0) / 100.0) + 17.62 * air / (243.12 + air)
    return 243.12 * gamma / (17.62 - gamma)
