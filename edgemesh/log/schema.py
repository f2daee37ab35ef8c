"""The tables of a journal, and who may open one."""

from __future__ import annotations

import secrets
import sqlite3

from edgemesh.errors import LogDamaged, LogError

VERSION = 1
APPLICATION = 0x656D6C67  # "emlg" in the file's header: `file` and we know what it is

_TABLES = f"""
CREATE TABLE identity (agent TEXT NOT NULL, epoch TEXT NOT NULL, pruned INTEGER NOT NULL, writer TEXT NOT NULL);
CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY, crc INTEGER NOT NULL, at_ns INTEGER NOT NULL,
    kind TEXT NOT NULL, trace TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE cursor (agent TEXT PRIMARY KEY, epoch TEXT NOT NULL, through INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE past_cursor (
    id INTEGER PRIMARY KEY, agent TEXT NOT NULL, epoch TEXT NOT NULL, through INTEGER NOT NULL, UNIQUE (agent, epoch));
CREATE TABLE part (name TEXT PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY, at_ns INTEGER NOT NULL, origin TEXT NOT NULL, reason TEXT NOT NULL,
    detail TEXT NOT NULL, payload BLOB NOT NULL);
CREATE TABLE rejection (reason TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
"""


def prepare(connection: sqlite3.Connection, agent: str, where: str) -> str:
    """Open the file for writing: make an empty one the journal of the agent, and become its one writer.

    Whoever had it open for writing can't commit any more. Returns the proof for `is_writer`. Raises LogError for the
    file of another agent, of a newer edgemesh, or of another program.
    """
    writer = secrets.token_hex(8)
    connection.execute("BEGIN IMMEDIATE")
    try:
        if is_empty(connection):
            for statement in _TABLES.split(";"):
                connection.execute(statement)
            connection.execute("INSERT INTO identity VALUES (?, ?, 0, '')", (agent, secrets.token_hex(8)))
        check(connection, where)
        owner = identity(connection, where)[0]
        if owner != agent:
            raise LogError(f"{where}: this is the log of agent `{owner}`, not of `{agent}`")
        connection.execute("UPDATE identity SET writer = ?", (writer,))
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    return writer


def is_empty(connection: sqlite3.Connection) -> bool:
    """Whether nothing was ever put into the file, as when the power went during the first opening."""
    return connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None


def check(connection: sqlite3.Connection, where: str) -> None:
    """Raise LogError if the file is no journal, or one of a newer edgemesh."""
    if _number(connection, "application_id") != APPLICATION:
        raise LogError(f"{where}: this is not a log of edgemesh")
    version = _number(connection, "user_version")
    if version > VERSION:
        raise LogError(f"{where}: written by a newer edgemesh (schema {version}, this one knows {VERSION})")


def identity(connection: sqlite3.Connection, where: str) -> tuple[str, str, int, int]:
    """Return agent, epoch, the highest row ever pruned, and the last row ever written (0: none)."""
    found = connection.execute("SELECT agent, epoch, pruned FROM identity").fetchall()
    if len(found) != 1:
        raise LogDamaged(f"{where}: the file does not say whose log it is")
    agent, epoch, pruned = found[0]
    first, last = connection.execute("SELECT (SELECT min(seq) FROM outbox), (SELECT max(seq) FROM outbox)").fetchone()
    if first is not None and first != pruned + 1:
        raise LogDamaged(f"{where}: row {pruned + 1} is missing")
    return agent, epoch, pruned, pruned if last is None else last


def is_writer(connection: sqlite3.Connection, writer: str) -> bool:
    """Whether nobody has opened the file for writing since."""
    return connection.execute("SELECT 1 FROM identity WHERE writer = ?", (writer,)).fetchone() is not None


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])
