"""The producer's side of an agent: its outbox goes onto the bus, as far as its readers have room."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from edgemesh.bus.contract import Bus
from edgemesh.errors import LogDamaged
from edgemesh.log.feeder import Feeder
from edgemesh.log.journal import Journal, Row
from edgemesh.wire import codec
from edgemesh.wire.topics import Topics

logger = logging.getLogger(__name__)

CACHE_ROWS = 1_024
CACHE_BYTES = 8 * 1024 * 1024
READ_ROWS = 256
READ_BYTES = 4 * 1024 * 1024

InWorker = Callable[[Callable[[], list[Row]]], Awaitable[list[Row]]]


class Feed:
    """Publishes rows as the feeder says; rows just committed come from memory, older ones from disk.

    With `now_ns`, the agent's clock, packs say when their row was committed and published. All methods run on the event
    loop; `in_worker` reads the disk, in the agent's worker thread, never during a step.
    """

    def __init__(
        self,
        bus: Bus,
        journal: Journal,
        topics: Topics,
        kind: str,
        in_worker: InWorker,
        *,
        readers: Sequence[str],
        window: int,
        now_ns: Callable[[], int] | None = None,
    ) -> None:
        self._bus, self._journal = bus, journal
        self._readers, self._window = tuple(readers), window
        self._kind = kind
        self._feeder = self._make_feeder()
        self._topic = topics.log(kind, journal.agent)
        self._in_worker = in_worker
        self._recent: OrderedDict[int, Row] = OrderedDict()
        self._recent_bytes = 0
        self._now_ns = now_ns
        self._commit_us: dict[int, int] = {}
        self._watcher: Callable[[], None] | None = None
        self.resent = 0
        self.mended = 0

    def _make_feeder(self) -> Feeder:
        journal = self._journal
        return Feeder(
            journal.epoch,
            self._readers,
            head=journal.head,
            lowest=journal.lowest,
            window=self._window,
            fresh=journal.fresh,
            lanes=self._kind == "readings",
        )

    @property
    def feeder(self) -> Feeder:
        """The rules by which rows are due."""
        return self._feeder

    def watch(self, watcher: Callable[[], None]) -> None:
        """Have somebody in this process called whenever rows were committed, with or without a link."""
        self._watcher = watcher

    def begin_anew(self) -> None:
        """The journal goes on under another epoch: whatever it holds goes out again."""
        self._feeder = self._make_feeder()
        self._recent.clear()
        self._commit_us.clear()
        self._recent_bytes = 0
        self._feeder.linked(self._bus.linked)

    def committed(self, rows: Sequence[Row]) -> None:
        """Take note of rows that are on the disk now."""
        for row in rows:
            self._recent[row.seq] = row
            self._recent_bytes += len(row.body)
            self._commit_us[row.seq] = self._since_us(row)
        while self._recent and (len(self._recent) > CACHE_ROWS or self._recent_bytes > CACHE_BYTES):
            seq, gone = self._recent.popitem(last=False)
            self._recent_bytes -= len(gone.body)
            self._commit_us.pop(seq, None)
        self._feeder.committed(self._journal.head, self._journal.lowest)
        if rows and self._watcher is not None:
            self._watcher()

    def heard(self, group: str, payload: bytes, now_s: float, *, retained: bool = False) -> None:
        """Take a reader's watermark, or its wish to have rows again. Raises Rejected for bytes that break the rules."""
        mark = codec.decode_watermark(payload)
        if mark.resend:
            self._feeder.ask(group, mark.epoch, mark.through, now_s, mark.ahead)
        else:
            self._feeder.mark(group, mark.epoch, mark.through, mark.ahead, retained=retained)

    async def pump(self) -> bool:
        """Publish rows that are due, READ_ROWS at most; return whether to call again soon, as more are due.

        Between two calls what was offered to the agent is committed, so that a long backlog holds up nothing new.
        """
        if not self._bus.linked or self._feeder.rolled_back:
            return False
        due = self._feeder.due(READ_ROWS)
        for span in due:
            rows = await self.rows(span)
            if not all(self._publish(row) for row in rows):
                return False
            if len(rows) < len(span):
                break
        return bool(due)

    async def rows(self, span: range) -> list[Row]:
        """Rows of the outbox that are committed, from memory where they are still there; fewer if they are many."""
        if all(seq in self._recent for seq in span):
            return [self._recent[seq] for seq in span]
        self.resent += len(span)
        return await self._in_worker(partial(self._read, span.start - 1, len(span)))

    def _read(self, after: int, limit: int) -> list[Row]:
        """Rows from the disk. One that is damaged is counted, said and given up: nobody can have it any more."""
        while True:
            try:
                return self._journal.rows(after, limit=limit, max_bytes=READ_BYTES)
            except LogDamaged as damage:
                if not damage.seq:
                    raise
                self._journal.mend(damage.seq, self._kind, at_ns=time.time_ns())
                logger.error("%s; it is given up and kept in the quarantine", damage)
                self.mended += 1

    def _since_us(self, row: Row) -> int:
        """How long ago the row was stamped, in microseconds; 0: nobody can tell."""
        return max(0, self._now_ns() - row.at_ns) // 1_000 if self._now_ns is not None else 0

    def _publish(self, row: Row) -> bool:
        payload = codec.encode_pack(
            row.kind,
            agent=self._journal.agent,
            epoch=self._journal.epoch,
            seq=row.seq,
            lowest=self._journal.lowest,
            at_ns=row.at_ns,
            trace=row.trace,
            live=self._feeder.live,
            commit_us=self._commit_us.get(row.seq, 0),
            publish_us=self._since_us(row),
            body=row.body,
        )
        if not self._bus.publish(self._topic, payload, traceparent=row.trace, bulk=self._kind == "readings"):
            return False
        self._feeder.published(row.seq)
        return True
