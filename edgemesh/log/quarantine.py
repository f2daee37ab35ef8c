"""The quarantine: the newest of what was rejected, so that a person can look at it. Capped, whatever arrives."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

ROWS = 1_000
BYTES = 10_000_000
PAYLOAD = 4_096  # bytes of a payload that are kept
TEXT = 1_024  # bytes of origin, reason and detail that are kept, each

if ROWS * (PAYLOAD + 3 * TEXT) > BYTES:
    raise ValueError("a full quarantine would be larger than its cap")


@dataclass(frozen=True, slots=True)
class Quarantined:
    """Something that was rejected. `origin` is a topic or a file, `reason` a code, `at_ns` UTC of the rejection."""

    at_ns: int
    origin: str
    reason: str
    detail: str
    payload: bytes


def keep(connection: sqlite3.Connection, item: Quarantined) -> None:
    """Count it by its reason, and keep the first `PAYLOAD` bytes of it until `ROWS` newer ones have come."""
    reason = _cut(item.reason)
    count(connection, reason, 1)
    kept = connection.execute(
        "INSERT INTO quarantine (at_ns, origin, reason, detail, payload) VALUES (?, ?, ?, ?, ?)",
        (item.at_ns, _cut(item.origin), reason, _cut(item.detail), item.payload[:PAYLOAD]),
    )
    connection.execute("DELETE FROM quarantine WHERE id <= ?", ((kept.lastrowid or 0) - ROWS,))


def count(connection: sqlite3.Connection, reason: str, many: int) -> None:
    """Add so many to those ever rejected for the reason."""
    connection.execute(
        "INSERT INTO rejection VALUES (?1, ?2) ON CONFLICT (reason) DO UPDATE SET count = count + ?2", (reason, many)
    )


def newest(connection: sqlite3.Connection, limit: int) -> list[Quarantined]:
    """Return at most `limit` of what is kept, newest first."""
    found = connection.execute(
        "SELECT at_ns, origin, reason, detail, payload FROM quarantine ORDER BY id DESC LIMIT ?", (max(limit, 0),)
    )
    return [Quarantined(*row) for row in found]


def counts(connection: sqlite3.Connection) -> dict[str, int]:
    """Return how many were ever rejected, by reason."""
    return dict(connection.execute("SELECT reason, count FROM rejection"))


def _cut(text: str) -> str:
    return text.encode("utf-8", "backslashreplace")[:TEXT].decode("utf-8", "ignore")
