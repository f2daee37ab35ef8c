"""Deadlines against a plain dictionary."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgemesh.dispatch.deadlines import Deadlines

STEPS = st.lists(st.tuples(st.sampled_from("abcde"), st.none() | st.integers(0, 20)) | st.integers(0, 20), max_size=200)


@given(STEPS)
def test_what_is_due_is_due_once_and_in_order(steps: list[tuple[str, int | None] | int]) -> None:
    """The same as a sorted scan over all names, however often instants were moved."""
    deadlines, plain = Deadlines(), dict[str, int]()
    for step in steps:
        if isinstance(step, tuple):
            name, at = step
            deadlines.put(name, at)
            plain.pop(name, None)
            if at is not None:
                plain[name] = at
        else:
            due = sorted((at, name) for name, at in plain.items() if at <= step)
            assert list(deadlines.due(step)) == [name for _, name in due]
            for _, name in due:
                del plain[name]
        assert len(deadlines) == len(plain)


def test_moved_instants_leave_nothing_behind() -> None:
    """A deadline that is moved a million times takes no more room than one."""
    deadlines = Deadlines()
    for at in range(10_000):
        deadlines.put("a", at)
    assert len(deadlines._heap) < 100


def test_the_earliest_give_way() -> None:
    """Beyond a limit the earliest are taken out."""
    deadlines = Deadlines()
    for at, name in enumerate("abc"):
        deadlines.put(name, at)
    assert list(deadlines.beyond(1)) == ["a", "b"]
