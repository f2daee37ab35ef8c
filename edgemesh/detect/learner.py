"""The learner of one asset: a model that learns from its rows first and then judges them, and what is said of it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np

from edgemesh.detect.decision import Seen
from edgemesh.detect.judgement import NOT_YET, Blame, Judgement
from edgemesh.detect.lessons import Nothing, decode_result, encode_lesson, learn_encoded
from edgemesh.detect.machine import MachineScorer, MachineState
from edgemesh.detect.memory import About, Kept, LearnerState, Waiting
from edgemesh.detect.models import check_fit, describe_channels, make_model, read_model
from edgemesh.detect.profile import Profile
from edgemesh.detect.scoring import AutoScorer
from edgemesh.detect.series import KEPT_ROWS, SeriesScorer, SeriesState
from edgemesh.detect.settings import ModelSettings
from edgemesh.detect.signals import MODEL, MODEL_SOURCE, Signal, amount, number
from edgemesh.detect.tail import Tail
from edgemesh.detect.versions import Versions
from edgemesh.detect.windows import Channel
from edgemesh.model.alerts import AlertKind, Evidence
from edgemesh.model.samples import Retimed

Observer = Callable[[int, float], None]
"""Told the time of each row that was scored, and its score: 1.0 is at the limit, high is strange."""
CHUNK_ROWS = 64
MOST_KEPT = 20_000
"""When more rows than this wait for somebody to learn, the learner does it itself."""
_TAIL_ROWS = 16
_CALM_BELOW = 0.9
_CALM_ROWS = 15
"""So many calm rows end an alert that this model has not raised itself."""


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
        self.scoring = AutoScorer((), settings, puts_off=puts_off)
        self.waiting = Waiting()
        self.versions = Versions()
        self._asked = ""  # the key of the lesson that somebody learns
        self.observer: Observer | None = None
        self._dirty_chunks: set[int] = set()
        self._gone: set[str] = set()
        self._model_dirty = self._moved = False
        self._saved_rows = 0

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
        if isinstance(scorer, MachineScorer) and scorer.profile is not None:
            return scorer.profile.version
        return "series-1"

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
        if not self.closed and len(channels) != len(self.scoring.channels):
            self.scoring.widen(channels)
            self._dirty_chunks.update(range(_chunks(len(self.scoring.warmup))))
        if not rows or not channels or not (calm or self.closed):
            return []
        kept = Kept(instants, rows, calm, origin, hushed)
        if not self.waiting and not (self.puts_off and self.wants):
            return self._take(kept)
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
        """The model it judges by as a file; None: there is none, or it is a series, whose forest is grown anew.

        `version`, and when it was made, where they are not its own.
        """
        scorer = self.scoring.scorer
        if not isinstance(scorer, MachineScorer) or scorer.profile is None:
            return None
        described = describe_channels(scorer.profile, self.scoring.channels, self.settings.machine.kinds)
        about = self.state.about
        made_ns = now_ns or about.learnt_at_ns
        about = msgspec.structs.replace(about, version=version or about.version, learnt_at_ns=made_ns)
        return make_model(name, scorer.profile, described, about)

    def use_model(self, content: bytes, *, back: bool = False) -> bool:
        """Judge by the model in a file from the next row on; False: it does so already.

        `back`: it may be older than the present one, which is kept (`versions`). An alert that stands goes on, and
        ends after calm rows of the new model. ValueError: the model is not sound, too old, or of something else;
        nothing has changed then.
        """
        file, profile = read_model(content)
        scorer, about = self.scoring.scorer, self.state.about
        if isinstance(scorer, SeriesScorer) or self.settings.method == "series":
            raise ValueError("a slow series is judged by its own past, and takes no model")
        present = scorer.profile if isinstance(scorer, MachineScorer) else None
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

    def _begin(self, machine: MachineScorer, about: About) -> None:
        """Have this scorer judge, and forget warm-up and all that the one before has moved."""
        state = self.state
        self._dirty_chunks.update(range(_chunks(max(state.warm_rows, len(self.scoring.warmup)))))
        self.scoring.scorer, self.scoring.held, self.scoring.instants = machine, [], []
        state.method, state.warm_rows, state.instants, state.about = "machine", 0, [], about
        state.flagged, state.switch.spent = False, 0
        self._asked, self._saved_rows = "", 0
        self._model_dirty = self._moved = True

    def put_right(self, retimed: Retimed) -> None:
        """The gateway's clock is known now: so are the times of rows that wait."""
        self.state.switch.put_right(retimed)
        self.waiting.put_right(retimed)

    def skip(self) -> None:
        """Go on at a later time: what is only suspected is forgotten."""
        if self.waiting:
            self.waiting.append(Kept(skips=True))
        elif isinstance(self.scoring.scorer, MachineScorer):
            self.scoring.scorer.skip()
            self._moved = True

    def capture(self) -> None:
        """Put all that moves into the state, for a fork; nothing while nothing is learnt."""
        scorer = self.scoring.scorer
        self.state.moving = msgspec.msgpack.encode(scorer.snapshot()) if self.learnt and scorer else b""

    def twin(self, state: LearnerState) -> Learner | None:
        """One that judges with the same model and goes on from a captured state; None where there is none that fits."""
        scorer = self.scoring.scorer
        if not state.moving or not self.learnt:
            return None
        twin = copy.copy(self)
        twin.state, twin.scoring = state, copy.copy(self.scoring)
        twin.waiting, twin.puts_off = Waiting(), False
        twin.scoring.puts_off = False
        try:
            if isinstance(scorer, MachineScorer):
                twin.scoring.scorer = scorer.twin(msgspec.msgpack.decode(state.moving, type=MachineState))
            elif scorer is not None:
                twin.scoring.scorer = scorer.twin(msgspec.msgpack.decode(state.moving, type=SeriesState))
        except ValueError:  # of another model
            return None
        return twin

    def parts(self) -> dict[str, bytes | None]:
        """The parts that changed since the last call; None: gone.

        `warmup/K`: rows 64 K to 64 K + 63 as raw float64. Later `model` once, `moving`, and `tail/K`, the newest rows.
        `kept/K`: rows that wait; `former/V`: files of former models.
        """
        rows = self.scoring.warmup
        parts: dict[str, bytes | None] = dict.fromkeys(self._gone) | self.waiting.parts() | self.versions.parts()
        for k in sorted(self._dirty_chunks):
            part = rows[CHUNK_ROWS * k : CHUNK_ROWS * (k + 1)]
            parts[f"warmup/{k}"] = np.array(part, dtype="<f8").tobytes() if part else None
        scorer = self.scoring.scorer
        if self._model_dirty:
            profile = scorer.profile if isinstance(scorer, MachineScorer) else None
            parts["model"] = profile.content if profile else None
        if self._moved and self.learnt:
            parts |= self._moving_parts()
        self._dirty_chunks.clear()
        self._gone.clear()
        self._model_dirty = self._moved = False
        return parts

    def save_anew(self) -> None:
        """Have `parts` give all that is learnt again: it is to be kept in another place, where nothing is."""
        self._model_dirty = self._moved = True
        self._saved_rows = 0
        self.versions.save_anew()

    def restore(self, parts: Mapping[str, bytes], channels: Sequence[Channel]) -> None:
        """Go on from the state and what was saved beside it. Raise ValueError when it does not fit together."""
        state = self.state
        self.scoring = AutoScorer(channels, self.settings, puts_off=self.puts_off)
        self.waiting.restore(parts)
        self.versions.restore(parts)
        if "moving" in parts:
            self._restore_moving(parts, parts["moving"])
            return
        if not state.warm_rows:
            return
        chunks = [parts.get(f"warmup/{k}") for k in range(_chunks(state.warm_rows))]
        if any(chunk is None for chunk in chunks):
            raise ValueError("warm-up rows are missing")
        flat = np.frombuffer(b"".join(chunk or b"" for chunk in chunks), dtype="<f8")
        rows = flat.reshape(state.warm_rows, len(channels)).tolist()
        if state.method == "machine":
            self.scoring.scorer = machine = self.scoring.make_machine()
            machine.warmup = rows
        else:
            self.scoring.held, self.scoring.instants = rows, state.instants

    def begin_anew(self, names: Sequence[str]) -> None:
        """Forget everything, and have the parts of these names removed."""
        self._gone.update(names)

    def _take(self, kept: Kept) -> list[Signal]:
        """Judge rows; those that come after something is to be learnt wait."""
        was_learnt, refused = self.learnt, self._refused
        judged = self.scoring.take(kept.instants, kept.rows)
        taken, self._moved = len(judged), True
        warm = 0
        if not was_learnt:
            warm = next((row for row, each in enumerate(judged) if each is not NOT_YET), len(judged))
            about = self.state.about
            about.begin_ns = about.begin_ns or kept.instants[0]
            about.end_ns = kept.instants[warm - 1] if warm else about.end_ns
            self._note_warmup(refused)
        self.stats["rows"] += taken - warm
        signals = []
        for at_ns, judgement in zip(kept.instants[warm:taken], judged[warm:], strict=True):
            if self.observer is not None:
                self.observer(at_ns, judgement.score)
            if (signal := self._decide(judgement, at_ns)) is not None:
                signals.append(signal)
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
                if isinstance(self.scoring.scorer, MachineScorer):
                    self.scoring.scorer.skip()
            elif kept.calm or self.closed:
                told.append((kept, self._take(kept)))
        return told

    @property
    def _refused(self) -> int:
        scorer = self.scoring.scorer
        return scorer.refused if isinstance(scorer, MachineScorer) else 0

    def _note_warmup(self, refused_before: int) -> None:
        """After rows of the warm-up: what is to be saved of them, and whether something was learnt."""
        state, scorer = self.state, self.scoring.scorer
        state.method = "machine" if isinstance(scorer, MachineScorer) else "series" if scorer else ""
        rows = len(self.scoring.warmup)
        first = state.warm_rows if rows >= state.warm_rows and self._refused == refused_before else 0
        self._dirty_chunks.update(range(first // CHUNK_ROWS, _chunks(max(rows, state.warm_rows))))
        state.warm_rows, state.instants = rows, self.scoring.instants
        self.stats["untrainable"] += self._refused - refused_before
        if self.learnt:
            self.stats["trained"] += 1
            self._model_dirty = isinstance(scorer, MachineScorer)
            self._saved_rows = 0
            if isinstance(scorer, MachineScorer) and (learnt := scorer.learnt) is not None:
                about = state.about
                about.version, about.learnt_at_ns, about.libraries = 1, about.end_ns, learnt.libraries
                about.rows, scorer.learnt = scorer.settings.train_rows - learnt.start, None

    def _tail(self) -> Tail:
        scorer = self.scoring.scorer
        if isinstance(scorer, MachineScorer):
            return Tail(scorer.pace.kept_rows, _TAIL_ROWS)
        return Tail(KEPT_ROWS, CHUNK_ROWS)

    def _moving_parts(self) -> dict[str, bytes]:
        scorer = self.scoring.scorer
        parts = {}
        if isinstance(scorer, MachineScorer):
            parts["moving"] = msgspec.msgpack.encode(scorer.snapshot(recent=False))
            rows, seen = scorer.recent, scorer.seen
        elif scorer is not None:
            parts["moving"] = msgspec.msgpack.encode(scorer.snapshot(values=False))
            rows, seen = np.array(scorer.values).reshape(-1, 1), scorer.known
        else:
            return {}
        changed = self._tail().parts(rows, seen, self._saved_rows)
        self._saved_rows = seen
        return parts | {f"tail/{k}": content for k, content in changed.items()}

    def _restore_moving(self, parts: Mapping[str, bytes], moving: bytes) -> None:
        tails = {int(name[5:]): content for name, content in parts.items() if name.startswith("tail/")}
        if self.state.method == "machine":
            self.scoring.scorer = machine = self.scoring.make_machine()
            state = msgspec.msgpack.decode(moving, type=MachineState)
            kept, width = min(state.seen, machine.pace.kept_rows), len(state.episode.baseline)
            state.episode.recent = self._tail().join(tails, state.seen, kept, width).tolist()
            machine.restore(state, parts.get("model", b""), self.state.about.version or 1)
            self._saved_rows = state.seen
            return
        series = msgspec.msgpack.decode(moving, type=SeriesState)
        self.scoring.scorer = self.scoring.make_series()  # of whatever capacity its tail has
        kept = min(series.known, KEPT_ROWS)
        series.values = self._tail().join(tails, series.known, kept, 1).ravel().tolist()
        name = self.scoring.scorer.channel
        self.scoring.scorer = SeriesScorer(name, self.settings.series, series, puts_off=self.puts_off)
        self._saved_rows = series.known

    def _decide(self, judgement: Judgement, at_ns: int) -> Signal | None:
        """Raise where an episode begins, clear where it ends; an alert from elsewhere ends after calm rows."""
        state = self.state
        switch, ended = state.switch, state.flagged and not judgement.flag
        if judgement.since == 1:
            switch.onset_at_ns = at_ns
        beyond = judgement.flag or judgement.score > 1.0
        switch.seen = Seen.BEYOND if beyond else Seen.WITHIN if judgement.score < _CALM_BELOW else Seen.BETWEEN
        state.flagged, switch.last_ns = judgement.flag, at_ns
        switch.spent = switch.spent + 1 if switch.seen is Seen.WITHIN and switch.firing else 0
        if judgement.flag and not switch.firing:
            switch.firing = True
            return self._raised(judgement, at_ns)
        if switch.firing and not judgement.flag and (ended or switch.spent >= _CALM_ROWS):
            switch.firing, switch.spent = False, 0
            return Signal(at_ns, AlertKind.MACHINE, MODEL_SOURCE, firing=False)
        return None

    def _raised(self, judgement: Judgement, at_ns: int) -> Signal:
        evidence = tuple(self._evidence(blame) for blame in judgement.blame)
        return Signal(
            at_ns,
            AlertKind.MACHINE,
            MODEL_SOURCE,
            firing=True,
            onset_at_ns=self.state.switch.onset_at_ns,
            severity=self.settings.severity,
            evidence=evidence,
            cause="; ".join(map(_headline, evidence)),
            confidence=round(min(0.99, max(0.5, 0.5 + 0.25 * (judgement.score - 1.0))), 3),
            model=self.version,
        )

    def _evidence(self, blame: Blame) -> Evidence:
        """The channel's smoothed value now, and the range of it that is no reason to fire."""
        device, metric, unit = self.scoring.channels[blame.channel]
        step = blame.high - blame.low
        return Evidence(
            rule=MODEL,
            metric=metric,
            device=device,
            value=blame.value,
            unit=unit,
            normal=f"{number(blame.low, step)} to {amount(blame.high, unit, step)}",
            score=blame.score,
        )


def _chunks(rows: int) -> int:
    return -(-rows // CHUNK_ROWS)


def _headline(evidence: Evidence) -> str:
    return f"{evidence.metric} {amount(evidence.value or 0.0, evidence.unit)}, normal {evidence.normal}"
