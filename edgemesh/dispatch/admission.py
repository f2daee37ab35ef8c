"""Admission: which alerts open an order at once, and which wait: silenced, not sure enough, or not yet long enough."""

from __future__ import annotations

import enum
from collections.abc import Mapping

import msgspec

from edgemesh.dispatch.deadlines import Deadlines
from edgemesh.dispatch.settings import DispatchSettings, WhenUnreviewed
from edgemesh.dispatch.silences import Silences
from edgemesh.model.agents import Asset
from edgemesh.model.alerts import Alert, AlertKind, Severity
from edgemesh.model.commands import Command
from edgemesh.model.samples import move
from edgemesh.model.silences import Case, Ruling, Silence

LOOK_NS = 1_000_000_000
"""How often to see whether a silence is over for an alert."""
MOST = 10_000
"""Alerts that wait at most; further ones open their orders at once."""


class Why(enum.StrEnum):
    """Why an alert waits."""

    BRIEF = "brief"
    SILENCED = "silenced"
    REVIEW = "review"
    DISMISSED = "dismissed"


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """The newest version of an alert that waits: why, since when for that reason, and since when at all."""

    alert: Alert
    why: Why
    since_ns: int
    first_ns: int


class Admission:
    """Alerts that wait, and until when. `dirty` names what changed since it was last saved, `told` since last told."""

    def __init__(self, settings: DispatchSettings, assets: Mapping[str, Asset]) -> None:
        self.silences = Silences(settings.silence, assets)
        self.kept: dict[str, Kept] = {}
        self.dirty: set[str] = set()
        self.told: set[str] = set()
        self._settings = settings
        self._due = Deadlines()

    def keeps(self, alert: Alert, now_ns: int) -> bool:
        """Whether an alert that would open an order has to wait; its newest version is kept then."""
        known = self.kept.get(alert.id)
        if known is None and len(self.kept) >= MOST:
            return False
        first_ns = known.first_ns if known else now_ns
        why = self._why(alert, known, first_ns, now_ns)
        if why is None:
            self.drop(alert.id)
            return False
        since_ns = known.since_ns if known and known.why is why else now_ns
        self.restore(Kept(alert=alert, why=why, since_ns=since_ns, first_ns=first_ns), now_ns)
        self._changed(alert.id)
        return True

    def drop(self, alert: str) -> Kept | None:
        """An alert waits no more; what it was, if it did."""
        kept = self.kept.pop(alert, None)
        if kept is not None:
            self._due.put(alert, None)
            self._changed(alert)
        return kept

    def due(self, now_ns: int) -> list[Alert]:
        """Alerts to be asked about again."""
        self.silences.pass_time(now_ns)
        return [self.kept[name].alert for name in list(self._due.due(now_ns)) if name in self.kept]

    def obey(self, command: Command, now_ns: int) -> Alert | None:
        """Take a command; return the alert that is to open its order at once, if it says so of one."""
        if command.id in self.silences.set:  # it came before
            return None
        if (asked := command.silence) is not None:
            end_ns = move(now_ns, int(asked.for_s * 1e9))
            self.silences.add(
                Silence(
                    id=command.id, by=asked.by, reason=asked.reason, begin_ns=now_ns, end_ns=end_ns,
                    asset=asked.asset, area=asked.area, kind=asked.kind, severity=asked.severity,
                )
            )  # fmt: skip
        elif command.end_silence is not None:
            self.silences.end(command.end_silence)
        elif command.review is not None:
            return self.judge(command.review.alert, command.review.ruling, now_ns)
        return None

    def judge(self, alert: str, ruling: Ruling, now_ns: int) -> Alert | None:
        """What a person says of an alert that waits for it; the alert if it is to open its order, None: not."""
        kept = self.kept.get(alert)
        if kept is None or kept.why is not Why.REVIEW:
            return None
        if ruling is Ruling.CONFIRM:
            self.drop(alert)
            return kept.alert
        self._dismiss(kept, now_ns)
        return None

    def cases(self) -> dict[str, Case]:
        """What waits for a person, by alert."""
        lasts_ns = int(self._settings.review.time_out * 1e9)
        return {
            name: Case(alert=kept.alert, since_ns=kept.since_ns, until_ns=move(kept.since_ns, lasts_ns))
            for name, kept in self.kept.items()
            if kept.why is Why.REVIEW
        }

    def restore(self, kept: Kept, now_ns: int = 0) -> None:
        """Put an alert that waits as it was saved."""
        self.kept[kept.alert.id] = kept
        wait_s = {Why.BRIEF: self._patience_s(kept.alert), Why.REVIEW: self._settings.review.time_out}.get(kept.why)
        if kept.why is Why.DISMISSED:
            self._due.put(kept.alert.id, None)
        else:
            at_ns = max(now_ns, kept.since_ns) + LOOK_NS
            self._due.put(kept.alert.id, at_ns if wait_s is None else move(kept.since_ns, int(wait_s * 1e9)))

    def retime(self, by_ns: int) -> None:
        """The clock was set, and no time has passed."""
        self.silences.retime(by_ns)
        for name, kept in list(self.kept.items()) if by_ns else ():
            since_ns, first_ns = move(kept.since_ns, by_ns), move(kept.first_ns, by_ns)
            self.restore(Kept(alert=kept.alert, why=kept.why, since_ns=since_ns, first_ns=first_ns), since_ns)
            self._changed(name)

    def _why(self, alert: Alert, known: Kept | None, first_ns: int, now_ns: int) -> Why | None:
        review = self._settings.review
        if known and known.why is Why.DISMISSED:
            return Why.DISMISSED
        if self.silences.silent(alert, now_ns):
            return Why.SILENCED
        if now_ns - first_ns < int(self._patience_s(alert) * 1e9):
            return Why.BRIEF
        if alert.confidence >= review.below:
            return None
        waiting = known is not None and known.why is Why.REVIEW
        if known is None or not waiting or now_ns - known.since_ns < int(review.time_out * 1e9):
            return Why.REVIEW
        return None if review.then is WhenUnreviewed.OPEN else Why.DISMISSED

    def _patience_s(self, alert: Alert) -> float:
        """How long an alert must stand: silent devices until it shows whether there are more of them."""
        if alert.kind is AlertKind.SILENT:
            return self._settings.group.within
        return 0.0 if alert.severity is Severity.CRITICAL else self._settings.open_after

    def _dismiss(self, kept: Kept, now_ns: int) -> None:
        self.restore(Kept(alert=kept.alert, why=Why.DISMISSED, since_ns=now_ns, first_ns=kept.first_ns))
        self._changed(kept.alert.id)

    def _changed(self, alert: str) -> None:
        self.dirty.add(alert)
        self.told.add(alert)
