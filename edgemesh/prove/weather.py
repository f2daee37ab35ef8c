"""What a bad link does to what it carries: later, less, twice, in another order, or nothing at all. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """One direction of a link.

    Each packet takes `delay_s` give or take `jitter_s`, whatever came before it, so that packets overtake each other.
    `loss` and `doubled` are shares, 0 to 1. `rate` is bytes a second, 0 for as many as come; what is faster waits in a
    queue of `queue_bytes`, and is lost where that is full. With `drops` everything is lost, and nobody is told.
    """

    delay_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0
    doubled: float = 0.0
    rate: float = 0.0
    queue_bytes: int = 32_768
    drops: bool = False


CALM = Weather()
GONE = Weather(drops=True)


@dataclass(slots=True)
class Lane:
    """One direction at work. Times are seconds of one clock; chance comes from the caller.

    `carried` and `lost` count packets, `lost` also those that found the queue full.
    """

    chance: random.Random
    weather: Weather = CALM
    carried: int = 0
    lost: int = 0
    free_s: float = field(default=0.0)
    """When the last packet of the queue has left."""

    def arrivals(self, size: int, now_s: float) -> tuple[float, ...]:
        """When a packet of `size` bytes arrives that is sent now; twice where it is doubled, none: it is lost."""
        weather, chance = self.weather, self.chance
        if weather.drops or chance.random() < weather.loss:
            self.lost += 1
            return ()
        if weather.rate:
            leaves_s = max(self.free_s, now_s)
            if (leaves_s - now_s) * weather.rate + size > weather.queue_bytes:
                self.lost += 1
                return ()
            self.free_s = now_s = leaves_s + size / weather.rate
        self.carried += 1
        copies = 2 if chance.random() < weather.doubled else 1
        return tuple(
            now_s + max(0.0, weather.delay_s + chance.uniform(-weather.jitter_s, weather.jitter_s))
            for _ in range(copies)
        )
