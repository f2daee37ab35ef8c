"""Assets of one class that come in one pack: their forest is asked once, and nothing that is said changes."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemesh.agents.detector import DetectorCore
from edgemesh.detect.classes.binding import bind_rows
from edgemesh.detect.classes.numbers import ClassNumbers, learn_class
from edgemesh.detect.methods.judgement import Judgement
from edgemesh.detect.methods.machine import MachineScorer
from edgemesh.detect.models.forest import Forest
from edgemesh.detect.models.questions import Question, Steps, answer, answer_together
from edgemesh.detect.models.settings import ProfileSettings
from edgemesh.detect.rollout.stages import RolloutSettings
from edgemesh.model.settings import Seconds
from tests.unit.agents import test_classes
from tests.unit.agents.test_classes import KINDS, METRICS, PROFILE, SHORT, UNITS, Hall, calm, offer

Scores = dict[str, list[tuple[int, float]]]


def numbers_of(weight: float) -> ClassNumbers:
    settings_ = msgspec.structs.replace(PROFILE, forest_weight=weight)
    numbers = learn_class([calm(seed) for seed in range(3)], METRICS, KINDS, settings_, SHORT)
    assert numbers is not None
    return numbers


NUMBERS = {weight: numbers_of(weight) for weight in (0.15, 1.0)}


def scorer_of(table: np.ndarray, weight: float) -> MachineScorer:
    """One asset of the class, bound by its first rows."""
    scorer = MachineScorer(METRICS, ProfileSettings(), units=UNITS)
    roles = [METRICS[k] for k in scorer.order]
    profile = bind_rows(NUMBERS[weight], scorer.channels, roles, table[:SHORT][:, scorer.order])
    assert profile is not None
    scorer.begin(profile)
    return scorer


@given(
    st.integers(0, 10**6),
    st.sampled_from([0.15, 1.0]),
    st.lists(st.tuples(st.integers(60, 200), st.sampled_from([0.0, 0.0, 0.05, 0.3])), min_size=1, max_size=6),
    st.lists(st.sampled_from([1, 1, 2, 7, 40]), min_size=1, max_size=4),
)
@settings(max_examples=15, deadline=None)
def test_together_is_one_by_one(seed: int, weight: float, faults: list[tuple[int, float]], sizes: list[int]) -> None:
    """Whatever falls ill when, and however rows are cut: scores, flags and blame are the same to the last bit.

    And no later row changes them: half of the rows give the first half of what all of them give.
    """
    tables = [calm(seed + k, 240) for k in range(len(faults))]
    for table, (begin, size) in zip(tables, faults, strict=True):
        table[begin:, seed % 3] *= 1.0 - size
        table[(begin + 9) % 240, 0] = np.nan
    alone = [scorer_of(table, weight).take(table[SHORT:].tolist()) for table in tables]
    assert play(tables, weight, sizes, 240) == alone
    half = play(tables, weight, sizes, 150)
    assert half == [judged[: len(part)] for judged, part in zip(alone, half, strict=True)]


def play(tables: list[np.ndarray], weight: float, sizes: list[int], last: int) -> list[list[Judgement]]:
    """What comes of all tables row by row together, up to a row."""
    scorers = [scorer_of(table, weight) for table in tables]
    judged: list[list[Judgement]] = [[] for _ in tables]
    row, turn = SHORT, 0
    while row < last:
        end = min(last, row + sizes[turn % len(sizes)])
        parts = answer_together(
            [scorer.steps(table[row:end].tolist()) for scorer, table in zip(scorers, tables, strict=True)]
        )
        for whole, part in zip(judged, parts, strict=True):
            whole += part
        row, turn = end, turn + 1
    return judged


def counting(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each call of a forest was about."""
    calls: list[int] = []
    score: Callable[[Forest, np.ndarray], np.ndarray] = Forest.score

    def note(forest: Forest, rows: np.ndarray) -> np.ndarray:
        calls.append(len(rows))
        return score(forest, rows)

    monkeypatch.setattr(Forest, "score", note)
    return calls


def observe(core: DetectorCore, scores: Scores) -> None:
    core.observe(lambda asset, at_ns, score: scores.setdefault(asset, []).append((at_ns, score)))


def test_a_pack_of_many_assets_asks_their_forest_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One call for a tick of four assets, where each by itself takes four; scores and alerts are the same."""
    monkeypatch.setattr(
        test_classes, "ROLLOUT", RolloutSettings(shadow_rows=1, shadow_for=Seconds(1.0), canary_for=Seconds(1.0))
    )
    tables = {f"p{k}": calm(80 + k) for k in range(4)}
    for table in tables.values():
        table[100:] *= 0.85
    scores: tuple[Scores, Scores] = ({}, {})
    together = Hall()
    observe(together.core, scores[0])
    for asset in tables:
        together.hear(offer(asset))
    together.feed(tables, 0, 100)
    calls = counting(monkeypatch)
    found = together.feed(tables, 100, 140)
    in_one = calls[:]
    said = {}
    calls.clear()
    for asset, table in tables.items():
        alone = Hall()
        observe(alone.core, scores[1])
        alone.hear(offer(asset))
        alone.feed({asset: table}, 0, 100)
        calls_before = len(calls)
        said[asset] = alone.feed({asset: table}, 100, 140)
        assert len(calls) - calls_before >= 35
    assert scores[0] == scores[1]
    assert max(in_one) == 4
    assert len(in_one) <= 45
    for asset, alerts in said.items():
        ours = [(each.at_ns, each.state, each.evidence) for each in found if each.asset == asset]
        assert ours == [(each.at_ns, each.state, each.evidence) for each in alerts]
        assert ours


def test_what_fails_in_one_judgement_is_not_hidden() -> None:
    """An error of one comes out, as it does alone."""
    forest = scorer_of(calm(1), 0.15).profile
    assert forest is not None
    assert forest.forest is not None
    rows = np.zeros((1, len(forest.normal.owner)))

    def fails() -> Steps[int]:
        assert forest is not None
        assert forest.forest is not None
        yield Question(forest.forest, rows)
        raise ValueError("of this asset")

    def goes_on() -> Steps[int]:
        assert forest is not None
        assert forest.forest is not None
        scores = yield Question(forest.forest, rows)
        return len(scores)

    assert answer(goes_on()) == 1
    with pytest.raises(ValueError, match="of this asset"):
        answer_together([goes_on(), fails()])
