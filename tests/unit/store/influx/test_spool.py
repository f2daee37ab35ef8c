"""The spool: a state machine of puts, requests, answers, crashes and bounds, and what each of them may do to lines."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edgemesh.store.influx.progress import Dead, Progress
from edgemesh.store.influx.reader import Place, Request, SpoolReader
from edgemesh.store.influx.spool import Lane, Spool
from edgemesh.store.influx.tables import read_state


class Site:
    """A database with a spool in it, its reader, and a clock that is moved by hand."""

    def __init__(self, folder: Path, *, max_bytes: int = 10**9, max_age_s: float = 1e6) -> None:
        self.now_ns = 0
        self.limits = {"max_bytes": max_bytes, "max_age_s": max_age_s}
        self.path = folder / "recorder.db"
        self.connection = sqlite3.connect(self.path, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = OFF")
        self.open()

    def open(self) -> None:
        """As a process that starts: nothing is known but the file."""
        self.progress = Progress()
        self.spool = Spool(self.progress, **self.limits, steady=lambda: self.now_ns)  # type: ignore[arg-type]
        self.reader = SpoolReader(self.path)
        self.places = dict.fromkeys(Lane, Place())
        with self.transaction():
            self.spool.prepare(self.connection)

    @contextmanager
    def transaction(self, how: str = "COMMIT") -> Iterator[None]:
        self.connection.execute("BEGIN IMMEDIATE")
        yield
        self.connection.execute(how)

    def put(self, lines: list[str], lane: Lane = Lane.READINGS, how: str = "COMMIT") -> None:
        with self.transaction(how):
            self.spool.put(self.connection, lane, lines)

    def keep_house(self, how: str = "COMMIT") -> None:
        with self.transaction(how):
            self.spool.keep_house(self.connection, 1)

    def take(self, most: int = 5_000, lane: Lane = Lane.READINGS) -> list[str]:
        """Take the next request and have it stored."""
        request = self.reader.take(lane, self.places[lane], most)
        if request is None:
            return []
        self.over(request)
        return request.body.decode().split("\n")

    def over(self, request: Request) -> None:
        self.places[request.lane] = request.ends
        self.progress.over(int(request.lane), request.ends.row)

    def state(self) -> dict[str, int]:
        return read_state(self.connection)

    def close(self) -> None:
        self.reader.close()
        self.connection.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    made: list[Site] = []

    def make(**limits: float) -> Site:
        made.append(Site(tmp_path, **limits))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for each in made:
        each.close()


class SpoolMachine(RuleBasedStateMachine):
    """Lines are numbered as they come. Each ends up stored, buried, dropped, or still in the spool; none vanishes."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.most = 10**9
        self.site = Site(self.folder)
        self.next = 0
        self.put: set[str] = set()
        self.stored: set[str] = set()
        self.buried: set[str] = set()

    def teardown(self) -> None:
        self.site.close()
        shutil.rmtree(self.folder)

    @initialize(most=st.sampled_from((600, 10**9)))
    def choose(self, most: int) -> None:
        """With little room lines give way; with plenty of it none may be missing at all."""
        self.most = self.site.limits["max_bytes"] = most
        self.crash()

    @rule(lane=st.sampled_from(Lane), many=st.integers(1, 7), commits=st.booleans())
    def come(self, lane: Lane, many: int, commits: bool) -> None:
        lines = [f"m v={number} {number}" for number in range(self.next, self.next + many)]
        self.next += many
        self.site.put(lines, lane, "COMMIT" if commits else "ROLLBACK")
        self.put |= set(lines) if commits else set()

    @rule(lane=st.sampled_from(Lane), most=st.integers(1, 10), fate=st.sampled_from(("stored", "buried", "failed")))
    def send(self, lane: Lane, most: int, fate: str) -> None:
        request = self.site.reader.take(lane, self.site.places[lane], most)
        if request is None:
            return
        lines = request.body.decode().split("\n")
        assert len(lines) == request.lines <= most
        assert self.put.issuperset(lines), "what was never committed must not be sent"
        if fate == "stored":
            self.stored |= set(lines)
        elif fate == "buried":
            self.buried |= set(lines)
            self.site.progress.bury(Dead(request.key, int(lane), len(lines), "400", request.body))
        if fate != "failed":
            self.site.over(request)

    @rule(commits=st.booleans())
    def keep_house(self, commits: bool) -> None:
        self.site.keep_house("COMMIT" if commits else "ROLLBACK")
        if commits:
            assert self.site.state()["bytes"] <= self.most

    @rule()
    def crash(self) -> None:
        self.site.reader.close()
        self.site.open()

    @precondition(lambda self: self.next > 0)
    @rule()
    def drain(self) -> None:
        """With everything sent and the house kept, all lines are accounted for."""
        for lane in Lane:
            while lines := self.site.take(3, lane):
                self.stored |= set(lines)
        self.site.keep_house()
        state = self.site.state()
        assert (state["lines"], state["bytes"]) == (0, 0)
        lost = self.put - self.stored - self.buried
        assert len(lost) <= state["dropped"], "a line is gone that nobody counted"
        assert self.most == 600 or not state["dropped"], "a line gave way to nothing"

    @invariant()
    def counts_are_right(self) -> None:
        held = self.site.connection.execute(
            "SELECT coalesce(sum(lines), 0), coalesce(sum(length(body)), 0) FROM influx_spool"
        ).fetchone()
        state = self.site.state()
        assert (state["lines"], state["bytes"]) == held


SpoolMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
TestSpool = SpoolMachine.TestCase


def test_rows_leave_only_when_they_are_over(site: Callable[..., Site]) -> None:
    """What was taken but not said to be over is there after a restart; what was said is not."""
    one = site()
    one.put(["a v=1 1", "b v=1 1"])
    assert one.reader.take(Lane.READINGS, Place(), 10) is not None
    one.keep_house()
    one.open()
    assert one.take() == ["a v=1 1", "b v=1 1"]
    one.keep_house()
    one.open()
    assert one.take() == []


def test_what_is_over_in_one_lane_is_not_over_in_another(site: Callable[..., Site]) -> None:
    """An alert that was sent takes no reading with it that was put before it."""
    one = site()
    one.put(["reading v=1 1"])
    one.put(["alert v=1 1"], Lane.EVENTS)
    assert one.take(lane=Lane.EVENTS) == ["alert v=1 1"]
    one.keep_house()
    assert one.take() == ["reading v=1 1"]


def test_a_number_never_comes_back(site: Callable[..., Site]) -> None:
    """A spool that was emptied gives its next row a new number: the sender, which goes by numbers, passes none over."""
    one = site()
    for number in range(3):
        one.put([f"m v=1 {number}"])
        assert one.take() == [f"m v=1 {number}"]
        one.keep_house()


def test_half_a_row_is_taken_once(site: Callable[..., Site]) -> None:
    """Requests smaller than a row go through it in order; none of its lines is left out or comes twice."""
    one = site()
    one.put([f"m v=1 {number}" for number in range(10)])
    one.put([f"m v=1 {number}" for number in range(10, 13)])
    taken = [one.take(4) for _ in range(5)]
    assert [line for part in taken for line in part] == [f"m v=1 {number}" for number in range(13)]
    assert max(map(len, taken)) == 4


def test_a_place_in_a_row_that_is_gone_skips_nothing(site: Callable[..., Site]) -> None:
    """When the row that was half sent gives way, the row after it is sent from its first line."""
    one = site()
    one.put([f"old v=1 {number}" for number in range(4)])
    assert len(one.take(3)) == 3
    one.put(["new v=1 1", "new v=1 2"])
    one.connection.execute("DELETE FROM influx_spool WHERE id = 1")
    assert one.take(5) == ["new v=1 1", "new v=1 2"]


def test_the_oldest_give_way_readings_first(site: Callable[..., Site]) -> None:
    """Beyond its size the spool lets go of the oldest readings, then of roll-ups, and of events last; all counted."""
    one = site(max_bytes=250)
    one.put(["event v=1 1"], Lane.EVENTS)
    one.put(["rollup v=1 1"], Lane.ROLLUPS)
    for number in range(20):
        one.put([f"m,a=x{number * 7919} v={number} {number}"])
    one.keep_house()
    assert one.state()["bytes"] <= 250
    assert one.take(lane=Lane.EVENTS)
    assert one.take(lane=Lane.ROLLUPS)
    left = one.take()
    assert left[-1].endswith(" 19")
    assert one.spool.dropped == one.state()["dropped"] == 20 - len(left) > 0
    assert one.spool.dropped_at_s is not None


def test_age_is_counted_while_we_run(site: Callable[..., Site]) -> None:
    """Lines give way after their time; a restart, however long after, and a clock that is set add nothing to it."""
    one = site(max_age_s=100.0)
    one.put(["m v=1 1"])
    for _ in range(3):
        one.now_ns += 30 * 10**9
        one.keep_house()
    assert one.spool.waiting == 1
    assert one.spool.age_s == pytest.approx(90.0)
    one.now_ns += 10**18  # as after a long time off
    one.open()
    one.keep_house()
    assert one.spool.waiting == 1
    one.now_ns += 30 * 10**9
    one.keep_house()
    assert (one.spool.waiting, one.spool.dropped) == (0, 1)


def test_dead_letters_are_kept_with_their_reason_once(site: Callable[..., Site]) -> None:
    """A dead letter is on the disk once, also where the first transaction with it was rolled back."""
    one = site()
    one.put(["bad v=1 1"])
    request = one.reader.take(Lane.READINGS, Place(), 10)
    assert request is not None
    one.progress.bury(Dead(request.key, 1, 1, "400 unable to parse", request.body))
    one.over(request)
    one.keep_house("ROLLBACK")
    one.keep_house()
    one.keep_house()
    assert one.progress.dead() == []
    found = one.connection.execute("SELECT lines, reason FROM influx_dead").fetchall()
    assert found == [(1, "400 unable to parse")]
    assert one.spool.dead == 1


def test_what_comes_after_a_start_is_not_old(site: Callable[..., Site]) -> None:
    """Lines that are put before the first housekeeping of a start are as young as they are."""
    one = site(max_age_s=100.0)
    for _ in range(10):
        one.now_ns += 30 * 10**9
        one.keep_house()
    one.open()
    one.put(["m v=1 1"])
    one.keep_house()
    assert (one.spool.waiting, one.spool.age_s) == (1, 0.0)


def test_a_process_that_was_frozen_ages_nothing(site: Callable[..., Site]) -> None:
    """Days without any housekeeping count as a minute: nobody could have sent anything in them."""
    one = site(max_age_s=100.0)
    one.put(["m v=1 1"])
    one.now_ns += 10 * 86_400 * 10**9
    one.keep_house()
    assert (one.spool.waiting, one.spool.age_s) == (1, 60.0)
