"""Lessons: what a scorer wants to be learnt, and what comes of it, as plain values; so that it can be done elsewhere.

The same lesson gives the same numbers, wherever it is learnt. No code travels: both are MessagePack of plain numbers.
"""

from __future__ import annotations

import hashlib

import msgspec
import numpy as np

from edgemesh.detect.methods.past import grow
from edgemesh.detect.models.forest import Trees
from edgemesh.detect.models.kinds import Kind
from edgemesh.detect.models.profile import Learnt, Profile, learn_profile, libraries_now
from edgemesh.detect.models.relearn import relearn_profile
from edgemesh.detect.models.settings import ProfileSettings, SeriesSettings
from edgemesh.detect.models.slow import Slow, SlowState
from edgemesh.detect.models.smoothing import Levels, LevelsState


class MachineLearnt(msgspec.Struct, frozen=True, kw_only=True, tag="machine"):
    """A `profile.Learnt` as numbers. `features` is raw float64, one row of the profile's features each."""

    profile: bytes
    levels: LevelsState
    slow: SlowState
    features: bytes
    start: int
    libraries: dict[str, str]

    def learnt(self) -> Learnt:
        """What it stands for. ValueError: it is not sound."""
        profile = Profile(self.profile)
        features = np.frombuffer(self.features, dtype="<f8").reshape(-1, len(profile.normal.owner)).copy()
        if not len(features) or not np.isfinite(features).all() or self.start < 0:
            raise ValueError("the features of the warm-up are missing or not finite")
        levels = Levels(profile.normal.rates, self.levels)
        slow = Slow(profile.file.slowness, self.slow)
        return Learnt(
            profile=profile,
            levels=levels,
            slow=slow,
            features=features,
            start=self.start,
            libraries=self.libraries,
        )


class SeriesLearnt(msgspec.Struct, frozen=True, kw_only=True, tag="series"):
    """The forest of a slow series."""

    trees: Trees


class Relearnt(msgspec.Struct, frozen=True, kw_only=True, tag="relearnt"):
    """The next profile of a machine, from so many `rows`."""

    profile: bytes
    rows: int
    libraries: dict[str, str]


class Nothing(msgspec.Struct, frozen=True, tag="nothing"):
    """The rows held nothing to learn from, or learning failed: the scorer goes on as it does then."""


Result = MachineLearnt | SeriesLearnt | Relearnt | Nothing


class MachineLesson(msgspec.Struct, frozen=True, kw_only=True, tag="machine"):
    """The warm-up of a machine: `rows` as raw float64, each of as many entries as there are `channels`."""

    channels: tuple[str, ...]
    kinds: tuple[Kind, ...]
    rows: bytes
    settings: ProfileSettings

    def learn(self) -> MachineLearnt | Nothing:
        """Learn it. Takes 0.2 to 0.3 s of CPU, and scikit-learn."""
        table = np.frombuffer(self.rows, dtype="<f8").reshape(-1, len(self.channels))
        learnt = learn_profile(table, self.channels, self.kinds, self.settings)
        if learnt is None:
            return Nothing()
        return MachineLearnt(
            profile=learnt.profile.content,
            levels=learnt.levels.snapshot(),
            slow=learnt.slow.snapshot(),
            features=np.ascontiguousarray(learnt.features, dtype="<f8").tobytes(),
            start=learnt.start,
            libraries=learnt.libraries,
        )


class SeriesLesson(msgspec.Struct, frozen=True, kw_only=True, tag="series"):
    """The newest `values` of a slow series as raw float64, and the `spread` of its first rows."""

    values: bytes
    spread: float
    settings: SeriesSettings

    def learn(self) -> SeriesLearnt:
        """Grow its forest. Takes 0.3 s of CPU, and scikit-learn."""
        return SeriesLearnt(trees=grow(np.frombuffer(self.values, dtype="<f8"), self.spread, self.settings).trees)


class WindowsLesson(msgspec.Struct, frozen=True, kw_only=True, tag="windows"):
    """Windows of calm rows of a machine whose profile was `former`: `rows` as raw float64, of `lengths` rows each.

    The last `told` windows are of alerts that were no fault. Channels and settings are those of a `MachineLesson`.
    """

    channels: tuple[str, ...]
    kinds: tuple[Kind, ...]
    rows: bytes
    lengths: tuple[int, ...]
    told: int
    settings: ProfileSettings
    former: bytes

    def learn(self) -> Relearnt | Nothing:
        """Learn it. Takes some 0.3 s of CPU, and scikit-learn."""
        table = np.frombuffer(self.rows, dtype="<f8").reshape(-1, len(self.channels))
        windows = np.split(table, np.cumsum(self.lengths)[:-1])
        profile = relearn_profile(windows, self.told, self.kinds, self.settings, Profile(self.former))
        if profile is None:
            return Nothing()
        return Relearnt(profile=profile.content, rows=len(table), libraries=libraries_now())


Lesson = MachineLesson | SeriesLesson | WindowsLesson


def encode_lesson(lesson: Lesson) -> tuple[str, bytes]:
    """Its key, the same for the same lesson and no other, and the lesson as bytes."""
    content = msgspec.msgpack.encode(lesson, order="deterministic")
    return hashlib.sha256(content).hexdigest()[:16], content


def learn_encoded(content: bytes) -> bytes:
    """Learn an encoded lesson and return the encoded result. ValueError: it is no lesson."""
    lesson: Lesson = msgspec.msgpack.decode(content, type=Lesson)
    return msgspec.msgpack.encode(lesson.learn())


def decode_result(content: bytes) -> Result:
    """The result of a lesson. ValueError: it is none."""
    result: Result = msgspec.msgpack.decode(content, type=Result)
    return result
