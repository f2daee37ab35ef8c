"""What a detector sees of the troubles that sentries have found: the second of the two stages."""

from __future__ import annotations

from collections.abc import Mapping

from edgemesh.agents.handover import Handover
from edgemesh.agents.lanes import Lanes
from edgemesh.agents.position import Position
from edgemesh.agents.watches import Watches
from edgemesh.detect.alerts.review import Reviews, Sight
from edgemesh.model.alerts import Alert, AlertKind


class SecondLook:
    """Judges the provisional alerts in `reviews` by the detector's watches, once its rows are there in order."""

    def __init__(
        self,
        watches: Watches,
        handover: Handover,
        lanes: Lanes,
        cursors: Mapping[str, Position],
        withdraw_after_s: float,
    ) -> None:
        self.reviews = Reviews()
        self._watches, self._handover, self._lanes, self._cursors = watches, handover, lanes, cursors
        self._withdraw_after_ns = int(withdraw_after_s * 1e9)

    def judge(self, gateway: str = "") -> list[Alert]:
        """What there is to say of the alerts of a gateway's sentry by now; of all without a gateway."""
        names = self.reviews.gateways() if not gateway else (gateway,) if self.reviews.waits(gateway) else ()
        return [end for name in names if self._may_judge(name) for end in self.reviews.judge(name, self._look)]

    def _may_judge(self, gateway: str) -> bool:
        """Whether nothing late is outstanding or unsaid, and we do not rehearse."""
        cursor = self._cursors.get(gateway)
        if cursor is None or cursor.hush_until_ns:
            return False
        return not (self._lanes.flow(gateway) or self._handover.rehearses(gateway))

    def _look(self, alert: Alert) -> Sight:
        """What we see of the trouble that an alert is about."""
        watch, kind, silent = self._watches.get(alert.asset), alert.kind, alert.kind is AlertKind.SILENT
        if watch is None or not (silent or self._has(alert)):
            return Sight.UNCLEAR
        book, devices = watch.state.book, watch.state.devices
        stands = any(mine.kind is kind for mine in watch.state.said)
        if stands or book.closed_at_ns.get(kind, -1) >= alert.onset_at_ns:
            return Sight.FOUND
        names = {evidence.device for evidence in alert.evidence}.intersection(devices) if silent else ()
        newest_ns = min((devices[name].newest_ns for name in names), default=0) if silent else watch.state.newest_ns
        calm = newest_ns >= alert.raised_at_ns + self._withdraw_after_ns and kind not in book.entries
        return Sight.CALM if calm and watch.models.judges else Sight.UNCLEAR

    def _has(self, alert: Alert) -> bool:
        """Whether we have taken in the row that an alert was raised from, and all before it."""
        _, epoch, seq = alert.origin.split("/") if alert.origin.count("/") == 2 else ("", "", "")
        reached = self._cursors[alert.gateway].epochs.get(epoch)
        if reached is not None and seq.isdecimal():
            return reached >= int(seq)
        watch = self._watches.get(alert.asset)  # a log of before, or none that we know
        return watch is not None and watch.state.newest_ns >= alert.raised_at_ns
