"""Detectors that others wrote: a learner judges by them, and goes on whatever they do."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgemesh.detect.learning.learner import Learner
from edgemesh.detect.learning.memory import LearnerState
from edgemesh.detect.methods import plugged
from edgemesh.detect.methods.blocks import Blocks
from edgemesh.detect.methods.judgement import NOT_YET, Blame, Judgement
from edgemesh.detect.methods.plugged import PluginMethod
from edgemesh.detect.settings import ModelSettings
from edgemesh.errors import ConfigError, PluginMissing
from edgemesh.model.settings import Settings
from edgemesh.plugins import Plugin
from tests.unit.detect.learning.test_learner import MACHINE, TABLE, S, feed, save

LIMIT = {"lower": {"limit": 3.0}}


class LowerSettings(Settings, frozen=True, kw_only=True):
    limit: float = 4.0


class Lower:
    """Flags the first channel when it lies `limit` below the mean of its first 150 rows; breaks where it is told to."""

    def __init__(self, channels: Sequence[Any], chosen: LowerSettings) -> None:
        self.limit, self.total, self.count = chosen.limit, 0.0, 0

    @property
    def learnt(self) -> bool:
        return self.count >= 150

    def take(self, rows: Sequence[Sequence[float | None]]) -> list[Judgement]:
        return [self.one(row) for row in rows]

    def one(self, row: Sequence[float | None]) -> Judgement:
        value = row[0] or 0.0
        if self.count < 150:
            self.total, self.count = self.total + (90.0 if value > 1e4 else value), self.count + 1
            return Judgement(0.0, flag=False)
        mean = self.total / 150
        score = max(0.0, mean - value) / self.limit
        blame = (Blame("flow", score, 0, value, mean - self.limit, mean + self.limit),) if score > 1.0 else ()
        return Judgement(score, score > 1.0, blame, int(score > 1.0))

    def snapshot(self) -> bytes:
        return msgspec.msgpack.encode((self.total, self.count))

    def restore(self, snapshot: bytes) -> None:
        self.total, self.count = msgspec.msgpack.decode(snapshot, type=tuple[float, int])


def install(monkeypatch: pytest.MonkeyPatch, detector: type = Lower) -> None:
    """Have the plug-in `lower` found."""
    module = SimpleNamespace(Settings=LowerSettings, create=detector)
    monkeypatch.setattr(plugged, "find_detector", lambda name: (module, Plugin(name, "here", "acme", "1.2")))


def make(state: LearnerState | None = None, **given: Any) -> Learner:
    stats = dict.fromkeys(("rows", "trained", "untrainable", "models_refused"), 0.0)
    chosen = ModelSettings(**({"method": "lower", "plugin": LIMIT} | given))
    return Learner(chosen, state or LearnerState(), stats)


@given(st.lists(st.binary(max_size=3 * 4096 + 5), max_size=5))
@settings(deadline=None)
def test_blocks_join_to_what_was_saved_last(contents: list[bytes]) -> None:
    """Whatever was saved before, longer or shorter, with a restart in between; nothing is left over."""
    kept: dict[str, bytes] = {}
    blocks = Blocks("moving")
    for content in contents:
        for name, part in blocks.parts(content).items():
            if part is None:
                del kept[name]
            else:
                kept[name] = part
        blocks = Blocks("moving")
        assert blocks.join(kept) == content
        assert len(kept) == 1 - -len(content) // 4096
        assert len(blocks.parts(content)) == 1
    kept.pop("moving/0", None)
    if contents and contents[-1]:
        with pytest.raises(ValueError, match="missing"):
            Blocks("moving").join(kept)


def test_it_judges_and_its_alert_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its warm-up ends when it says so; alerts name it, its version, and the channel that it blames."""
    install(monkeypatch)
    learner = make()
    assert feed(learner, TABLE[:150], MACHINE) == []
    assert (learner.learnt, learner.stats["trained"], learner.version) == (True, 1, "lower-1.2")
    raised, *_, cleared = feed(learner, TABLE[150:320], MACHINE, 150)
    assert (raised.firing, raised.at_ns, raised.model) == (True, 200 * S, "lower-1.2")
    assert [evidence.metric for evidence in raised.evidence] == ["flow"]
    assert not cleared.firing
    assert learner.model("pump-1") is None
    with pytest.raises(ValueError, match=r"model"):
        learner.use_model(b"{}")


@given(cuts=st.lists(st.integers(1, 419), max_size=5))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_restart_is_not_noticed(monkeypatch: pytest.MonkeyPatch, cuts: list[int]) -> None:
    """Saved and loaded anywhere, while rows are held, in its warm-up or after it: it says the same."""
    install(monkeypatch)
    whole = feed(make(), TABLE, MACHINE)
    assert len(whole) >= 4
    said, learner = [], make()
    kept: dict[str, bytes] = {}
    for first, last in pairwise([0, *sorted(set(cuts)), len(TABLE)]):
        said += feed(learner, TABLE[first:last], MACHINE, first)
        state = save(learner, kept)
        learner = make(state)
        learner.restore(kept, MACHINE)
    assert said == whole
    assert not [name for name in kept if name.startswith("warmup/")]


def test_a_twin_goes_on_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """For late samples; what it takes changes nothing for the learner."""
    install(monkeypatch)
    learner = make()
    feed(learner, TABLE[:190], MACHINE)
    learner.capture()
    twin = learner.twin(msgspec.json.decode(msgspec.json.encode(learner.state), type=LearnerState))
    assert twin is not None
    assert feed(twin, TABLE[190:], MACHINE, 190) == feed(learner, TABLE[190:], MACHINE, 190) != []


class Raising(Lower):
    def one(self, row: Sequence[float | None]) -> Judgement:
        if (row[0] or 90.0) < 88.0 and self.count >= 150:
            raise RuntimeError("below all")
        return super().one(row)


class Short(Lower):
    def take(self, rows: Sequence[Sequence[float | None]]) -> list[Judgement]:
        return super().take(rows)[self.learnt :]


class Nameless(Lower):
    def one(self, row: Sequence[float | None]) -> Judgement:
        return super().one(row)._replace(blame=())


def verdict(judgement: Judgement) -> type[Lower]:
    """A detector that says this once it has learnt."""

    class Saying(Lower):
        def one(self, row: Sequence[float | None]) -> Judgement:
            return judgement if self.learnt else super().one(row)

    return Saying


class Leaving(Lower):
    def one(self, row: Sequence[float | None]) -> Judgement:
        raise SystemExit("enough")


class Unsaved(Lower):
    def snapshot(self) -> bytes:
        raise OSError("no room")


class Lost(Lower):
    def __init__(self, channels: Sequence[Any], chosen: LowerSettings) -> None:
        raise ImportError("it needs nothing_like_this")


@pytest.mark.parametrize(
    ("detector", "words"),
    [
        (Raising, "RuntimeError: below all"),
        (Short, "judgements for"),
        (Leaving, "SystemExit: enough"),
        (verdict(Judgement(float("nan"), flag=False)), "a score of nan"),
        (verdict(Judgement(-1.0, flag=False)), "a score of -1"),
        (verdict(Judgement(2.0, flag=True, blame=(Blame("x", 1.0, 7),))), "blames a channel"),
        (verdict(Judgement(2.0, flag=True, blame=(Blame("x", float("inf")),))), "blames a channel"),
        (Lost, "it needs nothing_like_this"),
    ],
)
def test_one_that_breaks_is_not_asked_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, detector: type[Lower], words: str
) -> None:
    """It raises nothing into the agent, is counted and said once, and nothing of what it does is believed."""
    install(monkeypatch, detector)
    plugged._say_once.cache_clear()
    learners = [make(), make()]
    with caplog.at_level(logging.WARNING):
        for learner in learners:
            for first, last in pairwise(range(0, 421, 20)):
                assert feed(learner, TABLE[first:last], MACHINE, first) == []
            assert (learner.stats["detectors_failed"], learner.closed) == (1, True)
            learner.capture()
            assert learner.twin(learner.state) is None
    (record,) = caplog.records
    assert words in record.getMessage()
    assert "the detector lower does not judge any more, rules go on" in record.getMessage()


def test_one_that_cannot_be_saved_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would come back without its memory; counted as any other failure, at the next rows."""
    install(monkeypatch, Unsaved)
    learner, kept = make(), dict[str, bytes]()
    feed(learner, TABLE[:190], MACHINE)
    save(learner, kept)
    assert feed(learner, TABLE[190:], MACHINE, 190) == []
    assert learner.stats["detectors_failed"] == 1


def test_numbers_of_other_kinds_become_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of numpy are told as ours, so that an alert of them can be written."""
    kinds: Any = np
    blame = Blame("x", kinds.float32(1.5), kinds.int64(1))
    install(monkeypatch, verdict(Judgement(kinds.float32(2.0), kinds.True_, (blame,))))
    raised = feed(make(), TABLE, MACHINE)[0]
    assert msgspec.json.decode(msgspec.json.encode(raised.evidence))[0]["score"] == 1.5


def test_an_alert_that_it_kept_open_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """When it breaks nobody can say any more that the fault goes on; rules that fire keep the alert open."""

    class Later(Lower):
        def one(self, row: Sequence[float | None]) -> Judgement:
            self.fired = getattr(self, "fired", 0) + (self.learnt and (row[0] or 90.0) < 88.0)
            if self.fired > 20:
                raise RuntimeError("tired")
            return super().one(row)

    install(monkeypatch, Later)
    learner = make()
    said = [signal for row in range(300) for signal in feed(learner, TABLE[row : row + 1], MACHINE, row)]
    assert said[-1].firing is False
    assert said[-1].at_ns < 240 * S
    assert not learner.state.switch.firing


def test_one_that_broke_is_tried_again_after_a_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was saved before it broke is still there; one that is not there at a start leaves it for the next."""
    kept: dict[str, bytes] = {}
    install(monkeypatch, Raising)
    learner = make()
    feed(learner, TABLE[:190], MACHINE)
    save(learner, kept)
    assert feed(learner, TABLE[190:210], MACHINE, 190) == []
    for detector in (Lost, Lower):
        state = save(learner, kept)
        install(monkeypatch, detector)
        learner = make(state)
        learner.restore(kept, MACHINE)
        assert learner.stats.get("detectors_failed", 0) == (detector is Lost)
    assert feed(learner, TABLE[210:240], MACHINE, 210)[0].firing


def test_what_was_saved_by_another_method_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration that names another method begins anew, and one of a detector that can't read its snapshot."""
    install(monkeypatch)
    kept: dict[str, bytes] = {}
    learner = make()
    feed(learner, TABLE[:190], MACHINE)
    state = save(learner, kept)
    with pytest.raises(ValueError, match="the method is machine now, not lower"):
        make(state, method="machine").restore(kept, MACHINE)
    with pytest.raises(ValueError, match="can't go on from what was saved"):
        make(state).restore(kept | {"moving/0": b"\xc1" * len(kept["moving/0"])}, MACHINE)


def test_a_flag_without_a_metric_still_makes_an_alert(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not said what would be normal; another detector can take the alert over by its evidence."""
    install(monkeypatch, Nameless)
    raised = feed(make(), TABLE, MACHINE)[0]
    assert raised.cause == "unusual to lower-1.2, which names no metric"
    assert [(evidence.rule, evidence.value) for evidence in raised.evidence] == [("model", None)]


def test_rows_come_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not known or not to be believed is None, and nothing of a row can be changed. A wrong width is ours."""
    seen: list[Sequence[float | None]] = []

    class Watching(Lower):
        def take(self, rows: Sequence[Sequence[float | None]]) -> list[Judgement]:
            seen.extend(rows)
            return [NOT_YET] * len(rows)

    install(monkeypatch, Watching)
    method = PluginMethod("lower", MACHINE)
    method.take([[float("nan"), 1e300, None], [1.0, float("-inf"), 2.0]])
    assert seen == [(None, None, None), (1.0, None, 2.0)]
    assert np.isnan(method.warmup[0]).all()
    with pytest.raises(ValueError, match="width"):
        method.take([[1.0]])


def test_a_detector_that_never_learns_does_not_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a bound its warm-up is kept no more, whatever it says."""
    monkeypatch.setattr(plugged, "MOST_WARM", 200)
    install(monkeypatch, type("Never", (Lower,), {"learnt": False}))
    learner = make()
    feed(learner, TABLE, MACHINE)
    assert (learner.learnt, len(learner.scoring.warmup)) == (True, 0)


@pytest.mark.parametrize("error", [PluginMissing("gone"), ConfigError("no detector is named 'lower'")])
def test_one_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, error: ConfigError) -> None:
    """Neither its name nor its module is there: rules go on."""

    def find(name: str) -> None:
        raise error

    monkeypatch.setattr(plugged, "find_detector", find)
    learner = make()
    assert feed(learner, TABLE, MACHINE) == []
    assert (learner.stats["detectors_failed"], learner.stats["trained"]) == (1, 0)


def test_settings_of_another_kind_are_a_failure_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration that nobody has checked does not stop the agent."""
    install(monkeypatch)
    assert PluginMethod("lower", MACHINE, {"limit": "high"}).failures == 1
    assert PluginMethod("lower", MACHINE, {"limit": 2.0}).failures == 0
