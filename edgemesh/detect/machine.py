"""The scorer of a machine: learns several channels from their first rows, then looks for episodes."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgemesh.detect.episodes import Episodes, EpisodeState, Pace
from edgemesh.detect.judgement import NOT_YET, Blame, Judgement
from edgemesh.detect.kinds import Kind, find_kind
from edgemesh.detect.model_settings import ProfileSettings
from edgemesh.detect.normal import LARGEST
from edgemesh.detect.profile import Learnt, Profile, learn_profile
from edgemesh.detect.rowwise import FEW_ROWS, MOST_CHANNELS
from edgemesh.detect.slow import Slow, SlowState
from edgemesh.detect.smoothing import Levels, LevelsState

Floats = NDArray[np.float64]
WILD = 6.0
"""A value further than so many spreads from its normal counts from the second in a row on: one alone may be a glitch.

A level moves by a fifth of what comes, so what lies nearer can't start an episode alone.
"""
_MOST_BLAMED = 3


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


class MachineScorer:
    """Learns a machine with several channels from its first rows, then looks for episodes.

    The order of the channels plays no part. It fails where the warm-up is not normal, or not the only normal.

    >>> chance = np.random.default_rng(3)
    >>> table = chance.normal(size=(600, 3))
    >>> table[500:, 1] += 4.0
    >>> judged = MachineScorer(("a", "b", "c"), ProfileSettings(trees=20)).take(table.tolist())
    >>> [row for row, each in enumerate(judged) if each.flag][0], judged[520].blame[0].name
    (505, 'b')
    """

    def __init__(
        self,
        channels: Sequence[str],
        settings: ProfileSettings | None = None,
        *,
        units: Sequence[str] = (),
        kinds: Sequence[Kind] = (),
        pace: Pace | None = None,
        puts_off: bool = False,
    ) -> None:
        """`channels`: names, all different. `kinds`, or else their `units` (UCUM) and names, tell what they measure.

        `puts_off`: it takes no more rows while it `wants` to learn, which others do (`material`) and hand in (`use`).
        """
        self.settings, self.puts_off = settings or ProfileSettings(), puts_off
        self.pace = pace or (Pace() if self.settings.pace == 1.0 else Pace().scaled(self.settings.pace))
        self._order = sorted(range(len(channels)), key=lambda k: channels[k])
        self.channels = tuple(channels[k] for k in self._order)
        units = units or ("1",) * len(channels)
        kinds = kinds or [find_kind(*each, self.settings.kinds) for each in zip(channels, units, strict=True)]
        self.kinds = tuple(kinds[k] for k in self._order)
        self.profile: Profile | None = None
        self.refused = 0
        """How many times a whole warm-up held nothing to learn from."""
        self.warmup: list[list[float]] = []
        """Its rows so far, entries in the order that the caller gave; empty once they were learnt from."""
        self.learnt: Learnt | None = None
        """What it has learnt itself last."""
        self._running: _Running | None = None

    @property
    def recent(self) -> Floats:
        """The features of the newest rows, once there is a profile."""
        return self._running.episodes.recent if self._running else np.empty((0, 0))

    @property
    def seen(self) -> int:
        """Rows whose features have been kept since there is a profile, forgotten ones included."""
        return self._running.seen if self._running else 0

    def take(self, rows: Sequence[Sequence[float | None]]) -> list[Judgement]:
        """Judge the next rows; those of the warm-up are never strange. ValueError when a row has another width.

        Fewer judgements than rows: the rest is to come again once it has learnt.
        """
        if not rows:
            return []
        if self._running is not None and len(rows) <= FEW_ROWS and len(self.channels) <= MOST_CHANNELS:
            return [judgement for row in rows for judgement in self._take_row(self._running, row)]
        return self._take_table(rows)

    def _take_row(self, running: _Running, row: Sequence[float | None]) -> Sequence[Judgement]:
        judgement = running.judge_row(row) if len(row) == len(self.channels) else None
        return (judgement,) if judgement is not None else self._take_table([row])

    def _take_table(self, rows: Sequence[Sequence[float | None]]) -> list[Judgement]:
        table = np.array(rows, dtype=np.float64).reshape(len(rows), -1)  # None becomes NaN
        if table.shape[1] != len(self.channels):
            raise ValueError(f"a row has {table.shape[1]} entries, there are {len(self.channels)} channels")
        judged: list[Judgement] = []
        while len(table):
            if self._running is not None:
                return judged + self._running.judge(table)
            warm, table = np.split(table, [max(0, self.settings.train_rows - len(self.warmup))])
            self.warmup += np.where(np.abs(warm) <= LARGEST, warm, np.nan).tolist()
            judged += [NOT_YET] * len(warm)
            if self.wants:
                if self.puts_off:
                    break
                self.use(learn_profile(self.material, self.channels, self.kinds, self.settings))
        return judged

    @property
    def wants(self) -> bool:
        """Whether the warm-up is complete, and nothing was learnt from it yet."""
        return self._running is None and len(self.warmup) >= self.settings.train_rows

    @property
    def material(self) -> Floats:
        """The rows of the warm-up, entries in the order of `channels`."""
        return np.array(self.warmup)[:, self._order]

    def use(self, learnt: Learnt | None) -> None:
        """Go on with what was learnt from the warm-up. None: it held nothing; wait for another quarter of new rows.

        ValueError: it is of other channels.
        """
        if learnt is None:
            self.refused += 1
            self.warmup = self.warmup[max(1, self.settings.train_rows // 4) :]
            return
        if learnt.profile.file.channels != self.channels:
            raise ValueError("the profile is of other channels")
        self.warmup, self.profile, self.learnt = [], learnt.profile, learnt
        self._running = _Running.begun(learnt, self.pace, self._order)

    def begin(self, profile: Profile) -> None:
        """Go on with a profile that was learnt elsewhere, calm and at its baseline. ValueError: of other channels."""
        if profile.file.channels != self.channels:
            raise ValueError("the profile is of other channels")
        self.warmup, self.profile = [], profile
        self._running = _Running.at_rest(profile, self.pace, self._order)

    def skip(self) -> None:
        """Rows are missing: what is only suspected is forgotten; an episode goes on."""
        if self._running is not None:
            self._running.episodes.skip()

    def acknowledge(self) -> None:
        """A person has seen the episode: what comes next gets no benefit of the doubt."""
        if self._running is not None:
            self._running.episodes.acknowledge()

    def accept(self) -> None:
        """A person says that all is well: the present level is the new normal."""
        if self._running is not None:
            self._running.episodes.accept()

    def snapshot(self, *, recent: bool = True) -> MachineState:
        """What is needed, with the profile's content (and `recent`), to go on from here."""
        if self._running is None:
            return MachineState(warmup=[row[:] for row in self.warmup])
        return self._running.snapshot(recent=recent)

    def restore(self, state: MachineState, content: bytes | None, number: int = 1) -> None:
        """Go on from a snapshot. Raise ValueError when state and profile do not fit together, or the channels.

        `number`: the version of the profile.
        """
        if content is None:
            if any(len(row) != len(self.channels) for row in state.warmup):
                raise ValueError("the warm-up has another width than there are channels")
            self.warmup, self._running, self.profile = [row[:] for row in state.warmup], None, None
            return
        self._go_on(Profile(content, number), state)

    def twin(self, state: MachineState) -> MachineScorer:
        """Another one with the same profile that goes on from a snapshot of this one."""
        if self.profile is None:
            raise ValueError("there is no profile yet")
        twin = MachineScorer(self.channels, self.settings, kinds=self.kinds, pace=self.pace)
        twin._order = self._order
        twin._go_on(self.profile, state)
        return twin

    def _go_on(self, profile: Profile, state: MachineState) -> None:
        if profile.file.channels != self.channels:
            raise ValueError("the profile is of other channels")
        self._running = _Running.restored(profile, state, self.pace, self._order)
        self.profile, self.warmup = profile, []


class _Running:
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
    def begun(cls, learnt: Learnt, pace: Pace, order: Sequence[int]) -> _Running:
        episodes = Episodes(learnt.profile.strange, learnt.features, pace, learnt.profile.strange_row)
        return cls(learnt.profile, learnt.levels, learnt.slow, episodes, order, len(episodes.recent))

    @classmethod
    def at_rest(cls, profile: Profile, pace: Pace, order: Sequence[int]) -> _Running:
        normal = profile.normal
        episodes = Episodes(profile.strange, np.zeros((pace.plateau_from, len(normal.owner))), pace)
        return cls(profile, Levels(normal.rates), Slow(profile.file.slowness), episodes, order, pace.plateau_from)

    @classmethod
    def restored(cls, profile: Profile, state: MachineState, pace: Pace, order: Sequence[int]) -> _Running:
        normal = profile.normal
        episodes = Episodes(profile.strange, np.zeros((1, len(normal.owner))), pace, profile.strange_row)
        episodes.restore(state.episode)
        levels, slow = Levels(normal.rates, state.levels), Slow(profile.file.slowness, state.slow)
        running = cls(profile, levels, slow, episodes, order, state.seen)
        if any(not 0 <= k < len(running._names) for k in state.wild):
            raise ValueError("a wild channel is none of the profile")
        running.wild = state.wild[:]
        return running

    def judge(self, table: Floats) -> list[Judgement]:
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
        verdicts = self.episodes.judge(features, unsettled)
        self.seen += len(table)
        scores, flags = verdicts.scores.tolist(), verdicts.flags
        judged = [Judgement(*each) for each in zip(scores, flags, _NO_BLAME * len(scores), verdicts.since, strict=True)]
        strange = [row for row, (score, flag) in enumerate(zip(scores, flags, strict=True)) if flag or score > 1.0]
        if strange:
            blames = self._blame(levels[strange], verdicts.deviations[strange])
            for row, blame in zip(strange, blames, strict=True):
                judged[row] = judged[row]._replace(blame=blame)
        return judged

    def judge_row(self, row: Sequence[float | None]) -> Judgement | None:
        """What `judge` says of one row; None when that has to be asked: something is unknown, wild or unsettled."""
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
        score, flag, deviations, since = self.episodes.judge_row(normal.features(levels), unsettled)
        self.seen += 1
        blame = self._parts(levels, deviations) if flag or score > 1.0 else ()
        return Judgement(score, flag, blame, since)

    def snapshot(self, *, recent: bool) -> MachineState:
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
                value, low, high = self.profile.normal.range_of(feature, level, deviations[feature])
                score = round(strength[feature], 3)
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
