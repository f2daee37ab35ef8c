"""Matching against a brute-force oracle: 10,000 seeded cases, all of them right."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from edgemesh.dispatch import matching
from edgemesh.dispatch.matching import need_of
from edgemesh.dispatch.roster import Roster
from tests.unit.dispatch.plant import card

CASES = 10_000


def load_oracle() -> ModuleType:
    """benchmarks/oracle.py as a module."""
    path = Path(__file__).parents[3] / "benchmarks" / "oracle.py"
    spec = importlib.util.spec_from_file_location("benchmarks_oracle", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ORACLE = load_oracle()


def differing(cases: int) -> list[int]:
    """The cases in which index and oracle differ."""
    wrong = []
    for seed in range(cases):
        case = ORACLE.make_case(seed)
        roster, need = Roster(), need_of(case.skills, case.certificates, case.weights, case.least_match)
        for one in case.people:
            said = card(one.name, up=one.up, skills=one.skills, load=one.held, max_load=one.most)
            roster.put(msgspec.structs.replace(said, certificates=one.certificates))
        if roster.best(need, case.without) != ORACLE.winner(case):
            wrong.append(seed)
    return wrong


def test_matching_is_right_in_all_cases() -> None:
    """Weights, minima, certificates, room and who was asked: the index finds whom a look at everybody finds."""
    found = [ORACLE.winner(ORACLE.make_case(seed)) for seed in range(500)]
    assert 100 < sum(name is not None for name in found) < 400, "the cases are too easy or too hard"
    assert differing(CASES) == []


def test_the_comparison_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a look at the certificates, or at the weights, cases differ."""
    true_able, true_grade = matching.able, matching.grade
    monkeypatch.setattr(matching, "able", lambda skills, certificates, need: true_able(skills, need.certificates, need))
    assert differing(500)
    monkeypatch.setattr(matching, "able", true_able)
    monkeypatch.setattr(matching, "grade", lambda skills, need: -true_grade(skills, need))
    assert differing(500)
