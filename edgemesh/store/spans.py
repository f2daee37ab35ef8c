"""The sink of traces: spans that agents have told, and those that the logs themselves tell, in the recorder's database.

Spans of traces that end in an alert, an order or an error are kept for long; those that were only sampled for a short
while. Either kind is bounded in number, too, so that a busy site can't fill a disk with them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from edgemesh.model.packs import Alerts, Orders, Pack, Readings
from edgemesh.model.spans import Span
from edgemesh.store.contract import SpanMirror
from edgemesh.store.retired import believable
from edgemesh.tracing.chain import matters, of_alerts, of_orders, of_readings
from edgemesh.tracing.context import parse_traceparent

KEEP_S = 30 * 86_400.0
KEEP_SHARE_S = 3_600.0
MOST = {0: 50_000, 1: 200_000}
"""Spans at most: sampled ones, and those that matter."""
STEP_ROWS = 2_000

TABLES = (
    """CREATE TABLE IF NOT EXISTS span (
    id INTEGER PRIMARY KEY AUTOINCREMENT, trace_id TEXT NOT NULL, span_id TEXT NOT NULL, matters INTEGER NOT NULL,
    start_ns INTEGER NOT NULL, body BLOB NOT NULL, UNIQUE (trace_id, span_id))""",
    "CREATE INDEX IF NOT EXISTS span_by_worth ON span (matters, id)",
)
_KNOWN = "SELECT 1 FROM span WHERE trace_id = ? AND matters = 1 LIMIT 1"
_encode = msgspec.json.Encoder().encode


class SpanStore:
    """Keeps spans; ages are in seconds: `keep_s` of traces that matter, `keep_share_s` of those that were only sampled.

    `mirrors` are told of each span once, when it comes first.
    """

    def __init__(
        self, *, keep_s: float = KEEP_S, keep_share_s: float = KEEP_SHARE_S, mirrors: Sequence[SpanMirror] = ()
    ) -> None:
        self._ages_s = {0: keep_share_s, 1: keep_s}
        self._mirrors = mirrors

    def prepare(self, connection: sqlite3.Connection) -> None:
        """Create what is missing."""
        for statement in TABLES:
            connection.execute(statement)

    def write(self, connection: sqlite3.Connection, packs: Sequence[Pack]) -> None:
        """Keep what the packs themselves tell; see `store.contract.Sink`."""
        self.keep(connection, [span for pack in packs for span in _told_by(pack)])

    def keep(self, connection: sqlite3.Connection, spans: Sequence[Span]) -> None:
        """Keep spans; of one that was told before the first telling stays."""
        if not spans:
            return
        worth = {span.trace_id for span in spans if matters(span)}
        for trace_id in worth:
            connection.execute("UPDATE span SET matters = 1 WHERE trace_id = ? AND matters = 0", (trace_id,))
        worth |= {
            trace_id
            for trace_id in {span.trace_id for span in spans} - worth
            if connection.execute(_KNOWN, (trace_id,)).fetchone()
        }
        news = [span for span in spans if _put(connection, span, span.trace_id in worth)]
        for mirror in self._mirrors if news else ():
            mirror.spans(connection, news)

    def trim(self, connection: sqlite3.Connection, now_ns: int) -> None:
        """Forget a step of what is too old or too much; see `store.contract.Sink`."""
        now_ns = believable(connection, now_ns)
        for worth, most in MOST.items():
            keep_from_ns = now_ns - round(self._ages_s[worth] * 1e9)
            rows = connection.execute(
                "SELECT id, start_ns FROM span WHERE matters = ? ORDER BY id LIMIT ?", (worth, STEP_ROWS)
            ).fetchall()
            (many,) = connection.execute("SELECT count(*) FROM span WHERE matters = ?", (worth,)).fetchone()
            excess = max(0, many - most)
            gone = [(row,) for place, (row, start_ns) in enumerate(rows) if place < excess or start_ns < keep_from_ns]
            connection.executemany("DELETE FROM span WHERE id = ?", gone)


def _told_by(pack: Pack) -> Iterable[Span]:
    match pack:
        case Alerts():
            return of_alerts(pack)
        case Orders():
            return of_orders(pack)
        case Readings() if pack.trace:
            context = parse_traceparent(pack.trace)
            return of_readings(pack, context.trace_id) if context is not None and context.sampled else ()
        case _:
            return ()


def _put(connection: sqlite3.Connection, span: Span, worth: bool) -> bool:
    """Whether the span was not there before."""
    row = (span.trace_id, span.span_id, int(worth), span.start_ns, _encode(span))
    query = "INSERT OR IGNORE INTO span (trace_id, span_id, matters, start_ns, body) VALUES (?, ?, ?, ?, ?)"
    return connection.execute(query, row).rowcount == 1


_decode = msgspec.json.Decoder(Span).decode


def read_trace(connection: sqlite3.Connection, prefix: str, limit: int = 2_000) -> Iterator[Span]:
    """The spans of the traces whose id begins like this, oldest first; none where the history keeps no spans."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'span'").fetchone():
        rows = connection.execute(
            "SELECT body FROM span WHERE trace_id >= ?1 AND trace_id < ?1 || 'g' ORDER BY start_ns, id LIMIT ?2",
            (prefix, limit),
        )
        yield from (_decode(body) for (body,) in rows.fetchall())
