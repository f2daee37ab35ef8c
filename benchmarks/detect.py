"""CPU microseconds per row of the flattened forest beside scikit-learn's: `python benchmarks/detect.py`.

100 trees of 256 rows, 8 channels, one thread; the best of several rounds. The last line is the whole detector: packs of
one asset with 8 channels through its core, one row at a time and 64 at a time, after the warm-up.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
from sklearn.ensemble import IsolationForest

from edgemesh.agents.detector import DetectorCore
from edgemesh.detect.forest import Forest, flatten
from edgemesh.detect.settings import DetectSettings, ForestSettings, LimitRule
from edgemesh.model.packs import Readings
from edgemesh.model.samples import Batch

CHANNELS = 8


def best_us(work: Callable[[], object], rounds: int, rows: int) -> float:
    """CPU microseconds per row of the fastest round."""
    spans = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        spans.append(time.process_time() - start)
    return 1e6 * min(spans) / rows


def forests() -> None:
    chance = np.random.default_rng(1)
    model = IsolationForest(n_estimators=100, max_samples=256, random_state=1).fit(chance.normal(size=(400, CHANNELS)))
    forest = Forest(flatten(model))
    print(f"{len(forest.trees.child)} nodes; us per row, best of many rounds")
    for rows, rounds in ((1, 300), (64, 100), (256, 50)):
        block = chance.normal(size=(rows, CHANNELS))
        gap = float(np.abs(forest.score(block) + model.score_samples(block)).max())
        own = best_us(lambda block=block: forest.score(block), rounds, rows)  # type: ignore[misc]
        theirs = best_us(lambda block=block: model.score_samples(block), max(5, rounds // 10), rows)  # type: ignore[misc]
        print(
            f"  rows at once {rows:>3}: edgemesh {own:7.1f}   scikit-learn {theirs:8.1f}   largest difference {gap:.1e}"
        )


def detector(rows_at_once: int, rows: int = 4096) -> float:
    """CPU microseconds per row of 8 channels through the core, with one limit rule and the forest."""
    chance = np.random.default_rng(2)
    rule = LimitRule(metric="m0", above=50.0)
    core = DetectorCore("detector", "bench", DetectSettings(rule=(rule,), forest=ForestSettings()), {})
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


def main() -> int:
    forests()
    print(f"detector core, us per row: one at a time {detector(1):.1f}, 64 at a time {detector(64):.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
