"""A journal that is opened is ours, whole, and the one that was closed; or it says what is wrong and what it does."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from edgemesh.errors import LogDamaged, LogError
from edgemesh.log.journal import Cursor, Journal
from edgemesh.log.rescue import ASIDE
from edgemesh.log.witness import Sighting, Witness

FILES = ("", "-wal", "-head")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gw1.db"


def append(journal: Journal, count: int, *, size: int = 50) -> None:
    for _ in range(count):
        with journal.begin() as transaction:
            body = f"row {transaction.head + 1} ".encode().ljust(size, b"x")
            transaction.append("readings", body, at_ns=transaction.head + 1)


def bodies(journal: Journal) -> list[bytes]:
    return [row.body.split(b" x")[0].rstrip(b"x").strip() for row in journal.rows(0, limit=10_000, max_bytes=2**40)]


def named(*seqs: int) -> list[bytes]:
    return [f"row {seq}".encode() for seq in seqs]


def run(path: Path, count: int) -> str:
    """One life of the agent; returns the epoch."""
    with closing(Journal.open(path, "gw1")) as journal:
        append(journal, count)
        return journal.epoch


def copy(path: Path, to: Path, files: tuple[str, ...] = FILES) -> None:
    to.parent.mkdir(exist_ok=True)
    for ending in files:
        if Path(f"{path}{ending}").exists():
            shutil.copy(f"{path}{ending}", f"{to}{ending}")


# -- torn files (F15) --------------------------------------------------------------------------------------------------


def test_every_commit_before_a_cut_of_the_write_ahead_log_is_there(path: Path, tmp_path: Path) -> None:
    """Wherever the write-ahead log is cut: every row that was on the disk by then is read, and numbers are not reused.

    Rows that the cut took were public perhaps, so what follows has another epoch; without a loss it stays.
    """
    with closing(Journal.open(path, "gw1")) as journal:
        ends = [Path(f"{path}-wal").stat().st_size]
        for _ in range(12):
            append(journal, 1, size=300)
            ends.append(Path(f"{path}-wal").stat().st_size)
        copy(path, tmp_path / "taken" / "gw1.db")
        epoch = journal.epoch
    log = (tmp_path / "taken" / "gw1.db-wal").read_bytes()
    for cut in [*range(ends[0], len(log), 97), *ends, *(end - 1 for end in ends[1:])]:
        torn = tmp_path / "torn" / "gw1.db"
        shutil.rmtree(torn.parent, ignore_errors=True)
        copy(tmp_path / "taken" / "gw1.db", torn)
        Path(f"{torn}-wal").write_bytes(log[:cut])
        kept = sum(end <= cut for end in ends) - 1
        with closing(Journal.open(torn, "gw1")) as journal:
            assert bodies(journal) == named(*range(1, kept + 1)), cut
            assert (journal.epoch == epoch) == (kept == 12), cut
            append(journal, 1)
            assert journal.head == kept + 1


def test_garbage_behind_the_files_is_no_harm(path: Path, tmp_path: Path) -> None:
    """Bytes that a crash left behind the end of the files are not believed, and take nothing away."""
    with closing(Journal.open(path, "gw1")) as journal:
        append(journal, 5)
        copy(path, tmp_path / "taken" / "gw1.db")
        epoch = journal.epoch
    taken = tmp_path / "taken" / "gw1.db"
    for ending in ("", "-wal"):
        with Path(f"{taken}{ending}").open("ab") as file:
            file.write(random.Random(1).randbytes(5_000))
    with closing(Journal.open(taken, "gw1", anew=True)) as journal:
        assert (bodies(journal), journal.epoch, journal.found) == (named(1, 2, 3, 4, 5), epoch, [])


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.9])
def test_a_truncated_file_is_moved_aside_and_what_is_left_goes_on(path: Path, keep: float) -> None:
    """Half a database stops nobody: it is kept for people, and every row that can be read goes out again."""
    with closing(Journal.open(path, "gw1")) as journal:
        append(journal, 400, size=1_000)
        epoch = journal.epoch
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep)])
    with closing(Journal.open(path, "gw1", anew=True)) as journal:
        saved = bodies(journal)
        assert journal.epoch != epoch
        assert set(saved) <= set(named(*range(1, 401)))
        assert len(saved) > 400 * keep - 80
        assert journal.rejections() == {"log_damaged": 1}
        assert "moved aside to gw1.db.broken-1" in journal.found[0]
        append(journal, 1)
        assert journal.head == len(saved) + 1
    assert Path(f"{path}.broken-1").read_bytes().startswith(b"SQLite format 3")


def test_a_damaged_file_is_refused_where_nobody_may_move_it(path: Path) -> None:
    """What holds more than a log can bring back is left as it is, and the error says what to do."""
    run(path, 400)
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(LogDamaged, match="put a copy back, or move the file away"):
        Journal.open(path, "gw1")
    assert not Path(f"{path}.broken-1").exists()


def test_an_empty_file_is_a_log_that_was_lost(path: Path) -> None:
    """A file of no bytes begins a new log; that there was one before is said and counted."""
    epoch = run(path, 7)
    path.write_bytes(b"")
    with closing(Journal.open(path, "gw1")) as journal:
        assert (journal.head, journal.rejections()) == (0, {"log_lost": 1})
        assert journal.epoch != epoch
        assert "7 rows had been written" in journal.found[0]


def test_noise_in_the_place_of_our_file(path: Path) -> None:
    """Noise is moved aside where the witness knows that there was a log of ours, and only there."""
    path.write_bytes(b"no database " * 1_000)
    with pytest.raises(LogDamaged, match="nothing says that it is a log of `gw1`: move the file away"):
        Journal.open(path, "gw1", anew=True)
    Witness(path).write(Sighting("gw2", "ab", 3, ("cd",)))
    with pytest.raises(LogDamaged, match="nothing says"):
        Journal.open(path, "gw1", anew=True)
    Witness(path).write(Sighting("gw1", "ab", 3, ("cd",)))
    with closing(Journal.open(path, "gw1", anew=True)) as journal:
        assert (journal.head, journal.rejections()) == (0, {"log_damaged": 1})
    assert Path(f"{path}.broken-1").read_bytes().startswith(b"no database")


def test_another_program_keeps_its_file(path: Path) -> None:
    """A database of somebody else's is never moved."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE photo (n INTEGER)")
    before = path.read_bytes()
    with pytest.raises(LogError, match="not a log of edgemesh; move the file away"):
        Journal.open(path, "gw1", anew=True)
    assert path.read_bytes() == before


def test_only_so_many_files_are_kept_aside(path: Path) -> None:
    """A disk that damages a file again and again is not filled with the remains."""
    for _ in range(ASIDE + 2):
        run(path, 1)
        path.write_bytes(b"noise" * 1_000)
        Journal.open(path, "gw1", anew=True).close()
    assert len(list(path.parent.glob("*.broken-?"))) == ASIDE


# -- flipped bits (F16) ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_flipped_bits_take_their_rows_and_no_other(path: Path, seed: int) -> None:
    """Whatever bits are flipped: the journal opens, gives whole rows only, in order, and takes new ones."""
    run(path, 300)
    chance, content = random.Random(seed), bytearray(path.read_bytes())
    for _ in range(chance.choice((1, 5, 30))):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)
    with closing(Journal.open(path, "gw1", anew=True)) as journal:
        read: list[bytes] = []
        after = journal.lowest - 1
        while after < journal.head:
            try:
                rows = journal.rows(after, limit=1_000, max_bytes=2**40)
            except LogDamaged as damage:
                try:
                    journal.mend(damage.seq, "readings", at_ns=1)
                except LogDamaged as worse:
                    journal.start_over(worse)
                    read, after = [], journal.lowest - 1
                continue
            read += [row.body for row in rows if row.body != b"[]"]
            after = rows[-1].seq
        assert set(read) <= {b"row %d " % seq + b"x" * (50 - len(b"row %d " % seq)) for seq in range(1, 301)}
        assert len(read) > 300 - 30 * 80
        head = journal.head
        append(journal, 3)
        assert [row.seq for row in journal.rows(head, limit=9, max_bytes=10**6)] == [head + 1, head + 2, head + 3]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("UPDATE part SET value = x'7b7d' WHERE name = 'asset/7'", "damaged_part"),
        ("UPDATE cursor SET through = 12 WHERE agent = 'gw9'", "damaged_cursor"),
    ],
)
def test_a_damaged_part_or_cursor_is_not_believed(path: Path, damage: str, reason: str) -> None:
    """What is not what was written is begun anew, said, counted, and kept in the quarantine."""
    with closing(Journal.open(path, "det1")) as journal, journal.begin() as transaction:
        transaction.put_parts({"asset/7": b'{"mean":1.5}', "asset/8": b"{}"})
        transaction.set_cursor("gw9", Cursor("ab", 8))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(damage)
    with closing(Journal.open(path, "det1")) as journal:
        whole = {"damaged_part": ({"asset/8": b"{}"}, {"gw9": Cursor("ab", 8)})}
        parts, cursors = whole.get(reason, ({"asset/7": b'{"mean":1.5}', "asset/8": b"{}"}, {}))
        assert (journal.parts(), journal.cursors()) == (parts, cursors)
        assert journal.rejections() == {reason: 1}
        assert "begun anew" in journal.found[0]


SINCE_2 = ("ALTER TABLE part DROP COLUMN crc", "ALTER TABLE cursor DROP COLUMN crc")
SINCE_3 = ("ALTER TABLE cursor DROP COLUMN ahead", "ALTER TABLE past_cursor DROP COLUMN ahead")


@pytest.mark.parametrize(("version", "newer"), [(1, SINCE_2 + SINCE_3), (2, SINCE_3)])
def test_a_journal_of_an_earlier_schema_goes_on(path: Path, version: int, newer: tuple[str, ...]) -> None:
    """A file without checksums on parts and cursors, or without rows ahead, is taken over with all it holds."""
    with closing(Journal.open(path, "gw1")) as journal, journal.begin() as transaction:
        transaction.append("readings", b"[]", at_ns=1)
        transaction.put_parts({"a": b"1"})
        transaction.set_cursor("x", Cursor("ab", 8))
    with closing(sqlite3.connect(path)) as connection:
        for statement in (*newer, f"PRAGMA user_version = {version}"):
            connection.execute(statement)
    with closing(Journal.peek(path)) as peek:
        assert peek.cursors() == {"x": Cursor("ab", 8)}
    with closing(Journal.open(path, "gw1")) as journal:
        assert (journal.head, journal.parts(), journal.cursors()) == (1, {"a": b"1"}, {"x": Cursor("ab", 8)})
        with journal.begin() as transaction:
            transaction.put_parts({"a": b"2"})
            transaction.set_cursor("x", Cursor("ab", 9, ((12, 13), (20, 20))))
    with closing(Journal.open(path, "gw1")) as journal:
        assert (journal.parts(), journal.cursors()) == ({"a": b"2"}, {"x": Cursor("ab", 9, ((12, 13), (20, 20)))})


# -- deleted, or an older copy (F19) -----------------------------------------------------------------------------------


def test_a_restart_and_a_kill_change_nothing(path: Path, tmp_path: Path) -> None:
    """Stopped or killed, the log goes on under its epoch."""
    epoch = run(path, 3)
    assert run(path, 3) == epoch
    with closing(Journal.open(path, "gw1")) as journal:
        append(journal, 3)
        copy(path, tmp_path / "killed" / "gw1.db")  # what a kill leaves
    with closing(Journal.open(tmp_path / "killed" / "gw1.db", "gw1")) as journal:
        assert (journal.epoch, journal.head, journal.found) == (epoch, 9, [])


def test_a_deleted_log_is_said(path: Path) -> None:
    """The new log has another epoch, and says that there was one."""
    epoch = run(path, 3)
    path.unlink()
    with closing(Journal.open(path, "gw1")) as journal:
        assert (journal.epoch != epoch, journal.head) == (True, 0)
        assert "deleted; 3 rows had been written" in journal.found[0]
    with closing(Journal.open(path, "gw1")) as journal:
        assert journal.found == []  # said once


def _earlier_life(path: Path, aside: Path) -> None:
    run(path, 3)
    copy(path, aside, ("", "-wal"))
    run(path, 3)


def _same_life(path: Path, aside: Path) -> None:
    with closing(Journal.open(path, "gw1")) as journal:
        append(journal, 3)
        copy(path, aside, ("", "-wal"))
        append(journal, 3)


def _idle_life(path: Path, aside: Path) -> None:
    run(path, 3)
    copy(path, aside, ("", "-wal"))
    run(path, 0)


@pytest.mark.parametrize("live", [_earlier_life, _same_life, _idle_life])
def test_an_older_copy_is_found_out(path: Path, tmp_path: Path, live: Callable[[Path, Path], None]) -> None:
    """An older copy goes on under a new epoch with all its rows, so that no consumer takes a new row for one it had."""
    aside = tmp_path / "aside" / "gw1.db"
    aside.parent.mkdir()
    live(path, aside)
    with closing(Journal.open(path, "gw1")) as journal:
        epoch = journal.epoch
    for ending in ("", "-wal"):
        Path(f"{path}{ending}").unlink(missing_ok=True)
    copy(aside, path, ("", "-wal"))
    with closing(Journal.open(path, "gw1")) as journal:
        assert (journal.epoch != epoch, bodies(journal)) == (True, named(1, 2, 3))
        assert journal.rejections() == {"log_rolled_back": 1}
        assert "older copy" in journal.found[0]
        append(journal, 1)
    with closing(Journal.open(path, "gw1")) as journal:
        assert (journal.head, journal.found) == (4, [])


def test_without_a_witness_an_older_copy_would_go_unnoticed(path: Path, tmp_path: Path) -> None:
    """The test above can fail: the witness it is that tells."""
    _earlier_life(path, tmp_path / "aside.db")
    with closing(Journal.open(path, "gw1")) as journal:
        epoch = journal.epoch
    shutil.copy(tmp_path / "aside.db", path)
    Path(f"{path}-head").unlink()
    with closing(Journal.open(path, "gw1")) as journal:
        assert (journal.epoch, journal.head, journal.found) == (epoch, 3, [])


def test_a_crash_while_opening_is_no_older_copy(path: Path) -> None:
    """Between the witness and the commit of an opening either of the two writers is right."""
    epoch = run(path, 3)
    for others in (("{}", "new"), ("old", "{}")):
        with closing(sqlite3.connect(path)) as connection:
            (writer,) = connection.execute("SELECT writer FROM identity").fetchone()
        Witness(path).write(Sighting("gw1", epoch, 3, tuple(each.format(writer) for each in others)))
        with closing(Journal.open(path, "gw1")) as journal:
            assert (journal.epoch, journal.found) == (epoch, [])


@pytest.mark.parametrize("content", [b"", b"noise", b"edgemesh-witness-1 gw1 ab 3 cd 00000000\n", b"\xff" * 300])
def test_a_torn_witness_says_nothing(path: Path, content: bytes) -> None:
    """A witness that can't be read is as good as none, and is written anew."""
    epoch = run(path, 3)
    Path(f"{path}-head").write_bytes(content)
    with closing(Journal.open(path, "gw1")) as journal:
        assert (journal.epoch, journal.found) == (epoch, [])
    seen = Witness(path).read()
    assert seen is not None
    assert (seen.agent, seen.head) == ("gw1", 3)


def test_renewing_keeps_all_rows(path: Path) -> None:
    """When consumers prove that rows are missing, the log goes on under a new epoch, counted, and stays there."""
    with closing(Journal.open(path, "gw1")) as journal:
        append(journal, 3)
        epoch = journal.epoch
        journal.renew("group recorder has row 9")
        append(journal, 1)
        renewed = journal.epoch
    with closing(Journal.open(path, "gw1")) as journal:
        assert (journal.epoch, bodies(journal), journal.found) == (renewed, named(1, 2, 3, 4), [])
        assert renewed != epoch
        assert journal.rejections() == {"log_rolled_back": 1}
