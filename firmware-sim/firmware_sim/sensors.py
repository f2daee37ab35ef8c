"""What a sick sensor makes of a good value."""

import math
from random import Random

from firmware_sim.channels import Channel

SENTINEL = 65535.0
"""What a Modbus register holds when the sensor is gone (all bits set)."""
SENTINEL_CEL = 127.94
"""What a DS18B20 reads when it is starved of power, Cel."""


def distort(field: str, strength: float, channel: Channel, value: float, held: float | None, rng: Random) -> float:
    """The faulty reading instead of the good reading `value` (noise included), in the channel's unit.

    By `field`: `stuck` repeats `held`, the reading at the onset; `drift` adds `strength` x span; `spike` throws one
    sample off by 5-20 σ with probability `strength`; `noise` makes the noise `strength` times as wide; `sentinel`
    gives the value by which drivers report a missing sensor.
    """
    if field == "stuck":
        return value if held is None else held
    if field == "drift":
        return value + strength * channel.span
    if field == "spike":
        if rng.random() >= strength:
            return value
        return value + rng.choice((-1.0, 1.0)) * rng.uniform(5.0, 20.0) * channel.sigma(value)
    if field == "noise":
        extra = math.sqrt(max(0.0, strength**2 - 1.0))
        return value + rng.gauss(0.0, 1.0) * extra * channel.sigma(value)
    if field == "sentinel":
        return SENTINEL_CEL if channel.unit == "Cel" else SENTINEL
    message = f"no sensor fault {field!r}"
    raise ValueError(message)
