"""Plugged: a detector that somebody else wrote as a method of a learner. Whatever it does, the agent goes on."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from edgemesh.detect.base.windows import Channel
from edgemesh.detect.methods.blocks import Blocks
from edgemesh.detect.methods.contract import Method
from edgemesh.detect.methods.detectors import Detector, find_detector
from edgemesh.detect.methods.judgement import NOT_YET, Blame, Judgement
from edgemesh.model.settings import decode_amount

logger = logging.getLogger(__name__)

MOST_WARM = 20_000
"""After so many rows a detector counts as one that has learnt, whatever it says."""
MOST_BLAMED = 8
_LARGEST = 1e100


class PluginMethod(Method):
    """A detector of the group `edgemesh.detectors`, held to its contract.

    One that is not installed, raises, or gives what is no judgement is not asked again until the agent is started
    anew: its rows count as `NOT_YET`, so rules go on alone. That is counted (`failures`) and said once in the log.
    """

    def __init__(self, name: str, channels: Sequence[Channel], settings: Mapping[str, Any] | None = None) -> None:
        self.name, self.channels, self.settings = name, tuple(channels), settings or {}
        self.warmup: list[list[float]] = []
        self._blocks = Blocks("moving")
        self._learnt = False
        self._version = name
        self._detector: Detector | None = None
        try:
            module, plugin = find_detector(name)
            self._version = f"{name}-{plugin.version}"
            chosen = msgspec.convert(self.settings, module.Settings, dec_hook=decode_amount)
            self._detector = module.create(self.channels, chosen)
        except (Exception, SystemExit) as error:  # noqa: BLE001  whatever the code of others raises
            self._fail(error)

    @property
    def learnt(self) -> bool:
        """Whether it judges, or never will."""
        return self._learnt

    @property
    def version(self) -> str:
        """Its name, and the version of the distribution that brought it."""
        return self._version

    @property
    def room(self) -> int | None:
        """Until it has learnt one row: so it is seen with which it has."""
        return None if self._learnt else 1

    def take(self, rows: Sequence[Sequence[float | None]]) -> list[Judgement]:
        """Judge the next rows; see `Method`."""
        if any(len(row) != len(self.channels) for row in rows):
            raise ValueError(f"a row has another width than the {len(self.channels)} channels")
        if self._detector is None or not rows:
            return [NOT_YET] * len(rows)
        clean = [tuple(map(_known, row)) for row in rows]
        try:
            judged = _checked(self._detector.take(clean), len(rows), len(self.channels))
            learnt = bool(self._detector.learnt)
        except (Exception, SystemExit) as error:  # noqa: BLE001  whatever the code of others raises
            self._fail(error)
            return [NOT_YET] * len(rows)
        if not self._learnt:
            judged = [NOT_YET if each == NOT_YET else each for each in judged]
            self.warmup += [[math.nan if value is None else value for value in row] for row in clean]
            self._learnt = learnt or len(self.warmup) >= MOST_WARM
            if self._learnt:
                self.warmup = []
        return judged

    def capture(self) -> bytes:
        """Its snapshot; empty: it has failed."""
        if self._detector is None:
            return b""
        try:
            return bytes(self._detector.snapshot())
        except (Exception, SystemExit) as error:  # noqa: BLE001  whatever the code of others raises
            self._fail(error)
            return b""

    def twin(self, moving: bytes) -> PluginMethod:
        """Another one that goes on from what was captured of this one."""
        if self._detector is None:
            raise ValueError(f"{self.name} does not judge")
        twin = PluginMethod(self.name, self.channels, self.settings)
        twin._go_on(moving)
        return twin

    def parts(self) -> dict[str, bytes | None]:
        """The blocks of its snapshot that changed."""
        content = self.capture() if self._learnt else b""
        return self._blocks.parts(content) if content else {}

    def save_anew(self) -> None:
        """All blocks are due again."""
        self._blocks = Blocks("moving")

    def resume(self, parts: Mapping[str, bytes], number: int) -> None:
        """Go on from the blocks of a snapshot. One that is not there now leaves them as they are."""
        if self._detector is not None:
            self._go_on(self._blocks.join(parts))

    def _go_on(self, snapshot: bytes) -> None:
        if self._detector is None:
            raise ValueError(f"{self.name} does not judge")
        try:
            self._detector.restore(snapshot)
        except (Exception, SystemExit) as error:
            raise ValueError(f"{self.name} can't go on from what was saved: {error}") from error
        self._learnt = True

    def _fail(self, error: BaseException) -> None:
        self._detector, self.failures, self._learnt, self.warmup = None, 1, True, []
        _say_once(f"the detector {self.name} does not judge any more, rules go on: {type(error).__name__}: {error}")


@lru_cache(maxsize=256)
def _say_once(text: str) -> None:
    """Once for all assets of a program."""
    logger.warning("%s", text)


def _known(value: float | None) -> float | None:
    return value if value is not None and -_LARGEST <= value <= _LARGEST else None


def _checked(judged: Sequence[Judgement], rows: int, channels: int) -> list[Judgement]:
    """The judgements as plain values. ValueError: they break the contract."""
    if len(judged) != rows:
        raise ValueError(f"{len(judged)} judgements for {rows} rows")
    return [_checked_one(each, channels) for each in judged]


def _checked_one(judgement: Judgement, channels: int) -> Judgement:
    score, flag, blame, since, _ = judgement
    if not 0.0 <= score < math.inf:
        raise ValueError(f"a score of {score}")
    parts = []
    for name, part, channel, *numbers in blame[:MOST_BLAMED]:
        parts.append(Blame(str(name), float(part), int(channel), *map(float, numbers)))
        if not 0 <= channel < channels or not all(map(math.isfinite, (part, *numbers))):
            raise ValueError("it blames a channel that there is not, or with numbers that are none")
    return Judgement(float(score), bool(flag), tuple(parts), int(since))
