"""Places in time: two points of one series at one instant would be one, so the later one is moved by 1 ns.

What was placed once gets the same place again, so that what is written twice is one point.
"""

from __future__ import annotations

import sqlite3

KEPT = 50_000
"""The newest places are remembered."""
_SPAN_NS = 1_000_000


def place(connection: sqlite3.Connection, head: str, at_ns: int, identity: str) -> int:
    """The instant (UTC ns) for a point of the series `head`: `at_ns`, or the first after it that is free.

    `identity` tells points of one series apart.
    """
    found = connection.execute(
        "SELECT at_ns FROM influx_place WHERE head = ? AND identity = ?", (head, identity)
    ).fetchone()
    if found:
        return int(found[0])
    taken = connection.execute("SELECT 1 FROM influx_place WHERE head = ? AND at_ns = ?", (head, at_ns)).fetchone()
    if taken:
        (last,) = connection.execute(
            "SELECT max(at_ns) FROM influx_place WHERE head = ? AND at_ns BETWEEN ? AND ?",
            (head, at_ns, at_ns + _SPAN_NS),
        ).fetchone()
        at_ns = last + 1
    connection.execute("INSERT INTO influx_place (head, at_ns, identity) VALUES (?, ?, ?)", (head, at_ns, identity))
    return at_ns


def trim_places(connection: sqlite3.Connection) -> None:
    """Forget the oldest places."""
    connection.execute("DELETE FROM influx_place WHERE id <= (SELECT max(id) FROM influx_place) - ?", (KEPT,))
