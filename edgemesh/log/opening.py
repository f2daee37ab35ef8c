"""Opening a journal for writing: is it ours, is it whole, and is it the one that we closed?"""

from __future__ import annotations

import secrets
import sqlite3
import time
from dataclasses import dataclass, field
from pathlib import Path

from edgemesh.errors import LogDamaged, LogError
from edgemesh.log import quarantine, schema
from edgemesh.log.disk import renaming, size_of
from edgemesh.log.quarantine import Quarantined
from edgemesh.log.rescue import salvage, set_aside
from edgemesh.log.witness import Sighting, Witness

BUSY_S = 5.0  # how long another process may keep the file locked
WAL_BYTES = 8_000_000  # a longer write-ahead log is cut back after its checkpoint
CHECKED_BYTES = 16_000_000  # a file up to this size is read through before it is believed
ROLLED_BACK, LOST, DAMAGED = "log_rolled_back", "log_lost", "log_damaged"  # reasons in the quarantine


@dataclass(slots=True)
class Opening:
    """A file that was opened. `writer` proves who may commit; `found` says what was wrong with it, for people.

    `fresh`: its epoch began with this opening.
    """

    connection: sqlite3.Connection
    writer: str
    found: list[str] = field(default_factory=list)
    fresh: bool = False


def open_to_write(path: Path, agent: str, witness: Witness, *, anew: bool, broken: str = "") -> Opening:
    """Open the agent's journal, and make it and its folders where they are missing.

    With `anew` a file of ours that is damaged is moved aside and a new one is begun with all rows that can still be
    read; `broken` says that it is, and why. Raises LogError and LogDamaged with what to do about it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LogError(f"{path.parent}: {error.strerror}") from error
    seen = witness.read()
    try:
        if broken:
            raise LogDamaged(broken)
        return _open(path, agent, witness, seen)
    except LogDamaged as damage:
        if not anew:
            raise LogDamaged(f"{damage}; put a copy back, or move the file away to begin a new log") from damage
        if not _is_ours(path, agent, seen):
            raise LogDamaged(f"{damage}; nothing says that it is a log of `{agent}`: move the file away") from damage
        return _begin_anew(path, agent, witness, seen, damage)


def connect(path: Path, options: str) -> sqlite3.Connection:
    """A connection that commits when it is told to."""
    address = f"{path.absolute().as_uri()}?{options}"
    return sqlite3.connect(address, uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False)


def _open(path: Path, agent: str, witness: Witness, seen: Sighting | None) -> Opening:
    with renaming(str(path)):
        opening = Opening(connect(path, "mode=rwc"), secrets.token_hex(8))
        connection = opening.connection
        try:
            fresh = schema.is_empty(connection)
            if not fresh:
                _check_owner(connection, path, agent, seen)  # before anything in a stranger's file is changed
                if size_of(path) <= CHECKED_BYTES and (problem := schema.problem(connection)):
                    raise LogDamaged(f"{path}: {problem}")
            _set_up(connection)
            connection.execute("BEGIN IMMEDIATE")
            schema.prepare(connection, agent, str(path))
            _take_over(opening, path, witness, seen, fresh=fresh)
            connection.execute("COMMIT")
            _, epoch, _, head = schema.identity(connection, str(path))
            witness.write(Sighting(agent, epoch, head, (opening.writer,)), durable=True)
        except BaseException:
            connection.close()
            raise
    return opening


def _check_owner(connection: sqlite3.Connection, path: Path, agent: str, seen: Sighting | None) -> None:
    try:
        schema.check(connection, str(path))
    except LogError as error:
        if seen is not None and seen.agent == agent and not schema.is_newer(connection):
            raise LogDamaged(f"{path}: does not say any more that it is a log") from error
        raise


def _take_over(opening: Opening, path: Path, witness: Witness, seen: Sighting | None, *, fresh: bool) -> None:
    """Inside the open transaction: become the one writer, and let nothing pass that is not what was written last."""
    connection = opening.connection
    agent, epoch, _, head = schema.identity(connection, str(path))
    opening.fresh = fresh
    if problem := _mismatch(seen, fresh, epoch, head, schema.last_writer(connection)):
        reason = LOST if fresh else ROLLED_BACK
        opening.fresh = True
        epoch = schema.new_epoch()
        connection.execute("UPDATE identity SET epoch = ?", (epoch,))
        _note(opening, path, reason, f"{problem}; a new epoch begins, and what is held goes out again")
    for table, name, rest in list(schema.damaged(connection)):
        column = "agent" if table == "cursor" else "name"
        connection.execute(f"DELETE FROM {table} WHERE {column} = ?", (name,))  # noqa: S608  our own names
        _note(opening, path, f"damaged_{table}", f"the {table} `{name}` was damaged; it is begun anew", rest)
    # Whichever of the two the file holds after a crash right here is the right one.
    before = seen.writers if seen and not fresh else ()
    witness.write(Sighting(agent, epoch, head, (*before, opening.writer)), durable=True)
    connection.execute("UPDATE identity SET writer = ?", (opening.writer,))


def _mismatch(seen: Sighting | None, fresh: bool, epoch: str, head: int, writer: str) -> str:
    """What speaks against this being the file that was written last; empty: nothing."""
    if seen is None:
        return ""
    if fresh:
        return f"the log was deleted; {seen.head} rows had been written"
    if seen.epoch != epoch or writer not in seen.writers or head < seen.head:
        return f"the log is an older copy: its last row is {head}, and {seen.head} had been written"
    return ""


def _begin_anew(path: Path, agent: str, witness: Witness, seen: Sighting | None, damage: LogDamaged) -> Opening:
    aside = set_aside(path)
    opening = _open(path, agent, witness, None)
    with renaming(str(path)):
        opening.connection.execute("BEGIN IMMEDIATE")
        saved = salvage(aside, opening.connection, seen.head if seen else 0)
        text = f"{damage}; moved aside to {aside.name}, and {saved} rows of it go out again under a new epoch"
        _note(opening, path, DAMAGED, text)
        opening.connection.execute("COMMIT")
    return opening


def _is_ours(path: Path, agent: str, seen: Sighting | None) -> bool:
    """Whether the damaged file was surely a log of this agent: the witness knows it, or its head still says so."""
    if seen is not None:
        return seen.agent == agent
    try:
        with path.open("rb") as file:
            header = file.read(100)
    except OSError:
        return False
    return header[68:72] == schema.APPLICATION.to_bytes(4, "big")


def _note(opening: Opening, path: Path, reason: str, text: str, payload: bytes = b"") -> None:
    opening.found.append(text)
    quarantine.keep(opening.connection, Quarantined(time.time_ns(), path.name, reason, text, payload))


def _set_up(connection: sqlite3.Connection) -> None:
    if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
        raise LogError("the file system of the log can't do write-ahead logging; choose a local folder")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
    # Some distributions build SQLite so that pruned rows are overwritten with zeros: twice the wear on an SD card.
    connection.execute("PRAGMA secure_delete = OFF")
