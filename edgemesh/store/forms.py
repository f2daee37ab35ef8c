"""Forms in which a history leaves: rows with named columns, and instants as text to the nanosecond."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Any, Literal, NamedTuple, TextIO

import msgspec

from edgemesh.model.alerts import Alert
from edgemesh.model.orders import WorkOrder
from edgemesh.store.archive import Archive, Seen, Selection
from edgemesh.store.curves import Resolution
from edgemesh.store.history import Series

Kind = Literal["raw", "1min", "10min", "alerts", "orders"]
KINDS: tuple[Kind, ...] = ("raw", "1min", "10min", "alerts", "orders")
SECOND_NS = 10**9


class Column(NamedTuple):
    """Name and type of a column; `time` is an instant in ns, UTC."""

    name: str
    type: Literal["time", "text", "float", "integer"]


def _columns(text: str) -> tuple[Column, ...]:
    return tuple(Column(*part.split(":")) for part in text.split())  # type: ignore[arg-type]


_NAMES = "time:time gateway:text asset:text device:text metric:text unit:text"
_ROLLUP = _columns(f"{_NAMES} count:integer mean:float min:float max:float last:float")
COLUMNS: dict[Kind, tuple[Column, ...]] = {
    "raw": _columns(f"{_NAMES} value:float quality:integer"),
    "1min": _ROLLUP,
    "10min": _ROLLUP,
    "alerts": _columns(
        "time:time id:text asset:text gateway:text kind:text severity:text state:text onset:time cleared:time"
        " device:text metric:text value:float score:float cause:text action:text"
    ),
    "orders": _columns(
        "time:time id:text asset:text priority:text state:text executor:text alert:text attempt:integer"
        " changed:time title:text cause:text note:text"
    ),
}
"""What a row holds, by kind. The time of a roll-up is the start of its bucket, of an alert when it was raised, of an
order when it was opened. Quality: 0 good, 1 uncertain, 2 bad."""

Row = tuple[Any, ...]


def rows(
    archive: Archive, kind: Kind, series: dict[int, Series], selection: Selection, seen: Seen | None = None
) -> Iterator[Row]:
    """The rows of a kind, as COLUMNS names them; `series` are those of the selection (not asked for alerts, orders)."""
    start_ns, end_ns = selection.start_ns, selection.end_ns
    if kind == "alerts":
        yield from (_alert(each) for each in archive.alerts_between(start_ns, end_ns) if selection.takes_alert(each))
    elif kind == "orders":
        yield from (_order(each) for each in archive.orders_between(start_ns, end_ns) if selection.takes_order(each))
    else:
        yield from _readings(archive, kind, series, (start_ns, end_ns), seen)


def _readings(
    archive: Archive, resolution: Resolution, series: dict[int, Series], span: tuple[int, int], seen: Seen | None
) -> Iterator[Row]:
    names = {number: (each.gateway, each.asset, each.device, each.metric, each.unit) for number, each in series.items()}
    wanted = list(series)
    if resolution == "raw":
        for raw in archive.raw(wanted, *span, seen):
            for number, at_ns, value, quality in raw:
                yield (at_ns, *names[number], value, quality)
    else:
        for rollups in archive.rollups(resolution, wanted, *span, seen):
            for number, start_ns, n, total, low, high, last in rollups:
                yield (start_ns, *names[number], n, total / n, low, high, last)


def _alert(alert: Alert) -> Row:
    first = alert.evidence[0] if alert.evidence else None
    evidence = (first.device, first.metric, first.value, first.score) if first else ("", "", None, None)
    head = (alert.raised_at_ns, alert.id, alert.asset, alert.gateway, str(alert.kind), str(alert.severity))
    times = (alert.onset_at_ns, alert.cleared_at_ns)
    return (*head, str(alert.state), *times, *evidence, alert.cause, alert.action)


def _order(order: WorkOrder) -> Row:
    head = (order.opened_at_ns, order.id, order.asset, str(order.priority), str(order.state), order.executor or "")
    return (*head, order.alert, order.attempt, order.at_ns, order.title, order.cause, order.note)


@lru_cache(maxsize=8_192)  # many series have a reading at the same instant
def instant_text(at_ns: int, zone: tzinfo | None = UTC) -> str:
    """The instant in ISO 8601 with its zone (None: that of this machine), with as many digits as it has.

    >>> instant_text(1_700_000_000_000_000_000), instant_text(1_700_000_000_900_000_001)
    ('2023-11-14T22:13:20Z', '2023-11-14T22:13:20.900000001Z')
    """
    second, rest = divmod(at_ns, SECOND_NS)
    text, offset = _second_text(second, zone)
    return f"{text}.{rest:09d}".rstrip("0") + offset if rest else text + offset


@lru_cache(maxsize=1_024)
def _second_text(second: int, zone: tzinfo | None) -> tuple[str, str]:
    moment = datetime.fromtimestamp(second, UTC).astimezone(zone)
    text = moment.isoformat()
    return text[:19], "Z" if zone is UTC else text[19:]


def read_instant(text: str) -> int:
    """The instant that `instant_text` wrote. ValueError for anything else."""
    clock, dot, rest = text.partition(".")
    digits = rest.rstrip("Z") if rest.endswith("Z") else rest.partition("+")[0].partition("-")[0]
    offset = rest[len(digits) :] if dot else ""
    moment = datetime.fromisoformat(clock + offset)
    if moment.tzinfo is None or (dot and not (digits.isascii() and digits.isdigit() and len(digits) <= 9)):
        raise ValueError(f"{text!r:.40} is no instant with its zone")
    return round(moment.timestamp()) * SECOND_NS + int(digits.ljust(9, "0") if dot else 0)


Write = Callable[[Sequence[Row]], None]


def csv_writer(stream: TextIO, columns: Sequence[Column], zone: tzinfo | None = UTC) -> Write:
    """Writes the header now, then rows; what is missing is empty."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([column.name for column in columns])
    shown = _shower(columns, zone)
    return lambda some: writer.writerows(map(shown, some))


def json_writer(stream: TextIO, columns: Sequence[Column], zone: tzinfo | None = UTC) -> Write:
    """Writes one JSON object a line; what is missing is left out."""
    names = [column.name for column in columns]
    shown, encode = _shower(columns, zone), msgspec.json.Encoder().encode

    def write(some: Sequence[Row]) -> None:
        for row in some:
            filled = {name: cell for name, cell in zip(names, shown(row), strict=True) if cell is not None}
            stream.write(encode(filled).decode() + "\n")

    return write


def _shower(columns: Sequence[Column], zone: tzinfo | None) -> Callable[[Row], Row]:
    """A row with its instants as texts."""
    times = [number for number, column in enumerate(columns) if column.type == "time"]

    if times == [0]:
        return lambda row: (instant_text(row[0], zone), *row[1:])

    def shown(row: Row) -> Row:
        cells = list(row)
        for number in times:
            if cells[number] is not None:
                cells[number] = instant_text(cells[number], zone)
        return tuple(cells)

    return shown


def in_groups(some: Iterable[Row], size: int) -> Iterator[list[Row]]:
    """Rows in lists of this size; the last one may be shorter."""
    group: list[Row] = []
    for row in some:
        group.append(row)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
