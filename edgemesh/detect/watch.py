"""The watch over one asset: columns in, alerts out."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from edgemesh.detect.alerts.book import Book
from edgemesh.detect.base.columns import Columns, DeviceState, heard_samples, read_columns
from edgemesh.detect.base.decision import Switch
from edgemesh.detect.base.moment import Moment
from edgemesh.detect.base.peak import Peak
from edgemesh.detect.base.signals import MODEL, MODEL_SOURCE, Signal, source_name, split_source
from edgemesh.detect.base.windows import Window
from edgemesh.detect.feedback.calm import RetrainState
from edgemesh.detect.feedback.thresholds import FeedbackState, ease
from edgemesh.detect.learning.memory import LearnerState
from edgemesh.detect.models.questions import Steps, answer
from edgemesh.detect.rollout.stages import RolloutState, done
from edgemesh.detect.rulebook import Rulebook
from edgemesh.detect.rules.derived import DerivedState
from edgemesh.detect.rules.gates import Gate, GateTrack, track_gate
from edgemesh.detect.rules.silence import METRIC, NEVER, due_ns, find_returned, find_silent, note_heard
from edgemesh.detect.rules.stuck import StuckState
from edgemesh.detect.rules.trace import Trace
from edgemesh.detect.scan import Memories, scan_rules
from edgemesh.detect.settings import DetectSettings
from edgemesh.model.agents import Asset
from edgemesh.model.alerts import Alert, AlertKind, Evidence
from edgemesh.model.rollouts import ModelOffer, ModelState, RolloutStage
from edgemesh.model.samples import Batch, Retimed

if TYPE_CHECKING:
    from edgemesh.detect.feedback.retraining import Retraining
    from edgemesh.detect.learning.learner import Learner
    from edgemesh.detect.rollout.trial import Trial


_BESIDE = "beside/"  # see `trial.BESIDE`
_CALM = "calm/"  # see `retraining.PREFIX`
_HEARD = "heard"  # the part with the verdicts


class WatchState(msgspec.Struct, omit_defaults=True):
    """All that a watch remembers, but for warm-up, model and what moves in it; names are as in `signals`.

    `unsaid` are the ids of open alerts that late samples have raised: nobody was told of them yet, see `late`.
    `first_ns` is when the first sample of all was taken; what was there in it may have begun earlier.
    """

    gateway: str
    devices: dict[str, DeviceState] = {}
    switches: dict[str, Switch] = {}
    traces: dict[str, Trace] = {}
    stuck: dict[str, StuckState] = {}
    derived: DerivedState = msgspec.field(default_factory=DerivedState)
    gates: dict[str, Gate] = {}
    window: Window = msgspec.field(default_factory=Window)
    book: Book = msgspec.field(default_factory=Book)
    learner: LearnerState = msgspec.field(default_factory=LearnerState)
    rollout: RolloutState = msgspec.field(default_factory=RolloutState)
    retrain: RetrainState = msgspec.field(default_factory=RetrainState)
    unsaid: list[str] = []
    first_ns: int = 0
    peak: Peak = msgspec.field(default_factory=Peak)

    @property
    def said(self) -> list[Alert]:
        """The alerts that stand and that others know of."""
        return [alert for alert in self.book.alerts if alert.id not in self.unsaid]


class Watch:
    """Watches one asset with the rules that fit it, and with a learner if one is configured for its class.

    `take` and `look_for_silence` are called in the order of the log and never raise for what the data hold.
    """

    def __init__(
        self,
        site: str,
        asset: Asset,
        gateway: str,
        settings: DetectSettings,
        stats: dict[str, float],
        *,
        puts_off: bool = False,
        stopwatch: Callable[[], int] | None = None,
    ) -> None:
        """`puts_off`: what the learner wants to learn others learn, see `Learner`. `stopwatch`: see `Trial`."""
        self.site, self.asset, self.stats, self.puts_off = site, asset, stats, puts_off
        self.rulebook = Rulebook(settings, asset)
        self.state = WatchState(gateway=gateway)
        self._rollout_settings, self._stopwatch = settings.rollout, stopwatch
        self._feedback_settings = settings.feedback
        self.feedback = FeedbackState()
        self.learner = self._make_learner(self.state.learner)
        self.trial = self._make_trial()
        self.retraining = self._make_retraining()
        self.due_ns = NEVER
        self._layouts: set[tuple[str, tuple[str, ...]]] = set()
        self._ignored: set[tuple[str, str]] = set()

    @property
    def newest_ns(self) -> int:
        """The time of the newest sample of the asset; 0: none yet."""
        return max((device.newest_ns for device in self.state.devices.values()), default=0)

    def take(self, batches: Sequence[Batch], moment: Moment, *, late: bool = False) -> list[Alert]:
        """Take the asset's batches of one pack and return the new versions of its alerts.

        `late` samples had to wait on their way: they bring no silent device back.
        """
        return answer(self.steps(batches, moment, late=late))

    def steps(self, batches: Sequence[Batch], moment: Moment, *, late: bool = False) -> Steps[list[Alert]]:
        """`take`, in steps."""
        self.state.first_ns = self.state.first_ns or min((batch.at_ns[0] for batch in batches), default=0)
        columns = [part for batch in batches if (part := self._read(batch, moment.clock_ns, late)) is not None]
        returned = [
            signal
            for batch in ([] if late else batches)
            for signal in find_returned(
                batch.device, self.rulebook.silent(batch.device), self.state.devices[batch.device], moment.now_ns
            )
        ]
        self._set_due()
        alerts = self._apply(returned, moment)
        if columns:
            gates = self.state.gates
            tracks = {name: track_gate(gates.setdefault(name, Gate()), name, columns) for name in self.rulebook.gates}
            signals, columns = self._scan_rules(columns, tracks)
            alerts += self._apply(signals, moment)
            if self.learner is not None:
                alerts += yield from self._judge(self.learner, columns, tracks, moment)
        return alerts

    def learn(self, key: str, content: bytes, moment: Moment) -> list[tuple[Moment, list[Alert]]]:
        """Go on with what was learnt from the lesson of this key; see `Learner.learn`. Alerts by when they were due."""
        told = self.learner.learn(key, content) if self.learner is not None else []
        found = []
        for kept, signals in told:
            then = replace(moment, origin=kept.origin, hushed=kept.hushed)
            found.append((then, self._apply(signals, then)))
        return found

    @property
    def wants(self) -> bool:
        """Whether others are to learn something for the learner, or its next model."""
        return self.puts_off and self.learner is not None and (self.learner.wants or self._retrains)

    def lesson(self) -> tuple[str, bytes] | None:
        """Key and content of what others are to learn; None: nothing, or it was asked for already."""
        if self.learner is None:
            return None
        return self.learner.lesson() if self.learner.wants else self.retraining_lesson()

    def retraining_lesson(self) -> tuple[str, bytes] | None:
        """That of the next model, where it is due."""
        return self.retraining.lesson(self.learner) if self._retrains and self.retraining and self.learner else None

    def retrained(self, key: str, content: bytes) -> bytes | None:
        """The file of the next model, out of what was learnt from the lesson of this key; None: there is none."""
        if self.retraining is None or self.learner is None:
            return None
        file = self.retraining.learn(self.asset.id, key, content, self.learner)
        if file is not None:
            self.stats["retrained" if file else "untrainable"] += 1
        return file if file and self._idle else None  # what somebody has offered meanwhile goes before

    @property
    def _idle(self) -> bool:
        """Whether no model is on trial."""
        return not self.state.rollout.revision or self.state.rollout.stage.over

    @property
    def _retrains(self) -> bool:
        """Whether the next model is due, and no other is on trial."""
        return (
            self._idle
            and self.retraining is not None
            and self.learner is not None
            and self.retraining.due(self.learner)
        )

    @property
    def judges(self) -> bool:
        """Whether all that is to judge here does: no model is still being learnt."""
        return self.learner is None or (self.learner.learnt and not self.learner.wants)

    def look_for_silence(self, moment: Moment) -> list[Alert]:
        """Return the alerts about devices that have been silent for too long now."""
        signals = []
        for name, device in self.state.devices.items():
            signals += find_silent(name, self.rulebook.silent(name), device, moment.clock_ns, moment.now_ns)
        self._set_due()
        return self._apply(signals, moment)

    def offer(self, offer: ModelOffer, known: ModelState | None, now_ns: int) -> None:
        """Look at the newest offer of a model; see `Trial.offer`."""
        rollout = self.state.rollout
        if self.trial is not None:
            self.trial.offer(offer, known, self.state.window.channels, now_ns)
            self._follow_trial()
        elif rollout.revision < offer.revision:
            rollout.revision, rollout.version = offer.revision, offer.version
            rollout.enter(RolloutStage.REFUSED, now_ns, "no [[detection.model]] of the configuration fits the asset")

    def hear_rollout(self, known: ModelState, now_ns: int) -> None:
        """Another detector says how an offer has ended; see `Trial.hear`."""
        if self.trial is not None:
            self.trial.hear(known, now_ns)
            self._follow_trial()

    @property
    def waits(self) -> bool:
        """Whether an offer has to be looked at again as soon as more is known of the asset."""
        return self.trial is not None and self.trial.waits

    @property
    def wants_class(self) -> bool:
        """Whether the asset has not learnt yet, and is to begin with the model of its class rather than wait."""
        learner = self.learner
        return learner is not None and learner.settings.scope == "class" and not learner.learnt and self._idle

    def model_state(self, agent: str) -> ModelState:
        """What there is to say of the newest offer; to be asked only once there was one."""
        rollout = self.state.rollout
        runs = rollout.runs or rollout.new.rows > 0
        return ModelState(
            asset=self.asset.id,
            agent=agent,
            revision=rollout.revision,
            version=rollout.version,
            used=self.state.learner.about.version,
            stage=rollout.stage,
            since_ns=rollout.since_ns,
            reason=rollout.reason,
            done=done(rollout, self._rollout_settings),
            new=rollout.new.figures if runs else None,
            former=rollout.former.figures if runs and rollout.former.rows else None,
        )

    def put_right(self, retimed: Retimed) -> list[Alert]:
        """The gateway's clock is known now: go on as if it had been right; return new versions of alerts that moved."""
        state = self.state
        devices = {name for name, device in state.devices.items() if device.put_right(retimed)}
        if not devices:
            return []
        state.first_ns = retimed.at(state.first_ns)
        for source, switch in state.switches.items():
            if split_source(source)[2] in devices:
                switch.put_right(retimed)
        for source, trace in state.traces.items():
            if split_source(source)[2] in devices:
                trace.put_right(retimed)
        state.derived.put_right(retimed)
        state.peak = Peak()
        for source, stuck in state.stuck.items():
            if split_source(source)[2] in devices:
                stuck.since_ns = retimed.at(stuck.since_ns)
        for gate in state.gates.values():
            gate.since_ns = None if gate.since_ns is None else retimed.at(gate.since_ns)
        if self.learner is not None:
            self.learner.put_right(retimed)
            state.rollout.put_right(retimed)
            if self.retraining is not None:
                self.retraining.put_right(retimed)
        else:
            state.learner.switch.put_right(retimed)
        return state.book.put_right(retimed)

    def adopt(self, alert: Alert, moment: Moment) -> None:
        """Go on with an open alert of another detector: its sources fire until they are found calm here."""
        sources = [self._adopt_source(alert, evidence, moment) for evidence in alert.evidence]
        self.state.book.adopt(alert, [source for source in sources if source])
        self._set_due()

    def forget_unknown(self, moment: Moment) -> list[Alert]:
        """Clear what no rule of the present configuration keeps open; return the alerts that are over."""
        state = self.state
        state.switches = {source: switch for source, switch in state.switches.items() if self.rulebook.knows(source)}
        state.traces = {source: trace for source, trace in state.traces.items() if self.rulebook.knows(source)}
        state.stuck = {source: stuck for source, stuck in state.stuck.items() if self.rulebook.knows(source)}
        for name, device in state.devices.items():
            labels = {rule.label for rule in self.rulebook.silent(name)}
            device.silent = [label for label in device.silent if label in labels]
        firing = [source for source, switch in state.switches.items() if switch.firing]
        firing += [source for source, stuck in state.stuck.items() if stuck.stuck]
        firing += [
            source_name(label, METRIC, name) for name, device in state.devices.items() for label in device.silent
        ]
        if self.learner is not None and state.learner.switch.firing:
            firing.append(MODEL_SOURCE)
        self._set_due()
        return state.book.keep_only(firing, moment.now_ns)

    def restore(self, state: WatchState, parts: Mapping[str, bytes]) -> None:
        """Go on from what was saved; a warm-up or model that does not fit is counted and begun anew."""
        self.state = state
        if _HEARD in parts:
            self.feedback = msgspec.msgpack.decode(parts[_HEARD], type=FeedbackState)
        self.learner = self._make_learner(state.learner)
        if self.learner is not None:
            own = {name: parts[name] for name in parts if not name.startswith((_BESIDE, _CALM, _HEARD))}
            try:
                self.learner.restore(own, state.window.channels)
            except ValueError:
                self.stats["models_refused"] += 1
                state.learner, state.window = LearnerState(switch=state.learner.switch), Window()
                state.retrain = RetrainState()
                self.learner = learner = self._make_learner(state.learner)
                if learner is not None:
                    learner.begin_anew(list(own))
        self.retraining = self._make_retraining()
        if self.retraining is not None and not self.retraining.restore(parts):
            self.stats["models_refused"] += 1
        self.trial = trial = self._make_trial()
        if trial is not None and not trial.restore(parts, state.window.channels):
            self.stats["models_refused"] += 1
        self._set_due()

    def twin(self, state: WatchState) -> Watch:
        """A watch over the same asset with a state of its own. It judges by what this one has learnt; learns none."""
        twin = copy.copy(self)
        twin.state = state
        same = state.learner.about == self.state.learner.about  # else another model has moved what moves
        twin.learner = self.learner.twin(state.learner) if self.learner is not None and same else None
        twin.trial = twin.retraining = None
        return twin

    def learnt_parts(self) -> dict[str, bytes | None]:
        """Parts of warm-up and model that changed since the last call; None: gone."""
        parts = self.learner.parts() if self.learner is not None else {}
        if self.feedback.news or (self.renewed and self.feedback.verdicts):
            self.feedback.news = False
            parts[_HEARD] = msgspec.msgpack.encode(self.feedback)
        if self.retraining is not None:
            if self.renewed:
                self.retraining.save_anew()
            parts |= self.retraining.parts()
        if self.trial is not None:
            parts |= self.trial.parts()
            self.trial.renewed = False
        return parts

    @property
    def renewed(self) -> bool:
        """Whether the parts that were saved before count no more; `learnt_parts` will then give all that there are."""
        return self.trial is not None and self.trial.renewed

    def capture(self) -> WatchState:
        """The state with all that moves in it, for a fork."""
        if self.learner is not None:
            self.learner.capture()
        return self.state

    def jump(self) -> None:
        """Go on at a later time: what the model only suspects is forgotten."""
        for learner in (self.learner, self.trial.beside if self.trial is not None else None):
            if learner is not None:
                learner.skip()
        if self.retraining is not None:
            self.retraining.interrupt()

    def renew(self, at_ns: int, moment: Moment) -> list[Alert]:
        """A part was replaced at this time: learn anew, and take back what the model said of the one before."""
        stands = self.state.learner.switch.firing
        if self.trial is not None:
            self.trial.renew(at_ns, moment.now_ns)
            self._follow_trial()
        if self.retraining is not None:
            self.retraining.renew()
        return self.end_model_alert(moment) if stands else []

    def end_model_alert(self, moment: Moment) -> list[Alert]:
        """What the model said is over; what rules say is not."""
        return self._apply([Signal(max(self.newest_ns, 0), AlertKind.MACHINE, MODEL_SOURCE, firing=False)], moment)

    def _follow_trial(self) -> None:
        """Have whoever judges now judge."""
        if self.trial is not None and self.learner is not self.trial.judge:
            self.learner = self.trial.judge
            self.state.learner = self.learner.state

    def _make_trial(self) -> Trial | None:
        if self.learner is None:
            return None
        from edgemesh.detect.rollout.trial import Trial

        trial = Trial(
            self.asset, self.state.rollout, self._rollout_settings, self.learner, self._make_any, self._stopwatch
        )
        trial.settle_at = lambda: self.retraining.recent if self.retraining is not None else []
        return trial

    def _make_retraining(self) -> Retraining | None:
        model = self.rulebook.model
        if model is None or not model.retrain_every:
            return None
        from edgemesh.detect.feedback.retraining import Retraining  # numpy only where something is learnt

        return Retraining(model.retrain_every, model.machine.seed, self.state.retrain)

    def _make_any(self, state: LearnerState) -> Learner:
        learner = self._make_learner(state)
        assert learner is not None
        return learner

    def _make_learner(self, state: LearnerState) -> Learner | None:
        if self.rulebook.model is None:
            return None
        from edgemesh.detect.learning.learner import Learner  # numpy only where something is learnt

        return Learner(self.rulebook.model, state, self.stats, puts_off=self.puts_off)

    def _read(self, batch: Batch, clock_ns: int, late: bool) -> Columns | None:
        device = self.state.devices.setdefault(batch.device, DeviceState())
        heard = heard_samples(batch)
        stream = device.stream(batch.metrics)
        if stream.begin(batch):
            device.newest_ns = -1
        columns = read_columns(batch, stream, clock_ns, self.stats)
        if late and heard and not device.silent:
            device.heard_clock_ns = clock_ns
        elif heard and not late:
            news = sum(at > device.newest_ns for at in columns.at_ns) if columns else 0
            note_heard(device, min(heard, news), clock_ns)
        if columns:
            device.newest_ns = columns.at_ns[-1]
        return columns

    def _scan_rules(
        self, columns: list[Columns], tracks: Mapping[str, GateTrack]
    ) -> tuple[list[Signal], list[Columns]]:
        """The signals of all rules, and the columns with what they believe."""
        state = self.state
        memories = Memories(state.switches, state.traces, state.stuck, state.derived)
        return scan_rules(self.rulebook, memories, columns, tracks, self.asset.id)

    def _judge(
        self, learner: Learner, columns: Sequence[Columns], tracks: Mapping[str, GateTrack], moment: Moment
    ) -> Steps[list[Alert]]:
        """Have the learner judge what its gate lets through, and keep what of it was calm."""
        state = self.state
        if self.feedback.verdicts:
            factor = ease(self.feedback.verdicts, self.newest_ns, self._feedback_settings)
            for each in (learner, self.trial.beside if self.trial is not None else None):
                if each is not None:
                    each.ease(factor)
        instants, rows = self._assemble(learner, columns, tracks)
        was_calm = learner.learnt and not state.book.entries and not state.learner.flagged
        signals = yield from self._feed(learner, instants, rows, moment)
        alerts = self._apply(signals, moment)
        self._follow_trial()
        if self.retraining is not None and learner.learnt:
            entry = state.book.entries.get(AlertKind.MACHINE)
            alert = entry.alert if entry is not None and MODEL_SOURCE in entry.sources else None
            calm = was_calm and not signals and not state.book.entries and not state.learner.flagged
            self.retraining.note(
                instants,
                rows,
                calm=calm,
                alert=alert.id if alert else "",
                onset_ns=alert.onset_at_ns if alert else 0,
            )
        return alerts

    def _assemble(
        self, learner: Learner, columns: Sequence[Columns], tracks: Mapping[str, GateTrack]
    ) -> tuple[list[int], list[list[float | None]]]:
        """The rows that the learner's gate lets through, and their times."""
        window, settings = self.state.window, learner.settings
        window.open = not learner.closed
        window.admit(columns, self.rulebook.learns)
        if not window.open:
            self._count_ignored(columns)
        instants, rows = window.assemble(columns)
        for place in self._stuck_places():
            for row in rows:
                row[place] = None
        track = tracks.get(settings.gate)
        if track is not None:
            gate_ns = int(settings.gate_for * 10**9)
            kept = [i for i, at in enumerate(instants) if track.is_open(at, gate_ns)]
            instants, rows = [instants[i] for i in kept], [rows[i] for i in kept]
        return instants, rows

    def _feed(
        self, learner: Learner, instants: Sequence[int], rows: Sequence[Sequence[float | None]], moment: Moment
    ) -> Steps[list[Signal]]:
        """Hand rows over to whoever judges. While two are compared, each is asked by itself: its time is taken."""
        window = self.state.window
        entry = self.state.book.entries.get(AlertKind.MACHINE)
        calm = entry is None or entry.sources == [MODEL_SOURCE]
        calm = calm and not self._came_before_renewal(instants)
        channels, origin, hushed = window.channels, moment.origin, moment.hushed
        if self.trial is not None and self.state.rollout.runs:
            return self.trial.feed(
                instants, rows, channels, calm=calm, origin=origin, hushed=hushed, now_ns=moment.now_ns
            )
        return (yield from learner.steps(instants, rows, channels, calm=calm, origin=origin, hushed=hushed))

    def _came_before_renewal(self, instants: Sequence[int]) -> bool:
        """Whether rows are older than the part that was replaced last; unknown while a clock can't be believed."""
        doubted = any(device.clock for device in self.state.devices.values())
        return bool(instants) and instants[0] < self.state.rollout.renewed_ns and not doubted

    def _count_ignored(self, columns: Sequence[Columns]) -> None:
        """Count, once each, channels that have come after the warm-up: the model goes on without them."""
        for part in columns:
            layout = (part.device, part.metrics)
            if layout not in self._layouts:
                self._layouts.add(layout)
                known = {(device, metric) for device, metric, _ in self.state.window.channels}
                news = {(part.device, metric) for metric in part.metrics if self.rulebook.learns(metric)} - known
                self.stats["channels_ignored"] += len(news - self._ignored)
                self._ignored |= news

    def _stuck_places(self) -> list[int]:
        """Which entries of a row stand still now and are not to be believed."""
        stuck = {split_source(source)[:0:-1] for source, state in self.state.stuck.items() if state.stuck}
        return [k for k, (device, metric, _) in enumerate(self.state.window.channels) if (device, metric) in stuck]

    def _adopt_source(self, alert: Alert, evidence: Evidence, moment: Moment) -> str | None:
        """Have the rule that the evidence names fire; None when no rule here has that name."""
        source = source_name(evidence.rule, evidence.metric, evidence.device)
        state = self.state
        if alert.kind is AlertKind.SILENT:
            if not any(rule.label == evidence.rule for rule in self.rulebook.silent(evidence.device)):
                return None
            device = state.devices.setdefault(evidence.device, DeviceState(heard_clock_ns=moment.clock_ns))
            device.silent = list(dict.fromkeys([*device.silent, evidence.rule]))
            return source
        if evidence.rule == MODEL:
            state.learner.switch.firing = self.learner is not None
            return MODEL_SOURCE if self.learner is not None else None
        if not self.rulebook.knows(source):
            return None
        if self.rulebook.switched(source):
            state.switches.setdefault(source, Switch()).firing = True
        else:
            state.stuck.setdefault(source, StuckState()).stuck = True
        return source

    def _set_due(self) -> None:
        due = [due_ns(self.rulebook.silent(name), device) for name, device in self.state.devices.items()]
        self.due_ns = min(due, default=NEVER)

    def _apply(self, signals: Sequence[Signal], moment: Moment) -> list[Alert]:
        alerts = [
            self.state.book.apply(
                signal,
                site=self.site,
                asset=self.asset.id,
                gateway=self.state.gateway,
                origin=moment.origin,
                clock=self._clock_of(signal),
            )
            for signal in signals
        ]
        return [alert for alert in alerts if alert is not None]

    def _clock_of(self, signal: Signal) -> int:
        """The clock in doubt that gave the signal's times; 0: none did."""
        name, devices = split_source(signal.source)[2], self.state.devices
        chosen = [devices[name]] if name in devices else devices.values()
        return max((device.clock for device in chosen), default=0)
