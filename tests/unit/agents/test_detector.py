"""The detector's core."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemesh.agents.detector import DetectorCore
from edgemesh.detect.models.settings import ProfileSettings
from edgemesh.detect.settings import DetectSettings, LimitRule, ModelSettings, SilentRule, StuckRule
from edgemesh.model.agents import Asset
from edgemesh.model.alerts import Alert, AlertKind, AlertState, Severity
from edgemesh.model.packs import Alerts, Readings
from edgemesh.model.samples import Batch, Quality
from edgemesh.model.settings import Seconds

S = 10**9
MODEL = ModelSettings(exclude=("running",), machine=ProfileSettings(train_rows=100, trees=10, subsample=32))
RULES = (
    LimitRule(name="flow low", metric="flow", below=78.0, clear=80.0, hold=Seconds(2), clear_hold=Seconds(2)),
    LimitRule(name="flow very low", metric="flow", below=50.0, clear=55.0, severity=Severity.CRITICAL),
    SilentRule(name="silent", after=Seconds(10)),
    StuckRule(name="stuck", samples=10),
)
SETTINGS = DetectSettings(rule=RULES, model=(MODEL,))
LIMITS = DetectSettings(rule=RULES)
ASSETS = {"P-1": Asset(id="P-1", asset_class="pump")}


def make_core(settings: DetectSettings = LIMITS) -> DetectorCore:
    return DetectorCore("det", "plant", settings, ASSETS)


def pack(
    seq: int,
    at_s: Sequence[int],
    flow: Sequence[float | None],
    *,
    asset: str = "P-1",
    device: str = "pump7",
    metric: str = "flow",
    epoch: str = "e1",
    gateway: str = "gw",
    quality: Quality | None = None,
) -> Readings:
    batch = Batch(
        device=device,
        asset=asset,
        metrics=(metric,),
        units=("m3/h",),
        at_ns=tuple(at * S for at in at_s),
        values=(tuple(flow),),
        quality=None if quality is None else ((quality,) * len(at_s),),
    )
    return Readings(agent=gateway, epoch=epoch, seq=seq, lowest=1, at_ns=0, records=(batch,))


@dataclass
class Plant:
    """A core with a clock: each call of `feed` is one second and one pack per sample."""

    core: DetectorCore
    now_s: int = 1000
    seq: int = 0
    alerts: list[Alert] = field(default_factory=list)

    def feed(self, *values: float | None, device: str = "pump7", quality: Quality | None = None) -> list[Alert]:
        made: list[Alert] = []
        for value in values:
            made += self.wait(1)
            self.seq += 1
            made += self.core.handle(pack(self.seq, [self.now_s], [value], device=device, quality=quality))
        self.alerts += made
        return made

    def wait(self, seconds: int) -> list[Alert]:
        made: list[Alert] = []
        for _ in range(seconds):
            self.now_s += 1
            made += self.core.tick(self.now_s * S)
        return made


def noise(count: int, level: float = 90.0, seed: int = 1) -> list[float]:
    return [level + 0.5 * value for value in np.random.default_rng(seed).normal(size=count).tolist()]


def test_one_fault_is_one_alert() -> None:
    """Two rules and many samples: one alert, a new version for each rule that joins and none for mere samples."""
    plant = Plant(make_core())
    plant.feed(90.0, 70.0, 69.0, 68.0, 67.0, 66.0, 45.0, 44.0, 43.0, 60.0, 60.0, 90.0, 90.0, 90.0, 90.0)
    assert [(alert.version, alert.state.value, alert.severity.value) for alert in plant.alerts] == [
        (1, "firing", "warning"),
        (2, "firing", "critical"),
        (3, "cleared", "critical"),
    ]
    assert len({alert.id for alert in plant.alerts}) == 1
    first, second, last = plant.alerts
    assert first.cause == "flow 68 m3/h, normal > 78"
    assert first.origin == "gw/e1/4"
    assert (first.onset_at_ns, first.raised_at_ns) == (1002 * S, 1004 * S)
    assert last.cleared_at_ns == 1014 * S
    assert [evidence.rule for evidence in second.evidence] == ["flow low", "flow very low"]
    assert (first.asset, first.gateway, first.model, first.kind) == ("P-1", "gw", "rules", AlertKind.MACHINE)
    assert (plant.core.stats["alerts_raised"], plant.core.stats["alerts_cleared"]) == (1, 1)


def test_the_same_pack_twice_is_once() -> None:
    """A redelivered pack gives no record and changes nothing; a new epoch starts over and the old one is remembered."""
    core = make_core()
    first, second = pack(1, [1, 2, 3], [70.0] * 3), pack(2, [4], [70.0])
    assert len(core.handle(first)) == 1
    core.save()
    assert core.handle(first) == []
    assert core.save() == {}
    assert core.handle(second) == []
    assert core.handle(pack(1, [5], [45.0], epoch="e2")) != []
    assert core.handle(second) == []
    assert core.stats["packs_repeated"] == 2


def test_other_packs_are_none_of_its_business() -> None:
    """Alerts of other detectors give no records."""
    assert make_core().handle(Alerts(agent="det", epoch="0", seq=1, lowest=1, at_ns=0, records=())) == []


def test_a_silent_device_is_one_alert_until_it_is_back() -> None:
    """By the receiver's clock, whatever the samples' times say; late and bad samples do not bring it back."""
    plant = Plant(make_core())
    plant.feed(90.0, 90.0)
    made = plant.wait(30)
    assert [(alert.kind, alert.state) for alert in made] == [(AlertKind.SILENT, AlertState.FIRING)]
    assert made[0].cause == "pump7 silent for 11 s, normal < 10 s"
    plant.seq += 1
    assert plant.core.handle(pack(plant.seq, list(range(20)), [90.0] * 20)) == []
    assert plant.feed(90.0, 90.0, 90.0, quality=Quality.BAD) == []
    (cleared,) = plant.feed(90.0, 90.0, 90.0, 90.0)
    assert (cleared.id, cleared.state, cleared.cleared_at_ns) == (made[0].id, AlertState.CLEARED, (plant.now_s - 1) * S)
    assert [alert.version for alert in plant.wait(30)] == [1]


def test_a_machine_alert_outlives_its_silent_device() -> None:
    """No news is no good news."""
    plant = Plant(make_core())
    (raised,) = plant.feed(70.0, 70.0, 70.0)
    assert [alert.kind for alert in plant.wait(60)] == [AlertKind.SILENT]
    kinds = {alert.kind for alert in plant.core.present(None).values() if isinstance(alert, Alert)}
    assert kinds == {AlertKind.MACHINE, AlertKind.SILENT}
    assert f"state/alert/{raised.id}" in plant.core.present(None)


def test_time_that_nobody_watched_makes_no_device_silent() -> None:
    """A restart, a suspended process or a clock that was set costs five seconds of patience at most."""
    core = make_core()
    core.tick(1000 * S)
    core.handle(pack(1, [1], [90.0]))
    assert core.tick(90_000 * S) == []
    assert core.stats["seconds_unwatched"] == 88_995.0
    assert core.tick(90_005 * S) == []
    assert [alert.kind for alert in core.tick(90_006 * S)] == [AlertKind.SILENT]


def test_a_stuck_sensor_is_no_broken_machine() -> None:
    """One alert about the sensor; the limits on its metric stay quiet and what it says is not believed."""
    plant = Plant(make_core())
    plant.feed(*noise(100), *[79.0] * 20)
    assert [(alert.kind, alert.cause.split(" for ")[0]) for alert in plant.alerts] == [
        (AlertKind.SENSOR, "flow of pump7 stuck at 79 m3/h")
    ]
    rule = msgspec.structs.replace(RULES[0], hold=Seconds(60))
    plant = Plant(make_core(DetectSettings(rule=(rule, RULES[3]))))
    plant.feed(*noise(100), *[70.0] * 200)
    assert [alert.kind for alert in plant.alerts] == [AlertKind.SENSOR]
    plant.feed(*noise(10))
    assert [alert.state for alert in plant.alerts] == [AlertState.FIRING, AlertState.CLEARED]


def test_the_model_does_not_believe_a_stuck_sensor() -> None:
    """What it took for a broken machine is over once the sensor is known to be stuck, at whatever value."""
    plant = Plant(make_core(DetectSettings(rule=RULES[3:], model=(MODEL,))))
    plant.feed(*noise(130), *[85.0] * 100)
    assert [(alert.kind, alert.state) for alert in plant.alerts] == [
        (AlertKind.MACHINE, AlertState.FIRING),
        (AlertKind.SENSOR, AlertState.FIRING),
        (AlertKind.MACHINE, AlertState.CLEARED),
    ]


@pytest.mark.parametrize(("rows", "alarms"), [(4000, 0), (20, 1)])
def test_the_baseline_follows_slow_change_only(rows: int, alarms: int) -> None:
    """A drift of twelve spreads over 4,000 rows is the seasons; the same in 20 rows is a fault."""
    core = make_core(DetectSettings(model=(ModelSettings(machine=ProfileSettings(trees=20)),)))
    drift = [value + 2.0 * min(1.0, max(0, i - 400) / rows) for i, value in enumerate(noise(4400, seed=9))]
    alerts = core.handle(pack(1, range(4400), drift))
    assert len(alerts) == alarms


def test_the_model_learns_and_tells_which_sensor_and_by_how_much() -> None:
    """After the warm-up a fall that no rule knows is one alert with the model's version, cleared when it is over."""
    core = make_core(DetectSettings(model=(MODEL,)))
    alerts = core.handle(pack(1, range(150), noise(150)))
    alerts += core.handle(pack(2, range(150, 190), noise(40, 80.0, seed=2)))
    alerts += core.handle(pack(3, range(190, 290), noise(100, seed=3)))
    raised, cleared = alerts
    assert (raised.kind, raised.state, cleared.state) == (AlertKind.MACHINE, AlertState.FIRING, AlertState.CLEARED)
    assert 150 * S <= raised.onset_at_ns <= raised.raised_at_ns <= 155 * S
    assert cleared.cleared_at_ns is not None
    assert 220 * S <= cleared.cleared_at_ns <= 260 * S
    assert raised.model.startswith("profile-1@")
    evidence = raised.evidence[0]
    assert (evidence.rule, evidence.metric, evidence.device) == ("model", "flow", "pump7")
    low, high = (float(text) for text in evidence.normal.removesuffix(" m3/h").split(" to "))
    assert low < 90.0 < high
    assert evidence.value is not None
    assert evidence.value < low
    assert evidence.score > 1.0
    assert raised.cause == f"flow {evidence.value:.4g} m3/h, normal {evidence.normal}"
    assert 0.5 <= raised.confidence < 1.0


def test_nothing_is_learnt_while_a_rule_says_that_it_is_broken() -> None:
    """A fault in the warm-up is not taken for normal."""
    core = make_core(SETTINGS)
    core.handle(pack(1, range(30), noise(30)))
    core.handle(pack(2, range(30, 130), noise(100, 60.0)))
    assert core.stats["trained"] == 0
    core.handle(pack(3, range(130, 140), noise(10, seed=5)))
    core.handle(pack(4, range(140, 200), noise(60, seed=6)))
    assert core.stats["trained"] == 1


def test_channels_that_come_after_the_warm_up_are_counted() -> None:
    """The model goes on without them, each is counted once; a gate that is closed lets no row through."""
    gated = msgspec.structs.replace(MODEL, gate="running", gate_for=Seconds(0))
    core = make_core(DetectSettings(model=(gated,)))

    def row(seq: int, running: float, *, more: bool = False) -> Readings:
        metrics = ("flow", "running", "pressure", "speed")[: 4 if more else 2]
        values = ((noise(1, seed=seq)[0],), (running,), (float(seq),), (1.0,))[: len(metrics)]
        units = ("1",) * len(metrics)
        batch = Batch(device="d", asset="P-1", metrics=metrics, units=units, at_ns=(seq * S,), values=values)
        return Readings(agent="gw", epoch="e1", seq=seq, lowest=1, at_ns=0, records=(batch,))

    for seq in range(1, 201):
        core.handle(row(seq, float(seq > 120)))
    assert core.stats["trained"] == 0
    for seq in range(201, 241):
        core.handle(row(seq, 1.0, more=seq > 230))
    assert (core.stats["trained"], core.stats["channels_ignored"]) == (1, 2)
    judged = core.stats["rows"]
    core.handle(row(241, 0.0))
    assert core.stats["rows"] == judged


def test_rules_work_during_the_warm_up() -> None:
    """Limits need no learning."""
    core = make_core(SETTINGS)
    (alert,) = core.handle(pack(1, range(5), [70.0] * 5))
    assert alert.model == "rules"


def test_present_shows_what_stands_and_empties_what_is_over() -> None:
    """One retained topic per open alert, emptied when it clears; all of them after a restart."""
    core = make_core()
    raised = core.handle(pack(1, range(5), [70.0] * 5))
    topic = f"state/alert/{raised[0].id}"
    assert core.present(raised) == core.present(None) == {topic: raised[0]}
    cleared = core.handle(pack(2, range(5, 10), [90.0] * 5))
    assert core.present(cleared) == {topic: None}
    assert core.present(None) == {}


def restored(core_parts: dict[str, bytes], settings: DetectSettings) -> DetectorCore:
    core = make_core(settings)
    core.load(core_parts)
    return core


def save_into(parts: dict[str, bytes], core: DetectorCore) -> None:
    for key, content in core.save().items():
        if content is None:
            del parts[key]
        else:
            parts[key] = content


def test_what_is_saved_is_small_and_only_what_changed() -> None:
    """A kilobyte or two of state, the chunk in work, the model once; afterwards the warm-up is gone."""
    core = make_core(SETTINGS)
    core.handle(pack(1, range(30), noise(30)))
    parts = core.save()
    assert set(parts) == {"asset/P-1/state", "asset/P-1/warmup/0", "log/gw", "clock"}
    assert parts["asset/P-1/warmup/0"] == np.array(noise(30), dtype="<f8").tobytes()
    assert core.save() == {}
    core.handle(pack(2, range(30, 130), noise(100, seed=2)))
    parts = core.save()
    assert parts["asset/P-1/warmup/0"] is None
    assert parts["asset/P-1/model"] is not None
    core.handle(pack(3, range(130, 140), noise(10, seed=3)))
    parts = core.save()
    own = {key.removeprefix("asset/P-1/"): len(content or b"") for key, content in parts.items() if "P-1" in key}
    assert {key.partition("/")[0] for key in own} == {"state", "moving", "tail"}
    assert len(own) <= 4
    assert sum(own.values()) < 3000


def test_a_damaged_model_is_begun_anew() -> None:
    """A model that can't be believed is counted and learnt again; rules and alerts go on."""
    parts: dict[str, bytes] = {}
    core = make_core(SETTINGS)
    core.handle(pack(1, range(150), noise(150)))
    save_into(parts, core)
    parts["asset/P-1/model"] = parts["asset/P-1/model"].replace(b'"v":1', b'"v":7')
    again = restored(parts, SETTINGS)
    assert again.stats["models_refused"] == 1
    again.tick(S)
    save_into(parts, again)
    assert {key for key in parts if key.startswith("asset/P-1/")} == {"asset/P-1/state"}
    assert restored(parts, SETTINGS).stats["models_refused"] == 0
    again.handle(pack(2, range(150, 300), noise(150, seed=2)))
    assert again.stats["trained"] == 1
    assert again.stats["models_refused"] == 1
    parts["asset/P-1/state"] = b"{"
    assert restored(parts, SETTINGS).stats["parts_refused"] == 1


def test_a_rule_that_is_gone_keeps_no_alert_open() -> None:
    """After a change of configuration what nobody watches any more is cleared at the first tick."""
    parts: dict[str, bytes] = {}
    core = make_core()
    (raised,) = core.handle(pack(1, range(5), [70.0] * 5))
    save_into(parts, core)
    again = restored(parts, DetectSettings(rule=RULES[2:]))
    (cleared,) = again.tick(50 * S)
    assert (cleared.id, cleared.version, cleared.state) == (raised.id, 2, AlertState.CLEARED)


def test_alerts_go_on_at_another_detector() -> None:
    """Adopted alerts keep id and version until the machine is found well; those of rules unheard of end as
    soon as we are where the owner before was.
    """
    old = make_core(SETTINGS)
    alerts = old.handle(pack(1, range(5), [70.0] * 5)) + old.handle(pack(2, [5], [71.0], device="other"))
    new = make_core(SETTINGS)
    foreign = msgspec.structs.replace(
        alerts[0],
        asset="P-2",
        evidence=(msgspec.structs.replace(alerts[0].evidence[0], rule="unheard of"),),
    )
    new.adopt("gw", [alerts[0], foreign])
    assert new.tick(S) == []
    assert new.handle(pack(1, [6, 7], [70.0] * 2)) == []
    assert [(alert.asset, alert.state) for alert in new.tick(2 * S)] == [("P-2", AlertState.CLEARED)]
    (cleared,) = new.handle(pack(2, range(8, 12), [90.0] * 4))
    assert (cleared.id, cleared.version, cleared.state) == (alerts[0].id, 2, AlertState.CLEARED)


def test_silent_and_model_alerts_go_on_too() -> None:
    """An adopted silence ends with three samples; an adopted alert of a model once the new model finds nothing."""
    plant = Plant(make_core(SETTINGS))
    plant.feed(90.0)
    (silent,) = plant.wait(20)
    core = make_core(DetectSettings(model=(MODEL,)))
    core.handle(pack(1, range(150), noise(150)))
    (strange,) = core.handle(pack(2, range(150, 180), noise(30, 80.0, seed=2)))
    new = Plant(make_core(SETTINGS))
    new.core.adopt("gw", [silent, strange])
    assert new.wait(1) == []
    assert [alert.id for alert in new.feed(*noise(4))] == [silent.id]
    (cleared,) = [alert for alert in new.feed(*noise(130, seed=8)) if alert.kind is AlertKind.MACHINE]
    assert (cleared.id, cleared.version, cleared.state) == (strange.id, 2, AlertState.CLEARED)


def test_a_released_gateway_is_forgotten() -> None:
    """Another detector owns it: nothing of it stays in state, topics or parts; other gateways stay."""
    core = make_core(SETTINGS)
    parts: dict[str, bytes] = {}
    core.handle(pack(1, range(5), [70.0] * 5))
    core.handle(pack(1, range(5), noise(5), asset="P-2", gateway="gw2"))
    save_into(parts, core)
    core.release("gw")
    save_into(parts, core)
    assert {key.partition("/")[2] for key in parts if key != "clock"} == {"gw2", "P-2/state", "P-2/warmup/0"}
    assert core.present(None) == {}
    assert core.handle(pack(1, range(5), [70.0] * 5)) != []


@pytest.mark.parametrize("value", [1e308, -1e308, 5e-324, math.nan, math.inf, -math.inf, None])
def test_any_value_is_survived(value: float | None) -> None:
    """Extremes, and what the wire would never let through, raise no exception in warm-up, scoring or rules."""
    for each in (SETTINGS, DetectSettings(model=(MODEL,))):
        core = make_core(each)
        core.handle(pack(1, range(40), [*noise(39), value]))
        core.handle(pack(2, range(40, 130), [*noise(89), value]))
        core.handle(pack(3, range(130, 140), [value] * 10))
        core.save()
    assert core.stats["trained"] == 1


SAMPLES = st.lists(st.sampled_from([90.1, 90.2, 89.9, 90.4, 79.0, 70.0, 45.0, None]), min_size=1, max_size=12)
STEP = st.one_of(
    st.tuples(st.just("tick"), st.integers(1, 12)),
    st.tuples(st.just("pack"), SAMPLES, st.sampled_from(["pump7", "motor7"]), st.integers(-3, 2)),
    st.tuples(st.just("calm"), st.integers(40, 70)),
)
STEPS = st.lists(STEP, max_size=10)


def play(core: DetectorCore, steps: Sequence[tuple], start: int = 0, twice: bool = False) -> list[list[Alert]]:  # type: ignore[type-arg]
    """What each step brings about; `start` steps have been played already (time and numbers go on)."""
    made = []
    at_s = now_s = 1000
    for seq, step in enumerate(steps, start=1):
        alerts: list[Alert] = []
        if step[0] == "tick":
            now_s += step[1]
            alerts = core.tick(now_s * S) if seq > start else []
        else:
            values = step[1] if step[0] == "pack" else noise(step[1], seed=seq)
            device, lag = (step[2], step[3]) if step[0] == "pack" else ("pump7", 0)
            at = [at_s + lag + i for i in range(len(values))]
            at_s += len(values)
            if seq > start:
                alerts = core.handle(pack(seq, [max(0, t) for t in at], values, device=device))
                if twice:
                    assert core.handle(pack(seq, [max(0, t) for t in at], values, device=device)) == []
        made.append(alerts)
    return made


@settings(deadline=None, max_examples=60)
@given(STEPS)
def test_replay_is_equal_and_twice_is_once(steps: list[tuple]) -> None:  # type: ignore[type-arg]
    """The same packs and ticks give the same alerts with the same ids, also when every pack comes twice."""
    assert play(make_core(SETTINGS), steps) == play(make_core(SETTINGS), steps, twice=True)


@settings(deadline=None, max_examples=60)
@given(STEPS, st.integers(0, 10))
def test_a_restart_is_not_noticed(steps: list[tuple], cut: int) -> None:  # type: ignore[type-arg]
    """Saved after every step and loaded at any point, a core goes on as if never stopped."""
    whole = play(make_core(SETTINGS), steps)
    parts: dict[str, bytes] = {}
    first = make_core(SETTINGS)
    for k in range(min(cut, len(steps))):
        play(first, steps[: k + 1], start=k)
        save_into(parts, first)
    assert play(restored(parts, SETTINGS), steps, start=cut)[cut:] == whole[cut:]


@settings(deadline=None, max_examples=40)
@given(STEPS)
def test_at_most_one_alert_of_a_kind_stands(steps: list[tuple]) -> None:  # type: ignore[type-arg]
    """Per asset one machine, one sensor and one silent alert, and `present` follows what was said."""
    core = make_core(SETTINGS)
    topics: dict[str, object] = {}
    for k in range(len(steps)):
        (*_, alerts) = play(core, steps[: k + 1], start=k)
        topics.update(core.present(alerts))
        standing = {topic: alert for topic, alert in topics.items() if alert is not None}
        assert standing == core.present(None)
        kinds = [alert.kind for alert in standing.values() if isinstance(alert, Alert)]
        assert len(kinds) == len(set(kinds))


@settings(deadline=None, max_examples=30)
@given(st.permutations(["P-1", "P-2", "P-3"]))
def test_a_permuted_fleet_gives_the_same_alerts(order: list[str]) -> None:
    """What one asset does changes nothing for another."""
    core = make_core(SETTINGS)
    alerts = [
        alert
        for seq, asset in enumerate(order, start=1)
        for alert in core.handle(pack(seq, range(90), [*noise(80), *[70.0] * 10], asset=asset))
    ]
    alone = [
        make_core(SETTINGS).handle(pack(seq, range(90), [*noise(80), *[70.0] * 10], asset=asset))
        for seq, asset in enumerate(order, start=1)
    ]
    assert alerts == [alert for part in alone for alert in part]
    assert {alert.asset for alert in alerts} == set(order)
