"""The spool: lines wait in the recorder's database until InfluxDB has them.

They come in with the transaction that takes their packs in, and go out by number once the sender has said that they are
over. A row holds the lines of one lane and one commit, compressed.
"""

from __future__ import annotations

import enum
import sqlite3
import time
import zlib
from collections.abc import Callable, Sequence

from edgemesh.store.influx.progress import Progress
from edgemesh.store.influx.tables import add_to_state, create, read_state

ROW_LINES = 5_000
"""Lines of one row at most: what one request may hold."""
LEVEL = 1
MAX_BYTES = 500 * 1000**2
MAX_AGE_S = 7 * 86_400.0
DROP_ROWS = 256
"""So many of the oldest rows give way at a time."""
OLD_ROWS = 10_000
DEAD_ROWS, DEAD_BYTES = 500, 200_000
"""The newest dead letters are kept, and of each so much; all are counted."""
_LONGEST_MS = 60_000


class Lane(enum.IntEnum):
    """What waits together, in the order in which it is sent. What gives way first: spans, then readings, then
    roll-ups, then events.
    """

    EVENTS = 0
    READINGS = 1
    ROLLUPS = 2
    SPANS = 3


DROPPED_FIRST = (Lane.SPANS, Lane.READINGS, Lane.ROLLUPS, Lane.EVENTS)


class Spool:
    """The recorder's end of the spool; all calls are inside its open transaction.

    It holds at most `max_bytes`, for at most `max_age_s` (counted while the recorder runs); beyond either the oldest
    lines give way, readings first, and are counted. The figures are those of the last `keep_house`, for any thread:
    `waiting` lines, which take `size` bytes, the oldest of them since `age_s`; `dropped` and `dead` ever. `steady`
    gives ns, set by nobody.
    """

    def __init__(
        self,
        progress: Progress,
        *,
        max_bytes: int = MAX_BYTES,
        max_age_s: float = MAX_AGE_S,
        steady: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._progress = progress
        self._max_bytes, self._max_age_ms = max_bytes, round(max_age_s * 1000)
        self._steady = steady
        self._counted_ns = steady()
        self._buried: set[str] = set()
        self._up_ms = 0
        self.waiting = self.size = self.dropped = self.dead = 0
        self.age_s = 0.0
        self.dropped_at_s: float | None = None

    def prepare(self, connection: sqlite3.Connection) -> None:
        """Create the tables that are missing, and go on from what is there."""
        create(connection)
        self._look(connection, read_state(connection)["dropped"])

    def put(self, connection: sqlite3.Connection, lane: Lane, lines: Sequence[str]) -> None:
        """Add lines to a lane; none of them holds a line feed."""
        rows = []
        for start in range(0, len(lines), ROW_LINES):
            part = lines[start : start + ROW_LINES]
            rows.append((int(lane), self._up_ms, len(part), zlib.compress("\n".join(part).encode(), LEVEL)))
        connection.executemany("INSERT INTO influx_spool (lane, put_ms, lines, body) VALUES (?, ?, ?, ?)", rows)
        add_to_state(connection, {"lines": len(lines), "bytes": sum(len(row[3]) for row in rows)})

    def keep_house(self, connection: sqlite3.Connection, at_ns: int) -> None:
        """Take out what the sender has dealt with, keep its dead letters, and let go what is too old or too much.

        `at_ns` (UTC) is noted with dead letters.
        """
        self._bury(connection, at_ns)
        for lane, row in self._progress.done().items():
            self._delete(connection, "lane = ? AND id <= ?", (lane, row))
        self._count_time(connection)
        before = read_state(connection)["dropped"]
        self._let_go(connection)
        self._look(connection, before)

    def _bury(self, connection: sqlite3.Connection, at_ns: int) -> None:
        """Keep dead letters; those that an earlier transaction has kept are confirmed by their being there."""
        for dead in self._progress.dead():
            if connection.execute("SELECT 1 FROM influx_dead WHERE key = ?", (dead.key,)).fetchone():
                self._buried.add(dead.key)
                continue
            row = (dead.key, at_ns, dead.lane, dead.lines, dead.reason, zlib.compress(dead.body[:DEAD_BYTES], LEVEL))
            connection.execute(
                "INSERT INTO influx_dead (key, at_ns, lane, lines, reason, body) VALUES (?, ?, ?, ?, ?, ?)", row
            )
            add_to_state(connection, {"dead": dead.lines})
        self._progress.buried(self._buried)
        self._buried.clear()
        connection.execute("DELETE FROM influx_dead WHERE id <= (SELECT max(id) FROM influx_dead) - ?", (DEAD_ROWS,))

    def _count_time(self, connection: sqlite3.Connection) -> None:
        now_ns = self._steady()
        passed_ms = (now_ns - self._counted_ns) // 1_000_000
        self._counted_ns += passed_ms * 1_000_000
        add_to_state(connection, {"up_ms": min(passed_ms, _LONGEST_MS)})

    def _let_go(self, connection: sqlite3.Connection) -> None:
        state = read_state(connection)
        dropped, freed = self._delete(connection, "id <= ?", (self._too_old(connection, state["up_ms"]),))
        size = state["bytes"] - freed
        for lane in DROPPED_FIRST:
            while size > self._max_bytes:
                few = "id IN (SELECT id FROM influx_spool WHERE lane = ? ORDER BY id LIMIT ?)"
                lines, freed = self._delete(connection, few, (int(lane), self._few(connection, lane, size)))
                if not freed:
                    break
                dropped, size = dropped + lines, size - freed
        add_to_state(connection, {"dropped": dropped})

    def _too_old(self, connection: sqlite3.Connection, up_ms: int) -> int:
        """The last row that has waited for too long, within the oldest OLD_ROWS; 0: none."""
        before_ms = up_ms - self._max_age_ms
        oldest = connection.execute("SELECT put_ms FROM influx_spool ORDER BY id LIMIT 1").fetchone()
        if oldest is None or oldest[0] >= before_ms:
            return 0
        query = "SELECT max(id) FROM (SELECT id, put_ms FROM influx_spool ORDER BY id LIMIT ?) WHERE put_ms < ?"
        return int(connection.execute(query, (OLD_ROWS, before_ms)).fetchone()[0])

    def _few(self, connection: sqlite3.Connection, lane: Lane, size: int) -> int:
        """How many of the oldest rows make room enough, within DROP_ROWS."""
        excess, few = size - self._max_bytes, 0
        query = "SELECT length(body) FROM influx_spool WHERE lane = ? ORDER BY id LIMIT ?"
        for (length,) in connection.execute(query, (int(lane), DROP_ROWS)):
            few, excess = few + 1, excess - length
            if excess <= 0:
                break
        return few

    def _delete(self, connection: sqlite3.Connection, where: str, values: Sequence[int]) -> tuple[int, int]:
        """Delete rows; return how many lines and bytes they held."""
        lines, size = connection.execute(
            f"SELECT coalesce(sum(lines), 0), coalesce(sum(length(body)), 0) FROM influx_spool WHERE {where}",  # noqa: S608  our own text
            values,
        ).fetchone()
        if lines:
            connection.execute(f"DELETE FROM influx_spool WHERE {where}", values)  # noqa: S608  our own text
            add_to_state(connection, {"lines": -lines, "bytes": -size})
        return lines, size

    def _look(self, connection: sqlite3.Connection, dropped_before: int) -> None:
        """Note the figures for those who ask."""
        state = read_state(connection)
        (oldest,) = connection.execute("SELECT put_ms FROM influx_spool ORDER BY id LIMIT 1").fetchone() or (None,)
        self._up_ms = state["up_ms"]
        self.waiting, self.size = state["lines"], state["bytes"]
        self.dropped, self.dead = state["dropped"], state["dead"]
        self.age_s = 0.0 if oldest is None else (self._up_ms - oldest) / 1000
        if state["dropped"] > dropped_before:
            self.dropped_at_s = self._steady() / 1e9
