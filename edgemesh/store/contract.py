"""The contract of stores: where the recorder puts what it follows."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from edgemesh.model.agents import Card
from edgemesh.model.alerts import Alert
from edgemesh.model.decisions import Decision
from edgemesh.model.orders import WorkOrder
from edgemesh.model.packs import Pack
from edgemesh.model.spans import Span


class Sink(Protocol):
    """Keeps packs. What it writes is part of the recorder's own transaction, so nothing is kept twice or half."""

    def prepare(self, connection: sqlite3.Connection) -> None:
        """Create what the sink needs in the recorder's database; called once after each opening."""
        ...

    def write(self, connection: sqlite3.Connection, packs: Sequence[Pack]) -> None:
        """Write the packs inside the open transaction; never commits. Each pack comes exactly once."""
        ...

    def trim(self, connection: sqlite3.Connection, now_ns: int) -> None:
        """Forget, inside the open transaction, some of what is older than the sink keeps; a short step at a time."""
        ...


@runtime_checkable
class SpanSink(Sink, Protocol):
    """A sink that keeps what agents have recorded for traces, too."""

    def keep(self, connection: sqlite3.Connection, spans: Sequence[Span]) -> None:
        """Write the spans inside the open transaction; never commits. The same span may come again."""
        ...


@runtime_checkable
class DecisionSink(Sink, Protocol):
    """A sink that keeps what an agent has decided: part of the transaction that brings the decision about."""

    def decide(self, connection: sqlite3.Connection, decisions: Sequence[Decision]) -> None:
        """Write the decisions inside the open transaction, in this order; never commits."""
        ...


class SpanMirror(Protocol):
    """Is told of spans that the history keeps, each once, inside the same transaction."""

    def spans(self, connection: sqlite3.Connection, spans: Sequence[Span]) -> None:
        """Write them for the other store; never commits."""
        ...


class Mirror(Protocol):
    """Is told of all that the history keeps, while it is written, and keeps it for another store.

    What it writes is part of the same transaction. `late`: what is told now had to wait before it came. Between
    `begin` and `flush` it is told in the order in which the history writes; a time of a series that comes again
    replaces what was told before.
    """

    late: bool

    def prepare(self, connection: sqlite3.Connection) -> None:
        """Create what is missing in the recorder's database; called once after each opening."""
        ...

    def forget(self) -> None:
        """A transaction was rolled back, or numbers of series are others now: believe only what is on the disk."""
        ...

    def begin(self, connection: sqlite3.Connection) -> None:
        """A write begins; what was told since the last `flush` did not come to pass."""
        ...

    def readings(
        self,
        minute: int,
        series: int,
        times: Sequence[int],
        values: Sequence[float],
        quality: Sequence[int] | None,
    ) -> None:
        """Finite readings of one series (its number in the history) in one minute; no `quality`: all are good."""
        ...

    def alert(self, alert: Alert) -> None:
        """A version of an alert; one whose clock is in doubt comes only once its times are known."""
        ...

    def order(self, order: WorkOrder) -> None:
        """A version of a work order."""
        ...

    def flush(self) -> None:
        """Write what was told; never commits."""
        ...

    def trim(self, connection: sqlite3.Connection, now_ns: int) -> None:
        """See `Sink.trim`."""
        ...


class Noticing(Protocol):
    """Something with a word for people on the agent's card."""

    @property
    def notice(self) -> str:
        """What goes badly, but harms nothing so far; empty: nothing. May be asked in any thread."""
        ...


class Outlet(Protocol):
    """Where what an agent keeps goes besides, and how that goes; may be asked in any thread."""

    @property
    def trouble(self) -> str:
        """What somebody must see to, for people; empty: nothing."""
        ...

    @property
    def notice(self) -> str:
        """What goes badly, but harms nothing so far; empty: nothing."""
        ...

    def stats(self) -> dict[str, float]:
        """Health numbers."""
        ...

    def see(self, card: Card, *, retained: bool) -> None:
        """A card of an agent of the site came; `retained`: it may be old."""
        ...
