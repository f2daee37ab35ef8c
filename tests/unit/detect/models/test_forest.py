"""The flattened isolation forest."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from sklearn.ensemble import IsolationForest

from edgemesh.detect.models.forest import Forest, Trees, flatten, train, widen

ROWS = np.random.default_rng(7).normal(size=(400, 5))


@pytest.fixture(scope="module", name="trees")
def _trees() -> Trees:
    return train(ROWS, trees=20, subsample=64, seed=3).trees


@pytest.mark.parametrize(("trees", "subsample", "features"), [(100, 256, 1.0), (10, 8, 1.0), (25, 400, 0.5)])
def test_scores_are_those_of_scikit_learn(trees: int, subsample: int, features: float) -> None:
    """Near, far, tied and extreme rows score within 1e-9 of `score_samples`, with its sign turned."""
    model = IsolationForest(n_estimators=trees, max_samples=subsample, max_features=features, random_state=1).fit(ROWS)
    forest = Forest(flatten(model))
    rows = np.vstack([ROWS, ROWS * 3.0, np.zeros((1, 5)), np.full((1, 5), 1e6), np.full((1, 5), -1e6)])
    assert np.abs(forest.score(rows) + model.score_samples(rows)).max() < 1e-9
    single = np.array([forest.score(row[None, :])[0] for row in rows[:50]])
    assert np.abs(single - forest.score(rows[:50])).max() < 1e-12


def test_the_same_seed_grows_the_same_forest(trees: Trees) -> None:
    """Nothing but the rows and the seed decides."""
    assert train(ROWS, trees=20, subsample=64, seed=3).trees == trees
    assert train(ROWS, trees=20, subsample=64, seed=4).trees != trees


def test_json_carries_a_forest_without_loss(trees: Trees) -> None:
    """What is read back scores to the last bit as what was written."""
    back = msgspec.json.decode(msgspec.json.encode(trees), type=Trees)
    assert back == trees
    assert (Forest(back).score(ROWS) == Forest(trees).score(ROWS)).all()


def test_widened_rows_lift_what_lies_outside() -> None:
    """Without scaled copies twice as far looks hardly stranger; with them it does."""
    plain = train(ROWS, trees=100, subsample=256, seed=1)
    wide = train(widen(ROWS, (2.0, 4.0, 8.0, 16.0), 25, 1), trees=100, subsample=256, seed=1)
    far = np.array([[5.0] * 5, [40.0] * 5])
    assert wide.score(far)[1] - wide.score(far)[0] > 5 * (plain.score(far)[1] - plain.score(far)[0])


def change(trees: Trees, field: str, place: int, value: Any) -> Trees:
    column = list(getattr(trees, field))
    column[place] = value
    return msgspec.structs.replace(trees, **{field: tuple(column)})


def test_a_damaged_forest_is_refused(trees: Trees) -> None:
    """Every index, depth and number is checked before the first row is scored."""
    nodes = len(trees.child)
    damaged = [
        change(trees, "threshold", 0, math.nan),
        change(trees, "length", -1, math.inf),
        change(trees, "length", -1, -1.0),
        change(trees, "child", 0, nodes - 1),
        change(trees, "child", 3, 1),
        change(trees, "feature", 0, 5),
        change(trees, "roots", 0, nodes),
        msgspec.structs.replace(trees, length=trees.length[:-1]),
        msgspec.structs.replace(trees, child=(), feature=(), threshold=(), length=()),
        Trees(
            features=1, subsample=2, roots=(0,), feature=(0,) * 201, threshold=(0.0,) * 201, length=(1.0,) * 201,
            child=tuple(i + 1 if i % 2 == 0 and i < 200 else i for i in range(201)),
        ),
    ]  # fmt: skip
    for trees_ in damaged:
        with pytest.raises(ValueError, match="forest"):
            Forest(trees_)
    Forest(trees)


@pytest.mark.parametrize(
    "text",
    ['{"kind":"pickle"}', "{}", "[]", '{"kind":"isolation-forest","v":2}', '{"roots":[-1]}', '{"extra":1}'],
)
def test_what_is_no_forest_is_no_forest(text: str) -> None:
    """Decoding is strict: unknown kinds, versions, fields and negative indices are refused."""
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(text, type=Trees)
