"""What a detector tells of its scores: one point of each asset and interval, the same whoever plays it how often."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemesh.agents import scorebook as module
from edgemesh.agents.detector import DetectorCore
from edgemesh.agents.scorebook import FIRST_NS, ScoreBook
from edgemesh.detect.base.columns import DeviceState, StreamState
from edgemesh.detect.settings import DetectSettings
from edgemesh.detect.watch import Watch
from edgemesh.detect.watch_state import WatchState
from edgemesh.model.agents import Asset
from edgemesh.model.samples import Retimed
from edgemesh.model.told import Score
from tests.unit.agents.test_rollout import ASSET, CALM, FAULTY, LEARNT, Bench

S = 10**9
FLOW = ("d1", "flow", "m3/h")


def make_watch(state: bytes = b"") -> Watch:
    watch = Watch("site", Asset(id="pump"), "gw", DetectSettings(), {})
    if state:
        watch.restore(msgspec.json.decode(state, type=WatchState), {})
    return watch


def at(seconds: float) -> int:
    return FIRST_NS + int(seconds * S)


ROWS = st.lists(st.tuples(st.floats(0.0, 40.0), st.floats(0.0, 9.0)), max_size=30).map(
    lambda steps: [
        (sum(step for step, _ in steps[: n + 1]), round(score, 3)) for n, (_, score) in enumerate(steps)
    ]
)  # fmt: skip


@given(ROWS, st.data())
def test_each_interval_that_is_over_has_its_greatest_score_once(
    rows: list[tuple[float, float]], data: st.DataObject
) -> None:
    """Though a step is taken back and played again from what was saved, and old rows come late, points are the same."""
    greatest: dict[int, float] = {}
    for seconds, score in rows:
        interval = at(seconds) // (10 * S) * 10 * S
        greatest[interval] = max(greatest.get(interval, 0.0), score)
    book, watch, told = ScoreBook(10.0), make_watch(), list[Score]()
    place = 0
    while place < len(rows):
        step = rows[place : place + data.draw(st.integers(1, 5))]
        saved = msgspec.json.encode(watch.state)
        if data.draw(st.booleans()):  # the commit of the step fails
            for seconds, score in step:
                book.see(watch, at(seconds), score, FLOW)
            book, watch = ScoreBook(10.0), make_watch(saved)
        for seconds, score in step:
            book.see(watch, at(seconds), score, FLOW)
            book.see(watch, at(seconds - 30.0), 99.0, FLOW)
        told += book.take()
        place += len(step)
    assert [(point.at_ns, point.score) for point in told] == sorted(greatest.items())[:-1]


def test_a_point_names_what_was_strangest_and_whose_it_is() -> None:
    """Device and metric are those of the greatest score; while nothing is strange there are none."""
    book, watch = ScoreBook(10.0), make_watch()
    for seconds, score, strangest in ((0, 0.2, None), (3, 1.7, FLOW), (5, 0.4, None), (10, 0.3, None), (20, 0.1, None)):
        book.see(watch, at(seconds), score, strangest)
    assert book.take() == [
        Score(asset="pump", gateway="gw", at_ns=at(0), score=1.7, device="d1", metric="flow"),
        Score(asset="pump", gateway="gw", at_ns=at(10), score=0.3),
    ]
    assert book.take() == []


def test_a_clock_that_was_wrong_begins_anew() -> None:
    """Rows of 1970 and scores that are no number count for nothing; what stands open when a clock was set back goes."""
    book, watch = ScoreBook(10.0), make_watch()
    book.see(watch, 5 * S, 3.0, None)
    book.see(watch, at(0), float("nan"), None)
    assert watch.state.peak.interval == 0
    book.see(watch, at(9e6), 3.0, None)
    for seconds in (20, 30):
        book.see(watch, at(seconds), 1.0, None)
    assert [point.at_ns for point in book.take()] == [at(20)]


def test_a_gateway_whose_clock_is_known_begins_anew() -> None:
    """Times of a clock in doubt are moved; an interval that is open by the wrong ones is told to nobody."""
    book, watch = ScoreBook(10.0), make_watch()
    watch.state.devices["d1"] = DeviceState(streams={"s": StreamState(clock=7, newest_ns=at(25))}, newest_ns=at(25))
    book.see(watch, at(25), 3.0, None)
    watch.put_right(Retimed(clock=7, from_ns=0, until_ns=at(25), by_ns=100 * S))
    for seconds in (126, 131):
        book.see(watch, at(seconds), 1.0, None)
    assert [point.at_ns for point in book.take()] == [at(120)]


@dataclass
class Scored(Bench):
    """The bench, with a detector that tells its scores."""

    told: list[Score] = field(default_factory=list)

    def make(self) -> DetectorCore:
        return DetectorCore(self.name, "plant", self.settings, {}, scores_every_s=10.0)

    def keep(self) -> None:
        super().keep()
        self.told += self.core.asides()


def test_a_detector_tells_its_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each interval of judged rows is told once, across a restart, too; a fault is above the limit and named."""
    monkeypatch.setattr(module, "FIRST_NS", 0)
    bench, whole = Scored(DetectSettings(model=(LEARNT,))), Scored(DetectSettings(model=(LEARNT,)))
    bench.feed(FAULTY, 0, 165)
    bench.restart()
    bench.feed(FAULTY, 165, 400)
    whole.feed(FAULTY, 0, 400, size=7)
    assert bench.told == whole.told
    assert [point.at_ns // S for point in bench.told] == list(range(100, 390, 10))
    worst = max(bench.told, key=lambda point: point.score)
    assert worst.score > 1.0
    assert (worst.asset, worst.gateway, worst.device, worst.metric) == (ASSET, "gw", f"d-{ASSET}", "flow")
    calm = Scored(DetectSettings(model=(LEARNT,)))
    calm.feed(CALM, 0, 400, size=50)
    assert sum(point.score for point in calm.told) < sum(point.score for point in bench.told)


def test_nobody_asks_nothing_is_told() -> None:
    """Without an interval a detector tells nothing, and alerts are the same with it and without."""
    silent, scored = Bench(DetectSettings(model=(LEARNT,))), Scored(DetectSettings(model=(LEARNT,)))
    silent.feed(FAULTY, 0, 400, size=9)
    scored.feed(FAULTY, 0, 400, size=9)
    assert list(silent.core.asides()) == []
    assert silent.alerts == scored.alerts
