"""After an outage live rows go out before older ones, and a follower takes both, each in order."""

from __future__ import annotations

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemesh.log.feeder import LATE_S, PROBE_S, Feeder
from edgemesh.log.follower import Follower, Verdict
from edgemesh.log.outbox import MAX_AHEAD, Cursor

EPOCH, OTHER = "0a", "0b"
TAKE, HAD, ASK = Verdict(take=True), Verdict(), Verdict(ask=True)
LANE_ROWS = 64
MANY = LANE_ROWS + 36


@pytest.fixture(autouse=True)
def few_rows_make_a_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a lane fits into a window, and can be followed by hand."""
    monkeypatch.setattr("edgemesh.log.feeder.LANE_ROWS", LANE_ROWS)


def publish(feeder: Feeder, limit: int = 1_000) -> list[int]:
    """Publish what is due at once, as the runtime does."""
    seqs = list(chain.from_iterable(feeder.due(limit)))
    for seq in seqs:
        feeder.published(seq)
    return seqs


def rows(first: int, last: int) -> list[int]:
    return list(range(first, last + 1))


def wait(feeder: Feeder, from_s: int, to_s: int) -> None:
    for second in range(from_s, to_s + 1):
        feeder.tick(float(second))


def cut_off(rows_waiting: int, *, for_s: int = 10, window: int = 50, groups: tuple[str, ...] = ("det",)) -> Feeder:
    """A feeder whose link was away for so long, while so many rows were committed after the ten that all have."""
    feeder = Feeder(EPOCH, groups, window=window, lanes=True)
    feeder.linked(True)
    feeder.committed(10, 1)
    for row in range(1, 11):
        publish(feeder)
        for group in groups:
            feeder.mark(group, EPOCH, row)
    wait(feeder, 0, 5)
    feeder.linked(False)
    feeder.committed(10 + rows_waiting, 1)
    wait(feeder, 6, 6 + for_s)
    feeder.linked(True)
    return feeder


# -- the producer ------------------------------------------------------------------------------------------------------


def test_after_a_long_cut_live_rows_are_due_at_once() -> None:
    """The older rows share the link with them, oldest first, a window beyond what the group has."""
    feeder = cut_off(MANY)
    head = 10 + MANY
    assert feeder.live == head + 1
    assert publish(feeder) == rows(11, 60)
    feeder.committed(head + 2, 1)
    assert publish(feeder) == rows(head + 1, head + 2)
    feeder.mark("det", EPOCH, 20, [(head + 1, head + 2)])
    feeder.committed(head + 3, 1)
    assert publish(feeder) == [head + 3, *rows(61, 70)]


def test_the_live_lane_comes_first_in_what_is_due() -> None:
    """With little room it has its share at the front."""
    feeder = cut_off(MANY)
    feeder.committed(10 + MANY + 20, 1)
    first, second = feeder.due(20)
    assert (first.start, second.start) == (11 + MANY, 11)
    assert (len(first), len(second)) == (10, 10)


def test_the_backlog_does_not_wait_for_ever() -> None:
    """Where there is never room for more than the live rows, it comes first once in four times."""
    feeder = cut_off(MANY, window=1_000)
    sent = []
    for head in range(11 + MANY, 51 + MANY):
        feeder.committed(head, 1)
        first = feeder.due(2)[0].start
        feeder.published(first)
        sent.append(first)
    assert sum(row < feeder.live for row in sent) == 10
    assert [row for row in sent if row >= feeder.live] == rows(11 + MANY, 40 + MANY)


def test_a_lane_ends_when_nothing_is_late_any_more() -> None:
    """Once every required group that lives has the rows that waited, packs say no more which row is live."""
    feeder = cut_off(MANY, groups=("det", "rec"), window=1_000)
    head = 10 + MANY
    publish(feeder)
    feeder.mark("det", EPOCH, head)
    assert feeder.live == head + 1
    feeder.mark("rec", EPOCH, head - 1)
    assert feeder.live == head + 1
    feeder.mark("rec", EPOCH, head)
    assert feeder.live == 0
    assert feeder.prunable == head


def test_a_short_backlog_goes_out_in_order_and_is_marked_as_late() -> None:
    """It takes no time worth the trouble; but what was over in it is the past."""
    feeder = cut_off(LANE_ROWS, window=500)
    assert feeder.live == 11 + LANE_ROWS
    feeder.committed(12 + LANE_ROWS, 1)
    assert publish(feeder) == rows(11, 12 + LANE_ROWS)


@pytest.mark.parametrize("waiting", [5, MANY])
def test_a_blip_delays_nobody_and_marks_nothing(waiting: int) -> None:
    """Rows that waited for less than LATE_S are not late, however many they are."""
    feeder = cut_off(0)
    wait(feeder, 20, 30)
    feeder.linked(False)
    feeder.committed(10 + waiting, 1)
    feeder.tick(30.0 + LATE_S / 2)
    feeder.linked(True)
    assert feeder.live == 0
    assert publish(feeder)[0] == 11


def test_without_lanes_rows_go_out_in_order() -> None:
    """Logs of alerts, orders and answers are small, and keep strict order."""
    feeder = Feeder(EPOCH, ["det"], head=500, window=20)
    feeder.linked(True)
    feeder.mark("det", EPOCH, 10)
    assert feeder.live == 0
    assert publish(feeder) == rows(11, 30)


def test_after_a_restart_the_first_mark_decides() -> None:
    """A producer that is started in an outage learns from a retained mark how long its backlog is, and jumps then."""
    feeder = Feeder(EPOCH, ["det", "rec"], head=500, window=20, lanes=True)
    feeder.linked(True)
    assert feeder.live == 0
    feeder.mark("rec", EPOCH, 100)
    assert feeder.live == 501
    feeder.committed(501, 1)
    assert publish(feeder) == [501, *rows(101, 120)]
    feeder.ask("det", EPOCH, 90, 0.0)
    assert publish(feeder) == [501, *rows(91, 110)]


def test_after_a_restart_known_marks_spare_the_lane() -> None:
    """What all have is not late."""
    feeder = Feeder(EPOCH, ["det"], head=500, lanes=True)
    feeder.linked(True)
    feeder.mark("det", EPOCH, 500)
    assert feeder.live == 0
    feeder.committed(501, 1)
    assert publish(feeder) == [501]


def test_a_reader_that_was_away_gets_live_rows_besides_what_it_lacks() -> None:
    """The others are not disturbed: for them the live rows are simply the next ones."""
    feeder = Feeder(EPOCH, ["det", "rec"], window=50, lanes=True)
    feeder.linked(True)
    feeder.committed(400, 1)
    feeder.mark("rec", EPOCH, 0)
    publish(feeder)
    for through in range(50, 401, 50):
        feeder.mark("det", EPOCH, through)
        publish(feeder)
    wait(feeder, 0, 9)
    feeder.ask("rec", EPOCH, 0, 9.5)
    assert feeder.live == 401
    feeder.committed(402, 1)
    assert publish(feeder) == [401, 402, *rows(1, 50)]
    feeder.mark("rec", EPOCH, 50, [(401, 402)])
    feeder.mark("det", EPOCH, 402)
    assert publish(feeder) == rows(51, 100)
    for through in range(100, 351, 50):
        feeder.mark("rec", EPOCH, through, [(401, 402)])
        publish(feeder)
    assert publish(feeder) == []
    feeder.mark("rec", EPOCH, 402)
    assert (feeder.live, feeder.prunable, publish(feeder)) == (0, 402, [])


def test_a_newcomer_makes_nothing_late() -> None:
    """Who knows nothing of this log is sent all that is held; for the others nothing has changed."""
    feeder = Feeder(EPOCH, ["det"], window=500, lanes=True)
    feeder.linked(True)
    feeder.committed(400, 1)
    publish(feeder)
    feeder.mark("det", EPOCH, 400)
    wait(feeder, 0, 9)
    feeder.ask("det", "", 0, 9.5)
    assert feeder.live == 0
    assert publish(feeder) == rows(1, 400)


def test_a_live_row_that_got_lost_is_sent_again_at_once() -> None:
    """It does not wait behind the backlog, and the backlog does not begin anew for it."""
    feeder = cut_off(MANY)
    head = 10 + MANY
    publish(feeder)
    feeder.committed(head + 9, 1)
    publish(feeder)
    feeder.ask("det", EPOCH, 10, 20.0, [(head + 1, head + 4)])
    assert publish(feeder) == rows(head + 5, head + 9)
    feeder.ask("det", EPOCH, 10, 20.1, [(head + 1, head + 4)])
    assert publish(feeder) == []


def test_the_first_row_of_a_lane_that_got_lost_is_sent_alone() -> None:
    """A group that knows nothing of the lane may not want it: one row tells."""
    feeder = cut_off(MANY)
    head = 10 + MANY
    feeder.committed(head + 9, 1)
    publish(feeder)
    feeder.ask("det", EPOCH, 10, 20.0)
    assert publish(feeder) == [head + 1]
    feeder.ask("det", EPOCH, 10, 20.2, [(head + 1, head + 1)])
    assert publish(feeder) == rows(head + 2, head + 9)


def test_a_second_cut_during_the_backlog_begins_a_second_lane() -> None:
    """The first hole is filled first, then the second."""
    feeder = cut_off(MANY, window=1_000)
    first = 11 + MANY
    publish(feeder)
    feeder.committed(first + 4, 1)
    publish(feeder)
    feeder.mark("det", EPOCH, 30, [(first, first + 4)])
    feeder.linked(False)
    feeder.committed(first + 4 + MANY, 1)
    wait(feeder, 20, 30)
    feeder.linked(True)
    second = first + 5 + MANY
    assert feeder.live == second
    feeder.committed(second, 1)
    assert publish(feeder) == [second, *rows(31, first - 1)]
    feeder.mark("det", EPOCH, first + 4, [(second, second)])
    assert publish(feeder) == rows(first + 5, second - 1)
    feeder.mark("det", EPOCH, second)
    assert (feeder.live, publish(feeder)) == (0, [])


def test_holes_are_bounded() -> None:
    """A reader that holds as many spans as it may is given no further lane: the newest one goes on in order."""
    feeder = cut_off(MANY, window=10_000)
    top = 11 + MANY
    for _ in range(MAX_AHEAD):
        top += 100
    spans = [(20 + 20 * k, 30 + 20 * k) for k in range(MAX_AHEAD)]
    publish(feeder)
    feeder.committed(200, 1)
    publish(feeder)
    feeder.mark("det", EPOCH, 12, spans)
    feeder.linked(False)
    feeder.committed(2_000, 1)
    wait(feeder, 20, 30)
    feeder.linked(True)
    assert spans[-1][1] + 1 in publish(feeder)


def test_a_hole_of_which_nobody_speaks_is_probed() -> None:
    """A group that stands still before its hole is sent the next row, whatever the live lane does."""
    feeder = cut_off(MANY, window=4)
    head = 10 + MANY
    assert publish(feeder) == rows(11, 14)
    feeder.committed(head + 1, 1)
    publish(feeder)
    feeder.mark("det", EPOCH, 10, [(head + 1, head + 1)])
    feeder.tick(100.0)
    feeder.tick(100.0 + PROBE_S)
    assert publish(feeder) == [11]
    feeder.mark("det", EPOCH, 11, [(head + 1, head + 1)])
    assert publish(feeder) == rows(12, 15)


@pytest.mark.parametrize("ahead", [[(40, 50)], [(12, 20), (30, 9_999)]])
def test_spans_of_rows_that_nobody_can_have_are_not_believed(ahead: list[tuple[int, int]]) -> None:
    """A mark or an ask whose rows were never public changes nothing, and says that the file is an older one."""
    feeder = Feeder(EPOCH, ["det"], head=30, lanes=True)
    feeder.linked(True)
    feeder.mark("det", EPOCH, 10, ahead)
    feeder.ask("det", EPOCH, 10, 0.0, ahead)
    assert feeder.prunable == 0
    assert feeder.strange == 2
    assert feeder.rolled_back


# -- the consumer ------------------------------------------------------------------------------------------------------


def test_a_lane_begins_with_the_row_that_the_producer_names() -> None:
    """From there on both lanes are taken, each in order; when they meet there is one again."""
    follower = Follower(Cursor(EPOCH, 5))
    assert follower.receive(EPOCH, 10, 1, 10) == TAKE
    assert follower.receive(EPOCH, 6, 1, 10) == TAKE
    assert follower.receive(EPOCH, 11, 1, 10) == TAKE
    assert follower.position == Cursor(EPOCH, 6, ((10, 11),))
    assert follower.receive(EPOCH, 8, 1, 10) == ASK
    assert follower.receive(EPOCH, 13, 1, 10) == ASK
    assert follower.receive(EPOCH, 10, 1, 10) == HAD
    assert [follower.receive(EPOCH, seq, 1, 10) for seq in (7, 8, 9)] == [TAKE] * 3
    assert follower.position == Cursor(EPOCH, 11)


@pytest.mark.parametrize(("seq", "live"), [(10, 0), (10, 9), (11, 10), (10, 11)])
def test_only_the_named_row_begins_a_lane(seq: int, live: int) -> None:
    """Any other row that is not the next one is a gap."""
    follower = Follower(Cursor(EPOCH, 5))
    assert follower.receive(EPOCH, seq, 1, live) == ASK
    assert follower.position == Cursor(EPOCH, 5)


def test_a_row_that_is_next_begins_no_lane() -> None:
    """Where nothing is missing, the first live row is simply the next."""
    follower = Follower(Cursor(EPOCH, 9))
    assert follower.receive(EPOCH, 10, 1, 10) == TAKE
    assert follower.position == Cursor(EPOCH, 10)


def test_a_newcomer_may_begin_with_live_rows() -> None:
    """At first contact all rows that are held count as missing."""
    follower = Follower(None)
    assert follower.receive(EPOCH, 10, 4, 10) == TAKE
    assert follower.position == Cursor(EPOCH, 3, ((10, 10),))
    assert [follower.receive(EPOCH, seq, 4, 10) for seq in range(4, 10)] == [TAKE] * 6
    assert follower.position == Cursor(EPOCH, 10)


def test_rows_that_are_gone_for_good_close_a_hole() -> None:
    """Lost are only those that were neither taken before nor ahead."""
    follower = Follower(Cursor(EPOCH, 5, ((10, 12),)))
    assert follower.receive(EPOCH, 13, 8) == Verdict(take=True, lost=2)
    assert follower.position == Cursor(EPOCH, 7, ((10, 13),))
    assert follower.receive(EPOCH, 20, 20) == Verdict(take=True, lost=2 + 6)
    assert follower.position == Cursor(EPOCH, 20)


def test_with_all_holes_open_live_rows_wait_for_their_turn() -> None:
    """No further lane: the row is left for later without an ask, for the older ones are coming."""
    spans = tuple((10 * k, 10 * k + 2) for k in range(1, MAX_AHEAD + 1))
    follower = Follower(Cursor(EPOCH, 5, spans))
    assert follower.receive(EPOCH, 90, 1, 90) == HAD
    assert follower.position == Cursor(EPOCH, 5, spans)
    assert follower.receive(EPOCH, spans[-1][1] + 1, 1, 90) == TAKE


def test_another_epoch_and_back_keeps_what_was_ahead() -> None:
    """A stray pack of a file long gone makes nothing come twice."""
    follower = Follower(Cursor(EPOCH, 5, ((10, 12),)))
    follower.receive(OTHER, 7, 1)
    for _ in range(3):
        follower.receive(EPOCH, 6, 1)
    assert follower.position == Cursor(EPOCH, 6, ((10, 12),))
    assert follower.receive(EPOCH, 11, 1) == HAD


packets = st.tuples(
    st.sampled_from(["a", "b"]), st.integers(1, 15), st.integers(1, 6), st.sampled_from([0, 0, 4, 8, 12])
)


@given(st.lists(packets, max_size=80))
def test_no_row_is_taken_twice_whatever_arrives(packs: list[tuple[str, int, int, int]]) -> None:
    """Taken and lost rows of an epoch are those that the position says, and each of them once."""
    follower = Follower(None)
    taken: dict[str, list[int]] = {}
    for epoch, seq, lowest, live in packs:
        verdict = follower.receive(epoch, seq, lowest, live)
        position = follower.position
        assert position is not None
        assert len(position.ahead) <= MAX_AHEAD
        assert all(last + 1 < first for (_, last), (first, _) in zip(position.ahead, position.ahead[1:], strict=False))
        assert all(position.through + 1 < first <= last for first, last in position.ahead)
        if verdict.take:
            assert position.epoch == epoch
            assert position.has(seq)
            assert seq not in taken.setdefault(epoch, [])
            taken[epoch].append(seq)
    for epoch, seqs in taken.items():
        if follower.position is not None and follower.position.epoch == epoch:
            assert all(follower.position.has(seq) for seq in seqs)
