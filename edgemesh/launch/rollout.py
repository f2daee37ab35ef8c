"""Rolling models out from the command line: offers go out, and what the detectors say of them is shown."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edgemesh.bus.contract import Bus, Message
from edgemesh.errors import InputError, Rejected
from edgemesh.launch.look import connect
from edgemesh.launch.rollout_text import line_of
from edgemesh.launch.signals import stopping_on_signals
from edgemesh.model.rollouts import MAX_PACKED_BYTES, ModelOffer, ModelState, RolloutStage
from edgemesh.wire import codec
from edgemesh.wire.topics import Topics, parse

Say = Callable[[str], None]
RETAINED_S = 0.5
"""So long after the link what the broker has retained is waited for."""
AGAIN_S = 5.0
"""An offer of which nobody says anything is published again after this; twice is once."""
NOBODY_S = 15.0
"""Who has said nothing after this is not there."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """What is to go out: asset, version and file of each model; an empty file: back to the former one.

    Of several the first `share` (at least one) goes first, the rest once all of those are in use for good.
    """

    models: Sequence[tuple[str, int, bytes]]
    share: float = 1.0
    wait_s: float = 3600.0

    def groups(self) -> list[Sequence[tuple[str, int, bytes]]]:
        """The models by when they go out.

        >>> [len(group) for group in Rollout([("a", 1, b"x")] * 7, share=0.2).groups()]
        [2, 5]
        """
        first = max(1, math.ceil(self.share * len(self.models)))
        return [group for group in (self.models[:first], self.models[first:]) if group]


async def run_rollout(config: Path, rollout: Rollout, say: Say) -> bool:
    """Bring models out on the site of a configuration; see `roll_out`. Ctrl-C ends the watching, not the rollout."""
    offers = make_offers(rollout)  # what is wrong with one is said before anything goes out
    bus, topics = await connect(config, None, None)
    stopping = asyncio.Event()
    try:
        with stopping_on_signals(stopping):
            task = asyncio.ensure_future(roll_out(bus, topics, rollout, offers, say))
            stop = asyncio.ensure_future(stopping.wait())
            await asyncio.wait([task, stop], return_when=asyncio.FIRST_COMPLETED)
            stop.cancel()
            if not task.done():
                task.cancel()
                say("not watched any longer; what was offered goes on by itself")
            results = await asyncio.gather(task, return_exceptions=True)
    finally:
        await bus.close()
    if isinstance(results[0], Exception):
        raise results[0]
    return results[0] is True


def make_offers(rollout: Rollout) -> dict[str, ModelOffer]:
    """The offers by asset, each newer than all made before by this clock. InputError: one can't go out."""
    offers: dict[str, ModelOffer] = {}
    now_ns = time.time_ns()
    ready: dict[bytes, tuple[str, bytes]] = {b"": ("", b"")}  # class and packed file, once for all assets of a class
    for asset, version, content in rollout.models:
        if asset in offers:
            raise InputError(f"there are two models of {asset}", wish="push one of them")
        if content not in ready:
            from edgemesh.detect.classes.files import class_of
            from edgemesh.detect.models.files import pack_model

            ready[content] = class_of(content), pack_model(content)
        asset_class, packed = ready[content]
        if len(packed) > MAX_PACKED_BYTES:
            wish = "fewer trees, or a smaller subsample"
            raise InputError(
                f"the model of {asset} has {len(packed)} bytes when packed, {MAX_PACKED_BYTES} fit", wish=wish
            )
        offers[asset] = ModelOffer(
            asset=asset,
            revision=now_ns,
            at_ns=now_ns,
            version=version,
            back=not content,
            content=packed,
            asset_class=asset_class,
        )
    return offers


async def roll_out(bus: Bus, topics: Topics, rollout: Rollout, offers: dict[str, ModelOffer], say: Say) -> bool:
    """Offer the models and say how they go; False: one was refused or rolled back, or `wait_s` did not do."""
    desk = _Desk(bus, topics, offers, say)
    await asyncio.sleep(RETAINED_S)
    deadline_s = time.monotonic() + rollout.wait_s
    groups = rollout.groups()
    for number, group in enumerate(groups):
        if not await desk.bring([asset for asset, _, _ in group], deadline_s):
            for asset, _, _ in [model for later in groups[number + 1 :] for model in later]:
                say(f"{asset}: not offered")
            return False
    return True


class _Desk:
    """Publishes offers, and listens to what is said of them."""

    def __init__(self, bus: Bus, topics: Topics, offers: dict[str, ModelOffer], say: Say) -> None:
        self._bus, self._topics, self._offers, self._say = bus, topics, offers, say
        self._states: dict[str, ModelState] = {}
        self._shown: dict[str, str] = {}
        self._news = asyncio.Event()
        for asset in offers:
            bus.subscribe(topics.model_state(asset), self._hear)
            bus.subscribe(topics.model(asset), self._hear_offer)

    def _hear_offer(self, message: Message) -> None:
        """Somebody has offered before us, by a clock that may be ahead of ours."""
        message.settle()
        asset = parse(message.topic).name
        with contextlib.suppress(Rejected):
            other = codec.decode_offer(message.payload, asset=asset)
            ours = self._offers[asset]
            if message.retained and other.revision >= ours.revision and other.content != ours.content:
                self._offers[asset] = msgspec.structs.replace(ours, revision=other.revision + 1)

    def _hear(self, message: Message) -> None:
        message.settle()
        with contextlib.suppress(Rejected):
            state = codec.decode_model_state(message.payload, asset=parse(message.topic).name)
            self._states[state.asset] = state
            self._news.set()

    async def bring(self, assets: Sequence[str], deadline_s: float) -> bool:
        """Offer the models of these assets; True once all are where they were to go."""
        nobody_s = min(time.monotonic() + NOBODY_S, deadline_s)
        again_s = 0.0
        while True:
            ends = [self._end_of(asset) for asset in assets]
            now_s = time.monotonic()
            if all(ends) or False in ends:
                return False not in ends
            silent = [asset for asset in assets if asset not in self._shown]
            if silent and now_s > nobody_s:
                self._say(f"{', '.join(silent)}: no detector says a word; does one watch it, and do its readings come?")
                self._say("the offer stays with the broker, for the one that will")
                return False
            if now_s > deadline_s:
                self._say("that is not over yet, and goes on by itself; `edgemesh model list` says how it ends")
                return False
            if silent and now_s > again_s:
                again_s = now_s + AGAIN_S
                self._publish(silent)
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), min(0.5, AGAIN_S))

    def _end_of(self, asset: str) -> bool | None:
        """Show what is new of an asset; True: it is where it was to go, False: it never will be, None: on its way."""
        state, offer = self._states.get(asset), self._offers[asset]
        if state is None or state.revision < offer.revision:
            return None
        if state.revision > offer.revision:
            self._say(f"{asset}: somebody has offered another model since")
            return False
        line = line_of(state)
        if self._shown.get(asset) != line:
            self._shown[asset] = line
            self._say(line)
        wanted = RolloutStage.ROLLED_BACK if offer.back else RolloutStage.PROMOTED
        return state.stage is wanted if state.stage.over else None

    def _publish(self, assets: Sequence[str]) -> None:
        for asset in assets:
            self._bus.publish(self._topics.model(asset), codec.encode(self._offers[asset]), retain=True)
