"""A follower takes each pack of a log once and in order, and says what is missing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemesh.log.follower import PAST_EPOCHS, PERSISTENCE, Follower, Verdict
from edgemesh.log.outbox import Cursor

TAKE, HAD, ASK = Verdict(take=True), Verdict(), Verdict(ask=True)
OLD, NEW = "0a", "0b"


@pytest.mark.parametrize(
    ("cursor", "seq", "lowest", "verdict", "through"),
    [
        (5, 6, 1, TAKE, 6),
        (5, 5, 1, HAD, 5),
        (5, 1, 1, HAD, 5),
        (5, 7, 1, ASK, 5),
        (5, 7, 6, ASK, 5),
        (5, 9, 9, Verdict(take=True, lost=3), 9),
        (5, 9, 8, Verdict(ask=True, lost=2), 7),
        (5, 9, 200, Verdict(take=True, lost=3), 9),  # a row beyond its own `lowest` can't be
        (0, 1, 1, TAKE, 1),
        (None, 1, 1, TAKE, 1),
        (None, 7, 7, TAKE, 7),
        (None, 7, 3, ASK, 2),
    ],
)
def test_one_pack(cursor: int | None, seq: int, lowest: int, verdict: Verdict, through: int) -> None:
    """Next is taken, had is skipped, a gap is asked for, what is gone is counted; first contact begins at lowest."""
    follower = Follower(None if cursor is None else Cursor(OLD, cursor))
    assert follower.receive(OLD, seq, lowest) == verdict
    assert follower.position == Cursor(OLD, through)


def test_no_contact_no_position() -> None:
    """Before the first pack there is nothing to announce."""
    assert Follower(None).position is None


def test_what_was_pruned_before_the_first_pack_is_not_lost() -> None:
    """A newcomer that saw a late pack first doesn't report rows as lost that nobody promised to it."""
    follower = Follower(None)
    assert follower.receive(OLD, 50, 1) == ASK
    assert follower.receive(OLD, 100, 100) == TAKE
    assert follower.receive(OLD, 103, 103) == Verdict(take=True, lost=2)


def test_lost_rows_are_counted_once() -> None:
    """A loss followed by a gap is reported with the first pack only."""
    follower = Follower(Cursor(OLD, 5))
    assert follower.receive(OLD, 12, 10) == Verdict(ask=True, lost=4)
    assert follower.receive(OLD, 12, 10) == ASK
    assert follower.receive(OLD, 10, 10) == TAKE


def test_a_new_epoch_starts_over_and_the_old_one_is_skipped() -> None:
    """Late packs of the old file don't bring the old epoch back."""
    follower = Follower(Cursor(OLD, 900))
    assert follower.receive(NEW, 4, 4) == Verdict(take=True, new_epoch=True)
    for seq in range(901, 1_000):
        assert follower.receive(OLD, seq, 1) == HAD
        assert follower.receive(NEW, seq - 896, 4) == TAKE
    assert follower.position == Cursor(NEW, 103)


def test_a_gap_at_the_start_of_a_new_epoch_is_asked_for() -> None:
    """The position moves to the new epoch, so that the producer knows which rows are meant."""
    follower = Follower(Cursor(OLD, 900))
    assert follower.receive(NEW, 9, 4) == Verdict(ask=True, new_epoch=True)
    assert follower.position == Cursor(NEW, 3)


def test_past_epochs_survive_a_restart() -> None:
    """With what the journal remembers, an old epoch is still an old epoch."""
    assert Follower(Cursor(NEW, 3), {OLD: Cursor(OLD, 900)}).receive(OLD, 901, 1) == HAD


def test_a_stray_pack_does_not_lock_the_follower_out() -> None:
    """After a pack from a file long gone, the living log comes back where it stood, once it persists."""
    follower = Follower(Cursor(OLD, 900))
    assert follower.receive(NEW, 7, 1) == Verdict(ask=True, new_epoch=True)  # the stray looks like a new file
    for _ in range(PERSISTENCE - 1):
        assert follower.receive(OLD, 901, 1) == HAD
    assert follower.receive(OLD, 901, 1) == Verdict(take=True, new_epoch=True)
    assert follower.receive(NEW, 8, 1) == HAD
    assert follower.receive(OLD, 902, 1) == TAKE


def test_the_memory_of_epochs_is_bounded() -> None:
    """A producer, or a liar, with ever new epochs doesn't fill the memory."""
    follower = Follower(None)
    for number in range(1_000):
        follower.receive(f"{number:x}", 1, 1)
    assert len(follower._past) == PAST_EPOCHS


def test_after_a_rollback_the_packs_are_taken_again() -> None:
    """What was taken but not committed is next again."""
    follower = Follower(Cursor(OLD, 5))
    assert [follower.receive(OLD, seq, 1) for seq in (6, 7)] == [TAKE, TAKE]
    follower.restart_from(Cursor(OLD, 5))
    assert follower.receive(OLD, 8, 1) == ASK
    assert follower.receive(OLD, 6, 1) == TAKE


def test_a_rollback_over_a_change_of_epoch() -> None:
    """Back in the old epoch, the new one is new again."""
    follower = Follower(Cursor(OLD, 5))
    follower.receive(NEW, 1, 1)
    follower.restart_from(Cursor(OLD, 5), {})
    assert follower.receive(OLD, 6, 1) == TAKE
    assert follower.receive(NEW, 1, 1) == Verdict(take=True, new_epoch=True)
    assert follower.receive(OLD, 7, 1) == HAD


def test_a_rollback_before_first_contact() -> None:
    """Nothing was committed: the next pack is first contact again."""
    follower = Follower(None)
    follower.receive(OLD, 1, 1)
    follower.restart_from(None)
    assert follower.position is None
    assert follower.receive(OLD, 1, 1) == TAKE


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(1, 9), st.integers(1, 9)), max_size=60))
def test_no_row_of_an_epoch_is_taken_twice_or_out_of_order(packs: list[tuple[str, int, int]]) -> None:
    """Whatever arrives, within each epoch the rows taken only rise, and taken and lost rows add up."""
    follower = Follower(None)
    through: dict[str, int] = {}
    for epoch, seq, lowest in packs:
        verdict = follower.receive(epoch, seq, lowest)
        assert not (verdict.take and verdict.ask)
        position = follower.position
        assert position is not None
        if verdict.take:
            assert position == Cursor(epoch, seq)
            if epoch in through:
                assert seq == through[epoch] + verdict.lost + 1
        if verdict.take or verdict.lost:
            through[epoch] = position.through
