"""River's half-space trees as a detector."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("river", reason="half-space trees need river: pip install 'edgemesh[river]'")

from edgemesh.detect.methods.half_space_trees import HalfSpaceTrees, Settings, create

CHANNELS = [("pump", "flow", "m3/h"), ("motor", "current", "A"), ("pump", "stands_still", "1")]
CHOSEN = Settings(trees=10, height=6, window=60)
CHANCE = np.random.default_rng(4)
TABLE = CHANCE.normal(size=(420, 3)) * [0.5, 1.0, 0.0] + [90.0, 22.0, 7.0]
TABLE[300:320, 1] += 9.0
ROWS = TABLE.tolist()


def open_at(rows: int) -> tuple[HalfSpaceTrees, list[float]]:
    detector = create(CHANNELS, CHOSEN)
    return detector, [each.score for each in detector.take(ROWS[:rows])]


@given(st.lists(st.integers(1, 419), max_size=3))
@settings(max_examples=15, deadline=None)
def test_it_goes_on_from_a_snapshot_exactly(cuts: list[int]) -> None:
    """Taken anywhere, in both halves of the warm-up and in any window: the judgements are the same to the last bit."""
    whole = create(CHANNELS, CHOSEN).take(ROWS)
    detector, judged = create(CHANNELS, CHOSEN), []
    for first, last in zip([0, *sorted(cuts)], [*sorted(cuts), 420], strict=True):
        judged += detector.take(ROWS[first:last])
        other = create(CHANNELS, CHOSEN)
        other.restore(detector.snapshot())
        detector = other
    assert judged == whole


def test_the_fault_is_seen_and_named() -> None:
    """The channel that left, with what was normal; the one that stands still plays no part. Then it is over."""
    judged = create(CHANNELS, CHOSEN).take(ROWS)
    flagged = [row for row, each in enumerate(judged) if each.flag]
    assert 300 <= flagged[0] <= 304
    assert flagged[-1] < 340
    blame = judged[310].blame[0]
    assert (blame.name, blame.channel) == ("motor/current", 1)
    assert blame.low < 22.0 < blame.high < blame.value
    assert judged[flagged[0]].since >= 1


def test_what_lasts_is_normal_in_the_end() -> None:
    """A new level is strange for a window, is learnt in the next, and flags no more."""
    table = np.random.default_rng(5).normal(size=(700, 3))
    table[200:] += 7.0
    flags = [each.flag for each in create(CHANNELS, CHOSEN).take(table.tolist())]
    assert all(flags[204:260])
    assert not any(flags[400:])


def test_calm_rows_rarely_flag() -> None:
    """Of ten machines over 1,600 calm rows each at most one in a thousand is flagged."""
    flags = 0
    for seed in range(10):
        rows = np.random.default_rng(seed).normal(size=(2000, 3)).tolist()
        flags += sum(each.flag for each in create(CHANNELS, Settings(trees=10)).take(rows)[400:])
    assert flags <= 16


def test_a_machine_that_stands_still_is_learnt_once_it_moves() -> None:
    """A first window in which nothing varies is thrown away; unknown values stop nothing."""
    detector = create(CHANNELS, CHOSEN)
    detector.take([[5.0, 5.0, None]] * 90)
    before = detector.learnt
    detector.take(ROWS[:150])
    assert (before, detector.learnt) == (False, True)
    assert np.isfinite([each.score for each in detector.take([[None] * 3, [1e99, -1e99, 0.0]])]).all()


def test_a_snapshot_that_does_not_fit_is_refused() -> None:
    """Of another version of river, of fewer channels, or cut off."""
    detector, _ = open_at(130)
    content = detector.snapshot()
    old = content.replace(detector._state.river.encode(), b"0.11.0")
    for wrong, words in ((old, r"grown by river 0\.11\.0"), (content[:-3], "truncated")):
        with pytest.raises(ValueError, match=words):
            create(CHANNELS, CHOSEN).restore(wrong)
    fewer = create(CHANNELS[:1], CHOSEN)
    with pytest.raises(ValueError, match=r"."):
        fewer.restore(content)
