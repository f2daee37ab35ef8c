"""Every fault moves the metrics as the sign table says, and ends only by the right skill."""

import itertools
import math

import pytest

from firmware_sim.faults import FAULTS, Fault
from firmware_sim.hall import Hall
from firmware_sim.people import PEOPLE
from firmware_sim.pump import BAR_PER_M, BEST_M3H, CURVE, SHUT_OFF_M, WEIGHT

WARM_S, RAMP_S, MEAN_S = 60, 30, 60
COLUMNS = ("flow", "suction", "discharge", "current", "vibration", "head residual", "current residual")
STEP = dict(zip(COLUMNS, (1.0, 0.008, 0.03, 0.2, 0.15, 0.8, 0.5), strict=True))
"""A move of a 60 s mean beyond this is seen; below it is inside the noise."""


def asset_for(fault: Fault) -> str:
    return "tank-1" if fault.target == "tank" else "pump-102"


def expected_current_a(flow_m3h: float) -> float:
    """Current of a healthy pump at this flow."""
    head = SHUT_OFF_M - CURVE * flow_m3h**2
    torque_w = WEIGHT * head * BEST_M3H / 3600.0 / (0.76 * (2.0 - flow_m3h / BEST_M3H))
    return math.hypot(16.1, torque_w / (0.921 * math.sqrt(3.0) * 400.0))


def means(hall: Hall, device: str) -> dict[str, float]:
    """60 s means of what the skid measures, with the two residuals."""
    total: dict[str, float] = {}
    for _ in range(MEAN_S):
        for metric, value in hall.step()[device].items():
            total[metric] = total.get(metric, 0.0) + value / MEAN_S
    head = (total["discharge_pressure"] - total["suction_pressure"]) / BAR_PER_M
    return {
        "flow": total["flow"],
        "suction": total["suction_pressure"],
        "discharge": total["discharge_pressure"],
        "current": total["motor_current"],
        "vibration": total["vibration_velocity"],
        "head residual": head - (SHUT_OFF_M - CURVE * total["flow"] ** 2),
        "current residual": total["motor_current"] - expected_current_a(total["flow"]),
    }


def signs(fault: str, **where: str) -> dict[str, str]:
    """+, - or . for each column at full depth, against the same pump before."""
    hall = Hall(11)
    for _ in range(WARM_S):
        hall.step()
    before = means(hall, "pump-102")
    hall.inject(fault, "pump-102", ramp_s=RAMP_S, **where)
    for _ in range(RAMP_S + 20):
        hall.step()
    after = means(hall, "pump-102")
    return {
        column: "." if abs(after[column] - before[column]) <= STEP[column] else "+-"[after[column] < before[column]]
        for column in COLUMNS
    }


@pytest.mark.parametrize(
    ("fault", "row"),
    [
        ("strainer_clogging", "----..."),
        ("outlet_valve_closing", "-++-+.."),
        ("leak", "-.-+.-+"),
        ("impeller_wear", "-+--.-."),
        ("imbalance", "....+.."),
        ("misalignment", "....+.."),
        ("looseness", "....+.."),
        ("bearing_wear", "....+.."),
    ],
)
def test_sign_table(fault: str, row: str) -> None:
    """Flow, suction, discharge, current, vibration and the two residuals separate the causes."""
    assert signs(fault) == dict(zip(COLUMNS, row, strict=True))


def test_inlet_valve_signs() -> None:
    """Everything hydraulic falls; nearly shut it also cavitates, which shakes and costs head."""
    found = signs("inlet_valve_closing")
    assert [found[column] for column in COLUMNS[:4]] == ["-", "-", "-", "-"]
    assert (found["vibration"], found["head residual"]) == ("+", "-")


def test_cavitation_signs() -> None:
    """Drawn-in air: less flow, pressure and current, high-frequency vibration x 5, and everything shakes."""
    found = signs("cavitation")
    assert [found[column] for column in ("flow", "discharge", "current")] == ["-", "-", "-"]
    assert (found["vibration"], found["head residual"], found["current residual"]) == ("+", "-", "-")


def test_flow_meter_fault_moves_the_flow_only() -> None:
    """A drifting meter is told from a hydraulic fault by everything else standing still."""
    found = signs("sensor_drift", device="pump-102", metric="flow")
    assert found["flow"] != "."
    assert [found[column] for column in COLUMNS[1:5]] == ["."] * 4


@pytest.mark.parametrize(
    ("fault", "metric", "low", "high"),
    [
        ("inlet_valve_closing", "flow", -0.45, -0.35),
        ("outlet_valve_closing", "discharge_pressure", 0.14, 0.18),
        ("leak", "flow", -0.035, -0.02),
        ("impeller_wear", "flow", -0.17, -0.15),
        ("cavitation", "vibration_acceleration", 3.5, 4.5),
        ("cavitation", "flow", -0.15, -0.05),
        ("bearing_wear", "vibration_acceleration", 28.0, 34.0),
        ("imbalance", "vibration_velocity", 1.5, 3.0),
        ("lubrication_loss", "vibration_acceleration", 1.0, 3.0),
        ("reverse_rotation", "flow", -0.5, -0.4),
        ("reverse_rotation", "vibration_velocity", 0.3, 2.0),
    ],
)
def test_magnitudes_at_full_depth(fault: str, metric: str, low: float, high: float) -> None:
    """The relative change of the true value lies where experience puts it."""
    hall = Hall(3)
    hall.step()
    before = hall.truth("pump-101")[metric]
    hall.inject(fault, "pump-101", ramp_s=10)
    for _ in range(120):
        hall.step()
    assert low <= hall.truth("pump-101")[metric] / before - 1.0 <= high


def test_stiction_parts_valve_from_command() -> None:
    """The valve waits until the command is 3 % away, so the position comes in steps."""
    hall = Hall(5)
    for _ in range(60):
        hall.step()
    hall.inject("valve_stiction", "tank-1", ramp_s=0)
    positions = []
    for _ in range(300):
        hall.step()
        positions.append(hall.truth("tank-1")["valve_position"])
    assert sum(one == other for one, other in itertools.pairwise(positions)) > 200


@pytest.mark.parametrize("fault", FAULTS.values(), ids=list(FAULTS))
def test_only_the_right_skill_mends(fault: Fault) -> None:
    """Somebody without the skill changes nothing; somebody with it ends the fault, and the machine recovers."""
    hall, asset = Hall(9), asset_for(fault)
    for _ in range(30):
        hall.step()
    hall.inject(fault.name, asset)
    for _ in range(90):
        hall.step()
    wrong = hall.repair(asset, ["juggler"])
    assert not wrong.fits
    assert wrong.left == (fault.name,)
    assert fault.skills[0] in wrong.note
    assert not hall.repair(asset, fault.skills, action="dance").fits
    assert asset not in hall.healthy()
    right = hall.repair(asset, [fault.skills[-1]], action=fault.action)
    assert right.fits
    assert right.mended == (fault.name,)
    waited_s = 0
    while asset not in hall.healthy():
        hall.step()
        waited_s += 1
    assert waited_s <= 7200
    assert [event.event for event in hall.take_events()] == ["injected", "full", "repaired", "recovered"]


@pytest.mark.parametrize(
    "fault", ["inlet_valve_closing", "outlet_valve_closing", "leak", "cavitation", "impeller_wear"]
)
def test_hydraulic_faults_recover_within_half_a_minute(fault: str) -> None:
    """After the repair a valve opens within 20 s and flow follows with 2 s."""
    hall = Hall(9)
    hall.step()
    hall.inject(fault, "pump-101", ramp_s=0)
    for _ in range(60):
        hall.step()
    assert hall.repair("pump-101", FAULTS[fault].skills).fits
    for _ in range(30):
        hall.step()
    assert "pump-101" in hall.healthy()


@pytest.mark.parametrize("fault", FAULTS.values(), ids=list(FAULTS))
def test_the_crew_mends_every_fault(fault: Fault) -> None:
    """Nobody has to be called from outside."""
    assert any(fault.mended_by(person.skills) for person in PEOPLE)


def test_a_tripped_motor_runs_again_after_the_repair() -> None:
    """The electrician resets the relay."""
    hall = Hall(2)
    hall.inject("phase_loss", "pump-101")
    for _ in range(400):
        hall.step()
    assert hall.truth("pump-101")["running"] is False
    hall.repair("pump-101", ["electrician"])
    for _ in range(20):
        hall.step()
    assert hall.truth("pump-101")["flow"] == pytest.approx(90.0, abs=0.5)


def test_a_new_bearing_runs_warm_only_with_aftermath() -> None:
    """The plain hall returns to its old level, so that a repair can be seen to have worked."""
    levels = []
    for aftermath in (False, True):
        hall = Hall(4, aftermath=aftermath)
        hall.inject("bearing_wear", "pump-101", ramp_s=0)
        hall.step()
        hall.repair("pump-101", ["fitter"])
        for _ in range(6000):
            hall.step()
        levels.append(hall.truth("pump-101")["bearing_temperature"])
    assert levels[1] - levels[0] == pytest.approx(5.0, abs=0.6)
