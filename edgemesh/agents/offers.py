"""Offers: the models that a site's detectors were offered, and what is said of those for assets that we watch."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from edgemesh.agents.watches import Watches
from edgemesh.detect.watch import Watch
from edgemesh.model.rollouts import ModelOffer, ModelState, RolloutStage

_Told = tuple[int, str, str, int]


class Offers:
    """Keeps the newest offer for every asset of the site, ours or not: an asset may become ours, or come later.

    Each is looked at once by its revision. What other detectors have said is kept besides: what has failed with one of
    them is not tried again by the next. Who watches an asset says its offer again, so that the broker may forget it.
    A newcomer that is to begin with the model of its class is offered the newest one that another asset has in use.
    Parts: `offer/{asset}`, `told/{asset}`.
    """

    def __init__(self, agent: str, watches: Watches) -> None:
        self._agent, self._watches = agent, watches
        self._offers: dict[str, ModelOffer] = {}
        self._told: dict[str, ModelState] = {}
        self._said: dict[str, _Told] = {}
        self._of_class: dict[str, ModelOffer] = {}  # the newest of each class that is in use somewhere
        self._news: dict[str, ModelOffer | ModelState] = {}
        self._dirty: set[str] = set()

    def hear(self, heard: ModelOffer | ModelState, now_ns: int) -> None:
        """Take an offer in, or what is said of one; what is not newer than what we have is nothing new."""
        watch = self._watches.get(heard.asset)
        fresh = self._keep_offer(heard, watch) if isinstance(heard, ModelOffer) else self._keep_told(heard)
        if fresh and watch is not None:
            if isinstance(heard, ModelState):
                watch.models.hear_rollout(heard, now_ns)
            self.look(watch, now_ns)
            self._watches.touch(watch)

    def propose(self, asset: str, version: int, packed: bytes, now_ns: int) -> None:
        """Offer a model of our own making, as if it had come from elsewhere: it is tried, and others hear of it."""
        before = self._offers.get(asset)
        revision = max(now_ns, before.revision + 1 if before is not None else 1)
        self.hear(ModelOffer(asset=asset, revision=revision, at_ns=now_ns, version=version, content=packed), now_ns)

    def _keep_offer(self, offer: ModelOffer, watch: Watch | None) -> bool:
        """Whether it is newer than what we have. An older one that has taken its place is put right."""
        before = self._offers.get(offer.asset)
        if before is None or offer.revision > before.revision:
            self._offers[offer.asset] = offer
            self._dirty.add(f"offer/{offer.asset}")
            return True
        if watch is not None and offer.revision < before.revision:
            self._news[f"model/{offer.asset}"] = before
        return False

    def _keep_told(self, state: ModelState) -> bool:
        """Whether it is not older than what we have, and says something else."""
        told = self._told.get(state.asset)
        same = told is not None and (state.revision, state.stage) == (told.revision, told.stage)
        if told is not None and (same or state.revision < told.revision):
            return False
        self._told[state.asset] = state
        self._dirty.add(f"told/{state.asset}")
        if state.stage is RolloutStage.PROMOTED:
            self._note_class(state.asset, state.revision)
        return True

    def _note_class(self, asset: str, revision: int) -> None:
        """The offer of this revision is in use for good: if it is of a class, others may begin with it."""
        offer = self._offers.get(asset)
        if offer is None or offer.revision != revision or not offer.asset_class:
            return
        best = self._of_class.get(offer.asset_class)
        if best is None or (offer.version, offer.revision) > (best.version, best.revision):
            self._of_class[offer.asset_class] = offer

    def _begin_with_class(self, watch: Watch, now_ns: int) -> None:
        """Offer a newcomer what its class has in use, unless that has failed with it."""
        rollout, asset = watch.state.rollout, watch.asset
        offer, before = self._of_class.get(asset.asset_class), self._offers.get(asset.id)
        failed = rollout.stage in (RolloutStage.REFUSED, RolloutStage.ROLLED_BACK) and rollout.revision > 0
        if offer is None or (failed and rollout.version >= offer.version):
            return
        if before is None or before.revision <= rollout.revision:
            revision = max(now_ns, before.revision + 1 if before is not None else 1)
            self.hear(msgspec.structs.replace(offer, asset=asset.id, revision=revision, at_ns=now_ns), now_ns)

    def look(self, watch: Watch, now_ns: int) -> None:
        """After the watch took rows, or something was heard of its asset: have it look at what it has not seen yet."""
        rollout, asset = watch.state.rollout, watch.asset.id
        if self._of_class and watch.models.wants_class:
            self._begin_with_class(watch, now_ns)
        offer = self._offers.get(asset)
        if offer is not None and offer.revision > rollout.revision:
            self._news[f"model/{asset}"] = offer
            watch.models.offer(offer, self._told.get(asset), now_ns)
        elif offer is not None and watch.models.waits:
            watch.models.offer(offer, self._told.get(asset), now_ns)
        if rollout.revision:
            said = (rollout.revision, rollout.stage.value, rollout.reason, rollout.tenth)
            if self._said.get(asset) != said:
                self._said[asset] = said
                if rollout.stage is RolloutStage.PROMOTED:
                    self._note_class(asset, rollout.revision)
                self._news[f"state/model/{asset}"] = watch.models.model_state(self._agent)

    def news(self) -> dict[str, ModelOffer | ModelState]:
        """What has changed since the last call, by topic."""
        news, self._news = self._news, {}
        return news

    def present(self) -> dict[str, ModelOffer | ModelState]:
        """All that stands for assets of ours, by topic."""
        standing: dict[str, ModelOffer | ModelState] = {}
        for watch in self._watches.all():
            asset = watch.asset.id
            if asset in self._offers:
                standing[f"model/{asset}"] = self._offers[asset]
            if watch.state.rollout.revision:
                standing[f"state/model/{asset}"] = watch.models.model_state(self._agent)
        return standing

    def release(self, assets: Iterable[str]) -> None:
        """These assets are watched by another."""
        for asset in assets:
            self._said.pop(asset, None)
            self._news.pop(f"model/{asset}", None)
            self._news.pop(f"state/model/{asset}", None)

    def save(self) -> dict[str, bytes | None]:
        """Parts that changed."""
        parts: dict[str, bytes | None] = {}
        for name in self._dirty:
            room, asset = name.split("/")
            kept: ModelOffer | ModelState = self._offers[asset] if room == "offer" else self._told[asset]
            parts[name] = msgspec.msgpack.encode(kept)
        self._dirty.clear()
        return parts

    def load(self, name: str, content: bytes) -> None:
        """Go on from a part. ValueError: it can't be read."""
        room, asset = name.split("/")
        if room == "offer":
            self._offers[asset] = msgspec.msgpack.decode(content, type=ModelOffer)
        else:
            self._told[asset] = msgspec.msgpack.decode(content, type=ModelState)
        told = self._told.get(asset)
        if told is not None and told.stage is RolloutStage.PROMOTED:
            self._note_class(asset, told.revision)
