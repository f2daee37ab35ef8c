"""Episodes: when the state of a machine leaves normal, and when it is back or has settled elsewhere.

Onset and offset are two different events. Between them the baseline stands still.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgemesh.detect.models.questions import Steps, answer

Floats = NDArray[np.float64]
Strange = Callable[[Floats], Floats]
"""Deviations (n x features, 1 at the limit) to one number per row, 1 at the limit; high is strange."""
StrangeSteps = Callable[[Floats], Steps[Floats]]
"""The same, in steps."""

BLOCK_ROWS = 16
"""The baseline moves after so many rows, so that the rows between can be scored at once."""


class Phase(enum.StrEnum):
    """Where a machine is in an episode; `alarm` and `returned` are firing, `turned` is for its first `hold` rows."""

    CALM = "calm"
    ALARM = "alarm"
    RETURNED = "returned"
    TURNED = "turned"


class Fact(enum.Enum):
    """What can be found out in a phase."""

    ONSET = "too strange for too long"
    NEAR = "near its baseline for a while"
    PROVEN = "its mean is near the baseline, too"
    REFUTED = "its mean is not"
    LEFT = "the deviation has left its direction"
    RELAPSED = "the deviation is as it was"
    SETTLED = "it has been elsewhere all the time"


MOVES: dict[tuple[Phase, Fact], Phase] = {
    (Phase.CALM, Fact.ONSET): Phase.ALARM,
    (Phase.ALARM, Fact.NEAR): Phase.RETURNED,
    (Phase.ALARM, Fact.LEFT): Phase.TURNED,
    (Phase.RETURNED, Fact.PROVEN): Phase.CALM,
    (Phase.RETURNED, Fact.REFUTED): Phase.ALARM,
    (Phase.TURNED, Fact.RELAPSED): Phase.ALARM,
    (Phase.TURNED, Fact.SETTLED): Phase.CALM,
}


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """Constants of the decision; everything that lasts is in ticks (rows) of the asset.

    Onset: a sum of strangeness above `drift`, each row at most `cap`, beyond `onset`. Baseline while calm: mean of the
    past with a memory of `young` ticks at first and `follow` in the end. Back: below `near` for `near_for`, then a mean
    of `mean_over` below it after `hold`. Plateau of a fault: mean of the ticks `plateau_from` to `plateau_to` ago, the
    largest one, forgotten within `plateau_memory`. The deviation has left it when the mean of `glance` ticks holds less
    than `left` of it in its direction and is smaller than `smaller` of it, for `left_for`; it is back above `relapse`
    for `relapse_for`. After `hold` + `probation` ticks elsewhere that is the new normal. Trust: by how many limits more
    a machine may deviate after an episode that ended near (`trust_returned`) or elsewhere (`trust_settled`), forgotten
    within `trust_memory`; none for what looks like the last fault within `alike` of its size.
    """

    drift: float = 1.05
    cap: float = 3.0
    onset: float = 5.0
    young: float = 30.0
    follow: float = 200.0
    near: float = 0.9
    near_for: int = 15
    hold: int = 30
    mean_over: int = 20
    plateau_from: int = 90
    plateau_to: int = 20
    plateau_memory: float = 400.0
    glance: int = 10
    left: float = 0.6
    smaller: float = 0.9
    left_for: int = 10
    relapse: float = 0.7
    relapse_for: int = 5
    probation: int = 60
    trust_returned: float = 1.0
    trust_settled: float = 2.0
    trust_memory: float = 200.0
    alike: float = 0.4

    @property
    def kept_rows(self) -> int:
        """How many of the newest rows are needed: those of the plateau, and of the block that moves the baseline."""
        return max(self.plateau_from, BLOCK_ROWS)

    def scaled(self, factor: float) -> Pace:
        """The same for ticks that last 1 / `factor` as long: everything that lasts takes `factor` times as many.

        >>> Pace().scaled(0.5).hold, Pace().scaled(0.5).trust_memory
        (15, 100.0)
        """
        rows = {name: max(1, round(getattr(self, name) * factor)) for name in _LASTING_ROWS}
        return msgspec.structs.replace(self, **rows, **{name: getattr(self, name) * factor for name in _MEMORIES})


_MEMORIES = ("young", "follow", "plateau_memory", "trust_memory")
_LASTING_ROWS = (
    *("near_for", "hold", "mean_over", "plateau_from", "plateau_to"),
    *("glance", "left_for", "relapse_for", "probation"),
)


class EpisodeState(msgspec.Struct, omit_defaults=True):
    """A decision in motion. Vectors have one entry per feature, in limits; empty: none.

    `baseline` moves at the end of a block, of which `block_rows` have come; `former` is the normal before the present
    one, `onset_baseline` (with `onset_age`) the baseline where the sum last stood at 0. `age`: calm ticks of this
    baseline. `count`, `turn_count`: rows in a row that speak for the next moves; `since`: ticks in this phase;
    `episode_rows`: ticks since the onset; `doubt_rows`: those since the sum last stood at 0. `direction` x `size` is
    the plateau of this episode, `fault` with `fault_size` that of the last one that ended elsewhere. `recent`: features
    of the last ticks.
    """

    phase: Phase = Phase.CALM
    total: float = 0.0
    trust: float = 0.0
    age: int = 0
    block_rows: int = 0
    count: int = 0
    turn_count: int = 0
    since: int = 0
    episode_rows: int = 0
    doubt_rows: int = 0
    size: float = 0.0
    fault_size: float = 0.0
    onset_age: int = 0
    baseline: list[float] = []
    onset_baseline: list[float] = []
    former: list[float] = []
    direction: list[float] = []
    fault: list[float] = []
    recent: list[list[float]] = []


_SPARE_ROWS = 16 * BLOCK_ROWS
_AHEAD_ROWS = 8 * BLOCK_ROWS
"""So many rows at most are scored before it is decided about them; those after a change of plan are scored again."""


class Verdicts(NamedTuple):
    """One entry per row: `scores` (1 at the limit; high is strange), `flags`, `deviations` (n x features), and `since`,
    how many rows in a row there have been signs of an episode that has not begun, or begins with this one.
    """

    scores: Floats
    flags: list[bool]
    deviations: Floats
    since: list[int]


class RowVerdict(NamedTuple):
    """`Verdicts` of a single row."""

    score: float
    flag: bool
    deviations: list[float]
    since: int


_VECTORS = ("baseline", "onset_baseline", "former", "direction", "fault")


class Episodes:
    """Decides row after row. It fails where two faults overlap, and takes a fault that fades slowly for a recovery.

    >>> rows = np.full((120, 2), 0.1)
    >>> rows[10:60, 1] = 4.0
    >>> episodes = Episodes(lambda d: np.abs(d).max(axis=1), np.zeros((90, 2)))
    >>> np.flatnonzero(np.diff(np.array(episodes.judge(rows).flags, dtype=int))).tolist()
    [11, 103]

    Sources: Page 1954 (cumulative sum); alarm states after ISA-18.2; the two-event scheme is our own.
    """

    def __init__(
        self, strange: Strange, recent: Floats, pace: Pace | None = None, strange_steps: StrangeSteps | None = None
    ) -> None:
        """Begin calm after a warm-up whose newest features were `recent` (n x features).

        `strange_steps` says the same as `strange`, in steps; left out, rows are judged in one.
        """
        self.pace, self._strange = pace or Pace(), strange
        self.ease = 1.0
        """How many limits count as one: above 1 it takes more to be strange."""
        self._strange_steps = strange_steps
        width = recent.shape[1]
        self._state = EpisodeState()
        self._baseline, self._onset_baseline = np.zeros(width), np.zeros(width)
        self._direction = np.zeros(width)
        self._former: Floats | None = None
        self._fault: Floats | None = None
        self._past, self._end = np.empty((0, 0)), 0
        self._floats: tuple[Floats | None, Floats | None, list[float], list[float] | None] = (None, None, [], None)
        self._keep(recent[-self.pace.kept_rows :])

    @property
    def recent(self) -> Floats:
        """The features of the newest rows, as many as are needed."""
        return self._past[max(0, self._end - self.pace.kept_rows) : self._end]

    @property
    def phase(self) -> Phase:
        """Where the machine is now."""
        return self._state.phase

    @property
    def baseline(self) -> Floats:
        """What counts as normal now, per feature, in limits of the warm-up."""
        return self._baseline

    def judge(self, features: Floats, unsettled: Floats | None = None) -> Verdicts:
        """Take rows of features (NaN: unknown, stands at its baseline) and how unsettled the slow channels are."""
        return answer(self.judge_steps(features, unsettled))

    def judge_steps(self, features: Floats, unsettled: Floats | None = None) -> Steps[Verdicts]:
        """`judge`, in steps."""
        rows, ask = len(features), self._strange_steps
        calm: list[float] = [0.0] * rows if unsettled is None else unsettled.tolist()
        flags, since = [False] * rows, [0] * rows
        scores, deviations = np.empty(rows), np.empty_like(features)
        holes = bool(np.isnan(features).any())
        place = 0
        while place < rows:
            first = self._append(features[place : place + _AHEAD_ROWS])
            blocks = self._foresee(first, min(rows - place, _AHEAD_ROWS), holes)
            nearest = np.concatenate([self._nearest(block, baseline) for block, baseline in blocks])
            strange = ((yield from ask(nearest)) if ask is not None else self._strange(nearest)) / self.ease
            expected: list[float] = strange.tolist()
            taken, former = 0, self._former
            for block, baseline in blocks:
                if taken and (self._former is not former or not np.array_equal(self._baseline, baseline)):
                    break
                part = expected[taken : taken + len(block)]
                walked = self._walk(first + taken, part, calm, place + taken, flags, since)
                taken += walked
                if walked < len(block):
                    break
            self._end = first + taken
            stop = place + taken
            scores[place:stop], deviations[place:stop] = strange[:taken], nearest[:taken]
            place = stop
        return Verdicts(scores, flags, deviations, since)

    def near_row(self, features: list[float]) -> tuple[list[float], float]:
        """How one row in which all is known deviates, and the largest size of that: what is to be asked about it."""
        if self._floats[0] is not self._baseline or self._floats[1] is not self._former:
            former = None if self._former is None else self._former.tolist()
            self._floats = (self._baseline, self._former, self._baseline.tolist(), former)
        _, _, near, other = self._floats
        deviations = [value - normal for value, normal in zip(features, near, strict=True)]
        chart = max(map(abs, deviations))
        if other is not None:
            others = [value - normal for value, normal in zip(features, other, strict=True)]
            if (smaller := max(map(abs, others))) < chart:
                deviations, chart = others, smaller
        return deviations, chart

    def judge_row(self, features: list[float], unsettled: float, deviations: list[float], strange: float) -> RowVerdict:
        """What `judge` says of one row, to the last bit, that deviates so (`near_row`) and is so `strange`."""
        strange /= self.ease
        if self._end == len(self._past):
            self._keep(self.recent)
        self._past[self._end] = features
        self._end += 1
        flags, since = [False], [0]
        self._walk(self._end - 1, [strange], [unsettled], 0, flags, since)
        return RowVerdict(strange, flags[0], deviations, since[0])

    def skip(self) -> None:
        """Rows are missing: what is only suspected is forgotten; an episode goes on."""
        if self._state.phase is Phase.CALM:
            self._state.total, self._state.doubt_rows = 0.0, 0
            self._onset_baseline, self._state.onset_age = self._baseline, self._state.age

    def acknowledge(self) -> None:
        """A person has seen it: what comes next gets no benefit of the doubt."""
        self._state.trust = 0.0

    def accept(self) -> None:
        """A person says that all is well: the present level is the new normal at once."""
        if self._state.phase is not Phase.CALM:
            self._settle_at(self._mean(self._end - 1, self.pace.mean_over))
            self._enter(Phase.CALM)
            self._fault, self._state.trust = None, 0.0

    def settle(self, features: Floats) -> None:
        """Begin calm where the machine is now: at the mean of these newest features."""
        self._settle_baseline(features[-self.pace.kept_rows :])

    def snapshot(self, *, recent: bool = True) -> EpisodeState:
        """What is needed to go on from here; without `recent` the rows of the property of that name belong to it."""
        vectors = {name: getattr(self, f"_{name}") for name in _VECTORS}
        lists = {name: [] if vector is None else vector.tolist() for name, vector in vectors.items()}
        return msgspec.structs.replace(self._state, recent=self.recent.tolist() if recent else [], **lists)

    def restore(self, state: EpisodeState) -> None:
        """Go on from a snapshot. Raise ValueError when its vectors are of another width."""
        width = len(self._baseline)
        for name in _VECTORS:
            values = getattr(state, name)
            if len(values) != width and (values or name not in {"former", "fault"}):
                raise ValueError(f"`{name}` of the episode has another width")
            setattr(self, f"_{name}", np.array(values) if values else None)
        if not state.recent or {len(row) for row in state.recent} != {width}:
            raise ValueError("`recent` of the episode has another width")
        self._keep(np.array(state.recent))
        self._state = msgspec.structs.replace(state, recent=[], **{name: [] for name in _VECTORS})

    def _keep(self, recent: Floats) -> None:
        """Begin the memory of past rows with these."""
        self._end = len(recent)
        self._past = np.empty((self.pace.kept_rows + _SPARE_ROWS, recent.shape[1]))
        self._past[: self._end] = recent

    def _append(self, part: Floats) -> int:
        """Put rows behind the past ones; return where they begin. Whether they stay is for the caller to say."""
        if self._end + len(part) > len(self._past):
            self._keep(self.recent)
        self._past[self._end : self._end + len(part)] = part
        return self._end

    def _foresee(self, first: int, rows: int, holes: bool) -> list[tuple[Floats, Floats]]:
        """The past rows from `first` on as blocks with the baseline of each, if no episode begins or ends in them.

        With `holes`, what is unknown in them is put at the baseline.
        """
        state = self._state
        baseline, age, since, room = self._baseline, state.age, state.since, BLOCK_ROWS - state.block_rows
        blocks = []
        at = first
        while at < first + rows:
            block = self._past[at : min(at + room, first + rows)]
            if holes:
                np.copyto(block, baseline, where=np.isnan(block))
            blocks.append((block, baseline))
            at, age, since = at + len(block), age + len(block), since + len(block)
            if state.phase is Phase.CALM and at < first + rows:
                baseline = self._moved(baseline, at - 1, min(BLOCK_ROWS, since), age)
            room = BLOCK_ROWS
        return blocks

    def _moved(self, baseline: Floats, at: int, rows: int, age: int) -> Floats:
        """A baseline of this age after so many calm rows, the last of which is `at`."""
        pulls = (self._past[at - rows + 1 : at + 1] - baseline).sum(axis=0)
        return np.asarray(baseline + pulls / min(self.pace.follow, self.pace.young + age - BLOCK_ROWS))

    def _nearest(self, features: Floats, baseline: Floats) -> Floats:
        """Deviations from the baseline, or from the former normal where that is nearer."""
        deviations = features - baseline
        if self._former is None:
            return np.asarray(deviations)
        others = features - self._former
        nearer = np.abs(others).max(axis=1) < np.abs(deviations).max(axis=1)
        return np.where(nearer[:, None], others, deviations)

    def _walk(
        self, first: int, strange: list[float], unsettled: list[float], place: int, flags: list[bool], since: list[int]
    ) -> int:
        """Decide about the past rows from `first` on until the baseline changes; return how many rows that took.

        `flags` and `since` are filled in from `place` on.
        """
        state, hold = self._state, self.pace.hold
        if self._all_calm(strange):
            self._follow(first + len(strange) - 1)
            return len(strange)
        before = self._baseline
        for i, x in enumerate(strange):
            state.since += 1
            state.block_rows += 1
            fact = self._sense(first + i, x, unsettled[place + i])
            since[place + i] = state.doubt_rows
            if fact is not None:
                self._move(fact, first + i)
                since[place + i] = max(since[place + i], state.doubt_rows)
            elif state.phase is Phase.CALM:
                state.age += 1
            phase = state.phase
            flags[place + i] = phase is not Phase.CALM and (phase is not Phase.TURNED or state.since < hold)
            self._follow(first + i)
            if self._baseline is not before:
                return i + 1
        return len(strange)

    def _all_calm(self, strange: list[float]) -> bool:
        """Whether nothing happens in these rows, as in most; then they are taken in."""
        state, rows = self._state, len(strange)
        if state.phase is not Phase.CALM or state.total > 0.0 or max(strange) > min(1.0, self.pace.drift):
            return False
        state.since += rows
        state.block_rows += rows
        state.age += rows
        for _ in range(rows if state.trust else 0):
            state.trust -= state.trust / self.pace.trust_memory
        self._onset_baseline, state.onset_age = self._baseline, state.age - 1
        state.doubt_rows = 0
        return True

    def _follow(self, at: int) -> None:
        """At the end of a block: move the baseline towards its calm rows, the last of which is `at`."""
        state = self._state
        if state.block_rows < BLOCK_ROWS:
            return
        rows = min(BLOCK_ROWS, state.since) if state.phase is Phase.CALM else 0
        state.block_rows = 0
        if rows:
            self._baseline = self._moved(self._baseline, at, rows, state.age)

    def _sense(self, at: int, x: float, unsettled: float) -> Fact | None:
        phase = self._state.phase
        if phase is Phase.CALM:
            return self._sense_calm(at, x)
        if phase is Phase.ALARM:
            return self._sense_alarm(at, x, unsettled)
        return self._sense_returned(at) if phase is Phase.RETURNED else self._sense_turned(at)

    def _sense_calm(self, at: int, x: float) -> Fact | None:
        state, pace = self._state, self.pace
        state.trust -= state.trust / pace.trust_memory
        if self._fault is not None and x > 1.0 and state.trust > 0.0:
            gap = self._mean(at, pace.glance) - self._fault
            if float(np.sqrt(gap @ gap)) < pace.alike * state.fault_size:
                state.trust = 0.0
        state.total = max(0.0, state.total + min(x / (1.0 + state.trust), pace.cap) - pace.drift)
        state.doubt_rows += 1
        if state.total == 0.0:
            self._onset_baseline, state.onset_age, state.doubt_rows = self._baseline, state.age, 0
        return Fact.ONSET if state.total > pace.onset else None

    def _sense_alarm(self, at: int, x: float, unsettled: float) -> Fact | None:
        state, pace = self._state, self.pace
        state.episode_rows += 1
        state.count = state.count + 1 if x < pace.near else 0
        if state.count >= pace.near_for and unsettled <= 1.0:
            return Fact.NEAR
        if state.episode_rows < pace.plateau_to + pace.glance:
            return None
        self._note_plateau(at)
        along, length = self._glance(at)
        away = along < pace.left * state.size and length < pace.smaller * state.size
        state.turn_count = state.turn_count + 1 if away else 0
        return Fact.LEFT if state.turn_count >= pace.left_for and unsettled <= 1.0 else None

    def _sense_returned(self, at: int) -> Fact | None:
        if self._state.since < self.pace.hold:
            return None
        mean = self._mean(at, self.pace.mean_over)
        return Fact.PROVEN if self._distance(mean) < self.pace.near else Fact.REFUTED

    def _sense_turned(self, at: int) -> Fact | None:
        state, pace = self._state, self.pace
        along, length = self._glance(at)
        back = along >= pace.relapse * state.size or length >= state.size
        state.count = state.count + 1 if back else 0
        if state.count >= pace.relapse_for:
            return Fact.RELAPSED
        return Fact.SETTLED if state.since >= pace.hold + pace.probation else None

    def _move(self, fact: Fact, at: int) -> None:
        state, pace = self._state, self.pace
        if fact is Fact.ONSET:
            self._baseline, state.age = self._onset_baseline, state.onset_age
            state.size, self._direction, state.episode_rows = 0.0, np.zeros_like(self._direction), 0
        elif fact is Fact.PROVEN:
            state.trust = max(state.trust, pace.trust_returned)
        elif fact is Fact.SETTLED:
            mean = self._mean(at, pace.mean_over)
            if self._distance(mean) < 1.0:
                state.trust = max(state.trust, pace.trust_returned)
            else:
                self._fault, state.fault_size = self._baseline + state.size * self._direction, state.size
                self._settle_at(mean)
        self._enter(MOVES[state.phase, fact])
        if fact is Fact.RELAPSED:
            state.doubt_rows = 1

    def _settle_baseline(self, recent: Floats) -> None:
        self._keep(recent)
        self._baseline = recent.mean(axis=0)
        self._onset_baseline, self._state.onset_age = self._baseline, self._state.age

    def _settle_at(self, level: Floats) -> None:
        self._former, self._baseline = self._baseline, level
        self._state.trust = self.pace.trust_settled

    def _enter(self, phase: Phase) -> None:
        state = self._state
        state.phase, state.since, state.count, state.turn_count, state.total = phase, 0, 0, 0, 0.0
        state.doubt_rows = 0
        if phase is Phase.CALM:
            self._onset_baseline, state.onset_age = self._baseline, state.age

    def _note_plateau(self, at: int) -> None:
        """Remember the largest lasting deviation of this episode and its direction; older ones fade."""
        state, pace = self._state, self.pace
        plateau = self._past[max(0, at - pace.plateau_from) : at - pace.plateau_to].mean(axis=0) - self._baseline
        size = float(np.sqrt(plateau @ plateau))
        state.size -= state.size / pace.plateau_memory
        if size > state.size:
            state.size, self._direction = size, plateau / size

    def _glance(self, at: int) -> tuple[float, float]:
        """The present deviation along the plateau's direction, and its length."""
        now = self._mean(at, self.pace.glance) - self._baseline
        return float(now @ self._direction), float(np.sqrt(now @ now))

    def _distance(self, level: Floats) -> float:
        return float(self._strange(self._nearest(level[None], self._baseline))[0]) / self.ease

    def _mean(self, at: int, rows: int) -> Floats:
        return np.asarray(self._past[max(0, at - rows + 1) : at + 1].mean(axis=0))
