"""Scoring: one object per asset that takes its rows strictly forwards and judges each of them, by whatever method."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from edgemesh.detect.base.windows import Channel
from edgemesh.detect.methods.contract import Method
from edgemesh.detect.methods.detectors import BUILT_IN
from edgemesh.detect.methods.judgement import NOT_YET, Judgement
from edgemesh.detect.methods.lessons import Lesson, Result
from edgemesh.detect.methods.machine import MachineScorer
from edgemesh.detect.methods.plugged import PluginMethod
from edgemesh.detect.methods.series import SeriesScorer
from edgemesh.detect.methods.voting import Panel
from edgemesh.detect.models.kinds import find_kind
from edgemesh.detect.models.questions import Steps, answer
from edgemesh.detect.models.settings import FIRST_ROWS, ScoreSettings

SLOW_PERIOD_S = 30.0
"""A single metric with at least this period is a slow series: forecast by its own past, not a machine in an episode."""
LOOK_ROWS = 16
_WITH_MODELS = (("auto",), (MachineScorer.name,))


class AutoScorer:
    """Chooses by the shape of the data: one metric with a period of 30 s and more is a series, the rest machines.

    The choice is made after 100 rows, by the times of the first 16; until then channels may join.

    >>> minutes = AutoScorer([("d", "load", "%")])
    >>> judged = minutes.take([i * 60 * 10**9 for i in range(200)], [[float(i % 7)] for i in range(200)])
    >>> type(minutes.scorer).__name__, minutes.learnt, len(judged)
    ('SeriesScorer', True, 200)
    """

    def __init__(
        self,
        channels: Sequence[Channel] = (),
        settings: ScoreSettings | None = None,
        *,
        puts_off: bool = False,
        ease: float = 1.0,
    ) -> None:
        """`channels`: device (may be empty), metric and unit of each entry of a row. `ease`: see `Method`.

        `puts_off`: it takes no more rows while it `wants` to learn, which others do (`lesson`) and hand in (`learn`).
        """
        self._ease = ease
        self.channels, self.settings, self.puts_off = tuple(channels), settings or ScoreSettings(), puts_off
        self.instants: list[int] = []
        """Times of the first rows, while the choice is open."""
        self.held: list[list[float]] = []
        """The rows themselves, while the choice is open."""
        self.scorer: Method | None = None

    @property
    def learnt(self) -> bool:
        """Whether it judges: no channel can join any more."""
        return self.scorer is not None and self.scorer.learnt

    @property
    def takes_models(self) -> bool:
        """Whether it can judge by a model from a file."""
        return self.scorer.takes_models if self.scorer is not None else self.settings.methods in _WITH_MODELS

    @property
    def is_series(self) -> bool:
        """Whether it looks like a slow series so far, while the choice is open."""
        return self.scorer is None and "auto" in self.settings.methods and self._shape() == SeriesScorer.name

    @property
    def warmup(self) -> Sequence[list[float]]:
        """The rows taken so far that were not learnt from yet."""
        return self.scorer.warmup if self.scorer is not None else self.held

    @property
    def wants(self) -> bool:
        """Whether something is to be learnt before the next row can be judged."""
        return self.scorer is not None and self.scorer.wants

    def lesson(self) -> Lesson:
        """What is to be learnt; to be asked only while it `wants`."""
        assert self.scorer is not None
        return self.scorer.lesson()

    def learn(self, result: Result) -> None:
        """Go on with what was learnt from the `lesson`. ValueError: it is not sound, or of something else."""
        assert self.scorer is not None
        self.scorer.learn(result)

    def ease(self, factor: float) -> None:
        """Have limits lie so many times as far out from the next row on, whatever judges then."""
        self._ease = factor
        if self.scorer is not None:
            self.scorer.ease(factor)

    def take(self, at_ns: Sequence[int], rows: Sequence[Sequence[float | None]]) -> list[Judgement]:
        """Judge the next rows. ValueError when a row has another width than there are channels.

        Fewer judgements than rows: the rest is to come again once it has learnt.
        """
        return answer(self.steps(at_ns, rows))

    def steps(self, at_ns: Sequence[int], rows: Sequence[Sequence[float | None]]) -> Steps[list[Judgement]]:
        """`take`, in steps; only a machine that judges alone has more than one."""
        judged: list[Judgement] = []
        if self.scorer is None:
            news = min(len(rows), FIRST_ROWS - len(self.held))
            if any(len(row) != len(self.channels) for row in rows[:news]):
                raise ValueError(f"a row has another width than the {len(self.channels)} channels")
            self.held += [[math.nan if value is None else value for value in row] for row in rows[:news]]
            self.instants += at_ns[: min(news, LOOK_ROWS - len(self.instants))]
            judged, rows = [NOT_YET] * news, rows[news:]
            if len(self.held) >= FIRST_ROWS:
                self.scorer = self.choose()
                self.scorer.take(self.held)
                self.held, self.instants = [], []
        if self.scorer is None or not rows:
            return judged
        if isinstance(self.scorer, MachineScorer):
            return judged + (yield from self.scorer.steps(rows))
        return judged + self.scorer.take(rows)

    def widen(self, channels: Sequence[Channel]) -> None:
        """New channels have joined, behind the ones before, of which the rows so far know nothing."""
        if self.learnt:
            raise ValueError("a model that was learnt takes no more channels")
        blank = [math.nan] * (len(channels) - len(self.channels))
        rows = [row + blank for row in self.warmup]
        self.channels = tuple(channels)
        if self.scorer is None:
            self.held = rows
        else:
            self.scorer = self.make(self.scorer.name)
            self.scorer.warm(rows)

    def choose(self) -> Method:
        """A scorer of the kind that the settings, or the shape of the data so far, ask for."""
        return self.make("+".join(self._shape() if name == "auto" else name for name in self.settings.methods))

    def make(self, name: str) -> Method:
        """A fresh scorer of this name over all channels. ValueError: the settings ask for another one."""
        names, asked = name.split("+"), self.settings.methods
        same = [one == other or {one, other} <= set(BUILT_IN) for one, other in zip(names, asked, strict=False)]
        if len(names) != len(asked) or not all(same):
            raise ValueError(f"the method is {'+'.join(asked)} now, not {name}")
        methods = [self._make(each) for each in names]
        for method in methods:
            method.ease(self._ease)
        return methods[0] if len(methods) == 1 else Panel(dict(zip(asked, methods, strict=True)), self.settings.vote)

    def _make(self, name: str) -> Method:
        if name == SeriesScorer.name:
            return SeriesScorer(self._names()[0], self.settings.series, puts_off=self.puts_off)
        if name == MachineScorer.name:
            return self.make_machine()
        return PluginMethod(name, self.channels, self.settings.plugin.get(name))

    def _shape(self) -> str:
        gaps = [b - a for a, b in zip(self.instants, self.instants[1:], strict=False)]
        slow = len(self.channels) == 1 and bool(gaps) and median(gaps) >= SLOW_PERIOD_S * 1e9
        return SeriesScorer.name if slow else MachineScorer.name

    def make_machine(self) -> MachineScorer:
        """A scorer of all channels as a machine."""
        declared = self.settings.machine.kinds
        kinds = [find_kind(metric, unit, declared) for _, metric, unit in self.channels]
        machine = MachineScorer(self._names(), self.settings.machine, kinds=kinds, puts_off=self.puts_off)
        machine.ease(self._ease)
        return machine

    def _names(self) -> list[str]:
        return [f"{device}/{metric}" if device else metric for device, metric, _ in self.channels]
