"""Faults under way: how deep they are, and what they do to the condition of a machine."""

from collections.abc import Iterable
from dataclasses import dataclass

from firmware_sim.channels import Metrics
from firmware_sim.faults import Fault

HEALTHY_VALUE = {"inlet": 1.0, "outlet": 1.0}
"""Healthy values of condition fields; all others are 0."""


@dataclass(slots=True)
class Ailment:
    """One fault of one asset under way; `depth` grows from 0 to 1 within `ramp_s` simulated seconds.

    `before` holds the true values of the asset's devices at the onset, `held` the reading of a stuck sensor.
    """

    id: str
    fault: Fault
    asset: str
    device: str
    metric: str | None
    ramp_s: float
    before: dict[str, Metrics]
    depth: float = 0.0
    held: float | None = None
    mended_s: int = 0

    def deepen(self) -> bool:
        """One second later; True once, when full depth is reached."""
        if self.depth >= 1.0:
            return False
        self.depth = 1.0 if self.ramp_s < 1.0 else min(1.0, self.depth + 1.0 / self.ramp_s)
        return self.depth >= 1.0

    @property
    def strength(self) -> float:
        """The fault's field at this depth."""
        healthy = HEALTHY_VALUE.get(self.fault.field, 0.0)
        return healthy + (self.fault.full - healthy) * self.depth


def fields_of(ailments: Iterable[Ailment], asset: str, target: str) -> dict[str, float]:
    """The fields of the condition of `asset`'s `target` that are not healthy."""
    return {
        ailment.fault.field: ailment.strength
        for ailment in ailments
        if ailment.asset == asset and ailment.fault.target == target
    }
