"""Which fault comes when: a seeded plan, asked once per step."""

from collections.abc import Collection
from dataclasses import dataclass
from random import Random

from firmware_sim.faults import FAULTS

OPENING = "inlet_valve_closing"
"""The first fault of every steady scenario: nobody can overlook it."""
DECK = (
    "bearing_wear",
    "leak",
    "stuck_sensor",
    "dropped_device",
    "outlet_valve_closing",
    "imbalance",
    "phase_loss",
    "cavitation",
    "inlet_valve_closing",
    "impeller_wear",
    "winding_fault",
    "sensor_drift",
)
"""Faults of the steady scenario: clearly visible ones, shuffled; each comes once before any comes again."""
SCENARIOS = ("steady", "none")


@dataclass(frozen=True, slots=True)
class Injection:
    """A fault to inject now."""

    fault: str
    asset: str


class Scenario:
    """The steady scenario: a first fault after `first_s`, then one every `every_s` seconds of wall time.

    A fault that is due waits while no healthy asset can have it; the ones after it keep their times.
    """

    def __init__(self, seed: int, first_s: float = 15.0, every_s: float = 20.0) -> None:
        self._rng = Random(f"{seed}:scenario")
        self._next_s, self._every_s = first_s, every_s
        self._deck = [OPENING]

    def due(self, elapsed_s: float, healthy: Collection[str]) -> Injection | None:
        """The fault to inject `elapsed_s` seconds after the start, if any; `healthy` assets are candidates."""
        if elapsed_s < self._next_s:
            return None
        if not self._deck:
            self._deck = self._rng.sample(DECK, len(DECK))
        fault = self._deck[-1]
        targets = [asset for asset in sorted(healthy) if _suits(fault, asset)]
        if not targets:
            return None
        self._deck.pop()
        self._next_s = max(self._next_s + self._every_s, elapsed_s)
        return Injection(fault, self._rng.choice(targets))


def _suits(fault: str, asset: str) -> bool:
    """Whether the asset has what the fault acts on."""
    target = FAULTS[fault].target
    return target in {"sensor", "device"} or asset.startswith("tank-") == (target == "tank")
