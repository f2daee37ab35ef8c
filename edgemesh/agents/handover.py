"""Hand-over: what a detector that takes a gateway over does, so that no alert is doubled and none is left behind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from edgemesh.agents.watches import Watches
from edgemesh.detect.alerts.book import closed
from edgemesh.detect.base.moment import Moment
from edgemesh.detect.watch import Watch
from edgemesh.log.outbox import Cursor, Span
from edgemesh.model.alerts import Alert, AlertKind, AlertState
from edgemesh.model.packs import Readings
from edgemesh.model.samples import Retimed

_PATIENCE_NS = 10 * 10**9


class _Rehearsal(msgspec.Struct):
    """What another detector has decided already: packs of `epoch` up to `through`, and those `ahead`, come again, only
    to warm up.

    `alerts` are those it left open; `in_hole` the assets that were last heard of in a pack that it has missed; `seen`
    alerts of ours that began in one, and stood in younger ones: it has found the same under another id. `heard_ns` is
    when a pack came last, `beyond_ns` when one came first that the mark does not cover, in watched time.
    """

    epoch: str
    through: int
    alerts: list[Alert]
    heard_ns: int
    beyond_ns: int = 0
    ahead: tuple[Span, ...] = ()
    in_hole: list[str] = []
    seen: list[str] = []

    def hear(self, pack: Readings, clock_ns: int) -> bool:
        """Take note that a pack came; return whether it is the first one beyond the mark."""
        self.heard_ns = clock_ns
        if self.beyond_ns or self._is_marked(pack) or self.misses(pack):
            return False
        self.beyond_ns = clock_ns
        return True

    def covers(self, pack: Readings) -> bool:
        """Whether the owner before has taken this pack in: by its mark, or because one of its alerts is younger.

        Alerts are believed for a while only: a device's clock may have been ahead.
        """
        if self._is_marked(pack):
            return True
        oldest = min((batch.at_ns[0] for batch in pack.records), default=0)
        younger = any(oldest <= alert.at_ns for alert in self.alerts if alert.kind is not AlertKind.SILENT)
        return younger and (not self.beyond_ns or self.heard_ns - self.beyond_ns <= _PATIENCE_NS)

    def _is_marked(self, pack: Readings) -> bool:
        return pack.epoch == self.epoch and Cursor(self.epoch, self.through, self.ahead).has(pack.seq)

    def misses(self, pack: Readings) -> bool:
        """Whether the owner before lacked this pack, and had younger ones: it lies in a hole of its log."""
        missing = not Cursor(self.epoch, self.through, self.ahead).has(pack.seq)
        return missing and pack.epoch == self.epoch and any(first > pack.seq for first, _ in self.ahead)


class Handover:
    """Rehearses on gateways that are new to us, and meets the alerts that their owners before have left."""

    def __init__(self, watches: Watches) -> None:
        self._watches = watches
        self._rehearsals: dict[str, _Rehearsal] = {}
        self._dirty: set[str] = set()
        self._later: dict[str, dict[str, Alert]] = {}

    def rehearses(self, gateway: str) -> bool:
        """Whether what we find on this gateway is said by nobody yet."""
        return gateway in self._rehearsals

    @property
    def alerts(self) -> list[Alert]:
        """The alerts that the owners before have left open where we rehearse."""
        return [alert for rehearsal in self._rehearsals.values() for alert in rehearsal.alerts]

    def adopt(self, gateway: str, alerts: Sequence[Alert], through: Cursor | None, moment: Moment) -> None:
        """Go on with the open alerts of a gateway, and rehearse what its owner before has taken in.

        That is all up to its mark (`through`; None: nobody has heard it) and up to those alerts.
        """
        stand = [alert for alert in alerts if alert.state is not AlertState.CLEARED]
        if through is None and not stand:
            return
        through = through or Cursor("", 0)
        self._rehearsals[gateway] = _Rehearsal(
            through.epoch, through.through, stand, moment.clock_ns, ahead=through.ahead
        )
        self._dirty.add(gateway)

    def end_before(self, pack: Readings, moment: Moment) -> list[Alert]:
        """End the rehearsal if this pack is behind all that the owner before has taken in; see `end`."""
        rehearsal = self._rehearsals.get(pack.agent)
        if rehearsal is None:
            return []
        if rehearsal.hear(pack, moment.clock_ns):
            self._dirty.add(pack.agent)
        return [] if rehearsal.misses(pack) or rehearsal.covers(pack) else self.end(pack.agent, moment)

    def misses(self, pack: Readings) -> bool:
        """Whether we rehearse, and the owner before has taken in younger packs than this, but not this one."""
        rehearsal = self._rehearsals.get(pack.agent)
        return rehearsal is not None and rehearsal.misses(pack)

    def enter_hole(self, pack: Readings) -> None:
        """If this pack is the first of a hole: what stands before it and was not said stands in the hole as well.

        The owner before has put off what it found in late rows until the hole is filled.
        """
        rehearsal = self._rehearsals.get(pack.agent)
        if rehearsal is None or not rehearsal.misses(pack) or rehearsal.misses(_before(pack)):
            return
        for watch in self._watches.of(pack.agent):
            if self.hold_back(watch) and watch.asset.id not in rehearsal.in_hole:
                rehearsal.in_hole = sorted([*rehearsal.in_hole, watch.asset.id])
                self._dirty.add(pack.agent)

    def hold_back(self, watch: Watch) -> bool:
        """Say nothing of what stands on this asset and nobody knows of yet; return whether there is any."""
        state = watch.state
        stand = [alert.id for alert in state.book.alerts if alert.id not in state.unsaid and not self.knows(alert)]
        state.unsaid += stand
        if stand:
            self._watches.touch(watch)
        return bool(stand)

    def seam(self, pack: Readings, *, missed: bool) -> dict[str, int]:
        """The assets of which this pack holds the first samples behind a hole, with their times; see `misses`."""
        rehearsal = self._rehearsals.get(pack.agent)
        if rehearsal is None or not rehearsal.ahead:
            return {}
        assets = {batch.asset for batch in pack.records}
        behind = {} if missed else dict.fromkeys(assets.intersection(rehearsal.in_hole), -1)
        for batch in pack.records:
            if batch.asset in behind:
                behind[batch.asset] = max(behind[batch.asset], batch.at_ns[0])
        kept = assets.union(rehearsal.in_hole) if missed else set(rehearsal.in_hole) - assets
        rehearsal.in_hole = sorted(kept)
        self._dirty.add(pack.agent)
        return behind

    def pass_seam(self, gateway: str, assets: Iterable[str]) -> None:
        """The first samples behind a hole of these assets were taken: the owner before has found what stands there."""
        rehearsal = self._rehearsals.get(gateway)
        for asset in assets if rehearsal else ():
            watch = self._watches.get(asset)
            if watch is not None and rehearsal is not None:
                rehearsal.seen += watch.state.unsaid
                watch.state.unsaid = []
                self._watches.touch(watch)

    def knows(self, alert: Alert) -> bool:
        """Whether we rehearse, and the owner before has left this alert open or has said what it is about."""
        rehearsal = self._rehearsals.get(alert.gateway)
        if rehearsal is None:
            return False
        watch = self._watches.get(alert.asset)
        return alert.id in rehearsal.seen or any(
            known.id == alert.id or (watch is not None and _began_midway(watch, alert, known))
            for known in rehearsal.alerts
        )

    def tell_silence(self, moment: Moment) -> list[Alert]:
        """Where we rehearse and nothing comes any more, silence is all that can be found: it is said at once."""
        news = []
        for gateway, rehearsal in self._rehearsals.items():
            if moment.clock_ns - rehearsal.heard_ns <= _PATIENCE_NS:
                continue
            known = {(alert.asset, alert.kind) for alert in rehearsal.alerts}
            open_ = [alert for watch in self._watches.of(gateway) for alert in watch.state.book.alerts]
            found = [a for a in open_ if a.kind is AlertKind.SILENT and (a.asset, a.kind) not in known]
            if found:
                rehearsal.alerts += found
                self._dirty.add(gateway)
            news += found
        return news

    def end(self, gateway: str, moment: Moment) -> list[Alert]:
        """Put the alerts that were left open in the place of our own; return what the owner before has not seen."""
        rehearsal = self._rehearsals.pop(gateway, None)
        if rehearsal is None:
            return []
        self._dirty.add(gateway)
        known = {(alert.asset, alert.kind) for alert in rehearsal.alerts}
        news, gone, taken = [], [], set()
        for alert in sorted(rehearsal.alerts, key=lambda alert: alert.at_ns):
            watch = self._watches.get(alert.asset)
            if watch is not None and self._put_off(alert, watch):
                continue
            if (alert.asset, alert.kind) in taken:
                news.append(closed(alert, alert.at_ns))
            elif watch is None or not watch.state.book.replace(alert):
                gone.append(alert)
            taken.add((alert.asset, alert.kind))
        self._adopt(gateway, gone, moment)
        for watch in self._watches.of(gateway):
            watch.state.unsaid = []
            news += [alert for alert in watch.state.book.alerts if (watch.asset.id, alert.kind) not in known]
            self._watches.touch(watch)
        return news

    def meet(self, alert: Alert, moment: Moment) -> list[Alert]:
        """Take note of an open alert on a gateway of ours that another detector has made; see `OwnerCore.meet`."""
        watch = self._watches.get(alert.asset)
        rehearsal = self._rehearsals.get(alert.gateway)
        if watch is None:
            return []
        if rehearsal is not None:
            if all(known.id != alert.id for known in rehearsal.alerts):
                rehearsal.alerts.append(alert)
                self._dirty.add(alert.gateway)
            return []
        if self._put_off(alert, watch):
            return []
        mine = next((open_ for open_ in watch.state.book.alerts if open_.kind is alert.kind), None)
        if (mine is not None and mine.id == alert.id) or watch.state.book.has_closed(alert):
            return []
        self._watches.touch(watch)
        if mine is not None and mine.id in watch.state.unsaid and _began_midway(watch, mine, alert):
            watch.state.unsaid.remove(mine.id)
            watch.state.book.replace(alert)
            return []
        if mine is not None or alert.onset_at_ns <= watch.state.book.closed_at_ns.get(alert.kind, -1):
            return [closed(alert, alert.at_ns)]
        self._adopt(alert.gateway, [alert], moment)
        return []

    def due(self, watch: Watch) -> list[Alert]:
        """Alerts that we met before we had come to their time, and have come to now: meet them again."""
        later = self._later.get(watch.asset.id)
        if not later:
            return []
        newest_ns = watch.state.newest_ns
        due = [alert for alert in later.values() if alert.at_ns <= newest_ns]
        for alert in due:
            del later[alert.id]
        return due

    def put_right(self, gateway: str, retimed: Retimed) -> None:
        """A gateway's clock is known now: the alerts that we wait for are as old as they are in truth."""
        rehearsal = self._rehearsals.get(gateway)
        if rehearsal:
            rehearsal.alerts = [a.put_right(retimed) if a.clock == retimed.clock else a for a in rehearsal.alerts]
            self._dirty.add(gateway)
        for later in self._later.values():
            for alert in later.values():
                if alert.gateway == gateway and alert.clock == retimed.clock:
                    later[alert.id] = alert.put_right(retimed)

    def release(self, gateway: str, assets: Sequence[str]) -> None:
        """Another detector owns the gateway and these assets."""
        for asset in assets:
            self._later.pop(asset, None)
        if self._rehearsals.pop(gateway, None) is not None:
            self._dirty.add(gateway)

    def save(self) -> dict[str, bytes | None]:
        """Parts `rehearsal/{gateway}` that changed."""
        parts: dict[str, bytes | None] = {}
        for gateway in self._dirty:
            rehearsal = self._rehearsals.get(gateway)
            parts[f"rehearsal/{gateway}"] = msgspec.json.encode(rehearsal) if rehearsal else None
        self._dirty.clear()
        return parts

    def load(self, gateway: str, content: bytes) -> None:
        """Go on from the part `rehearsal/{gateway}`. ValueError: it can't be read."""
        self._rehearsals[gateway] = msgspec.json.decode(content, type=_Rehearsal)

    def _adopt(self, gateway: str, alerts: Sequence[Alert], moment: Moment) -> None:
        for alert in alerts:
            self._watches.adopt(alert, gateway, moment)

    def _put_off(self, alert: Alert, watch: Watch) -> bool:
        """Whether we have not come to the time of the alert yet: first we see for ourselves what made it."""
        early = alert.kind is not AlertKind.SILENT and alert.at_ns > watch.state.newest_ns
        if early:
            self._later.setdefault(alert.asset, {})[alert.id] = alert
        return early


def _began_midway(watch: Watch, alert: Alert, known: Alert) -> bool:
    """Whether an alert of ours is one that is known: it was there in the first sample that we ever took."""
    same = (alert.asset, alert.kind) == (known.asset, known.kind)
    return same and known.onset_at_ns < alert.onset_at_ns == watch.state.first_ns


def _before(pack: Readings) -> Readings:
    return msgspec.structs.replace(pack, seq=pack.seq - 1)
