"""Copies of a journal: taken while it is written, proved, and noticed when one is put back."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from edgemesh.errors import LogDamaged, LogError
from edgemesh.log import backup
from edgemesh.log.backup import copies, prove, put_back, take_copy
from edgemesh.log.journal import Cursor, Journal
from edgemesh.log.rounds import interval_s
from edgemesh.log.witness import Witness
from tests.unit.log.test_opening import append, bodies, named


def nothing(copied: int) -> None:
    """Go on at once."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "copies"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "agents" / "gw1.db"


def take(path: Path, folder: Path, *, keep: int = 3, rest: Callable[[int], None] = nothing) -> backup.Copy:
    return take_copy(path, folder, "gw1", keep=keep, rest=rest)


def test_a_copy_has_all_that_was_committed_when_it_began(path: Path, folder: Path) -> None:
    """While it is copied the agent commits after every step: nothing waits, and the copy is of one moment."""
    with closing(Journal.open(path, "gw1")) as journal:
        with journal.begin() as transaction:
            transaction.set_cursor("other", Cursor("e", 7))
            transaction.put_parts({"part": b"state"})
        append(journal, 400, size=3_000)
        steps: list[int] = []

        def commit(copied: int) -> None:
            steps.append(copied)
            assert len(steps) < 2_000, "each commit begins the copy anew"
            append(journal, 1)

        copy = take(path, folder, rest=commit)
        assert len(steps) > 3
        assert journal.head == 400 + len(steps)
    with closing(Journal.peek(copy.file)) as found:
        assert found.head == 400
        assert found.cursors() == {"other": Cursor("e", 7)}
        assert found.parts() == {"part": b"state"}
    assert [file.name for file in folder.iterdir()] == ["gw1-000001.db"]


def test_the_newest_copies_stay(path: Path, folder: Path) -> None:
    """As many as are to be kept; numbers only rise; copies of other agents are left alone."""
    folder.mkdir()
    (folder / "gw1-b-000001.db").touch()
    with closing(Journal.open(path, "gw1")) as journal:
        for _ in range(5):
            append(journal, 1)
            take(path, folder, keep=2)
    assert [copy.number for copy in copies(folder, "gw1")] == [5, 4]
    assert [copy.number for copy in copies(folder, "gw1-b")] == [1]


def test_one_that_is_given_up_leaves_nothing(path: Path, folder: Path) -> None:
    """Neither a half file nor one fewer of the old ones."""

    def stop(copied: int) -> None:
        raise KeyboardInterrupt

    with closing(Journal.open(path, "gw1")) as journal:
        append(journal, 400, size=3_000)
        take(path, folder, keep=1)
        with pytest.raises(KeyboardInterrupt):
            take(path, folder, keep=1, rest=stop)
    assert [file.name for file in folder.iterdir()] == ["gw1-000001.db"]


def test_an_older_copy_that_is_put_back_goes_on_under_a_new_epoch(path: Path, folder: Path) -> None:
    """The agent notices, keeps what the copy has, and uses no number again that readers know; the old file is kept."""
    with closing(Journal.open(path, "gw1")) as journal:
        append(journal, 3)
        copy = take(path, folder)
        append(journal, 5)
        epoch = journal.epoch
    aside = put_back(copy.file, path, "gw1")
    assert aside is not None
    with closing(Journal.peek(aside)) as former:
        assert former.head == 8
    with closing(Journal.open(path, "gw1")) as journal:
        assert journal.epoch != epoch
        assert journal.fresh
        assert bodies(journal) == named(1, 2, 3)
        assert any("older copy" in found for found in journal.found)


@pytest.mark.parametrize("lost", ["", "-head"])
def test_on_a_new_disk_too(path: Path, folder: Path, lost: str) -> None:
    """Log and witness are gone, or only the log: a new epoch begins all the same, even if nothing was written since."""
    with closing(Journal.open(path, "gw1")) as journal:
        append(journal, 3)
        epoch = journal.epoch
        copy = take(path, folder)
    for ending in {"", lost}:
        Path(f"{path}{ending}").unlink()
    assert put_back(copy.file, path, "gw1") is None
    with closing(Journal.open(path, "gw1")) as journal:
        assert journal.epoch != epoch
        assert bodies(journal) == named(1, 2, 3)
    with closing(Journal.open(path, "gw1")) as journal:
        assert not journal.fresh


def test_a_write_ahead_log_that_was_left_is_not_taken_for_the_copys(path: Path, folder: Path) -> None:
    """The agent was killed and somebody deleted its log, but not the file beside it."""
    with closing(Journal.open(path, "gw1")) as journal:
        append(journal, 3)
        copy = take(path, folder)
        append(journal, 5)
        left = Path(f"{path}-wal").read_bytes()
    path.unlink()
    Path(f"{path}-wal").write_bytes(left)
    put_back(copy.file, path, "gw1")
    with closing(Journal.open(path, "gw1")) as journal:
        assert bodies(journal) == named(1, 2, 3)


def test_nothing_is_put_back_under_a_running_agent(path: Path, folder: Path) -> None:
    """Its file stays as it is, and it goes on."""
    with closing(Journal.open(path, "gw1")) as journal:
        append(journal, 3)
        copy = take(path, folder)
        with pytest.raises(LogError, match="stop the agent first"):
            put_back(copy.file, path, "gw1")
        append(journal, 1)
        assert journal.head == 4
    assert sorted(file.name for file in path.parent.iterdir()) == ["gw1.db", "gw1.db-head"]


def test_a_damaged_file_can_be_replaced(path: Path, folder: Path) -> None:
    """That is what copies are for."""
    with closing(Journal.open(path, "gw1")) as journal:
        append(journal, 3)
        copy = take(path, folder)
    path.write_bytes(b"nothing of a database" * 500)
    put_back(copy.file, path, "gw1")
    with closing(Journal.open(path, "gw1")) as journal:
        assert bodies(journal) == named(1, 2, 3)


def test_a_bad_copy_is_not_put_back(path: Path, folder: Path) -> None:
    """A row that is not what was written is found, and the log stays as it is; so is the log of another agent."""
    with closing(Journal.open(path, "gw1")) as journal:
        append(journal, 3)
        copy = take(path, folder)
    with closing(sqlite3.connect(copy.file)) as connection:
        connection.execute("UPDATE outbox SET body = 'x' WHERE seq = 2")
        connection.commit()
    prove(copy.file, "gw1")  # not seen without reading the rows
    with pytest.raises(LogDamaged):
        put_back(copy.file, path, "gw1")
    with pytest.raises(LogError, match="agent `gw1`"):
        prove(copy.file, "gw2")
    with closing(Journal.open(path, "gw1")) as journal:
        assert not journal.fresh


def test_a_folder_that_can_not_be_is_said(path: Path, tmp_path: Path) -> None:
    """A file in the place of the folder, as when a disk is not mounted there."""
    (tmp_path / "copies").write_text("")
    with closing(Journal.open(path, "gw1")) as journal:
        append(journal, 1)
        with pytest.raises(LogError, match="copies"):
            take(path, tmp_path / "copies")


def test_what_was_restored_by_hand_is_noticed(path: Path, folder: Path) -> None:
    """`cp` does, as long as the witness is there."""
    with closing(Journal.open(path, "gw1")) as journal:
        append(journal, 3)
        copy = take(path, folder)
        epoch = journal.epoch
    assert Witness(path).read() is not None
    path.write_bytes(copy.file.read_bytes())
    with closing(Journal.open(path, "gw1")) as journal:
        assert journal.epoch != epoch


def test_a_write_budget_lengthens_the_rounds() -> None:
    """Copies take half of it at most: 1 GB is copied twice a day under 4 GB/day."""
    assert interval_s(300.0, 10**9, 4 * 10**9) == 43_200.0
    assert interval_s(300.0, 1_000, 4 * 10**9) == 300.0
