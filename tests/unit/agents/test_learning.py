"""Learning off the steps: a detector says what is to be learnt, others learn it, and alerts of others do not wait."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest

from edgemesh.agents.core import Lesson, Taught
from edgemesh.agents.detector import DetectorCore
from edgemesh.agents.gateway import GatewayCore
from edgemesh.agents.items import Offered
from edgemesh.agents.school import School
from edgemesh.detect.methods.lessons import decode_result, learn_encoded
from edgemesh.detect.models.settings import ProfileSettings
from edgemesh.detect.settings import DetectSettings, ModelSettings
from edgemesh.model.agents import Owners, Role
from edgemesh.model.alerts import Alert, AlertState
from edgemesh.model.packs import Readings
from edgemesh.model.samples import Batch
from edgemesh.testing import START_NS, make_sample, make_source
from edgemesh.wire import codec
from tests.unit.agents.site import TOPICS, client, running

S = 10**9
METRICS = ("flow", "current", "vibration")
SETTINGS = DetectSettings(model=(ModelSettings(machine=ProfileSettings(train_rows=200, trees=30)),))
CHANCE = np.random.default_rng(8)
TABLE = CHANCE.normal(size=(400, 3)) + np.array([90.0, 22.0, 3.0])
TABLE[225:240, 0] -= 8.0


def make_core(*, puts_off: bool = True) -> DetectorCore:
    return DetectorCore("det", "plant", SETTINGS, {}, puts_off=puts_off)


def pack(seq: int, first: int, last: int, assets: int = 1) -> Readings:
    """Rows of the table for so many assets."""
    batches = [
        Batch(
            device=f"d{k}",
            asset=f"asset-{k}",
            metrics=METRICS,
            units=("m3/h", "A", "mm/s"),
            at_ns=tuple(START_NS + i * S for i in range(first, last)),
            values=tuple(map(tuple, (TABLE[first:last] + k).T.tolist())),
        )
        for k in range(assets)
    ]
    return Readings(agent="gw", epoch="e", seq=seq, lowest=1, at_ns=0, records=tuple(batches))


def story(alerts: list[Alert]) -> list[tuple[object, ...]]:
    return [(a.id, a.version, a.state, a.at_ns, a.onset_at_ns, a.model, a.origin, a.evidence) for a in alerts]


def test_a_step_in_which_ten_warm_ups_are_complete_is_short() -> None:
    """It takes less than a tenth of the CPU that learning takes; nothing is learnt before the lessons are."""
    core = make_core()
    core.handle(pack(1, 0, 199, assets=10))
    learn_encoded(_lesson_of_one())  # scikit-learn is imported once
    began_s = time.thread_time()
    core.handle(pack(2, 199, 210, assets=10))
    core.save()
    lessons = core.lessons()
    step_s = time.thread_time() - began_s
    assert len(lessons) == 10
    began_s = time.thread_time()
    results = [learn_encoded(lesson.content) for lesson in lessons]
    learning_s = time.thread_time() - began_s
    assert step_s < 0.1 * learning_s
    assert core.stats["trained"] == 0
    for lesson, result in zip(lessons, results, strict=True):
        core.handle(Taught(lesson.asset, lesson.key, result))
    assert (core.stats["trained"], core.stats["rows"]) == (10, 100)


def _lesson_of_one() -> bytes:
    core = make_core()
    core.handle(pack(1, 0, 200))
    (lesson,) = core.lessons()
    return lesson.content


@pytest.mark.parametrize("restarts", [False, True])
def test_alerts_are_those_of_a_detector_that_learns_at_once(restarts: bool) -> None:
    """With their ids, times, evidence and origins; also when it is stopped while rows wait, and asks again."""
    packs = [pack(seq, 10 * seq, 10 * seq + 10, assets=2) for seq in range(40)]
    plain = make_core(puts_off=False)
    whole = [alert for each in packs for alert in plain.handle(each)]
    assert {alert.state for alert in whole} == {AlertState.FIRING, AlertState.CLEARED}
    core = make_core()
    parts: dict[str, bytes] = {}
    alerts: list[Alert] = []
    lessons: list[Lesson] = []
    for place, each in enumerate(packs):
        alerts += core.handle(each)
        lessons += core.lessons()
        for name, content in core.save().items():
            parts.pop(name, None) if content is None else parts.update({name: content})
        if restarts and place in (21, 24):
            core = make_core()
            core.load(parts)
            lessons = list(core.lessons())  # asked for again
        if place == 25:
            assert len(lessons) == 2
            for lesson in lessons:
                alerts += core.handle(Taught(lesson.asset, lesson.key, learn_encoded(lesson.content)))
    by_asset = [[story([a for a in said if a.asset == f"asset-{k}"]) for k in range(2)] for said in (alerts, whole)]
    assert by_asset[0] == by_asset[1]
    assert core.handle(Taught("asset-0", lessons[0].key, b"")) == []
    assert core.handle(Taught("nobody", "", b"")) == []


def test_the_process_learns_and_ends_and_nothing_is_learnt_twice() -> None:
    """Lessons come back learnt, by another process, one after the other; what is due already is not asked twice."""
    content = _lesson_of_one()
    got: list[tuple[str, bytes, str]] = []
    here = threading.Semaphore(0)

    def answer(lesson: Lesson, result: bytes) -> None:
        got.append((lesson.asset, result, threading.current_thread().name))
        here.release()

    school = School("det", answer)
    for asset in ("a", "a", "b"):
        school.ask(Lesson(asset, "k", content))
    assert here.acquire(timeout=60)
    assert here.acquire(timeout=60)
    assert school.alive()
    school.close()
    assert [asset for asset, _, _ in got] == ["a", "b"]
    expected = learn_encoded(content)
    assert [result == expected for _, result, _ in got] == [True, True]
    assert not school.alive()
    assert got[0][2] == "det.school"


@pytest.mark.parametrize("command", [("/nowhere/python",), (sys.executable, "-c", "print('broken')")])
def test_without_a_process_a_thread_learns(command: tuple[str, ...]) -> None:
    """A process that can't be had, or ends at once, is no reason not to learn; what can't be learnt is answered."""
    content = _lesson_of_one()
    got: list[bytes] = []
    here = threading.Semaphore(0)

    def answer(_: Lesson, result: bytes) -> None:
        got.append(result)
        here.release()

    school = School("det", answer, command=command)
    school.ask(Lesson("a", "k", content))
    school.ask(Lesson("b", "k", b"no lesson"))
    assert here.acquire(timeout=60)
    assert here.acquire(timeout=60)
    school.close()
    assert decode_result(got[0]) == decode_result(learn_encoded(content))
    assert got[1] == b""


def test_closing_does_not_wait_for_what_is_learnt() -> None:
    """A process that would take minutes is ended, and nobody is told."""
    told: list[bytes] = []
    school = School("det", lambda _, r: told.append(r), command=(sys.executable, "-c", "import time; time.sleep(600)"))
    school.ask(Lesson("a", "k", b"x"))
    deadline_s = time.monotonic() + 10.0
    while not school.alive() and time.monotonic() < deadline_s:
        time.sleep(0.005)
    assert school.alive()
    began_s = time.monotonic()
    school.close()
    assert time.monotonic() - began_s < 1.5
    assert not school.alive()
    assert told == []
    school.ask(Lesson("b", "k", b"x"))
    assert told == []


def test_a_running_detector_learns_in_its_process(
    tmp_path: Path, until: Callable[..., Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows in, a model learnt elsewhere, and the alert of a row that had to wait for it; it stops at once."""
    monkeypatch.setattr("edgemesh.detect.methods.machine.learn_profile", None)  # nothing may be learnt here

    async def body() -> None:
        async with running(tmp_path) as site, client(site) as registry:
            site.add("gw", Role.GATEWAY, GatewayCore, readers=["detector"])
            site.add("det", Role.DETECTOR, make_core)
            await site.start()
            registry.publish(TOPICS.owners(), codec.encode(Owners(epoch=1, owners={"gw": "det"})), retain=True)
            source = make_source("d", metrics=METRICS, units=("m3/h", "A", "mm/s"))
            samples = [make_sample(*row, source=source, at_s=float(i)) for i, row in enumerate(TABLE.tolist())]
            site.agents["gw"].offer(Offered(samples[:260]))
            stats = site.core("det").stats  # type: ignore[attr-defined]
            await until(lambda: stats["trained"] == 1 and stats["alerts_raised"] == 1, 60)
            began_s = time.monotonic()
            await site.agents["det"].stop()
            assert time.monotonic() - began_s < 2.0

    asyncio.run(body())
