"""Trials: an asset's present model and a new one on the same rows, one judging and one in its shadow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from edgemesh.detect.base.signals import Signal
from edgemesh.detect.base.windows import Channel
from edgemesh.detect.classes.files import ClassFile, bind, read_any, read_class
from edgemesh.detect.learning.learner import Learner, Observer
from edgemesh.detect.learning.memory import LearnerState
from edgemesh.detect.models.files import ModelFile, check_fit, read_model, unpack_model
from edgemesh.detect.rollout.stages import RolloutSettings, RolloutState, Tally, decide, done
from edgemesh.model.agents import Asset
from edgemesh.model.rollouts import ModelOffer, ModelState, RolloutStage

_FAILED = (RolloutStage.REFUSED, RolloutStage.ROLLED_BACK)
Make = Callable[[LearnerState], Learner]
Stopwatch = Callable[[], int]
"""Nanoseconds that only grow; of no other meaning."""
_AGAIN_ROWS = 20
"""A model of a class that waits for rows is looked at again after so many."""
BESIDE = "beside/"
"""Parts of the learner in the shadow have this before their names."""


class Trial:
    """Takes offers for one asset and brings each to its end. `judge` is whose word counts; it changes between packs.

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
        self._asset, self._make, self._stopwatch = asset, make, stopwatch or (lambda: 0)
        self._tried: tuple[int, bool, int] | None = None

    # -- offers -------------------------------------------------------------------------------------------------------

    def offer(self, offer: ModelOffer, known: ModelState | None, channels: Sequence[Channel], now_ns: int) -> None:
        """Look at an offer that is newer, or waits. `known`: what another detector has said of offers last.

        `channels` are those of the asset's rows so far.
        """
        state = self.state
        if offer.revision != state.revision:
            self._tried = None
            if not offer.back and state.revision and self._is_under_way(offer):
                state.revision = offer.revision
                return
            if offer.back and state.runs:
                state.revision, state.version = offer.revision, offer.version
                self._cancel(now_ns)
                return
            self._withdraw()
            state.revision, state.version = offer.revision, offer.version
            state.enter(RolloutStage.WAITING, now_ns, "rows of the asset have to come first")
            if known is not None and known.revision == offer.revision and known.stage in _FAILED:
                state.enter(known.stage, now_ns, f"so {known.agent} has found: {known.reason}")
                return
        rows = len(self.judge.scoring.warmup) // _AGAIN_ROWS if offer.asset_class else 0
        known_now = (len(channels), self.judge.learnt, rows)
        if state.stage is not RolloutStage.WAITING or self._tried == known_now:
            return
        self._tried = known_now
        try:
            self._try(offer, channels, now_ns, proven=_is_proven(offer, known))
        except ValueError as error:
            state.enter(RolloutStage.REFUSED, now_ns, str(error))

    @property
    def waits(self) -> bool:
        """Whether an offer is to be looked at again once more is known of the asset."""
        return self.state.revision > 0 and self.state.stage is RolloutStage.WAITING

    def hear(self, known: ModelState, now_ns: int) -> None:
        """Another detector says how the offer has ended with it; while nothing has proven it here, that counts."""
        state = self.state
        unproven = state.stage is RolloutStage.WAITING or (state.stage is RolloutStage.CANARY and self.beside is None)
        if state.revision != known.revision or not unproven:
            return
        if known.stage in _FAILED:
            reason = f"so {known.agent} has found: {known.reason}"
            if state.stage is RolloutStage.CANARY:
                self._roll_back(now_ns, reason)
            else:
                state.enter(known.stage, now_ns, reason)

    def _is_under_way(self, offer: ModelOffer) -> bool:
        """Whether this very model is the one that is on trial."""
        tried = {RolloutStage.SHADOW: self.beside, RolloutStage.CANARY: self.judge}.get(self.state.stage)
        if tried is None:
            return False
        try:
            file = read_any(unpack_model(offer.content))
        except ValueError:
            return False  # said when it is tried
        if isinstance(file, ClassFile):
            return tried.state.about.base == file.base
        return tried.version == _name_of(file)

    def _try(self, offer: ModelOffer, channels: Sequence[Channel], now_ns: int, *, proven: bool) -> None:
        """Begin with the offer, or let it wait. ValueError: it can't be used."""
        judge, state = self.judge, self.state
        if offer.back:
            self._go_back(now_ns)
            return
        content: bytes | None = unpack_model(offer.content)
        if offer.asset_class:
            content = self._bind(offer, content or b"", channels, now_ns)
        if content is None:
            return
        file, _ = read_model(content)
        if file.name != self._asset.id:
            raise ValueError(f"it is a model of {file.name}")
        if file.version != offer.version and not offer.asset_class:
            raise ValueError(f"it is version {file.version}, offered as version {offer.version}")
        if file.begin_ns < state.renewed_ns and not offer.asset_class:
            raise ValueError("it was learnt from rows before a part of the asset was replaced")
        if not judge.learnt:
            if not channels or _only_lacks(file, channels):
                state.reason = "not all of its channels have come yet" if channels else state.reason
                return
            judge.feed((), (), channels, calm=True)
            rows = list(judge.scoring.warmup) if offer.asset_class else []
            judge.use_model(content)
            judge.settle(rows, len(rows) // 4)
            state.enter(RolloutStage.PROMOTED if proven else RolloutStage.CANARY, now_ns, "there was none before")
            return
        if judge.model(self._asset.id) is None:
            raise ValueError("what judges this asset (a slow series, a plug-in, several detectors) takes no model file")
        if judge.version == _name_of(file):
            state.enter(RolloutStage.PROMOTED, now_ns, "it was in use already")
            return
        present = judge.state.about.version
        if file.version <= present:
            raise ValueError(f"version {file.version} is not newer than version {present}, which is in use")
        check_fit(file, channels)
        beside = self._make(LearnerState())
        beside.feed((), (), channels, calm=True)
        beside.stats = dict.fromkeys(judge.stats, 0.0)
        beside.use_model(content)
        beside.ease(judge.state.ease)
        beside.settle(self.settle_at())
        self.beside, state.beside = beside, beside.state
        state.enter(RolloutStage.SHADOW, now_ns)
        state.former.firing = judge.state.flagged

    def _bind(self, offer: ModelOffer, content: bytes, channels: Sequence[Channel], now_ns: int) -> bytes | None:
        """The asset's own model out of that of its class; None: it waits, or is in use. ValueError: it can't be."""
        judge, state = self.judge, self.state
        file, numbers = read_class(content)
        if (file.name, file.version) != (offer.asset_class, offer.version):
            what = f"{offer.asset_class}, version {offer.version}"
            raise ValueError(f"it is of the class {file.name}, version {file.version}, offered as {what}")
        if judge.learnt and judge.state.about.base == file.base:
            state.enter(RolloutStage.PROMOTED, now_ns, "it was in use already")
            return None
        if not judge.learnt and channels:
            judge.feed((), (), channels, calm=True)
        bound = bind(file, numbers, self._asset, judge)
        if isinstance(bound, bytes):
            return bound
        state.reason = bound or state.reason
        return None

    def _go_back(self, now_ns: int) -> None:
        """Have the newest model judge that is older than the present one. ValueError: there is none."""
        judge = self.judge
        older = [version for version in judge.versions.files if version < judge.state.about.version]
        if not older:
            raise ValueError("there is no former version to go back to")
        judge.use_model(judge.versions.files[max(older)], back=True)
        self.state.enter(RolloutStage.ROLLED_BACK, now_ns, "as asked")

    def _cancel(self, now_ns: int) -> None:
        """What is on trial is not wanted any more."""
        if self.state.stage is RolloutStage.CANARY:
            self._roll_back(now_ns, "as asked")
        else:
            self._drop_beside()
            self.state.enter(RolloutStage.ROLLED_BACK, now_ns, "as asked")

    def _withdraw(self) -> None:
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
        self._withdraw()
        if state.revision and not state.stage.over:
            state.enter(RolloutStage.ROLLED_BACK, now_ns, reason)
        state.renewed_ns = at_ns
        observer = self.judge.observer
        self.judge = self._make(LearnerState())
        self.judge.observer = observer
        self.renewed = True

    # -- rows ---------------------------------------------------------------------------------------------------------

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
            self._roll_back(now_ns, reason)
            return
        if stage is RolloutStage.CANARY:
            self._exchange()
        elif self.beside is not None:
            if stage is RolloutStage.PROMOTED:
                former = self.beside.model(self._asset.id)
                self.judge.versions.keep(self.beside.state.about.version, former or b"")
                self.judge.versions.forget(self.judge.state.about.version)
            self._drop_beside()
        state.enter(stage, now_ns, reason)
        if self.beside is not None:
            state.new.firing, state.former.firing = self.judge.state.flagged, self.beside.state.flagged

    def _roll_back(self, now_ns: int, reason: str) -> None:
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

    # -- what is kept -------------------------------------------------------------------------------------------------

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


def _name_of(file: ModelFile) -> str:
    """What a learner that judges by it calls it."""
    return f"profile-{file.version}@{file.hash[:8]}"


def _is_proven(offer: ModelOffer, known: ModelState | None) -> bool:
    """Whether another detector has used it to the end already."""
    return known is not None and known.revision == offer.revision and known.stage is RolloutStage.PROMOTED


def _only_lacks(file: ModelFile, channels: Sequence[Channel]) -> bool:
    """Whether the model knows all these channels, and others besides: they may come yet."""
    known = {(channel.device, channel.metric, channel.unit) for channel in file.channels}
    return set(channels) < known
