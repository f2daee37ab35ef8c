"""The learner of one asset: a model that learns from its rows first and then judges them, and what is said of it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence

import msgspec

from edgemesh.detect.base.signals import Signal
from edgemesh.detect.base.windows import Channel
from edgemesh.detect.learning.chunks import Chunks
from edgemesh.detect.learning.memory import Kept, LearnerState, Waiting
from edgemesh.detect.learning.model_signals import cleared, decide, raised
from edgemesh.detect.learning.versions import Versions
from edgemesh.detect.methods.contract import Method
from edgemesh.detect.methods.judgement import NOT_YET, Judgement
from edgemesh.detect.methods.lessons import Nothing, decode_result, encode_lesson, learn_encoded
from edgemesh.detect.methods.machine import MachineScorer
from edgemesh.detect.methods.running import SETTLING_ROWS
from edgemesh.detect.methods.scoring import AutoScorer
from edgemesh.detect.models.files import check_fit, describe_channels, make_model, read_model
from edgemesh.detect.models.profile import Profile
from edgemesh.detect.models.provenance import About
from edgemesh.detect.models.questions import Steps, answer
from edgemesh.detect.models.settings import ModelSettings
from edgemesh.model.samples import Retimed

Observer = Callable[[int, float, Channel | None], None]
"""Told the time of each row that was scored, its score (1.0 is at the limit, high is strange), and the channel that
deviates most; None while nothing is strange."""
MOST_KEPT = 20_000
"""When more rows than this wait for somebody to learn, the learner does it itself."""


class Learner:
    """Nothing is learnt from rows while another rule finds the machine in trouble; what was learnt judges all rows.

    What has to be written again after rows were taken in: `parts`. It fails where the warm-up is not normal, or not the
    only normal.
    """

    def __init__(
        self, settings: ModelSettings, state: LearnerState, stats: dict[str, float], *, puts_off: bool = False
    ) -> None:
        """`puts_off`: what is to be learnt others learn (`lesson`, `learn`); rows that come meanwhile wait."""
        self.settings, self.state, self.stats, self.puts_off = settings, state, stats, puts_off
        self.scoring = AutoScorer((), settings, puts_off=puts_off, ease=state.ease)
        self.waiting = Waiting()
        self.versions = Versions()
        self._asked = ""  # the key of the lesson that somebody learns
        self.observer: Observer | None = None
        self._chunks = Chunks()
        self._gone: set[str] = set()
        self._failures = 0  # as many were counted
        self._model_dirty = self._moved = False

    @property
    def learnt(self) -> bool:
        """Whether it has something to judge by."""
        return self.scoring.learnt

    @property
    def wants(self) -> bool:
        """Whether something is to be learnt before it goes on."""
        return self.scoring.wants

    @property
    def closed(self) -> bool:
        """Whether no channel can join any more: it judges, or is about to."""
        return self.scoring.learnt or self.scoring.wants

    @property
    def version(self) -> str:
        """The model's name and what tells it from others."""
        scorer = self.scoring.scorer
        return scorer.version if scorer is not None else ""

    def feed(
        self,
        instants: Sequence[int],
        rows: Sequence[Sequence[float | None]],
        channels: Sequence[Channel],
        *,
        calm: bool,
        origin: str = "",
        hushed: bool = False,
    ) -> list[Signal]:
        """Take rows whose entries are the channels' values (None: unknown). `calm`: nothing else is wrong with it.

        `origin` and `hushed` are remembered for rows that have to wait.
        """
        return answer(self.steps(instants, rows, channels, calm=calm, origin=origin, hushed=hushed))

    def steps(
        self,
        instants: Sequence[int],
        rows: Sequence[Sequence[float | None]],
        channels: Sequence[Channel],
        *,
        calm: bool,
        origin: str = "",
        hushed: bool = False,
    ) -> Steps[list[Signal]]:
        """`feed`, in steps."""
        if not self.closed and len(channels) != len(self.scoring.channels):
            self.scoring.widen(channels)
            self._chunks.touch(0, len(self.scoring.warmup))
        if not rows or not channels or not (calm or self.closed):
            return []
        kept = Kept(instants, rows, calm, origin, hushed)
        if not self.waiting and not (self.puts_off and self.wants):
            return (yield from self._take(kept))
        self.waiting.append(kept)
        if self.wants and (not self.puts_off or self.waiting.rows > MOST_KEPT):
            self._learn(learn_encoded(encode_lesson(self.scoring.lesson())[1]))
        return [signal for _, signals in self._go_on() for signal in signals]

    def lesson(self) -> tuple[str, bytes] | None:
        """Key and content of what somebody is to learn; None: nothing, or it was asked for already."""
        if not self.wants or self._asked:
            return None
        self._asked, content = encode_lesson(self.scoring.lesson())
        return self._asked, content

    def learn(self, key: str, content: bytes) -> list[tuple[Kept, list[Signal]]]:
        """Go on with what was learnt from the lesson of this key; another one changes nothing.

        Return what waited and was taken now, with what came of it. A result that is not sound counts as none.
        """
        if not self.wants or key != encode_lesson(self.scoring.lesson())[0]:
            return []
        self._learn(content)
        return self._go_on()

    def model(self, name: str, version: int = 0, now_ns: int = 0) -> bytes | None:
        """The model it judges by as a file; None: there is none, or its method has none of its own.

        `version`, and when it was made, where they are not its own.
        """
        if (profile := self._profile) is None:
            return None
        described = describe_channels(profile, self.scoring.channels, self.settings.machine.kinds)
        about = self.state.about
        made_ns = now_ns or about.learnt_at_ns
        about = msgspec.structs.replace(about, version=version or about.version, learnt_at_ns=made_ns)
        return make_model(name, profile, described, about)

    def use_model(self, content: bytes, *, back: bool = False) -> bool:
        """Judge by the model in a file from the next row on; False: it does so already.

        `back`: it may be older than the present one, which is kept (`versions`). An alert that stands goes on, and
        ends after calm rows of the new model. ValueError: the model is not sound, too old, or of something else;
        nothing has changed then.
        """
        file, profile = read_model(content)
        about, present = self.state.about, self._profile
        if not self.scoring.takes_models:
            raise ValueError("a slow series, a plug-in and several methods that vote take no model")
        if present is not None and (about.version, present.content) == (file.version, profile.content):
            return False
        if not back and file.version <= about.version:
            raise ValueError(f"version {file.version} is not newer than version {about.version}, which is in use")
        check_fit(file, self.scoring.channels)
        machine = self.scoring.make_machine()
        machine.begin(Profile(profile.content, file.version))
        if (former := self.model(file.name)) is not None:
            self.versions.keep(about.version, former)
        self.versions.forget(file.version)
        self._begin(machine, file.about)
        return True

    def ease(self, factor: float) -> None:
        """Have limits lie so many times as far out as was learnt, from the next row on."""
        if factor != self.state.ease:
            self.state.ease = factor
            self.scoring.ease(factor)

    def settle(self, rows: Sequence[Sequence[float]], settling_rows: int = SETTLING_ROWS) -> None:
        """Begin calm at the level of these newest rows, where a model of a machine was just taken over."""
        if isinstance(self.scoring.scorer, MachineScorer):
            self.scoring.scorer.settle(rows, settling_rows)
            self._moved = True

    def acknowledge(self) -> None:
        """A person has seen the fault that the present alert is about: what comes next gets no benefit of the doubt."""
        if self.scoring.scorer is not None:
            self.scoring.scorer.acknowledge()
            self._moved = True

    @property
    def machine(self) -> MachineScorer | None:
        """The scorer of a machine that judges alone; None: another one does, or it has not learnt."""
        scorer = self.scoring.scorer
        return scorer if isinstance(scorer, MachineScorer) and scorer.learnt else None

    @property
    def _profile(self) -> Profile | None:
        return self.scoring.scorer.profile if self.scoring.scorer is not None else None

    def _begin(self, scorer: Method, about: About) -> None:
        """Have this scorer judge, and forget warm-up and all that the one before has moved."""
        state = self.state
        self._chunks.touch(0, max(state.warm_rows, len(self.scoring.warmup)))
        self.scoring.scorer, self.scoring.held, self.scoring.instants = scorer, [], []
        state.method, state.warm_rows, state.instants, state.about = scorer.name, 0, [], about
        state.flagged, state.switch.spent = False, 0
        self._asked = ""
        self._model_dirty = self._moved = True

    def put_right(self, retimed: Retimed) -> None:
        """The gateway's clock is known now: so are the times of rows that wait."""
        self.state.switch.put_right(retimed)
        self.waiting.put_right(retimed)

    def skip(self) -> None:
        """Go on at a later time: what is only suspected is forgotten."""
        if self.waiting:
            self.waiting.append(Kept(skips=True))
        elif self.scoring.scorer is not None:
            self.scoring.scorer.skip()
            self._moved = True

    def capture(self) -> None:
        """Put all that moves into the state, for a fork; nothing while nothing is learnt."""
        scorer = self.scoring.scorer
        self.state.moving = scorer.capture() if self.learnt and scorer else b""

    def twin(self, state: LearnerState) -> Learner | None:
        """One that judges with the same model and goes on from a captured state; None where there is none that fits."""
        scorer = self.scoring.scorer
        if not state.moving or scorer is None or not self.learnt:
            return None
        twin = copy.copy(self)
        twin.state, twin.scoring = state, copy.copy(self.scoring)
        twin.waiting, twin.puts_off, twin.observer = Waiting(), False, None
        twin.scoring.puts_off = False
        try:
            twin.scoring.scorer = scorer.twin(state.moving)
        except ValueError:  # of another model
            return None
        return twin

    def parts(self) -> dict[str, bytes | None]:
        """The parts that changed since the last call; None: gone.

        `warmup/K`: see `Chunks`. Later `model` once, and those of its method: `moving`, and `tail/K`, the newest rows.
        `kept/K`: rows that wait; `former/V`: files of former models.
        """
        parts: dict[str, bytes | None] = dict.fromkeys(self._gone) | self.waiting.parts() | self.versions.parts()
        parts |= self._chunks.parts(self.scoring.warmup)
        if self._model_dirty:
            parts["model"] = self._profile.content if self._profile else None
        if self._moved and self.scoring.scorer is not None:
            parts |= self.scoring.scorer.parts()
        self._gone.clear()
        self._model_dirty = self._moved = False
        return parts

    def save_anew(self) -> None:
        """Have `parts` give all that is learnt again: it is to be kept in another place, where nothing is."""
        self._model_dirty = self._moved = True
        if self.scoring.scorer is not None:
            self.scoring.scorer.save_anew()
        self.versions.save_anew()

    def restore(self, parts: Mapping[str, bytes], channels: Sequence[Channel]) -> None:
        """Go on from the state and what was saved beside it. Raise ValueError when it does not fit together."""
        state = self.state
        self.scoring = AutoScorer(channels, self.settings, puts_off=self.puts_off, ease=state.ease)
        self.waiting.restore(parts)
        self.versions.restore(parts)
        rows = Chunks.join(parts, state.warm_rows, len(channels)) if state.warm_rows else []
        if not state.method:
            self.scoring.held, self.scoring.instants = rows, state.instants
            return
        self.scoring.scorer = scorer = self.scoring.make(state.method)
        if "moving" in parts:
            scorer.resume(parts, state.about.version or 1)
        elif rows:
            scorer.warm(rows)
        self._count_failures()

    def begin_anew(self, names: Sequence[str]) -> None:
        """Forget everything, and have the parts of these names removed."""
        self._gone.update(names)

    def _take(self, kept: Kept) -> Steps[list[Signal]]:
        """Judge rows; those that come after something is to be learnt wait."""
        was_learnt, refused = self.learnt, self._refused
        judged = yield from self.scoring.steps(kept.instants, kept.rows)
        taken, self._moved = len(judged), True
        warm = 0
        if not was_learnt:
            warm = next((row for row, each in enumerate(judged) if each is not NOT_YET), len(judged))
            about = self.state.about
            about.begin_ns = about.begin_ns or kept.instants[0]
            about.end_ns = kept.instants[warm - 1] if warm else about.end_ns
            self._note_warmup(refused)
        self._count_failures()
        self.stats["rows"] += taken - warm
        signals = []
        for at_ns, judgement in zip(kept.instants[warm:taken], judged[warm:], strict=True):
            if self.observer is not None:
                blame = judgement.blame
                self.observer(at_ns, judgement.score, self.scoring.channels[blame[0].channel] if blame else None)
            if (firing := decide(self.state, judgement, at_ns)) is not None:
                signals.append(self._raised(judgement, at_ns) if firing else cleared(at_ns))
        if taken < len(kept.rows):
            rest = msgspec.structs.replace(kept, instants=kept.instants[taken:], rows=kept.rows[taken:])
            self.waiting.put_back(rest)
        return signals

    def _learn(self, content: bytes) -> None:
        was_learnt, refused = self.learnt, self._refused
        self._asked = ""
        try:
            self.scoring.learn(decode_result(content))
        except ValueError:  # msgspec's errors are among them
            self.stats["models_refused"] += 1
            self.scoring.learn(Nothing())
        self._moved = True
        if not was_learnt:
            self._note_warmup(refused)

    def _go_on(self) -> list[tuple[Kept, list[Signal]]]:
        """Take what waited, until something is to be learnt again."""
        told = []
        while self.waiting and not self.wants:
            kept = self.waiting.pop()
            if kept.skips:
                self.state.switch.lose_sight()
                if self.scoring.scorer is not None:
                    self.scoring.scorer.skip()
            elif kept.calm or self.closed:
                told.append((kept, answer(self._take(kept))))
        return told

    @property
    def _refused(self) -> int:
        return self.scoring.scorer.refused if self.scoring.scorer is not None else 0

    def _count_failures(self) -> None:
        failures = self.scoring.scorer.failures if self.scoring.scorer is not None else 0
        if failures > self._failures:
            self.stats["detectors_failed"] = self.stats.get("detectors_failed", 0.0) + failures - self._failures
        self._failures = failures

    def _note_warmup(self, refused_before: int) -> None:
        """After rows of the warm-up: what is to be saved of them, and whether something was learnt."""
        state, scorer = self.state, self.scoring.scorer
        state.method = scorer.name if scorer is not None else ""
        rows = len(self.scoring.warmup)
        first = state.warm_rows if rows >= state.warm_rows and self._refused == refused_before else 0
        self._chunks.touch(first, max(rows, state.warm_rows))
        state.warm_rows, state.instants = rows, self.scoring.instants
        self.stats["untrainable"] += self._refused - refused_before
        if scorer is not None and scorer.learnt:
            self.stats["trained"] += scorer.failures == 0
            self._model_dirty = scorer.profile is not None
            if (made := scorer.made()) is not None:
                about = state.about
                about.version, about.learnt_at_ns = 1, about.end_ns
                about.rows, about.libraries = made

    def _raised(self, judgement: Judgement, at_ns: int) -> Signal:
        return raised(
            judgement,
            at_ns,
            onset_at_ns=self.state.switch.onset_at_ns,
            severity=self.settings.severity,
            channels=self.scoring.channels,
            version=" + ".join(judgement.by) or self.version,
        )
