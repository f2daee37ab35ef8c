"""The faults that a proof throws at a site: one row each."""

from __future__ import annotations

import enum
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


class Victim(enum.StrEnum):
    """What a fault hits."""

    BROKER = "broker"
    GATEWAY = "gateway"
    DETECTOR = "detector"
    SCHEDULER = "scheduler"
    RECORDER = "recorder"


class How(enum.StrEnum):
    """What is done to it: `kill -9` and a new start, or SIGSTOP for a while and SIGCONT."""

    KILL = "kill"
    FREEZE = "freeze"


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault; `share` is how often it comes, relative to the others."""

    name: str
    catalogue: str
    victim: Victim
    how: How
    share: int


FAULTS = (
    Fault("broker_killed", "F1", Victim.BROKER, How.KILL, 18),
    Fault("gateway_killed", "F2", Victim.GATEWAY, How.KILL, 18),
    Fault("detector_killed", "F3", Victim.DETECTOR, How.KILL, 12),
    Fault("scheduler_killed", "F4", Victim.SCHEDULER, How.KILL, 6),
    Fault("recorder_killed", "F5", Victim.RECORDER, How.KILL, 6),
    Fault("detector_frozen", "F7", Victim.DETECTOR, How.FREEZE, 0),
    Fault("scheduler_frozen", "F7", Victim.SCHEDULER, How.FREEZE, 0),
    Fault("gateway_frozen", "F7", Victim.GATEWAY, How.FREEZE, 0),
    Fault("broker_frozen", "F7", Victim.BROKER, How.FREEZE, 0),
)
"""The standard mix has those with a share; the others come when they are asked for by name."""


def choose(only: Sequence[str]) -> tuple[Fault, ...]:
    """The faults of these names or catalogue numbers, equally often; none named: the standard mix."""
    if not only:
        return tuple(fault for fault in FAULTS if fault.share)
    return tuple(fault for fault in FAULTS if fault.name in only or fault.catalogue in only)


def plan(faults: Sequence[Fault], count: int, seed: int) -> list[Fault]:
    """So many faults in an order that follows from the seed, each as often as its share says (at least once)."""
    total = sum(max(fault.share, 1) for fault in faults)
    deck = [fault for fault in faults for _ in range(max(1, count * max(fault.share, 1) // total))]
    while len(deck) < count:
        deck.append(faults[len(deck) % len(faults)])
    random.Random(f"{seed}:faults").shuffle(deck)
    return deck[:count]


def endless(seed: int) -> Iterator[Fault]:
    """All faults of the table for ever, in rounds shuffled by the seed; what the mix leaves out comes once a round."""
    chance = random.Random(f"{seed}:soak")
    while True:
        deck = [fault for fault in FAULTS for _ in range(max(1, fault.share // 6))]
        chance.shuffle(deck)
        yield from deck
