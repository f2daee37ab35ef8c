"""One suite for everything that judges rows: built-in methods, and every detector that is installed as a plug-in."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from edgemesh.detect.methods.contract import Method
from edgemesh.detect.methods.detectors import Detector, find_detector, installed
from edgemesh.detect.methods.judgement import Blame, Judgement
from edgemesh.detect.methods.machine import MachineScorer
from edgemesh.detect.methods.series import SeriesScorer
from edgemesh.detect.methods.voting import Panel
from edgemesh.detect.models.settings import ProfileSettings, SeriesSettings
from edgemesh.testing import check_detector

Row = Sequence[float | None]
SETTINGS = ProfileSettings(train_rows=300, trees=20)


def make_machine(channels: Sequence[str]) -> MachineScorer:
    return MachineScorer(channels, SETTINGS)


def make_series(channels: Sequence[str]) -> SeriesScorer:
    return SeriesScorer(channels[0], SeriesSettings(trees=30))


def reopened(make: Callable[[Sequence[str]], Method]) -> Callable[[Method, Sequence[str]], Method]:
    """As a learner does it: from the warm-up, or from the profile and the parts."""

    def reopen(method: Method, channels: Sequence[str]) -> Method:
        other = make(channels)
        parts = {name: content for name, content in method.parts().items() if content is not None}
        if method.profile is not None:
            parts["model"] = method.profile.content
        if method.learnt:
            other.resume(parts, 1)
        else:
            other.warm(method.warmup)
        return other

    return reopen


def test_a_machine_keeps_the_contract() -> None:
    """The same rows give the same, whatever comes after them, at once, before or in which order; the fault is found."""
    assert check_detector(make_machine, reopened(make_machine)) > 0.95


def test_a_series_keeps_the_contract() -> None:
    """The same for one metric, where the first rows of a fault count."""
    assert check_detector(make_series, reopened(make_series), channels=("a",), fault_rows=2) > 0.6


def make_panel(channels: Sequence[str]) -> Panel:
    chart = MachineScorer(channels, ProfileSettings(train_rows=200, forest_weight=0.0))
    return Panel({"chart": chart, "machine": make_machine(channels)}, "majority")


def test_a_panel_keeps_the_contract() -> None:
    """Several methods that vote, with warm-ups of different length."""
    assert check_detector(make_panel, reopened(make_panel)) > 0.95


@pytest.mark.parametrize("name", [plugin.name for plugin in installed()])
def test_a_plug_in_keeps_the_contract(name: str) -> None:
    """Every installed detector, with the settings that it has by default, and both with one metric and with three."""
    module, _ = find_detector(name)

    def make(channels: Sequence[str]) -> Detector:
        return module.create([("", channel, "1") for channel in channels], module.Settings())

    try:
        make("a")
    except ImportError as error:
        pytest.skip(str(error))
    assert check_detector(make) > 0.9
    assert check_detector(make, channels=("a",)) > 0.9


SEEN: list[float] = []
"""What a detector remembers that has a memory which it should not have."""


class Broken:
    """A detector that says how far the largest value is from its mean over 300 rows, wrong in one way."""

    learnt = True

    def __init__(self, way: str) -> None:
        self.way, self.total, self.count = way, 0.0, 0

    def take(self, rows: Sequence[Row]) -> list[Judgement]:
        if self.way == "blocks":
            self.total, self.count = 0.0, 0
        last = [value or 0.0 for value in rows[-1]] if self.way == "ahead" else [0.0]
        judged = [self._one(row, max(last)) for row in rows]
        if self.way == "dirty":
            for row in rows:
                assert isinstance(row, list)
                row[0] = 0.0
        return judged[:-1] if self.way == "short" and None in rows[-1] else judged

    def snapshot(self) -> bytes:
        return b"" if self.way == "forgetful" else f"{self.total!r} {self.count}".encode()

    def restore(self, snapshot: bytes) -> None:
        if snapshot:
            total, count = snapshot.split()
            self.total, self.count = float(total), int(count)

    def _one(self, row: Row, last: float) -> Judgement:
        self.count += 1
        if self.way == "blind":
            return Judgement(0.5, flag=False)
        if self.way == "hole" and None in row:
            return Judgement(float("nan"), flag=False)
        known = [value or 0.0 for value in row]
        value = known[0] if self.way == "order" else max(known)
        self.total += value if self.count <= 300 else 0.0
        if self.way == "chance":
            SEEN.append(value)
            return Judgement(float(len(SEEN)), flag=False)
        blame = (Blame("z", 1.0, 9),) if self.way == "nobody" else ()
        return Judgement(abs(value - self.total / 300) + abs(last), flag=False, blame=blame)


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("ahead", "what came after"),
        ("blocks", "at once"),
        ("forgetful", "restart"),
        ("order", "order of the channels"),
        ("hole", "no number"),
        ("short", "not one judgement for each"),
        ("dirty", "were changed"),
        ("chance", "judged otherwise"),
        ("nobody", "blamed that there is not"),
        ("blind", "chance"),
    ],
)
def test_the_suite_finds_what_is_broken(way: str, words: str) -> None:
    """Each broken detector fails by the sentence that it breaks."""
    with pytest.raises(AssertionError, match=words):
        check_detector(lambda channels: Broken(way))


def test_the_suite_lets_a_sound_one_pass() -> None:
    """The same detector with nothing broken in it; so each failure above is of the one thing that is."""
    assert check_detector(lambda channels: Broken("")) > 0.9
