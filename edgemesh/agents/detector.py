"""The detector's core: readings in, alerts out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count, takewhile

import msgspec

from edgemesh.agents.core import Input
from edgemesh.detect.book import closed
from edgemesh.detect.health import Health
from edgemesh.detect.settings import DetectSettings
from edgemesh.detect.silence import NEVER
from edgemesh.detect.watch import Moment, Watch, WatchState
from edgemesh.log.outbox import Cursor
from edgemesh.model.agents import Asset
from edgemesh.model.alerts import Alert, AlertKind, AlertState
from edgemesh.model.packs import Cards, Readings
from edgemesh.model.samples import Batch, Record, Retimed

_EPOCHS_KEPT = 4
_LONGEST_TICK_NS = 5 * 10**9
_CLOCK_STEP_NS = 10**9
_REHEARSAL_NS = 10 * 10**9
_COUNTERS = (
    "alerts_cleared",
    "alerts_raised",
    "clock_steps",
    "duplicate",
    "late",
    "models_refused",
    "packs",
    "packs_repeated",
    "parts_refused",
    "readings",
    "rows",
    "seconds_unwatched",
    "trained",
    "untrainable",
)


class _Cursor(msgspec.Struct):
    """The last pack handled of each epoch of one gateway's log; the newest epoch last."""

    epochs: dict[str, int] = {}

    def passes(self, epoch: str, seq: int) -> bool:
        """Whether the pack is new; it then counts as handled."""
        if seq <= self.epochs.get(epoch, 0):
            return False
        self.epochs.pop(epoch, None)
        self.epochs[epoch] = seq
        while len(self.epochs) > _EPOCHS_KEPT:
            del self.epochs[next(iter(self.epochs))]
        return True


class _Rehearsal(msgspec.Struct):
    """What another detector has decided already: packs of `epoch` up to `through` come again, only to warm up.

    `alerts` are those it left open. After `until_ns` of watched time the rehearsal ends, whatever has come.
    """

    epoch: str
    through: int
    alerts: list[Alert]
    until_ns: int

    def covers(self, pack: Readings) -> bool:
        """Whether the owner before has taken this pack in: by its mark, or because one of its alerts is younger."""
        oldest = min((batch.at_ns[0] for batch in pack.records), default=0)
        younger = any(oldest <= alert.at_ns for alert in self.alerts)
        return younger or (pack.epoch == self.epoch and pack.seq <= self.through)


class _Clock(msgspec.Struct):
    """The receiver's time, and the time it has watched: longer than 5 s between two ticks it was not watching.

    So neither a restart nor a clock that was set makes a device silent.
    """

    now_ns: int = 0
    watched_ns: int = 0

    def advance(self, now_ns: int) -> float:
        """Go on to `now_ns` and return the seconds that do not count as watched."""
        elapsed = max(0, now_ns - self.now_ns) if self.now_ns else 0
        counted = min(elapsed, _LONGEST_TICK_NS)
        self.now_ns, self.watched_ns = now_ns, self.watched_ns + counted
        return (elapsed - counted) / 1e9


class DetectorCore:
    """Watches every asset of the gateways whose logs it is given; see `edgemesh.agents.core.Core` for the verbs.

    Assets not in `assets` are watched as what an `Asset` is by default. `stats` are counters; they start at 0.
    """

    def __init__(self, agent: str, site: str, settings: DetectSettings, assets: Mapping[str, Asset]) -> None:
        self.agent, self.site, self.settings, self.assets = agent, site, settings, assets
        self.stats: dict[str, float] = dict.fromkeys(_COUNTERS, 0.0)
        self._clock, self._clock_saved_ns = _Clock(), 0
        self._cursors: dict[str, _Cursor] = {}
        self._rehearsals: dict[str, _Rehearsal] = {}
        self._dirty_rehearsals: set[str] = set()
        self._due_ns = 0  # no watch has anything to say of silence before this; asked too early is no harm
        self._later: dict[str, dict[str, Alert]] = {}
        self._watches: dict[str, Watch] = {}
        self._health = Health(site)
        self._stale: set[str] = set()
        self._dirty: set[str] = set()
        self._dirty_cursors: set[str] = set()
        self._gone: set[str] = set()
        self._saved_keys: dict[str, set[str]] = {}

    def handle(self, pack: Input) -> list[Alert]:
        """Take readings, or cards of our gateways, in; see `Core.handle`. Training, once per asset, takes 0.2 s."""
        if isinstance(pack, Cards):
            moment = self._moment("")
            return self._counted([alert for card in pack.records for alert in self._health.see(card, moment)])
        if not isinstance(pack, Readings):
            return []
        if not self._cursors.setdefault(pack.agent, _Cursor()).passes(pack.epoch, pack.seq):
            self.stats["packs_repeated"] += 1
            return []
        self._dirty_cursors.add(pack.agent)
        self.stats["packs"] += 1
        batches_of: dict[str, list[Batch]] = {}
        for batch in pack.records:
            batches_of.setdefault(batch.asset, []).append(batch)
            self.stats["readings"] += batch.readings
        moment = self._moment(f"{pack.agent}/{pack.epoch}/{pack.seq}")
        rehearsal = self._rehearsals.get(pack.agent)
        alerts = [alert for retimed in pack.retimed for alert in self._put_right(pack.agent, retimed)]
        if rehearsal and not rehearsal.covers(pack):
            alerts += self._end_rehearsal(pack.agent)
        for asset, batches in batches_of.items():
            watch = self._watch(asset, pack.agent)
            alerts += watch.take(batches, moment)
            self._due_ns = min(self._due_ns, watch.due_ns)
            self._dirty.add(asset)
            for alert in self._due(asset):
                alerts += self.meet(alert)
        return self._counted([] if pack.agent in self._rehearsals else alerts)

    def tick(self, now_ns: int) -> list[Alert]:
        """Find silent devices; see `Core.tick`. Ticks more than 5 s apart count as 5 s of watching."""
        self.stats["seconds_unwatched"] += self._clock.advance(now_ns)
        moment = self._moment("")
        alerts = []
        for asset in sorted(self._stale):
            alerts += self._watches[asset].forget_unknown(moment)
            self._due_ns = 0
            self._dirty.add(asset)
        self._stale.clear()
        for gateway, rehearsal in list(self._rehearsals.items()):
            if moment.clock_ns > rehearsal.until_ns:
                alerts += self._end_rehearsal(gateway)
        if moment.clock_ns > self._due_ns:
            alerts += self._look_for_silence(moment)
        alerts += self._health.tick(moment)
        return self._counted(alerts)

    def retime(self, by_ns: int, doubt: int) -> list[Alert]:
        """Our own clock was set: nothing was unwatched meanwhile; see `TimedCore.retime`."""
        self._clock.now_ns = max(0, self._clock.now_ns + by_ns) if self._clock.now_ns else 0
        self._clock_saved_ns = 0
        return []

    def _put_right(self, gateway: str, retimed: Retimed) -> list[Alert]:
        """A gateway's clock is known now: give all that came with its times their true ones."""
        moved = []
        rehearsal = self._rehearsals.get(gateway)
        if rehearsal:
            rehearsal.alerts = [a.put_right(retimed) if a.clock == retimed.clock else a for a in rehearsal.alerts]
            self._dirty_rehearsals.add(gateway)
        for asset, watch in self._watches.items():
            if watch.state.gateway == gateway:
                moved += watch.put_right(retimed)
                self._dirty.add(asset)
                for later in self._later.get(asset, {}).values():
                    if later.clock == retimed.clock:
                        self._later[asset][later.id] = later.put_right(retimed)
        return moved

    def _look_for_silence(self, moment: Moment) -> list[Alert]:
        alerts = []
        for asset, watch in self._watches.items():
            if moment.clock_ns > watch.due_ns:
                found = watch.look_for_silence(moment)
                alerts += [] if watch.state.gateway in self._rehearsals else found
                self._dirty.add(asset)
        self._due_ns = min((watch.due_ns for watch in self._watches.values()), default=NEVER)
        return alerts

    def present(self, records: Sequence[Record] | None) -> dict[str, Record | None]:
        """One retained topic per alert that is not over; see `Core.present`."""
        if records is None:
            records = [
                alert
                for watch in self._watches.values()
                for alert in watch.state.book.alerts
                if watch.state.gateway not in self._rehearsals
            ]
            records += self._health.alerts
            records += [alert for rehearsal in self._rehearsals.values() for alert in rehearsal.alerts]
        return {
            f"state/alert/{alert.id}": None if alert.state is AlertState.CLEARED else alert
            for alert in records
            if isinstance(alert, Alert)
        }

    def save(self) -> dict[str, bytes | None]:
        """Parts that changed; see `Core.save`. Per asset 1 to 2 KB of state, a chunk of warm-up or, once, a model."""
        parts: dict[str, bytes | None] = dict.fromkeys(self._gone)
        for gateway in self._dirty_cursors:
            parts[f"log/{gateway}"] = msgspec.json.encode(self._cursors[gateway])
        for gateway in self._dirty_rehearsals:
            rehearsal = self._rehearsals.get(gateway)
            parts[f"rehearsal/{gateway}"] = msgspec.json.encode(rehearsal) if rehearsal else None
        for asset in self._dirty:
            parts.update(self._parts_of(asset, self._watches[asset]))
        if parts or self._clock.now_ns - self._clock_saved_ns >= _CLOCK_STEP_NS:
            parts["clock"] = msgspec.json.encode(self._clock)
            self._clock_saved_ns = self._clock.now_ns
        parts.update(self._health.save())
        self._gone.clear()
        self._dirty_cursors.clear()
        self._dirty_rehearsals.clear()
        self._dirty.clear()
        return parts

    def load(self, parts: Mapping[str, bytes]) -> None:
        """Go on from saved parts; see `Core.load`. A part that can't be read is counted and begun anew."""
        for key, content in parts.items():
            try:
                self._load_part(key, content, parts)
            except ValueError:  # msgspec's errors are among them
                self.stats["parts_refused"] += 1

    def adopt(self, gateway: str, alerts: Sequence[Alert], through: Cursor | None = None) -> None:
        """Go on with the open alerts of a gateway that another detector has owned until now: same ids, next versions.

        What it has taken in (`through`) may come again and is learnt from in silence, for at most 10 s. What no rule
        here watches is cleared at the next tick.
        """
        stand = [alert for alert in alerts if alert.state is not AlertState.CLEARED]
        stand = self._health.adopt(stand, self._moment(""))
        if through is None:
            self._adopt(gateway, stand)
            return
        until_ns = self._clock.watched_ns + _REHEARSAL_NS
        self._rehearsals[gateway] = _Rehearsal(through.epoch, through.through, stand, until_ns)
        self._dirty_rehearsals.add(gateway)

    def _adopt(self, gateway: str, alerts: Sequence[Alert]) -> None:
        for alert in alerts:
            self._watch(alert.asset, gateway).adopt(alert, self._moment(""))
            self._due_ns = 0
            self._stale.add(alert.asset)
            self._dirty.add(alert.asset)

    def _end_rehearsal(self, gateway: str) -> list[Alert]:
        """Put the alerts that were left open in the place of our own; return what the owner before has not seen."""
        rehearsal = self._rehearsals.pop(gateway)
        self._dirty_rehearsals.add(gateway)
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
        self._adopt(gateway, gone)
        for asset, watch in self._watches.items():
            if watch.state.gateway == gateway:
                news += [alert for alert in watch.state.book.alerts if (asset, alert.kind) not in known]
                self._dirty.add(asset)
        return news

    def meet(self, alert: Alert) -> list[Alert]:
        """Take note of an open alert on a gateway of ours that another detector has made; see `OwnerCore.meet`."""
        if not self._health.adopt([alert], self._moment("")):
            return []
        watch = self._watches.get(alert.asset)
        rehearsal = self._rehearsals.get(alert.gateway)
        if alert.gateway not in self._cursors or watch is None:
            return []
        if rehearsal is not None:
            if all(known.id != alert.id for known in rehearsal.alerts):
                rehearsal.alerts.append(alert)
                self._dirty_rehearsals.add(alert.gateway)
            return []
        if self._put_off(alert, watch):
            return []
        mine = next((open_.id for open_ in watch.state.book.alerts if open_.kind is alert.kind), None)
        if mine == alert.id or watch.state.book.has_closed(alert):
            return []
        self._dirty.add(alert.asset)
        if mine is not None or alert.onset_at_ns <= watch.state.book.closed_at_ns.get(alert.kind, -1):
            return self._counted([closed(alert, alert.at_ns)])
        self._adopt(alert.gateway, [alert])
        return []

    def _put_off(self, alert: Alert, watch: Watch) -> bool:
        """Whether we have not come to the time of the alert yet: first we see for ourselves what made it."""
        early = alert.kind is not AlertKind.SILENT and alert.at_ns > watch.newest_ns
        if early:
            self._later.setdefault(alert.asset, {})[alert.id] = alert
        return early

    def _due(self, asset: str) -> list[Alert]:
        """Alerts that we met before we had come to their time, and have come to now."""
        later, newest_ns = self._later.get(asset, {}), self._watches[asset].newest_ns
        due = [alert for alert in later.values() if alert.at_ns <= newest_ns]
        for alert in due:
            del later[alert.id]
        return due

    def release(self, gateway: str) -> list[Alert]:
        """Forget the gateway's log and its assets: another detector owns it. Return the alerts that stand open."""
        left = [
            alert
            for watch in self._watches.values()
            if watch.state.gateway == gateway and gateway not in self._rehearsals
            for alert in watch.state.book.alerts
        ]
        for asset in [asset for asset, watch in self._watches.items() if watch.state.gateway == gateway]:
            del self._watches[asset]
            self._later.pop(asset, None)
            self._stale.discard(asset)
            self._dirty.discard(asset)
            self._gone.update(self._saved_keys.pop(asset, ()))
        left += self._health.release(gateway)
        if self._rehearsals.pop(gateway, None) is not None:
            self._dirty_rehearsals.add(gateway)
        if self._cursors.pop(gateway, None) is not None:
            self._dirty_cursors.discard(gateway)
            self._gone.add(f"log/{gateway}")
        return left

    def _moment(self, origin: str) -> Moment:
        return Moment(self._clock.now_ns, self._clock.watched_ns, origin)

    def _watch(self, asset: str, gateway: str) -> Watch:
        if asset not in self._watches:
            known = self.assets.get(asset) or Asset(id=asset)
            self._watches[asset] = Watch(self.site, known, gateway, self.settings, self.stats)
        return self._watches[asset]

    def _load_part(self, key: str, content: bytes, parts: Mapping[str, bytes]) -> None:
        room, _, rest = key.partition("/")
        if room == "clock":
            self._clock = msgspec.json.decode(content, type=_Clock)
            self._clock_saved_ns = self._clock.now_ns
        elif room == "health":
            self._health.load({key: content})
        elif room == "rehearsal":
            self._rehearsals[rest] = msgspec.json.decode(content, type=_Rehearsal)
        elif room == "log":
            self._cursors[rest] = msgspec.json.decode(content, type=_Cursor)
        elif room == "asset" and rest.endswith("/state"):
            asset, prefix = rest.removesuffix("/state"), f"asset/{rest.removesuffix('/state')}/"
            self._saved_keys[asset] = {name for name in parts if name.startswith(prefix)}
            state = msgspec.json.decode(content, type=WatchState)
            chunks = [
                parts[name] for name in takewhile(parts.__contains__, map(f"{prefix}warmup/{{}}".format, count()))
            ]
            self._watch(asset, state.gateway).restore(state, chunks, parts.get(f"{prefix}model"))
            self._due_ns = 0
            self._stale.add(asset)

    def _parts_of(self, asset: str, watch: Watch) -> dict[str, bytes | None]:
        prefix = f"asset/{asset}/"
        parts: dict[str, bytes | None] = {f"{prefix}state": msgspec.json.encode(watch.state)}
        keys = self._saved_keys.setdefault(asset, set())
        for name, content in watch.learnt_parts().items():
            if content is not None or prefix + name in keys:
                parts[prefix + name] = content
        for key, content in parts.items():
            (keys.discard if content is None else keys.add)(key)
        return parts

    def _counted(self, alerts: list[Alert]) -> list[Alert]:
        self.stats["alerts_raised"] += sum(alert.version == 1 for alert in alerts)
        self.stats["alerts_cleared"] += sum(alert.state is AlertState.CLEARED for alert in alerts)
        return alerts
