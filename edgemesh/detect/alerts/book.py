"""The book of one asset's open alerts: many signals, one alert per kind of trouble."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from edgemesh.detect.base.signals import Signal
from edgemesh.model.alerts import Alert, AlertKind, AlertState, Evidence, Severity
from edgemesh.model.ids import derive_id
from edgemesh.model.samples import Retimed

_MOST_EVIDENCE = 16
_CLOSED_KEPT = 8


class OpenAlert(msgspec.Struct):
    """An alert that stands, and the sources that keep it open."""

    alert: Alert
    sources: list[str]


class Book(msgspec.Struct):
    """At most one open alert per kind. It is raised by the first signal and over when all its sources are.

    A version is made when evidence is added or the severity rises, never for a mere further sample; severity and
    evidence only grow while it is open. `closed_at_ns` keeps onsets, and so ids, apart; `closed_ids`
    are the last alerts that were over.
    """

    entries: dict[AlertKind, OpenAlert] = {}
    closed_at_ns: dict[AlertKind, int] = {}
    closed_ids: list[str] = []

    @property
    def alerts(self) -> list[Alert]:
        """The alerts that stand."""
        return [entry.alert for entry in self.entries.values()]

    def apply(
        self, signal: Signal, *, site: str, asset: str, gateway: str, origin: str, clock: int = 0
    ) -> Alert | None:
        """Take a signal; return the alert's new version, or None when nothing changes for others.

        `clock` is the gateway's that gave the times, while it can't be believed.
        """
        entry = self.entries.get(signal.kind)
        if entry is not None and clock and not entry.alert.clock:
            entry.alert = msgspec.structs.replace(entry.alert, clock=clock)
        if not signal.firing:
            return self._release(entry, [signal.source], signal.at_ns) if entry else None
        if entry is None:
            entry = self._open(signal, site, asset, gateway, origin, clock)
            return entry.alert
        if signal.source not in entry.sources:
            entry.sources.append(signal.source)
        return _strengthen(entry, signal)

    def put_right(self, retimed: Retimed) -> list[Alert]:
        """Give alerts of a clock that is known now their true times; return the new versions of those that moved."""
        moved = []
        self.closed_at_ns = {kind: retimed.at(at_ns) for kind, at_ns in self.closed_at_ns.items()}
        for entry in self.entries.values():
            if entry.alert.clock == retimed.clock:
                entry.alert = entry.alert.put_right(retimed)
                if retimed.by_ns:
                    entry.alert = msgspec.structs.replace(entry.alert, version=entry.alert.version + 1)
                    moved.append(entry.alert)
        return moved

    def keep_only(self, sources: Iterable[str], at_ns: int) -> list[Alert]:
        """Release every source that is not among these: its rule is gone, or over without a word."""
        known = set(sources)
        released = [
            self._release(entry, [source for source in entry.sources if source not in known], at_ns)
            for entry in list(self.entries.values())
        ]
        return [alert for alert in released if alert is not None]

    def adopt(self, alert: Alert, sources: Iterable[str]) -> None:
        """Go on with another detector's open alert, kept open by these sources."""
        self.entries[alert.kind] = OpenAlert(alert, list(dict.fromkeys(sources)))

    def replace(self, alert: Alert) -> bool:
        """Go on with another detector's open alert in the place of our own of its kind; False: we have none."""
        entry = self.entries.get(alert.kind)
        if entry is not None:
            entry.alert = alert
        return entry is not None

    def has_closed(self, alert: Alert) -> bool:
        """Whether this very alert is over here: then what still says that it stands is an echo."""
        return alert.id in self.closed_ids

    def _open(self, signal: Signal, site: str, asset: str, gateway: str, origin: str, clock: int) -> OpenAlert:
        onset = max(signal.onset_at_ns, self.closed_at_ns.get(signal.kind, -1) + 1)
        at_ns = max(signal.at_ns, onset)
        alert = Alert(
            id=derive_id(site, asset, signal.kind.value, onset),
            version=1,
            asset=asset,
            kind=signal.kind,
            state=AlertState.FIRING,
            severity=signal.severity,
            cause=signal.cause,
            evidence=signal.evidence,
            onset_at_ns=onset,
            raised_at_ns=at_ns,
            at_ns=at_ns,
            gateway=gateway,
            confidence=signal.confidence,
            model=signal.model,
            consequence=signal.consequence,
            action=signal.action,
            origin=origin,
            clock=clock,
        )
        self.entries[signal.kind] = entry = OpenAlert(alert, [signal.source])
        return entry

    def _release(self, entry: OpenAlert, sources: list[str], at_ns: int) -> Alert | None:
        entry.sources = [source for source in entry.sources if source not in sources]
        if entry.sources:
            return None
        over = closed(entry.alert, at_ns)
        self.end(over)
        return over

    def end(self, over: Alert) -> None:
        """One of our alerts is over."""
        del self.entries[over.kind]
        self.closed_at_ns[over.kind] = over.at_ns
        self.closed_ids = [*self.closed_ids[1 - _CLOSED_KEPT :], over.id]


def closed(alert: Alert, at_ns: int) -> Alert:
    """The next version of an alert, which is over at `at_ns` (not before what it has seen)."""
    at_ns = max(at_ns, alert.at_ns)
    return msgspec.structs.replace(
        alert, version=alert.version + 1, state=AlertState.CLEARED, at_ns=at_ns, cleared_at_ns=at_ns
    )


def renewed(alert: Alert, onset_at_ns: int, site: str) -> Alert:
    """Another alert about the same, that began later."""
    return msgspec.structs.replace(
        alert,
        id=derive_id(site, alert.asset, alert.kind.value, onset_at_ns),
        version=1,
        onset_at_ns=onset_at_ns,
        raised_at_ns=onset_at_ns,
        at_ns=onset_at_ns,
    )


def _strengthen(entry: OpenAlert, signal: Signal) -> Alert | None:
    """Add what is new to the alert; None when nothing is."""
    alert = entry.alert
    known = {_channel(evidence) for evidence in alert.evidence}
    news = tuple(evidence for evidence in signal.evidence if _channel(evidence) not in known)
    severity: Severity = max(alert.severity, signal.severity, key=lambda severity: severity.rank)
    if (not news or len(alert.evidence) >= _MOST_EVIDENCE) and severity is alert.severity:
        return None
    worse = severity is not alert.severity
    entry.alert = msgspec.structs.replace(
        alert,
        version=alert.version + 1,
        severity=severity,
        consequence=(worse and signal.consequence) or alert.consequence or signal.consequence,
        action=(worse and signal.action) or alert.action or signal.action,
        at_ns=max(alert.at_ns, signal.at_ns),
        evidence=(alert.evidence + news)[:_MOST_EVIDENCE],
        confidence=max(alert.confidence, signal.confidence),
    )
    return entry.alert


def _channel(evidence: Evidence) -> tuple[str, str, str]:
    return evidence.rule, evidence.metric, evidence.device
