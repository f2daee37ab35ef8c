"""Retraining through a detector: slow change is followed by models that are tried like any other, faults are not."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from edgemesh.agents.core import Taught
from edgemesh.agents.detector import DetectorCore
from edgemesh.agents.watches import Observer
from edgemesh.detect.methods.lessons import learn_encoded
from edgemesh.detect.models.files import read_model
from edgemesh.detect.models.normal import Floats
from edgemesh.detect.settings import DetectSettings
from edgemesh.model.alerts import AlertState
from edgemesh.model.orders import Verdict
from edgemesh.model.rollouts import ModelOffer
from edgemesh.model.settings import Seconds
from edgemesh.model.verdicts import OrderVerdict, Verdicts
from tests.unit.agents.test_rollout import ASSET, LEARNT, ROLLOUT, Bench, S

EVERY_S = 1500.0
SETTINGS = DetectSettings(model=(msgspec.structs.replace(LEARNT, retrain_every=Seconds(EVERY_S)),), rollout=ROLLOUT)
CHANCE = np.random.default_rng(8)
ROWS = 4000
CALM = CHANCE.normal(size=(ROWS, 3)) + np.array([90.0, 22.0, 3.0])


def pads(bench: Bench) -> dict[str, bytes]:
    return {name: part for name, part in bench.parts.items() if name.startswith(f"asset/{ASSET}/calm/")}


def kept(bench: Bench) -> list[Floats]:
    """The calm windows that there are."""
    watch = bench.core._watches.get(ASSET)
    assert watch is not None
    assert watch.models.retraining is not None
    return watch.models.retraining._reservoir.windows


def version(bench: Bench) -> int:
    watch = bench.core._watches.get(ASSET)
    assert watch is not None
    return watch.state.learner.about.version


def test_after_its_time_a_new_model_is_offered_tried_and_used() -> None:
    """It goes the way of every offer: shadow, canary, promoted; alerts name it from then on, and others hear of it."""
    bench, offers = Bench(SETTINGS), list[ModelOffer]()
    table = CALM.copy()
    table[3000:3030, 0] -= 12.0
    for row in range(0, 3060, 20):
        bench.seq += 1
        bench.feed(table, row, row + 20, size=20)
        offers += [found for found in bench.core.present(None).values() if isinstance(found, ModelOffer)]
    assert bench.stages[:3] == ["shadow", "canary", "promoted"]
    assert bench.core.stats["retrained"] == 1
    assert version(bench) == 2
    assert offers[-1].version == 2
    (alert,) = [alert for alert in bench.alerts if alert.version == 1]
    assert alert.model.startswith("profile-2@")


def test_nothing_is_kept_where_it_is_off() -> None:
    """By default no rows are kept and nothing is learnt again."""
    bench = Bench(DetectSettings(model=(LEARNT,), rollout=ROLLOUT))
    bench.feed(CALM, 0, 3000, size=50)
    assert version(bench) == 1
    assert not pads(bench)


def test_what_is_kept_is_bounded() -> None:
    """After any number of rows and alerts: 16 windows, the newest 255 rows, and 8 alerts of 128 rows each."""
    bench = Bench(SETTINGS)
    table = CALM.copy()
    for begin in range(400, ROWS, 300):
        table[begin : begin + 25, 1] += 9.0
    bench.feed(table, 0, ROWS, size=20)
    assert sum(map(len, pads(bench).values())) < (16 + 2 + 8) * 128 * 3 * 8 + 8 * 100
    assert {name.split("/")[3] for name in pads(bench)} >= {"slot", "dispute"}


def test_rows_of_an_alert_are_not_kept_as_calm() -> None:
    """No window holds a row of a disturbance that raised an alert, nor is there one from just before it."""
    bench = Bench(SETTINGS)
    table = CALM.copy()
    table[1000:1060, 0] -= 12.0
    bench.feed(table, 0, 1800, size=20)
    windows = kept(bench)
    assert len(windows) >= 4
    begins = {value: row for row, value in enumerate(table[:, 0].tolist())}
    for window in windows:
        first = begins[window[0, 0]]
        assert np.array_equal(window, table[first : first + 128])
        assert first + 2 * 128 <= 1000 or first > 1060


@pytest.mark.parametrize("puts_off", [False, True])
def test_a_kill_at_any_pack_changes_nothing(puts_off: bool) -> None:
    """Restarted before each pack or never, the same is said of the model, and it is the same model."""
    ends = []
    for broken in (False, True):
        bench = _PuttingOff(SETTINGS) if puts_off else Bench(SETTINGS)
        for row in range(0, 2400, 40):
            bench.feed(CALM, row, row + 40, size=40)
            if isinstance(bench, _PuttingOff):
                bench.learn()
            if broken:
                bench.restart()
        ends.append((bench.core.model(ASSET, version=2, now_ns=1), bench.stages, np.array(kept(bench)).tolist()))
    assert ends[0] == ends[1]
    assert ends[0][1] == ["shadow", "canary", "promoted"]


class _PuttingOff(Bench):
    """A bench whose lessons are learnt by somebody else, and handed in after the next pack."""

    def make(self) -> DetectorCore:
        return DetectorCore(self.name, "plant", self.settings, {}, puts_off=True)

    def learn(self) -> None:
        for lesson in self.core.lessons():
            self.core.handle(Taught(lesson.asset, lesson.key, learn_encoded(lesson.content)))
        self.keep()


def test_rows_are_judged_while_the_next_model_is_learnt() -> None:
    """Nothing waits for it: a fault that comes in between is said at once."""
    bench = _PuttingOff(SETTINGS)
    table = CALM.copy()
    table[2010:2040, 0] -= 12.0
    bench.feed(table, 0, 100, size=20)
    bench.learn()
    bench.feed(table, 100, 2000, size=20)
    due = bench.core.lessons()
    assert [lesson.asset for lesson in due] == [ASSET]
    assert bench.core.lessons() == []
    bench.feed(table, 2000, 2040, size=1)
    assert any(alert.state is AlertState.FIRING for alert in bench.alerts)
    bench.core.handle(Taught(ASSET, due[0].key, b"no result"))
    assert bench.core.stats["untrainable"] == 1
    assert version(bench) == 1


def test_what_somebody_offers_meanwhile_goes_before() -> None:
    """A model that is pushed while the next one is learnt is tried to its end."""
    bench = _PuttingOff(SETTINGS)
    bench.feed(CALM, 0, 100, size=20)
    bench.learn()
    bench.feed(CALM, 100, 1700, size=20)
    (due,) = bench.core.lessons()
    bench.offer(bench.core.model(ASSET, version=5, now_ns=1) or b"", revision=1)
    bench.core.handle(Taught(ASSET, due.key, learn_encoded(due.content)))
    bench.feed(CALM, 1700, 2000, size=20)
    assert [(state.revision, state.stage.value) for state in bench.said][-1] == (1, "promoted")


def test_rows_of_a_false_alarm_join_those_of_a_fault_do_not() -> None:
    """What was no fault is in the next lesson; what was one is dropped, and so is the day before it."""
    shares = {}
    for said in (Verdict.FALSE_ALARM, Verdict.REAL_FAULT):
        bench = Bench(SETTINGS)
        table = CALM.copy()
        table[1200:1230, 0] -= 12.0
        bench.feed(table, 0, 1400, size=20)
        (alert,) = [alert for alert in bench.alerts if alert.version == 1]
        found = OrderVerdict(order="a" * 32, alert=alert.id, verdict=said, at_ns=1400 * S, learnt=True)
        bench.core.handle(Verdicts(asset=ASSET, verdicts=(found,)))
        bench.keep()
        watch = bench.core._watches.get(ASSET)
        assert watch is not None
        assert watch.models.retraining is not None
        told = watch.models.retraining._disputed.calm
        shares[said] = len(watch.models.retraining._reservoir.windows), [float(rows[:, 0].min()) for rows in told]
        assert not any("dispute" in name for name in pads(bench)) or said is Verdict.FALSE_ALARM
    assert shares[Verdict.REAL_FAULT] == (0, [])
    windows, lows = shares[Verdict.FALSE_ALARM]
    assert windows > 4
    assert len(lows) == 1
    assert lows[0] < 82.0


@pytest.mark.parametrize("rows", [1500, 2400])
def test_a_verdict_has_no_effect_again_after_a_restart(rows: int) -> None:
    """What a fault made the detector forget it forgets once, also where another model has begun to judge since."""
    bench = Bench(SETTINGS)
    bench.feed(CALM, 0, 300, size=20)
    found = OrderVerdict(order="a" * 32, alert="b" * 32, verdict=Verdict.REAL_FAULT, at_ns=300 * S, learnt=True)
    bench.core.handle(Verdicts(asset=ASSET, verdicts=(found,)))
    bench.feed(CALM, 300, rows, size=20)
    assert version(bench) == (2 if rows > 2000 else 1)
    before = len(kept(bench))
    assert before > 4
    bench.restart()
    bench.feed(CALM, rows, rows + 20, size=20)
    assert len(kept(bench)) >= before


def test_slow_change_is_followed() -> None:
    """A machine that has drifted by ten spreads, raising nothing, has its new level in the normal of the next model."""
    bench = Bench(SETTINGS)
    table = CALM.copy()
    table[:, 0] += np.linspace(0.0, 10.0, ROWS)
    bench.feed(table, 0, 2600, size=20)
    assert version(bench) == 2
    assert not bench.alerts
    file = read_model(bench.core.model(ASSET, version=2, now_ns=1) or b"")[0]
    flow = next(channel for channel in file.channels if channel.metric == "flow")
    assert flow.low is not None
    assert flow.high is not None
    assert flow.low < 90.0 + 10.0 * 1000 / ROWS < flow.high
    assert flow.low > 90.5


def test_a_fault_that_comes_again_and_again_is_not_learnt_as_normal() -> None:
    """Nobody says a word of it; the next model, learnt meanwhile, sees it as the first one did."""
    bench = Bench(SETTINGS)
    table = CALM.copy()
    begins = range(300, ROWS - 200, 500)
    for begin in begins:
        table[begin : begin + 60, 0] -= 5.0
    bench.feed(table, 0, ROWS, size=10)
    assert version(bench) > 1
    raised = [alert for alert in bench.alerts if alert.version == 1]
    assert [any(0 <= alert.raised_at_ns / S - begin <= 60 for alert in raised) for begin in begins] == [True] * len(
        begins
    )
    assert raised[-1].model.startswith(f"profile-{version(bench)}@")


def test_what_is_judged_meanwhile_is_as_without_it() -> None:
    """Until the next model judges, keeping rows and learning from them change no score and no alert."""
    ends = []
    for settings in (SETTINGS, DetectSettings(model=(LEARNT,), rollout=ROLLOUT)):
        bench, scores = Bench(settings), list[float]()
        bench.core.observe(_collector(scores))
        table = CALM.copy()
        table[700:730, 1] += 12.0
        bench.feed(table, 0, 1640, size=20)  # the next model is in the shadow
        ends.append((scores, bench.alerts))
        assert bench.stages == (["shadow"] if settings is SETTINGS else [])
    assert ends[0] == ends[1]


def _collector(scores: list[float]) -> Observer:
    return lambda _asset, _at_ns, score: scores.append(score)
