"""What is seen of a gateway's log once its way to the history is whole again: new readings, old ones, alerts."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from edgemesh.errors import StoreError
from edgemesh.launch.plant import journal_file
from edgemesh.prove.judge import accepted_numbers
from edgemesh.prove.site import DEVICES, Site
from edgemesh.prove.stand import StuckError
from edgemesh.store.history import History

POLL_S = 0.02


@dataclass(slots=True)
class Afterwards:
    """Watches one gateway's way into the history from now on, `healed_ns`. All seconds count from there.

    `per_s` is how many samples a second its first device gives. `missing` is how many of them were accepted but not in
    the history then (the backlog).
    `live_s` is when a reading taken after the healing was there, `first_s` when the first of the backlog was and
    `drained_s` when all of it was; `alert_s` is how late an alert was whose condition began after the healing.
    """

    site: Site
    gateway: str
    per_s: float
    healed_ns: int = field(default_factory=time.time_ns)
    missing: int = 0
    live_s: float | None = None
    first_s: float | None = None
    drained_s: float | None = None
    alert_s: float | None = None
    _due: set[int] = field(default_factory=set)

    def begin(self) -> None:
        """Note what is missing now; call it at once."""
        accepted = accepted_numbers(self.site.folder / "ledgers" / self.gateway, DEVICES)[0]
        self._due = accepted - self._had().keys()
        self.missing = len(self._due)

    async def end(self, within_s: float) -> None:
        """Wait until everything is known. StuckError, saying what is not, when the time is over."""
        while not await asyncio.to_thread(self._look):
            if self._now_s() > within_s:
                unknown = [name for name in ("live_s", "drained_s", "alert_s") if getattr(self, name) is None]
                raise StuckError(f"{self.gateway}: no {', '.join(unknown)} within {within_s:.0f} s of the healing")
            await asyncio.sleep(POLL_S)

    @property
    def drain_ratio(self) -> float:
        """Backlog over the seconds it took, over the live rate; the reconnect before the first of it is not counted."""
        took_s = max((self.drained_s or 0.0) - (self.first_s or 0.0), POLL_S)
        return self.missing / took_s / self.per_s

    def _look(self) -> bool:
        try:
            had, alert_s = self._had(), self._alert_s()
        except StoreError:
            return False
        now_s = self._now_s()
        here = self._due & had.keys()
        if self.live_s is None and any(at_ns > self.healed_ns for at_ns in had.values()):
            self.live_s = now_s
        if self.first_s is None and (here or not self._due):
            self.first_s = now_s
        if self.drained_s is None and len(here) == len(self._due):
            self.drained_s = now_s
        if self.alert_s is None:
            self.alert_s = alert_s
        return None not in (self.live_s, self.drained_s, self.alert_s)

    def _now_s(self) -> float:
        return (time.time_ns() - self.healed_ns) / 1e9

    def _had(self) -> dict[int, int]:
        """Numbers of the first device's samples in the history, with their instants."""
        with History(journal_file(self.site.folder / "data", "recorder")) as history:
            curve = history.readings(device=f"{self.gateway}-0", metric="count", resolution="raw", max_points=None)
        return {int(point.last): point.at_ns for point in curve.points}

    def _alert_s(self) -> float | None:
        """How late the first alert of the gateway is that began after the healing; None: there is none yet."""
        with History(journal_file(self.site.folder / "data", "recorder")) as history:
            onsets = [
                alert.onset_at_ns
                for alert in history.alerts(limit=100)
                if alert.gateway == self.gateway and alert.onset_at_ns > self.healed_ns
            ]
        return (time.time_ns() - min(onsets)) / 1e9 if onsets else None
