"""How much is written, how long commits rest for a budget to last, and when a log will be full."""

from __future__ import annotations

import doctest
import os
from pathlib import Path

import pytest

from edgemesh.log import filling, writes
from edgemesh.log.disk import written_bytes
from edgemesh.log.filling import Filling
from edgemesh.log.writes import AHEAD_S, DAY_S, LONGEST_REST_S, Writes


def day(per_day: int | None, per_commit: int, per_s: float, *, hours: float = 24.0) -> tuple[Writes, int, float]:
    """A day of commits: each writes so much, and comes so often unless it has to rest. Gives the bytes, and the longest
    rest.
    """
    budget = Writes(per_day, written=0, now_s=0.0)
    now_s, written, longest = 0.0, 0, 0.0
    while now_s < hours * 3600.0:
        written += per_commit
        rest_s = budget.rest_s
        longest = max(longest, rest_s)
        now_s += max(1.0 / per_s, rest_s)
        budget.note(written, now_s)
    return budget, written, longest


def test_a_budget_lasts_for_the_day() -> None:
    """Ten times as much as allowed: commits come less often, and at most the share of an hour more is written."""
    budget, written, longest = day(1_000_000_000, per_commit=12_000, per_s=10.0)
    assert written <= 1_000_000_000 * (1 + AHEAD_S / DAY_S)
    assert written > 950_000_000  # and no less often than that takes
    assert 0.0 < longest <= LONGEST_REST_S
    assert not budget.spent


def test_without_a_budget_or_need_nothing_rests() -> None:
    """Commits rest only where the budget is at risk."""
    assert day(None, per_commit=10**6, per_s=10.0, hours=1.0)[2] == 0.0
    assert day(10**9, per_commit=4_000, per_s=2.0, hours=6.0)[2] == 0.0


def test_a_budget_that_can_not_be_kept_is_known() -> None:
    """With the longest rest and still too much: it rests no longer, and says so."""
    budget, written, longest = day(1_000_000, per_commit=12_000, per_s=10.0, hours=6.0)
    assert longest == LONGEST_REST_S
    assert budget.spent
    assert written == pytest.approx(6 * 3600 / LONGEST_REST_S * 12_000, rel=0.2)


def test_what_a_day_takes() -> None:
    """The rate of the last hour, as bytes in a day."""
    budget, _, _ = day(None, per_commit=10_000, per_s=1.0, hours=3.0)
    assert budget.per_day == pytest.approx(10_000 * DAY_S, rel=0.01)
    assert Writes(None, written=10**12, now_s=5.0).per_day == 0.0


def test_what_this_process_writes_is_counted(tmp_path: Path) -> None:
    """Where the system counts, what was written shows."""
    before = written_bytes()
    if before is None:
        pytest.skip("nobody counts here")
    with (tmp_path / "file").open("wb") as file:
        file.write(bytes(1_000_000))
        file.flush()
        os.fsync(file.fileno())
    after = written_bytes()
    assert after is not None
    if after == before:
        pytest.skip("the folder for tests is no disk")
    assert after - before >= 900_000


def test_how_fast_it_fills() -> None:
    """Only the last minutes count; what empties, or is hardly begun, has no time."""
    log = Filling()
    assert log.full_in_s is None
    for second in range(0, 600, 5):
        log.note(10_000_000 - 1_000 * second, float(second))
    assert log.full_in_s == pytest.approx(10_000 - 595)
    for second in range(600, 1_200, 5):
        log.note(9_000_000 + second, float(second))
    assert log.full_in_s is None
    log.note(0, 1_200.0)
    assert log.full_in_s == 0.0


@pytest.mark.parametrize("module", [writes, filling])
def test_examples(module: object) -> None:
    """The examples in the docstrings are true."""
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]
