"""What is in the spool, for people: read beside the recorder that writes it."""

from __future__ import annotations

import sqlite3
import urllib.parse
import zlib
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from edgemesh.errors import StoreError
from edgemesh.store.influx.spool import Lane
from edgemesh.store.influx.tables import read_state

SHOWN = 200
"""So many characters of a line are shown."""


class Waiting(NamedTuple):
    """What waits in one lane: lines, bytes, and for how long the oldest of them has, in seconds of running."""

    lane: Lane
    lines: int
    size: int
    age_s: float


class Letter(NamedTuple):
    """One dead letter: when it was kept (UTC ns), how many lines are lost, why, and the first line of its request."""

    at_ns: int
    lines: int
    reason: str
    first: str


class Inventory(NamedTuple):
    """All lanes, lines dropped and dead ever, and the newest dead letters."""

    waiting: tuple[Waiting, ...]
    dropped: int
    dead: int
    letters: tuple[Letter, ...]


def take_inventory(path: Path, limit: int) -> Inventory | None:
    """Look into a recorder's file, with at most `limit` dead letters; None: nothing was ever to go to InfluxDB.

    StoreError when there is no such file, or it can't be read now.
    """
    if not path.is_file():
        raise StoreError(f"{path}: there is no recorder's file yet", retryable=True)
    address = f"file:{urllib.parse.quote(str(path.absolute()))}?mode=ro"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=5.0)) as connection:
            if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'influx_state'").fetchone() is None:
                return None
            return _look(connection, limit)
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}", retryable=True) from error


def _look(connection: sqlite3.Connection, limit: int) -> Inventory:
    state = read_state(connection)
    rows = connection.execute(
        "SELECT lane, sum(lines), sum(length(body)), min(put_ms) FROM influx_spool GROUP BY lane ORDER BY lane"
    )
    waiting = tuple(Waiting(Lane(lane), lines, size, (state["up_ms"] - put) / 1000) for lane, lines, size, put in rows)
    letters = connection.execute(
        "SELECT at_ns, lines, reason, body FROM influx_dead ORDER BY id DESC LIMIT ?", (limit,)
    ).fetchall()
    return Inventory(
        waiting,
        state["dropped"],
        state["dead"],
        tuple(Letter(at_ns, lines, reason, _first(body)) for at_ns, lines, reason, body in letters),
    )


def _first(body: bytes) -> str:
    return zlib.decompress(body).partition(b"\n")[0].decode(errors="replace")[:SHOWN]
