"""Trials: an asset's present model and a new one on the same rows, one judging and one in its shadow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from edgemesh.detect.base.signals import Signal
from edgemesh.detect.base.windows import Channel
from edgemesh.detect.learning.learner import Learner, Observer
from edgemesh.detect.learning.memory import LearnerState
from edgemesh.detect.rollout.stages import RolloutSettings, RolloutState, Tally, decide, done
from edgemesh.model.agents import Asset
from edgemesh.model.rollouts import RolloutStage

Make = Callable[[LearnerState], Learner]
Stopwatch = Callable[[], int]
"""Nanoseconds that only grow; of no other meaning."""
BESIDE = "beside/"
"""Parts of the learner in the shadow have this before their names."""


class Trial:
    """Brings a new model of one asset to its end. `judge` is whose word counts; it changes between packs.

    Nothing of an alert that stands changes with the judge: it goes on, and ends after calm rows of the new one. Nothing
    is told of what the learner in the shadow finds.
    """

    def __init__(
        self,
        asset: Asset,
        state: RolloutState,
        settings: RolloutSettings,
        judge: Learner,
        make: Make,
        stopwatch: Stopwatch | None = None,
    ) -> None:
        """`make`: a learner like `judge` that knows nothing yet. `stopwatch`: ns; left out, nobody takes the time."""
        self.state, self.settings, self.judge = state, settings, judge
        self.beside: Learner | None = None
        self.settle_at: Callable[[], Sequence[Sequence[float]]] = list
        """The newest calm rows, at whose level a new model begins; none: where it was learnt."""
        self.renewed = False
        """Whether parts that were saved before count no more: `parts` will give all that there is."""
        self.asset, self._make, self._stopwatch = asset, make, stopwatch or (lambda: 0)

    def begin(self, content: bytes, channels: Sequence[Channel], now_ns: int) -> None:
        """Have the model of a file, which fits, judge in the shadow of the present one."""
        judge, state = self.judge, self.state
        beside = self._make(LearnerState())
        beside.feed((), (), channels, calm=True)
        beside.stats = dict.fromkeys(judge.stats, 0.0)
        beside.use_model(content)
        beside.ease(judge.state.ease)
        beside.settle(self.settle_at())
        self.beside, state.beside = beside, beside.state
        state.enter(RolloutStage.SHADOW, now_ns)
        state.former.firing = judge.state.flagged

    def cancel(self, now_ns: int) -> None:
        """What is on trial is not wanted any more."""
        if self.state.stage is RolloutStage.CANARY:
            self.roll_back(now_ns, "as asked")
        else:
            self._drop_beside()
            self.state.enter(RolloutStage.ROLLED_BACK, now_ns, "as asked")

    def withdraw(self) -> None:
        """Something else is wanted now: who judged before judges again. A canary with nobody before it stays."""
        if self.beside is not None:
            if self.state.stage is RolloutStage.CANARY:
                self._exchange()
            self._drop_beside()

    def renew(self, at_ns: int, now_ns: int) -> None:
        """A part was replaced: what was normal before says nothing any more, so the asset is learnt anew.

        `at_ns`: when. Models that were learnt from older rows are refused from now on.
        """
        state, reason = self.state, "a part was replaced, so the asset is learnt anew"
        self.withdraw()
        if state.revision and not state.stage.over:
            state.enter(RolloutStage.ROLLED_BACK, now_ns, reason)
        state.renewed_ns = at_ns
        observer = self.judge.observer
        self.judge = self._make(LearnerState())
        self.judge.observer = observer
        self.renewed = True

    def feed(
        self,
        instants: Sequence[int],
        rows: Sequence[Sequence[float | None]],
        channels: Sequence[Channel],
        *,
        calm: bool,
        origin: str,
        hushed: bool,
        now_ns: int,
    ) -> list[Signal]:
        """Have both judge the rows of one pack, and return what the judge says; see `Learner.feed`."""
        state, beside = self.state, self.beside
        gaps = state.pass_time(instants)

        def ask(learner: Learner, tally: Tally) -> list[Signal]:
            before, learner.observer = learner.observer, _both(tally, learner.observer)
            began = self._stopwatch()
            signals = learner.feed(instants, rows, channels, calm=calm, origin=origin, hushed=hushed)
            tally.spent_ns += self._stopwatch() - began
            learner.observer = before
            tally.note(instants, gaps, signals)
            return signals

        shadow = state.stage is RolloutStage.SHADOW
        signals = ask(self.judge, state.former if shadow else state.new)
        if beside is not None:
            ask(beside, state.new if shadow else state.former)
        state.tenth = int(10 * done(state, self.settings))
        self._move(now_ns)
        return signals

    def _move(self, now_ns: int) -> None:
        """Go on to the next stage if it is time."""
        state = self.state
        move = decide(state, self.settings)
        if move is None:
            return
        stage, reason = move
        if stage is RolloutStage.ROLLED_BACK:
            self.roll_back(now_ns, reason)
            return
        if stage is RolloutStage.CANARY:
            self._exchange()
        elif self.beside is not None:
            if stage is RolloutStage.PROMOTED:
                former = self.beside.model(self.asset.id)
                self.judge.versions.keep(self.beside.state.about.version, former or b"")
                self.judge.versions.forget(self.judge.state.about.version)
            self._drop_beside()
        state.enter(stage, now_ns, reason)
        if self.beside is not None:
            state.new.firing, state.former.firing = self.judge.state.flagged, self.beside.state.flagged

    def roll_back(self, now_ns: int, reason: str) -> None:
        """The former one judges again; where there was none, the asset is learnt anew."""
        if self.beside is not None:
            self._exchange()
            self._drop_beside()
        else:
            present = self.judge
            self.judge = self._make(LearnerState())
            self.judge.state.switch.firing = present.state.switch.firing
            self.judge.observer = present.observer
            self.renewed = True
            reason += "; there is no former one, so the asset is learnt anew"
        self.state.enter(RolloutStage.ROLLED_BACK, now_ns, reason)

    def _exchange(self) -> None:
        """Who was in the shadow judges, and the other way round."""
        old, new = self.judge, self.beside
        assert new is not None
        new.state.switch.firing, old.state.switch.firing = old.state.switch.firing, old.state.flagged
        new.state.switch.spent = old.state.switch.spent = 0
        new.observer, old.observer = old.observer, new.observer
        new.versions, old.versions = old.versions, new.versions
        new.stats, old.stats = old.stats, new.stats
        self.judge, self.beside, self.state.beside = new, old, old.state
        self._renew()

    def _drop_beside(self) -> None:
        self.beside = self.state.beside = None
        self._renew()

    def _renew(self) -> None:
        self.renewed = True
        for learner in (self.judge, self.beside):
            if learner is not None:
                learner.save_anew()

    def parts(self) -> dict[str, bytes | None]:
        """The parts of the learner in the shadow that changed since the last call; None: gone."""
        parts = self.beside.parts() if self.beside is not None else {}
        return {BESIDE + name: content for name, content in parts.items()}

    def restore(self, parts: Mapping[str, bytes], channels: Sequence[Channel]) -> bool:
        """Go on from the state and what was saved; False: not all of it can be read, and who judges goes on alone."""
        state, whole = self.state, True
        if state.beside is not None:
            beside = self._make(state.beside)
            beside.stats = dict.fromkeys(self.judge.stats, 0.0)
            own = {name.removeprefix(BESIDE): parts[name] for name in parts if name.startswith(BESIDE)}
            try:
                beside.restore(own, channels)
                self.beside = beside
            except ValueError:
                whole = False
                self._drop_beside()
        shadow = state.stage is RolloutStage.SHADOW
        if state.runs and not (self.judge.learnt and (self.beside is not None or not shadow)):
            whole = False
            self._drop_beside()
            stage = RolloutStage.REFUSED if shadow else RolloutStage.ROLLED_BACK
            state.enter(stage, state.since_ns, "what was kept of its trial could not be read")
        return whole


def _both(tally: Tally, observer: Observer | None) -> Observer:
    def tell(at_ns: int, score: float, strangest: Channel | None) -> None:
        tally.score(score)
        if observer is not None:
            observer(at_ns, score, strangest)

    return tell
