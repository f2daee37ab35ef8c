"""One suite for everything that judges rows."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from edgemesh.detect.judgement import Judgement, Scorer
from edgemesh.detect.machine import MachineScorer, MachineState
from edgemesh.detect.model_settings import ProfileSettings, SeriesSettings
from edgemesh.detect.series import SeriesScorer, SeriesState
from edgemesh.testing import check_detector

Row = Sequence[float | None]
SETTINGS = ProfileSettings(train_rows=300, trees=20)


def make_machine(channels: Sequence[str]) -> MachineScorer:
    return MachineScorer(channels, SETTINGS)


def reopen_machine(scorer: Scorer, channels: Sequence[str]) -> MachineScorer:
    assert isinstance(scorer, MachineScorer)
    other = make_machine(channels)
    state = msgspec.json.decode(msgspec.json.encode(scorer.snapshot()), type=MachineState)
    other.restore(state, scorer.profile.content if scorer.profile else None)
    return other


def make_series(channels: Sequence[str]) -> SeriesScorer:
    return SeriesScorer(channels[0], SeriesSettings(trees=30))


def reopen_series(scorer: Scorer, channels: Sequence[str]) -> SeriesScorer:
    assert isinstance(scorer, SeriesScorer)
    state = msgspec.json.decode(msgspec.json.encode(scorer.snapshot()), type=SeriesState)
    return SeriesScorer(channels[0], SeriesSettings(trees=30), state)


def test_a_machine_keeps_the_contract() -> None:
    """The same rows give the same, whatever comes after them, at once, before or in which order; the fault is found."""
    assert check_detector(make_machine, reopen_machine) > 0.95


def test_a_series_keeps_the_contract() -> None:
    """The same for one metric, where the first rows of a fault count."""
    assert check_detector(make_series, reopen_series, channels=("a",), fault_rows=2) > 0.6


class Broken:
    """A scorer that says how far the first value is from the last calm mean, wrong in one way."""

    def __init__(self, way: str) -> None:
        self.way, self.total, self.count = way, 0.0, 0

    def take(self, rows: Sequence[Row]) -> list[Judgement]:
        if self.way == "ahead" and any(value is None for value in rows[-1]):
            return [Judgement(0.0, flag=False)] * len(rows)
        last = sum(value or 0.0 for value in rows[-1]) if self.way == "ahead" else 0.0
        return [self._one(row, last) for row in rows]

    def _one(self, row: Row, last: float) -> Judgement:
        self.count += 1
        if self.way == "blind":
            return Judgement(0.5, flag=False)
        if self.way == "hole" and None in row:
            return Judgement(float("nan"), flag=False)
        known = [value or 0.0 for value in row]
        value = known[0] if self.way == "order" else max(known)
        self.total += value if self.count <= 300 else 0.0
        return Judgement(abs(value - self.total / 300) + last, flag=False)


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("ahead", "at once"),
        ("forgetful", "restart"),
        ("order", "order of the channels"),
        ("hole", "no number"),
        ("blind", "chance"),
    ],
)
def test_the_suite_finds_what_is_broken(way: str, words: str) -> None:
    """Each broken scorer fails by the sentence that it breaks."""

    def reopen(scorer: Scorer, channels: Sequence[str]) -> Scorer:
        return Broken(way) if way == "forgetful" else scorer

    with pytest.raises(AssertionError, match=words):
        check_detector(lambda channels: Broken(way), reopen)
