"""The detector's core: readings in, alerts out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from edgemesh.agents.acknowledgements import acknowledge
from edgemesh.agents.core import Input, Lesson, Taught
from edgemesh.agents.findings import Findings
from edgemesh.agents.handover import Handover
from edgemesh.agents.lanes import Lanes
from edgemesh.agents.offers import Offers
from edgemesh.agents.position import Place, Position
from edgemesh.agents.replies import Replies
from edgemesh.agents.scorebook import ScoreBook
from edgemesh.agents.second_look import SecondLook
from edgemesh.agents.watches import Observer, Watches
from edgemesh.detect import late
from edgemesh.detect.alerts.health import Health
from edgemesh.detect.base.moment import Moment
from edgemesh.detect.models.questions import Steps, answer_together
from edgemesh.detect.settings import DetectSettings
from edgemesh.detect.watch import Watch
from edgemesh.log.outbox import Cursor
from edgemesh.model.agents import Asset
from edgemesh.model.alerts import Alert, AlertState, Review, Stage
from edgemesh.model.commands import Command, Reply
from edgemesh.model.packs import Cards, Readings
from edgemesh.model.rollouts import MAX_PACKED_BYTES, ModelOffer, ModelState
from edgemesh.model.samples import Batch, Record, Retimed
from edgemesh.model.told import Score
from edgemesh.model.verdicts import Verdicts

if TYPE_CHECKING:
    from edgemesh.detect.learning.learner import Learner

_LONGEST_TICK_NS = 5 * 10**9
_CLOCK_STEP_NS = 10**9
_HUSH_NS = 10 * 10**9
_COUNTERS = (
    "alerts_cleared",
    "alerts_confirmed",
    "alerts_past",
    "alerts_raised",
    "alerts_withdrawn",
    "channels_ignored",
    "clock_steps",
    "detectors_failed",
    "duplicate",
    "late",
    "models_refused",
    "packs",
    "packs_late",
    "packs_repeated",
    "parts_refused",
    "readings",
    "retrained",
    "rows",
    "seconds_unwatched",
    "trained",
    "untrainable",
)


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
    `puts_off`: it does not learn in its steps, but has others do it (`lessons`); left out, a recording gives the same
    alerts whoever plays it. `stopwatch` (ns) times models that are compared; left out, their cost plays no part. An
    alert of a sentry is withdrawn `withdraw_after_s` of calm rows after it was raised.
    It tells the greatest score of each asset once in `scores_every_s` (0: it does not).
    """

    def __init__(
        self,
        agent: str,
        site: str,
        settings: DetectSettings,
        assets: Mapping[str, Asset],
        *,
        puts_off: bool = False,
        stopwatch: Callable[[], int] | None = None,
        withdraw_after_s: float = 20.0,
        scores_every_s: float = 0.0,
    ) -> None:
        self.agent, self.site, self.settings, self.assets = agent, site, settings, assets
        self._puts_off = puts_off
        self.stats: dict[str, float] = dict.fromkeys(_COUNTERS, 0.0)
        self._clock, self._clock_saved_ns = _Clock(), 0
        self._cursors: dict[str, Position] = {}
        self._hushed: set[str] = set()
        self._watches = Watches(site, settings, assets, self.stats, puts_off=puts_off, stopwatch=stopwatch)
        self._book = self._watches.book = ScoreBook(scores_every_s) if scores_every_s else None
        self._offers = Offers(agent, self._watches)
        self._findings = Findings(self._watches)
        self._handover = Handover(self._watches)
        self._lanes = Lanes(self._watches)
        self._health = Health(site)
        self._second = SecondLook(self._watches, self._handover, self._lanes, self._cursors, withdraw_after_s)
        self._reviews = self._second.reviews
        self._replies = Replies(agent)
        self._just_loaded = False
        self._dirty_cursors: set[str] = set()
        self._gone: set[str] = set()

    def observe(self, observer: Observer) -> None:
        """Have each score told that learners give; it changes nothing. To be called before anything is handled."""
        self._watches.observer = observer

    def handle(self, pack: Input) -> list[Alert]:
        """Take readings, cards of our gateways, or what was learnt, in; see `Core.handle`."""
        if isinstance(pack, Cards):
            moment = self._moment("")
            return self._counted([alert for card in pack.records for alert in self._health.see(card, moment)])
        if isinstance(pack, Taught):
            return self._learn(pack)
        if isinstance(pack, Verdicts):
            return self._hear_verdicts(pack)
        if isinstance(pack, Command):
            return self._obey(pack)
        if isinstance(pack, ModelOffer | ModelState):
            self._offers.hear(pack, self._clock.now_ns)
            return []
        if not isinstance(pack, Readings):
            return []
        gateway, cursor = pack.agent, self._cursors.setdefault(pack.agent, Position())
        place = cursor.place(pack)
        if place is Place.HAD:
            self.stats["packs_repeated"] += 1
            return []
        moment = self._moment(f"{gateway}/{pack.epoch}/{pack.seq}")
        missed = self._handover.misses(pack)
        self._handover.enter_hole(pack)
        alerts = [alert for retimed in pack.retimed for alert in self._put_right(gateway, retimed, place)]
        alerts += self._prepare(pack, place, cursor, moment)
        rehearses = self._handover.rehearses(gateway)
        is_late = place is Place.OLD or (pack.seq < pack.live and not rehearses)
        moment = replace(moment, hushed=is_late or rehearses)
        if cursor.hush_until_ns and not is_late:
            alerts += self._speak(gateway)
        judgements = [
            self._take(asset, batches, gateway, moment, old=place is Place.OLD, is_late=is_late)
            for asset, batches in self._sorted(pack, is_late).items()
        ]
        for found in answer_together(judgements):
            alerts += found
        cursor.take(pack, place)
        if self._lanes.flow(gateway):
            alerts += self._lanes.close(gateway, cursor.holes)
        if cursor.hush_until_ns and pack.seq + 1 == pack.live:
            alerts += self._speak(gateway)
        if self._handover.rehearses(gateway):
            alerts = self._rehearse(pack, alerts, missed=missed)
        self._reviews.note(alerts)
        return self._counted(alerts + self._second.judge(gateway))

    def reply(self, command: str) -> Reply | None:
        """What came of a command; see `CommandedCore`."""
        return self._replies.get(command)

    def _obey(self, command: Command) -> list[Alert]:
        """Take note that somebody has seen an alert; the same command twice is once."""
        if self._replies.get(command.id) is not None:
            return []
        seen = acknowledge(self._watches, command, self._clock.now_ns)
        said = f"alert {seen[0].id[:8]} is acknowledged" if seen else "no alert of ours stands under this id, unseen"
        self._replies.put(command, said, done=bool(seen))
        return self._counted(seen)

    def _rehearse(self, pack: Readings, alerts: Sequence[Alert], *, missed: bool) -> list[Alert]:
        """What may be said in a rehearsal: what was over within rows that the owner before has `missed`.

        What stood at the end of them is what it has found in its first younger row. What it may have said already has
        the same id.
        """
        seam = self._handover.seam(pack, missed=missed)
        said = []
        for alert in alerts:
            watch = self._watches.get(alert.asset)
            unsaid = watch.state.unsaid if watch else []
            over = alert.state is AlertState.CLEARED
            unseen = missed or (alert.id in unsaid and alert.at_ns <= seam.get(alert.asset, -1))
            if over and unseen and not self._handover.knows(alert):
                said.append(msgspec.structs.replace(alert, past=True))
            if over and alert.id in unsaid:
                unsaid.remove(alert.id)
        self._handover.pass_seam(pack.agent, seam)
        for asset in {batch.asset for batch in pack.records} if missed else ():
            self._handover.hold_back(self._watches.make(asset, pack.agent))
        return said

    def _prepare(self, pack: Readings, place: Place, cursor: Position, moment: Moment) -> list[Alert]:
        """What ends before a pack is handled: holes that nothing will fill, a rehearsal."""
        self._dirty_cursors.add(pack.agent)
        alerts: list[Alert] = []
        if cursor.ahead:
            cursor.lose(pack)
            alerts = self._lanes.close(pack.agent, cursor.holes)
        if place is not Place.AHEAD:
            return alerts + self._handover.end_before(pack, moment)
        self._lanes.begin(pack.agent, pack.seq)
        cursor.hush_until_ns = 0
        self._hushed.discard(pack.agent)
        return alerts + self._handover.end(pack.agent, moment)

    def _sorted(self, pack: Readings, is_late: bool) -> dict[str, list[Batch]]:
        """The pack's batches by asset."""
        self.stats["packs"] += 1
        self.stats["packs_late"] += is_late
        batches_of: dict[str, list[Batch]] = {}
        for batch in pack.records:
            batches_of.setdefault(batch.asset, []).append(batch)
            self.stats["readings"] += batch.readings
        return batches_of

    def _take(
        self, asset: str, batches: Sequence[Batch], gateway: str, moment: Moment, *, old: bool, is_late: bool
    ) -> Steps[list[Alert]]:
        """Take one asset's batches of a pack, in steps: a forest that several assets share is asked once."""
        watch = self._watches.make(asset, gateway)
        over = self._findings.look(watch, moment)
        alerts = self._lanes.take(gateway, watch, batches, moment) if old else None
        if alerts is not None:
            return over + alerts
        if self._lanes.flow(gateway):
            self._lanes.jump(gateway, watch, batches)
        alerts = over + (yield from watch.steps(batches, moment, late=is_late))
        if alerts:
            self._lanes.found(gateway, watch, alerts)
        if is_late:
            alerts = late.hush(watch.state, alerts)
            self._hush(gateway)
        self._offers.look(watch, moment.now_ns)
        if not self._puts_off and (lesson := watch.models.retraining_lesson()) is not None:
            from edgemesh.detect.methods.lessons import learn_encoded  # numpy only where something is learnt

            self._retrain(watch, lesson[0], learn_encoded(lesson[1]))
        self._watches.touch(watch)
        for alert in self._handover.due(watch):
            alerts += self._handover.meet(alert, moment)
        return alerts

    def tick(self, now_ns: int) -> list[Alert]:
        """Find silent devices; see `Core.tick`. Ticks more than 5 s apart count as 5 s of watching."""
        self.stats["seconds_unwatched"] += self._clock.advance(now_ns)
        moment = self._moment("")
        alerts = []
        for watch, found in self._watches.forget_unknown(moment):
            alerts += late.hush(watch.state, found)
        if self._just_loaded:
            self._lanes.forget_unknown(moment)
            self._just_loaded = False
        for gateway in [name for name in self._hushed if moment.clock_ns > self._cursors[name].hush_until_ns]:
            alerts += self._speak(gateway)
        for watch, found in self._watches.look_for_silence(moment):
            alerts += [] if self._handover.rehearses(watch.state.gateway) else found
        alerts += self._handover.tell_silence(moment)
        alerts += self._health.tick(moment)
        self._reviews.note(alerts)
        return self._counted(alerts + self._second.judge())

    def retime(self, by_ns: int, doubt: int) -> list[Alert]:
        """Our own clock was set: nothing was unwatched meanwhile; see `TimedCore.retime`."""
        self._clock.now_ns = max(0, self._clock.now_ns + by_ns) if self._clock.now_ns else 0
        self._clock_saved_ns = 0
        return []

    def _put_right(self, gateway: str, retimed: Retimed, place: Place) -> list[Alert]:
        """A gateway's clock is known now: give all that came with its times their true ones."""
        self._handover.put_right(gateway, retimed)
        self._reviews.put_right(gateway, retimed)
        self._lanes.put_right(gateway, retimed, old=place is Place.OLD)
        moved = []
        for watch in self._watches.of(gateway):
            moved += late.hush_moved(watch.state, watch.put_right(retimed))
            self._watches.touch(watch)
        return moved

    def present(self, records: Sequence[Record] | None) -> dict[str, Record | None]:
        """One retained topic per alert that is not over; see `Core.present`."""
        if records is None:
            watches = [watch for watch in self._watches.all() if not self._handover.rehearses(watch.state.gateway)]
            records = [*(alert for watch in watches for alert in watch.state.said), *self._health.alerts]
            records += self._handover.alerts
            return _standing(records) | self._offers.present()
        return _standing(records)

    def news(self) -> dict[str, Record | None]:
        """What is to be said of offers of models; see `TellingCore`."""
        return dict(self._offers.news())

    def asides(self) -> list[Score]:
        """Scores of intervals that are over; see `AsideCore`."""
        return self._book.take() if self._book is not None else []

    def save(self) -> dict[str, bytes | None]:
        """Parts that changed; see `Core.save`. Per asset 1 to 2 KB of state, 3 KB of its model's, once the model."""
        parts: dict[str, bytes | None] = dict.fromkeys(self._gone)
        for gateway in self._dirty_cursors:
            parts[f"log/{gateway}"] = msgspec.json.encode(self._cursors[gateway])
        parts |= self._handover.save() | self._lanes.save() | self._watches.save() | self._offers.save()
        parts |= self._findings.save()
        if parts or self._clock.now_ns - self._clock_saved_ns >= _CLOCK_STEP_NS:
            parts["clock"] = msgspec.json.encode(self._clock)
            self._clock_saved_ns = self._clock.now_ns
        parts |= self._health.save() | self._reviews.save()
        self._gone.clear()
        self._dirty_cursors.clear()
        return parts

    def load(self, parts: Mapping[str, bytes]) -> None:
        """Go on from saved parts; see `Core.load`. A part that can't be read is counted and begun anew."""
        for key in sorted(parts, key=lambda key: key.startswith("late/")):  # after the cursors
            try:
                self._load_part(key, parts[key], parts)
            except ValueError:  # msgspec's errors are among them
                self.stats["parts_refused"] += 1
        self._just_loaded = True

    def adopt(self, gateway: str, alerts: Sequence[Alert], through: Cursor | None = None) -> None:
        """Go on with the open alerts of a gateway that another detector has owned until now: same ids, next versions.

        What it has taken in (`through`) comes again and is learnt from in silence. What no rule here watches is cleared
        at the next tick after that. What its sentry has decided waits for our own word.
        """
        moment = self._moment("")
        for alert in alerts:
            if alert.stage is Stage.GATEWAY:
                self._reviews.hear(alert)
        alerts = [alert for alert in alerts if alert.stage is Stage.SITE]
        self._handover.adopt(gateway, self._health.adopt(gateway, alerts, moment), through, moment)

    def meet(self, alert: Alert) -> list[Alert]:
        """Take note of an open alert on a gateway of ours that another detector has made; see `OwnerCore.meet`."""
        moment = self._moment("")
        if alert.stage is Stage.GATEWAY:
            return self._reviews.hear(alert)
        if not self._health.adopt(alert.gateway, [alert], moment) or alert.gateway not in self._cursors:
            return []
        return self._counted(self._handover.meet(alert, moment))

    def model(self, asset: str, *, version: int, now_ns: int) -> bytes | None:
        """The file of the asset's model, under this version, made now; None while there is none."""
        learner = self.learner(asset)
        return None if learner is None else learner.model(asset, version, now_ns)

    def learner(self, asset: str) -> Learner | None:
        """The learner of an asset; None: it was not heard of, or no model fits it."""
        watch = self._watches.get(asset)
        return watch.models.learner if watch is not None else None

    @property
    def learns(self) -> bool:
        """Whether machines are learnt in our steps: that in which a warm-up is complete takes long."""
        return bool(self.settings.model) and not self._puts_off

    def lessons(self) -> list[Lesson]:
        """What others are to learn; see `LearningCore`."""
        return self._watches.lessons()

    def rehearses(self, gateway: str) -> bool:
        """Whether we learn in silence from what another detector has taken in; see `RehearsingCore`."""
        return self._handover.rehearses(gateway)

    def release(self, gateway: str) -> list[Alert]:
        """Forget the gateway's log and its assets: another detector owns it. Return the alerts that stand open."""
        rehearses = self._handover.rehearses(gateway)
        left = [alert for watch in self._watches.of(gateway) for alert in watch.state.said if not rehearses]
        left += self._health.release(gateway, self._moment(""))
        dropped = self._watches.drop(gateway)
        self._handover.release(gateway, dropped)
        self._offers.release(dropped)
        self._findings.release(dropped)
        self._lanes.release(gateway)
        self._reviews.release(gateway)
        self._hushed.discard(gateway)
        if self._cursors.pop(gateway, None) is not None:
            self._dirty_cursors.discard(gateway)
            self._gone.add(f"log/{gateway}")
        return left

    def _learn(self, taught: Taught) -> list[Alert]:
        """Go on with what was learnt: judge what has waited for it, each row as if it came now."""
        watch = self._watches.get(taught.asset)
        if watch is None:
            return []
        self._retrain(watch, taught.key, taught.content)
        gateway, alerts = watch.state.gateway, []
        for moment, found in watch.learn(taught.key, taught.content, self._moment("")):
            if moment.hushed and found:
                found = late.hush(watch.state, found)
                if gateway in self._cursors:
                    self._hush(gateway)
                    self._dirty_cursors.add(gateway)
            alerts += found
        self._watches.touch(watch)
        alerts = [] if self._handover.rehearses(gateway) else alerts
        self._reviews.note(alerts)
        return self._counted(alerts)

    def _retrain(self, watch: Watch, key: str, content: bytes) -> None:
        """The next model of an asset was learnt, if this is its lesson: offer it, to be tried like any other."""
        file = watch.models.retrained(key, content)
        if file is None:
            return
        from edgemesh.detect.models.files import pack_model, read_model  # numpy only where something is learnt

        packed, version = pack_model(file), read_model(file)[0].version
        if len(packed) > MAX_PACKED_BYTES:
            self.stats["untrainable"] += 1
            return
        self._offers.propose(watch.asset.id, version, packed, self._clock.now_ns)

    def _hear_verdicts(self, verdicts: Verdicts) -> list[Alert]:
        """Somebody has found something out about an asset's alerts."""
        moment = self._moment("")
        alerts = self._findings.hear(verdicts, moment)
        watch = self._watches.get(verdicts.asset)
        if watch is None:
            return []
        said = late.hush(watch.state, alerts)
        return self._counted([] if self._handover.rehearses(watch.state.gateway) else said)

    def _moment(self, origin: str) -> Moment:
        return Moment(self._clock.now_ns, self._clock.watched_ns, origin)

    def _hush(self, gateway: str) -> None:
        self._cursors[gateway].hush_until_ns = self._clock.watched_ns + _HUSH_NS
        self._hushed.add(gateway)

    def _speak(self, gateway: str) -> list[Alert]:
        """Say what late packs have raised and still stands."""
        self._cursors[gateway].hush_until_ns = 0
        self._dirty_cursors.add(gateway)
        self._hushed.discard(gateway)
        alerts = []
        for watch in self._watches.all():
            if watch.state.unsaid:
                alerts += late.say(watch.state)
                self._watches.touch(watch)
        return alerts

    def _load_part(self, key: str, content: bytes, parts: Mapping[str, bytes]) -> None:
        room, _, rest = key.partition("/")
        if room == "clock":
            self._clock = msgspec.json.decode(content, type=_Clock)
            self._clock_saved_ns = self._clock.now_ns
        elif room == "health":
            self._health.load({key: content})
        elif room == "rehearsal":
            self._handover.load(rest, content)
        elif room == "log":
            self._cursors[rest] = cursor = msgspec.json.decode(content, type=Position)
            for row in cursor.holes:
                self._lanes.restore(rest, row)
            if cursor.hush_until_ns:
                self._hushed.add(rest)
        elif room == "asset":
            self._watches.load(rest, content, parts)
        elif room == "late":
            self._lanes.load(rest, content)
        elif room == "review":
            self._reviews.load(rest, content)
        elif room == "verdicts":
            self._findings.load(rest, content)
        elif room in ("offer", "told"):
            self._offers.load(key, content)

    def _counted(self, alerts: list[Alert]) -> list[Alert]:
        ours = [alert for alert in alerts if alert.review is None]
        self.stats["alerts_raised"] += sum(alert.version == 1 for alert in ours)
        self.stats["alerts_cleared"] += sum(alert.state is AlertState.CLEARED for alert in ours)
        self.stats["alerts_past"] += sum(alert.past for alert in ours)
        self.stats["alerts_confirmed"] += sum(alert.review is Review.CONFIRMED for alert in alerts)
        self.stats["alerts_withdrawn"] += sum(alert.review is Review.WITHDRAWN for alert in alerts)
        return alerts


def _standing(records: Sequence[Record]) -> dict[str, Record | None]:
    """The retained topic of each alert among the records, emptied where it is over."""
    return {
        f"state/alert/{alert.id}": None if alert.state is AlertState.CLEARED else alert
        for alert in records
        if isinstance(alert, Alert) and not alert.past
    }
