"""The time of one agent over all its starts: turns of the clock reach the core, and age no row of its log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from edgemesh.agents.core import Core, Input, Samples
from edgemesh.agents.engine import Engine
from edgemesh.agents.gateway import GatewayCore
from edgemesh.agents.items import ClockSet, Offered
from edgemesh.agents.timeline import PART, Timeline
from edgemesh.errors import LogDamaged, LogError
from edgemesh.log.journal import Journal
from edgemesh.model.samples import Batch, Record, Retimed, Sample
from edgemesh.testing import FixedClock, make_source
from edgemesh.wire import codec
from tests.unit.agents.test_clock import NOW, SECOND, World

HOUR = 3600 * SECOND
YEARS = NOW - 60 * SECOND
SOURCE = make_source()


class Diary(GatewayCore):
    """A gateway that writes down what time it is told, and when it is told that the clock turned."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[str, int]] = []

    def tick(self, now_ns: int) -> Sequence[Record]:
        self.told.append(("tick", now_ns))
        return super().tick(now_ns)

    def retime(self, by_ns: int, doubt: int) -> Sequence[Record]:
        self.told.append(("turn", by_ns))
        return super().retime(by_ns, doubt)

    def handle(self, pack: Input) -> Sequence[Record]:
        assert isinstance(pack, Samples)
        self.told.append(("samples", len(pack.records)))
        return super().handle(pack)


class Failing(Diary):
    """One that can't be saved while `broken`."""

    broken = False

    def save(self) -> dict[str, bytes | None]:
        if self.broken:
            raise LogError("no")
        return dict(super().save())


class Gateway:
    """An engine with a gateway's core, a world with two clocks, and the runtime's part: checks, offers, steps."""

    def __init__(self, path: Path, world: World, *, boot: str = "this", make_core: Callable[[], Core] = Diary) -> None:
        self.world = world
        self.clock = world.clock(boot=boot, doubt_s=60)
        self.journal = Journal.open(path, "gw")
        self.engine = Engine(self.journal, make_core, self.clock, writes="readings")
        self.queue: list[ClockSet | Offered] = []
        if opening := self.engine.opening():
            self.offer(opening)

    def offer(self, item: ClockSet | Offered) -> None:
        item.at_ns = self.clock.now_ns()
        self.queue.append(item)

    def put(self) -> None:
        self.offer(Offered((Sample(SOURCE, self.clock.now_ns(), (1.0,)),)))

    def check(self) -> bool:
        turn = self.clock.check()
        if turn:
            self.offer(ClockSet(turn.by_ns, turn.doubt, self.clock.turns))
        return turn is not None

    def step(self) -> None:
        items, self.queue = self.queue, []
        self.engine.step(items)

    def passes(self, seconds: float) -> None:
        for _ in range(round(seconds * 4)):
            self.world.wall += SECOND // 4
            self.world.steady += SECOND // 4
            self.check()
            self.step()

    def records(self) -> list[Record]:
        rows = self.journal.rows(self.journal.lowest - 1, limit=1_000, max_bytes=10**9)
        return [record for row in rows for record in codec.decode_body(row.kind, row.body)]

    @property
    def told(self) -> list[tuple[str, int]]:
        core = self.engine.core
        assert isinstance(core, Diary)
        return core.told


def flags(records: Sequence[Record]) -> list[str]:
    """`-` for a batch with a good time, `?` for one in doubt, and by how many seconds times are put right."""
    return [
        str(record.by_ns // SECOND) if isinstance(record, Retimed) else "?" if record.clock else "-"
        for record in records
        if isinstance(record, Batch | Retimed)
    ]


def test_a_start_in_1970_is_put_right(tmp_path: Path) -> None:
    """Samples name the clock until it is set, also those that wait when it is; the correction comes after them."""
    gateway = Gateway(tmp_path / "gw.db", World(wall=5 * SECOND))
    gateway.put()
    gateway.step()
    gateway.passes(5)
    gateway.put()
    gateway.world.wall = NOW
    gateway.world.steady += SECOND
    assert gateway.check()
    gateway.put()
    gateway.step()
    assert flags(gateway.records()) == ["?", "?", str((NOW - 11 * SECOND) // SECOND), "-"]
    kinds = [row.kind for row in gateway.journal.rows(0, limit=9, max_bytes=10**6)]
    assert kinds[-3:] == ["readings", "retimed", "readings"]


@pytest.mark.parametrize("by_ns", [HOUR, -HOUR])
def test_time_reaches_the_core_before_and_after_a_turn_but_not_as_passed(tmp_path: Path, by_ns: int) -> None:
    """The turn stands between two ticks; from one to the next only what has really passed is missing or added."""
    gateway = Gateway(tmp_path / "gw.db", World())
    gateway.passes(1)
    gateway.world.wall += by_ns
    gateway.passes(90)
    moved = 0
    last = 0
    for what, ns in gateway.told[1:]:
        if what == "turn":
            moved += ns
            last += ns
        elif what == "tick":
            assert 0 <= ns - last <= SECOND or not last
            last = ns
    assert moved == by_ns
    assert last == gateway.world.wall


def test_rows_are_as_old_as_they_are(tmp_path: Path) -> None:
    """The outbox keeps rows for as long as it should, when the clock turns by 56 years, and over a restart."""
    world = World(wall=5 * SECOND)
    gateway = Gateway(tmp_path / "gw.db", world)
    gateway.put()
    gateway.step()
    gateway.passes(20)
    world.wall = NOW
    gateway.passes(1)
    gateway.put()
    gateway.passes(30)
    assert gateway.engine.timeline.now_ns() == gateway.clock.now_ns()
    for _ in range(2):
        gateway.engine.keep_house(gateway.journal.head, keep_s=60.0)
        assert gateway.journal.lowest == 1
        gateway.journal.close()
        gateway = Gateway(tmp_path / "gw.db", world)
        gateway.step()
    gateway.passes(10)
    gateway.engine.keep_house(gateway.journal.head, keep_s=60.0)
    assert gateway.journal.lowest == 2
    gateway.passes(60)
    gateway.engine.keep_house(gateway.journal.head, keep_s=60.0)
    assert gateway.journal.lowest == gateway.journal.head + 1


def test_nothing_is_pruned_while_the_core_has_not_heard_of_a_turn(tmp_path: Path) -> None:
    """Between the turn and the step that knows of it nobody can say how old a row is."""
    world = World(wall=5 * SECOND)
    gateway = Gateway(tmp_path / "gw.db", world)
    gateway.put()
    gateway.step()
    gateway.passes(1)
    world.wall = NOW
    world.steady += SECOND
    assert gateway.check()
    assert gateway.engine.timeline.now_ns() is None
    gateway.engine.keep_house(gateway.journal.head, keep_s=60.0)
    assert gateway.journal.lowest == 1
    told = len(gateway.told)
    gateway.engine.step(())  # time alone says nothing before the turn is told
    assert [what for what, _ in gateway.told[told:]] == []


def test_a_step_that_fails_turns_again(tmp_path: Path) -> None:
    """When the commit of a turn fails, nothing of it has happened; tried again, it happens once."""
    world = World(wall=5 * SECOND)
    gateway = Gateway(tmp_path / "gw.db", world, make_core=Failing)
    gateway.put()
    gateway.step()
    gateway.passes(1)
    world.wall = NOW
    world.steady += SECOND
    assert gateway.check()
    items, gateway.queue = gateway.queue, []
    Failing.broken = True
    try:
        for _ in range(2):
            with pytest.raises(LogError):
                gateway.engine.step(items)
    finally:
        Failing.broken = False
    assert not gateway.engine.timeline.current
    gateway.engine.step(items)
    assert flags(gateway.records()) == ["?", str((NOW - 7 * SECOND) // SECOND)]
    assert gateway.engine.timeline.offset_ns(1) == NOW - 7 * SECOND
    assert gateway.engine.timeline.current


def test_a_killed_process_turns_at_its_next_start(tmp_path: Path) -> None:
    """Killed between the turn of the clock and the commit of it: the next start goes on in doubt, and turns then."""
    world = World(wall=5 * SECOND)
    gateway = Gateway(tmp_path / "gw.db", world)
    gateway.put()
    gateway.step()
    gateway.passes(2)
    gateway.put()
    world.wall = NOW
    world.steady += SECOND
    assert gateway.check()
    gateway.engine.step(gateway.queue[:1])  # it does not say yet that the clock turned
    gateway.journal.close()
    again = Gateway(tmp_path / "gw.db", world)
    again.put()
    again.passes(1)
    assert flags(again.records())[:4] == ["?", "?", "?", str((NOW - 8 * SECOND) // SECOND)]


def test_another_boot_in_1970_is_no_time_that_passed(tmp_path: Path) -> None:
    """The core is told that the clock is years behind before it is told the time, and that it is right once it is."""
    gateway = Gateway(tmp_path / "gw.db", World())
    gateway.passes(2)
    gateway.put()
    gateway.step()
    ticked = gateway.clock.now_ns()
    gateway.journal.close()
    world = World(wall=7 * SECOND, steady=SECOND)
    second = Gateway(tmp_path / "gw.db", world, boot="next")
    second.put()
    second.step()
    assert abs(second.told[0][1] - (7 * SECOND - ticked)) <= SECOND  # what is kept is as old as the last commit
    assert second.told[1] == ("tick", 7 * SECOND)
    assert second.engine.timeline.offset_ns(1) == second.told[0][1]
    world.wall = NOW + HOUR
    second.passes(1)
    assert flags(second.records()) == ["-", "?", str((NOW + HOUR - 7 * SECOND) // SECOND)]


def test_a_boot_that_finds_the_clock_right_corrects_the_one_before(tmp_path: Path) -> None:
    """What was taken in 1970 before a reboot is put right as if that had taken no time: nobody can know better."""
    gateway = Gateway(tmp_path / "gw.db", World(wall=5 * SECOND))
    gateway.put()
    gateway.passes(2)
    gateway.journal.close()
    second = Gateway(tmp_path / "gw.db", World(wall=NOW, steady=SECOND), boot="next")
    second.put()
    second.step()
    kinds = flags(second.records())
    assert [kinds[0], kinds[2]] == ["?", "-"]
    assert NOW // SECOND - 7 <= int(kinds[1]) <= NOW // SECOND - 5


def test_a_restart_within_one_boot_is_exact(tmp_path: Path) -> None:
    """A process that ends while the wall clock is wrong goes on as if it had only blinked."""
    world = World()
    gateway = Gateway(tmp_path / "gw.db", world)
    gateway.put()
    gateway.passes(1)
    world.wall += HOUR
    gateway.passes(5)
    now = gateway.clock.now_ns()
    gateway.journal.close()
    world.wall += 3 * SECOND
    world.steady += 3 * SECOND
    again = Gateway(tmp_path / "gw.db", world)
    assert again.clock.now_ns() == now + 3 * SECOND
    again.put()
    again.step()
    assert again.told[0] == ("turn", 0)
    world.wall -= HOUR
    again.passes(1)
    again.put()
    again.step()
    assert flags(again.records()) == ["-", "?", "0", "-"]


def test_turns_of_a_log_that_began_anew_are_forgotten(tmp_path: Path) -> None:
    """The rows of another epoch were stamped by nobody that turned."""
    gateway = Gateway(tmp_path / "gw.db", World(wall=5 * SECOND))
    gateway.put()
    gateway.step()
    gateway.world.wall = NOW
    gateway.passes(1)
    assert gateway.engine.timeline.offset_ns(1)
    gateway.journal.epoch = "another"
    assert gateway.engine.timeline.offset_ns(1) == 0
    assert gateway.engine.timeline.segments(5) == [(5, 0)]


def test_what_is_kept_of_the_time_is_checked(tmp_path: Path) -> None:
    """A part that was never written here is said to be damaged; a clock that nobody sets keeps nothing."""
    journal = Journal.open(tmp_path / "gw.db", "gw")
    assert Timeline(FixedClock(), journal).part(5) == {}
    with journal.begin() as transaction:
        transaction.put_parts({PART: b"{}"})
    with pytest.raises(LogDamaged):
        Timeline(FixedClock(), journal)
    journal.close()
