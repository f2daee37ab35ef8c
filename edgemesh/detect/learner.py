"""The learner of one asset: collects a warm-up, learns once, then scores row after row and decides."""

from __future__ import annotations

import copy
import math
import zlib
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from edgemesh.detect.decision import Seen
from edgemesh.detect.machine import MachineModel, learn
from edgemesh.detect.memory import LearnerState
from edgemesh.detect.settings import ForestSettings
from edgemesh.detect.signals import FOREST, FOREST_SOURCE, Signal, amount, number
from edgemesh.detect.windows import Channel
from edgemesh.model.alerts import AlertKind, Evidence

Floats = NDArray[np.float64]
Observer = Callable[[int, float], None]
"""Told the time of each row that was scored, and its score: 1.0 is at the limit, high is strange."""
CHUNK_ROWS = 64
_BLOCK_ROWS = 25  # the baseline moves after so many rows, so that the rows between can be scored at once
_MOST_CHANNELS = 3


class Learner:
    """Warm-up rows are learnt from once; nothing is learnt from rows while another rule finds the machine in trouble.

    `dirty_chunks` and `model_dirty` say what has to be written again. It fails where the warm-up is not normal, or
    not the only normal.
    """

    def __init__(self, asset: str, settings: ForestSettings, state: LearnerState, stats: dict[str, float]) -> None:
        self.settings, self.stats = settings, stats
        self.seed = zlib.crc32(asset.encode()) ^ settings.seed
        self.state = state
        self.model: MachineModel | None = None
        self.warmup: list[list[float]] = []
        self.dirty_chunks: set[int] = set()
        self.model_dirty = False
        self.observer: Observer | None = None

    def feed(
        self,
        instants: Sequence[int],
        rows: Sequence[Sequence[float | None]],
        channels: Sequence[Channel],
        *,
        calm: bool,
    ) -> list[Signal]:
        """Take rows whose entries are the channels' values (None: unknown). `calm`: nothing else is wrong with it."""
        start = 0
        if self.model is None and calm:
            start = min(len(rows), self.settings.train_rows - len(self.warmup))
            self._collect(rows[:start])
            if len(self.warmup) >= self.settings.train_rows:
                self._train(channels)
        if self.model is None or start == len(rows):
            return []
        place = {channel[:2]: k for k, channel in enumerate(channels)}
        picks = [place[channel[:2]] for channel in self.model.file.channels]
        # float64 turns None into NaN
        matrix = np.array(rows[start:], dtype=np.float64)[:, picks]
        self.stats["rows"] += len(matrix)
        return self._judge(self.model, instants[start:], matrix)

    def twin(self, state: LearnerState) -> Learner | None:
        """One that scores with the same model and a state of its own; None while there is no model that fits."""
        if self.model is None or len(state.baseline) != len(self.model.file.channels):
            return None
        twin = copy.copy(self)
        twin.state = state
        return twin

    def widen_warmup(self, width: int) -> None:
        """New channels have come: the rows so far do not know them."""
        self.warmup = [row + [math.nan] * (width - len(row)) for row in self.warmup]
        self.dirty_chunks.update(range(-(-len(self.warmup) // CHUNK_ROWS)))

    def chunk(self, k: int) -> bytes | None:
        """Warm-up rows 64 k to 64 k + 63 as raw little-endian float64; None when there are none (any more)."""
        part = self.warmup[CHUNK_ROWS * k : CHUNK_ROWS * (k + 1)]
        return np.array(part, dtype="<f8").tobytes() if part else None

    def restore(self, chunks: Sequence[bytes], model: bytes | None, width: int) -> None:
        """Go on from what was saved beside the state. Raise ValueError when it does not fit together."""
        state = self.state
        if model is not None:
            self.model = MachineModel(model)
            features = len(self.model.file.channels)
            if not len(state.baseline) == len(state.block_sum) == len(state.smoother.mean) == features:
                raise ValueError("state and model differ in width")
        elif chunks:
            flat = np.frombuffer(b"".join(chunks), dtype="<f8")
            self.warmup = flat.reshape(state.warm_rows, width).tolist()
        elif state.warm_rows:
            raise ValueError("warm-up rows are missing")

    def _collect(self, rows: Sequence[Sequence[float | None]]) -> None:
        first = len(self.warmup)
        self.warmup += [[math.nan if value is None else value for value in row] for row in rows]
        self.state.warm_rows = len(self.warmup)
        self.dirty_chunks.update(k // CHUNK_ROWS for k in range(first, len(self.warmup)))

    def _train(self, channels: Sequence[Channel]) -> None:
        learnt = learn(np.array(self.warmup), channels, self.settings, self.seed)
        self.warmup, self.state.warm_rows = [], 0
        self.dirty_chunks.update(range(-(-self.settings.train_rows // CHUNK_ROWS)))
        if learnt is None:
            self.stats["untrainable"] += 1
            return
        self.model, self.state.smoother = learnt
        width = len(self.model.file.channels)
        self.state.baseline, self.state.block_sum = [0.0] * width, [0.0] * width
        self.stats["trained"] += 1
        self.model_dirty = True

    def _judge(self, model: MachineModel, instants: Sequence[int], matrix: Floats) -> list[Signal]:
        signals, start = [], 0
        levels = model.deviations(matrix, self.state.smoother)
        while start < len(levels):
            stop = min(len(levels), start + _BLOCK_ROWS - self.state.block_rows)
            deviations = levels[start:stop] - np.array(self.state.baseline)
            scores = model.score(deviations, self.settings).tolist()
            calm = []
            for i, score in enumerate(scores):
                if self.observer is not None:
                    self.observer(instants[start + i], score)
                change = self._decide(score, instants[start + i])
                if change is not None:
                    signals.append(self._signal(model, instants[start + i], score, deviations[i], firing=change))
                calm.append(not self.state.switch.firing and score <= 1.0)
            self._follow(deviations[calm], stop - start)
            start = stop
        return signals

    def _decide(self, score: float, at_ns: int) -> bool | None:
        settings = self.settings
        seen = Seen.BEYOND if score > 1.0 else Seen.WITHIN if score < settings.clear_ratio else Seen.BETWEEN
        hold, clear_hold = settings.hold_rows - 1, settings.clear_rows - 1  # n rows span n - 1 steps
        return self.state.switch.step(seen, 1, hold=hold, clear_hold=clear_hold, at_ns=at_ns)

    def _follow(self, calm: Floats, rows: int) -> None:
        """Have the baseline follow the calm ones of so many rows, at the end of their block."""
        state = self.state
        if len(calm):
            state.block_sum = np.add.reduce(np.vstack([state.block_sum, calm])).tolist()
        state.block_rows += rows
        if state.block_rows >= _BLOCK_ROWS:
            pull = 1.0 / max(self.settings.follow_rows, _BLOCK_ROWS)
            state.baseline = [b + pull * s for b, s in zip(state.baseline, state.block_sum, strict=True)]
            state.block_sum, state.block_rows = [0.0] * len(state.baseline), 0

    def _signal(self, model: MachineModel, at_ns: int, score: float, deviation: Floats, *, firing: bool) -> Signal:
        if not firing:
            return Signal(at_ns, AlertKind.MACHINE, FOREST_SOURCE, firing=False)
        strength = np.abs(deviation)
        ranked = np.argsort(-strength, kind="stable")[:_MOST_CHANNELS]
        named = [int(k) for k in ranked if strength[k] >= 0.5 * strength[ranked[0]]]
        evidence = tuple(self._evidence(model, k, float(deviation[k])) for k in named)
        return Signal(
            at_ns,
            AlertKind.MACHINE,
            FOREST_SOURCE,
            firing=True,
            onset_at_ns=self.state.switch.onset_at_ns,
            severity=self.settings.severity,
            evidence=evidence,
            cause="; ".join(map(_headline, evidence)),
            confidence=round(min(0.99, 0.5 + 0.25 * (score - 1.0)), 3),
            model=model.version,
        )

    def _evidence(self, model: MachineModel, k: int, deviation: float) -> Evidence:
        """The channel's smoothed value now, and the range of it that is no reason to fire."""
        device, metric, unit = model.file.channels[k]
        chart, baseline, sigma = model.chart, self.state.baseline[k], self.settings.sigma
        low, high = (chart.level(k, baseline + side * sigma) for side in (-1.0, 1.0))
        step = high - low
        return Evidence(
            rule=FOREST,
            metric=metric,
            device=device,
            value=chart.level(k, baseline + deviation),
            unit=unit,
            normal=f"{number(low, step)} to {amount(high, unit, step)}",
            score=abs(deviation) / sigma,
        )


def _headline(evidence: Evidence) -> str:
    return f"{evidence.metric} {amount(evidence.value or 0.0, evidence.unit)}, normal {evidence.normal}"
