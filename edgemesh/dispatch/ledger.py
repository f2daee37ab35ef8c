"""The ledger: all orders with what the desk knows of them, found by asset, by executor and by when they are due."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from edgemesh.dispatch import moves
from edgemesh.dispatch.deadlines import Deadlines
from edgemesh.dispatch.matching import Need
from edgemesh.dispatch.moves import holder
from edgemesh.dispatch.triage import Plan
from edgemesh.dispatch.waiting import Waiting
from edgemesh.model.alerts import AlertKind
from edgemesh.model.orders import OrderState, WorkOrder
from edgemesh.model.samples import Retimed, move

Key = tuple[str, AlertKind]
"""An asset and a kind of alert: at most one open order."""
MAX_FINAL = 5_000
_TRAIL = 32


class Entry(msgspec.Struct, kw_only=True):
    """An order and what its versions don't tell.

    `alerts`: those of the order that are not cleared. `plan`: triage of the newest alert. `asked`: who was tried before
    the order was escalated, not to be asked again before the retry. `avoid`: whose work did not hold. `calm_at_ns`:
    since when done and cleared. `due_ns`: when to look at it again. `learnt`: a model had a part in one of its alerts.
    `cancel_ns`: when to cancel it, if none of its alerts has come back and nobody has begun.
    """

    order: WorkOrder
    kind: AlertKind
    plan: Plan
    alerts: list[str] = []
    asked: tuple[str, ...] = ()
    avoid: tuple[str, ...] = ()
    calm_at_ns: int | None = None
    due_ns: int | None = None
    learnt: bool = False
    cancel_ns: int | None = None

    @property
    def key(self) -> Key:
        """What there is one open order of."""
        return self.order.asset, self.kind


class Ledger:
    """Orders by id. `dirty` names what changed since it was last saved; `need` says what an order asks for."""

    def __init__(self, need: Callable[[WorkOrder], Need]) -> None:
        self._need = need
        self.entries: dict[str, Entry] = {}
        self.standing: dict[Key, str] = {}
        self.verified: dict[Key, str] = {}
        self.waiting = Waiting()
        self.dirty: set[str] = set()
        self._held: dict[str, set[str]] = {}
        self._due = Deadlines()
        self._cancels = Deadlines()
        self._final = Deadlines()
        self._left: dict[str, dict[int, str]] = {}

    def get(self, order: str) -> WorkOrder | None:
        """The newest version of an order."""
        entry = self.entries.get(order)
        return entry.order if entry else None

    def put(self, entry: Entry, order: WorkOrder, due_ns: int | None) -> None:
        """Take in the next version of an entry's order, and when to look at it again."""
        before, after = holder(entry.order), holder(order)
        if before != after and before is not None:
            self._leave(order, before)
        entry.order, entry.due_ns = order, due_ns
        self.restore(entry)
        self.dirty.add(order.id)

    def due_at(self, entry: Entry, due_ns: int | None) -> None:
        """Move the instant at which to look at an order again."""
        entry.due_ns = due_ns
        self._due.put(entry.order.id, due_ns)
        self.dirty.add(entry.order.id)

    def cancel_at(self, entry: Entry, at_ns: int | None) -> None:
        """Set when to cancel an order that nothing speaks for any more; None: something does again."""
        if entry.cancel_ns != at_ns:
            entry.cancel_ns = at_ns
            self._cancels.put(entry.order.id, at_ns)
            self.dirty.add(entry.order.id)

    def to_cancel(self, now_ns: int) -> Iterator[Entry]:
        """Orders whose time to be cancelled has come."""
        for order in self._cancels.due(now_ns):
            self.entries[order].cancel_ns = None
            self.dirty.add(order)
            yield self.entries[order]

    def restore(self, entry: Entry) -> None:
        """Put an entry as it was saved."""
        order = entry.order
        self.entries[order.id] = entry
        if (name := holder(order)) is not None:
            self._held.setdefault(name, set()).add(order.id)
        if order.state is OrderState.OPEN and order.escalated:
            self.waiting.put(order, self._need(order))
        else:
            self.waiting.drop(order.id)
        self._due.put(order.id, entry.due_ns)
        self._cancels.put(order.id, entry.cancel_ns)
        if not order.state.final:
            self.standing[entry.key] = order.id
            return
        if self.standing.get(entry.key) == order.id:
            del self.standing[entry.key]
        self._final.put(order.id, order.at_ns)
        before = self.get(self.verified.get(entry.key, ""))
        newest = before is None or (before.at_ns, before.id) < (order.at_ns, order.id)
        if order.state is OrderState.VERIFIED and newest:
            self.verified[entry.key] = order.id

    def put_right(self, known: Retimed) -> None:
        """The clock was set: what is due comes as much later as it would have, what has been gets its true time."""
        for entry in self.entries.values():
            entry.order = moves.retimed(entry.order, known)
            entry.calm_at_ns = None if entry.calm_at_ns is None else known.at(entry.calm_at_ns)
            entry.due_ns = None if entry.due_ns is None else move(entry.due_ns, known.by_ns)
            entry.cancel_ns = None if entry.cancel_ns is None else move(entry.cancel_ns, known.by_ns)
            self.restore(entry)
            self.dirty.add(entry.order.id)

    def held(self, executor: str) -> list[WorkOrder]:
        """What an executor has now, most urgent first."""
        orders = (self.entries[order].order for order in self._held.get(executor, ()))
        return sorted(orders, key=lambda order: (order.priority.value, order.opened_at_ns, order.id))

    def left(self, order: WorkOrder) -> str | None:
        """Who had the order until this version took it away."""
        return self._left.get(order.id, {}).get(order.version)

    def due(self, now_ns: int) -> Iterator[Entry]:
        """Orders to look at now, one after the other; each is named once until it gets a new instant."""
        for order in self._due.due(now_ns):
            yield self.entries[order]

    def forget(self, before_ns: int) -> None:
        """Drop orders that were final by `before_ns`, and the oldest beyond a limit."""
        for order in (*self._final.due(before_ns), *self._final.beyond(MAX_FINAL)):
            self._drop(order)

    def _drop(self, order: str) -> None:
        entry = self.entries.pop(order)
        if self.verified.get(entry.key) == order:
            del self.verified[entry.key]
        self._left.pop(order, None)
        self._cancels.put(order, None)
        self.dirty.add(order)

    def _leave(self, order: WorkOrder, name: str) -> None:
        self._held[name].discard(order.id)
        if not self._held[name]:
            del self._held[name]
        trail = self._left.setdefault(order.id, {})
        trail[order.version] = name
        if len(trail) > _TRAIL:
            del trail[next(iter(trail))]
