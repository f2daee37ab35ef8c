"""Looking for what the disk has changed: readings are held against their roll-ups, a minute at a time.

A bit that flips in a value, a time or a quality, or in a roll-up, makes the two differ. Sums that agree to a billionth
count as equal, for a sum depends a little on the order in which it was taken.
"""

from __future__ import annotations

import sqlite3

from edgemesh.store.schema import State

_NEXT = """SELECT min(minute) FROM (SELECT min(minute) AS minute FROM reading WHERE minute > ?1
UNION ALL SELECT min(bucket) FROM rollup_1min WHERE bucket > ?1)"""
_NOTE = "INSERT OR IGNORE INTO damage VALUES (?, ?)"
_DIFFER = """
WITH raw AS (
    SELECT series, total(quality < 2) AS n, total(CASE WHEN quality < 2 THEN value END) AS total,
        min(CASE WHEN quality < 2 THEN value END) AS low, max(CASE WHEN quality < 2 THEN value END) AS high,
        max(CASE WHEN quality < 2 THEN at_ns END) AS last_at_ns,
        total(at_ns / 60000000000 <> minute OR quality NOT IN (0, 1, 2) OR typeof(value) <> 'real') AS odd
    FROM reading WHERE minute = ?1 GROUP BY series),
rolled AS (SELECT * FROM rollup_1min WHERE bucket = ?1)
SELECT raw.series FROM raw LEFT JOIN rolled ON rolled.series = raw.series
WHERE raw.odd > 0 OR raw.n <> coalesce(rolled.n, 0) OR (raw.n > 0 AND (
    raw.low IS NOT rolled.low OR raw.high IS NOT rolled.high OR raw.last_at_ns IS NOT rolled.last_at_ns
    OR abs(raw.total - rolled.total) > 1e-9 * raw.n * max(abs(raw.low), abs(raw.high))))
UNION SELECT series FROM rolled WHERE n <> 0 AND series NOT IN (SELECT series FROM raw)"""


class Scrub:
    """Goes through the minutes of which all readings are kept, again and again."""

    def __init__(self) -> None:
        self._minute = -1

    @property
    def at_end(self) -> bool:
        """Whether the next step begins again with the oldest minute."""
        return self._minute < 0

    def step(self, connection: sqlite3.Connection, state: State) -> list[tuple[int, int]]:
        """Look at the next minute; return what is damaged there and was not before, as minutes and series.

        Inside the open transaction. Nothing is repaired: nobody can tell which of the two is right.
        """
        after = max(self._minute, state["raw_from"])
        (minute,) = connection.execute(_NEXT, (after,)).fetchone()
        self._minute = -1 if minute is None else int(minute)
        if minute is None:
            connection.execute("DELETE FROM damage WHERE minute < ?", (state["minutes_from"],))
            return []
        found = [(self._minute, int(series)) for (series,) in connection.execute(_DIFFER, (minute,))]
        return [place for place in found if connection.execute(_NOTE, place).rowcount]
