"""The watch over one asset: columns in, alerts out."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from edgemesh.detect.asset_models import AssetModels
from edgemesh.detect.base.columns import Columns, DeviceState, heard_samples, read_columns
from edgemesh.detect.base.decision import Switch
from edgemesh.detect.base.moment import Moment
from edgemesh.detect.base.peak import Peak
from edgemesh.detect.base.signals import MODEL, MODEL_SOURCE, Signal, source_name, split_source
from edgemesh.detect.models.questions import Steps, answer
from edgemesh.detect.rulebook import Rulebook
from edgemesh.detect.rules.gates import Gate, GateTrack, track_gate
from edgemesh.detect.rules.silence import METRIC, NEVER, due_ns, find_returned, find_silent, note_heard
from edgemesh.detect.rules.stuck import StuckState
from edgemesh.detect.scan import Memories, scan_rules
from edgemesh.detect.settings import DetectSettings
from edgemesh.detect.watch_state import WatchState
from edgemesh.model.agents import Asset
from edgemesh.model.alerts import Alert, AlertKind, Evidence
from edgemesh.model.samples import Batch, Retimed


class Watch:
    """Watches one asset with the rules that fit it, and with its `models` if any are configured for its class.

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
        self.site, self.asset, self.stats = site, asset, stats
        self.rulebook = Rulebook(settings, asset)
        self.state = WatchState(gateway=gateway)
        self.models = AssetModels(
            asset, self.rulebook, settings, self.state, stats, puts_off=puts_off, stopwatch=stopwatch
        )
        self.due_ns = NEVER

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
            judged = yield from self.models.judge(columns, tracks, moment)
            if judged is not None:
                alerts += self._apply(judged.signals, moment)
                self.models.note(judged)
        return alerts

    def learn(self, key: str, content: bytes, moment: Moment) -> list[tuple[Moment, list[Alert]]]:
        """Go on with what was learnt from the lesson of this key; see `Learner.learn`. Alerts by when they were due."""
        told = self.models.learner.learn(key, content) if self.models.learner is not None else []
        found = []
        for kept, signals in told:
            then = replace(moment, origin=kept.origin, hushed=kept.hushed)
            found.append((then, self._apply(signals, then)))
        return found

    def look_for_silence(self, moment: Moment) -> list[Alert]:
        """Return the alerts about devices that have been silent for too long now."""
        signals = []
        for name, device in self.state.devices.items():
            signals += find_silent(name, self.rulebook.silent(name), device, moment.clock_ns, moment.now_ns)
        self._set_due()
        return self._apply(signals, moment)

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
        self.models.put_right(retimed)
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
        if self.models.learner is not None and state.learner.switch.firing:
            firing.append(MODEL_SOURCE)
        self._set_due()
        return state.book.keep_only(firing, moment.now_ns)

    def restore(self, state: WatchState, parts: Mapping[str, bytes]) -> None:
        """Go on from what was saved; see `AssetModels.restore`."""
        self.state = state
        self.models.restore(state, parts)
        self._set_due()

    def twin(self, state: WatchState) -> Watch:
        """A watch over the same asset with a state of its own. It judges by what this one has learnt; learns none."""
        twin = copy.copy(self)
        twin.state, twin.models = state, self.models.twin(state)
        return twin

    def capture(self) -> WatchState:
        """The state with all that moves in it, for a fork."""
        if self.models.learner is not None:
            self.models.learner.capture()
        return self.state

    def renew(self, at_ns: int, moment: Moment) -> list[Alert]:
        """A part was replaced at this time: learn anew, and take back what the model said of the one before."""
        stands = self.state.learner.switch.firing
        self.models.renew(at_ns, moment.now_ns)
        return self.end_model_alert(moment) if stands else []

    def end_model_alert(self, moment: Moment) -> list[Alert]:
        """What the model said is over; what rules say is not."""
        over = Signal(max(self.state.newest_ns, 0), AlertKind.MACHINE, MODEL_SOURCE, firing=False)
        return self._apply([over], moment)

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
            state.learner.switch.firing = self.models.learner is not None
            return MODEL_SOURCE if self.models.learner is not None else None
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
