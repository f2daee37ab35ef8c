"""The care for the disk of one agent: room for what comes in, how much is written, and saying aloud what is wrong.

When there is no room, a log of readings lets its oldest go; a log of alerts or orders keeps all and takes nothing in.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from edgemesh.agents.engine import Engine
from edgemesh.errors import LogDamaged, LogError, LogFull
from edgemesh.log.disk import written_bytes
from edgemesh.log.filling import Filling
from edgemesh.log.journal import DROPPED, Journal, Row
from edgemesh.log.writes import Writes
from edgemesh.model.agents import Card
from edgemesh.model.samples import Batch
from edgemesh.store.contract import Noticing, Outlet

logger = logging.getLogger(__name__)

DROP_BYTES = (256 * 1024, 16 * 1024 * 1024)
"""What gives way at once: at first, and at most; it doubles while it is not enough."""
DROP_ROWS = 4_096
READINGS = "readings"

_batches = msgspec.json.Decoder(tuple[Batch, ...])


FULL = "the log is full: the oldest readings give way"
DAMAGED = "rows of the log were damaged"


@dataclass(slots=True)
class _Loss:
    """A loss that goes on, or of which perhaps nobody has heard: `what` happened, when the log had come to row `head`.

    It stands until every reader has got past that row, and a little longer: then there is a detector that hears cards.
    """

    mended: int
    what: str = ""
    head: int = 0
    passed: bool = False

    def note(self, what: str, head: int) -> None:
        """Something of the log is gone."""
        self.what, self.head, self.passed = what, head, False

    def is_over(self, needed: int) -> bool:
        """Ask from time to time; True once, the second time that all readers are past it."""
        over = bool(self.what) and self.passed and needed >= self.head
        self.passed = needed >= self.head
        if over:
            self.what = ""
        return over


class Storage:
    """Cares for an agent's disk; `hold_s` is how long readings wait for a reader at most. `outlet` is where what the
    agent keeps goes besides, if anywhere: it has its own words for how that goes, as have `notices`.

    `make_room`, `keep_house` and `give_up` are called in the worker thread, never during a step.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        keep_s: float = 600.0,
        hold_s: float | None = None,
        write_budget: int | None = None,
        outlet: Outlet | None = None,
        notices: Sequence[Noticing] = (),
    ) -> None:
        self._engine = engine
        self._outlet = outlet
        self._notices = list(notices)
        self._drops = engine.writes == READINGS
        self._keep_s, self._hold_s = keep_s, hold_s
        self._had: deque[tuple[float, int]] = deque()
        self._now_s = time.monotonic()
        self._counter = written_bytes() or 0
        self._writes = Writes(write_budget, written=self._counter, now_s=self._now_s)
        self._paced = self._drops or not engine.writes
        self._filling = Filling()
        self._amount = DROP_BYTES[0]
        self._failure = ""
        self._loss = _Loss(self._journal.mended)
        self._complaint = ""
        self._hold_left_s: float | None = None
        self._overspent = False
        self.dropped = self._journal.rejections().get(DROPPED, 0)
        self._tell()

    @property
    def _journal(self) -> Journal:
        return self._engine.journal

    # -- what the card says -------------------------------------------------------------------------------------------

    @property
    def lost(self) -> int:
        """Readings that gave way before every reader had them, and rows that were damaged, ever."""
        return self.dropped + self._journal.mended

    @property
    def failing(self) -> bool:
        """Whether what comes in can't be kept."""
        return bool(self._failure)

    @property
    def trouble(self) -> str:
        """What this agent can't do now, for people; empty: all is well."""
        if self._failure:
            return f"can't keep what comes in: {self._failure}"[:200]
        if self._loss.what:
            return self._loss.what
        if self._journal.room.tight:
            return "the disk is full: the log makes do with the room it has"
        return self._outlet.trouble if self._outlet else ""

    @property
    def notice(self) -> str:
        """What goes badly but harms nothing so far, for people; empty: nothing."""
        told = (each.notice for each in self._notices)
        return (self._outlet.notice if self._outlet else "") or next(filter(None, told), "")

    def heed(self, notice: Noticing) -> None:
        """From now on the card says what this has to say, too."""
        self._notices.append(notice)

    def saw(self, card: Card, *, retained: bool) -> None:
        """A card of an agent came, perhaps our own."""
        if self._outlet:
            self._outlet.see(card, retained=retained)

    def stats(self) -> dict[str, float]:
        """Health numbers for the card; `full_in_s` is there only while the log fills."""
        told = {
            "damaged": float(self._journal.mended),
            "readings_dropped": float(self.dropped),
            "written_mb_per_day": round(self._writes.per_day / 1e6, 1),
            "commit_rest_ms": round(1000.0 * self.rest_s),
        }
        waits = [wait for wait in (self._filling.full_in_s, self._hold_left_s) if wait is not None]
        if waits:
            told["full_in_s"] = round(min(waits))
        return told | (self._outlet.stats() if self._outlet else {})

    # -- how things go ------------------------------------------------------------------------------------------------

    @property
    def rest_s(self) -> float:
        """How long to wait after a commit, so that the write budget lasts; alerts and orders never wait."""
        return self._writes.rest_s if self._paced else 0.0

    def beat(self) -> None:
        """Call it once a second: take note of what was written and damaged meanwhile."""
        if self._journal.mended > self._loss.mended:
            self._loss.mended = self._journal.mended
            self._loss.note(DAMAGED, self._journal.head)
        written = written_bytes()
        if written is not None:
            self._writes.note(written, time.monotonic())
        if self._paced and self._writes.spent != self._overspent:
            self._overspent = self._writes.spent
            if self._overspent:
                logger.warning("%s: more is written than the write budget allows", self._journal.agent)

    def complain(self, error: LogError) -> None:
        """Something beside the steps went wrong with the log; the same is said once."""
        if str(error) != self._complaint:
            logger.error("%s: %s", self._journal.agent, error)
        self._complaint = str(error)

    def failed(self, error: LogError) -> None:
        """What came in can't be kept; said once."""
        if not self._failure:
            logger.error("%s: can't keep what comes in, waiting: %s", self._journal.agent, error)
        self._failure = str(error)

    def kept(self) -> None:
        """What came in is on the disk."""
        self._amount = DROP_BYTES[0]
        if self._failure:
            logger.warning("%s: keeps what comes in again", self._journal.agent)
            self._failure = ""

    # -- in the worker thread -----------------------------------------------------------------------------------------

    def make_room(self, needed: int) -> bool:
        """Try to make room for what doesn't fit; whether it is worth while to try again at once.

        Rows up to `needed` all readers have; those after it that have to go are counted, reading by reading. Only
        readings ever give way; for the rest there is the reserve, once.
        """
        room = self._journal.room
        squeezed = room.tight
        try:
            if self._drops and self._drop_oldest(needed):
                return True
        except LogFull:
            squeezed = False  # the write-ahead log has no room even for a deletion
        except LogError:
            return False
        if squeezed:
            return False
        try:
            self._say(room.tight, "the disk is full: the log makes do with the room it has")
            room.squeeze(freeze=self._drops)
            return self._drop_oldest(needed) if self._drops else True
        except LogError:
            return False

    def _drop_oldest(self, needed: int) -> bool:
        """Let some of the oldest readings go; False: there are none."""
        rows = self._oldest()
        if rows:
            self._drop(rows, needed)
            self._amount = min(2 * self._amount, DROP_BYTES[1])
        return bool(rows)

    def _drop(self, rows: Sequence[Row], needed: int) -> None:
        lost = sum(_readings(row) for row in rows if row.seq > needed)
        self._journal.drop(rows[-1].seq, lost=lost)
        if lost:
            self.dropped += lost
            self._say(self._loss.what == FULL, FULL)
            self._loss.note(FULL, self._journal.head)

    def keep_house(self, needed: int) -> None:
        """Prune, trim, let go what waits for too long, take the reserve again, and look how fast the disk fills."""
        self._engine.keep_house(self._had_for_long(needed), keep_s=self._keep_s)
        if self._drops and self._hold_s is not None:
            self._let_go(needed, self._hold_s)
        room = self._journal.room
        if self._loss.is_over(needed):
            logger.warning("%s: nothing of the log gets lost any more", self._journal.agent)
        if room.tight and room.relax():
            logger.warning("%s: the disk has room again", self._journal.agent)
        self._filling.note(room.left_bytes(), time.monotonic())

    def _had_for_long(self, needed: int) -> int:
        """The row up to which all readers had everything `keep_s` ago.

        Rows of a backlog are old when they are read at last; a newcomer has to warm up on them all the same.
        """
        now_s = time.monotonic()
        if not self._had or needed > self._had[-1][1]:
            self._had.append((now_s, needed))
        while len(self._had) > 1 and now_s - self._had[1][0] >= self._keep_s:
            self._had.popleft()
        since_s, had = self._had[0]
        return had if now_s - since_s >= self._keep_s else 0

    def _let_go(self, needed: int, hold_s: float) -> None:
        """Drop readings that wait longer than they may for a reader."""
        timeline = self._engine.timeline
        now_ns = timeline.now_ns()
        if now_ns is None:
            return
        late_ns = now_ns - int(hold_s * 1e9)
        while late := [row for row in self._oldest() if row.at_ns + timeline.offset_ns(row.seq) < late_ns]:
            self._drop(late, needed)
        unread = self._journal.rows(needed, limit=1, max_bytes=1)
        waits = [row.at_ns + timeline.offset_ns(row.seq) - late_ns for row in unread]
        self._hold_left_s = waits[0] / 1e9 if waits else None

    def _oldest(self) -> Sequence[Row]:
        journal = self._journal
        while True:
            try:
                return journal.rows(journal.lowest - 1, limit=DROP_ROWS, max_bytes=self._amount)
            except LogDamaged as damage:
                if not damage.seq:
                    raise
                journal.mend(damage.seq, self._engine.writes, at_ns=time.time_ns())

    def start_over(self, damage: LogDamaged) -> bool:
        """Begin a new log with what can be read of a damaged one; False: only a log of readings may be left so."""
        if not self._drops:
            self.complain(damage)
            return False
        self._journal.start_over(damage)
        self._tell()
        return True

    def renew(self, why: str) -> None:
        """Go on under a new epoch, for consumers have rows of this one that the file has not."""
        self._journal.renew(why)
        logger.error("%s: the log is an older copy (%s); it goes on under a new epoch", self._journal.agent, why)

    def _tell(self) -> None:
        """Say what was found wrong with the file."""
        for found in self._journal.found:
            logger.error("%s: %s", self._journal.agent, found)
        self._journal.found.clear()

    def _say(self, said: bool, text: str) -> None:
        if not said:
            logger.error("%s: %s", self._journal.agent, text)


def _readings(row: Row) -> int:
    if row.kind != READINGS:
        return 0
    try:
        return sum(batch.readings for batch in _batches.decode(row.body))
    except msgspec.MsgspecError:
        return 0
