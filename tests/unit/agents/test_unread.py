"""Rows that can't be read: an operator's view. Broken ones cost themselves, newer ones cost time, neither the log."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemesh.agents.core import Input
from edgemesh.agents.engine import Engine
from edgemesh.agents.items import Heard
from edgemesh.agents.unread import MAX_LOGS, MAX_TRIES, Fate, Unread
from edgemesh.log.follower import Follower
from edgemesh.log.journal import Cursor, Journal
from edgemesh.model.packs import Readings
from edgemesh.model.samples import Record
from edgemesh.testing import EPOCH, START_NS, FixedClock, make_readings, payload_of
from edgemesh.wire.place import read_place
from tests.unit.agents.site import Keeper

TOPIC = "edgemesh/v1/site/log/readings/gateway-1"


def sound(seq: int) -> bytes:
    return payload_of(make_readings([float(seq)], seq=seq))


def broken(seq: int) -> bytes:
    """A true header around a body that breaks the rules."""
    return sound(seq).replace(b'"values":[[', b'"values":[["x",')


def newer(seq: int, version: int = 2) -> bytes:
    return sound(seq).replace(b'"agent"', b'"v":%d,"agent"' % version, 1).replace(b'"v":1,', b"")


def hear(payload: bytes) -> Heard:
    return Heard("readings", "gateway-1", TOPIC, payload, lambda: None, at_ns=START_NS)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """An engine that keeps every value."""
    journal = Journal.open(tmp_path / "rec.db", "rec")
    yield Engine(journal, Keeper, FixedClock(), writes="")
    journal.close()


def kept(engine: Engine) -> list[float | None]:
    assert isinstance(engine.core, Keeper)
    return engine.core.kept.get("gateway-1", [])


def test_the_builders_make_what_they_say() -> None:
    """The broken pack has a header that can be read, the newer one says its version."""
    for payload, version in ((sound(3), 1), (broken(3), 1), (newer(3, 7), 7)):
        place = read_place(payload, agent="gateway-1")
        assert place is not None
        assert (place.epoch, place.seq, place.lowest, place.v) == (EPOCH, 3, 1, version)


def test_a_broken_row_is_asked_for_again_and_given_up_after_three_tries(engine: Engine) -> None:
    """Twice we ask; the third time the row is lost, said and kept, and the log goes on behind it."""
    engine.step([hear(sound(1))])
    for _ in range(MAX_TRIES - 1):
        outcome = engine.step([hear(broken(2)), hear(sound(3))])
        assert outcome.asks == {"gateway-1": Cursor(EPOCH, 1)}
        assert kept(engine) == [1.0]
    assert engine.stats.lost == 0
    outcome = engine.step([hear(broken(2)), hear(sound(3))])
    assert (kept(engine), outcome.asks) == ([1.0, 3.0], {})
    assert outcome.marks == {"gateway-1": Cursor(EPOCH, 3)} == engine.journal.cursors()
    assert (engine.stats.lost, engine.stats.given_up) == (1, 1)
    assert engine.journal.rejections() == {"wrong_shape": MAX_TRIES}
    assert engine.journal.quarantine(limit=1)[0].payload == broken(2)


def test_the_first_row_of_a_log_may_be_broken(engine: Engine) -> None:
    """A reader that has nothing of a log yet gives its first row up as well, and what follows counts."""
    for _ in range(MAX_TRIES):
        engine.step([hear(broken(1))])
    engine.step([hear(sound(2))])
    assert (kept(engine), engine.stats.lost) == ([2.0], 1)


def test_a_whole_copy_counts_whatever_came_before(engine: Engine) -> None:
    """A stranger's broken bytes in the place of a row don't keep the row from counting when it comes."""
    for seq in (1, 2, 3):
        engine.step([hear(broken(seq)), hear(broken(seq)), hear(sound(seq))])
    assert (kept(engine), engine.stats.lost) == ([1.0, 2.0, 3.0], 0)


def test_broken_rows_that_we_do_not_wait_for_are_only_refused(engine: Engine) -> None:
    """Neither a row that we have nor one behind a gap is ever given up, however often it comes broken."""
    engine.step([hear(sound(1)), hear(sound(2))])
    for _ in range(5):
        engine.step([hear(broken(1)), hear(broken(9))])
    assert engine.journal.cursors() == {"gateway-1": Cursor(EPOCH, 2)}
    assert (engine.stats.lost, engine.stats.rejected) == (0, 10)


def test_broken_rows_begin_no_other_log(engine: Engine) -> None:
    """However many come under another epoch, the log that we know goes on, and nothing of it counts as lost."""
    engine.step([hear(sound(1))])
    for _ in range(2 * MAX_TRIES):
        outcome = engine.step([hear(broken(1).replace(EPOCH.encode(), b"beef"))])
        assert (outcome.asks, outcome.marks) == ({}, {})
    engine.step([hear(sound(2))])
    assert (kept(engine), engine.stats.lost, engine.stats.given_up) == ([1.0, 2.0], 0, 0)


def test_a_newer_version_is_waited_for_and_said_once(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing of the log is skipped; the log says what to do, once, and one refusal is counted however many come."""
    engine.step([hear(sound(1))])
    with caplog.at_level(logging.WARNING):
        for _ in range(10):
            outcome = engine.step([hear(newer(2)), hear(newer(3))])
            assert (outcome.asks, outcome.marks) == ({}, {})
        assert engine.unread.halted == {"gateway-1": 2}
        assert engine.journal.cursors() == {"gateway-1": Cursor(EPOCH, 1)}
        assert engine.journal.rejections() == {"wrong_version": 1}
        engine.step([hear(sound(2)), hear(sound(3))])
    assert (kept(engine), engine.stats.lost, engine.unread.halted) == ([1.0, 2.0, 3.0], 0, {})
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert "version 2 from row 2 on" in said[0]
    assert "Upgrade it" in said[0]
    assert "can be read again" in said[1]


@pytest.mark.parametrize("version", [b"0", b"-1", b"true", b'"2"', b"1.0", b"null"])
def test_only_a_whole_number_above_ours_is_a_newer_version(engine: Engine, version: bytes) -> None:
    """Any other nonsense in `v` is a broken row: given up after three tries, not waited for."""
    payload = newer(1).replace(b'"v":2', b'"v":' + version)
    for _ in range(MAX_TRIES):
        engine.step([hear(payload)])
    assert (engine.stats.rejected, engine.unread.halted) == (MAX_TRIES, {})


class Hiccup(Keeper):
    """Raises on every pack of readings with the value -1."""

    def handle(self, pack: Input) -> Sequence[Record]:
        if isinstance(pack, Readings) and pack.records[0].values[0][0] == -1.0:
            raise ZeroDivisionError
        return super().handle(pack)


def test_a_step_that_starts_again_counts_each_try_once(tmp_path: Path) -> None:
    """A core that raises in the same step has the items handled again: that is no further try of a broken row."""
    with_poison = hear(payload_of(make_readings([-1.0], seq=1)))
    journal = Journal.open(tmp_path / "rec.db", "rec")
    engine = Engine(journal, Hiccup, FixedClock(), writes="")
    outcome = engine.step([hear(broken(2)), with_poison, hear(broken(2)), hear(newer(2))])
    assert outcome.asks
    assert journal.rejections() == {"wrong_shape": 2, "handler_failed": 1, "wrong_version": 1}
    assert (engine.stats.lost, engine.unread.halted) == (0, {"gateway-1": 2})
    journal.close()


def test_strangers_can_not_fill_the_memory(tmp_path: Path) -> None:
    """Of at most a thousand logs it is remembered what was broken in them."""
    unread = Unread("rec")
    for number in range(2 * MAX_LOGS):
        for payload in (broken(1), newer(1)):
            mine = payload.replace(b"gateway-1", b"g-%d" % number)
            unread.judge(f"g-{number}", mine, Follower(None))
        unread.keep()
    assert len(unread.halted) == len(unread._tries) == MAX_LOGS


@given(
    rows=st.lists(st.sampled_from(["sound", "broken", "cut"]), min_size=1, max_size=8),
    arrivals=st.lists(st.integers(0, 7), max_size=40),
)
@settings(max_examples=200, deadline=None)
def test_the_law(rows: list[str], arrivals: list[int]) -> None:
    """However rows come: each is taken once and in order or given up, a sound row is never lost, nothing stands still.

    A row that is broken always comes broken; one that is cut comes whole from the second time on.
    """
    unread, follower = Unread("rec"), Follower(Cursor(EPOCH, 0))
    taken: list[int] = []
    lost: list[int] = []
    seen = [0] * len(rows)

    def arrive(seq: int) -> None:
        row = rows[seq - 1]
        seen[seq - 1] += 1
        if row == "broken" or (row == "cut" and seen[seq - 1] == 1):
            fate, place = unread.judge("gateway-1", broken(seq), follower)
            unread.keep()
            if fate is Fate.GIVEN_UP:
                assert place is not None
                assert follower.receive(place.epoch, place.seq, place.lowest).take
                lost.append(seq)
        elif follower.receive(EPOCH, seq, 1).take:
            taken.append(seq)

    for arrival in arrivals:
        arrive(arrival % len(rows) + 1)
    for _ in range(MAX_TRIES * len(rows)):  # the producer sends what we ask for
        position = follower.position
        assert position is not None
        for seq in range(position.through + 1, len(rows) + 1):
            arrive(seq)
    assert lost == [seq for seq, row in enumerate(rows, 1) if row == "broken"]
    assert sorted(taken + lost) == list(range(1, len(rows) + 1))
    assert taken == sorted(taken)
