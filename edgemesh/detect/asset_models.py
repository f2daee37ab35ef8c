"""The models of one asset: the one that judges, the one on trial beside it, the next one; and what verdicts change."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from edgemesh.detect.assembly import Assembly
from edgemesh.detect.base.columns import Columns
from edgemesh.detect.base.moment import Moment
from edgemesh.detect.base.signals import MODEL_SOURCE, Signal
from edgemesh.detect.base.windows import Window
from edgemesh.detect.feedback.calm import RetrainState
from edgemesh.detect.feedback.thresholds import FeedbackState, ease
from edgemesh.detect.learning.memory import LearnerState
from edgemesh.detect.models.questions import Steps
from edgemesh.detect.rollout.stages import done
from edgemesh.detect.rulebook import Rulebook
from edgemesh.detect.rules.gates import GateTrack
from edgemesh.detect.settings import DetectSettings
from edgemesh.detect.watch_state import WatchState
from edgemesh.model.agents import Asset
from edgemesh.model.alerts import AlertKind
from edgemesh.model.rollouts import ModelOffer, ModelState, RolloutStage
from edgemesh.model.samples import Retimed

if TYPE_CHECKING:
    from edgemesh.detect.feedback.retraining import Retraining
    from edgemesh.detect.learning.learner import Learner
    from edgemesh.detect.rollout.offers import Offers
    from edgemesh.detect.rollout.trial import Trial


_BESIDE = "beside/"  # see `trial.BESIDE`
_CALM = "calm/"  # see `retraining.PREFIX`
_HEARD = "heard"  # the part with the verdicts


@dataclass(frozen=True, slots=True)
class Judged:
    """Rows of one pack that were judged, their times, and what was said of them.

    `calm`: nothing was wrong with the asset before them, and the model had been learnt.
    """

    instants: Sequence[int]
    rows: Sequence[Sequence[float | None]]
    signals: Sequence[Signal]
    calm: bool


class AssetModels:
    """Has the learner of an asset judge, if one is configured for its class, and sees to whose word counts.

    What it remembers stands in the state of the watch. It says what was found; the watch makes alerts of it.
    """

    def __init__(
        self,
        asset: Asset,
        rulebook: Rulebook,
        settings: DetectSettings,
        state: WatchState,
        stats: dict[str, float],
        *,
        puts_off: bool = False,
        stopwatch: Callable[[], int] | None = None,
    ) -> None:
        """`puts_off`: what the learner wants to learn others learn, see `Learner`. `stopwatch`: see `Trial`."""
        self.asset, self.rulebook, self.state, self.stats, self.puts_off = asset, rulebook, state, stats, puts_off
        self._rollout_settings, self._stopwatch = settings.rollout, stopwatch
        self._feedback_settings = settings.feedback
        self.feedback = FeedbackState()
        self.learner = self._make_learner(state.learner)
        self.trial: Trial | None = None
        self.offers: Offers | None = None
        self._prepare_trial()
        self.retraining = self._make_retraining()
        self._assembly = Assembly(rulebook, stats)

    def judge(
        self, columns: Sequence[Columns], tracks: Mapping[str, GateTrack], moment: Moment
    ) -> Steps[Judged | None]:
        """Have the learner judge what its gate lets through; None: there is none. `note` is to be called after."""
        learner, state = self.learner, self.state
        if learner is None:
            return None
        if self.feedback.verdicts:
            factor = ease(self.feedback.verdicts, state.newest_ns, self._feedback_settings)
            for each in (learner, self.trial.beside if self.trial is not None else None):
                if each is not None:
                    each.ease(factor)
        instants, rows = self._assembly.rows(learner, state, columns, tracks)
        calm = learner.learnt and not state.book.entries and not state.learner.flagged
        signals = yield from self._feed(learner, instants, rows, moment)
        return Judged(instants, rows, signals, calm)

    def note(self, judged: Judged) -> None:
        """The book has taken in what was said of these rows: keep what of them was calm, and go on with who judges."""
        state = self.state
        before = self.learner
        self._follow_trial()
        if self.retraining is not None and before is not None and before.learnt:
            entry = state.book.entries.get(AlertKind.MACHINE)
            alert = entry.alert if entry is not None and MODEL_SOURCE in entry.sources else None
            calm = judged.calm and not judged.signals and not state.book.entries and not state.learner.flagged
            self.retraining.note(
                judged.instants,
                judged.rows,
                calm=calm,
                alert=alert.id if alert else "",
                onset_ns=alert.onset_at_ns if alert else 0,
            )

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

    def offer(self, offer: ModelOffer, known: ModelState | None, now_ns: int) -> None:
        """Look at the newest offer of a model; see `Offers.offer`."""
        rollout = self.state.rollout
        if self.offers is not None:
            self.offers.offer(offer, known, self.state.window.channels, now_ns)
            self._follow_trial()
        elif rollout.revision < offer.revision:
            rollout.revision, rollout.version = offer.revision, offer.version
            rollout.enter(RolloutStage.REFUSED, now_ns, "no [[detection.model]] of the configuration fits the asset")

    def hear_rollout(self, known: ModelState, now_ns: int) -> None:
        """Another detector says how an offer has ended; see `Offers.hear`."""
        if self.offers is not None:
            self.offers.hear(known, now_ns)
            self._follow_trial()

    @property
    def waits(self) -> bool:
        """Whether an offer has to be looked at again as soon as more is known of the asset."""
        return self.offers is not None and self.offers.waits

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

    def put_right(self, retimed: Retimed) -> None:
        """The gateway's clock is known now."""
        if self.learner is not None:
            self.learner.put_right(retimed)
            self.state.rollout.put_right(retimed)
            if self.retraining is not None:
                self.retraining.put_right(retimed)
        else:
            self.state.learner.switch.put_right(retimed)

    def restore(self, state: WatchState, parts: Mapping[str, bytes]) -> None:
        """Go on from a state and its parts; a warm-up or model that does not fit is counted and begun anew."""
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
        self._prepare_trial()
        if self.trial is not None and not self.trial.restore(parts, state.window.channels):
            self.stats["models_refused"] += 1

    def twin(self, state: WatchState) -> AssetModels:
        """Those of a watch over the same asset with a state of its own: it judges by what was learnt; learns none."""
        twin = copy.copy(self)
        twin.state = state
        same = state.learner.about == self.state.learner.about  # else another model has moved what moves
        twin.learner = self.learner.twin(state.learner) if self.learner is not None and same else None
        twin.trial = twin.offers = twin.retraining = None
        return twin

    def parts(self) -> dict[str, bytes | None]:
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
        """Whether the parts that were saved before count no more; `parts` will then give all that there are."""
        return self.trial is not None and self.trial.renewed

    def jump(self) -> None:
        """Go on at a later time: what the model only suspects is forgotten."""
        for learner in (self.learner, self.trial.beside if self.trial is not None else None):
            if learner is not None:
                learner.skip()
        if self.retraining is not None:
            self.retraining.interrupt()

    def renew(self, at_ns: int, now_ns: int) -> None:
        """A part was replaced at this time: learn anew."""
        if self.trial is not None:
            self.trial.renew(at_ns, now_ns)
            self._follow_trial()
        if self.retraining is not None:
            self.retraining.renew()

    def _follow_trial(self) -> None:
        """Have whoever judges now judge."""
        if self.trial is not None and self.learner is not self.trial.judge:
            self.learner = self.trial.judge
            self.state.learner = self.learner.state

    def _prepare_trial(self) -> None:
        if self.learner is None:
            self.trial = self.offers = None
            return
        from edgemesh.detect.rollout.offers import Offers
        from edgemesh.detect.rollout.trial import Trial  # numpy only where something is learnt

        self.trial = Trial(
            self.asset, self.state.rollout, self._rollout_settings, self.learner, self._make_any, self._stopwatch
        )
        self.trial.settle_at = lambda: self.retraining.recent if self.retraining is not None else []
        self.offers = Offers(self.trial)

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
