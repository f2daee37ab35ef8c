"""When and whence something is handled."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Moment:
    """When and whence something is handled: the receiver's time, its clock of watchful time, the pack's name.

    `hushed`: what comes of it is not said at once.
    """

    now_ns: int = 0
    clock_ns: int = 0
    origin: str = ""
    hushed: bool = False
