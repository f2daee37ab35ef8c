"""Models of a class through a detector: offered, bound to each asset's own channels, tried, and begun with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
import pytest

from edgemesh.agents.detector import DetectorCore
from edgemesh.detect.classes.files import make_class
from edgemesh.detect.classes.numbers import learn_class
from edgemesh.detect.models.files import pack_model, read_model
from edgemesh.detect.models.kinds import find_kind
from edgemesh.detect.models.provenance import About, Base
from edgemesh.detect.models.settings import ProfileSettings
from edgemesh.detect.rollout.stages import RolloutSettings
from edgemesh.detect.settings import DetectSettings, ModelSettings
from edgemesh.model.agents import Asset
from edgemesh.model.alerts import Alert
from edgemesh.model.ids import derive_id
from edgemesh.model.orders import Verdict
from edgemesh.model.packs import Readings
from edgemesh.model.rollouts import ModelOffer, ModelState, RolloutStage
from edgemesh.model.samples import Batch
from edgemesh.model.settings import Seconds
from edgemesh.model.verdicts import OrderVerdict, Verdicts

S = 10**9
METRICS, UNITS = ("flow", "current", "velocity"), ("m3/h", "A", "mm/s")
KINDS = tuple(find_kind(*each) for each in zip(METRICS, UNITS, strict=True))
PROFILE = ProfileSettings(train_rows=200, trees=10, subsample=32, trim=False)
MODEL = ModelSettings(machine=PROFILE)
ROLLOUT = RolloutSettings(shadow_rows=30, shadow_for=Seconds(30.0), canary_for=Seconds(40.0), excess_for=Seconds(10.0))
SHORT = 60


def calm(seed: int, rows: int = 400) -> np.ndarray:
    chance = np.random.default_rng(seed)
    return np.asarray(chance.uniform(0.8, 1.2) * (chance.normal(size=(rows, 3)) + np.array([90.0, 22.0, 13.0])))


def class_file(version: int = 1, units: Sequence[str] = UNITS) -> bytes:
    numbers = learn_class([calm(seed) for seed in range(4)], METRICS, KINDS, PROFILE, SHORT)
    assert numbers is not None
    return make_class("pump", numbers, units, KINDS, ["a", "b"], About(version, 1600, 5, 6, 7, {}))


CLASS = class_file()


def offer(asset: str, content: bytes = CLASS, *, revision: int = 1, version: int = 1) -> ModelOffer:
    packed = pack_model(content)
    return ModelOffer(asset=asset, revision=revision, at_ns=0, version=version, content=packed, asset_class="pump")


@dataclass
class Hall:
    """A detector over pumps, of which each pack has rows of some; and what came of it."""

    model: ModelSettings = MODEL
    classes: dict[str, str] = field(default_factory=dict)
    parts: dict[str, bytes] = field(default_factory=dict)
    said: list[ModelState] = field(default_factory=list)
    offers: dict[str, ModelOffer] = field(default_factory=dict)
    seq: int = 0
    devices: tuple[str, ...] = ("sensor-{asset}",)
    metrics: tuple[str, ...] = METRICS
    period_s: int = 1
    core: DetectorCore = field(init=False)

    def __post_init__(self) -> None:
        self.core = self.make()

    def make(self) -> DetectorCore:
        names = {f"p{k}": "pump" for k in range(4)} | self.classes
        assets = {name: Asset(id=name, asset_class=kind) for name, kind in names.items()}
        return DetectorCore("det", "plant", DetectSettings(model=(self.model,), rollout=ROLLOUT), assets)

    def feed(self, tables: dict[str, np.ndarray], first: int, last: int) -> list[Alert]:
        made: list[Alert] = []
        for row in range(first, last):
            self.seq += 1
            records = tuple(
                Batch(
                    device=device.format(asset=asset),
                    asset=asset,
                    metrics=self.metrics,
                    units=UNITS[: len(self.metrics)],
                    at_ns=(row * self.period_s * S,),
                    values=tuple((float(value),) for value in table[row][: len(self.metrics)]),
                )
                for asset, table in tables.items()
                for device in self.devices
            )
            made += self.core.tick(row * self.period_s * S)
            made += self.core.handle(Readings(agent="gw", epoch="e", seq=self.seq, lowest=1, at_ns=0, records=records))
            self.keep()
        return made

    def hear(self, heard: ModelOffer) -> None:
        self.core.handle(heard)
        self.keep()

    def keep(self) -> None:
        for name, content in self.core.save().items():
            self.parts.pop(name, None) if content is None else self.parts.update({name: content})
        for news in self.core.news().values():
            if isinstance(news, ModelState):
                self.said.append(news)
            elif isinstance(news, ModelOffer):
                self.offers[news.asset] = news

    def restart(self) -> None:
        self.core = self.make()
        self.core.load(self.parts)

    def stages(self, asset: str) -> list[str]:
        found = [state.stage.value for state in self.said if state.asset == asset]
        return [stage for k, stage in enumerate(found) if not k or found[k - 1] != stage]

    def reason(self, asset: str) -> str:
        return [state.reason for state in self.said if state.asset == asset][-1]


def test_assets_that_have_learnt_try_the_class_and_use_it() -> None:
    """Each binds its own channels: shadow, canary, in use; version one higher than its own; alerts name it."""
    hall, tables = Hall(), {"p0": calm(20), "p1": calm(21)}
    for table in tables.values():
        table[320:, 0] *= 0.9
    hall.feed(tables, 0, 210)
    for asset in tables:
        hall.hear(offer(asset))
    alerts = hall.feed(tables, 210, 340)
    for asset in tables:
        assert hall.stages(asset) == ["shadow", "canary", "promoted"]
        file, _ = read_model(hall.core.model(asset, version=0, now_ns=0) or b"")
        assert (file.version, file.channels[0].device) == (2, f"sensor-{asset}")
        assert isinstance(file.base, Base)
        assert file.base.name == "pump"
    raised = [alert for alert in alerts if alert.version == 1]
    assert {alert.asset for alert in raised} == set(tables)
    assert all(alert.model.startswith("profile-2@") for alert in raised)


def test_a_newcomer_waits_for_a_short_warm_up() -> None:
    """After 60 rows instead of 200 it judges by the class, as a canary; a restart on the way changes nothing."""
    hall, tables = Hall(), {"p0": calm(30)}
    tables["p0"][130:, 0] *= 0.9
    hall.hear(offer("p0"))
    hall.feed(tables, 0, 59)
    assert hall.stages("p0") == ["waiting"]
    hall.restart()
    hall.feed(tables, 59, 61)
    assert hall.stages("p0") == ["waiting", "canary"]
    hall.restart()
    alerts = hall.feed(tables, 61, 150)
    assert hall.stages("p0") == ["waiting", "canary", "promoted"]
    assert [alert.evidence[0].metric for alert in alerts if alert.version == 1] == ["flow"]
    assert hall.core.model("p0", version=0, now_ns=0) is not None


@pytest.mark.parametrize(("scope", "begins"), [("class", True), ("asset", False)])
def test_who_comes_later_begins_with_what_its_class_has_in_use(scope: str, begins: bool) -> None:
    """With `scope = "class"` a pump that was offered nothing is offered what another pump has in use."""
    model = msgspec.structs.replace(MODEL, scope=scope)
    hall, tables = Hall(model, {"m1": "motor"}), {"p0": calm(40), "p1": calm(41), "m1": calm(42)}
    hall.hear(offer("p0"))
    hall.feed({"p0": tables["p0"]}, 0, 110)
    assert hall.stages("p0")[-1] == "promoted"
    hall.restart()
    hall.feed(tables, 110, 175)
    assert hall.stages("p1") == (["waiting", "canary"] if begins else [])
    assert ("p1" in hall.offers) == begins
    assert "m1" not in hall.offers


def test_what_has_failed_with_a_newcomer_is_not_tried_again() -> None:
    """A class model that is rolled back leaves the asset to its own warm-up."""
    hall, table = Hall(msgspec.structs.replace(MODEL, scope="class")), calm(50)
    table[60:100, 0] *= 0.8
    hall.hear(offer("p0"))
    hall.feed({"p0": calm(51)}, 0, 110)
    hall.feed({"p1": table}, 0, 140)
    assert hall.stages("p1") == ["waiting", "canary", "rolled_back"]
    hall.feed({"p1": table}, 140, 399)
    assert hall.stages("p1")[-1] == "rolled_back"
    file, _ = read_model(hall.core.model("p1", version=0, now_ns=0) or b"")
    assert (file.version, file.base) == (1, msgspec.UNSET)


def test_what_does_not_fit_is_refused_with_a_reason() -> None:
    """Another class, another unit, a role too many, two devices that can't be told apart: said, and nothing changes."""
    hall = Hall(classes={"m1": "motor"})
    tables = {"p0": calm(60), "m1": calm(61)}
    hall.feed(tables, 0, 70)
    hall.hear(offer("m1"))
    assert "m1 is a motor" in hall.reason("m1")
    hall.hear(offer("p0", class_file(units=("L/min", "A", "mm/s"))))
    assert hall.reason("p0") == "flow is in m3/h, the class knows it in L/min"
    hall.hear(offer("p0", revision=2, version=9))
    assert "offered as pump, version 9" in hall.reason("p0")
    twins = Hall(devices=("s1", "s2"))
    twins.hear(offer("p0"))
    twins.feed({"p0": calm(62)}, 0, 70)
    assert "several devices of p0 have flow" in twins.reason("p0")
    assert 'places = { "s1"' in twins.reason("p0")
    lacking = Hall(metrics=METRICS[:2])
    lacking.hear(offer("p0"))
    lacking.feed({"p0": calm(63)}, 0, 90)
    assert lacking.stages("p0") == ["waiting"]
    assert lacking.reason("p0") == "not all of its roles have come yet"
    slow = Hall(metrics=METRICS[:1], period_s=60)
    slow.hear(offer("p0"))
    slow.feed({"p0": calm(64)}, 0, 30)
    assert "a slow series" in slow.reason("p0")
    for each in (hall, twins, lacking, slow):
        assert RolloutStage.CANARY not in {state.stage for state in each.said}


def test_the_same_version_again_is_nothing_new_and_an_older_one_refused() -> None:
    """Pushed again while on trial it goes on; once in use it is in use; version 1 after version 2 is refused."""
    hall, tables = Hall(), {"p0": calm(70)}
    second = class_file(2)
    hall.feed(tables, 0, 205)
    hall.hear(offer("p0", second, version=2))
    hall.feed(tables, 205, 215)
    hall.hear(offer("p0", second, revision=2, version=2))
    hall.feed(tables, 215, 290)
    assert hall.stages("p0") == ["shadow", "canary", "promoted"]
    hall.hear(offer("p0", second, revision=3, version=2))
    assert hall.reason("p0") == "it was in use already"
    hall.hear(offer("p0", revision=4))
    assert hall.reason("p0") == "version 1 is not newer than version 2, which is in use"


def test_who_takes_an_asset_over_has_its_class_after_a_short_warm_up() -> None:
    """What another detector has in use is used at once after 60 rows; what has failed with it is not tried."""
    for stage, stages in (
        (RolloutStage.PROMOTED, ["waiting", "promoted"]),
        (RolloutStage.ROLLED_BACK, ["rolled_back"]),
    ):
        hall = Hall()
        known = ModelState(
            asset="p0", agent="other", revision=1, version=1, used=1, stage=stage, since_ns=0, reason="alerts"
        )
        hall.core.handle(known)
        hall.hear(offer("p0"))
        hall.feed({"p0": calm(90)}, 0, 70)
        assert hall.stages("p0") == stages


def test_a_replaced_part_begins_with_the_class_again() -> None:
    """With `scope = "class"` the new part is judged after 60 rows of its own, though the class is older than it."""
    hall, table = Hall(msgspec.structs.replace(MODEL, scope="class")), calm(95)
    table[150:] *= 1.5
    hall.hear(offer("p0"))
    hall.feed({"p0": table}, 0, 150)
    assert hall.stages("p0")[-1] == "promoted"
    order, alert = derive_id("order", "1"), derive_id("alert", "1")
    verdict = OrderVerdict(order=order, alert=alert, verdict=Verdict.REPLACED_PART, at_ns=150 * S, learnt=True)
    hall.core.handle(Verdicts(asset="p0", verdicts=(verdict,)))
    assert hall.core.model("p0", version=0, now_ns=0) is None
    hall.feed({"p0": table}, 150, 280)
    assert hall.stages("p0")[-3:] == ["waiting", "canary", "promoted"]
    file, _ = read_model(hall.core.model("p0", version=0, now_ns=0) or b"")
    flow = next(channel for channel in file.channels if channel.metric == "flow")
    assert flow.low is not None
    assert flow.low > 1.3 * table[:150, 0].mean()


def test_a_model_of_no_class_is_written_as_before() -> None:
    """Its file names no base, so that seals of files from before there were classes still fit."""
    hall = Hall()
    hall.feed({"p0": calm(99)}, 0, 201)
    content = hall.core.model("p0", version=0, now_ns=0) or b""
    assert b'"base"' not in content
    assert read_model(content)[0].about.base is None


def test_devices_that_share_their_metrics_are_told_apart_by_their_places() -> None:
    """By what is left of their names, or by `places`: the same model is bound to both pumps, each sensor to its own."""
    roles = [f"{place}/{metric}" for place in ("de", "nde") for metric in METRICS]
    tables = [np.concatenate([calm(seed), 2.0 * calm(seed + 50)], axis=1) for seed in range(4)]
    numbers = learn_class(tables, roles, KINDS * 2, PROFILE, SHORT)
    assert numbers is not None
    content = make_class("pump", numbers, UNITS * 2, KINDS * 2, ["a"], About(1, 1600, 5, 6, 7, {}))
    named = Hall(devices=("p0-de", "p0-nde"))
    told = Hall(msgspec.structs.replace(MODEL, places={"s1": "nde", "s*": "de"}), devices=("s2", "s1"))
    for hall, nde in ((named, "p0-nde"), (told, "s1")):
        hall.hear(offer("p0", content))
        hall.feed({"p0": calm(7)}, 0, 61)
        assert hall.stages("p0") == ["waiting", "canary"]
        file, profile = read_model(hall.core.model("p0", version=0, now_ns=0) or b"")
        place = profile.file.fast[numbers.fast.index(numbers.roles.index("nde/velocity"))]
        assert profile.file.channels[place] == f"{nde}/velocity"
        assert {channel.device for channel in file.channels} == set(hall.devices)
