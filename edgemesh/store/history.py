"""History, read beside the recorder that writes it: readings, alerts, orders, and how long things took."""

from __future__ import annotations

import sqlite3
import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

import msgspec

from edgemesh.errors import StoreError
from edgemesh.model.alerts import Alert, AlertState
from edgemesh.model.orders import OrderState, WorkOrder
from edgemesh.model.spans import Span
from edgemesh.store.curves import Curve, Point, Resolution, merge, read_points
from edgemesh.store.schema import MINUTE_NS, check, read_state
from edgemesh.store.sink import HistorySink
from edgemesh.store.spans import read_trace

__all__ = ["Counts", "Curve", "History", "HistorySink", "Latency", "Point", "Resolution", "Series"]

_ALERT = msgspec.json.Decoder(Alert)
_ORDER = msgspec.json.Decoder(WorkOrder)
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_LATEST_NS = 2**63 - 1

_LATENCIES = """
WITH firing AS (
    SELECT id, min(version), at_ns, committed_at_ns FROM alert_version WHERE state = 'firing' GROUP BY id),
dispatched AS (
    SELECT alert, min(committed_at_ns) AS committed_at_ns FROM workorder_version WHERE state = 'dispatched'
    GROUP BY alert)
SELECT (firing.committed_at_ns - firing.at_ns) / 1e6, (dispatched.committed_at_ns - firing.committed_at_ns) / 1e6
FROM firing LEFT JOIN dispatched ON dispatched.alert = firing.id ORDER BY firing.committed_at_ns"""


class Series(NamedTuple):
    """One metric of one device behind one gateway."""

    id: int
    gateway: str
    device: str
    asset: str
    metric: str
    unit: str


class Latency(NamedTuple):
    """Of one alert, in milliseconds: from the sample that made it fire to the detector's commit, and from there to the
    scheduler's commit of the first dispatch (None: never dispatched). The first compares the device's clock with the
    detector's, and is without meaning for replayed times.
    """

    reading_to_alert_ms: float
    alert_to_dispatch_ms: float | None


class Counts(NamedTuple):
    """What came to the recorder since the history began, trimmed or not.

    `readings` counts every reading, `duplicates` those of them that replaced one, `unusable` those that were not
    finite; `alerts` and `orders` are counted by their present state. `untimed` readings wait until the clock that gave
    their time is right, `retimed` ones were given their true time. `damaged` minutes of a series are not
    what was written, as far as is known. `given_way` rows were deleted before their time, for want of room.
    """

    packs: int
    readings: int
    duplicates: int
    unusable: int
    series: int
    alerts: dict[str, int]
    orders: dict[str, int]
    untimed: int = 0
    retimed: int = 0
    damaged: int = 0
    given_way: int = 0


class History:
    """Reads the recorder's database, also while the recorder writes. To be used by one thread at a time.

    StoreError when the file is not there yet or is locked (retryable), or is no history.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise StoreError(f"{self.path}: there is no history yet", retryable=True)
        address = f"file:{urllib.parse.quote(str(self.path.absolute()))}?mode=ro"
        try:
            self._connection = sqlite3.connect(address, uri=True, timeout=5.0, check_same_thread=False)
        except sqlite3.Error as error:
            raise self._renamed(error) from error
        try:
            check(self._state())
        except StoreError:
            self._connection.close()
            raise

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def series(self, *, device: str | None = None, metric: str | None = None) -> list[Series]:
        """All series there are, or those of a device, of a metric, or of both."""
        rows = self._ask(
            "SELECT id, gateway, device, asset, metric, unit FROM series"
            " WHERE (?1 IS NULL OR device = ?1) AND (?2 IS NULL OR metric = ?2) ORDER BY device, metric, id",
            (device, metric),
        )
        return [Series(*row) for row in rows]

    def readings(
        self,
        series: int | None = None,
        *,
        device: str | None = None,
        metric: str | None = None,
        start_ns: int = 0,
        end_ns: int = _LATEST_NS,
        resolution: Resolution | Literal["auto"] = "auto",
        max_points: int | None = 2_000,
    ) -> Curve:
        """The readings of one series, or of all series of a device's metric as one, from `start_ns` up to `end_ns`.

        `auto` takes the finest resolution that is still kept for the whole range and gives at most `max_points`. What
        is more than `max_points` anyway is merged further, so that least and greatest values stay (None: never). What
        has no time yet that can be believed is of uncertain quality and not in the roll-ups.
        """
        if series is not None:
            ids = [series]
        elif device is not None and metric is not None:
            ids = [each.id for each in self.series(device=device, metric=metric)]
        else:
            raise ValueError("name a series, or a device and a metric")
        untimed = self._state().get("untimed", 0) > 0
        choices: Sequence[Resolution] = self._kept(start_ns) if resolution == "auto" else (resolution,)
        for choice in choices:
            limit = None if choice == choices[-1] or max_points is None else max_points + 1
            try:
                points = read_points(self._connection, ids, choice, start_ns, end_ns, limit, untimed=untimed)
            except sqlite3.Error as error:
                raise self._renamed(error) from error
            if limit is None or len(points) < limit:
                break
        return Curve(choice, points if max_points is None else merge(points, max_points))

    def alerts(self, state: AlertState | str | None = None, limit: int = 1_000) -> list[Alert]:
        """The latest version of each alert, newest first; with a state: of those that stand in it."""
        rows = self._ask(
            f"SELECT body FROM alert {_where(state)} ORDER BY raised_at_ns DESC, id LIMIT ?",  # noqa: S608  our own text
            (*_given(state), limit),
        )
        return [_ALERT.decode(body) for (body,) in rows]

    def orders(self, state: OrderState | str | None = None, limit: int = 1_000) -> list[WorkOrder]:
        """The latest version of each work order, newest first; with a state: of those that stand in it."""
        rows = self._ask(
            f"SELECT body FROM workorder {_where(state)} ORDER BY opened_at_ns DESC, id LIMIT ?",  # noqa: S608  our own text
            (*_given(state), limit),
        )
        return [_ORDER.decode(body) for (body,) in rows]

    def find_alerts(self, prefix: str, limit: int = 20) -> list[Alert]:
        """The latest version of each alert whose id begins like this, newest first."""
        rows = self._ask(
            "SELECT body FROM alert WHERE id >= ?1 AND id < ?1 || 'g' ORDER BY raised_at_ns DESC, id LIMIT ?2",
            (prefix, limit),
        )
        return [_ALERT.decode(body) for (body,) in rows]

    def orders_on(self, asset: str) -> list[WorkOrder]:
        """The latest version of each work order on an asset, oldest first."""
        rows = self._ask("SELECT body FROM workorder WHERE asset = ? ORDER BY opened_at_ns, id", (asset,))
        return [_ORDER.decode(body) for (body,) in rows]

    def alert_versions(self, id: str) -> list[Alert]:  # noqa: A002  the record's own word
        """All versions of an alert that came, oldest first."""
        rows = self._ask("SELECT body FROM alert_version WHERE id = ? ORDER BY version", (id,))
        return [_ALERT.decode(body) for (body,) in rows]

    def order_versions(self, id: str) -> list[WorkOrder]:  # noqa: A002  the record's own word
        """All versions of a work order that came, oldest first."""
        rows = self._ask("SELECT body FROM workorder_version WHERE id = ? ORDER BY version", (id,))
        return [_ORDER.decode(body) for (body,) in rows]

    def spans(self, prefix: str) -> list[Span]:
        """What was recorded of the traces whose id begins like this, in the order in which it began."""
        try:
            return list(read_trace(self._connection, prefix))
        except sqlite3.Error as error:
            raise self._renamed(error) from error

    def find_orders(self, prefix: str, limit: int = 20) -> list[WorkOrder]:
        """The latest version of each work order whose id begins like this, newest first."""
        rows = self._ask(
            "SELECT body FROM workorder WHERE id >= ?1 AND id < ?1 || 'g' ORDER BY opened_at_ns DESC, id LIMIT ?2",
            (prefix, limit),
        )
        return [_ORDER.decode(body) for (body,) in rows]

    def counts(self) -> Counts:
        """How much came; cheap."""
        state = self._state()
        return Counts(
            packs=state["packs"],
            readings=state["readings"],
            duplicates=state["duplicates"],
            unusable=state["unusable"],
            series=self._ask("SELECT count(*) FROM series")[0][0],
            alerts=dict(self._ask("SELECT state, count(*) FROM alert GROUP BY state")),
            orders=dict(self._ask("SELECT state, count(*) FROM workorder GROUP BY state")),
            untimed=state.get("untimed", 0),
            retimed=state.get("retimed", 0),
            damaged=self._damaged(),
            given_way=state.get("given_way", 0),
        )

    def _damaged(self) -> int:
        if not self._ask("SELECT 1 FROM sqlite_master WHERE name = 'damage'"):  # a recorder of an older edgemesh
            return 0
        return int(self._ask("SELECT count(*) FROM damage")[0][0])

    def latencies(self) -> list[Latency]:
        """How long each alert that fired took, in the order of their commits."""
        return [Latency(*row) for row in self._ask(_LATENCIES)]

    def _kept(self, start_ns: int) -> list[Resolution]:
        """The resolutions of which nothing after `start_ns` was trimmed, finest first."""
        state = self._state()
        kept: list[Resolution] = []
        if start_ns >= state["raw_from"] * MINUTE_NS:
            kept.append("raw")
        if start_ns >= state["minutes_from"] * MINUTE_NS:
            kept.append("1min")
        return [*kept, "10min"]

    def _state(self) -> dict[str, int]:
        try:
            return read_state(self._connection)
        except sqlite3.Error as error:
            raise self._renamed(error) from error

    def _ask(self, question: str, values: Sequence[object] | Mapping[str, object] = ()) -> list[Any]:
        try:
            return self._connection.execute(question, values).fetchall()
        except sqlite3.Error as error:
            raise self._renamed(error) from error

    def _renamed(self, error: sqlite3.Error) -> StoreError:
        busy = getattr(error, "sqlite_errorcode", 0) & 0xFF in _BUSY
        return StoreError(f"{self.path}: {error}", retryable=busy)


def _where(state: str | None) -> str:
    return "" if state is None else "WHERE state = ?"


def _given(state: str | None) -> tuple[str, ...]:
    return () if state is None else (str(state),)
