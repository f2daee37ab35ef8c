"""Windows: one row per asset and instant out of the batches of several devices."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from edgemesh.detect.base.columns import Columns

MAX_COLUMNS = 256
_ENOUGH = 8
_PATIENCE = 3
_SPARE_ROWS = 5

Channel = tuple[str, str, str]  # device, metric, unit


class Window(msgspec.Struct, omit_defaults=True):
    """The latest value of each channel of an asset; `channels` says what the entries of a row are.

    A row is made at each sample of the leading device: the first one heard, until another has brought eight samples and
    twice as many. While `open` new channels and new leaders are taken in. `rows` have been made; the latest value of a
    channel is of row `fresh[k]`, and unknown once that is further back than three times the longest pause (`pauses`, in
    rows) that was seen while open, and five rows.
    """

    channels: list[Channel] = []
    latest: list[float | None] = []
    lead: str = ""
    samples: dict[str, int] = {}
    rows: int = 0
    fresh: list[int] = []
    pauses: list[int] = []
    open: bool = True

    def admit(self, columns: Sequence[Columns], wanted: Callable[[str], bool]) -> bool:
        """Take in channels not seen before whose metric is wanted; return whether there were any."""
        if not self.open:
            return False
        known = {(device, metric) for device, metric, _ in self.channels}
        news = [
            (part.device, metric, unit)
            for part in columns
            for metric, unit in zip(part.metrics, part.units, strict=True)
            if (part.device, metric) not in known and wanted(metric)
        ]
        news = list(dict.fromkeys(news))[: MAX_COLUMNS - len(self.channels)]
        self.channels += news
        self.latest += [None] * len(news)
        self.fresh += [self.rows] * (len(self.channels) - len(self.fresh))
        self.pauses += [1] * (len(self.channels) - len(self.pauses))
        return bool(news)

    def assemble(self, columns: Sequence[Columns]) -> tuple[list[int], list[list[float | None]]]:
        """Return instants and rows; None where a channel has had no value yet. Of one instant the lead comes last.

        >>> fast = Columns("a", ("x",), ("1",), (1, 2, 3), ((1.0, 2.0, 3.0),), 0)
        >>> slow = Columns("b", ("y",), ("1",), (2,), ((9.0,),), 0)
        >>> window = Window()
        >>> window.admit([fast, slow], lambda metric: True)
        True
        >>> window.assemble([fast, slow])
        ([1, 2, 3], [[1.0, None], [2.0, 9.0], [3.0, 9.0]])
        """
        self._choose_lead(columns)
        if len(columns) == 1 and columns[0].clean and columns[0].device == self.lead:
            rows = self._transpose(columns[0])
            if rows is not None:
                return list(columns[0].at_ns), rows
        return self._merge(columns)

    def _transpose(self, part: Columns) -> list[list[float | None]] | None:
        """The rows when the part holds all channels of the window; else None."""
        column_of = dict(zip(part.metrics, part.values, strict=True))
        if any(device != part.device or metric not in column_of for device, metric, _ in self.channels):
            return None
        rows = [list(row) for row in zip(*[column_of[metric] for _, metric, _ in self.channels], strict=True)]
        if rows:
            self.latest = list(rows[-1])
            self.rows += len(rows)
            self.fresh = [self.rows] * len(self.channels)
        return rows

    def _merge(self, columns: Sequence[Columns]) -> tuple[list[int], list[list[float | None]]]:
        places = {(device, metric): place for place, (device, metric, _) in enumerate(self.channels)}
        moves = [
            [
                (places[part.device, metric], column)
                for metric, column in zip(part.metrics, part.values, strict=True)
                if (part.device, metric) in places
            ]
            for part in columns
        ]
        events = [
            (at, part.device == self.lead, order, i)
            for order, part in enumerate(columns)
            for i, at in enumerate(part.at_ns)
        ]
        if len(columns) > 1:
            events.sort()
        instants, rows = [], []
        for at, leads, order, i in events:
            for place, column in moves[order]:
                value = column[i]
                if value is not None and value == value:
                    self._note(place, value)
            if leads:
                self.rows += 1
                instants.append(at)
                rows.append(self._row())
        return instants, rows

    def _note(self, place: int, value: float) -> None:
        """Take a value in; of what is to come while closed the pauses so far tell what is usual."""
        if self.open:
            self.pauses[place] = max(self.pauses[place], self.rows - self.fresh[place])
        self.latest[place], self.fresh[place] = value, self.rows

    def _row(self) -> list[float | None]:
        """The latest values, but for those that are too old."""
        now = self.rows - 1 - _SPARE_ROWS
        return [
            value if now <= fresh + _PATIENCE * pause else None
            for value, fresh, pause in zip(self.latest, self.fresh, self.pauses, strict=True)
        ]

    def _choose_lead(self, columns: Sequence[Columns]) -> None:
        if not self.open:
            return
        for part in columns:
            self.lead = self.lead or part.device
            self.samples[part.device] = count = self.samples.get(part.device, 0) + len(part.at_ns)
            if count >= max(_ENOUGH, 2 * self.samples.get(self.lead, 0)):
                self.lead = part.device
