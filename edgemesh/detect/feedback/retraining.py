"""Retraining: calm rows of an asset are kept while its model judges, and the next model is learnt from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edgemesh.detect.feedback.calm import ReservoirState, RetrainState
from edgemesh.detect.feedback.disputed import Disputed
from edgemesh.detect.feedback.reservoir import WINDOW_ROWS, Reservoir
from edgemesh.detect.learning.learner import Learner
from edgemesh.detect.methods.lessons import Relearnt, WindowsLesson, decode_result, encode_lesson
from edgemesh.detect.models.files import describe_channels, make_model
from edgemesh.detect.models.profile import Profile
from edgemesh.detect.models.provenance import About
from edgemesh.detect.models.relearn import LEAST_ROWS
from edgemesh.model.orders import Verdict
from edgemesh.model.samples import Retimed
from edgemesh.model.verdicts import OrderVerdict

Floats = NDArray[np.float64]
PREFIX = "calm/"
"""The parts of what is kept for retraining have this before their names."""
SUSPECT_NS = 24 * 3600 * 10**9
"""What came so long before a fault that a person has confirmed may show its beginning: it is not learnt from."""


class Retraining:
    """Keeps what the next model is learnt from, and makes that model's file out of what was learnt.

    Of each asset at most 16 windows of 128 calm rows and 255 newest ones, and the rows of 4 alerts that nobody has
    judged and of 4 that were false, 128 each: with 8 channels 220 KB in memory and on the disk.
    """

    def __init__(self, every_s: float, seed: int, state: RetrainState) -> None:
        self._every_ns, self._seed, self.state = int(every_s * 1e9), seed, state
        self._reservoir = Reservoir(state.width, seed, state.reservoir)
        self._disputed = Disputed(state.width)
        self._asked = ""
        self._gone: set[str] = set()

    def note(
        self, instants: Sequence[int], rows: Sequence[Sequence[float | None]], *, calm: bool, alert: str, onset_ns: int
    ) -> None:
        """Rows were judged. `calm`: nothing was wrong before and after them; `alert` of the model stands (or none)."""
        if not rows:
            return
        state = self.state
        if state.width != len(rows[0]):
            self._begin(len(rows[0]))
        state.since_ns = state.since_ns or instants[0]
        state.newest_ns = max(state.newest_ns, instants[-1])
        if calm:
            self._reservoir.take(instants, rows)
            return
        if alert:
            self._disputed.begin(alert, onset_ns, self._reservoir.recent)
            self._disputed.take(alert, rows)
        self._reservoir.interrupt()

    def interrupt(self) -> None:
        """Rows are missing, or none was judged."""
        self._reservoir.interrupt()

    def hear(self, found: OrderVerdict, alert: str) -> None:
        """Somebody has looked at an alert: what was no fault is learnt from; what came before one is not.

        `alert` is the one that stands now, where there is one: it belongs to the same order.
        """
        onsets = [
            self._disputed.settle(each, calm=found.verdict is Verdict.FALSE_ALARM)
            for each in sorted({found.alert, alert})
        ]
        onset_ns = min((each for each in onsets if each), default=0)
        if found.verdict is Verdict.REAL_FAULT:
            self._reservoir.forget((onset_ns or found.at_ns) - SUSPECT_NS)

    def renew(self) -> None:
        """A part was replaced: what is kept is of another machine."""
        self._begin(0)
        self.state.since_ns = 0

    @property
    def recent(self) -> list[list[float]]:
        """The newest calm rows."""
        rows: list[list[float]] = self._reservoir.recent.tolist()
        return rows

    def due(self, learner: Learner) -> bool:
        """Whether it is time for another model, and enough is there to learn it from."""
        state = self.state
        if not state.since_ns or state.newest_ns - state.since_ns < self._every_ns or learner.machine is None:
            return False
        return WINDOW_ROWS * len(state.reservoir.slots_ns) >= LEAST_ROWS

    def lesson(self, learner: Learner) -> tuple[str, bytes] | None:
        """Key and content of what somebody is to learn; None: nothing, or it was asked for already."""
        machine = learner.machine
        if self._asked or machine is None or machine.profile is None or not self.due(learner):
            return None
        told = self._disputed.calm
        windows = [window[:, machine.order] for window in (*self._reservoir.windows, *told)]
        rows = np.ascontiguousarray(np.concatenate(windows), dtype="<f8").tobytes()
        lesson = WindowsLesson(
            channels=machine.channels,
            kinds=machine.kinds,
            rows=rows,
            lengths=tuple(map(len, windows)),
            told=len(told),
            settings=machine.settings,
            former=machine.profile.content,
        )
        self._asked, content = encode_lesson(lesson)
        return self._asked, content

    def learn(self, asset: str, key: str, content: bytes, learner: Learner) -> bytes | None:
        """The file of the next model, out of what was learnt from the lesson of this key; empty: nothing was learnt.

        None: it is another lesson's. The next one is due after the same time again.
        """
        if not key or key != self._asked:
            return None
        state, self._asked = self.state, ""
        begin_ns = min(state.reservoir.slots_ns, default=state.since_ns)
        state.since_ns = state.newest_ns
        self._reservoir.fade()
        about = learner.state.about
        try:
            result = decode_result(content)
            if not isinstance(result, Relearnt):
                return b""
            profile = Profile(result.profile, about.version + 1)
            channels = describe_channels(profile, learner.scoring.channels, learner.settings.machine.kinds)
        except ValueError:  # msgspec's errors are among them
            return b""
        news = About(about.version + 1, result.rows, begin_ns, state.newest_ns, state.newest_ns, result.libraries)
        return make_model(asset, profile, channels, news)

    def parts(self) -> dict[str, bytes | None]:
        """The parts that changed since the last call; None: gone."""
        parts = dict.fromkeys(self._gone) | self._reservoir.parts() | self._disputed.parts()
        self._gone.clear()
        return {PREFIX + name: content for name, content in parts.items()}

    def save_anew(self) -> None:
        """All parts are due again."""
        self._reservoir.save_anew()
        self._disputed.save_anew()

    def restore(self, parts: Mapping[str, bytes]) -> bool:
        """Go on from the state and what was saved; False: it can't be read, and is begun anew."""
        own = {name.removeprefix(PREFIX): parts[name] for name in parts if name.startswith(PREFIX)}
        try:
            self._reservoir.restore(own)
            self._disputed.restore(own)
        except ValueError:  # msgspec's errors are among them
            self._begin(self.state.width)
            self._gone.update(own)
            return False
        return True

    def put_right(self, retimed: Retimed) -> None:
        """The gateway's clock is known now."""
        state = self.state
        state.since_ns, state.newest_ns = retimed.at(state.since_ns), retimed.at(state.newest_ns)
        state.reservoir.slots_ns = [retimed.at(at_ns) for at_ns in state.reservoir.slots_ns]

    def _begin(self, width: int) -> None:
        """Forget all rows; those that come have so many entries."""
        state = self.state
        state.width = width
        self._asked = ""
        for kept in (self._reservoir, self._disputed):
            kept.save_anew()
            self._gone.update(kept.parts())
        state.reservoir = ReservoirState()
        self._reservoir, self._disputed = Reservoir(width, self._seed, state.reservoir), Disputed(width)
