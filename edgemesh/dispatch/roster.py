"""The roster: executors, what they can, when they work, and how much they have to do."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import msgspec

from edgemesh.dispatch.matching import Need, Pool
from edgemesh.model.agents import Card, Place, Presence
from edgemesh.model.orders import Skills
from edgemesh.model.schedules import parse_schedule

MAX_EXECUTORS = 20_000
_MINUTE_NS = 60 * 10**9


class Executor(msgspec.Struct, frozen=True, kw_only=True):
    """What a card said. `elsewhere` is how far its `load` went beyond the orders that we had given by then."""

    name: str
    up: bool
    incarnation: str
    skills: Skills
    max_load: int
    load: int = 0
    elsewhere: int = 0
    certificates: tuple[str, ...] = ()
    area: str | None = None
    place: Place | None = None
    shifts: str = ""
    cost: float = 0.0
    energy_weight: float = 1.0


class Roster:
    """Executors by name, and a pool per need that finds the best of them without looking at all."""

    def __init__(self) -> None:
        self.executors: dict[str, Executor] = {}
        self.dirty: set[str] = set()
        self._held: dict[str, int] = {}
        self._pools: dict[Need, Pool] = {}
        self._minute = 0
        self._resting: set[str] = set()  # not on shift at this minute

    def put(self, card: Card) -> bool:
        """Take note of a card; False: there are too many executors for one more."""
        name = card.agent
        if name not in self.executors and len(self.executors) >= MAX_EXECUTORS:
            return False
        before = self.executors.get(name)
        executor = Executor(
            name=name,
            up=card.state is Presence.UP,
            incarnation=card.incarnation,
            skills=card.skills,
            max_load=card.max_load,
            load=card.load,
            elsewhere=before.elsewhere if before else 0,
            certificates=card.certificates,
            area=card.area,
            place=card.place,
            shifts=card.shifts,
            cost=card.cost,
            energy_weight=card.energy_weight,
        )
        if before is None or (before.load, before.incarnation) != (card.load, card.incarnation):
            executor = msgspec.structs.replace(executor, elsewhere=max(0, card.load - self.held(name)))
        if before != executor:
            self.dirty.add(name)
            self.restore(executor)
        return True

    def restore(self, executor: Executor) -> None:
        """Put an executor as it was saved."""
        self.executors[executor.name] = executor
        self._look(executor)
        for pool in self._pools.values():
            self._enter(pool, executor)

    def time(self, now_ns: int) -> list[str]:
        """Take note of the time (UTC); return who has come on shift. Shifts begin and end with a minute."""
        if now_ns // _MINUTE_NS == self._minute:
            return []
        self._minute = now_ns // _MINUTE_NS
        come = []
        for executor in self.executors.values():
            if executor.shifts and self._look(executor):
                self._reload(executor)
                come += [executor.name] if executor.name not in self._resting else []
        return come

    def on_shift(self, name: str) -> bool:
        """Whether somebody works now."""
        return name not in self._resting

    def held(self, name: str) -> int:
        """How many of our orders somebody has, as we count them."""
        return self._held.get(name, 0)

    def load(self, name: str) -> int:
        """How many orders somebody has, ours and others."""
        executor = self.executors.get(name)
        return self.held(name) + (executor.elsewhere if executor else 0)

    def add(self, name: str, orders: int) -> None:
        """Count orders given (positive) or over (negative)."""
        self._held[name] = self.held(name) + orders
        if not self._held[name]:
            del self._held[name]
        if (executor := self.executors.get(name)) is not None:
            self._reload(executor)

    def best(self, need: Need, without: Collection[str] = ()) -> str | None:
        """Who of the able has room: least load, then highest weighted grade, then name; nobody of `without`."""
        return self._pool(need).best(without)

    def ready(self, need: Need, without: Collection[str] = ()) -> Iterator[str]:
        """All of the able who have room, nobody of `without`."""
        return self._pool(need).names(without)

    def most_ready(self, need: Need) -> int:
        """How many of the able have room."""
        return len(self._pool(need))

    def free(self, name: str) -> bool:
        """Whether somebody is up, works now and has room for one more."""
        executor = self.executors.get(name)
        return executor is not None and self._load(executor) is not None

    def able(self, name: str, need: Need) -> bool:
        """Whether somebody is up and can meet a need."""
        return name in self._pool(need)

    def _look(self, executor: Executor) -> bool:
        """Note whether somebody works at this minute; True: that has changed."""
        rests = bool(executor.shifts) and not parse_schedule(executor.shifts).is_open(self._minute * _MINUTE_NS)
        changed = rests != (executor.name in self._resting)
        (self._resting.add if rests else self._resting.discard)(executor.name)
        return changed

    def _pool(self, need: Need) -> Pool:
        if (pool := self._pools.get(need)) is None:
            pool = self._pools[need] = Pool(need)
            pool.fill(
                (name, executor.skills, executor.certificates, self._load(executor))
                for name, executor in self.executors.items()
                if executor.up
            )
        return pool

    def _enter(self, pool: Pool, executor: Executor) -> None:
        pool.enter(executor.name, executor.skills if executor.up else None, executor.certificates)
        pool.load(executor.name, self._load(executor))

    def _reload(self, executor: Executor) -> None:
        load = self._load(executor)
        for pool in self._pools.values():
            if executor.name in pool:
                pool.load(executor.name, load)

    def _load(self, executor: Executor) -> int | None:
        load = self.held(executor.name) + executor.elsewhere
        room = executor.up and load < executor.max_load and executor.name not in self._resting
        return load if room else None
