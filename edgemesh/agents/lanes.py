"""Lanes: where live rows of a gateway's log come before older ones, both are watched, each in the order of time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from edgemesh.agents.watches import Watches
from edgemesh.detect import late
from edgemesh.detect.base.moment import Moment
from edgemesh.detect.late import Fork
from edgemesh.detect.watch import Watch
from edgemesh.model.alerts import Alert
from edgemesh.model.samples import Batch, Retimed

_Name = tuple[str, int, str]
"""Gateway, the live row that follows the hole, asset."""


class Lanes:
    """For each hole in the log of a gateway, oldest first, forks of the watches whose assets it may hold samples of.

    A hole is named by the live row that follows it. A fork is made when the first pack comes for its asset, on
    whichever side of the hole. There are few holes (`MAX_AHEAD`), and a fork is 1 to 2 KB; with a model 20,
    of a slow series 60.
    """

    def __init__(self, watches: Watches) -> None:
        self._watches = watches
        self._holes: dict[str, dict[int, dict[str, Fork]]] = {}
        self._twins: dict[_Name, Watch] = {}
        self._dirty: set[_Name] = set()

    def flow(self, gateway: str) -> bool:
        """Whether live rows of the gateway have come before older ones."""
        return gateway in self._holes

    def begin(self, gateway: str, row: int) -> None:
        """Older rows than this one are missing, and come besides. What was not said yet is theirs to decide."""
        self._holes.setdefault(gateway, {})[row] = forks = {}
        for watch in self._watches.all():
            if watch.state.unsaid:
                forks[watch.asset.id] = late.split(watch)
                late.jump(watch)
                self._watches.touch(watch)
                self._dirty.add((gateway, row, watch.asset.id))

    def jump(self, gateway: str, watch: Watch, batches: Sequence[Batch]) -> None:
        """Before the watch takes live samples: if rows before them are missing, fork it at its first."""
        holes = self._holes.get(gateway)
        if not holes:
            return
        row, forks = list(holes.items())[-1]
        asset = watch.asset.id
        fork = forks.get(asset)
        if fork is None:
            forks[asset] = fork = late.split(watch)
        if not fork.began_ns:
            late.jump(watch)
        if fork.saw(batches):
            self._dirty.add((gateway, row, asset))

    def found(self, gateway: str, watch: Watch, alerts: Sequence[Alert]) -> None:
        """After the watch took live samples: what they brought about may be what late ones will bring about, too."""
        holes = self._holes.get(gateway)
        if holes and alerts:
            row, forks = list(holes.items())[-1]
            if forks[watch.asset.id].found(alerts):
                self._dirty.add((gateway, row, watch.asset.id))

    def take(self, gateway: str, watch: Watch, batches: Sequence[Batch], moment: Moment) -> list[Alert] | None:
        """Have the asset's fork in the oldest hole take its samples; None: no rows are missing."""
        holes = self._holes.get(gateway)
        if not holes:
            return None
        asset = watch.asset.id
        row, forks = next(iter(holes.items()))
        if asset not in forks:
            newer = next((others[asset] for others in holes.values() if asset in others), None)
            forks[asset] = late.split(watch if newer is None else watch.twin(newer.state))
        name = (gateway, row, asset)
        if name not in self._twins:
            self._twins[name] = watch.twin(forks[asset].state)
        self._dirty.add(name)
        return late.take(forks[asset], self._twins[name], batches, moment)

    def close(self, gateway: str, rows: Iterable[int]) -> list[Alert]:
        """No rows are missing any more but before these: join what has met; return what is to be said."""
        holes = self._holes.get(gateway, {})
        standing, said = set(rows), []
        for row in [row for row in holes if row not in standing]:
            forks = holes.pop(row)
            newer = list(holes.values())
            for asset, fork in forks.items():
                self._dirty.add((gateway, row, asset))
                self._twins.pop((gateway, row, asset), None)
                said += self._join(gateway, asset, fork, newer)
        if not holes:
            self._holes.pop(gateway, None)
        return said

    def put_right(self, gateway: str, retimed: Retimed, *, old: bool) -> None:
        """A gateway's clock is known now: from an `old` row, which is in its place, or from a live one.

        From a live one the forks learn it when all their samples have come: some of them may be of that clock.
        """
        for place, (row, forks) in enumerate(self._holes.get(gateway, {}).items()):
            for asset, fork in forks.items():
                if old and not place:
                    self._watches.make(asset, gateway).twin(fork.state).put_right(retimed)
                else:
                    fork.retimed.append(retimed)
                self._dirty.add((gateway, row, asset))

    def release(self, gateway: str) -> None:
        """Another detector owns the gateway."""
        for row, forks in self._holes.pop(gateway, {}).items():
            for asset in forks:
                self._dirty.add((gateway, row, asset))
                self._twins.pop((gateway, row, asset), None)

    def forget_unknown(self, moment: Moment) -> None:
        """After a start: what no rule of the present configuration keeps open stands in no fork either."""
        for gateway, holes in self._holes.items():
            for row, forks in holes.items():
                for asset, fork in forks.items():
                    watch = self._watches.make(asset, gateway)
                    late.hush(fork.state, watch.twin(fork.state).forget_unknown(moment))
                    self._dirty.add((gateway, row, asset))

    def save(self) -> dict[str, bytes | None]:
        """Parts `late/{gateway}/{row}/{asset}` that changed."""
        parts: dict[str, bytes | None] = {}
        for gateway, row, asset in self._dirty:
            fork = self._holes.get(gateway, {}).get(row, {}).get(asset)
            if fork is not None and (gateway, row, asset) in self._twins:
                self._twins[gateway, row, asset].capture()
            parts[f"late/{gateway}/{row}/{asset}"] = None if fork is None else msgspec.json.encode(fork)
        self._dirty.clear()
        return parts

    def restore(self, gateway: str, row: int) -> None:
        """A hole of before the start; its forks follow."""
        self._holes.setdefault(gateway, {})[row] = {}

    def load(self, name: str, content: bytes) -> None:
        """Go on from the part `late/{name}`; the holes have begun. ValueError: it can't be read, or is of no hole."""
        gateway, row, asset = name.split("/")
        forks = self._holes.get(gateway, {}).get(int(row))
        if forks is None:
            raise ValueError(f"nothing is missing before row {row} of {gateway}")
        forks[asset] = msgspec.json.decode(content, type=Fork)

    def _join(self, gateway: str, asset: str, fork: Fork, newer: Sequence[dict[str, Fork]]) -> list[Alert]:
        """Join a fork onto the next one of its asset, or onto the watch itself."""
        onto = next((forks[asset] for forks in newer if asset in forks), None)
        watch = self._watches.make(asset, fork.state.gateway)
        for retimed in fork.retimed:
            watch.twin(fork.state).put_right(retimed)
        if onto is None:
            self._watches.touch(watch)
            return [*late.join(fork, watch.state, watch.site), *late.say(watch.state)]
        row = next(row for row, forks in self._holes[gateway].items() if forks.get(asset) is onto)
        self._dirty.add((gateway, row, asset))
        return late.absorb(onto, late.join(fork, onto.state, watch.site))
