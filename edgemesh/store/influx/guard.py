"""The guard against too many series: a name that goes wild must not take a database down with it."""

from __future__ import annotations

import logging
import sqlite3

logger = logging.getLogger(__name__)

MAX_SERIES = 20_000


class Guard:
    """Lets at most `max_series` series of each measurement in; those that are in stay, over restarts too.

    `refused` counts, by measurement, the series that were kept out since the start (some perhaps twice).
    """

    def __init__(self, max_series: int = MAX_SERIES) -> None:
        self._max_series = max_series
        self._known: set[str] = set()
        self._counts: dict[str, int] = {}
        self.refused: dict[str, int] = {}

    def forget(self) -> None:
        """Start over from what the table says: a transaction was rolled back."""
        self._known.clear()
        self._counts.clear()

    def admits(self, connection: sqlite3.Connection, measurement: str, head: str) -> bool:
        """Whether points of this series may be written."""
        if head in self._known:
            return True
        if connection.execute("SELECT 1 FROM influx_series WHERE head = ?", (head,)).fetchone():
            self._known.add(head)
            return True
        if measurement not in self._counts:
            query = "SELECT count(*) FROM influx_series WHERE measurement = ?"
            (self._counts[measurement],) = connection.execute(query, (measurement,)).fetchone()
        if self._counts[measurement] >= self._max_series:
            self._refuse(measurement, head)
            return False
        connection.execute("INSERT INTO influx_series VALUES (?, ?)", (head, measurement))
        self._counts[measurement] += 1
        self._known.add(head)
        return True

    def _refuse(self, measurement: str, head: str) -> None:
        if measurement not in self.refused:
            logger.error(
                "InfluxDB: more than %d series of `%s`; %s and others are kept out of it",
                self._max_series,
                measurement,
                head,
            )
        self.refused[measurement] = self.refused.get(measurement, 0) + 1
