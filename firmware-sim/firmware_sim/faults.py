"""The faults that can be injected, one row each: what moves, how fast, and who mends it.

Ramp times are simulated seconds. `ramp_s` is the quick pace of a demo (about 5 s of wall time at ten-fold speed),
`slow_ramp_s` the pace for tests of detection; in a real plant the same takes minutes to years.
Codes are failure mode and mechanism in the manner of ISO 14224 (from secondary copies).
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

Target = Literal["pump", "motor", "tank", "sensor", "device"]

LEADING = {"pump": ("flow", "discharge_pressure", "motor_current"), "motor": ("voltage",), "tank": ("level",)}
"""Metrics, by kind of device, on which a sensor fault falls when none is named."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that can be injected.

    `target` is what it acts on: the physics of a pump, motor or tank, one sensor channel, or a whole device.
    For physics, `field` of that machine's condition goes from its healthy value to `full` as depth goes 0..1.
    For sensors, `full` is the strength in the unit that `sensors.distort` gives it.
    `skills`: any one of them mends it, by doing `action`.
    """

    name: str
    target: Target
    field: str
    full: float
    ramp_s: float
    slow_ramp_s: float
    code: str
    skills: tuple[str, ...]
    action: str
    shows: str

    def mended_by(self, skills: Collection[str], action: str | None = None) -> bool:
        """Whether somebody with `skills`, who does `action` (None: whatever is needed), ends this fault."""
        return (action is None or action == self.action) and any(skill in self.skills for skill in skills)


_TABLE = (
    Fault("inlet_valve_closing", "pump", "inlet", 0.12, 50, 900, "PLU", ("operator", "fitter"),
          "open_inlet_valve", "suction, then discharge, flow and current fall; cavitation"),
    Fault("outlet_valve_closing", "pump", "outlet", 0.2, 50, 900, "PLU", ("operator", "instrument"),
          "open_outlet_valve", "flow and current fall, discharge pressure rises"),
    Fault("strainer_clogging", "pump", "clogging", 1.0, 50, 18000, "PLU", ("operator", "fitter"),
          "clean_strainer", "as the inlet valve, slower"),
    Fault("leak", "pump", "leak", 0.1, 50, 3600, "ELP 1.1", ("fitter",),
          "seal_leak", "flow and discharge -3 %, current +3 %"),
    Fault("impeller_wear", "pump", "wear", 1.0, 50, 18000, "LOO 2.4", ("fitter",),
          "replace_impeller", "flow and discharge fall, suction rises, vibration flat"),
    Fault("cavitation", "pump", "air", 1.0, 40, 300, "ERO 2.1", ("operator", "instrument"),
          "restore_suction", "HF vibration x 5, flow and pressures shake"),
    Fault("bearing_wear", "pump", "bearing", 1.0, 60, 1200, "VIB 2.4", ("fitter",),
          "replace_bearing", "acceleration, then velocity, then bearing temperature"),
    Fault("lubrication_loss", "pump", "dryness", 1.0, 60, 600, "OHE 2.4", ("lubrication",),
          "regrease", "acceleration x 3, bearing temperature rises"),
    Fault("imbalance", "pump", "imbalance", 4.0, 40, 600, "VIB 1.2", ("fitter", "vibration"),
          "balance", "velocity x 3.7, hydraulics unchanged"),
    Fault("misalignment", "pump", "misalignment", 2.8, 40, 600, "VIB 1.3", ("fitter", "alignment"),
          "align", "velocity +2 mm/s, bearing +7 K"),
    Fault("looseness", "pump", "looseness", 2.0, 40, 600, "VIB 1.5", ("fitter",),
          "tighten", "velocity rises and scatters"),
    Fault("phase_loss", "motor", "phase_loss", 1.0, 0, 0, "UST 4.2", ("electrician",),
          "restore_phase", "one phase 0 A, the others x 1.73; trips after about 4 min"),
    Fault("winding_fault", "motor", "winding", 1.0, 50, 3600, "OHE 4.1", ("electrician",),
          "rewind", "current unbalance 10 %, winding +18 K"),
    Fault("motor_fouling", "motor", "fouling", 0.55, 60, 18000, "OHE 1.0", ("electrician",),
          "clean_cooling", "winding +28 K"),
    Fault("reverse_rotation", "pump", "reverse", 1.0, 0, 0, "LOO 4.5", ("electrician",),
          "swap_phases", "half the head, 55 % of the flow, vibration, after electrical work"),
    Fault("valve_stiction", "tank", "stiction", 3.0, 50, 1800, "ERO 1.6", ("instrument",),
          "free_valve", "valve position in steps, deviation from command"),
    Fault("stuck_sensor", "sensor", "stuck", 1.0, 0, 0, "AIR 3.0", ("instrument",),
          "replace_sensor", "one value stands still"),
    Fault("sensor_drift", "sensor", "drift", 0.1, 50, 600, "AIR 3.0", ("instrument",),
          "calibrate_sensor", "one value wanders off by 10 % of its span"),
    Fault("sensor_spikes", "sensor", "spike", 0.05, 0, 0, "AIR 3.0", ("instrument",),
          "fix_wiring", "single samples 5-20 σ off"),
    Fault("sensor_noise", "sensor", "noise", 5.0, 0, 0, "AIR 3.0", ("instrument",),
          "fix_wiring", "one value five times as noisy"),
    Fault("sensor_sentinel", "sensor", "sentinel", 1.0, 0, 0, "AIR 3.0", ("instrument",),
          "replace_sensor", "one value reads 65535 or, for temperatures, 127.94"),
    Fault("dropped_device", "device", "silent", 1.0, 0, 0, "OTH 4.3", ("instrument", "automation", "electrician"),
          "restart_device", "a device says nothing any more"),
)  # fmt: skip

FAULTS: dict[str, Fault] = {fault.name: fault for fault in _TABLE}
"""All faults by name."""
