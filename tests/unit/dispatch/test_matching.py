"""Matching: the able with room, least load first, found without looking at all of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemesh.dispatch import roster as module
from edgemesh.dispatch.matching import need_of
from edgemesh.dispatch.roster import Roster
from edgemesh.model.agents import Card
from tests.unit.dispatch.plant import card

OPERATOR = need_of({"operator": 0.5})
GRADES = st.dictionaries(st.sampled_from(["operator", "fitter", "vibration"]), st.sampled_from([0.0, 0.25, 0.5, 1.0]))
CARDS = st.builds(
    card,
    st.sampled_from(["ana", "ben", "eva", "zoe"]),
    up=st.booleans(),
    skills=GRADES,
    load=st.integers(0, 3),
    max_load=st.integers(0, 3),
    incarnation=st.sampled_from(["i1", "i2"]),
)


def test_least_load_then_grade_then_name() -> None:
    """The order of preference is load, summed grade, name."""
    roster = Roster()
    for name, grade in (("zoe", 0.5), ("ben", 0.5), ("ana", 0.9), ("low", 0.4)):
        roster.put(card(name, skills={"operator": grade}, max_load=2))
    best = []
    for _ in range(7):
        if (found := roster.best(OPERATOR)) is not None:
            roster.add(found, 1)
            best.append(found)
    assert best == ["ana", "ben", "zoe", "ana", "ben", "zoe"]
    roster.add("zoe", -1)
    assert roster.best(OPERATOR) == "zoe"
    assert roster.best(OPERATOR, without={"zoe"}) is None


def test_a_least_grade_of_nothing_is_a_wish() -> None:
    """Who has what is wished for comes first among equals, and nobody needs it."""
    roster, need = Roster(), need_of({"fitter": 0.5, "vibration": 0.0})
    roster.put(card("ana", skills={"fitter": 1.0}))
    assert roster.best(need) == "ana"
    roster.put(card("eva", skills={"fitter": 0.9, "vibration": 0.5}))
    roster.put(card("ida", skills={"vibration": 1.0}))
    assert roster.best(need) == "eva"


@given(
    st.lists(CARDS | st.tuples(st.sampled_from(["ana", "ben", "eva", "zoe"]), st.sampled_from([1, -1])), max_size=30),
    st.lists(GRADES, min_size=1, max_size=3),
    st.sets(st.sampled_from(["ana", "ben"])),
)
def test_the_pools_find_whom_a_full_scan_finds(
    steps: list[object], wants: list[dict[str, float]], without: set[str]
) -> None:
    """The index never differs from looking at every executor."""
    roster, held = Roster(), dict.fromkeys(["ana", "ben", "eva", "zoe"], 0)
    for step in steps:
        if isinstance(step, tuple):
            name, orders = step
            if held[name] + orders >= 0:
                held[name] += orders
                roster.add(name, orders)
        else:
            assert isinstance(step, Card)
            roster.put(step)
        for want in wants:
            ranked = sorted(
                (held[one.name] + one.elsewhere, -sum(one.skills.get(skill, 0.0) for skill in sorted(want)), one.name)
                for one in roster.executors.values()
                if one.up
                and held[one.name] + one.elsewhere < one.max_load
                and all(one.skills.get(skill, 0.0) >= least for skill, least in want.items())
                and one.name not in without
            )
            assert roster.best(need_of(want), without) == (ranked[0][2] if ranked else None)


def test_the_roster_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names without end do not fill the memory; those known go on."""
    monkeypatch.setattr(module, "MAX_EXECUTORS", 1)
    roster = Roster()
    assert roster.put(card("ana"))
    assert not roster.put(card("ben"))
    assert roster.put(card("ana", load=1))
