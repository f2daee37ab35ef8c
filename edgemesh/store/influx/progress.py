"""What sender and spool tell each other: the sender's thread says what is over, the recorder's says what is there.

Only the recorder writes its database. So the sender leaves word here of rows that InfluxDB has taken, or refused for
good, and the recorder's next transaction takes them out. Word that is lost with the process is no harm: those rows
are sent again, and the same point twice is one.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

MAX_WAITING_DEAD = 200
"""So many dead letters wait for the recorder at most; the sender waits with more."""


@dataclass(frozen=True, slots=True)
class Dead:
    """Lines that were refused for good. `lines` counts those that are not stored, `body` holds them and perhaps others
    of their request; `key` is the same for the same lines.
    """

    key: str
    lane: int
    lines: int
    reason: str
    body: bytes


@dataclass(slots=True)
class Health:
    """How sending goes, for people. `held`: the server refuses us for a reason that somebody must see to; `failing`: it
    takes nothing now; both are texts, empty: no. `since_s` is when it began, on the monotonic clock.
    """

    held: str = ""
    failing: str = ""
    since_s: float = 0.0
    sent_lines: int = 0
    requests: int = 0
    refused: str = ""
    refused_at_s: float = 0.0


@dataclass(slots=True)
class Progress:
    """Word between the two threads; every method may be called in any."""

    health: Health = field(default_factory=Health)
    _done: dict[int, int] = field(default_factory=dict)
    _dead: list[Dead] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def over(self, lane: int, row: int) -> None:
        """All rows of the lane up to this one are dealt with."""
        with self._lock:
            self._done[lane] = max(row, self._done.get(lane, 0))

    def bury(self, dead: Dead) -> None:
        """Leave lines that were refused for good to the recorder; before the word that their row is over."""
        with self._lock:
            self._dead.append(dead)

    def is_crowded(self) -> bool:
        """Whether the recorder has to take dead letters first."""
        return len(self._dead) >= MAX_WAITING_DEAD

    def done(self) -> dict[int, int]:
        """By lane, the last row that is dealt with."""
        with self._lock:
            return dict(self._done)

    def dead(self) -> list[Dead]:
        """The dead letters that nobody has confirmed."""
        with self._lock:
            return list(self._dead)

    def buried(self, keys: set[str]) -> None:
        """Dead letters with these keys are on the disk."""
        with self._lock:
            self._dead = [dead for dead in self._dead if dead.key not in keys]
