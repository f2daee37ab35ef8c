"""A feeder publishes each row once, again to whoever asks, and never more than a window ahead."""

from __future__ import annotations

from itertools import chain, pairwise

import pytest

from edgemesh.log.backfill import GRACE_MAX_S
from edgemesh.log.feeder import GRACE_S, OTHERS, PROBE_MAX_S, PROBE_S, Feeder

EPOCH, OTHER = "0a", "0b"


def feeder(*required: str, head: int = 0, lowest: int = 1, window: int = 10) -> Feeder:
    made = Feeder(EPOCH, required, head=head, lowest=lowest, window=window)
    made.linked(True)
    return made


def publish(feeder: Feeder, limit: int = 1_000) -> list[int]:
    """Publish what is due at once, as the runtime does."""
    seqs = list(chain.from_iterable(feeder.due(limit)))
    for seq in seqs:
        feeder.published(seq)
    return seqs


def drain(feeder: Feeder, limit: int = 1_000) -> list[int]:
    """Publish until nothing is due."""
    seqs: list[int] = []
    while more := publish(feeder, limit):
        seqs += more
    return seqs


def rows(first: int, last: int) -> list[int]:
    return list(range(first, last + 1))


def test_rows_are_published_once_up_to_the_window() -> None:
    """The live pump stops a window beyond what the required group has, and goes on with its watermark."""
    log = feeder("det", head=30)
    assert drain(log) == rows(1, 10)
    log.mark("det", EPOCH, 4)
    assert drain(log) == rows(11, 14)
    log.mark("det", EPOCH, 30)
    assert drain(log) == []
    log.committed(31, 1)
    assert drain(log) == [31]


def test_asking_what_is_due_changes_nothing() -> None:
    """Rows that the connection refused stay due."""
    log = feeder("det", head=3)
    assert log.due(9) == [range(1, 4)]
    log.published(1)
    assert log.due(9) == [range(2, 4)]
    log.published(3)  # not the next one: says nothing
    assert log.due(9) == [range(2, 4)]


def test_nothing_is_due_without_a_link() -> None:
    """No link, nothing to publish."""
    log = feeder("det", head=3)
    log.linked(False)
    assert log.due(9) == []
    assert Feeder(EPOCH, ["det"], head=3).due(9) == []


def test_without_required_groups_nothing_is_held_back() -> None:
    """A log that nobody must have is published at once, once, and prunable as far as it was published."""
    log = feeder(head=1_000)
    assert drain(log) == rows(1, 1_000)
    assert log.prunable == 1_000
    log.linked(False)
    log.linked(True)
    assert drain(log) == []


def test_a_dead_group_does_not_stop_the_others() -> None:
    """The most advanced required group opens the window; pruning waits for the last."""
    log = feeder("det", "rec", head=100)
    drain(log)
    for through in range(10, 101, 10):
        log.mark("det", EPOCH, through)
        drain(log)
    assert log.published_through == 100
    assert log.prunable == 0
    log.mark("rec", EPOCH, 7)
    assert log.prunable == 7


def test_groups_that_are_not_required_hold_nothing_back() -> None:
    """Their watermarks neither open the window nor keep rows."""
    log = feeder("det", head=100)
    drain(log)
    log.mark("console", EPOCH, 10)
    assert drain(log) == []
    log.mark("det", EPOCH, 10)
    assert log.prunable == 10
    assert log.watermarks() == {"det": 10, "console": 10}


@pytest.mark.parametrize(("epoch", "through"), [(OTHER, 5), ("", 5), (EPOCH, 31), (EPOCH, 3)])
def test_a_mark_that_cannot_be_is_ignored(epoch: str, through: int) -> None:
    """Another epoch's mark, one beyond the head, and one behind an earlier mark change nothing."""
    log = feeder("det", head=30)
    log.mark("det", EPOCH, 4)
    log.mark("det", epoch, through)
    assert log.prunable == 4
    assert drain(log) == rows(5, 14)
    assert log.strange == (through == 31)


def test_known_marks_spare_the_backlog_after_a_restart() -> None:
    """Rows that the most advanced required group has aren't published again live."""
    log = feeder("det", head=100)
    log.mark("det", EPOCH, 95)
    assert drain(log) == rows(96, 100)


def test_after_a_link_loss_what_nobody_has_is_published_again() -> None:
    """The broker may have forgotten everything beyond the watermark."""
    log = feeder("det", "rec", head=30)
    log.mark("det", EPOCH, 12)
    log.mark("rec", EPOCH, 3)
    drain(log)
    log.linked(False)
    log.linked(True)
    assert drain(log) == rows(13, 22)


def test_rows_that_are_gone_are_not_due() -> None:
    """When the disk was full and old rows gave way, the pumps go on at the lowest row held."""
    log = feeder("det", head=30)
    log.mark("det", EPOCH, 4)
    drain(log)
    log.ask("det", EPOCH, 4, 0.0)
    log.committed(50, 41)
    assert drain(log) == rows(41, 50)
    log.ask("det", EPOCH, 4, 10.0)
    assert drain(log) == rows(41, 50)


def test_a_group_that_asks_gets_its_rows_at_its_pace() -> None:
    """The backfill pump goes a window beyond what the group has, while live rows go on."""
    log = feeder("det", "rec", head=100)
    log.mark("det", EPOCH, 100)
    log.ask("rec", EPOCH, 20, 0.0)
    assert drain(log) == rows(21, 30)
    log.committed(102, 1)
    log.mark("rec", EPOCH, 25)
    assert drain(log) == [*rows(31, 35), 101, 102]
    for through in range(35, 101, 10):
        log.mark("rec", EPOCH, through)
        drain(log)
    log.mark("rec", EPOCH, 102)
    assert (drain(log), log.prunable) == ([], 100)


@pytest.mark.parametrize("epoch", ["", OTHER])
def test_an_ask_of_another_epoch_is_for_all_rows(epoch: str) -> None:
    """A newcomer, or one that knows another file, is sent everything from the lowest row on."""
    log = feeder("det", head=30, lowest=11)
    log.mark("det", EPOCH, 30)
    log.ask("console", epoch, 7_000, 0.0)
    assert drain(log) == rows(11, 20)


def test_an_ask_is_no_promise() -> None:
    """What a group asks after may be uncommitted: it opens the window, but prunes nothing."""
    log = feeder("det", head=100)
    log.ask("det", EPOCH, 50, 0.0)
    assert drain(log) == rows(51, 60)
    assert log.prunable == 0


def test_repeated_asks_are_one_ask() -> None:
    """Every pack behind a gap makes a consumer ask; the rows on their way aren't sent again for it."""
    log = feeder("det", head=30, window=100)
    drain(log)
    log.ask("det", EPOCH, 4, 0.0)
    assert drain(log) == rows(5, 30)
    for _ in range(50):
        log.ask("det", EPOCH, 4, GRACE_S * 0.9)
    assert drain(log) == []
    log.ask("det", EPOCH, 4, GRACE_S)
    assert drain(log) == rows(5, 30)


def test_rows_that_come_late_are_not_sent_again_and_again() -> None:
    """Where a broker takes its time, what was sent again for nothing gets twice the time, up to a limit."""
    log = feeder("det", head=30, window=100)
    drain(log)
    again = []
    for tenth in range(600):
        log.ask("det", EPOCH, 4, tenth / 10)
        if drain(log):
            again.append(tenth / 10)
    pauses = [later - earlier for earlier, later in pairwise(again)]
    assert pauses[:5] == pytest.approx([0.5, 1.0, 2.0, 4.0, 8.0], abs=0.11)
    assert max(pauses) == pytest.approx(GRACE_MAX_S, abs=0.11)


def test_a_new_link_is_given_no_more_time_than_any() -> None:
    """What is known of a broker's slowness is forgotten with the link."""
    log = feeder("det", head=30, window=100)
    drain(log)
    for tenth in range(100):
        log.ask("det", EPOCH, 4, tenth / 10)
        drain(log)
    log.linked(False)
    log.linked(True)
    drain(log)
    for instant in (20.0, 20.0 + GRACE_S):
        log.ask("det", EPOCH, 4, instant)
        assert drain(log) == rows(5, 30)


def test_a_group_that_gets_on_is_left_alone() -> None:
    """Asks for rows on their way count again only once the group stood still for the grace time."""
    log = feeder("det", head=30, window=100)
    drain(log)
    log.ask("det", EPOCH, 4, 0.0)
    drain(log)
    for step in range(1, 9):
        log.mark("det", EPOCH, 4 + step)
        log.ask("det", EPOCH, 4 + step, step * 0.4)
        assert drain(log) == []
    log.ask("det", EPOCH, 12, 8 * 0.4 + GRACE_S)
    assert drain(log) == rows(13, 30)


def test_a_new_gap_is_answered_at_once() -> None:
    """Grace is for rows that were just sent again, not for any other."""
    log = feeder("det", head=30, window=100)
    drain(log)
    log.ask("det", EPOCH, 4, 0.0)
    drain(log)
    log.mark("det", EPOCH, 30)
    log.committed(40, 1)
    drain(log)
    log.ask("det", EPOCH, 34, 0.1)
    assert drain(log) == rows(35, 40)


def test_after_a_link_loss_an_ask_is_answered_at_once() -> None:
    """What was on its way is gone with the link; open backfills begin again by themselves."""
    log = feeder("det", "rec", head=30)
    log.mark("det", EPOCH, 30)
    log.ask("rec", EPOCH, 4, 0.0)
    drain(log)
    log.linked(False)
    log.linked(True)
    assert drain(log) == rows(5, 14)
    log.mark("rec", EPOCH, 29)
    assert drain(log) == rows(15, 30)
    log.linked(False)
    log.linked(True)
    log.ask("rec", EPOCH, 20, 0.1)
    assert drain(log) == rows(21, 30)


def test_a_group_that_lost_its_disk_is_paced_from_where_it_stands() -> None:
    """An old watermark doesn't let a thousand rows loose on a consumer that begins again."""
    log = feeder("det", "rec", head=1_000)
    log.mark("det", EPOCH, 1_000)
    log.ask("det", "", 0, 0.0)
    assert drain(log) == rows(1, 10)
    log.mark("det", EPOCH, 6)
    assert drain(log) == rows(11, 16)
    assert log.watermarks()["det"] == 1_000
    log.committed(1_020, 1)
    assert drain(log) == rows(1_001, 1_010)


def test_backfill_and_live_rows_share_the_link() -> None:
    """With little room neither waits for the other to end."""
    log = feeder("det", "rec", head=1_000, window=500)
    log.mark("det", EPOCH, 1_000)
    log.ask("rec", EPOCH, 0, 0.0)
    log.committed(1_400, 1)
    assert log.due(100) == [range(1, 51), range(1_001, 1_051)]
    first = [publish(log, limit=1)[0] for _ in range(10)]
    assert set(first) == {*rows(1, 5), *rows(1_001, 1_005)}


def test_two_groups_at_the_same_place_share_the_rows() -> None:
    """All groups hear one topic: what two ask for is published once."""
    log = feeder("det", "rec", "console", head=100, window=50)
    log.mark("det", EPOCH, 100)
    log.ask("rec", EPOCH, 20, 0.0)
    log.ask("console", EPOCH, 20, 0.0)
    assert drain(log) == rows(21, 70)


def test_a_group_that_does_not_know_of_its_loss_is_probed() -> None:
    """The newest rows got lost and no other follows: one row again, and when that was news, the rest."""
    log = feeder("det", head=8)
    drain(log)
    log.mark("det", EPOCH, 5)
    log.tick(0.0)
    log.tick(PROBE_S * 0.9)
    assert drain(log) == []
    log.tick(PROBE_S)
    assert drain(log) == [6]
    log.mark("det", EPOCH, 6)
    assert drain(log) == [7, 8]


def test_a_slow_group_is_not_flooded() -> None:
    """It was only slow: it had more than the probe, and nothing is sent again."""
    log = feeder("det", head=8)
    drain(log)
    log.tick(0.0)
    log.tick(PROBE_S)
    assert drain(log) == [1]
    log.mark("det", EPOCH, 5)
    assert drain(log) == []
    log.mark("det", EPOCH, 8)
    log.tick(10 * PROBE_S)
    log.tick(20 * PROBE_S)
    assert drain(log) == []


def test_a_busy_link_is_no_standstill() -> None:
    """While the connection takes no rows, it isn't the group that is to be probed: its backfill stays as it was."""
    log = feeder("det", head=8)
    drain(log)
    log.ask("det", EPOCH, 0, 0.0)
    for second in range(60):
        log.tick(second)
    assert drain(log) == rows(1, 8)


def test_a_dead_group_costs_next_to_nothing() -> None:
    """An hour of a dead group is a row every 32 s."""
    log = feeder("det", "rec", head=8)
    log.mark("det", EPOCH, 8)
    sent: list[int] = []
    for second in range(3_600):
        log.tick(second)
        sent += drain(log)
    assert 100 < len(sent) <= 3_600 / PROBE_MAX_S + 6
    assert set(sent) == {1}


def test_a_group_that_comes_back_is_probed_soon() -> None:
    """An ask is a sign of life: the long pauses of a dead group are over."""
    log = feeder("det", "rec", head=8)
    log.mark("det", EPOCH, 8)
    for second in range(100):
        log.tick(second)
        drain(log)
    log.ask("rec", EPOCH, 0, 100.0)
    assert drain(log) == rows(1, 8)
    log.tick(100.0)
    log.tick(100.0 + PROBE_S)
    assert drain(log) == [1]


def test_groups_are_bounded() -> None:
    """Ever new names of groups don't fill the memory, and push no required group out."""
    log = feeder("det", head=8)
    for number in range(1_000):
        log.ask(f"g{number}", EPOCH, 0, 0.0)
    assert len(log.watermarks()) == OTHERS + 1
    assert "det" in log.watermarks()
    log.mark("g999", EPOCH, 3)
    assert log.watermarks()["g999"] == 3


@pytest.mark.parametrize("limit", [0, 1, 3, 7])
def test_no_more_than_the_limit_is_due(limit: int) -> None:
    """However many groups ask, `due` keeps to the limit."""
    log = feeder("det", "rec", head=100)
    for number in range(9):
        log.ask(f"g{number}", EPOCH, 11 * number, 0.0)
    for _ in range(20):
        assert sum(map(len, log.due(limit))) <= limit
