"""Isolation forest: trained by scikit-learn, scored without it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal
from weakref import WeakValueDictionary

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

Floats = NDArray[np.float64]
MAX_DEPTH = 64
_EULER = 0.5772156649015329
_Index = Annotated[int, Meta(ge=0, lt=2**31)]


class Trees(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A forest as plain JSON. Node `i` sends a row to `child[i]` if its `feature[i]` is ≤ `threshold[i]`, else to
    `child[i] + 1`; at a leaf `child[i]` is `i` itself and `length[i]` the expected path length, else 0.
    """

    kind: Literal["isolation-forest"] = "isolation-forest"
    v: Literal[1] = 1
    features: Annotated[int, Meta(ge=1, le=256)]
    subsample: Annotated[int, Meta(ge=2, le=2**20)]
    roots: Annotated[tuple[_Index, ...], Meta(min_length=1, max_length=1000)]
    feature: tuple[_Index, ...]
    threshold: tuple[float, ...]
    child: tuple[_Index, ...]
    length: tuple[float, ...]


class Forest:
    """A flattened isolation forest.

    It fails outside its training range: beyond the outermost split all values look alike, so train it on rows that were
    widened (`widen`), or give it a chart as companion.

    >>> rows = np.random.default_rng(1).normal(size=(400, 2))
    >>> forest = train(rows, trees=50, subsample=256, seed=1)
    >>> [round(float(score), 2) for score in forest.score(np.array([[0.0, 0.0], [4.0, 4.0]]))]
    [0.38, 0.75]

    Source: Liu, Ting, Zhou: Isolation Forest, ICDM 2008.
    """

    def __init__(self, trees: Trees) -> None:
        """Raise ValueError when the trees can't be walked: wrong lengths, indices, depth, or numbers not finite."""
        check_trees(trees)
        self.trees = trees
        self._roots = np.array(trees.roots, dtype=np.intp)
        self._feature = np.array(trees.feature, dtype=np.intp)
        self._child = np.array(trees.child, dtype=np.intp)
        self._length = np.array(trees.length)
        leaf = self._child == np.arange(len(self._child))
        self._threshold = np.where(leaf, np.inf, np.array(trees.threshold))
        self._depth = _depth(self._roots, self._child)
        self._scale = 1.0 / (len(trees.roots) * float(_path_length(np.array([trees.subsample]))[0]))

    def score(self, rows: Floats) -> Floats:
        """Return one score per row of `rows` (n x features, finite): 0..1, high is strange, ordinary rows near 0.4.

        It is the negative of scikit-learn's `score_samples`, to the last bits.
        """
        count, width = rows.shape
        flat = rows.astype(np.float32).astype(np.float64).ravel()  # as the trees were grown; then no cast at each step
        start = (np.arange(count) * width)[:, None]
        node = self._roots[None] if count == 1 else np.broadcast_to(self._roots, (count, len(self._roots)))
        for _ in range(self._depth):
            place = self._feature.take(node)
            if count > 1:
                place += start
            right = flat.take(place) > self._threshold.take(node)
            node = self._child.take(node)
            node += right
        return np.asarray(np.exp2(-self._scale * self._length.take(node).sum(axis=1)))


_SHARED: WeakValueDictionary[bytes, Forest] = WeakValueDictionary()


def shared_forest(trees: Trees) -> Forest:
    """The forest of these trees, the very same for the same trees while somebody has it. ValueError: see `Forest`."""
    key = hashlib.sha256(msgspec.json.encode(trees)).digest()
    forest = _SHARED.get(key)
    if forest is None:
        _SHARED[key] = forest = Forest(trees)
    return forest


def train(rows: Floats, *, trees: int, subsample: int, seed: int) -> Forest:
    """Grow a forest on the rows (n x features, finite). Imports scikit-learn; nothing else here does."""
    from sklearn.ensemble import IsolationForest

    model = IsolationForest(n_estimators=trees, max_samples=min(subsample, len(rows)), random_state=seed)
    return Forest(flatten(model.fit(rows)))


def flatten(model: Any) -> Trees:
    """Turn a fitted scikit-learn `IsolationForest` into plain numbers."""
    roots: list[int] = []
    feature: list[int] = []
    threshold: list[float] = []
    child: list[int] = []
    length: list[float] = []
    for estimator, columns in zip(model.estimators_, model.estimators_features_, strict=True):
        tree = estimator.tree_
        paths = _path_length(tree.n_node_samples)
        order = [(0, 0)]  # breadth first, so that siblings are neighbours
        base = len(child)
        roots.append(base)
        for place, (node, depth) in enumerate(order):
            left, right = int(tree.children_left[node]), int(tree.children_right[node])
            leaf = left < 0
            feature.append(0 if leaf else int(columns[tree.feature[node]]))
            threshold.append(0.0 if leaf else float(tree.threshold[node]))
            child.append(base + (place if leaf else len(order)))
            length.append(depth + float(paths[node]) if leaf else 0.0)
            if not leaf:
                order += [(left, depth + 1), (right, depth + 1)]
    return Trees(
        features=int(model.n_features_in_),
        subsample=int(model.max_samples_),
        roots=tuple(roots),
        feature=tuple(feature),
        threshold=tuple(threshold),
        child=tuple(child),
        length=tuple(length),
    )


def widen(rows: Floats, factors: Sequence[float], share: int, seed: int) -> Floats:
    """The rows, and for each factor `share` of them scaled by it about zero: background outside the known range.

    >>> widen(np.array([[1.0], [-2.0]]), (2.0, 4.0), 1, seed=3).shape
    (4, 1)
    """
    chance = np.random.default_rng(seed)
    copies = [rows[chance.choice(len(rows), min(share, len(rows)), replace=False)] * factor for factor in factors]
    return np.vstack([rows, *copies])


def check_trees(trees: Trees) -> None:
    """Raise ValueError unless every walk from every root ends at a leaf and every number is finite."""
    nodes = len(trees.child)
    if not nodes or any(len(part) != nodes for part in (trees.feature, trees.threshold, trees.length)):
        raise ValueError("the columns of the forest's nodes differ in length")
    if not all(map(math.isfinite, trees.threshold)) or not all(0.0 <= length < 1e6 for length in trees.length):
        raise ValueError("a number of the forest is not finite or out of range")
    if max(trees.feature) >= trees.features or max(trees.roots) >= nodes:
        raise ValueError("a node of the forest points outside of it")
    if any((place > here and place + 1 >= nodes) or place < here for here, place in enumerate(trees.child)):
        raise ValueError("a node of the forest points outside of it or back")
    _depth(np.array(trees.roots, dtype=np.intp), np.array(trees.child, dtype=np.intp))


def _depth(roots: NDArray[np.intp], child: NDArray[np.intp]) -> int:
    """How many steps the longest walk takes; ValueError beyond MAX_DEPTH."""
    front = roots
    for depth in range(MAX_DEPTH + 1):
        front = front[child[front] != front]
        if not len(front):
            return depth
        if len(front) > len(child):
            break
        front = np.concatenate([child[front], child[front] + 1])
    raise ValueError(f"a tree of the forest is deeper than {MAX_DEPTH}, or its nodes are shared")


def _path_length(samples: Any) -> Floats:
    """Mean path length of an unsuccessful search among `samples` (Liu et al., equation 1)."""
    count = np.asarray(samples, dtype=np.float64)
    inner = np.maximum(count, 3.0)
    long = 2.0 * (np.log(inner - 1.0) + _EULER) - 2.0 * (inner - 1.0) / inner
    return np.where(count > 2, long, np.where(count == 2, 1.0, 0.0))
