"""The tables of a journal, and who may open one."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterator

from edgemesh.errors import LogDamaged, LogError
from edgemesh.log.outbox import Span, checksum_of

VERSION = 3
APPLICATION = 0x656D6C67  # "emlg" in the file's header: `file` and we know what it is

_TABLES = f"""
CREATE TABLE identity (agent TEXT NOT NULL, epoch TEXT NOT NULL, pruned INTEGER NOT NULL, writer TEXT NOT NULL);
CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY, crc INTEGER NOT NULL, at_ns INTEGER NOT NULL,
    kind TEXT NOT NULL, trace TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE cursor (
    agent TEXT PRIMARY KEY, epoch TEXT NOT NULL, through INTEGER NOT NULL, crc INTEGER,
    ahead TEXT NOT NULL DEFAULT '') WITHOUT ROWID;
CREATE TABLE past_cursor (
    id INTEGER PRIMARY KEY, agent TEXT NOT NULL, epoch TEXT NOT NULL, through INTEGER NOT NULL,
    ahead TEXT NOT NULL DEFAULT '', UNIQUE (agent, epoch));
CREATE TABLE part (name TEXT PRIMARY KEY, value BLOB NOT NULL, crc INTEGER);
CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY, at_ns INTEGER NOT NULL, origin TEXT NOT NULL, reason TEXT NOT NULL,
    detail TEXT NOT NULL, payload BLOB NOT NULL);
CREATE TABLE rejection (reason TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
"""
_SINCE = {
    2: ("ALTER TABLE part ADD COLUMN crc INTEGER", "ALTER TABLE cursor ADD COLUMN crc INTEGER"),
    3: (
        "ALTER TABLE cursor ADD COLUMN ahead TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE past_cursor ADD COLUMN ahead TEXT NOT NULL DEFAULT ''",
    ),
}
"""What each version of the schema has added."""


def prepare(connection: sqlite3.Connection, agent: str, where: str) -> None:
    """Make an empty file the journal of the agent, and one of an older edgemesh one of this. In a transaction.

    Raises LogError for the file of another agent, of a newer edgemesh, or of another program.
    """
    if is_empty(connection):
        for statement in _TABLES.split(";"):
            connection.execute(statement)
        connection.execute("INSERT INTO identity VALUES (?, ?, 0, '')", (agent, new_epoch()))
    check(connection, where)
    owner = identity(connection, where)[0]
    if owner != agent:
        raise LogError(f"{where}: this is the log of agent `{owner}`, not of `{agent}`; choose another data folder")
    for version in range(_number(connection, "user_version") + 1, VERSION + 1):
        for statement in _SINCE[version]:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {version}")


def new_epoch() -> str:
    """A name that no epoch of any log has had."""
    return secrets.token_hex(8)


def damaged(connection: sqlite3.Connection) -> Iterator[tuple[str, str, bytes]]:
    """Cursors and parts that are not what was written: table, name, and what is left of a part.

    Those of an older edgemesh have no checksum and are believed.
    """
    for agent, epoch, through, crc, ahead in connection.execute("SELECT agent, epoch, through, crc, ahead FROM cursor"):
        if crc is not None and crc != cursor_checksum(agent, epoch, through, ahead):
            yield "cursor", agent, b""
    for name, value, crc in connection.execute("SELECT name, value, crc FROM part"):
        if crc is not None and (not isinstance(value, bytes) or crc != checksum_of(name.encode(), value)):
            yield "part", name, value if isinstance(value, bytes) else b""


def cursor_checksum(agent: str, epoch: str, through: int, ahead: str) -> int:
    """What the column `crc` of a cursor holds."""
    row = f"{agent}\x1f{epoch}\x1f{through}"
    return checksum_of((f"{row}\x1f{ahead}" if ahead else row).encode())


def ahead_column(connection: sqlite3.Connection) -> str:
    """The column of cursors with the rows ahead; a file of an older edgemesh, opened for reading only, has none."""
    return "ahead" if _number(connection, "user_version") >= 3 else "''"


def spans_text(ahead: tuple[Span, ...]) -> str:
    """Spans of rows as a column holds them: `7-9,20-20`."""
    return ",".join(f"{first}-{last}" for first, last in ahead)


def read_spans(text: str) -> tuple[Span, ...]:
    """Undo `spans_text`. Raises LogDamaged for anything else."""
    try:
        parts = [part.partition("-") for part in text.split(",") if part]
        return tuple((int(first), int(last)) for first, _, last in parts)
    except ValueError as error:
        raise LogDamaged(f"a cursor's rows ahead can't be read: {text!r}") from error


def problem(connection: sqlite3.Connection) -> str:
    """What SQLite finds wrong with the file as a whole; empty: nothing. Reads all of it."""
    found = connection.execute("PRAGMA quick_check(1)").fetchone()
    return "" if found is None or found[0] == "ok" else str(found[0])


def is_empty(connection: sqlite3.Connection) -> bool:
    """Whether nothing was ever put into the file, as when the power went during the first opening."""
    return connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None


def check(connection: sqlite3.Connection, where: str) -> None:
    """Raise LogError if the file is no journal, or one of a newer edgemesh."""
    if _number(connection, "application_id") != APPLICATION:
        raise LogError(f"{where}: this is not a log of edgemesh; move the file away, or choose another data folder")
    if is_newer(connection):
        raise LogError(f"{where}: written by a newer edgemesh, with tables that this one (schema {VERSION}) can't know")


def is_newer(connection: sqlite3.Connection) -> bool:
    """Whether the tables are those of an edgemesh to come."""
    return _number(connection, "user_version") > VERSION


def identity(connection: sqlite3.Connection, where: str) -> tuple[str, str, int, int]:
    """Return agent, epoch, the highest row ever pruned, and the last row ever written (0: none)."""
    found = connection.execute("SELECT agent, epoch, pruned FROM identity").fetchall()
    if len(found) != 1:
        raise LogDamaged(f"{where}: the file does not say whose log it is")
    agent, epoch, pruned = found[0]
    if not (isinstance(agent, str) and isinstance(epoch, str) and isinstance(pruned, int)):
        raise LogDamaged(f"{where}: the file does not say whose log it is")
    first, last = connection.execute("SELECT (SELECT min(seq) FROM outbox), (SELECT max(seq) FROM outbox)").fetchone()
    if first is not None and first != pruned + 1:
        raise LogDamaged(f"{where}: row {pruned + 1} is missing")
    return agent, epoch, pruned, pruned if last is None else last


def last_writer(connection: sqlite3.Connection) -> str:
    """The proof of whoever opened the file for writing last."""
    return str(connection.execute("SELECT writer FROM identity").fetchone()[0])


def is_writer(connection: sqlite3.Connection, writer: str) -> bool:
    """Whether nobody has opened the file for writing since."""
    return connection.execute("SELECT 1 FROM identity WHERE writer = ?", (writer,)).fetchone() is not None


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])
