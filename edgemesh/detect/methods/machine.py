"""The scorer of a machine: learns several channels from their first rows, then looks for episodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgemesh.detect.methods.contract import Method
from edgemesh.detect.methods.episodes import Pace
from edgemesh.detect.methods.judgement import NOT_YET, Judgement
from edgemesh.detect.methods.lessons import MachineLearnt, MachineLesson, Nothing, Result
from edgemesh.detect.methods.running import SETTLING_ROWS, WILD, MachineState, Running
from edgemesh.detect.methods.tail import Tail
from edgemesh.detect.models.kinds import Kind, find_kind
from edgemesh.detect.models.normal import LARGEST
from edgemesh.detect.models.profile import Learnt, Profile, learn_profile
from edgemesh.detect.models.questions import Steps, answer
from edgemesh.detect.models.rowwise import FEW_ROWS, MOST_CHANNELS
from edgemesh.detect.models.settings import ProfileSettings

__all__ = ["WILD", "MachineScorer", "MachineState"]

Floats = NDArray[np.float64]
_TAIL_ROWS = 16


class MachineScorer(Method):
    """Learns a machine with several channels from its first rows, then looks for episodes.

    The order of the channels plays no part. It fails where the warm-up is not normal, or not the only normal.

    >>> chance = np.random.default_rng(3)
    >>> table = chance.normal(size=(600, 3))
    >>> table[500:, 1] += 4.0
    >>> judged = MachineScorer(("a", "b", "c"), ProfileSettings(trees=20)).take(table.tolist())
    >>> [row for row, each in enumerate(judged) if each.flag][0], judged[520].blame[0].name
    (505, 'b')
    """

    name = "machine"
    takes_models = True

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
        self.warmup: list[list[float]] = []
        self._news: Learnt | None = None  # what it has learnt itself last
        self._running: Running | None = None
        self._ease = 1.0
        self._saved_rows = 0

    @property
    def order(self) -> list[int]:
        """Where its `channels` stand in a row."""
        return self._order

    @property
    def learnt(self) -> bool:
        """Whether it judges."""
        return self.profile is not None

    @property
    def version(self) -> str:
        """That of its profile."""
        return self.profile.version if self.profile is not None else self.name

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
        return answer(self.steps(rows))

    def steps(self, rows: Sequence[Sequence[float | None]]) -> Steps[list[Judgement]]:
        """`take`, in steps."""
        if not rows:
            return []
        running = self._running
        if running is None or len(rows) > FEW_ROWS or len(self.channels) > MOST_CHANNELS:
            return (yield from self._table_steps(rows))
        judged: list[Judgement] = []
        for row in rows:
            one = (yield from running.row_steps(row)) if len(row) == len(self.channels) else None
            judged += (one,) if one is not None else (yield from self._table_steps([row]))
        return judged

    def _table_steps(self, rows: Sequence[Sequence[float | None]]) -> Steps[list[Judgement]]:
        table = np.array(rows, dtype=np.float64).reshape(len(rows), -1)  # None becomes NaN
        if table.shape[1] != len(self.channels):
            raise ValueError(f"a row has {table.shape[1]} entries, there are {len(self.channels)} channels")
        judged: list[Judgement] = []
        while len(table):
            if self._running is not None:
                return judged + (yield from self._running.judge_steps(table))
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
    def room(self) -> int | None:
        """How many rows of the warm-up are missing."""
        return None if self._running is not None else max(1, self.settings.train_rows - len(self.warmup))

    @property
    def material(self) -> Floats:
        """The rows of the warm-up, entries in the order of `channels`."""
        return np.array(self.warmup)[:, self._order]

    def lesson(self) -> MachineLesson:
        """The complete warm-up as plain values."""
        rows = np.ascontiguousarray(self.material, dtype="<f8").tobytes()
        return MachineLesson(channels=self.channels, kinds=self.kinds, rows=rows, settings=self.settings)

    def learn(self, result: Result) -> None:
        """Go on with what was learnt from the `lesson`. ValueError: it is not sound, or of something else."""
        if not isinstance(result, MachineLearnt | Nothing):
            raise ValueError("what was learnt is of another kind of scorer")
        self.use(result.learnt() if isinstance(result, MachineLearnt) else None)

    def made(self) -> tuple[int, dict[str, str]] | None:
        """Rows and libraries of what it has learnt itself, told once."""
        news, self._news = self._news, None
        return None if news is None else (self.settings.train_rows - news.start, news.libraries)

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
        self.warmup, self.profile, self._news = [], learnt.profile, learnt
        self._go(Running.begun(learnt, self.pace, self._order))

    def warm(self, rows: Sequence[Sequence[float]]) -> None:
        """Begin with these rows of a warm-up that was not complete, or not learnt from yet."""
        self.warmup = [list(row) for row in rows]

    def begin(self, profile: Profile) -> None:
        """Go on with a profile that was learnt elsewhere, calm and at its baseline. ValueError: of other channels."""
        if profile.file.channels != self.channels:
            raise ValueError("the profile is of other channels")
        self.warmup, self.profile = [], profile
        self._go(Running.at_rest(profile, self.pace, self._order))

    def settle(self, rows: Sequence[Sequence[float]], settling_rows: int = SETTLING_ROWS) -> None:
        """Begin calm at the level of these newest rows, of which the first are for settling."""
        if self._running is not None and len(rows):
            self._running.settle(np.array(rows, dtype=np.float64), settling_rows)

    def ease(self, factor: float) -> None:
        """Have limits lie so many times as far out; see `Method`."""
        self._ease = factor
        if self._running is not None:
            self._running.ease(factor)

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

    def capture(self) -> bytes:
        """All that moves; see `Method`."""
        return msgspec.msgpack.encode(self.snapshot())

    def twin(self, moving: bytes) -> MachineScorer:
        """Another one with the same profile that goes on from what was captured of this one."""
        if self.profile is None:
            raise ValueError("there is no profile yet")
        twin = MachineScorer(self.channels, self.settings, kinds=self.kinds, pace=self.pace)
        twin._order, twin._ease = self._order, self._ease
        twin._go_on(self.profile, msgspec.msgpack.decode(moving, type=MachineState))
        return twin

    def parts(self) -> dict[str, bytes | None]:
        """What moves, and the features of the newest rows in parts of 16."""
        if self._running is None:
            return {}
        changed = self._tail.save(self.recent, self.seen, self._saved_rows)
        self._saved_rows = self.seen
        return {"moving": msgspec.msgpack.encode(self.snapshot(recent=False)), **changed}

    def save_anew(self) -> None:
        """The whole tail is due again."""
        self._saved_rows = 0

    def resume(self, parts: Mapping[str, bytes], number: int) -> None:
        """Go on from saved parts: the profile (`model`) and what moves."""
        state = msgspec.msgpack.decode(parts["moving"], type=MachineState)
        kept, width = min(state.seen, self.pace.kept_rows), len(state.episode.baseline)
        state.episode.recent = self._tail.load(parts, state.seen, kept, width).tolist()
        self.restore(state, parts.get("model", b""), number)
        self._saved_rows = state.seen

    @property
    def _tail(self) -> Tail:
        return Tail(self.pace.kept_rows, _TAIL_ROWS)

    def _go_on(self, profile: Profile, state: MachineState) -> None:
        if profile.file.channels != self.channels:
            raise ValueError("the profile is of other channels")
        self._go(Running.restored(profile, state, self.pace, self._order))
        self.profile, self.warmup = profile, []

    def _go(self, running: Running) -> None:
        running.ease(self._ease)
        self._running = running
