"""The hall is the same for the same seed, and its sensors behave like sensors."""

import statistics

import pytest

from firmware_sim.channels import CHANNELS
from firmware_sim.faults import FAULTS
from firmware_sim.hall import Hall, UnknownTarget


def readings(hall: Hall, device: str, metric: str, seconds: int) -> list[float]:
    return [float(hall.step()[device][metric]) for _ in range(seconds)]


def test_default_hall() -> None:
    """At least twelve devices of three kinds; a pump and its motor are one asset, a tank is its own."""
    hall = Hall()
    kinds = [device.kind for device in hall.devices.values()]
    assert (kinds.count("pump"), kinds.count("motor"), kinds.count("tank")) == (6, 6, 3)
    assert hall.devices["motor-101"].asset == "pump-101"
    assert hall.devices["tank-1"].asset == "tank-1"
    assert set(hall.step()) == set(hall.devices)
    assert len(hall.assets) == len(hall.healthy()) == 9


@pytest.mark.parametrize("pumps", [1, 2, 5, 20])
def test_any_size(pumps: int) -> None:
    """Two pumps share a tank, the last may have one for itself."""
    assert len(Hall(1, pumps).step()) == 2 * pumps + (pumps + 1) // 2


def test_same_seed_same_hall() -> None:
    """Everything follows from the seed and the calls."""

    def story(seed: int) -> list[object]:
        hall, log = Hall(seed), list[object]()
        for second in range(200):
            if second == 20:
                log.append(hall.inject("stuck_sensor", "pump-103"))
                hall.inject("cavitation", "pump-101")
            log.append(hall.step())
        return [*log, hall.take_events()]

    assert story(7) == story(7)
    assert story(7) != story(8)


def test_a_fault_touches_nobody_else() -> None:
    """A fault of one pump leaves every reading of the assets on other tanks as it would have been."""
    calm, sick = Hall(7), Hall(7)
    sick.inject("bearing_wear", "pump-101", ramp_s=5)
    for _ in range(100):
        left, right = calm.step(), sick.step()
        assert {name: left[name] for name in left if name not in {"pump-101", "motor-101"}} == {
            name: right[name] for name in right if name not in {"pump-101", "motor-101"}
        }


def test_noise_is_as_wide_as_the_table_says() -> None:
    """Each noisy channel scatters with its own σ around the true value."""
    hall = Hall(1)
    rows = [hall.step() for _ in range(1500)]
    for device in ("pump-101", "motor-101", "tank-1"):
        for metric, channel in CHANNELS[hall.devices[device].kind].items():
            if metric in {"voltage", "inflow", "valve_command", "valve_position", "level", "speed", "power_factor"}:
                continue
            values = [float(row[device][metric]) for row in rows]
            assert statistics.stdev(values) == pytest.approx(channel.sigma(statistics.mean(values)), rel=0.15)


def test_ten_quiet_minutes_stay_inside_the_normal_ranges() -> None:
    """Nothing drifts at the start of a demo: no pump leaves its normal band without a fault."""
    hall = Hall(7)
    for _ in range(6000):
        row = hall.step()
    pump, motor, tank = row["pump-101"], row["motor-101"], row["tank-1"]
    assert 87 < pump["flow"] < 93
    assert 0.05 < pump["suction_pressure"] < 0.3
    assert 3.2 < pump["discharge_pressure"] < 3.4
    assert 22 < pump["motor_current"] < 24
    assert 1.0 < pump["vibration_velocity"] < 1.6
    assert 45 < pump["bearing_temperature"] < 60
    assert 60 < motor["winding_temperature"] < 80
    assert 1.9 < tank["level"] < 2.1
    assert pump["running"] is True


def test_a_leak_drains_the_tank_and_nothing_else_moves_it() -> None:
    """Water that leaks is missing in the balance; the controller makes up for it."""
    hall = Hall(7)
    hall.inject("leak", "pump-101", ramp_s=0)
    for _ in range(3000):
        hall.step()
    assert hall.truth("tank-1")["level"] < 1.98
    assert hall.truth("tank-2")["level"] == pytest.approx(2.0, abs=0.01)


def test_stuck_sensor() -> None:
    """The last value stays; the repair brings the noise back with the next sample."""
    hall = Hall(7)
    hall.inject("stuck_sensor", "pump-101", device="pump-101", metric="flow")
    assert len(set(readings(hall, "pump-101", "flow", 60))) == 1
    hall.repair("pump-101", ["instrument"])
    assert len(set(readings(hall, "pump-101", "flow", 60))) > 40


def test_sensor_drift_and_its_end() -> None:
    """Ten per cent of span at full depth, gone with the repair."""
    hall = Hall(7)
    hall.inject("sensor_drift", "pump-101", device="pump-101", metric="flow", ramp_s=10)
    readings(hall, "pump-101", "flow", 20)
    assert statistics.mean(readings(hall, "pump-101", "flow", 60)) == pytest.approx(105.0, abs=0.5)
    hall.repair("pump-101", ["instrument"])
    assert statistics.mean(readings(hall, "pump-101", "flow", 60)) == pytest.approx(90.0, abs=0.5)


def test_sensor_noise_spikes_and_sentinel() -> None:
    """Five times the noise; rare single outliers; the value that means no sensor."""
    hall = Hall(7)
    hall.inject("sensor_noise", "pump-101", metric="discharge_pressure")
    assert statistics.stdev(readings(hall, "pump-101", "discharge_pressure", 500)) == pytest.approx(0.05, rel=0.15)
    hall.inject("sensor_spikes", "pump-102", metric="discharge_pressure")
    values = readings(hall, "pump-102", "discharge_pressure", 500)
    outliers = [value for value in values if abs(value - statistics.median(values)) > 0.045]
    assert 8 <= len(outliers) <= 50
    hall.inject("sensor_sentinel", "pump-103", metric="flow")
    assert hall.step()["pump-103"]["flow"] == 65535.0
    hall.inject("sensor_sentinel", "pump-104", metric="bearing_temperature")
    assert hall.step()["pump-104"]["bearing_temperature"] == 127.94


def test_dropped_device_is_silent() -> None:
    """It says nothing, its neighbours go on, and after the repair it speaks at once."""
    hall = Hall(7)
    hall.inject("dropped_device", "pump-101", device="motor-101")
    assert set(hall.devices) - set(hall.step()) == {"motor-101"}
    assert hall.repair("pump-101", ["electrician"]).fits
    assert "motor-101" in hall.step()


def test_the_same_fault_is_not_doubled() -> None:
    """A second injection gives the id of the first."""
    hall = Hall(7)
    assert hall.inject("leak", "pump-101") == hall.inject("leak", "pump-101")
    assert hall.inject("leak", "pump-101") != hall.inject("leak", "pump-102")
    assert [event.event for event in hall.take_events()] == ["injected", "injected"]


def test_depth_ramps() -> None:
    """Depth grows evenly over the ramp, and `full` is told once."""
    hall = Hall(7)
    hall.inject("imbalance", "pump-101", ramp_s=40)
    told = []
    for second in range(1, 60):
        hall.step()
        told += [(second, event.event) for event in hall.take_events()]
    assert told == [(1, "injected"), (40, "full")]


def test_repairing_a_healthy_asset_finds_nothing() -> None:
    """No harm, no failure."""
    repair = Hall(7).repair("pump-101", ["fitter"])
    assert repair.fits
    assert repair.note == "no fault found"
    assert repair.verdict == "false_alarm"


@pytest.mark.parametrize(
    ("fault", "skill", "verdict"),
    [
        ("bearing_wear", "fitter", "replaced_part"),
        ("inlet_valve_closing", "operator", "real_fault"),
        ("inlet_valve_closing", "electrician", ""),
    ],
)
def test_a_repair_says_what_was_found(fault: str, skill: str, verdict: str) -> None:
    """A new part, a fault that is gone, or nothing to say by somebody who could not mend it."""
    hall = Hall(7)
    hall.inject(fault, "pump-101", ramp_s=0)
    hall.step()
    assert hall.repair("pump-101", [skill]).verdict == verdict


@pytest.mark.parametrize(
    ("fault", "asset", "device", "metric"),
    [
        ("gremlins", "pump-101", None, None),
        ("leak", "pump-999", None, None),
        ("leak", "tank-1", None, None),
        ("valve_stiction", "pump-101", None, None),
        ("stuck_sensor", "pump-101", "pump-102", None),
        ("stuck_sensor", "pump-101", "pump-101", "mood"),
    ],
)
def test_nonsense_is_refused(fault: str, asset: str, device: str | None, metric: str | None) -> None:
    """An injection that fits nothing is an error, not a silent nothing."""
    with pytest.raises(UnknownTarget):
        Hall(7).inject(fault, asset, device=device, metric=metric)


def test_every_fault_can_be_injected_everywhere_it_belongs() -> None:
    """All at once, on all assets: the hall still steps, and the values stay inside the ranges."""
    hall = Hall(7)
    for fault in FAULTS.values():
        for asset in hall.assets:
            if fault.target in {"sensor", "device"} or asset.startswith("tank-") == (fault.target == "tank"):
                hall.inject(fault.name, asset)
    for _ in range(300):
        for metrics in hall.step().values():
            assert all(value == value for value in metrics.values())
