"""`edgemesh history query`: an answer for people in lines, or for programs as CSV and JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import tzinfo
from itertools import chain
from typing import Literal, TextIO

from edgemesh.launch import history_text as text
from edgemesh.launch.history import Every, choose, find_series
from edgemesh.store.archive import Archive, Selection
from edgemesh.store.curves import Resolution
from edgemesh.store.forms import COLUMNS, Kind, csv_writer, in_groups, instant_text, json_writer, rows

What = Literal["readings", "alerts", "orders"]
_SECOND_NS = 10**9
_KEPT: dict[Resolution, str] = {
    "raw": "raw readings are",
    "1min": "minutes are",
    "10min": "ten minutes are",
}


@dataclass(frozen=True, slots=True)
class View:
    """How it is shown: the zone of its times (None: this machine's), the width of the terminal, and whether it knows
    finer signs than ASCII.
    """

    zone: tzinfo | None
    width: int = 100
    fine: bool = True


def view_readings(archive: Archive, every: Every, selection: Selection, view: View) -> Iterator[str]:
    """One series as a curve, several as a table; no line: there is nothing in this time."""
    series = find_series(archive, selection)
    resolution = choose(archive, every, selection)
    width = text.STRIP if len(series) > 1 else max(20, min(100, view.width) - text.LABEL - 1)
    strips = text.take_strips(archive, resolution, series, selection, width)
    if strips:
        yield from text.series_lines(strips, series, resolution, zone=view.zone, width=view.width, fine=view.fine)


def view_rows(archive: Archive, every: Every, selection: Selection, view: View) -> Iterator[str]:
    """Each reading or roll-up as a line."""
    series = find_series(archive, selection)
    resolution = choose(archive, every, selection)
    return text.row_lines(rows(archive, resolution, series, selection), resolution, view.zone)


def view_records(archive: Archive, what: Kind, selection: Selection, view: View) -> Iterator[str]:
    """Alerts or work orders as a table; no line: there are none."""
    found = rows(archive, what, {}, selection)
    first = next(found, None)
    if first is not None:
        lines = text.alert_lines if what == "alerts" else text.order_lines
        yield from lines(chain((first,), found), view.zone, view.width)


def write_rows(
    archive: Archive, what: What, every: Every, selection: Selection, stream: TextIO, *, zone: tzinfo | None, csv: bool
) -> None:
    """CSV with a header, or a JSON object a line."""
    series = find_series(archive, selection) if what == "readings" else {}
    kind: Kind = choose(archive, every, selection) if what == "readings" else what
    write = (csv_writer if csv else json_writer)(stream, COLUMNS[kind], zone)
    for group in in_groups(rows(archive, kind, series, selection), 1_000):
        write(group)


def why_nothing(archive: Archive, what: What, every: Every, selection: Selection, zone: tzinfo | None) -> str:
    """Why there may be nothing in this time, for people."""
    if what != "readings":
        return f"no {what} in this time"
    resolution = choose(archive, every, selection)
    newest_ns, oldest_ns = archive.newest_ns(), archive.oldest_ns(resolution)
    if newest_ns is None:
        return "the history holds no readings yet"
    begin, newest = (
        "nothing" if at_ns is None else instant_text(at_ns // _SECOND_NS * _SECOND_NS, zone)
        for at_ns in (oldest_ns, newest_ns)
    )
    return (
        f"nothing in this time: {_KEPT[resolution]} kept from {begin}, and the newest reading is of {newest}"
        " (--every 10m reaches back farthest)"
    )
