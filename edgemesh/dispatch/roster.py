"""The roster: executors, what they can, and how much they have to do."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from edgemesh.dispatch.matching import Need, Pool
from edgemesh.model.agents import Card, Presence
from edgemesh.model.orders import Skills

MAX_EXECUTORS = 20_000


class Executor(msgspec.Struct, frozen=True, kw_only=True):
    """What a card said. `elsewhere` is how far its `load` went beyond the orders that we had given by then."""

    name: str
    up: bool
    incarnation: str
    skills: Skills
    max_load: int
    load: int = 0
    elsewhere: int = 0


class Roster:
    """Executors by name, and a pool per need that finds the best of them without looking at all."""

    def __init__(self) -> None:
        self.executors: dict[str, Executor] = {}
        self.dirty: set[str] = set()
        self._held: dict[str, int] = {}
        self._pools: dict[Need, Pool] = {}

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
        for pool in self._pools.values():
            self._enter(pool, executor)

    def held(self, name: str) -> int:
        """How many of our orders somebody has, as we count them."""
        return self._held.get(name, 0)

    def add(self, name: str, orders: int) -> None:
        """Count orders given (positive) or over (negative)."""
        self._held[name] = self.held(name) + orders
        if not self._held[name]:
            del self._held[name]
        if (executor := self.executors.get(name)) is not None:
            load = self._load(executor)
            for pool in self._pools.values():
                if name in pool:
                    pool.load(name, load)

    def best(self, need: Need, without: Collection[str] = ()) -> str | None:
        """Who of the able has room: least load, then highest summed grade, then name; nobody of `without`."""
        return self._pool(need).best(without)

    def free(self, name: str) -> bool:
        """Whether somebody is up and has room for one more."""
        executor = self.executors.get(name)
        return executor is not None and self._load(executor) is not None

    def able(self, name: str, need: Need) -> bool:
        """Whether somebody is up and can meet a need."""
        return name in self._pool(need)

    def _pool(self, need: Need) -> Pool:
        if (pool := self._pools.get(need)) is None:
            pool = self._pools[need] = Pool(need)
            for executor in self.executors.values():
                self._enter(pool, executor)
        return pool

    def _enter(self, pool: Pool, executor: Executor) -> None:
        pool.enter(executor.name, executor.skills if executor.up else None)
        pool.load(executor.name, self._load(executor))

    def _load(self, executor: Executor) -> int | None:
        load = self.held(executor.name) + executor.elsewhere
        return load if executor.up and load < executor.max_load else None
