"""Holding: what only moves cursors may wait for the commit of a later step, and nothing is promised before it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemesh.agents.core import Input
from edgemesh.agents.engine import MAX_HELD, Engine
from edgemesh.agents.items import Heard
from edgemesh.errors import LogError
from edgemesh.log.journal import Cursor, Journal
from edgemesh.model.alerts import Alert
from edgemesh.model.packs import Readings
from edgemesh.model.samples import Record
from edgemesh.testing import EPOCH, FixedClock, make_alert, make_batch, make_pack, payload_of
from edgemesh.wire import codec


class Sums:
    """A core that adds up all values, and says the sum each time a value is above 100."""

    def __init__(self) -> None:
        self.sum = self.saved = 0.0

    def handle(self, pack: Input) -> Sequence[Record]:
        assert isinstance(pack, Readings)
        value = pack.records[0].values[0][0]
        assert value is not None
        self.sum += value
        if value <= 100.0:
            return []
        return [msgspec.structs.replace(make_alert(version=pack.seq), cause=f"{self.sum:g}")]

    def tick(self, now_ns: int) -> Sequence[Record]:
        return []

    def present(self, records: Sequence[Record] | None) -> Mapping[str, Record | None]:
        return {}

    def save(self) -> Mapping[str, bytes | None]:
        if self.sum == self.saved:
            return {}
        self.saved = self.sum
        return {"sum": f"{self.sum!r}".encode()}

    def load(self, parts: Mapping[str, bytes]) -> None:
        self.sum = self.saved = float(parts.get("sum", b"0"))


@contextmanager
def engine_in(folder: Path) -> Iterator[Engine]:
    """An engine on the journal of the folder."""
    journal = Journal.open(folder / "agent.db", "agent-1")
    try:
        yield Engine(journal, Sums, FixedClock(), writes="alerts")
    finally:
        journal.close()


def heard(seq: int, value: float, settled: list[int] | None = None) -> Heard:
    """A pack with one value; `settled` notes when it is."""
    payload = payload_of(make_pack([make_batch((value,), at_s=float(seq))], agent="gw-1", seq=seq))
    note = settled.append if settled is not None else lambda _: None
    return Heard("readings", "gw-1", "t", payload, lambda: note(seq))


def said(engine: Engine) -> list[tuple[int, str]]:
    """Versions and causes of all alerts in the engine's log."""
    rows = engine.journal.rows(0, limit=1_000, max_bytes=10**6)
    records = [record for row in rows for record in codec.decode_body(row.kind, row.body)]
    return [(record.version, record.cause) for record in records if isinstance(record, Alert)]


def test_what_is_held_is_settled_by_nobody_and_moves_no_cursor(tmp_path: Path) -> None:
    """Neither outcome nor disk know of it before a step commits; then one commit has it all."""
    settled: list[int] = []
    with engine_in(tmp_path) as engine:
        commits = engine.stats.commits
        for seq in (1, 2, 3):
            outcome = engine.step([heard(seq, 1.0, settled)], may_hold=True)
            assert (outcome.settles, outcome.marks, engine.held) == ([], {}, seq)
        assert (engine.journal.cursors(), engine.stats.commits) == ({}, commits)
        outcome = engine.step([heard(4, 101.0, settled)], may_hold=True)
        assert (len(outcome.settles), engine.held) == (4, 0)
        assert outcome.marks == engine.journal.cursors() == {"gw-1": Cursor(EPOCH, 4)}
        assert engine.stats.commits == commits + 1
        assert (engine.stats.packs, engine.journal.parts()["sum"]) == (4, b"104.0")


def test_a_step_that_may_not_hold_commits_what_was_held(tmp_path: Path) -> None:
    """So the time that something waits is the caller's to bound; time alone does it, too."""
    with engine_in(tmp_path) as engine:
        engine.step([heard(1, 1.0)], may_hold=True)
        outcome = engine.step([])
        assert (outcome.marks, engine.held) == ({"gw-1": Cursor(EPOCH, 1)}, 0)


def test_no_more_is_held_than_fits(tmp_path: Path) -> None:
    """MAX_HELD items are committed, whatever is allowed."""
    with engine_in(tmp_path) as engine:
        engine.step([heard(seq, 1.0) for seq in range(1, MAX_HELD)], may_hold=True)
        assert engine.held == MAX_HELD - 1
        engine.step([heard(MAX_HELD, 1.0)], may_hold=True)
        assert (engine.held, engine.journal.cursors()["gw-1"].through) == (0, MAX_HELD)


def test_a_gap_is_asked_for_at_once(tmp_path: Path) -> None:
    """What has to be said is not held back, nor is what was held before it."""
    with engine_in(tmp_path) as engine:
        engine.step([heard(1, 1.0)], may_hold=True)
        outcome = engine.step([heard(3, 1.0)], may_hold=True)
        assert (outcome.asks, engine.held) == ({"gw-1": Cursor(EPOCH, 1)}, 0)


def test_a_commit_that_fails_loses_nothing_of_what_was_held(tmp_path: Path) -> None:
    """The next step with the same items has all of it again, once."""
    settled: list[int] = []
    with engine_in(tmp_path) as engine:
        engine.step([heard(1, 1.0, settled), heard(2, 2.0, settled)], may_hold=True)
        last = [heard(3, 101.0, settled)]
        with failing_disk(), pytest.raises(LogError):
            engine.step(last, may_hold=True)
        assert (engine.held, engine.journal.cursors()) == (2, {})
        outcome = engine.step(last, may_hold=True)
        for settle in outcome.settles:
            settle()
        assert (settled, engine.journal.parts()["sum"]) == ([1, 2, 3], b"104.0")
        assert len(said(engine)) == 1


@given(st.lists(st.tuples(st.sampled_from([1.0, 2.0, 150.0]), st.booleans(), st.sampled_from(["", "", "fail", "die"]))))
@settings(max_examples=150, deadline=None)
def test_holding_changes_no_effect(story: list[tuple[float, bool, str]]) -> None:
    """Law: with holding, failing commits and deaths at any step the log holds what it would hold without them."""
    with tempfile.TemporaryDirectory() as plain, engine_in(Path(plain)) as engine:
        for seq, (value, _, _) in enumerate(story, 1):
            engine.step([heard(seq, value)])
        wanted, end = said(engine), len(story)
    accidents = {seq: accident for seq, (_, _, accident) in enumerate(story, 1)}
    with tempfile.TemporaryDirectory() as folder:
        while True:
            with engine_in(Path(folder)) as engine:  # after a death the producer sends again what no cursor has
                first = engine.journal.cursors().get("gw-1", Cursor("", 0)).through + 1
                for seq in range(first, end + 1):
                    value, may_hold, _ = story[seq - 1]
                    accident = accidents.pop(seq, "")
                    if accident == "fail":
                        with failing_disk(), pytest.raises(LogError):
                            engine.step([heard(seq, value)])
                    engine.step([heard(seq, value)], may_hold=may_hold)
                    if accident == "die":
                        break
                else:
                    engine.step([])
                    assert said(engine) == wanted
                    return


@contextmanager
def failing_disk() -> Iterator[None]:
    """No step can be written."""

    def fail(*_: object) -> None:
        raise LogError("the disk is gone for a moment")

    with pytest.MonkeyPatch.context() as broken:
        broken.setattr(Engine, "_write", fail)
        yield
