"""Copies of a journal, taken while its agent runs, proved, and put back.

A copy is a journal of its own, one file, whose last writer is nobody: whoever opens it in the journal's place finds
that it is not the file that was written last, and goes on under a new epoch.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from edgemesh.errors import LogDamaged, LogError
from edgemesh.log import schema
from edgemesh.log.disk import in_our_words, renaming, size_of
from edgemesh.log.journal import Journal
from edgemesh.log.opening import connect
from edgemesh.log.rescue import set_aside
from edgemesh.log.witness import Sighting, Witness

STEP_PAGES = 64
"""Pages (of 4 KiB) that are copied at a time."""
_ROWS, _ROW_BYTES = 1_000, 4_000_000
_DIGITS = 6
RESTORED = "restored"


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy: the agent's name, its number (the newest has the greatest), its file, bytes, and when (UTC ns)."""

    agent: str
    number: int
    file: Path
    size: int
    at_ns: int


def copies(folder: Path, agent: str) -> list[Copy]:
    """The copies of an agent's journal in a folder, newest first. LogError when the folder can't be read."""
    found = []
    try:
        for file in folder.glob(f"{agent}-{'[0-9]' * _DIGITS}.db"):
            about = file.stat()
            found.append(Copy(agent, int(file.stem[-_DIGITS:]), file, about.st_size, about.st_mtime_ns))
    except OSError as error:
        raise LogError(f"{folder}: {error.strerror}") from error
    return sorted(found, key=lambda copy: copy.number, reverse=True)


def take_copy(journal: Path, folder: Path, agent: str, *, keep: int, rest: Callable[[int], None]) -> Copy:
    """Copy the journal as it is at this moment, prove the copy, and delete all but the newest `keep`.

    `rest` is called after each step with the bytes copied; it may sleep, or raise to give up. The agent writes on
    meanwhile, unhindered; only its write-ahead log can't begin anew until the copy is done. LogError when it can't be
    done; an unfinished copy leaves nothing behind.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LogError(f"{folder}: {error.strerror}") from error
    older = copies(folder, agent)
    number = older[0].number + 1 if older else 1
    file = folder / f"{agent}-{number:0{_DIGITS}d}.db"
    part = folder / f"{agent}.part"
    try:
        _copy(journal, part, rest)
        about = prove(part, agent)
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.replace(file)
        for copy in older[max(0, keep - 1) :]:
            copy.file.unlink(missing_ok=True)
    except OSError as error:
        raise LogError(f"{file}: {error.strerror}") from error
    finally:
        for beside in ("", "-wal", "-shm", "-journal"):
            Path(f"{part}{beside}").unlink(missing_ok=True)
    return Copy(agent, number, file, about, file.stat().st_mtime_ns)


def _copy(journal: Path, part: Path, rest: Callable[[int], None]) -> None:
    part.unlink(missing_ok=True)
    with closing(_read(journal)) as source, closing(sqlite3.connect(part, isolation_level=None)) as target:
        with renaming(str(journal)):
            # One snapshot for all steps: without it each commit of the agent would begin the copy anew.
            source.execute("BEGIN")
            page = int(source.execute("PRAGMA page_size").fetchone()[0])
            schema.check(source, str(journal))
        with renaming(str(part)):
            target.execute("PRAGMA synchronous = OFF")  # it is made safe as a whole, at the end

            def step(_status: int, _remaining: int, total: int) -> None:
                rest(min(STEP_PAGES, total) * page)

            source.backup(target, pages=STEP_PAGES, progress=step)
            target.execute("PRAGMA journal_mode = DELETE")
            target.execute("UPDATE identity SET writer = ''")


def _read(journal: Path) -> sqlite3.Connection:
    with renaming(str(journal)):
        return connect(journal, "mode=ro")


def prove(file: Path, agent: str, *, rows: bool = False) -> int:
    """Read a copy through, with `rows` every row of its outbox; return its size.

    LogDamaged or LogError when it is no good.
    """
    journal = Journal.peek(file)
    try:
        if journal.agent != agent:
            raise LogError(f"{file}: this is the log of agent `{journal.agent}`, not of `{agent}`")
        after = journal.lowest - 1 if rows else journal.head
        while found := journal.rows(after, limit=_ROWS, max_bytes=_ROW_BYTES):
            after = found[-1].seq
    finally:
        journal.close()
    with renaming(str(file)), closing(connect(file, "mode=ro&immutable=1")) as connection:
        if problem := schema.problem(connection):
            raise LogDamaged(f"{file}: {problem}")
        for table, name, _ in schema.damaged(connection):
            raise LogDamaged(f"{file}: the {table} `{name}` is damaged")
    return size_of(file)


def put_back(copy: Path, journal: Path, agent: str) -> Path | None:
    """Put a proved copy in the journal's place; return where the former file is now, None: there was none.

    LogError while the agent runs, or when the disk refuses; then everything is as it was.
    """
    prove(copy, agent, rows=True)
    part = Path(f"{journal}.part")
    try:
        journal.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(copy, part)
        with part.open("rb") as written:
            os.fsync(written.fileno())
        aside = None
        if journal.exists():
            _refuse_if_open(journal)
            aside = set_aside(journal)
        for beside in ("-wal", "-shm"):  # what was left by a log that is gone would be taken for this one's
            Path(f"{journal}{beside}").unlink(missing_ok=True)
        part.replace(journal)
    except OSError as error:
        raise LogError(f"{journal}: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
    _remember(journal, agent)
    return aside


def _refuse_if_open(journal: Path) -> None:
    """LogError when anybody has the journal open: leaving write-ahead logging needs it for itself."""
    try:
        with closing(sqlite3.connect(journal, timeout=1.0, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE").fetchone()
    except sqlite3.Error as error:
        if not isinstance(in_our_words(error, ""), LogDamaged):  # a damaged file is what a copy is put back for
            raise LogError(f"{journal}: is open; stop the agent first") from error


def _remember(journal: Path, agent: str) -> None:
    """Where nobody remembers the log, as on a new disk, say that somebody else wrote it last."""
    witness = Witness(journal)
    if witness.read() is None:
        with closing(_read(journal)) as connection, renaming(str(journal)):
            _, epoch, _, head = schema.identity(connection, str(journal))
        with suppress(OSError):
            witness.write(Sighting(agent, epoch, head, (RESTORED,)), durable=True)
    witness.close()
