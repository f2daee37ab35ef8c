"""Scoring: one object that takes the rows of an asset strictly forwards and judges each of them."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from edgemesh.detect.episodes import Episodes, EpisodeState, Pace
from edgemesh.detect.judgement import NOT_YET, Judgement, Scorer
from edgemesh.detect.kinds import find_kind
from edgemesh.detect.normal import Normal
from edgemesh.detect.profile import Learnt, Profile, ProfileSettings, learn_profile
from edgemesh.detect.series import SeriesScorer, SeriesSettings
from edgemesh.detect.slow import Slow, SlowState
from edgemesh.detect.smoothing import Levels, LevelsState
from edgemesh.model.settings import Settings

Floats = NDArray[np.float64]
SLOW_PERIOD_S = 30.0
"""A single metric with at least this period is a slow series: forecast by its own past, not a machine in an episode."""
_LOOK_ROWS = 16


class ScoreSettings(Settings, frozen=True, kw_only=True):
    """`method`: `machine`, `series`, or by the shape of the data. The rest says how each of them works."""

    method: Annotated[str, Meta(pattern="^(auto|machine|series)$")] = "auto"
    machine: ProfileSettings = ProfileSettings()
    series: SeriesSettings = SeriesSettings()


class MachineState(msgspec.Struct, omit_defaults=True):
    """A machine's scorer in motion: the warm-up so far, or (with the profile's content) all that moves."""

    warmup: list[list[float]] = []
    levels: LevelsState = msgspec.field(default_factory=LevelsState)
    slow: SlowState = msgspec.field(default_factory=SlowState)
    episode: EpisodeState = msgspec.field(default_factory=EpisodeState)


class MachineScorer:
    """Learns a machine with several channels from its first rows, then looks for episodes.

    The order of the channels plays no part. It fails where the warm-up is not normal, or not the only normal.

    >>> chance = np.random.default_rng(3)
    >>> table = chance.normal(size=(600, 3))
    >>> table[500:, 1] += 4.0
    >>> judged = MachineScorer(("a", "b", "c"), ProfileSettings(trees=20)).take(table.tolist())
    >>> [row for row, each in enumerate(judged) if each.flag][0], judged[520].blame[0][0]
    (505, 'b')
    """

    def __init__(
        self,
        channels: Sequence[str],
        settings: ProfileSettings | None = None,
        *,
        units: Sequence[str] = (),
        pace: Pace | None = None,
    ) -> None:
        """`channels`: names, all different; `units` (UCUM) tell their kinds where nothing is declared."""
        self.settings, self.pace = settings or ProfileSettings(), pace or Pace()
        self._order = sorted(range(len(channels)), key=lambda k: channels[k])
        self.channels = tuple(channels[k] for k in self._order)
        given = dict(zip(channels, units, strict=True)) if units else {}
        self.kinds = tuple(find_kind(name, given.get(name, "1"), self.settings.kinds) for name in self.channels)
        self.profile: Profile | None = None
        self._warmup: list[list[float]] = []
        self._running: _Running | None = None

    def take(self, rows: Sequence[Sequence[float | None]]) -> list[Judgement]:
        """Judge the next rows; those of the warm-up are never strange. ValueError when a row has another width."""
        if not rows:
            return []
        table = np.array(rows, dtype=np.float64).reshape(len(rows), -1)  # None becomes NaN
        if table.shape[1] != len(self.channels):
            raise ValueError(f"a row has {table.shape[1]} entries, there are {len(self.channels)} channels")
        table[~np.isfinite(table)] = np.nan
        table = table[:, self._order]
        judged: list[Judgement] = []
        while self._running is None and len(table):
            warm = table[: self.settings.train_rows - len(self._warmup)]
            self._warmup += warm.tolist()
            judged += [NOT_YET] * len(warm)
            table = table[len(warm) :]
            if len(self._warmup) >= self.settings.train_rows:
                self._learn()
        return judged + self._running.judge(table) if self._running is not None and len(table) else judged

    def acknowledge(self) -> None:
        """A person has seen the episode: what comes next gets no benefit of the doubt."""
        if self._running is not None:
            self._running.episodes.acknowledge()

    def accept(self) -> None:
        """A person says that all is well: the present level is the new normal."""
        if self._running is not None:
            self._running.episodes.accept()

    def snapshot(self) -> MachineState:
        """What is needed, with the profile's content, to go on from here."""
        if self._running is None:
            return MachineState(warmup=[row[:] for row in self._warmup])
        return self._running.snapshot()

    def restore(self, state: MachineState, content: bytes | None) -> None:
        """Go on from a snapshot. Raise ValueError when state and profile do not fit together, or the channels."""
        if content is None:
            if any(len(row) != len(self.channels) for row in state.warmup):
                raise ValueError("the warm-up has another width than there are channels")
            self._warmup, self._running, self.profile = [row[:] for row in state.warmup], None, None
            return
        profile = Profile(content)
        if profile.file.channels != self.channels:
            raise ValueError("the profile is of other channels")
        self._running = _Running.restored(profile, state, self.pace)
        self.profile, self._warmup = profile, []

    def _learn(self) -> None:
        learnt = learn_profile(np.array(self._warmup), self.channels, self.kinds, self.settings)
        if learnt is None:
            drop = max(1, self.settings.train_rows // 4)
            self._warmup = self._warmup[drop:]
            return
        self._warmup, self.profile = [], learnt.profile
        self._running = _Running.begun(learnt, self.pace)


class _Running:
    """What moves once a profile is there."""

    def __init__(self, profile: Profile, levels: Levels, slow: Slow, episodes: Episodes) -> None:
        self.profile, self.levels, self.slow, self.episodes = profile, levels, slow, episodes
        self._fast, self._slow = list(profile.file.fast), list(profile.file.slow)
        self._names = [profile.file.channels[k] for k in self._fast]

    @classmethod
    def begun(cls, learnt: Learnt, pace: Pace) -> _Running:
        episodes = Episodes(learnt.profile.strange, learnt.features, pace)
        return cls(learnt.profile, learnt.levels, learnt.slow, episodes)

    @classmethod
    def restored(cls, profile: Profile, state: MachineState, pace: Pace) -> _Running:
        normal: Normal = profile.normal
        episodes = Episodes(profile.strange, np.zeros((1, len(normal.owner))), pace)
        episodes.restore(state.episode)
        return cls(profile, Levels(normal.rates, state.levels), Slow(profile.file.slowness, state.slow), episodes)

    def judge(self, table: Floats) -> list[Judgement]:
        normal = self.profile.normal
        fast = table[:, self._fast]
        unknown = np.isnan(fast)
        levels = self.levels.run(normal.standardise(fast))
        features = normal.features(levels, unknown if unknown.any() else None)
        unsettled = self.slow.unsettled(table[:, self._slow]) if self._slow else np.zeros(len(table))
        verdicts = self.episodes.judge(features, unsettled)
        flags, scores = verdicts.flags.tolist(), verdicts.scores.tolist()
        judged = list(map(Judgement, scores, flags))
        strange = [row for row, (score, flag) in enumerate(zip(scores, flags, strict=True)) if flag or score > 1.0]
        for row, blame in zip(strange, self._blame(verdicts.deviations[strange]) if strange else (), strict=True):
            judged[row] = judged[row]._replace(blame=blame)
        return judged

    def snapshot(self) -> MachineState:
        return MachineState(levels=self.levels.snapshot(), slow=self.slow.snapshot(), episode=self.episodes.snapshot())

    def _blame(self, deviations: Floats) -> list[tuple[tuple[str, float], ...]]:
        """The channels of each row by their strongest feature; only those at least half as strong as the first."""
        width = len(self._names)
        strength = np.abs(deviations)
        of_channel = np.maximum(strength[:, :width], strength[:, width : 2 * width])
        for place, channel in enumerate(self.profile.file.normal.long):
            of_channel[:, channel] = np.maximum(of_channel[:, channel], strength[:, 2 * width + place])
        ranked = np.argsort(-of_channel, axis=1, kind="stable")[:, :3]
        return [
            tuple((self._names[k], round(float(row[k]), 3)) for k in order if row[k] >= 0.5 * row[order[0]])
            for row, order in zip(of_channel, ranked, strict=True)
        ]


class AutoScorer:
    """Chooses by the shape of the data: one metric with a period of 30 s and more is a series, the rest machines."""

    def __init__(
        self, channels: Sequence[str], settings: ScoreSettings | None = None, *, units: Sequence[str] = ()
    ) -> None:
        self.channels, self.units, self.settings = tuple(channels), tuple(units), settings or ScoreSettings()
        self._instants: list[int] = []
        self._held: list[Sequence[float | None]] = []
        self.scorer: Scorer | None = None
        if self.settings.method != "auto" or len(self.channels) > 1:
            self.scorer = self._make(series=self.settings.method == "series")

    def take(self, at_ns: Sequence[int], rows: Sequence[Sequence[float | None]]) -> list[Judgement]:
        """Judge the next rows, whose times decide while the choice is open (the first 16 rows, never strange)."""
        judged: list[Judgement] = []
        if self.scorer is None:
            news = min(len(rows), _LOOK_ROWS - len(self._held))
            self._held += rows[:news]
            self._instants += at_ns[:news]
            judged, rows = [NOT_YET] * news, rows[news:]
            if len(self._held) == _LOOK_ROWS:
                gaps = [b - a for a, b in zip(self._instants, self._instants[1:], strict=False)]
                self.scorer = self._make(series=median(gaps) >= SLOW_PERIOD_S * 1e9)
                self.scorer.take(self._held)
        return judged + self.scorer.take(rows) if self.scorer is not None and rows else judged

    def _make(self, *, series: bool) -> Scorer:
        if series:
            return SeriesScorer(self.channels[0], self.settings.series)
        return MachineScorer(self.channels, self.settings.machine, units=self.units)
