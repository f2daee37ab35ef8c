"""A history on a terminal: a curve for one series, a table for many, lists of alerts and orders."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo

import click

from edgemesh.console.sketch import COARSE, FINE, sketch
from edgemesh.console.views import plain
from edgemesh.console.why import Spot
from edgemesh.detect.base.signals import number
from edgemesh.store.archive import Archive, Seen, Selection
from edgemesh.store.curves import Resolution
from edgemesh.store.forms import Row, instant_text
from edgemesh.store.history import Series

LABEL = 11
"""Width of the values at the left of a curve."""
STRIP = 24
_BLOCKS, _ASCII_BLOCKS = "▁▂▃▄▅▆▇█", "_.-=+*%#"
_SEVERITIES = {"critical": "red", "warning": "yellow"}
_QUALITY = ("", "uncertain", "bad")
_NAMES: dict[Resolution, str] = {"raw": "raw readings", "1min": "minutes", "10min": "ten minutes"}


@dataclass(slots=True)
class Strip:
    """What is shown of one series: count, mean, least, greatest and last of all, and least and greatest of each of
    `width` equal parts of the time from `start_ns` to `end_ns`, however many readings there are.
    """

    start_ns: int
    end_ns: int
    width: int
    n: int = 0
    total: float = 0.0
    low: float = math.inf
    high: float = -math.inf
    last: float = math.nan
    parts: dict[int, tuple[int, float, float, float]] = field(default_factory=dict)

    def add(self, at_ns: int, n: int, total: float, low: float, high: float, last: float) -> None:
        """Take in a reading or a roll-up; they come in the order of time."""
        self.n, self.total, self.last = self.n + n, self.total + total, last
        self.low, self.high = min(self.low, low), max(self.high, high)
        part = min(self.width - 1, max(0, (at_ns - self.start_ns) * self.width // (self.end_ns - self.start_ns)))
        n0, total0, low0, high0 = self.parts.get(part, (0, 0.0, math.inf, -math.inf))
        self.parts[part] = (n0 + n, total0 + total, min(low0, low), max(high0, high))

    def spots(self) -> list[Spot]:
        """The parts that hold something, as a curve is drawn from them."""
        step = (self.end_ns - self.start_ns) / self.width
        return [
            (self.start_ns + int((part + 0.5) * step), low, total / n, high)
            for part, (n, total, low, high) in sorted(self.parts.items())
        ]

    def blocks(self, signs: str, width: int) -> str:
        """The means as a line of blocks, blank where there is nothing; `width` parts the strip evenly."""
        share = self.width // width
        sums: dict[int, tuple[int, float]] = {}
        for part, (n, total, _, _) in self.parts.items():
            n0, total0 = sums.get(part // share, (0, 0.0))
            sums[part // share] = (n0 + n, total0 + total)
        means = {part: total / n for part, (n, total) in sums.items()}
        low, high = min(means.values()), max(means.values())
        size = len(signs) - 1
        scaled = {part: round((mean - low) / (high - low) * size) if high > low else 0 for part, mean in means.items()}
        return "".join(signs[scaled[part]] if part in scaled else " " for part in range(width))


def take_strips(
    archive: Archive,
    resolution: Resolution,
    series: dict[int, Series],
    selection: Selection,
    width: int,
    seen: Seen | None = None,
) -> dict[int, Strip]:
    """A strip of each series that has something in the range, in the order of the series."""
    start_ns = max(selection.start_ns, archive.oldest_ns(resolution) or 0)
    end_ns = max(start_ns + 1, min(selection.end_ns, (archive.newest_ns() or 0) + 1))
    strips: dict[int, Strip] = {}
    span = (list(series), selection.start_ns, selection.end_ns, seen)

    def strip(each: int) -> Strip:
        return strips.get(each) or strips.setdefault(each, Strip(start_ns, end_ns, width))

    if resolution == "raw":
        for raw in archive.raw(*span):
            for each, at_ns, value, _ in raw:
                strip(each).add(at_ns, 1, value, value, value, value)
    else:
        for rollups in archive.rollups(resolution, *span):
            for each, at_ns, n, total, low, high, last in rollups:
                strip(each).add(at_ns, n, total, low, high, last)
    return {each: strips[each] for each in series if each in strips}


def series_lines(
    strips: dict[int, Strip],
    series: dict[int, Series],
    resolution: Resolution,
    *,
    zone: tzinfo | None = UTC,
    width: int = 80,
    fine: bool = True,
) -> Iterator[str]:
    """One series as a curve, several as a table."""
    if len(strips) == 1 and len(series) == 1:
        ((each, strip),) = strips.items()
        yield from _curve(series[each], strip, zone, fine)
    else:
        yield from _table(strips, series, width, fine)
    first = next(iter(strips.values()))
    many_readings = sum(strip.n for strip in strips.values())
    readings = f"{many_readings:,} reading{'' if many_readings == 1 else 's'}"
    many = "" if len(series) == 1 else f"{len(strips)} of {len(series)} series, "
    begin, end = instant_text(first.start_ns // 10**9 * 10**9, zone), instant_text(first.end_ns // 10**9 * 10**9, zone)
    yield click.style(f"{many}{readings}, read as {_NAMES[resolution]}, {begin} to {end}", dim=True)


def _curve(series: Series, strip: Strip, zone: tzinfo | None, fine: bool) -> Iterator[str]:
    yield click.style(f"{series.device}/{series.metric}{_unit(series)}", bold=True) + f"  {_of(series)}"
    for row in sketch(
        strip.spots(), low=None, high=None, onset_at_ns=None, width=strip.width, signs=FINE if fine else COARSE
    ):
        yield "".join(click.style(text, dim=True) if kind == "axis" else text for text, kind in row)
    spots = strip.spots()
    begin, end = (instant_text(at_ns // 10**9 * 10**9, zone) for at_ns in (spots[0][0], spots[-1][0]))
    yield f"{'':>{LABEL}}{begin}{end:>{max(1, strip.width - len(begin))}}"
    low, mean, high, last = _numbers(strip)
    yield f"least {low}, mean {mean}, greatest {high}, last {last}"


def _of(series: Series) -> str:
    asset = f"of {series.asset}, " if series.asset != series.device else ""
    return f"{asset}by {series.gateway}"


def _unit(series: Series) -> str:
    return "" if series.unit == "1" else f" [{series.unit}]"


def _table(strips: dict[int, Strip], series: dict[int, Series], width: int, fine: bool) -> Iterator[str]:
    signs = _BLOCKS if fine else _ASCII_BLOCKS
    head = ["ASSET", "DEVICE", "METRIC", "READINGS", "LEAST", "MEAN", "GREATEST", "LAST"]
    cells = []
    for each, strip in strips.items():
        one = series[each]
        cells.append(([one.asset, one.device, one.metric + _unit(one), f"{strip.n:,}", *_numbers(strip)], strip))
    cells.sort(key=lambda cell: cell[0])
    blocks = _room(head, cells, width)
    if not blocks:  # a curve says more than how many readings there are
        for line in (head, *(cell for cell, _ in cells)):
            del line[3]
        blocks = _room(head, cells, width)
    lines = [[*cell, strip.blocks(signs, blocks) if blocks else ""] for cell, strip in cells]
    yield from columns([*head, ""], lines, width, right=frozenset(range(3, len(head))))


def _room(head: list[str], cells: Sequence[tuple[list[str], Strip]], width: int) -> int:
    """How many blocks fit beside the other columns."""
    taken = sum(max(len(line[k]) + 2 for line in (head, *(cell for cell, _ in cells))) for k in range(len(head)))
    return next((size for size in (STRIP, STRIP // 2, STRIP // 3) if size <= width - taken), 0)


def _numbers(strip: Strip) -> list[str]:
    """Least, mean, greatest and last value, with as many decimals as tell them apart."""
    step = (strip.high - strip.low) / 4 or None
    return [number(value, step) for value in (strip.low, strip.total / strip.n, strip.high, strip.last)]


def columns(
    head: Sequence[str], cells: Sequence[Sequence[str]], width: int, *, right: frozenset[int] = frozenset()
) -> Iterator[str]:
    """A table as lines: columns as wide as they must be, the last one cut to what the width leaves, or left out."""
    sizes = [max(len(line[k]) for line in (head, *cells)) for k in range(len(head))]
    room = width - sum(sizes[:-1]) - 2 * (len(sizes) - 1)
    shown = len(head) if room >= min(8, sizes[-1]) else len(head) - 1
    for line, style in ((head, True), *((line, False) for line in cells)):
        texts = [
            f"{line[k]:>{sizes[k]}}" if k in right else f"{line[k]:<{sizes[k]}}"
            for k in range(min(shown, len(head) - 1))
        ]
        if shown == len(head):
            texts.append(line[-1] if len(line[-1]) <= room else line[-1][: max(0, room - 1)] + "…")
        text = "  ".join(texts).rstrip()
        yield click.style(text, dim=True) if style else text


def row_lines(some: Iterable[Row], resolution: Resolution, zone: tzinfo | None = UTC) -> Iterator[str]:
    """Each reading or roll-up as a line, without ever holding more than one."""
    for at_ns, _, asset, device, metric, unit, *rest in some:
        where = f"{device}/{metric}" if device == asset else f"{asset} {device}/{metric}"
        if resolution == "raw":
            value, quality = rest
            told = f"{number(value, None)}{'' if unit == '1' else ' ' + unit}  {_QUALITY[quality]}"
        else:
            n, mean, low, high, last = (number(value, None) for value in rest)
            told = f"{mean}{'' if unit == '1' else ' ' + unit}  {low} to {high}, last {last}, {n} readings"
        yield f"{instant_text(at_ns, zone):<30} {where:<36} {told}".rstrip()


def alert_lines(some: Iterable[Row], zone: tzinfo | None, width: int) -> Iterator[str]:
    """Alerts as a table, oldest first."""
    head = ("RAISED", "ALERT", "SEVERITY", "STATE", "ASSET", "CAUSE")
    cells = [
        (instant_text(row[0] // 10**9 * 10**9, zone), row[1][:8], row[5], row[6], row[2], plain(row[13]))
        for row in some
    ]
    for line in columns(head, cells, width):
        colour = next((fg for word, fg in _SEVERITIES.items() if f" {word} " in line), None)
        yield click.style(line, fg=colour) if colour else line


def order_lines(some: Iterable[Row], zone: tzinfo | None, width: int) -> Iterator[str]:
    """Work orders as a table, oldest first."""
    head = ("OPENED", "ORDER", "PRIORITY", "STATE", "ASSET", "EXECUTOR", "TITLE")
    cells = [
        (instant_text(row[0] // 10**9 * 10**9, zone), row[1][:8], row[3], row[4], row[2], row[5] or "-", plain(row[9]))
        for row in some
    ]
    yield from columns(head, cells, width)
