"""The journal keeps what was committed, and nothing else."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from edgemesh.errors import LogDamaged, LogError, LogFull
from edgemesh.log.journal import Cursor, Journal, Row
from edgemesh.log.opening import connect

ALL = 2**63 - 1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "agents" / "gw1" / "journal.db"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with closing(Journal.open(path, "gw1")) as journal:
        yield journal


def append(journal: Journal, count: int, *, size: int = 10, at_ns: int | None = None) -> None:
    with journal.begin() as transaction:
        for _ in range(count):
            at = transaction.head + 1 if at_ns is None else at_ns
            transaction.append("readings", b"x" * size, at_ns=at, trace="00-a-b-01")


def seqs(journal: Journal, after: int = 0) -> list[int]:
    return [row.seq for row in journal.rows(after, limit=10_000, max_bytes=2**40)]


def tamper(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


def test_a_new_journal_is_empty(journal: Journal) -> None:
    """A new file has an epoch of 16 hex digits, no row, no cursor and no part."""
    assert (journal.agent, journal.head, journal.lowest) == ("gw1", 0, 1)
    assert len(journal.epoch) == 16
    assert int(journal.epoch, 16) >= 0
    assert (journal.rows(0, limit=9, max_bytes=9), journal.cursors(), journal.parts()) == ([], {}, {})


def test_a_journal_can_be_peeked_at_while_its_agent_ends(
    journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write-ahead log goes with the agent, also between the look at it and the opening."""
    append(journal, 3)

    def end_first(file: Path, options: str) -> sqlite3.Connection:
        journal.close()
        return connect(file, options)

    monkeypatch.setattr("edgemesh.log.journal.connect", end_first)
    with closing(Journal.peek(path)) as seen:
        assert seen.head == 3


@pytest.mark.parametrize("half", [1, 3])
def test_a_journal_can_be_peeked_at_while_its_files_are_half_there(
    half: int, journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent that starts makes two files beside its log; with one of them only, SQLite can't open it yet."""
    append(journal, 3)
    tries = iter(range(1, 99))

    def half_there(file: Path, options: str) -> sqlite3.Connection:
        return connect(file if next(tries) > half else file.with_name("nowhere"), options)

    monkeypatch.setattr("edgemesh.log.journal.connect", half_there)
    with closing(Journal.peek(path)) as seen:
        assert seen.head == 3
    assert next(tries) == half + 2


def test_two_files_have_two_epochs(tmp_path: Path) -> None:
    """Whoever loses the file starts another log, and consumers can tell."""
    with closing(Journal.open(tmp_path / "a.db", "gw1")) as a, closing(Journal.open(tmp_path / "b.db", "gw1")) as b:
        assert a.epoch != b.epoch


def test_reopening_gives_what_was_committed(path: Path, journal: Journal) -> None:
    """Rows, cursors and parts of a commit are there after a restart, with the same epoch and head."""
    with journal.begin() as transaction:
        row = transaction.append("readings", b'[{"device":"d"}]', at_ns=17, trace="00-a-b-01")
        transaction.append("readings", b"[]", at_ns=18)
        transaction.set_cursor("det1", Cursor("ab", 7))
        transaction.put_parts({"a": b"1", "b": b"2", "c": None})
    with journal.begin() as transaction:
        transaction.set_cursor("det1", Cursor("ab", 8))
        transaction.put_parts({"a": None, "b": b"3"})
    epoch = journal.epoch
    journal.close()
    with closing(Journal.open(path, "gw1")) as again:
        assert (again.epoch, again.head, again.lowest) == (epoch, 2, 1)
        assert again.rows(0, limit=9, max_bytes=10**6) == [row, Row(2, "readings", 18, "", b"[]")]
        assert again.cursors() == {"det1": Cursor("ab", 8)}
        assert again.parts() == {"b": b"3"}


def test_a_killed_process_loses_no_commit(path: Path) -> None:
    """What `begin` committed is there after kill -9; what was open is not."""
    script = (
        "import os, signal, sys; from pathlib import Path; from edgemesh.log.journal import Journal\n"
        "journal = Journal.open(Path(sys.argv[1]), 'gw1')\n"
        "with journal.begin() as t: t.append('readings', b'kept', at_ns=1)\n"
        "with journal.begin() as t:\n"
        "    t.append('readings', b'never', at_ns=2)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", script, str(path)], cwd=root, check=False, timeout=30)
    assert done.returncode == -9
    with closing(Journal.open(path, "gw1")) as journal:
        assert [row.body for row in journal.rows(0, limit=9, max_bytes=99)] == [b"kept"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, sqlite3.OperationalError])
def test_an_exception_leaves_no_trace(journal: Journal, error: type[BaseException]) -> None:
    """A transaction that raises changes neither file nor head, and the next one works."""
    append(journal, 1)
    expected = LogError if error is sqlite3.OperationalError else error
    with pytest.raises(expected), journal.begin() as transaction:  # noqa: PT012
        transaction.append("readings", b"", at_ns=1)
        transaction.set_cursor("det1", Cursor("ab", 1))
        transaction.put_parts({"a": b"1"})
        raise error
    assert (journal.head, seqs(journal), journal.cursors(), journal.parts()) == (1, [1], {}, {})
    append(journal, 1)
    assert seqs(journal) == [1, 2]


def test_a_transaction_ends_with_its_block(journal: Journal) -> None:
    """Nothing can be written by a transaction that is over: it would be outside of any commit."""
    with journal.begin() as transaction:
        pass
    with pytest.raises(LogError, match="over"):
        transaction.append("readings", b"", at_ns=1)
    assert seqs(journal) == []


def test_head_moves_after_the_commit(journal: Journal) -> None:
    """Nobody can see, and publish, a row that isn't on the disk."""
    with journal.begin() as transaction:
        transaction.append("readings", b"", at_ns=1)
        assert journal.head == 0
    assert journal.head == 1


def test_sinks_share_the_transaction(journal: Journal) -> None:
    """What a sink writes through `connection` is committed and rolled back with the rest."""
    with journal.begin() as transaction:
        transaction.connection.execute("CREATE TABLE history (n INTEGER)")
    with pytest.raises(ValueError, match="stop"), journal.begin() as transaction:  # noqa: PT012
        transaction.connection.execute("INSERT INTO history VALUES (1)")
        raise ValueError("stop")
    with journal.begin() as transaction:
        assert transaction.connection.execute("SELECT count(*) FROM history").fetchone() == (0,)


def test_rows_keep_to_limit_and_bytes(journal: Journal) -> None:
    """`rows` returns no more than asked for, but at least one."""
    append(journal, 10, size=100)
    assert [row.seq for row in journal.rows(3, limit=2, max_bytes=10**6)] == [4, 5]
    assert [row.seq for row in journal.rows(3, limit=9, max_bytes=300)] == [4, 5, 6]
    assert [row.seq for row in journal.rows(3, limit=9, max_bytes=1)] == [4]
    assert journal.rows(10, limit=9, max_bytes=10**6) == []
    assert journal.rows(3, limit=0, max_bytes=10**6) == []


def test_prune_keeps_what_is_young_or_needed(journal: Journal) -> None:
    """`prune` deletes rows that are both old and up to `through`, and says how many."""
    append(journal, 20)
    assert journal.prune(10, before_ns=6) == 5
    assert (seqs(journal), journal.lowest) == (list(range(6, 21)), 6)
    assert journal.prune(10, before_ns=6) == 0
    assert journal.prune(10, before_ns=ALL) == 5
    assert journal.lowest == 11


def test_prune_works_in_small_steps(journal: Journal) -> None:
    """One call deletes at most 1,000 rows, so that no commit waits long."""
    append(journal, 2_500)
    assert [journal.prune(ALL, before_ns=ALL) for _ in range(4)] == [1_000, 1_000, 500, 0]


def test_seq_never_restarts(path: Path, journal: Journal) -> None:
    """Pruned of all rows and opened again, the journal still counts on."""
    append(journal, 5)
    assert journal.prune(99, before_ns=ALL) == 5
    assert (journal.head, journal.lowest) == (5, 6)
    journal.close()
    with closing(Journal.open(path, "gw1")) as again:
        assert (again.head, again.lowest) == (5, 6)
        append(again, 1)
        assert seqs(again) == [6]


def test_prune_leaves_no_hole_where_the_clock_jumped(journal: Journal) -> None:
    """A row goes only with all before it; rows from a time when the clock was ahead go with later ones."""
    append(journal, 3, at_ns=10**18)
    append(journal, 7, at_ns=1)
    append(journal, 5, at_ns=100)
    assert journal.prune(99, before_ns=50) == 10
    assert seqs(journal) == [11, 12, 13, 14, 15]


def test_rows_after_something_pruned_begin_at_lowest(journal: Journal) -> None:
    """Asked for rows that are gone, the journal goes on with the oldest it holds."""
    append(journal, 10)
    journal.prune(4, before_ns=ALL)
    assert seqs(journal, after=1) == [5, 6, 7, 8, 9, 10]


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE outbox SET body = X'79' || substr(body, 2) WHERE seq = 3",
        "UPDATE outbox SET body = 'text' WHERE seq = 3",
        "UPDATE outbox SET at_ns = at_ns + 1 WHERE seq = 3",
        "UPDATE outbox SET trace = CAST(X'ff' AS TEXT) WHERE seq = 3",
        "UPDATE outbox SET kind = 'alerts' WHERE seq = 3",
        "UPDATE outbox SET crc = crc + 1 WHERE seq = 3",
        "DELETE FROM outbox WHERE seq = 3",
    ],
)
def test_a_damaged_row_is_noticed(path: Path, journal: Journal, harm: str) -> None:
    """A row that isn't what was written is never handed out, and the error names it."""
    append(journal, 5)
    tamper(path, harm)
    with pytest.raises(LogDamaged, match="row 3"):
        journal.rows(0, limit=9, max_bytes=10**6)
    assert [row.seq for row in journal.rows(0, limit=2, max_bytes=10**6)] == [1, 2]
    assert seqs(journal, after=3) == [4, 5]


@pytest.mark.parametrize(
    "harm", ["UPDATE outbox SET body = X'79' || substr(body, 2) WHERE seq = 3", "DELETE FROM outbox WHERE seq = 3"]
)
def test_a_damaged_row_can_be_mended(path: Path, journal: Journal, harm: str) -> None:
    """An empty pack takes its place, those after it keep theirs, and what is left of it is in the quarantine."""
    append(journal, 5)
    tamper(path, harm)
    with pytest.raises(LogDamaged) as damage:
        journal.rows(0, limit=9, max_bytes=10**6)
    journal.mend(damage.value.seq, "readings", at_ns=7)
    assert seqs(journal) == [1, 2, 3, 4, 5]
    assert journal.rows(2, limit=1, max_bytes=10**6)[0].body == b"[]"
    assert (journal.head, journal.rejections()) == (5, {"damaged_row": 1})
    assert journal.quarantine(limit=1)[0].origin == "row 3"


def test_a_missing_first_row_is_noticed_at_opening(path: Path, journal: Journal) -> None:
    """Rows that nobody pruned and that are gone nevertheless are damage, not pruning."""
    append(journal, 5)
    journal.close()
    tamper(path, "DELETE FROM outbox WHERE seq = 1")
    with pytest.raises(LogDamaged, match="row 1 is missing"):
        Journal.open(path, "gw1")


def test_a_damaged_row_can_be_given_up(path: Path, journal: Journal) -> None:
    """Pruning through a damaged row frees the way for those after it; consumers see `lowest` move."""
    append(journal, 5)
    tamper(path, "UPDATE outbox SET crc = 0 WHERE seq = 3")
    assert journal.prune(3, before_ns=ALL) == 3
    assert seqs(journal) == [4, 5]


def test_a_full_budget_is_log_full_and_pruning_helps(path: Path) -> None:
    """No room: LogFull, nothing of the transaction is kept, and there is room again after a prune."""
    with closing(Journal.open(path, "gw1", max_bytes=200_000)) as journal:
        append(journal, 10, size=10_000)
        with pytest.raises(LogFull):
            append(journal, 20, size=10_000)
        assert (journal.head, seqs(journal)) == (10, list(range(1, 11)))
        assert journal.prune(10, before_ns=ALL) == 10
        append(journal, 10, size=10_000)
        assert seqs(journal) == list(range(11, 21))
        assert journal.stats().file_bytes <= 200_000


def test_a_locked_file_is_a_clear_error_in_time(path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process keeps the file locked, opening and committing fail within the busy time, and say why."""
    monkeypatch.setattr("edgemesh.log.opening.BUSY_S", 0.2)
    journal.close()
    with closing(Journal.open(path, "gw1")) as journal, closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        started = time.monotonic()
        with pytest.raises(LogError, match="another process keeps the file locked"):
            append(journal, 1)
        with pytest.raises(LogError, match="another process keeps the file locked"):
            Journal.open(path, "gw1")
        assert time.monotonic() - started < 5
        other.rollback()
        append(journal, 1)
        assert journal.head == 1


def test_the_file_of_another_agent_is_refused(path: Path, journal: Journal) -> None:
    """Two agents can't share a file by mistake."""
    with pytest.raises(LogError, match=r"agent `gw1`, not of `gw2`"):
        Journal.open(path, "gw2")
    append(journal, 1)  # the owner isn't disturbed


def test_the_file_of_another_program_is_refused_and_untouched(tmp_path: Path) -> None:
    """A database that isn't ours keeps every byte."""
    path = tmp_path / "photos.db"
    tamper(path, "CREATE TABLE photo (n INTEGER)")
    before = path.read_bytes()
    with pytest.raises(LogError, match="not a log of edgemesh"):
        Journal.open(path, "gw1")
    assert path.read_bytes() == before


def test_a_newer_schema_is_refused(path: Path, journal: Journal) -> None:
    """An older edgemesh doesn't write into a file that it can't understand."""
    journal.close()
    tamper(path, "PRAGMA user_version = 999")
    with pytest.raises(LogError, match="newer edgemesh"):
        Journal.open(path, "gw1")


def test_a_file_that_is_no_database_is_damaged(tmp_path: Path) -> None:
    """Noise in place of the file is LogDamaged."""
    path = tmp_path / "noise.db"
    path.write_bytes(b"no database " * 1_000)
    with pytest.raises(LogDamaged):
        Journal.open(path, "gw1")


def test_a_first_opening_that_was_cut_short_is_repeated(tmp_path: Path) -> None:
    """Power lost before the tables were there doesn't lock the agent out."""
    path = tmp_path / "young.db"
    tamper(path, "PRAGMA journal_mode = WAL")
    assert path.stat().st_size > 0
    with closing(Journal.open(path, "gw1")) as journal:
        append(journal, 1)


def test_a_folder_that_cannot_be_made_is_a_log_error(tmp_path: Path) -> None:
    """A file in the way of the folder is a LogError with the path."""
    (tmp_path / "agents").write_text("in the way")
    with pytest.raises(LogError, match="agents"):
        Journal.open(tmp_path / "agents" / "gw1.db", "gw1")


def test_the_newest_writer_has_the_file(path: Path, journal: Journal) -> None:
    """An agent started twice: the first instance can't commit any more, not even without rows."""
    append(journal, 1)
    with closing(Journal.open(path, "gw1")) as second:
        with pytest.raises(LogError, match="running twice"), journal.begin():
            pass
        append(second, 1)
        assert second.head == 2


def test_a_checkpoint_from_outside_disturbs_nobody(path: Path, journal: Journal) -> None:
    """A person who looks into the file with the sqlite3 shell doesn't stop the agent."""
    append(journal, 1)
    with closing(sqlite3.connect(path)) as shell:
        shell.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    append(journal, 1)
    assert journal.head == 2


def test_peek_reads_while_the_agent_writes(path: Path, journal: Journal) -> None:
    """A second process sees what is committed, and can't write."""
    append(journal, 2)
    with closing(Journal.peek(path)) as peek:
        assert (peek.agent, peek.epoch, peek.head, seqs(peek)) == ("gw1", journal.epoch, 2, [1, 2])
        append(journal, 1)
        assert seqs(peek) == [1, 2, 3]
        with pytest.raises(LogError, match="reading only"), peek.begin():
            pass


def test_peek_leaves_nothing_behind(path: Path, journal: Journal) -> None:
    """Looking at the journal of a stopped agent makes no file that the agent might not be allowed to open."""
    append(journal, 2)
    journal.close()
    with closing(Journal.peek(path)) as peek:
        assert seqs(peek) == [1, 2]
    assert sorted(path.parent.iterdir()) == [path, Path(f"{path}-head")]


@pytest.mark.parametrize("content", [None, b"", b"no database " * 1_000])
def test_peek_at_nothing_is_a_log_error(tmp_path: Path, content: bytes | None) -> None:
    """No file, an empty one, or noise: an error, and no file is made."""
    path = tmp_path / "nothing.db"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LogError):
        Journal.peek(path)
    assert path.exists() == (content is not None)


def test_the_cursor_of_an_earlier_epoch_is_remembered(journal: Journal) -> None:
    """When a followed agent starts another log, how far the old one was taken in is kept, for the 16 newest."""
    for number in range(20):
        with journal.begin() as transaction:
            transaction.set_cursor("gw9", Cursor(f"{number:x}", number))
            transaction.set_cursor("gw9", Cursor(f"{number:x}", number + 100))
            transaction.set_cursor("gw8", Cursor("aa", number))
    assert journal.cursors() == {"gw9": Cursor("13", 119), "gw8": Cursor("aa", 19)}
    past = {f"{number:x}": number + 100 for number in range(3, 19)}
    assert journal.past("gw9") == {epoch: Cursor(epoch, through) for epoch, through in past.items()}
    assert journal.past("gw8") == {}
    with journal.begin() as transaction:
        transaction.set_cursor("gw9", Cursor("5", 106))
    assert "5" not in journal.past("gw9")
    assert list(journal.past("gw9"))[-1] == "13"


def test_stats_tell_sizes_and_commits(journal: Journal) -> None:
    """Rows held, bytes of file and log, commits and their time."""
    append(journal, 10, size=1_000)
    append(journal, 10, size=1_000)
    journal.prune(5, before_ns=ALL)
    stats = journal.stats()
    assert (stats.rows, stats.commits) == (15, 3)
    assert stats.wal_bytes > 20_000
    assert stats.file_bytes > 0
    assert stats.commit_seconds > 0


def test_a_closed_journal_raises_log_errors(journal: Journal) -> None:
    """After `close`, which may come twice, every use is a LogError."""
    journal.close()
    journal.close()
    with pytest.raises(LogError):
        journal.cursors()
    with pytest.raises(LogError), journal.begin():
        pass


def test_commits_are_on_the_disk(journal: Journal) -> None:
    """The settings that make a commit durable are on."""
    with journal.begin() as transaction:
        read = {name: transaction.connection.execute(f"PRAGMA {name}").fetchone()[0] for name in PRAGMAS}
    assert read == PRAGMAS


PRAGMAS = {"journal_mode": "wal", "synchronous": 2, "secure_delete": 0}
