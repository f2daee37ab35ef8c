"""Memory of alerts: which were seen, in which version, and which order they belong to."""

from __future__ import annotations

import msgspec

from edgemesh.dispatch.deadlines import Deadlines
from edgemesh.model.alerts import Alert, AlertState
from edgemesh.model.samples import Retimed

MAX_CLEARED = 20_000


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """The newest version seen of an alert; `order` is None when it needed none."""

    alert: str
    version: int
    cleared: bool = False
    order: str | None = None
    at_ns: int = 0


class Memory:
    """Alerts by id. Cleared ones stay for a while, so that a late version wakes nobody."""

    def __init__(self) -> None:
        self.seen: dict[str, Seen] = {}
        self.dirty: set[str] = set()
        self._cleared = Deadlines()

    def news(self, alert: Alert) -> bool:
        """Whether a version tells something new: a higher one, or the end, which is final whatever its version."""
        seen = self.seen.get(alert.id)
        if seen is None:
            return True
        return not seen.cleared and (alert.state is AlertState.CLEARED or alert.version > seen.version)

    def put(self, alert: Alert, order: str | None, at_ns: int) -> None:
        """Remember a version."""
        self.restore(
            Seen(
                alert=alert.id,
                version=alert.version,
                cleared=alert.state is AlertState.CLEARED,
                order=order,
                at_ns=at_ns,
            )
        )
        self.dirty.add(alert.id)

    def restore(self, seen: Seen) -> None:
        """Put what was seen as it was saved."""
        self.seen[seen.alert] = seen
        if seen.cleared:
            self._cleared.put(seen.alert, seen.at_ns)

    def put_right(self, known: Retimed) -> None:
        """The clock was set: what was seen by the one before gets its true time."""
        for seen in list(self.seen.values()):
            at_ns = known.at(seen.at_ns)
            if at_ns != seen.at_ns:
                self.restore(msgspec.structs.replace(seen, at_ns=at_ns))
                self.dirty.add(seen.alert)

    def forget(self, before_ns: int) -> None:
        """Drop alerts that cleared before `before_ns`, and the oldest beyond a limit."""
        for alert in (*self._cleared.due(before_ns), *self._cleared.beyond(MAX_CLEARED)):
            del self.seen[alert]
            self.dirty.add(alert)
