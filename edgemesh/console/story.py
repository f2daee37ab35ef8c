"""The story: one line for each thing that happened, told once, however often and on whichever topic it arrives."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable

from edgemesh.console.snapshot import Event
from edgemesh.console.views import plain
from edgemesh.model.agents import Presence
from edgemesh.model.alerts import Alert, AlertState, Stage
from edgemesh.model.orders import OrderState, WorkOrder

LINES = 100
MEMORY = 5_000

_ORDER_MARKS = {
    OrderState.OPEN: "opened",
    OrderState.IN_PROGRESS: "started",
    OrderState.ON_HOLD: "on hold",
}
_ORDER_SAYS = {
    OrderState.OPEN: "{title}",
    OrderState.DISPATCHED: "to {executor}: {title}",
    OrderState.ACCEPTED: "by {executor}: {title}",
    OrderState.IN_PROGRESS: "by {executor}: {title}",
    OrderState.ON_HOLD: "{title}",
    OrderState.DONE: "by {executor}, waiting for the sensor to agree: {title}",
    OrderState.VERIFIED: "the sensor agrees: {title}",
    OrderState.CANCELLED: "{title}",
}


class Story:
    """The latest 100 events, and a memory of what was told already (the latest 5,000 things)."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque(maxlen=LINES)
        self._told: OrderedDict[Hashable, None] = OrderedDict()
        self._number = 0
        self.verified = 0

    def alert(self, alert: Alert) -> None:
        """Tell that the alert fires, got worse or better, was acknowledged or is cleared; pending ones are nobody's."""
        if alert.state is AlertState.PENDING:
            return
        if alert.state is AlertState.CLEARED:
            how = "noticed afterwards" if alert.past else alert.review and f"{alert.review.value} by the site"
            text = f"{how}: {alert.cause}" if how else alert.cause
            self._tell((alert.id, "cleared"), alert.at_ns, "cleared", alert.asset, text)
            return
        text = f"by the gateway alone: {alert.cause}" if alert.stage is Stage.GATEWAY else alert.cause
        self._tell((alert.id, alert.severity), alert.at_ns, alert.severity.value, alert.asset, text)
        if alert.state is AlertState.ACKNOWLEDGED:
            by = f"by {alert.by}: " if alert.by else ""
            self._tell((alert.id, "seen"), alert.at_ns, "acknowledged", alert.asset, by + alert.cause)

    def order(self, order: WorkOrder) -> None:
        """Tell each step of the order on its path, and that nobody was left who could do it."""
        text = _ORDER_SAYS[order.state].format(executor=order.executor or "nobody", title=order.title)
        if order.attempt > 1 and order.state is OrderState.DISPATCHED:
            text += f" (attempt {order.attempt})"
        mark = _ORDER_MARKS.get(order.state, order.state.value)
        if order.state is OrderState.OPEN and order.reopened:
            mark = "reopened"
        key = (order.id, order.state, order.attempt, order.reopened)
        if self._tell(key, order.at_ns, mark, order.asset, text) and order.state is OrderState.VERIFIED:
            self.verified += 1
        if order.escalated:
            text = f"nobody is left who can do it: {order.title}"
            self._tell(
                (order.id, "escalated", order.attempt, order.reopened), order.at_ns, "escalated", order.asset, text
            )

    def agent(self, agent: str, role: str, presence: Presence, now_ns: int) -> None:
        """Tell that an agent is back or gone; the caller knows that it is news."""
        self._put(now_ns, presence.value, agent, f"{role} {'is back' if presence is Presence.UP else 'is gone'}")

    def events(self) -> tuple[Event, ...]:
        """The latest events in the order in which they were heard."""
        return tuple(self._events)

    def _tell(self, key: Hashable, at_ns: int, mark: str, subject: str, text: str) -> bool:
        if key in self._told:
            return False
        self._told[key] = None
        if len(self._told) > MEMORY:
            self._told.popitem(last=False)
        self._put(at_ns, mark, subject, text)
        return True

    def _put(self, at_ns: int, mark: str, subject: str, text: str) -> None:
        self._number += 1
        event = Event(number=self._number, at_ns=at_ns, mark=mark, subject=subject, text=plain(text))
        self._events.append(event)
