"""Offers: what becomes of a model that is offered to one asset, until it is on trial."""

from __future__ import annotations

from collections.abc import Sequence

from edgemesh.detect.base.windows import Channel
from edgemesh.detect.classes.files import ClassFile, bind, read_any, read_class
from edgemesh.detect.models.files import ModelFile, check_fit, read_model, unpack_model
from edgemesh.detect.rollout.trial import Trial
from edgemesh.model.rollouts import ModelOffer, ModelState, RolloutStage

_FAILED = (RolloutStage.REFUSED, RolloutStage.ROLLED_BACK)
_AGAIN_ROWS = 20
"""A model of a class that waits for rows is looked at again after so many."""


class Offers:
    """Takes offers for the asset of a trial: refuses them, has them wait, or puts them on trial, one at a time."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._tried: tuple[int, bool, int] | None = None

    def offer(self, offer: ModelOffer, known: ModelState | None, channels: Sequence[Channel], now_ns: int) -> None:
        """Look at an offer that is newer, or waits. `known`: what another detector has said of offers last.

        `channels` are those of the asset's rows so far.
        """
        state = self._trial.state
        if offer.revision != state.revision:
            self._tried = None
            if not offer.back and state.revision and self._is_under_way(offer):
                state.revision = offer.revision
                return
            if offer.back and state.runs:
                state.revision, state.version = offer.revision, offer.version
                self._trial.cancel(now_ns)
                return
            self._trial.withdraw()
            state.revision, state.version = offer.revision, offer.version
            state.enter(RolloutStage.WAITING, now_ns, "rows of the asset have to come first")
            if known is not None and known.revision == offer.revision and known.stage in _FAILED:
                state.enter(known.stage, now_ns, f"so {known.agent} has found: {known.reason}")
                return
        rows = len(self._trial.judge.scoring.warmup) // _AGAIN_ROWS if offer.asset_class else 0
        known_now = (len(channels), self._trial.judge.learnt, rows)
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
        return self._trial.state.revision > 0 and self._trial.state.stage is RolloutStage.WAITING

    def hear(self, known: ModelState, now_ns: int) -> None:
        """Another detector says how the offer has ended with it; while nothing has proven it here, that counts."""
        state, alone = self._trial.state, self._trial.beside is None
        unproven = state.stage is RolloutStage.WAITING or (state.stage is RolloutStage.CANARY and alone)
        if state.revision != known.revision or not unproven:
            return
        if known.stage in _FAILED:
            reason = f"so {known.agent} has found: {known.reason}"
            if state.stage is RolloutStage.CANARY:
                self._trial.roll_back(now_ns, reason)
            else:
                state.enter(known.stage, now_ns, reason)

    def _is_under_way(self, offer: ModelOffer) -> bool:
        """Whether this very model is the one that is on trial."""
        trial = self._trial
        tried = {RolloutStage.SHADOW: trial.beside, RolloutStage.CANARY: trial.judge}.get(trial.state.stage)
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
        judge, state = self._trial.judge, self._trial.state
        if offer.back:
            self._go_back(now_ns)
            return
        content: bytes | None = unpack_model(offer.content)
        if offer.asset_class:
            content = self._bind(offer, content or b"", channels, now_ns)
        if content is None:
            return
        file, _ = read_model(content)
        if file.name != self._trial.asset.id:
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
        if judge.model(self._trial.asset.id) is None:
            raise ValueError("what judges this asset (a slow series, a plug-in, several detectors) takes no model file")
        if judge.version == _name_of(file):
            state.enter(RolloutStage.PROMOTED, now_ns, "it was in use already")
            return
        present = judge.state.about.version
        if file.version <= present:
            raise ValueError(f"version {file.version} is not newer than version {present}, which is in use")
        check_fit(file, channels)
        self._trial.begin(content, channels, now_ns)

    def _bind(self, offer: ModelOffer, content: bytes, channels: Sequence[Channel], now_ns: int) -> bytes | None:
        """The asset's own model out of that of its class; None: it waits, or is in use. ValueError: it can't be."""
        judge, state = self._trial.judge, self._trial.state
        file, numbers = read_class(content)
        if (file.name, file.version) != (offer.asset_class, offer.version):
            what = f"{offer.asset_class}, version {offer.version}"
            raise ValueError(f"it is of the class {file.name}, version {file.version}, offered as {what}")
        if judge.learnt and judge.state.about.base == file.base:
            state.enter(RolloutStage.PROMOTED, now_ns, "it was in use already")
            return None
        if not judge.learnt and channels:
            judge.feed((), (), channels, calm=True)
        bound = bind(file, numbers, self._trial.asset, judge)
        if isinstance(bound, bytes):
            return bound
        state.reason = bound or state.reason
        return None

    def _go_back(self, now_ns: int) -> None:
        """Have the newest model judge that is older than the present one. ValueError: there is none."""
        judge = self._trial.judge
        older = [version for version in judge.versions.files if version < judge.state.about.version]
        if not older:
            raise ValueError("there is no former version to go back to")
        judge.use_model(judge.versions.files[max(older)], back=True)
        self._trial.state.enter(RolloutStage.ROLLED_BACK, now_ns, "as asked")


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
