"""The journal: everything that an agent must not forget, in one SQLite file."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from edgemesh.errors import LogDamaged, LogError, LogFull
from edgemesh.log import quarantine, schema
from edgemesh.log.disk import in_our_words, renaming, size_of
from edgemesh.log.opening import ROLLED_BACK, Opening, connect, open_to_write
from edgemesh.log.outbox import Cursor, Row, checksum
from edgemesh.log.quarantine import Quarantined
from edgemesh.log.room import Room, give_up_reserve
from edgemesh.log.transaction import Transaction
from edgemesh.log.witness import Sighting, Witness

__all__ = ["Cursor", "Journal", "JournalStats", "Quarantined", "Row", "Transaction"]

EMPTY = b"[]"  # the body of a pack without records
DAMAGED = "damaged_row"  # the reason under which a row that can't be read is kept
PRUNE_ROWS = 1_000  # the most that one `prune` deletes, so that no commit waits long behind it
PEEKS = 10  # how often `peek` tries, with PEEK_AGAIN_S between
PEEK_AGAIN_S = 0.02
DROPPED = "readings_dropped"  # the reason under which readings are counted that gave way for want of room


@dataclass(frozen=True, slots=True)
class JournalStats:
    """Health of a journal: rows held now, sizes in bytes now, commits and the time they took since it was opened."""

    rows: int
    file_bytes: int
    wal_bytes: int
    commits: int
    commit_seconds: float


class Journal:
    """The one SQLite file of one agent: outbox, cursors, checkpoint, quarantine.

    What a transaction committed is on the disk (WAL, synchronous=FULL). May be used by any thread, by one at a time.
    `found` says what was wrong at the opening, for people; `fresh` whether the epoch began with this opening or after;
    `mended` how many damaged rows were ever given up; `room` is the journal's room on the disk.
    Every method raises LogError when the disk fails, LogDamaged when what is read is not what was written.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.path = path
        self.found: list[str] = []
        self.fresh = False
        self._connection = connection
        self.agent, self.epoch, self._pruned, self._head = schema.identity(connection, str(path))
        self._writer = ""
        self._witness = Witness(path)
        self._anew = False
        self.mended = 0
        self._others = -1
        self._commits = 0
        self._commit_s = 0.0
        self.room = Room(connection, path, None, 0)

    @classmethod
    def open(
        cls, path: Path, agent: str, *, max_bytes: int | None = None, reserve_bytes: int = 0, anew: bool = False
    ) -> Journal:
        """Open the agent's journal, and make it and its folders where they are missing.

        With `max_bytes` the file stays below that budget, and a transaction that needs more raises LogFull; with
        `reserve_bytes` it goes on when the disk is full (see `Room`). A log that was deleted, or an older copy that was
        put back, goes on under a new epoch. A damaged file raises LogDamaged; with `anew` it is moved aside, and what
        can still be read of its outbox goes on in a new one. `found` says all that. Raises LogError for the file of
        another agent, program, or newer edgemesh, or when it stays locked for 5 s.
        """
        witness = Witness(path)
        try:
            opening = open_to_write(path, agent, witness, anew=anew)
        except LogFull:
            if not give_up_reserve(path):
                raise
            opening = open_to_write(path, agent, witness, anew=anew)
        with renaming(str(path)):
            journal = cls(opening.connection, path)
            journal._begin_writing(opening, witness, anew)
            journal.room = Room(opening.connection, path, max_bytes, reserve_bytes)
        return journal

    def _begin_writing(self, opening: Opening, witness: Witness, anew: bool) -> None:
        self._writer, self.found, self.fresh = opening.writer, opening.found, opening.fresh
        self._witness, self._anew = witness, anew
        self._others = -1
        self.mended = self.rejections().get(DAMAGED, 0)

    @classmethod
    def peek(cls, path: Path) -> Journal:
        """Open any agent's journal for reading, also while the agent runs; it shows what is committed at that moment.

        `head` and `lowest` are those of the opening. Leaves no file behind. Raises LogError if there is no journal.
        """
        # An agent that starts or ends makes or takes away the two files beside its log one after the other; who comes
        # between finds half of them. That is over in a moment.
        for _ in range(PEEKS - 1):
            with suppress(LogError):
                return cls._peek_once(path)
            time.sleep(PEEK_AGAIN_S)
        return cls._peek_once(path)

    @classmethod
    def _peek_once(cls, path: Path) -> Journal:
        # Without a log beside it nobody writes, and SQLite would make one, perhaps with rights that lock the agent out.
        mode = "mode=ro" if _beside(path).exists() else "mode=ro&immutable=1"
        with renaming(str(path)):
            connection = connect(path, mode)
            try:
                schema.check(connection, str(path))
                return cls(connection, path)
            except BaseException:
                connection.close()
                raise

    @property
    def head(self) -> int:
        """The last row ever committed, pruned or not; 0: none."""
        return self._head

    @property
    def lowest(self) -> int:
        """The oldest row still held; `head + 1`: none."""
        return self._pruned + 1

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        """Open a transaction that commits at the end of the `with`, or leaves no trace when that raises.

        `head` moves after the commit only. Raises LogFull when there is no room, LogError when the file stays locked
        for 5 s, or once another process has opened this journal to write: the newest one has it.
        """
        connection = self._connection
        with renaming(str(self.path)):
            connection.execute("BEGIN IMMEDIATE")
            transaction = Transaction(connection, self._head)
            try:
                self._refuse_second_writer()
                yield transaction
                started = time.perf_counter()
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # SQLite may have rolled back by itself
                    connection.execute("ROLLBACK")
                raise
            finally:
                transaction.end()
        self._commits += 1
        self._commit_s += time.perf_counter() - started
        if transaction.head != self._head:
            self._head = transaction.head
            self._witness.write(self._sighting())

    def rows(self, after: int, *, limit: int, max_bytes: int) -> list[Row]:
        """Return the rows held with `seq > after`, in order: at most `limit`, with bodies of at most `max_bytes`.

        If there is such a row, at least one is returned, however large. Raises LogDamaged with the `seq` of the first
        row that is missing or not what was written.
        """
        rows: list[Row] = []
        due, room = max(after, self._pruned) + 1, max_bytes
        query = "SELECT seq, kind, at_ns, trace, body, crc FROM outbox WHERE seq >= ? ORDER BY seq LIMIT ?"
        try:
            with closing(self._connection.execute(query, (due, max(limit, 0)))) as found:
                for *columns, crc in found:
                    row = self._checked(due, columns, crc)
                    room -= len(row.body)
                    if room < 0 and rows:
                        break
                    rows.append(row)
                    due += 1
        except sqlite3.Error as error:
            ours = in_our_words(error, f"{self.path}, row {due}")
            if isinstance(ours, LogDamaged):
                ours.seq = due
            raise ours from error
        return rows

    def mend(self, seq: int, kind: str, *, at_ns: int) -> None:
        """Put an empty pack in the place of a row that can't be read; what is left of it goes into the quarantine.

        So the rows after it keep their places, and no reader waits for what nobody can give.
        """
        with self.begin() as transaction:
            connection = transaction.connection
            found = connection.execute("SELECT CAST(body AS BLOB) FROM outbox WHERE seq = ?", (seq,)).fetchone()
            payload = found[0] if found and isinstance(found[0], bytes) else b""
            connection.execute(
                "INSERT OR REPLACE INTO outbox (seq, crc, at_ns, kind, trace, body) VALUES (?, ?, ?, ?, '', ?)",
                (seq, checksum(seq, kind, at_ns, "", EMPTY), at_ns, kind, EMPTY),
            )
            transaction.keep(Quarantined(at_ns, f"row {seq}", DAMAGED, "an outbox row was damaged", payload))
        self.mended += 1

    def cursors(self) -> dict[str, Cursor]:
        """Return how far each followed agent's log has been taken in."""
        with renaming(str(self.path)):
            ahead = schema.ahead_column(self._connection)
            found = self._connection.execute(f"SELECT agent, epoch, through, {ahead} FROM cursor").fetchall()  # noqa: S608
        return {agent: Cursor(epoch, through, schema.read_spans(ahead)) for agent, epoch, through, ahead in found}

    def past(self, agent: str) -> dict[str, Cursor]:
        """Return how far earlier epochs of a followed agent's log had been taken in, oldest first."""
        query = "SELECT epoch, through, ahead FROM past_cursor WHERE agent = ? ORDER BY id"
        with renaming(str(self.path)):
            found = self._connection.execute(query, (agent,)).fetchall()
        return {epoch: Cursor(epoch, through, schema.read_spans(ahead)) for epoch, through, ahead in found}

    def parts(self) -> dict[str, bytes]:
        """Return all parts of the checkpoint."""
        with renaming(str(self.path)):
            return dict(self._connection.execute("SELECT name, value FROM part"))

    def prune(self, through: int, *, before_ns: int) -> int:
        """Delete the oldest rows up to `through` that are older than `before_ns` (UTC), and return how many.

        At most 1,000 a call: call again while it returns that many. A row goes only together with all before it, so
        the rows held have no holes; where the clock was set back, a row counts as old once a later row is.
        """
        with renaming(str(self.path)):
            last = self._last_before(before_ns, min(through, self._head))
        last = min(last, self._pruned + PRUNE_ROWS)
        count = last - self._pruned
        if count > 0:
            with self.begin() as transaction:
                transaction.discard(last)
            self._pruned = last
        return max(count, 0)

    def drop(self, through: int, *, lost: int) -> None:
        """Delete the oldest rows up to `through`, whoever has them: they give way to newer ones.

        `lost` readings of them are counted as dropped.
        """
        with self.begin() as transaction:
            transaction.discard(through)
            transaction.count(DROPPED, lost)
        self._pruned = through

    def renew(self, why: str) -> None:
        """Go on under a new epoch: consumers have rows of this one that are not in the file, so its numbers are used.

        All rows held stay, and go out again under the new epoch.
        """
        epoch = schema.new_epoch()
        with self.begin() as transaction:
            transaction.connection.execute("UPDATE identity SET epoch = ?", (epoch,))
            transaction.keep(Quarantined(time.time_ns(), self.path.name, ROLLED_BACK, why, b""))
        self.epoch, self.fresh = epoch, True
        self._witness.write(self._sighting(), durable=True)

    def start_over(self, damage: LogDamaged) -> None:
        """Move the damaged file aside and go on in a new one with what can still be read of the outbox, as `open` does.

        Cursors and parts begin anew. Raises LogDamaged where `open` was not told that this may be done.
        """
        if not self._anew:
            raise damage
        max_bytes, reserve_bytes = self.room.max_bytes, self.room.reserve_bytes
        self._connection.close()
        opening = open_to_write(self.path, self.agent, self._witness, anew=True, broken=str(damage))
        with renaming(str(self.path)):
            self._connection = opening.connection
            self.agent, self.epoch, self._pruned, self._head = schema.identity(opening.connection, str(self.path))
            self._begin_writing(opening, self._witness, self._anew)
            self.room = Room(opening.connection, self.path, max_bytes, reserve_bytes)

    def quarantine(self, *, limit: int) -> list[Quarantined]:
        """Return at most `limit` of what was rejected and is still kept, newest first."""
        with renaming(str(self.path)):
            return quarantine.newest(self._connection, limit)

    def rejections(self) -> dict[str, int]:
        """Return how many were ever rejected, by reason."""
        with renaming(str(self.path)):
            return quarantine.counts(self._connection)

    def stats(self) -> JournalStats:
        """Return the health of the journal."""
        file_bytes, wal_bytes = size_of(self.path), size_of(_beside(self.path))
        return JournalStats(self._head - self._pruned, file_bytes, wal_bytes, self._commits, self._commit_s)

    def close(self) -> None:
        """Close the file; what was committed stays. Closing twice is once."""
        self._connection.close()
        self._witness.close()

    def _sighting(self) -> Sighting:
        return Sighting(self.agent, self.epoch, self._head, (self._writer,))

    def _checked(self, due: int, columns: list[object], crc: object) -> Row:
        row = Row(*columns)  # type: ignore[arg-type]  # a damaged file may hold any type here
        if row.seq != due:
            raise LogDamaged(f"{self.path}: row {due} is missing", seq=due)
        if not isinstance(row.body, bytes) or checksum(row.seq, row.kind, row.at_ns, row.trace, row.body) != crc:
            raise LogDamaged(f"{self.path}: row {due} is not what was written", seq=due)
        return row

    def _last_before(self, before_ns: int, through: int) -> int:
        low, high = self._pruned, through + 1
        while high - low > 1:
            middle = (low + high) // 2
            found = self._connection.execute("SELECT at_ns FROM outbox WHERE seq = ?", (middle,)).fetchone()
            if found is None:
                raise LogDamaged(f"{self.path}: row {middle} is missing")
            low, high = (middle, high) if found[0] < before_ns else (low, middle)
        return low

    def _refuse_second_writer(self) -> None:
        others = self._connection.execute("PRAGMA data_version").fetchone()[0]  # cheap, but changes for less, too
        if others != self._others:
            if not self._writer:
                raise LogError(f"{self.path}: opened for reading only")
            if not schema.is_writer(self._connection, self._writer):
                raise LogError(f"{self.path}: opened by another process since; is the agent running twice?")
            self._others = others


def _beside(path: Path) -> Path:
    return Path(f"{path}-wal")
