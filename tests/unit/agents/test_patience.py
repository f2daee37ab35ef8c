"""Poison: whatever makes an agent fail costs three tries and itself, whichever kind of item it is."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from edgemesh.agents.core import Input
from edgemesh.agents.engine import MUTE_NS, Engine
from edgemesh.agents.items import Given, Heard, Item, Met, Noticed, Offered, Outcome, Spoiled, Taken
from edgemesh.agents.patience import MAX_TRIES, Patience
from edgemesh.errors import LogFull, StoreError
from edgemesh.log.journal import Cursor, Journal
from edgemesh.log.quarantine import Quarantined
from edgemesh.model.alerts import Alert
from edgemesh.model.packs import Cards, Pack
from edgemesh.model.samples import Record
from edgemesh.testing import (
    EPOCH,
    START_NS,
    FixedClock,
    make_alert,
    make_card,
    make_readings,
    make_sample,
    make_source,
    payload_of,
)
from tests.unit.agents.site import Keeper

Build = Callable[..., Engine]


class Fragile(Keeper):
    """A Keeper that raises where `faults` says so; `tries` counts how often it was asked."""

    faults: frozenset[str] = frozenset()
    tries: dict[str, int] = {}

    def _fail(self, where: str) -> None:
        Fragile.tries[where] = Fragile.tries.get(where, 0) + 1
        if where in Fragile.faults:
            raise ZeroDivisionError(where)

    def handle(self, pack: Input) -> Sequence[Record]:
        if isinstance(pack, Cards):
            self._fail("cards")
        return super().handle(pack)

    def tick(self, now_ns: int) -> Sequence[Record]:
        self._fail("tick")
        return []

    def adopt(self, gateway: str, alerts: Sequence[Alert], through: Cursor | None = None) -> None:
        self._fail("adopt")
        super().adopt(gateway, alerts, through)

    def meet(self, alert: Alert) -> Sequence[Record]:
        self._fail("meet")
        return ()

    def release(self, gateway: str) -> Sequence[Alert]:
        self._fail("release")
        return super().release(gateway)

    def save(self) -> Mapping[str, bytes | None]:
        if self.kept.get("poison"):
            raise OverflowError("this state can't be written down")
        return super().save()


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Build]:
    """Put an engine on the journal of one agent."""
    Fragile.faults, Fragile.tries = frozenset(), {}
    opened: list[Journal] = []

    def make(clock: FixedClock | None = None, **how: object) -> Engine:
        opened.append(Journal.open(tmp_path / "agent.db", "agent-1"))
        return Engine(opened[-1], Fragile, clock or FixedClock(), **how)  # type: ignore[arg-type]

    yield make
    for journal in opened:
        journal.close()


def hear(seq: int, agent: str = "gateway-1") -> Heard:
    payload = payload_of(make_readings([float(seq)], seq=seq, agent=agent))
    topic = f"edgemesh/v1/site/log/readings/{agent}"
    return Heard("readings", agent, topic, payload, lambda: None, at_ns=START_NS)


ITEMS: dict[str, tuple[Item, str, bytes]] = {
    "adopt": (Given("gateway-7", [make_alert()]), "given", b"gateway-7"),
    "release": (Taken("gateway-7"), "taken", b"gateway-7"),
    "meet": (Met(make_alert()), "met", make_alert().id.encode()),
    "cards": (Noticed(Cards((make_card("ana"),))), "noticed", b"ana"),
}


@pytest.mark.parametrize("kind", ITEMS)
def test_every_kind_of_item_is_given_up_after_three_tries(build: Build, kind: str) -> None:
    """What was put before and after it counts once; it is in the quarantine, and nothing raises."""
    item, origin, content = ITEMS[kind]
    engine = build()
    Fragile.faults = frozenset({kind})
    engine.step([hear(1), item, hear(2)])
    assert isinstance(engine.core, Fragile)
    assert engine.core.kept == {"gateway-1": [1.0, 2.0]}
    assert Fragile.tries[kind] == MAX_TRIES
    assert engine.journal.rejections() == {"handler_failed": 1}
    (kept,) = engine.journal.quarantine(limit=9)
    assert kept.origin == origin
    assert content in kept.payload
    assert engine.stats.rebuilds == MAX_TRIES
    Fragile.faults = frozenset()
    engine.step([item, hear(3)])
    assert Fragile.tries[kind] == MAX_TRIES + 1  # an item of the same kind is a new one, and asked about as ever


def test_a_core_that_fails_on_time_goes_on_without_it_for_a_while(build: Build) -> None:
    """Ticks that raise stop no item; after ten seconds time is told again."""
    clock = FixedClock()
    engine = build(clock)
    Fragile.faults = frozenset({"tick"})
    engine.step([hear(1)])
    engine.step([hear(2)])
    assert engine.core.kept == {"gateway-1": [1.0, 2.0]}  # type: ignore[attr-defined]
    assert Fragile.tries["tick"] == MAX_TRIES
    assert [each.origin for each in engine.journal.quarantine(limit=9)] == ["time"]
    Fragile.faults = frozenset()
    clock.advance(MUTE_NS / 1e9 + 1)
    engine.step([])
    assert Fragile.tries["tick"] == MAX_TRIES + 1


class Picky:
    """A sink that raises on one row of a log."""

    def __init__(self, seq: int, error: Exception) -> None:
        self.seq, self.error = seq, error
        self.calls = 0

    def prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE IF NOT EXISTS had (seq INTEGER)")

    def write(self, connection: sqlite3.Connection, packs: Sequence[Pack]) -> None:
        self.calls += 1
        for pack in packs:
            if pack.seq == self.seq:
                raise self.error
            connection.execute("INSERT INTO had VALUES (?)", (pack.seq,))

    def trim(self, connection: sqlite3.Connection, now_ns: int) -> None:
        """Nothing is too old."""


def persist(engine: Engine, items: Sequence[Item], calls: int = 10) -> Outcome:
    """Do as the runtime does: the same items again until they are through."""
    for _ in range(calls):
        try:
            return engine.step(items)
        except (OverflowError, LogFull, StoreError):
            continue
    raise AssertionError("the step never got through")


@pytest.mark.parametrize("error", [OverflowError("too large for SQLite"), StoreError("no", retryable=False)])
def test_a_pack_that_a_sink_can_not_write_is_given_up_alone(build: Build, error: Exception) -> None:
    """All others of the step are in the sink, once; the log stands behind the last of them."""
    sink = Picky(2, error)
    engine = build(sinks=[sink])
    settled: list[int] = []
    items = [hear(seq) for seq in (1, 2, 3)]
    for seq, item in enumerate(items, 1):
        item.settle = lambda seq=seq: settled.append(seq)  # type: ignore[misc]
    outcome = persist(engine, items)
    for settle in outcome.settles:
        settle()
    with engine.journal.begin() as transaction:
        had = [seq for (seq,) in transaction.connection.execute("SELECT seq FROM had")]
    assert (had, settled) == ([1, 3], [1, 2, 3])
    assert outcome.marks == {"gateway-1": Cursor(EPOCH, 3)} == engine.journal.cursors()
    assert engine.journal.rejections() == {"handler_failed": 1}
    engine.step([hear(4)])
    assert engine.stats.packs == 3


def test_a_state_that_can_not_be_written_is_the_fault_of_the_item_that_made_it(build: Build) -> None:
    """Saving raises for what one pack has done: that pack is found and given up, and the others count."""
    engine = build()
    persist(engine, [hear(1), hear(1, "poison"), hear(2)])
    assert engine.core.kept == {"gateway-1": [1.0, 2.0]}  # type: ignore[attr-defined]
    assert [each.origin[-6:] for each in engine.journal.quarantine(limit=9)] == ["poison"]


def test_a_sink_that_wants_to_be_tried_again_blames_nobody(build: Build) -> None:
    """However often a store is busy, nothing is given up: the same items come again."""
    sink = Picky(2, StoreError("busy", retryable=True))
    engine = build(sinks=[sink])
    items = [hear(1), hear(2)]
    for _ in range(3 * MAX_TRIES):
        with pytest.raises(StoreError):
            engine.step(items)
    sink.seq = 0
    engine.step(items)
    assert (engine.journal.rejections(), engine.stats.packs) == ({}, 2)


def test_an_agent_that_fails_without_any_item_gives_nothing_up() -> None:
    """Where even an empty step fails the agent is at fault: it says so each time, and no input is thrown away."""

    def attempt(items: Sequence[Item]) -> Outcome:
        raise ZeroDivisionError("always")

    patience = Patience(attempt, lambda: None)
    item = Spoiled(Quarantined(1, "t", "r", "", b""))
    for _ in range(10):
        with pytest.raises(ZeroDivisionError):
            patience.step([item])
    assert not patience.spent(item)


def test_a_full_disk_in_the_middle_of_one_by_one_doubles_nothing() -> None:
    """What was through before the disk was full is not done again, and its outcome is not lost."""
    done: list[str] = []
    full = [True]

    def attempt(items: Sequence[Item]) -> Outcome:
        names = [item.samples[0].source.device for item in items if isinstance(item, Offered)]
        if len(names) > 1:
            raise ZeroDivisionError("together they fail")
        if names == ["b"] and full.pop():
            raise LogFull("full")
        done.extend(names)
        full.append(False)
        return Outcome(settles=[lambda: None for _ in names])

    def sample(name: str) -> Offered:
        return Offered((make_sample(1.0, source=make_source(name)),))

    items = [sample("a"), sample("b"), sample("c")]
    patience = Patience(attempt, lambda: None)
    outcome: Outcome | None = None
    for _ in range(6):
        try:
            outcome = patience.step(items)
            break
        except (ZeroDivisionError, LogFull):
            continue
    assert outcome is not None
    assert (done, len(outcome.settles)) == (["a", "b", "c"], 3)
