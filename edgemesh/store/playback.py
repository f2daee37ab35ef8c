"""Playback: the raw readings of a history in the order of time, as they once came."""

from __future__ import annotations

from collections.abc import Iterator

from edgemesh.store.history import History
from edgemesh.store.schema import MINUTE_NS

LATEST_NS = 2**63 - 1


class Playback(History):
    """A history that is played again: all its series at once."""

    @property
    def raw_from_ns(self) -> int:
        """From when on no raw reading was trimmed; 0: none ever was."""
        return self._state()["raw_from"] * MINUTE_NS

    def extent(self) -> tuple[int, int] | None:
        """The first and the last instant of raw readings; None: there are none."""
        first = self._ask("SELECT min(at_ns) FROM reading WHERE minute = (SELECT min(minute) FROM reading)")[0][0]
        last = self._ask("SELECT max(at_ns) FROM reading WHERE minute = (SELECT max(minute) FROM reading)")[0][0]
        return None if first is None else (first, last)

    def count_raw(self, start_ns: int = 0, end_ns: int = LATEST_NS) -> int:
        """How many raw readings there are in the minutes that overlap the range."""
        minutes = (start_ns // MINUTE_NS, (end_ns - 1) // MINUTE_NS)
        return int(self._ask("SELECT count(*) FROM reading WHERE minute BETWEEN ? AND ?", minutes)[0][0])

    def instants(self, start_ns: int = 0, end_ns: int = LATEST_NS) -> Iterator[tuple[int, int, float, int]]:
        """Raw readings of all series in the order of time: instant, series, value, quality; a minute in memory."""
        last, minute = (end_ns - 1) // MINUTE_NS, start_ns // MINUTE_NS - 1
        while True:
            minute = self._ask("SELECT min(minute) FROM reading WHERE minute > ?", (minute,))[0][0]
            if minute is None or minute > last:
                return
            yield from self._ask(
                "SELECT at_ns, series, value, quality FROM reading"
                " WHERE minute = ? AND at_ns >= ? AND at_ns < ? ORDER BY at_ns, series",
                (minute, start_ns, end_ns),
            )
