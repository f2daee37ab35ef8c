"""The hall: machines in pairs on closed water circuits, their sensors, and the faults that ail them.

Pure: everything follows from the seed and the calls, one `step` is one simulated second.
"""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from random import Random
from typing import Literal

from firmware_sim.ailments import Ailment, fields_of
from firmware_sim.channels import CHANNELS, Metrics
from firmware_sim.faults import FAULTS, LEADING
from firmware_sim.motor import Motor, MotorCondition
from firmware_sim.pump import Pump, PumpCondition
from firmware_sim.sensors import distort
from firmware_sim.surroundings import Surroundings, Wander
from firmware_sim.tank import LevelSwitch, Tank, TankCondition

Kind = Literal["pump", "motor", "tank"]
PUMPS_PER_TANK = 2
DEMAND_M3H = 62.0
"""What the process uses up of the water that one pump circulates, m3/h."""
BASIN_M2 = 120.0
"""Area of a tank of the hall: large enough that a fault of one pump does not show in its level within minutes."""
RUN_IN_K = 5.0
"""By how much a new bearing is warmer during its first day (only with `aftermath`)."""
OFFSET_SHARE = 0.005
"""Offset of a new sensor, share of its span (only with `aftermath`)."""
GIVE_UP_S = 7200
"""After this many simulated seconds a mended machine counts as recovered, whatever its values say."""

_NAMESPACE = uuid.UUID("5c1bb7a3-0d0c-4a55-9a37-6d1f3a1f2a10")


@dataclass(frozen=True, slots=True)
class Device:
    """A sensor unit: its id, its kind (which firmware it runs), and the asset that it watches."""

    id: str
    kind: Kind
    asset: str


@dataclass(frozen=True, slots=True)
class Event:
    """Ground truth: what happened to a fault; `metric` is set for faults of one sensor."""

    event: Literal["injected", "full", "repaired", "recovered"]
    fault: str
    asset: str
    device: str
    metric: str | None
    id: str


@dataclass(frozen=True, slots=True)
class Repair:
    """What came of a repair: faults ended, faults that nobody with these skills ends, and a note for people."""

    mended: tuple[str, ...]
    left: tuple[str, ...]
    note: str

    @property
    def fits(self) -> bool:
        """False if there was something to mend and the skills were wrong for all of it."""
        return bool(self.mended) or not self.left

    @property
    def verdict(self) -> str:
        """What whoever did it says of the alert: replaced_part, real_fault or false_alarm; empty: cannot tell."""
        if any(FAULTS[name].action.startswith("replace") for name in self.mended):
            return "replaced_part"
        if self.mended:
            return "real_fault"
        return "" if self.left else "false_alarm"


class UnknownTarget(ValueError):
    """No such fault, asset, device or metric, or they do not go together; the message says which."""


class Hall:
    """All machines of the simulated hall.

    `pumps` pumps `pump-101`.. with a motor monitor `motor-101`.. each (same asset), and one tank for every two of
    them. With `aftermath`, repairs leave the traces that they leave in reality: a new bearing runs in warm for a
    day, a new sensor has another offset.
    """

    def __init__(self, seed: int = 7, pumps: int = 6, *, aftermath: bool = False) -> None:
        if not 1 <= pumps <= 899:
            message = f"a hall has 1..899 pumps, not {pumps}"
            raise ValueError(message)
        self.seed, self.aftermath = seed, aftermath
        self.surroundings = Surroundings(seed)
        self.second = 0
        self.devices: dict[str, Device] = {}
        self._pumps: dict[str, Pump] = {}
        self._tanks: dict[str, Tank] = {}
        self._demand: dict[str, Wander] = {}
        self._switches: dict[str, LevelSwitch] = {}
        self._fed_by: dict[str, str] = {}
        for number in range(pumps):
            self._add_pump(101 + number, f"tank-{1 + number // PUMPS_PER_TANK}")
        for number in range((pumps + PUMPS_PER_TANK - 1) // PUMPS_PER_TANK):
            self._add_tank(f"tank-{1 + number}")
        self.assets = tuple(dict.fromkeys(device.asset for device in self.devices.values()))
        self._noise = {name: Random(f"{seed}:{name}:noise") for name in self.devices}
        self._mischief = Random(f"{seed}:mischief")
        self._offsets: dict[tuple[str, str], float] = {}
        self._ailments: list[Ailment] = []
        self._mending: list[Ailment] = []
        self._events: list[Event] = []
        self._injected = 0

    def _add_pump(self, number: int, tank: str) -> None:
        name = f"pump-{number}"
        rng = Random(f"{self.seed}:{name}")
        one, two = rng.uniform(-0.006, 0.006), rng.uniform(-0.006, 0.006)
        air = self.surroundings.air_cel
        self._pumps[name] = Pump(Motor((1.0 + one, 1.0 + two, 1.0 - one - two), air), air)
        self._switches[name] = LevelSwitch(start_m=1.8)
        self._fed_by[name] = tank
        self.devices[name] = Device(name, "pump", name)
        self.devices[f"motor-{number}"] = Device(f"motor-{number}", "motor", name)

    def _add_tank(self, name: str) -> None:
        pumps = sum(1 for tank in self._fed_by.values() if tank == name)
        tank = Tank(BASIN_M2, supply_m3h=2.0 * DEMAND_M3H * pumps)
        tank.water_cel = self.surroundings.air_cel - 6.0
        self._tanks[name] = tank
        self._demand[name] = Wander(Random(f"{self.seed}:{name}:demand"), 0.03, 15.0)
        self.devices[name] = Device(name, "tank", name)

    def step(self) -> dict[str, Metrics]:
        """One second of everything; what each device that still speaks would publish, by device."""
        self.second += 1
        self._worsen()
        running = sum(1 for pump in self._pumps.values() if pump.running)
        self.surroundings.step(running / len(self._pumps))
        self._move_pumps()
        self._move_tanks()
        self._recover()
        silent = {ailment.device for ailment in self._ailments if ailment.fault.target == "device"}
        return {name: self._measure(device) for name, device in self.devices.items() if name not in silent}

    def take_events(self) -> list[Event]:
        """What happened to faults since the last call, in order."""
        events, self._events = self._events, []
        return events

    def healthy(self) -> tuple[str, ...]:
        """Assets without any fault that have also recovered from the last one."""
        sick = {ailment.asset for ailment in (*self._ailments, *self._mending)}
        return tuple(asset for asset in self.assets if asset not in sick)

    def inject(
        self,
        fault: str,
        asset: str,
        *,
        device: str | None = None,
        metric: str | None = None,
        ramp_s: float | None = None,
    ) -> str:
        """Starts a fault and returns its id; `ramp_s` simulated seconds to full depth (None: the fault's own).

        Sensor and device faults fall on `device` and `metric`, or on ones chosen by the seed. A fault that the asset
        has already is not doubled: its id is returned. Raises `UnknownTarget`.
        """
        known = FAULTS.get(fault)
        if known is None:
            raise UnknownTarget(f"no fault {fault!r}")
        if asset not in self.assets:
            raise UnknownTarget(f"no asset {asset!r}")
        for ailment in self._ailments:
            if ailment.fault is known and ailment.asset == asset:
                return ailment.id
        chosen, channel = self._aim(known.target, asset, device, metric)
        self._injected += 1
        ailment = Ailment(
            id=str(uuid.uuid5(_NAMESPACE, f"{self.seed}:{self._injected}:{fault}:{asset}")),
            fault=known,
            asset=asset,
            device=chosen,
            metric=channel,
            ramp_s=known.ramp_s if ramp_s is None else ramp_s,
            before=self._truth_of_asset(asset),
        )
        self._ailments.append(ailment)
        self._tell("injected", ailment)
        return ailment.id

    def _aim(self, target: str, asset: str, device: str | None, metric: str | None) -> tuple[str, str | None]:
        """The device (and, for a sensor fault, the metric) that a fault falls on."""
        own = [known for known in self.devices.values() if known.asset == asset]
        if target in {"pump", "motor", "tank"}:
            own = [known for known in own if known.kind == target]
            if not own:
                raise UnknownTarget(f"{asset} has no {target}")
            return own[0].id, None
        if device is not None:
            own = [known for known in own if known.id == device]
            if not own:
                raise UnknownTarget(f"{asset} has no device {device!r}")
        chosen = own[0] if target == "sensor" else self._mischief.choice(own)
        if target == "device":
            return chosen.id, None
        if metric is None:
            return chosen.id, self._mischief.choice(LEADING[chosen.kind])
        if metric not in CHANNELS[chosen.kind]:
            raise UnknownTarget(f"{chosen.id} has no metric {metric!r}")
        return chosen.id, metric

    def repair(self, asset: str, skills: Collection[str], action: str | None = None) -> Repair:
        """Somebody with `skills` works on `asset` (doing `action`, None: whatever is needed).

        Ends the faults that fit; the machine then recovers as physics lets it. Raises `UnknownTarget`.
        """
        if asset not in self.assets:
            raise UnknownTarget(f"no asset {asset!r}")
        mine = [ailment for ailment in self._ailments if ailment.asset == asset]
        mended = [ailment for ailment in mine if ailment.fault.mended_by(skills, action)]
        left = [ailment for ailment in mine if ailment not in mended]
        for ailment in mended:
            self._mend(ailment)
        if mended:
            note = ", ".join(ailment.fault.action for ailment in mended)
        elif left:
            note = "; ".join(f"needs {' or '.join(ailment.fault.skills)}" for ailment in left)
        else:
            note = "no fault found"
        return Repair(
            tuple(ailment.fault.name for ailment in mended),
            tuple(ailment.fault.name for ailment in left),
            note,
        )

    def _mend(self, ailment: Ailment) -> None:
        self._ailments.remove(ailment)
        ailment.mended_s = self.second
        self._mending.append(ailment)
        self._tell("repaired", ailment)
        if ailment.fault.target == "motor":
            self._pumps[ailment.asset].motor.reset()
        if self.aftermath and ailment.fault.action == "replace_bearing":
            self._pumps[ailment.asset].run_in_k = RUN_IN_K
        if self.aftermath and ailment.metric is not None:
            span = CHANNELS[self.devices[ailment.device].kind][ailment.metric].span
            self._offsets[ailment.device, ailment.metric] = self._mischief.uniform(-OFFSET_SHARE, OFFSET_SHARE) * span

    def _tell(self, event: Literal["injected", "full", "repaired", "recovered"], ailment: Ailment) -> None:
        self._events.append(Event(event, ailment.fault.name, ailment.asset, ailment.device, ailment.metric, ailment.id))

    def _worsen(self) -> None:
        for ailment in self._ailments:
            if ailment.deepen():
                self._tell("full", ailment)

    def _move_pumps(self) -> None:
        air, volts = self.surroundings.air_cel, self.surroundings.volts
        for name, pump in self._pumps.items():
            level_m = self._tanks[self._fed_by[name]].level_m
            pump.step(
                PumpCondition(**fields_of(self._ailments, name, "pump")),
                MotorCondition(**fields_of(self._ailments, name, "motor")),
                level_m=level_m,
                air_cel=air,
                volts=volts,
                run=self._switches[name].step(level_m),
            )

    def _move_tanks(self) -> None:
        """Pumps bring back what they draw, less what leaks; the process uses its share up."""
        for name, tank in self._tanks.items():
            pumps = [pump for pump, source in self._fed_by.items() if source == name]
            used = DEMAND_M3H * len(pumps) * self._demand[name].step()
            lost = used + sum(self._pumps[pump].leaked_m3h for pump in pumps)
            condition = TankCondition(**fields_of(self._ailments, name, "tank"))
            tank.step(lost, expected_m3h=used, air_cel=self.surroundings.air_cel, condition=condition)

    def _recover(self) -> None:
        for ailment in list(self._mending):
            if self._recovered(ailment):
                self._mending.remove(ailment)
                self._tell("recovered", ailment)

    def _recovered(self, ailment: Ailment) -> bool:
        if ailment.fault.target in {"sensor", "device"}:
            return self.second > ailment.mended_s
        if self.second - ailment.mended_s > GIVE_UP_S:
            return True
        now = self._truth_of_asset(ailment.asset)
        for name, before in ailment.before.items():
            channels = CHANNELS[self.devices[name].kind]
            for metric, channel in channels.items():
                if abs(now[name][metric] - before[metric]) > channel.settled:
                    return False
        return True

    def truth(self, device: str) -> Metrics:
        """The values of `device` without noise, fluctuation or sensor faults."""
        known = self.devices[device]
        if known.kind == "tank":
            return self._tanks[device].metrics()
        pump = self._pumps[known.asset]
        return pump.metrics() if known.kind == "pump" else pump.motor.metrics()

    def _truth_of_asset(self, asset: str) -> dict[str, Metrics]:
        return {name: self.truth(name) for name, device in self.devices.items() if device.asset == asset}

    def _measure(self, device: Device) -> Metrics:
        """What the device reads: the machine's own fluctuation, the noise, and what its sick sensors make of it."""
        rng = self._noise[device.id]
        true = self._pumps[device.id].metrics(rng) if device.kind == "pump" else self.truth(device.id)
        sick = [ailment for ailment in self._ailments if ailment.device == device.id and ailment.metric is not None]
        metrics: Metrics = {}
        for metric, channel in CHANNELS[device.kind].items():
            value = channel.sample(true[metric], rng) + self._offsets.get((device.id, metric), 0.0)
            reading = channel.digitise(value)
            for ailment in sick:
                if ailment.metric == metric:
                    reading = self._misread(ailment, value, reading)
            metrics[metric] = reading
        if "running" in true:
            metrics["running"] = true["running"]
        return metrics

    def _misread(self, ailment: Ailment, value: float, reading: float) -> float:
        assert ailment.metric is not None
        channel = CHANNELS[self.devices[ailment.device].kind][ailment.metric]
        if ailment.held is None:
            ailment.held = reading
        faulty = distort(ailment.fault.field, ailment.strength, channel, value, ailment.held, self._mischief)
        return faulty if ailment.fault.field == "sentinel" else channel.digitise(faulty)
