"""Compact machines: fan, gearbox, compressor, seal, heat exchanger, cold room, cabinet, gateway; each a row of a table.

They play beside the hall, one at a time, without a network: channels, faults, and a function that moves them on. Lags
are `y += (target - y) (1 - exp(-dt / lag))`, so that a step may be as long as the period of the sensors.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random

from firmware_sim.channels import Channel, Metrics
from firmware_sim.surroundings import START_HOUR

Depths = Mapping[str, float]
"""Depth 0..1 of each fault of the machine."""


@dataclass(frozen=True, slots=True)
class CompactFault:
    """A fault: how long (simulated s) it takes to full depth, its code, who mends it, and what shows."""

    name: str
    ramp_s: float
    code: str
    skills: tuple[str, ...]
    action: str
    shows: str


@dataclass(slots=True)
class Scene:
    """What a machine's function sees: its `state`, the depths of its faults, time, air (Cel), load 0..1, chance."""

    state: dict[str, float]
    depths: dict[str, float]
    rng: Random
    period_s: float
    second: float = 0.0
    air_cel: float = 22.0
    load: float = 0.75

    @property
    def hour(self) -> float:
        """Hour of the simulated day, 0..24."""
        return (START_HOUR + self.second / 3600.0) % 24.0

    @property
    def in_shift(self) -> bool:
        """From 6 to 22 o'clock on the first five days of each week."""
        day = int((START_HOUR + self.second / 3600.0) // 24.0) % 7
        return day < 5 and 6.0 <= self.hour < 22.0

    def lag(self, name: str, target: float, lag_s: float) -> float:
        """Move the named state towards `target` and return it; it begins there."""
        value = self.state.get(name, target)
        value += (target - value) * -math.expm1(-self.period_s / lag_s)
        self.state[name] = value
        return value

    def wander(self, name: str, share: float, lag_s: float) -> float:
        """A factor that strays about 1 with this standard deviation and comes back within `lag_s`."""
        memory = math.exp(-self.period_s / lag_s)
        kick = share * math.sqrt(1.0 - memory * memory)
        value = 1.0 + (self.state.get(name, 1.0) - 1.0) * memory + self.rng.gauss(0.0, kick)
        self.state[name] = value
        return value


@dataclass(frozen=True, slots=True)
class Model:
    """A kind of machine: sensors, faults, period of its samples, and the true values of its next one."""

    kind: str
    period_s: float
    channels: tuple[Channel, ...]
    faults: tuple[CompactFault, ...]
    step: Callable[[Scene], Metrics]
    begin: Mapping[str, float] = field(default_factory=dict)


class CompactMachine:
    """One machine; `step` yields its next sample, `period_s` after the one before. All chance is the seed's."""

    def __init__(self, model: Model, seed: int = 7) -> None:
        self.model = model
        self._noise = Random(f"{seed}:{model.kind}:noise")
        depths = {fault.name: 0.0 for fault in model.faults}
        self._scene = Scene(dict(model.begin), depths, Random(f"{seed}:{model.kind}"), model.period_s)
        self._ramps: dict[str, float] = {}

    def inject(self, fault: str, ramp_s: float | None = None) -> None:
        """Begin a fault of this machine. Raises KeyError for another's."""
        known = {each.name: each for each in self.model.faults}[fault]
        self._ramps[fault] = known.ramp_s if ramp_s is None else ramp_s

    def repair(self, fault: str) -> None:
        """End a fault; lags remain."""
        self._ramps.pop(fault, None)
        self._scene.depths[fault] = 0.0

    def step(self) -> Metrics:
        """The next sample: `period_s` later, with noise."""
        scene = self._scene
        scene.second += scene.period_s
        for fault, ramp_s in self._ramps.items():
            share = 1.0 if ramp_s < scene.period_s else scene.period_s / ramp_s
            scene.depths[fault] = min(1.0, scene.depths[fault] + share)
        day = math.sin(2.0 * math.pi * (scene.hour - 9.0) / 24.0)
        scene.air_cel = scene.lag("air", 22.0 + 3.5 * day, 3600.0)
        scene.load = scene.lag("load", 0.8 if scene.in_shift else 0.55, 900.0) * scene.wander("load walk", 0.03, 300.0)
        true = self.model.step(scene)
        metrics: Metrics = {}
        for channel in self.model.channels:
            value = true[channel.metric]
            metrics[channel.metric] = channel.digitise(channel.sample(value, self._noise))
        metrics |= {name: value for name, value in true.items() if isinstance(value, bool)}
        return metrics
