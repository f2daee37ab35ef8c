"""Rows of others' logs that can't be read: sent again, then given up, or waited for until this program is newer."""

from __future__ import annotations

import copy
import enum
import logging

from edgemesh.log.follower import Follower
from edgemesh.wire.codec import VERSION
from edgemesh.wire.place import Place, read_place

logger = logging.getLogger(__name__)

MAX_TRIES = 3
MAX_LOGS = 1_000


class Fate(enum.Enum):
    """What becomes of the log: the bytes are refused and counted in each case but the last."""

    REFUSED = "it is not the row that we wait for, or it does not say which row it is"
    ASK = "the row that we wait for; it may come whole when it comes again"
    GIVEN_UP = "the row that we wait for, broken each time: the log goes on behind it, and the row is lost"
    HALTED = "the row is of a newer version: the log waits, nothing is skipped"
    HALTED_AGAIN = "as HALTED, and that was counted before"


class Unread:
    """Knows for each log which row was broken how often. What `judge` notes counts once `keep` is called.

    Only the row that a log waits for is counted, and any whole copy of it puts an end to that: a stranger's bytes stop
    no log. `halted` are logs written in a newer version, by agent.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._tries: dict[str, tuple[str, int, int]] = {}
        self._fresh: dict[str, tuple[str, int, int]] = {}
        self._fresh_halts: set[str] = set()
        self.halted: dict[str, int] = {}

    def judge(self, agent: str, payload: bytes, follower: Follower) -> tuple[Fate, Place | None]:
        """What becomes of the log of `agent`, in which `follower` stands, after a pack that can't be decoded."""
        place = read_place(payload, agent=agent)
        if place is None:
            return Fate.REFUSED, None
        if place.v > VERSION:
            return self._halt(agent, place), place
        position = follower.position
        if position is not None and position.epoch != place.epoch:  # only rows that can be read begin another log
            return Fate.REFUSED, place
        verdict = copy.deepcopy(follower).receive(place.epoch, place.seq, place.lowest)
        if verdict.ask:
            return Fate.ASK, place
        if not verdict.take:
            return Fate.REFUSED, place
        *row, tries = self._fresh.get(agent) or self._tries.get(agent) or ("", 0, 0)
        tries = tries + 1 if row == [place.epoch, place.seq] else 1
        self._fresh[agent] = (place.epoch, place.seq, tries)
        return Fate.ASK if tries < MAX_TRIES else Fate.GIVEN_UP, place

    def read(self, agent: str) -> None:
        """A row of this log was read and taken in."""
        if agent in self.halted:
            del self.halted[agent]
            logger.warning("%s: the log of %s can be read again", self._name, agent)

    def keep(self) -> None:
        """What was judged since the last `keep` is on the disk."""
        self._tries |= self._fresh
        self._fresh.clear()
        self._fresh_halts.clear()
        while len(self._tries) > MAX_LOGS:
            del self._tries[next(iter(self._tries))]
        while len(self.halted) > MAX_LOGS:
            del self.halted[next(iter(self.halted))]

    def undo(self) -> None:
        """What was judged since the last `keep` is judged again."""
        self._fresh.clear()
        for agent in self._fresh_halts:
            self.halted.pop(agent, None)
        self._fresh_halts.clear()

    def _halt(self, agent: str, place: Place) -> Fate:
        if self.halted.get(agent) == place.v:
            return Fate.HALTED_AGAIN
        self.halted[agent] = place.v
        self._fresh_halts.add(agent)
        logger.error(
            "%s: the log of %s is written in version %d from row %d on, and this program understands version %d. "
            "Upgrade it; until then the log waits, and nothing of it is skipped",
            self._name, agent, place.v, place.seq, VERSION,
        )  # fmt: skip
        return Fate.HALTED
