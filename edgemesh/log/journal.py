"""The journal: everything that an agent must not forget, in one SQLite file."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from edgemesh.errors import LogDamaged, LogError
from edgemesh.log import quarantine, schema
from edgemesh.log.disk import in_our_words, renaming
from edgemesh.log.outbox import Cursor, Row, checksum
from edgemesh.log.quarantine import Quarantined
from edgemesh.log.transaction import Transaction

__all__ = ["Cursor", "Journal", "JournalStats", "Quarantined", "Row", "Transaction"]

BUSY_S = 5.0  # how long another process may keep the file locked
EMPTY = b"[]"  # the body of a pack without records
DAMAGED = "damaged_row"  # the reason under which a row that can't be read is kept
PRUNE_ROWS = 1_000  # the most that one `prune` deletes, so that no commit waits long behind it
WAL_BYTES = 8_000_000  # a longer write-ahead log is cut back after its checkpoint


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
    Every method raises LogError when the disk fails, LogDamaged when what is read is not what was written.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, writer: str) -> None:
        self.path = path
        self._connection = connection
        self.agent, self.epoch, self._pruned, self._head = schema.identity(connection, str(path))
        self._writer = writer
        self._others = -1
        self._commits = 0
        self._commit_s = 0.0

    @classmethod
    def open(cls, path: Path, agent: str, *, max_bytes: int | None = None) -> Journal:
        """Open the agent's journal, and make it and its folders where they are missing.

        With `max_bytes` the file stays below that budget, and a transaction that needs more raises LogFull. Raises
        LogError for the file of another agent or of a newer edgemesh, or when it stays locked for 5 s; LogDamaged for
        a file that is no database.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LogError(f"{path.parent}: {error.strerror}") from error
        with renaming(str(path)):
            connection = _connect(path, "mode=rwc")
            try:
                if not schema.is_empty(connection):
                    schema.check(connection, str(path))  # before anything in a stranger's file is changed
                _set_up(connection, max_bytes)
                return cls(connection, path, schema.prepare(connection, agent, str(path)))
            except BaseException:
                connection.close()
                raise

    @classmethod
    def peek(cls, path: Path) -> Journal:
        """Open any agent's journal for reading, also while the agent runs; it shows what is committed at that moment.

        `head` and `lowest` are those of the opening. Leaves no file behind. Raises LogError if there is no journal.
        """
        # Without a log beside it nobody writes, and SQLite would make one, perhaps with rights that lock the agent out.
        alone = not _beside(path).exists()
        with renaming(str(path)):
            connection = _connect(path, "mode=ro&immutable=1" if alone else "mode=ro")
            try:
                schema.check(connection, str(path))
                return cls(connection, path, "")
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
        self._head = transaction.head
        self._commits += 1
        self._commit_s += time.perf_counter() - started

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

    def cursors(self) -> dict[str, Cursor]:
        """Return how far each followed agent's log has been taken in."""
        with renaming(str(self.path)):
            found = self._connection.execute("SELECT agent, epoch, through FROM cursor").fetchall()
        return {agent: Cursor(epoch, through) for agent, epoch, through in found}

    def past(self, agent: str) -> dict[str, int]:
        """Return how far earlier epochs of a followed agent's log had been taken in, oldest first."""
        query = "SELECT epoch, through FROM past_cursor WHERE agent = ? ORDER BY id"
        with renaming(str(self.path)):
            return dict(self._connection.execute(query, (agent,)))

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
                transaction.connection.execute("DELETE FROM outbox WHERE seq <= ?", (last,))
                transaction.connection.execute("UPDATE identity SET pruned = ?", (last,))
            self._pruned = last
        return max(count, 0)

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
        file_bytes, wal_bytes = _size(self.path), _size(_beside(self.path))
        return JournalStats(self._head - self._pruned, file_bytes, wal_bytes, self._commits, self._commit_s)

    def close(self) -> None:
        """Close the file; what was committed stays. Closing twice is once."""
        self._connection.close()

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


def _connect(path: Path, options: str) -> sqlite3.Connection:
    address = f"{path.absolute().as_uri()}?{options}"
    return sqlite3.connect(address, uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False)


def _beside(path: Path) -> Path:
    return Path(f"{path}-wal")


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _set_up(connection: sqlite3.Connection, max_bytes: int | None) -> None:
    if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
        raise LogError("the file system of the log can't do write-ahead logging; choose a local folder")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
    # Some distributions build SQLite so that pruned rows are overwritten with zeros: twice the wear on an SD card.
    connection.execute("PRAGMA secure_delete = OFF")
    if max_bytes is not None:
        page = int(connection.execute("PRAGMA page_size").fetchone()[0])
        connection.execute(f"PRAGMA max_page_count = {max(max_bytes // page, 1)}")
