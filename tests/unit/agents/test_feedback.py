"""Verdicts of technicians through a detector: each has its effect once, whoever hears it; rules stay as they are."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edgemesh.agents.detector import DetectorCore
from edgemesh.agents.scheduler import SchedulerCore
from edgemesh.detect.settings import DetectSettings, LimitRule
from edgemesh.dispatch.settings import DispatchSettings
from edgemesh.model.agents import Role
from edgemesh.model.alerts import Alert, AlertState
from edgemesh.model.orders import Verdict, WorkOrder
from edgemesh.model.packs import Alerts, Answers, Cards
from edgemesh.model.settings import Seconds
from edgemesh.model.verdicts import OrderVerdict, Verdicts
from edgemesh.wire import codec
from firmware_sim import executor as firmware
from firmware_sim.memory import Mark
from tests.conftest import Until
from tests.unit.agents.site import TOPICS, client, running
from tests.unit.agents.test_rollout import ASSET, CALM, LEARNT, Bench, S
from tests.unit.dispatch.plant import card

SETTINGS = DetectSettings(model=(LEARNT,))
SHIFTED = CALM.copy()
SHIFTED[300:330, 0] -= 6.0
ORDER = "a" * 32


def verdict(alert: str, said: Verdict, *, at_s: float = 340, order: str = ORDER, learnt: bool = True) -> Verdicts:
    found = OrderVerdict(order=order, alert=alert, verdict=said, at_ns=int(at_s * S), learnt=learnt)
    return Verdicts(asset=ASSET, verdicts=(found,))


@dataclass
class Feedback(Bench):
    """The bench, to which verdicts can be told."""

    def hear(self, verdicts: Verdicts) -> list[Alert]:
        made = list(self.core.handle(verdicts))
        self.keep()
        self.alerts += made
        return made

    @property
    def ease(self) -> float:
        watch = self.core._watches.get(ASSET)
        assert watch is not None
        assert watch.models.learner is not None
        return watch.models.learner.state.ease


def observed(bench: Bench) -> list[float]:
    """The scores that will be given."""
    told: list[float] = []
    bench.core.observe(lambda _asset, _at_ns, score: told.append(score))
    return told


def raised(bench: Bench) -> list[Alert]:
    return [alert for alert in bench.alerts if alert.version == 1]


def test_a_false_alarm_takes_more_to_be_raised_again() -> None:
    """After the verdict the limits lie a step further out; told twice, or again after a restart, it is one step."""
    bench = Feedback(SETTINGS)
    bench.feed(SHIFTED, 0, 400)
    (alert,) = raised(bench)
    said = verdict(alert.id, Verdict.FALSE_ALARM)
    bench.hear(said)
    bench.hear(said)
    bench.feed(SHIFTED, 400, 410)
    assert bench.ease == pytest.approx(1.1)
    bench.restart()
    bench.hear(said)
    bench.feed(SHIFTED, 410, 420)
    assert bench.ease == pytest.approx(1.1)


@pytest.mark.parametrize("size", [1, 20])
def test_the_score_of_the_same_row_is_lower_by_the_step(size: int) -> None:
    """What a model says of rows is in multiples of the limit, which is further out now; nothing else differs."""
    scores: dict[bool, list[float]] = {}
    for eased in (False, True):
        bench = Feedback(SETTINGS)
        told = observed(bench)
        bench.feed(CALM, 0, 800, size=20)
        if eased:
            bench.hear(verdict("0" * 32, Verdict.FALSE_ALARM))
        bench.feed(CALM, 800, 820, size=size)
        scores[eased] = told
    assert scores[True][:700] == scores[False][:700]
    assert np.array(scores[True][700:]) * 1.1 == pytest.approx(np.array(scores[False][700:]))


def test_no_number_of_false_alarms_makes_it_deaf() -> None:
    """Twenty verdicts move the limits by half at most, and a fault beyond that is seen."""
    bench = Feedback(SETTINGS)
    bench.feed(CALM, 0, 300)
    for number in range(20):
        bench.hear(verdict("0" * 32, Verdict.FALSE_ALARM, order=f"{number:032}"))
    faulty = CALM.copy()
    faulty[350:, 0] -= 15.0
    bench.feed(faulty, 300, 400)
    assert bench.ease == 1.5
    assert len(raised(bench)) == 1


def test_a_false_alarm_that_stands_is_over() -> None:
    """The alert ends with the verdict, and nothing more is said of this episode; the next one is another."""
    level = CALM.copy()
    level[300:380, 0] -= 6.0
    level[700:730, 0] -= 8.0
    bench = Feedback(SETTINGS)
    bench.feed(level, 0, 340)
    (alert,) = raised(bench)
    (over,) = bench.hear(verdict(alert.id, Verdict.FALSE_ALARM))
    assert (over.id, over.state) == (alert.id, AlertState.CLEARED)
    bench.restart()
    bench.feed(level, 340, 700)
    assert len(raised(bench)) == 1
    bench.feed(level, 700, 730)
    assert len(raised(bench)) == 2


def test_an_alert_that_came_again_before_the_verdict_is_over_too() -> None:
    """One order stands for all of it, and names the alert that opened it; a verdict of before says nothing of it."""
    level = CALM.copy()
    level[300:315, 0] -= 8.0
    level[500:560, 0] -= 8.0
    bench = Feedback(SETTINGS)
    bench.feed(level, 0, 520)
    first, second = raised(bench)
    bench.hear(verdict(first.id, Verdict.FALSE_ALARM, at_s=400, order="b" * 32))
    assert bench.core.present(None)[f"state/alert/{second.id}"] is not None
    (over,) = bench.hear(verdict(first.id, Verdict.FALSE_ALARM, at_s=520))
    assert over.id == second.id


def test_what_gets_much_worse_is_said_again() -> None:
    """Twice as strange as what somebody has called no fault is news, within the same episode."""
    level = CALM.copy()
    level[300:, 0] -= 6.0
    level[350:, 0] -= 14.0
    bench = Feedback(SETTINGS)
    bench.feed(level, 0, 340)
    bench.hear(verdict(raised(bench)[0].id, Verdict.FALSE_ALARM))
    bench.feed(level, 340, 370)
    assert len(raised(bench)) == 2


def test_a_verdict_on_a_rule_moves_neither_rule_nor_model() -> None:
    """Limits of rules stay where they are written, and what was said of them says nothing of the model."""
    rule = LimitRule(metric="flow", below=85.0, clear=86.0, hold=Seconds(0.0), clear_hold=Seconds(0.0))
    bench = Feedback(DetectSettings(model=(LEARNT,), rule=(rule,)))
    shifted = CALM.copy()
    shifted[(300, 420), 0] = 80.0  # single values: the model believes neither
    bench.feed(shifted, 0, 400)
    (first,) = raised(bench)
    bench.hear(verdict(first.id, Verdict.FALSE_ALARM, learnt=False))
    bench.feed(shifted, 400, 500)
    assert bench.ease == 1.0
    assert len(raised(bench)) == 2


def test_a_replaced_part_begins_a_new_warm_up() -> None:
    """The model's alert is over at once, rows of the new part are learnt, and the new normal raises nothing."""
    other = CALM.copy()
    other[300:, 0] += 30.0
    bench = Feedback(SETTINGS)
    bench.feed(other, 0, 340)
    (alert,) = raised(bench)
    (over,) = bench.hear(verdict(alert.id, Verdict.REPLACED_PART))
    assert (over.id, over.state) == (alert.id, AlertState.CLEARED)
    bench.feed(other, 340, 700)
    watch = bench.core._watches.get(ASSET)
    assert watch is not None
    assert watch.models.learner is not None
    assert watch.models.learner.state.about.begin_ns == 340 * S
    assert len(raised(bench)) == 1
    bench.restart()
    bench.hear(verdict(alert.id, Verdict.REPLACED_PART))
    bench.feed(other, 700, 702)
    watch = bench.core._watches.get(ASSET)
    assert watch is not None
    assert watch.models.learner is not None
    assert watch.models.learner.learnt


def test_from_an_alert_to_a_threshold() -> None:
    """Detector, scheduler, a simulated executor and the wire between them: the whole way round."""
    bench = Feedback(SETTINGS)
    bench.feed(SHIFTED, 0, 320)
    scheduler = SchedulerCore("s", "plant", DispatchSettings(), {}, epoch=1)
    scheduler.tick(S)
    scheduler.handle(Cards((card("ana", skills={"operator": 1.0, "fitter": 1.0, "instrument": 1.0}),)))
    pack = Alerts(agent="det", epoch="e", seq=1, lowest=1, at_ns=0, records=tuple(raised(bench)))
    order = scheduler.handle(pack)[-1]
    assert isinstance(order, WorkOrder)
    word = firmware.Answer(order.id, Mark("done", order.attempt, 340 * S, "nothing found", "false_alarm"))
    done = scheduler.handle(Answers((codec.decode_answer(word.payload("ana"), executor="ana"),)))
    told = scheduler.present(done)[f"state/verdicts/{ASSET}"]
    assert isinstance(told, Verdicts)
    (over,) = bench.hear(codec.decode_verdicts(codec.encode(told), asset=ASSET))
    assert over.state is AlertState.CLEARED
    bench.feed(SHIFTED, 320, 330)
    assert bench.ease == pytest.approx(1.1)


def test_a_running_detector_hears_them(tmp_path: Path, until: Until) -> None:
    """They come by the asset's retained topic, are committed, and are refused when they are of another asset."""
    found = verdict("0" * 32, Verdict.FALSE_ALARM)

    async def play() -> None:
        async with running(tmp_path) as site, client(site) as stranger:
            stranger.publish(TOPICS.verdicts(ASSET), codec.encode(found), retain=True)
            stranger.publish(TOPICS.verdicts("other"), codec.encode(found), retain=True)
            detector = site.add("det", Role.DETECTOR, lambda: DetectorCore("det", "site", SETTINGS, {}))
            await site.start()
            await until(lambda: detector.engine.stats.rejected)
            disk = site.peek("det")
            await until(lambda: f"verdicts/{ASSET}" in disk.parts())
            assert "verdicts/other" not in disk.parts()

    asyncio.run(play())


@pytest.mark.parametrize("said", [Verdict.FALSE_ALARM, Verdict.REPLACED_PART])
def test_who_takes_the_asset_over_knows_it(said: Verdict) -> None:
    """A detector that kept the verdicts of all assets has the same limits, and learns no row of the old part."""
    bench = Feedback(SETTINGS)
    bench.hear(verdict("0" * 32, said, at_s=50))
    bench.restart()
    bench.feed(CALM, 0, 200)
    watch = bench.core._watches.get(ASSET)
    assert watch is not None
    assert watch.models.learner is not None
    assert bench.ease == (pytest.approx(1.1) if said is Verdict.FALSE_ALARM else 1.0)
    assert (watch.models.learner.state.about.begin_ns >= 50 * S) is (said is Verdict.REPLACED_PART)


def test_a_model_of_the_machine_before_is_refused() -> None:
    """What was learnt from rows of the part that is gone does not come back as an offer."""
    bench = Feedback(SETTINGS)
    bench.feed(CALM, 0, 200)
    content = bench.core.model(ASSET, version=2, now_ns=1)
    assert content is not None
    bench.hear(verdict("0" * 32, Verdict.REPLACED_PART, at_s=200))
    bench.feed(CALM, 200, 350)
    bench.offer(content)
    assert bench.said[-1].stage.value == "refused"
    assert "replaced" in bench.said[-1].reason


def test_a_kill_at_any_row_changes_nothing() -> None:
    """With verdicts between the rows, what is said is the same, restarted before every pack or never."""
    alerts = {}
    for broken in (False, True):
        bench = Feedback(SETTINGS)
        for row in range(0, 500, 10):
            bench.feed(SHIFTED, row, row + 10)
            if row == 340:
                bench.hear(verdict(raised(bench)[0].id, Verdict.FALSE_ALARM))
            if row == 420:
                bench.hear(verdict("0" * 32, Verdict.REPLACED_PART, at_s=430, order="b" * 32))
            if broken:
                bench.restart()
        alerts[broken] = bench.alerts
    assert alerts[True] == alerts[False]
    assert alerts[True]
