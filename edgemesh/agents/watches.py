"""The watches of a detector, one per asset, and which of their parts have to be saved."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from edgemesh.agents.core import Lesson
from edgemesh.agents.scorebook import ScoreBook
from edgemesh.detect.base.moment import Moment
from edgemesh.detect.base.windows import Channel
from edgemesh.detect.rules.silence import NEVER
from edgemesh.detect.settings import DetectSettings
from edgemesh.detect.watch import Watch
from edgemesh.detect.watch_state import WatchState
from edgemesh.model.agents import Asset
from edgemesh.model.alerts import Alert

Observer = Callable[[str, int, float], None]
"""Told of each score that a learner gives: asset, time in ns, and how strange (1.0: at the limit)."""


class Watches:
    """Makes the watch of an asset when it is asked for. Assets not in `assets` are watched as what an `Asset` is.

    Who changes a watch says so with `touch`. Parts are named `asset/{asset}/...`.
    """

    def __init__(
        self,
        site: str,
        settings: DetectSettings,
        assets: Mapping[str, Asset],
        stats: dict[str, float],
        *,
        puts_off: bool = False,
        stopwatch: Callable[[], int] | None = None,
    ) -> None:
        """`puts_off`: what is to be learnt others learn, see `lessons`. `stopwatch`: see `rollout.trial.Trial`."""
        self._site, self._settings, self._assets, self._stats = site, settings, assets, stats
        self._puts_off, self._stopwatch = puts_off, stopwatch
        self._eager: set[str] = set()  # assets that may have something to learn
        self._watches: dict[str, Watch] = {}
        self._due_ns = 0  # no watch has anything to say of silence before this; asked too early is no harm
        self._stale: set[str] = set()
        self._dirty: set[str] = set()
        self._gone: set[str] = set()
        self._saved_keys: dict[str, set[str]] = {}
        self.observer: Observer | None = None
        self.book: ScoreBook | None = None

    def get(self, asset: str) -> Watch | None:
        """The watch of an asset that was heard of."""
        return self._watches.get(asset)

    def make(self, asset: str, gateway: str) -> Watch:
        """The watch of an asset, made if there is none."""
        if asset not in self._watches:
            known = self._assets.get(asset) or Asset(id=asset)
            self._watches[asset] = watch = Watch(
                self._site,
                known,
                gateway,
                self._settings,
                self._stats,
                puts_off=self._puts_off,
                stopwatch=self._stopwatch,
            )
            self._have_told(watch)
        return self._watches[asset]

    def _have_told(self, watch: Watch) -> None:
        """Have what its learner thinks of rows told to whoever wants to know."""
        observer, book = self.observer, self.book
        if watch.models.learner is None or (observer is None and book is None):
            return

        def tell(at_ns: int, score: float, strangest: Channel | None) -> None:
            if observer is not None:
                observer(watch.asset.id, at_ns, score)
            if book is not None:
                book.see(watch, at_ns, score, strangest)

        watch.models.learner.observer = tell

    def all(self) -> list[Watch]:
        """All watches."""
        return list(self._watches.values())

    def of(self, gateway: str) -> list[Watch]:
        """The watches over a gateway's assets."""
        return [watch for watch in self._watches.values() if watch.state.gateway == gateway]

    def touch(self, watch: Watch) -> None:
        """The watch has changed: it is to be saved, and may have something to say of silence sooner, or to learn."""
        self._dirty.add(watch.asset.id)
        if watch.models.wants:
            self._eager.add(watch.asset.id)
        self._due_ns = min(self._due_ns, watch.due_ns)

    def adopt(self, alert: Alert, gateway: str, moment: Moment) -> None:
        """Go on with an open alert of another detector; what no rule here watches is over at the next tick."""
        watch = self.make(alert.asset, gateway)
        watch.adopt(alert, moment)
        self._stale.add(alert.asset)
        self._due_ns = 0
        self.touch(watch)

    def drop(self, gateway: str) -> list[str]:
        """Forget the gateway's assets, and return them."""
        gone = [asset for asset, watch in self._watches.items() if watch.state.gateway == gateway]
        for asset in gone:
            del self._watches[asset]
            self._stale.discard(asset)
            self._dirty.discard(asset)
            self._gone.update(self._saved_keys.pop(asset, ()))
        return gone

    def forget_unknown(self, moment: Moment) -> list[tuple[Watch, list[Alert]]]:
        """What ends because no rule of the present configuration keeps it open, once after a start."""
        found = []
        for asset in sorted(self._stale):
            watch = self._watches[asset]
            found.append((watch, watch.forget_unknown(moment)))
            self._due_ns = 0
            self._dirty.add(asset)
        self._stale.clear()
        return found

    def look_for_silence(self, moment: Moment) -> list[tuple[Watch, list[Alert]]]:
        """What watches say of devices that are silent for too long now."""
        if moment.clock_ns <= self._due_ns:
            return []
        found = []
        for asset, watch in self._watches.items():
            if moment.clock_ns > watch.due_ns:
                found.append((watch, watch.look_for_silence(moment)))
                self._dirty.add(asset)
        self._due_ns = min((watch.due_ns for watch in self._watches.values()), default=NEVER)
        return found

    def lessons(self) -> list[Lesson]:
        """What has become due to be learnt since the last call, or since it was loaded."""
        found = []
        for asset in sorted(self._eager):
            watch = self._watches.get(asset)
            if watch is not None and (due := watch.models.lesson()) is not None:
                found.append(Lesson(asset, *due))
        self._eager.clear()
        return found

    def save(self) -> dict[str, bytes | None]:
        """Parts that changed: per asset 1 to 2 KB of state, of its model what moves (3 KB), and the model once."""
        parts: dict[str, bytes | None] = dict.fromkeys(self._gone)
        for asset in self._dirty:
            parts.update(self._parts_of(asset, self._watches[asset]))
        self._gone.clear()
        self._dirty.clear()
        return parts

    def load(self, name: str, content: bytes, parts: Mapping[str, bytes]) -> None:
        """Go on from the part `asset/{name}`; those beside the state come with it. ValueError: it can't be read."""
        if not name.endswith("/state"):
            return
        asset = name.removesuffix("/state")
        prefix = f"asset/{asset}/"
        self._saved_keys[asset] = {name for name in parts if name.startswith(prefix)}
        state = msgspec.json.decode(content, type=WatchState)
        learnt = {
            name.removeprefix(prefix): parts[name] for name in self._saved_keys[asset] if name != f"{prefix}state"
        }
        watch = self.make(asset, state.gateway)
        watch.restore(state, learnt)
        self._have_told(watch)
        self._eager.add(asset)
        self._due_ns = 0
        self._stale.add(asset)

    def _parts_of(self, asset: str, watch: Watch) -> dict[str, bytes | None]:
        prefix = f"asset/{asset}/"
        parts: dict[str, bytes | None] = {f"{prefix}state": msgspec.json.encode(watch.state)}
        keys = self._saved_keys.setdefault(asset, set())
        if watch.models.renewed:
            parts |= dict.fromkeys(keys - parts.keys())
        for name, content in watch.models.parts().items():
            if content is not None or prefix + name in keys:
                parts[prefix + name] = content
        for key, content in parts.items():
            (keys.discard if content is None else keys.add)(key)
        return parts
