"""Roll-ups on their way out: what `edgemesh.store.rollup` has computed is sent once its bucket is over.

A reading that comes late makes its buckets due again: the same point is written anew.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from edgemesh.store.influx.lines import line
from edgemesh.store.influx.measurements import ROLLUPS
from edgemesh.store.schema import MINUTE_NS, TEN

GRACE_NS = 5 * 10**9
"""So long after its end a bucket is taken to be complete."""
STEP_ROWS = 10_000
_TABLES = {1: "rollup_1min", TEN: "rollup_10min"}
_DUE = """SELECT due.bucket, due.series, n, total, low, high, last
FROM (SELECT bucket, series FROM influx_due WHERE width = ? AND bucket < ? ORDER BY bucket, series LIMIT ?) AS due
LEFT JOIN {table} AS rollup ON rollup.bucket = due.bucket AND rollup.series = due.series"""


class DueRollups:
    """Which buckets of which series are to be sent. `touch` outside of SQL, `note` and `take` in a transaction."""

    def __init__(self) -> None:
        self._known: set[tuple[int, int, int]] = set()
        self._fresh: list[tuple[int, int, int]] = []

    def forget(self) -> None:
        """Start over: a transaction was rolled back."""
        self._known.clear()
        self._fresh.clear()

    def touch(self, minute: int, series: int) -> None:
        """A reading of this minute came."""
        if (1, minute, series) not in self._known:
            for key in ((1, minute, series), (TEN, minute // TEN, series)):
                if key not in self._known:
                    self._known.add(key)
                    self._fresh.append(key)

    def note(self, connection: sqlite3.Connection) -> None:
        """Keep what was touched."""
        if self._fresh:
            connection.executemany("INSERT OR IGNORE INTO influx_due VALUES (?, ?, ?)", self._fresh)
            self._fresh.clear()

    def take(self, connection: sqlite3.Connection, now_ns: int, head_of: Callable[[int, str], str | None]) -> list[str]:
        """Lines of the buckets that are over, at most STEP_ROWS of each width; they are due no more.

        `head_of(series, measurement)` names the series in InfluxDB; None: it is kept out.
        """
        lines: list[str] = []
        for width, table in _TABLES.items():
            before = (now_ns - GRACE_NS) // (width * MINUTE_NS)
            rows = connection.execute(_DUE.format(table=table), (width, before, STEP_ROWS)).fetchall()
            for bucket, series, n, total, low, high, last in rows:
                if n and (head := head_of(series, ROLLUPS[width])):
                    fields = {"count": int(n), "mean": total / n, "min": low, "max": high, "last": last}
                    lines.append(line(head, fields, bucket * width * MINUTE_NS))
            keys = [(width, bucket, series) for bucket, series, *_ in rows]
            connection.executemany("DELETE FROM influx_due WHERE width = ? AND bucket = ? AND series = ?", keys)
            self._known.difference_update(keys)
        return [text for text in lines if text]
