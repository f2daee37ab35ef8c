"""Rows out of batches."""

from __future__ import annotations

import math

from edgemesh.detect.base.columns import Columns
from edgemesh.detect.base.windows import Window


def part(device: str, at: list[int], **metrics: list[float | None]) -> Columns:
    clean = not any(value is None or value != value for column in metrics.values() for value in column)
    values = tuple(tuple(column) for column in metrics.values())
    return Columns(device, tuple(metrics), ("1",) * len(metrics), tuple(at), values, 0, clean)


def everything(metric: str) -> bool:
    return True


def test_the_latest_value_of_each_sensor_stands_in_the_row() -> None:
    """One row per sample of the lead; slower devices keep their last value, also over packs."""
    window = Window()
    first = [part("fast", [1, 2, 3], x=[1.0, 2.0, 3.0]), part("slow", [2], y=[7.0])]
    window.admit(first, everything)
    assert window.assemble(first) == ([1, 2, 3], [[1.0, None], [2.0, 7.0], [3.0, 7.0]])
    assert window.assemble([part("fast", [4], x=[4.0])]) == ([4], [[4.0, 7.0]])
    assert window.assemble([part("slow", [5], y=[8.0])]) == ([], [])
    assert window.assemble([part("fast", [6], x=[None]), part("slow", [6], y=[math.nan])]) == ([6], [[4.0, 8.0]])


def test_the_faster_device_takes_the_lead() -> None:
    """Whoever comes first leads only until somebody has brought twice as much."""
    window = Window()
    slow, fast = part("slow", [0], y=[7.0]), part("fast", list(range(1, 9)), x=[0.0] * 8)
    window.admit([slow], everything)
    assert len(window.assemble([slow])[1]) == 1
    window.admit([fast], everything)
    assert len(window.assemble([fast])[1]) == 8
    assert window.lead == "fast"


def test_columns_are_chosen_and_fixed() -> None:
    """Unwanted metrics stay out; once the window is closed new channels do too."""
    window = Window()
    both = [part("d", [1], x=[1.0], temperature=[50.0])]
    assert window.admit(both, lambda metric: metric != "temperature")
    assert window.assemble(both) == ([1], [[1.0]])
    window.open = False
    later = [part("d", [2], x=[2.0], z=[3.0])]
    assert not window.admit(later, everything)
    assert window.assemble(later) == ([2], [[2.0]])


def test_a_channel_that_went_away_is_unknown() -> None:
    """What has not come for far longer than it ever paused is no value any more; slow channels are waited for."""
    window, every = Window(), range(1, 202)
    window.admit([part("a", [1], x=[0.0]), part("slow", [1], y=[0.0]), part("b", [1], z=[0.0])], everything)

    def known(at_s: range, *, b: bool) -> list[list[bool]]:
        slow = [at for at in at_s if at % 10 == 0]
        parts = [part("a", [*at_s], x=[1.0] * len(at_s)), part("slow", slow, y=[2.0] * len(slow))]
        rows = window.assemble([*parts, part("b", [*at_s], z=[3.0] * len(at_s))] if b else parts)[1]
        return [[value is not None for value in row] for row in rows]

    assert known(every, b=True)[-1] == [True, True, True]
    window.open = False
    gone = known(range(202, 301), b=False)
    assert all(row[:2] == [True, True] for row in gone)
    assert [row[2] for row in gone].index(False) in range(5, 12)
    assert not gone[-1][2]
    assert known(range(301, 303), b=True) == [[True] * 3] * 2
