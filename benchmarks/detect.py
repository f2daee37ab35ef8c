"""CPU microseconds per row of detection: `python benchmarks/detect.py`.

100 trees of 256 rows, 8 channels, one thread; the best of several rounds. First the flattened forest beside others that
do the same and are installed (scikit-learn always; onnxruntime with skl2onnx, treelite, and river's half-space trees).
Then the scoring engine (features, chart, forest where it is asked, episodes), one row at a time and 64 at a time; the
whole detector, packs of one asset through its core with one limit rule; what learning costs, once per asset; and the
step of a detector in which ten assets complete their warm-up at once.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest

from edgemesh.agents.core import Taught
from edgemesh.agents.detector import DetectorCore
from edgemesh.detect.methods.lessons import learn_encoded
from edgemesh.detect.methods.machine import MachineScorer
from edgemesh.detect.models.forest import Forest, flatten, train
from edgemesh.detect.models.settings import ProfileSettings
from edgemesh.detect.settings import DetectSettings, LimitRule, ModelSettings
from edgemesh.model.packs import Readings
from edgemesh.model.samples import Batch

CHANNELS = 8
SIZES = (1, 64, 256)
Table = NDArray[np.float64]
Score = Callable[[Table], object]


def best_us(work: Callable[[], object], rounds: int, rows: int) -> float:
    """CPU microseconds per row of the fastest round."""
    spans = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        spans.append(time.process_time() - start)
    return 1e6 * min(spans) / rows


def others(model: Any, known: Table) -> Iterator[tuple[str, Score | None]]:
    """Others that score rows, by name; None where they are not installed."""
    yield "scikit-learn", model.score_samples
    yield "onnxruntime", _onnx(model) if _have("onnxruntime", "skl2onnx") else None
    yield "treelite", _treelite(model) if _have("treelite") else None
    yield "river HalfSpaceTrees", _river(known) if _have("river") else None


def _have(*modules: str) -> bool:
    return all(importlib.util.find_spec(module) is not None for module in modules)


def _onnx(model: Any) -> Score:
    convert = importlib.import_module("skl2onnx")
    runtime = importlib.import_module("onnxruntime")
    kinds = importlib.import_module("skl2onnx.common.data_types")
    made = convert.convert_sklearn(
        model,
        initial_types=[("rows", kinds.FloatTensorType([None, CHANNELS]))],
        target_opset={"": 15, "ai.onnx.ml": 3},
    )
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(made.SerializeToString(), options)
    return lambda rows: session.run(["scores"], {"rows": rows.astype(np.float32)})


def _treelite(model: Any) -> Score:
    treelite = importlib.import_module("treelite")
    made = treelite.sklearn.import_model(model)
    return lambda rows: treelite.gtil.predict(made, rows.astype(np.float32), nthread=1)


def _river(known: Table) -> Score:
    trees = importlib.import_module("river.anomaly").HalfSpaceTrees(n_trees=100, height=8, window_size=256, seed=1)
    named = [dict(enumerate(row)) for row in (1 / (1 + np.exp(-known))).tolist()]
    for row in named:
        trees.learn_one(row)
    return lambda rows: [trees.score_one(dict(enumerate(row))) for row in rows.tolist()]


def forests() -> None:
    chance = np.random.default_rng(1)
    known = chance.normal(size=(400, CHANNELS))
    model = IsolationForest(n_estimators=100, max_samples=256, random_state=1).fit(known)
    forest = Forest(flatten(model))
    blocks = [chance.normal(size=(rows, CHANNELS)) for rows in SIZES]
    gap = max(float(np.abs(forest.score(block) + model.score_samples(block)).max()) for block in blocks)
    print(f"{len(forest.trees.child)} nodes; largest difference from scikit-learn {gap:.1e}")
    print(f"{'us per row, rows at once':<28}" + "".join(f"{rows:>10}" for rows in SIZES))
    for name, score in (("edgemesh, flattened forest", forest.score), *others(model, known)):
        cells = "".join(f"{_cost(score, block):>10.1f}" for block in blocks) if score else "   not installed"
        print(f"  {name:<26}{cells}", flush=True)


def _cost(score: Score, block: Table) -> float:
    score(block)
    return best_us(lambda: score(block), 30, len(block))


def many_assets(assets: int = 32, features: int = 17) -> tuple[float, float]:
    """Microseconds per row of one row for each asset: each asset's forest asked for itself, and all in one walk."""
    chance = np.random.default_rng(3)
    made = [train(chance.normal(size=(400, features)), trees=100, subsample=256, seed=k) for k in range(assets)]
    rows = chance.normal(size=(assets, features))
    base = np.cumsum([0, *(len(forest.trees.child) for forest in made)])[:-1]
    feature = np.concatenate([np.array(forest.trees.feature) for forest in made])
    child = np.concatenate([np.array(forest.trees.child) + first for forest, first in zip(made, base, strict=True)])
    length = np.concatenate([np.array(forest.trees.length) for forest in made])
    threshold = np.concatenate([np.array(forest.trees.threshold) for forest in made])
    threshold[child == np.arange(len(child))] = np.inf
    roots = np.stack([np.array(forest.trees.roots) + first for forest, first in zip(made, base, strict=True)])
    start = (np.arange(assets) * features)[:, None]

    def together() -> Table:
        flat, node = rows.astype(np.float32).astype(np.float64).ravel(), roots
        for _ in range(8):  # the depth of trees of 256 rows
            node = child.take(node) + (flat.take(feature.take(node) + start) > threshold.take(node))
        return np.asarray(length.take(node).sum(axis=1))

    def alone() -> list[float]:
        return [float(forest.score(row)[0]) for forest, row in zip(made, np.split(rows, assets), strict=True)]

    assert np.argsort(together()).tolist() == np.argsort(alone())[::-1].tolist()
    return best_us(alone, 30, assets), best_us(together, 30, assets)


def engine(rows_at_once: int, rows: int = 2048, rounds: int = 5) -> tuple[float, float]:
    """Microseconds per row of 8 channels that are judged, and milliseconds of CPU to learn."""
    table = np.random.default_rng(2).normal(size=(400 + rows, CHANNELS)).tolist()
    names = [f"m{k}" for k in range(CHANNELS)]
    MachineScorer(names).take(table[:400])  # scikit-learn is imported once
    scorer = MachineScorer(names, ProfileSettings())
    learn_ms = best_us(lambda: scorer.take(table[:400]), 1, 1) / 1000.0

    def judge() -> None:
        for start in range(400, 400 + rows, rows_at_once):
            scorer.take(table[start : start + rows_at_once])

    return best_us(judge, rounds, rows), learn_ms


def detector(rows_at_once: int, rows: int = 4096) -> float:
    """CPU microseconds per row of 8 channels through the core, with one limit rule and a model."""
    chance = np.random.default_rng(2)
    rule = LimitRule(metric="m0", above=50.0)
    core = DetectorCore("detector", "bench", DetectSettings(rule=(rule,), model=(ModelSettings(),)), {})
    table = chance.normal(size=(400 + rows, CHANNELS))
    packs, starts = [], [0, *range(400, 400 + rows, rows_at_once)]
    for seq, (start, stop) in enumerate(zip(starts, [*starts[1:], 400 + rows], strict=True), start=1):
        batch = Batch(
            device="d",
            asset="a",
            metrics=tuple(f"m{k}" for k in range(CHANNELS)),
            units=("1",) * CHANNELS,
            at_ns=tuple(i * 10**9 for i in range(start, stop)),
            values=tuple(tuple(column) for column in table[start:stop].T.tolist()),
        )
        packs.append(Readings(agent="gw", epoch="0", seq=seq, lowest=1, at_ns=0, records=(batch,)))
    core.handle(packs[0])
    begin = time.process_time()
    for pack in packs[1:]:
        core.handle(pack)
    return 1e6 * (time.process_time() - begin) / rows


def together(assets: int = 10) -> tuple[float, float, float]:
    """CPU milliseconds of the step in which so many warm-ups are complete: learning in it, putting it off; and the
    milliseconds that learning them elsewhere takes then.
    """
    spans = []
    for puts_off in (False, True):
        settings = DetectSettings(model=(ModelSettings(),))
        core = DetectorCore("detector", "bench", settings, {}, puts_off=puts_off)
        table = np.random.default_rng(3).normal(size=(410, CHANNELS))
        core.handle(_pack(1, table, 0, 399, assets))
        begin = time.process_time()
        core.handle(_pack(2, table, 399, 410, assets))
        core.save()
        lessons = core.lessons()
        spans.append(1000.0 * (time.process_time() - begin))
    begin = time.process_time()
    for lesson in lessons:
        core.handle(Taught(lesson.asset, lesson.key, learn_encoded(lesson.content)))
    return spans[0], spans[1], 1000.0 * (time.process_time() - begin)


def _pack(seq: int, table: Table, start: int, stop: int, assets: int) -> Readings:
    batches = tuple(
        Batch(
            device=f"d{k}",
            asset=f"a{k}",
            metrics=tuple(f"m{k}" for k in range(CHANNELS)),
            units=("1",) * CHANNELS,
            at_ns=tuple(i * 10**9 for i in range(start, stop)),
            values=tuple(tuple(column) for column in table[start:stop].T.tolist()),
        )
        for k in range(assets)
    )
    return Readings(agent="gw", epoch="0", seq=seq, lowest=1, at_ns=0, records=batches)


def main() -> int:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    forests()
    alone, in_one_walk = many_assets()
    print(f"one row of each of 32 assets, us per row of forest: each alone {alone:.1f}, in one walk {in_one_walk:.1f}")
    (one, learn_ms), (many, _) = engine(1), engine(64)
    print(f"scoring engine, us per row: one at a time {one:.1f}, 64 at a time {many:.1f}; learning {learn_ms:.0f} ms")
    inside, off, elsewhere = together()
    print(
        f"a step in which ten warm-ups are complete, ms: {inside:.0f} when it learns, {off:.1f} when that is put off,"
    )
    print(f"  and {elsewhere:.0f} elsewhere")
    print(f"detector core, us per row: one at a time {detector(1):.1f}, 64 at a time {detector(64):.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
