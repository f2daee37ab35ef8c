"""Reading the audit beside the scheduler that writes it: entries, and what is wrong with them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from edgemesh.audit.chain import Entry, Fault, Found, Mark, read_body, walk
from edgemesh.errors import InputError
from edgemesh.model.decisions import Decision

_COLUMNS = "SELECT seq, order_id, previous, hash, body FROM audit"


class Kept(NamedTuple):
    """A version of an order as some other file has it; `digest` as in `Decision`."""

    order: str
    version: int
    opened_at_ns: int
    digest: str
    where: str


class Audit(NamedTuple):
    """What the chain of one file says of itself."""

    file: Path
    start: Mark
    head: Mark
    found: Found


def connect(file: Path) -> sqlite3.Connection:
    """Open for reading only, also while another writes, and leave no file behind. InputError when that can't be."""
    mode = "mode=ro" if Path(f"{file}-wal").exists() else "mode=ro&immutable=1"
    try:
        return sqlite3.connect(f"{file.absolute().as_uri()}?{mode}", uri=True, timeout=5.0)
    except sqlite3.Error as error:
        raise InputError(str(error), source=str(file)) from error


def has_table(file: Path, table: str) -> bool:
    """Whether the file is a database with this table."""
    try:
        with closing(connect(file)) as connection:
            return connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone() is not None
    except (sqlite3.Error, InputError):
        return False


def check(file: Path) -> Audit:
    """Walk along the whole chain of a file. InputError when it can't be read at all."""
    try:
        with closing(connect(file)) as connection:
            connection.execute("BEGIN")
            start, head = _mark(connection, "start"), _mark(connection, "head")
            return Audit(file, start, head, walk(_entries(connection), start, head))
    except (sqlite3.Error, TypeError, ValueError) as error:
        raise InputError(f"the audit can't be read: {error}", source=str(file)) from error


def decisions(file: Path, *, order: str = "", limit: int | None = None) -> list[tuple[int, Decision]]:
    """The decisions held with their numbers, oldest first: of orders whose id begins so, or of all; the newest `limit`.

    What can't be read is left out; `check` says so.
    """
    return list(_decisions(file, order, limit))[::-1]


def _decisions(file: Path, order: str = "", limit: int | None = None) -> Iterator[tuple[int, Decision]]:
    """The same, newest first."""
    where = "order_id >= ?1 AND order_id < ?1 || 'g'" if order else "?1 = ''"
    query = f"{_COLUMNS} WHERE {where} ORDER BY seq DESC LIMIT ?2"
    try:
        with closing(connect(file)) as connection:
            for row in connection.execute(query, (order, -1 if limit is None else limit)):
                entry = _entry(row)
                try:
                    body = read_body(entry.body)
                except ValueError:
                    continue
                if body.decision is not None:
                    yield entry.seq, body.decision
    except sqlite3.Error as error:
        raise InputError(f"the audit can't be read: {error}", source=str(file)) from error


def compare(file: Path, versions: Sequence[Kept], others: Sequence[Path] = ()) -> list[Fault]:
    """Hold versions of orders that other files have against the chain: each has a decision, and is what was decided.

    `others` are audits of other schedulers, one of which may have decided it. Left out are versions from before the
    first entry held. So a cut at the end is found that took the head with it, and
    a chain that was written anew.
    """
    decided: dict[tuple[str, int], tuple[int, str]] = {}
    first: dict[str, int] = {}
    end = begun_ns = 0
    for seq, decision in _decisions(file):
        decided[decision.order, decision.version] = seq, decision.digest
        first[decision.order], begun_ns, end = decision.version, decision.at_ns, max(end, seq)
    elsewhere = {
        (decision.order, decision.version): decision.digest for other in others for _, decision in _decisions(other)
    }
    if not decided and versions:
        return [Fault(what="cut", first=1, last=1, text=f"no decision is held, but {versions[0].where} has orders")]
    faults = []
    for kept in versions:
        seq, digest = decided.get((kept.order, kept.version), (0, ""))
        if elsewhere.get((kept.order, kept.version)) == kept.digest:
            continue
        name = f"version {kept.version} of order {kept.order[:8]} in {kept.where}"
        if digest and digest != kept.digest:
            faults.append(Fault(what="edited", first=seq, last=seq, text=f"{name} is not what was decided"))
        elif not digest and (kept.opened_at_ns > begun_ns or kept.version > first.get(kept.order, kept.version)):
            faults.append(Fault(what="cut", first=end + 1, last=end + 1, text=f"{name} was decided by no entry held"))
    return faults


def _entries(connection: sqlite3.Connection) -> Iterator[Entry]:
    for row in connection.execute(f"{_COLUMNS} ORDER BY seq"):
        yield _entry(row)


def _entry(row: tuple[object, ...]) -> Entry:
    """A row as it was written; where the file was changed, any column may hold anything."""
    seq, order, *parts = row
    previous, digest, body = (part if isinstance(part, bytes) else str(part).encode() for part in parts)
    return Entry(seq if isinstance(seq, int) else 0, str(order), previous, digest, body)


def _mark(connection: sqlite3.Connection, name: str) -> Mark:
    seq, digest = connection.execute("SELECT seq, hash FROM audit_mark WHERE name = ?", (name,)).fetchone()
    return Mark(int(seq), digest if isinstance(digest, bytes) else str(digest).encode())
