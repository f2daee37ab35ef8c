"""Running: what moves in the scorer of a machine once it has learnt."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgemesh.detect.methods.episodes import Episodes, EpisodeState, Pace
from edgemesh.detect.methods.judgement import Blame, Judgement
from edgemesh.detect.models.normal import LARGEST
from edgemesh.detect.models.profile import Learnt, Profile
from edgemesh.detect.models.questions import Steps
from edgemesh.detect.models.slow import Slow, SlowState
from edgemesh.detect.models.smoothing import Levels, LevelsState

Floats = NDArray[np.float64]
WILD = 6.0
"""A value further than so many spreads from its normal counts from the second in a row on: one alone may be a glitch.

A level moves by a fifth of what comes, so what lies nearer can't start an episode alone.
"""
_MOST_BLAMED = 3
SETTLING_ROWS = 32


class MachineState(msgspec.Struct, omit_defaults=True):
    """A machine's scorer in motion: the warm-up so far, or (with the profile's content) all that moves.

    `seen`: rows whose features have been kept since the profile was learnt; the newest of them are in `episode`.
    `wild`: positions of the channels whose last value was wild.
    """

    warmup: list[list[float]] = []
    levels: LevelsState = msgspec.field(default_factory=LevelsState)
    slow: SlowState = msgspec.field(default_factory=SlowState)
    episode: EpisodeState = msgspec.field(default_factory=EpisodeState)
    seen: int = 0
    wild: list[int] = []


class Running:
    """What moves once a profile is there."""

    def __init__(
        self, profile: Profile, levels: Levels, slow: Slow, episodes: Episodes, order: Sequence[int], seen: int
    ) -> None:
        self.profile, self.levels, self.slow, self.episodes, self.seen = profile, levels, slow, episodes, seen
        file = profile.file
        self.wild: list[int] = []
        self._fast = np.array([order[k] for k in file.fast], dtype=np.intp)
        self._slow = np.array([order[k] for k in file.slow], dtype=np.intp)
        self._names = [file.channels[k] for k in file.fast]
        self._owner: list[int] = profile.normal.owner.tolist()
        self._fast_places: list[int] = self._fast.tolist()
        self._slow_places: list[int] = self._slow.tolist()

    @classmethod
    def begun(cls, learnt: Learnt, pace: Pace, order: Sequence[int]) -> Running:
        """Begin after the warm-up that was learnt from. `order`: where the profile's channels stand in a row."""
        episodes = Episodes(learnt.profile.strange, learnt.features, pace, learnt.profile.strange_steps)
        return cls(learnt.profile, learnt.levels, learnt.slow, episodes, order, len(episodes.recent))

    @classmethod
    def at_rest(cls, profile: Profile, pace: Pace, order: Sequence[int]) -> Running:
        """Begin calm and at the baseline of a profile."""
        normal = profile.normal
        episodes = Episodes(
            profile.strange, np.zeros((pace.plateau_from, len(normal.owner))), pace, profile.strange_steps
        )
        return cls(profile, Levels(normal.rates), Slow(profile.file.slowness), episodes, order, pace.plateau_from)

    @classmethod
    def restored(cls, profile: Profile, state: MachineState, pace: Pace, order: Sequence[int]) -> Running:
        """Go on from a snapshot. ValueError: it is none of this profile."""
        normal = profile.normal
        episodes = Episodes(profile.strange, np.zeros((1, len(normal.owner))), pace, profile.strange_steps)
        episodes.restore(state.episode)
        levels, slow = Levels(normal.rates, state.levels), Slow(profile.file.slowness, state.slow)
        running = cls(profile, levels, slow, episodes, order, state.seen)
        if any(not 0 <= k < len(running._names) for k in state.wild):
            raise ValueError("a wild channel is none of the profile")
        running.wild = state.wild[:]
        return running

    def ease(self, factor: float) -> None:
        """Have limits lie so many times as far out from the next row on."""
        self.episodes.ease = factor

    def settle(self, table: Floats, settling_rows: int = SETTLING_ROWS) -> None:
        """Begin calm at the level of these newest rows (n x channels, NaN: unknown); too few change nothing.

        The first `settling_rows` are for levels to settle; as many have to follow.
        """
        if len(table) < 2 * settling_rows:
            return
        fast = table.take(self._fast, axis=1)
        fast[~(np.abs(fast) <= LARGEST)] = np.nan
        levels = self.levels.run(self.profile.normal.standardise(fast))
        self._unsettled(table)
        self.episodes.settle(self.profile.normal.features(levels)[settling_rows:])
        self.seen = len(self.episodes.recent)

    def judge_steps(self, table: Floats) -> Steps[list[Judgement]]:
        """Judge rows (n x channels, NaN: unknown), in steps."""
        normal = self.profile.normal
        fast = table.take(self._fast, axis=1)
        known = np.abs(fast) <= LARGEST
        unknown = None
        if not known.all():
            unknown = ~known
            fast[unknown] = np.nan
        z = normal.standardise(fast)
        wild = np.abs(z[:, : len(self._names)]) > WILD
        if self.wild or wild.any():
            lone = wild & ~np.vstack([self._were_wild(), wild[:-1]])
            self.wild = np.flatnonzero(wild[-1]).tolist()
            if lone.any():
                unknown = lone if unknown is None else unknown | lone
                z[unknown[:, normal.place]] = np.nan
        levels = self.levels.run(z, holes=unknown is not None)
        if self.levels.faint is not None and self.levels.faint.any():
            faint = self.levels.faint[:, : len(self._names)]
            unknown = faint if unknown is None else unknown | faint
        features = normal.features(levels, unknown)
        unsettled = self._unsettled(table) if len(self._slow) else None
        verdicts = yield from self.episodes.judge_steps(features, unsettled)
        self.seen += len(table)
        scores, flags = verdicts.scores.tolist(), verdicts.flags
        judged = [Judgement(*each) for each in zip(scores, flags, _NO_BLAME * len(scores), verdicts.since, strict=True)]
        strange = [row for row, (score, flag) in enumerate(zip(scores, flags, strict=True)) if flag or score > 1.0]
        if strange:
            blames = self._blame(levels[strange], verdicts.deviations[strange])
            for row, blame in zip(strange, blames, strict=True):
                judged[row] = judged[row]._replace(blame=blame)
        return judged

    def row_steps(self, row: Sequence[float | None]) -> Steps[Judgement | None]:
        """`judge_steps` of one row; None when that has to be asked: something is unknown, wild or unsettled."""
        if self.wild or not self.levels.settled:
            return None
        fast = _known(row, self._fast_places)
        slow = _known(row, self._slow_places)
        if fast is None or slow is None or (slow and not self.slow.settled):
            return None
        normal = self.profile.row_normal
        z = normal.standardise(fast)
        if max(map(abs, z)) > WILD:
            return None
        levels = self.levels.step(z)
        unsettled = self.slow.step(slow) if slow else 0.0
        features = normal.features(levels)
        deviations, chart = self.episodes.near_row(features)
        strange = yield from self.profile.strange_row(deviations, chart)
        score, flag, _, since = self.episodes.judge_row(features, unsettled, deviations, strange)
        self.seen += 1
        blame = self._parts(levels, deviations) if flag or score > 1.0 else ()
        return Judgement(score, flag, blame, since)

    def snapshot(self, *, recent: bool) -> MachineState:
        """What is needed, with the profile (and the `recent` features), to go on from here."""
        return MachineState(
            levels=self.levels.snapshot(),
            slow=self.slow.snapshot(),
            episode=self.episodes.snapshot(recent=recent),
            seen=self.seen,
            wild=self.wild[:],
        )

    def _were_wild(self) -> NDArray[np.bool_]:
        """Which channels were wild in the last row."""
        wild = np.zeros(len(self._names), dtype=bool)
        wild[self.wild] = True
        return wild

    def _unsettled(self, table: Floats) -> Floats:
        slow = table.take(self._slow, axis=1)
        slow[~(np.abs(slow) <= LARGEST)] = np.nan
        return self.slow.unsettled(slow)

    def _blame(self, levels: Floats, deviations: Floats) -> list[tuple[Blame, ...]]:
        """The channels of each row by their strongest feature; only those at least half as strong as the first."""
        return [self._parts(*row) for row in zip(levels.tolist(), deviations.tolist(), strict=True)]

    def _parts(self, levels: list[float], deviations: list[float]) -> tuple[Blame, ...]:
        width = len(self._names)
        parts: dict[int, Blame] = {}
        strength = [abs(deviation) for deviation in deviations]
        ranked = sorted(range(len(strength)), key=lambda feature: -strength[feature])
        least = 0.5 * strength[ranked[0]]
        for feature in ranked:
            channel = self._owner[feature]
            if strength[feature] < least or len(parts) == _MOST_BLAMED:
                break
            if channel not in parts:
                level = levels[feature if feature < width else feature - width]
                ease = self.episodes.ease
                value, low, high = self.profile.normal.range_of(feature, level, deviations[feature], ease)
                score = round(strength[feature] / ease, 3)
                parts[channel] = Blame(self._names[channel], score, self._fast_places[channel], value, low, high)
        return tuple(parts.values())


def _known(row: Sequence[float | None], places: Sequence[int]) -> list[float] | None:
    """The values at these places; None when one of them is unknown or not to be believed."""
    found = []
    for place in places:
        value = row[place]
        if value is None or not -LARGEST <= value <= LARGEST:
            return None
        found.append(value)
    return found


_NO_BLAME: list[tuple[Blame, ...]] = [()]
