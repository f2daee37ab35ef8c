"""The reference machine shows the values that the equations are known to give."""

import pytest

from firmware_sim.motor import Motor, MotorCondition
from firmware_sim.pump import Pump, PumpCondition
from firmware_sim.surroundings import shift_inflow_m3h
from firmware_sim.tank import AREA_M2, LevelSwitch, Tank


def settled(condition: PumpCondition, seconds: int = 300, mean_s: int = 60) -> dict[str, float]:
    """Means over the last `mean_s` seconds of a pump in this condition, at 2 m level and 24 Cel."""
    pump, total = Pump(), dict[str, float]()
    for second in range(seconds):
        pump.step(condition)
        if second >= seconds - mean_s:
            values = {
                **pump.metrics(),
                **pump.motor.metrics(),
                "power": pump.shaft_w / 1000.0,
                "npsh_ratio": pump.npsh_ratio,
                "cavitation": pump.cavitation,
            }
            for name, value in values.items():
                total[name] = total.get(name, 0.0) + value / mean_s
    return total


REFERENCE: list[tuple[str, PumpCondition, dict[str, tuple[float, float]]]] = [
    (
        "healthy",
        PumpCondition(),
        {
            "flow": (90.0, 0.1),
            "suction_pressure": (0.16, 0.005),
            "discharge_pressure": (3.29, 0.005),
            "motor_current": (22.8, 0.05),
            "power": (10.3, 0.05),
            "vibration_velocity": (1.27, 0.005),
            "vibration_acceleration": (0.25, 0.001),
            "bearing_temperature": (51.0, 0.1),
            "winding_temperature": (75.2, 0.2),
            "npsh_ratio": (3.9, 0.01),
        },
    ),
    (
        "inlet a quarter open",
        PumpCondition(inlet=0.25),
        {
            "flow": (81.0, 0.5),
            "suction_pressure": (-0.31, 0.005),
            "discharge_pressure": (2.93, 0.005),
            "motor_current": (22.2, 0.1),
        },
    ),
    ("inlet nearly shut", PumpCondition(inlet=0.12), {"flow": (53.5, 3.0), "suction_pressure": (-0.8, 0.05)}),
    (
        "outlet a quarter open",
        PumpCondition(outlet=0.25),
        {
            "flow": (46.0, 0.5),
            "discharge_pressure": (3.75, 0.005),
            "motor_current": (20.3, 0.05),
            "vibration_velocity": (1.5, 0.05),
        },
    ),
    (
        "outlet shut",
        PumpCondition(outlet=0.0),
        {"discharge_pressure": (3.9, 0.02), "motor_current": (18.7, 0.2), "vibration_velocity": (2.6, 0.05)},
    ),
    (
        "a tenth leaks",
        PumpCondition(leak=0.1),
        {"flow": (87.5, 0.05), "discharge_pressure": (3.18, 0.005), "motor_current": (23.4, 0.05)},
    ),
    (
        "impeller worn",
        PumpCondition(wear=1.0),
        {"flow": (75.7, 0.05), "discharge_pressure": (2.73, 0.005), "motor_current": (21.5, 0.05)},
    ),
]


@pytest.mark.parametrize(("name", "condition", "expected"), REFERENCE, ids=[row[0] for row in REFERENCE])
def test_reference_values(name: str, condition: PumpCondition, expected: dict[str, tuple[float, float]]) -> None:
    """Steady values of P-101, each within its tolerance."""
    values = settled(condition)
    assert {metric: values[metric] for metric in expected} == {
        metric: pytest.approx(value, abs=tolerance) for metric, (value, tolerance) in expected.items()
    }


@pytest.mark.parametrize(
    ("depth", "velocity", "acceleration", "bearing"),
    [(0.5, 1.4, 1.0, 57.0), (0.7, 2.1, 2.3, 66.0), (0.9, 3.9, 5.4, 84.0), (1.0, 5.2, 8.0, 96.0)],
)
def test_bearing_story(depth: float, velocity: float, acceleration: float, bearing: float) -> None:
    """Acceleration grows first, velocity late, and the bearing runs hot at the end."""
    values = settled(PumpCondition(bearing=depth), seconds=8000)
    assert values["vibration_velocity"] == pytest.approx(velocity, abs=0.06)
    assert values["vibration_acceleration"] == pytest.approx(acceleration, abs=0.06)
    assert values["bearing_temperature"] == pytest.approx(bearing, abs=0.6)


def test_nearly_shut_inlet_cavitates_and_quarter_open_does_not() -> None:
    """Cavitation comes when the suction head is used up, not before."""
    assert settled(PumpCondition(inlet=0.12))["cavitation"] > 0.5
    assert settled(PumpCondition(inlet=0.25))["cavitation"] == 0.0


def test_starts_warm() -> None:
    """A new pump is in steady state: ten minutes change no value by more than its noise."""
    pump = Pump()
    pump.step()
    first = {**pump.metrics(), **pump.motor.metrics()}
    for _ in range(600):
        pump.step()
    assert {**pump.metrics(), **pump.motor.metrics()} == {
        name: pytest.approx(value, rel=0.003, abs=0.01) for name, value in first.items()
    }


def test_stop_and_start() -> None:
    """Stopped, a pump runs out and reads zero; started, it draws the inrush for two samples and shakes at first."""
    pump = Pump()
    for _ in range(60):
        pump.step(run=False)
    stopped = pump.metrics()
    assert stopped["running"] is False
    assert (stopped["motor_current"], stopped["vibration_velocity"]) == (0.0, 0.0)
    assert stopped["flow"] == pytest.approx(0.0, abs=0.01)
    currents, velocities = [], []
    for _ in range(20):
        pump.step()
        currents.append(pump.motor.mean_a)
        velocities.append(pump.velocity_mms())
    assert currents[0] == pytest.approx(185.0, abs=1.0)
    assert max(currents[2:]) < 30.0
    assert velocities[0] > 1.5 * velocities[-1]


def test_a_stopped_motor_cools_slower_than_it_warms() -> None:
    """The fan stands still with the shaft: 90 minutes instead of 30."""
    pump = Pump()
    for _ in range(5400):
        pump.step(run=False)
    assert pump.motor.winding_cel == pytest.approx(24.0 + 51.2 / 2.718, abs=0.3)


def test_phase_loss() -> None:
    """One phase is dead, the others carry √3 times as much, and the relay trips after some minutes."""
    pump = Pump()
    pump.step()
    normal = pump.motor.phases_a
    lost = MotorCondition(phase_loss=1.0)
    pump.step(motor_condition=lost)
    assert pump.motor.phases_a == (0.0, *(pytest.approx(1.732 * phase, rel=0.01) for phase in normal[1:]))
    running = []
    for _ in range(600):
        pump.step(motor_condition=lost)
        running.append(pump.running)
    assert 120 < running.index(False) < 400
    assert not any(running[running.index(False) :])
    pump.motor.reset()
    for _ in range(30):
        pump.step()
    assert pump.motor.tripped is False
    assert pump.flow_m3h == pytest.approx(90.0, abs=0.1)


def test_winding_fault_unbalances() -> None:
    """Unbalance about 10 %, mean current a few per cent up."""
    motor = Motor()
    motor.step(10306.0, True, MotorCondition(winding=1.0))
    unbalance = max(abs(phase - motor.mean_a) for phase in motor.phases_a) / motor.mean_a
    assert unbalance == pytest.approx(0.10, abs=0.01)
    assert 1.01 < motor.mean_a / 22.81 < 1.05


def test_one_pump_on_its_own_drain_tank_starts_about_ten_times_a_day() -> None:
    """The level switch, the tank and the shift inflow together give the known duty."""
    tank, switch, pump = Tank(AREA_M2), LevelSwitch(), Pump()
    for second in range(86400):
        run = switch.step(tank.level_m)
        pump.step(level_m=tank.level_m, run=run)
        tank.step(pump.flow_m3h, inflow_m3h=shift_inflow_m3h(second / 3600.0))
    assert 9 <= switch.starts <= 11
