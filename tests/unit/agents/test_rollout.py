"""Rollout of models through a detector: offers in, shadow, canary, and what is said of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemesh.agents.detector import DetectorCore
from edgemesh.detect.models.files import pack_model, read_model
from edgemesh.detect.models.settings import ProfileSettings
from edgemesh.detect.rollout.stages import RolloutSettings
from edgemesh.detect.settings import DetectSettings, ModelSettings
from edgemesh.log.outbox import Cursor
from edgemesh.model.alerts import Alert, AlertState
from edgemesh.model.packs import Readings
from edgemesh.model.rollouts import ROLLOUT_MOVES, ModelOffer, ModelState, RolloutStage
from edgemesh.model.samples import Batch
from edgemesh.model.settings import Seconds

S = 10**9
ASSET = "P-1"
METRICS, UNITS = ("flow", "current", "vibration"), ("m3/h", "A", "mm/s")
LEARNT = ModelSettings(machine=ProfileSettings(train_rows=100, trees=10, subsample=32))
ROLLOUT = RolloutSettings(shadow_rows=50, shadow_for=Seconds(50.0), canary_for=Seconds(100.0))
SETTINGS = DetectSettings(model=(LEARNT,), rollout=ROLLOUT)
CHANCE = np.random.default_rng(21)
CALM = CHANCE.normal(size=(1200, 3)) + np.array([90.0, 22.0, 3.0])
FAULTY = CALM.copy()
for _begin in (160, 230, 300, 420, 600):
    FAULTY[_begin : _begin + 15, 0] -= 9.0


@dataclass
class Bench:
    """A detector's core that is fed rows at 1 s, and what came of it."""

    settings: DetectSettings = SETTINGS
    name: str = "det"
    period_ns: int = S
    core: DetectorCore = field(init=False)
    seq: int = 0
    alerts: list[Alert] = field(default_factory=list)
    said: list[ModelState] = field(default_factory=list)
    parts: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.core = self.make()

    def make(self) -> DetectorCore:
        return DetectorCore(self.name, "plant", self.settings, {})

    def feed(self, table: np.ndarray, first: int, last: int, *, size: int = 1, asset: str = ASSET) -> list[Alert]:
        """Rows of the table, so many in a pack."""
        made: list[Alert] = []
        for begin in range(first, last, size):
            end = min(last, begin + size)
            self.seq += 1
            made += self.core.tick(end * self.period_ns)
            made += self.core.handle(pack(self.seq, table, begin, end, asset=asset, period_ns=self.period_ns))
            self.keep()
        self.alerts += made
        return made

    def offer(self, content: bytes, revision: int = 1) -> None:
        self.core.handle(offer(content, revision))
        self.keep()

    def back(self, revision: int) -> None:
        self.core.handle(ModelOffer(asset=ASSET, revision=revision, at_ns=0, back=True))
        self.keep()

    def keep(self) -> None:
        """What a commit does: save, and say what is new."""
        for name, content in self.core.save().items():
            self.parts.pop(name, None) if content is None else self.parts.update({name: content})
        self.said += [state for state in self.core.news().values() if isinstance(state, ModelState)]

    def restart(self) -> None:
        """As after SIGKILL: what was saved is all there is."""
        self.core = self.make()
        self.core.load(self.parts)

    @property
    def stages(self) -> list[str]:
        """The stages that were told, each once."""
        found = [state.stage.value for state in self.said]
        return [stage for before, stage in pairwise(["", *found]) if stage != before]


def pack(
    seq: int,
    table: np.ndarray,
    first: int,
    last: int,
    *,
    asset: str = ASSET,
    units: Sequence[str] = UNITS,
    period_ns: int = S,
) -> Readings:
    batch = Batch(
        device=f"d-{asset}",
        asset=asset,
        metrics=METRICS[: table.shape[1]],
        units=tuple(units)[: table.shape[1]],
        at_ns=tuple(i * period_ns for i in range(first, last)),
        values=tuple(map(tuple, table[first:last].T.tolist())),
    )
    return Readings(agent="gw", epoch="e", seq=seq, lowest=1, at_ns=0, records=(batch,))


def offer(content: bytes, revision: int = 1, version: int = 0) -> ModelOffer:
    version = version or read_model(content)[0].version
    return ModelOffer(asset=ASSET, revision=revision, at_ns=0, version=version, content=pack_model(content))


def model(table: np.ndarray, version: int = 2, *, asset: str = ASSET) -> bytes:
    """What a detector learns from the first 100 rows of a table, as a file."""
    bench = Bench()
    bench.feed(table, 0, 100, size=100, asset=asset)
    content = bench.core.model(asset, version=version, now_ns=1)
    assert content is not None
    return content


@pytest.fixture(scope="module")
def second() -> bytes:
    return model(CALM[400:], 2)


def story(alerts: Sequence[Alert]) -> list[tuple[object, ...]]:
    return [(alert.id, alert.version, alert.state, alert.at_ns, alert.onset_at_ns) for alert in alerts]


def test_a_model_goes_all_the_way_and_back(second: bytes) -> None:
    """Shadow, canary, in use; alerts name who raised them; figures are of the same rows; back when asked, once."""
    bench = Bench()
    bench.feed(FAULTY, 0, 150)
    bench.offer(second)
    bench.feed(FAULTY, 150, 330)
    assert bench.stages == ["shadow", "canary", "promoted"]
    models = [alert.model for alert in bench.alerts if alert.version == 1]
    assert [name.split("@")[0] for name in models] == ["profile-1", "profile-2", "profile-2"]
    last = bench.said[-1]
    assert (last.asset, last.agent, last.revision, last.version, last.used, last.done) == (ASSET, "det", 1, 2, 2, 1.0)
    assert last.new is not None
    assert last.former is not None
    assert last.new.rows == last.former.rows >= 100
    assert (last.new.alerts, last.former.alerts) == (1, 1)
    assert 0.0 < last.new.median < last.new.top
    assert all(a.stage is b.stage or b.stage in ROLLOUT_MOVES[a.stage] for a, b in pairwise(bench.said))
    bench.back(2)
    bench.feed(FAULTY, 330, 332)
    assert (bench.said[-1].stage, bench.said[-1].used) == (RolloutStage.ROLLED_BACK, 1)
    bench.back(3)
    assert bench.said[-1].reason == "there is no former version to go back to"
    assert [alert.model.split("@")[0] for alert in bench.feed(FAULTY, 332, 430) if alert.version == 1] == ["profile-1"]


def spoilt(second: bytes) -> dict[str, ModelOffer]:
    whole = offer(second)
    packed = whole.content
    bent = bytearray(second)
    bent[len(second) // 2] ^= 1
    litres = second.replace(b'"unit":"m3/h"', b'"unit":"L/s"')
    return {
        "only a part of a packed": msgspec.structs.replace(whole, content=packed[: len(packed) // 2]),
        "only a part of one": msgspec.structs.replace(whole, content=pack_model(second[: len(second) // 2])),
        "at most 16 MiB": msgspec.structs.replace(whole, content=pack_model(bytes(17 * 2**20))),
        "its packing is damaged": msgspec.structs.replace(whole, content=b"no zlib"),
        "it is|its seal|its hash|Object|JSON|Expected": msgspec.structs.replace(whole, content=pack_model(bytes(bent))),
        "seal does not fit": msgspec.structs.replace(whole, content=pack_model(litres)),
        "version 1 is not newer than version 1": offer(model(CALM[400:], 1)),
        "a model of P-9": offer(model(CALM, 2, asset="P-9")),
        "needs vibration of d-P-1|knows no|needs": offer(model(CALM[:, :2], 2)),
        "it is version 2, offered as version 3": offer(second, 1, 3),
    }


@pytest.mark.parametrize("place", range(10))
def test_what_is_not_sound_or_does_not_fit_is_refused(second: bytes, place: int) -> None:
    """Half a file, a changed byte, an older version, other channels, another asset: said, and nothing else changes."""
    problem, bad = list(spoilt(second).items())[place]
    plain, bench = Bench(), Bench()
    plain.feed(FAULTY, 0, 320, size=10)
    bench.feed(FAULTY, 0, 150, size=10)
    bench.core.handle(bad)
    bench.feed(FAULTY, 150, 320, size=10)
    assert bench.stages == ["refused"]
    assert any(each in bench.said[0].reason for each in problem.split("|")), bench.said[0].reason
    assert bench.said[0].used == 1
    assert bench.alerts == plain.alerts
    assert len(plain.alerts) == 5
    assert not [name for name in bench.parts if "beside" in name]


def test_another_unit_is_another_schema(second: bytes) -> None:
    """A model of flow in m3/h does not judge flow in L/s."""
    bench = Bench()
    units = ("L/s", "A", "mm/s")
    for seq in range(15):
        bench.core.handle(pack(seq + 1, CALM, 10 * seq, 10 * seq + 10, units=units))
    bench.offer(second)
    assert bench.said[-1].stage is RolloutStage.REFUSED
    assert bench.said[-1].reason == "flow of d-P-1 is in L/s, the model knows it in m3/h"


def test_where_no_model_is_configured_it_is_refused(second: bytes) -> None:
    """Without a [[detection.model]] for the asset there is nothing that could use one."""
    bench = Bench(DetectSettings())
    bench.feed(CALM, 0, 5)
    bench.offer(second)
    assert (bench.said[-1].stage, "no [[detection.model]]" in bench.said[-1].reason) == (RolloutStage.REFUSED, True)


def test_an_offer_for_an_asset_that_comes_later_waits_for_it(second: bytes) -> None:
    """Nobody says a word of an unknown asset; after a restart, too, its first rows are judged by the offered model."""
    bench = Bench()
    bench.offer(second)
    bench.feed(CALM, 0, 20, asset="P-2")
    assert bench.said == []
    bench.restart()
    bench.feed(FAULTY, 100, 250)
    assert bench.stages == ["canary", "promoted"]
    assert [alert.model.split("@")[0] for alert in bench.alerts if alert.version == 1] == ["profile-2", "profile-2"]
    assert bench.core.stats["trained"] == 0


def test_channels_that_are_not_there_yet_are_waited_for(second: bytes) -> None:
    """While the asset is being learnt they may still come; once it judges without them, the offer is refused."""
    bench = Bench()
    bench.offer(second)
    bench.feed(CALM[:, :2], 0, 50, size=5)
    assert bench.stages == ["waiting"]
    bench.feed(CALM[:, :2], 50, 110, size=5)
    assert bench.stages == ["waiting", "refused"]
    assert "needs vibration of d-P-1" in bench.said[-1].reason


def test_the_same_offer_twice_is_once(second: bytes) -> None:
    """The broker says it again after each reconnect: no news, nothing to save; an older one changes nothing either."""
    bench = Bench()
    bench.feed(CALM, 0, 120, size=10)
    bench.offer(second, 5)
    told = len(bench.said)
    for revision in (5, 4):
        bench.core.handle(offer(second, revision))
        assert not [topic for topic in bench.core.news() if topic.startswith("state/")]
        assert bench.core.save() == {}
    bench.restart()
    bench.core.handle(offer(second, 5))
    bench.feed(CALM, 120, 122)
    assert bench.core._watches.get(ASSET).state.rollout.new.rows == 2  # type: ignore[union-attr]
    assert {state.stage for state in bench.said[told:]} <= {RolloutStage.SHADOW}


def test_the_same_model_offered_again_goes_on(second: bytes) -> None:
    """Who pushes a file a second time does not set its trial back, and is answered."""
    bench = Bench()
    bench.feed(CALM, 0, 120, size=10)
    bench.offer(second, 1)
    bench.feed(CALM, 120, 150, size=10)
    bench.offer(second, 2)
    assert bench.said[-1].revision == 2
    bench.feed(CALM, 150, 290, size=10)
    assert next(state.since_ns for state in bench.said if state.stage is RolloutStage.CANARY) == 180 * S
    assert bench.stages == ["shadow", "canary", "promoted"]
    bench.offer(second, 3)
    assert (bench.said[-1].revision, bench.said[-1].stage) == (3, RolloutStage.PROMOTED)
    assert bench.said[-1].reason == "it was in use already"


def test_a_newer_offer_takes_the_place_of_one_on_trial(second: bytes) -> None:
    """The former one judges again first; the last one offered is the one that ends in use."""
    bench = Bench()
    bench.feed(FAULTY, 0, 120, size=10)
    bench.offer(second, 1)
    bench.feed(FAULTY, 120, 180, size=1)
    assert bench.said[-1].stage is RolloutStage.CANARY
    bench.offer(model(CALM[500:], 3), 2)
    assert (bench.said[-1].stage, bench.said[-1].used, bench.said[-1].version) == (RolloutStage.SHADOW, 1, 3)
    bench.feed(FAULTY, 180, 345)
    assert (bench.said[-1].stage, bench.said[-1].used) == (RolloutStage.PROMOTED, 3)
    watch = bench.core._watches.get(ASSET)
    assert watch is not None
    assert watch.models.learner is not None
    assert list(watch.models.learner.versions.files) == [1]


@pytest.mark.parametrize(("stop", "stage"), [(130, "shadow"), (200, "canary")])
def test_a_trial_can_be_called_off(second: bytes, stop: int, stage: str) -> None:
    """From then on the former one judges as if nothing had been, and nothing of the other is kept."""
    bench = Bench()
    bench.feed(FAULTY, 0, 120, size=10)
    bench.offer(second, 1)
    bench.feed(FAULTY, 120, stop)
    assert bench.said[-1].stage.value == stage
    bench.back(2)
    assert (bench.said[-1].stage, bench.said[-1].used, bench.said[-1].reason) == (
        RolloutStage.ROLLED_BACK,
        1,
        "as asked",
    )
    assert not [name for name in bench.parts if "beside" in name or "former" in name]
    plain = Bench()
    plain.feed(FAULTY, 0, 450, size=1)
    bench.restart()
    bench.feed(FAULTY, stop, 450)
    assert story(bench.alerts) == story(plain.alerts)


def test_the_shadow_changes_nothing(second: bytes) -> None:
    """With a new model in the shadow, alerts are to the last bit those without."""
    forever = msgspec.structs.replace(SETTINGS, rollout=RolloutSettings(excess_times=100.0, excess_for=Seconds(1e6)))
    plain, bench = Bench(forever), Bench(forever)
    plain.feed(FAULTY, 0, 700, size=7)
    bench.feed(FAULTY, 0, 140, size=7)
    bench.offer(second)
    bench.feed(FAULTY, 140, 700, size=7)
    assert bench.stages == ["shadow"]
    assert bench.alerts == plain.alerts
    assert len(plain.alerts) == 10
    assert {key: value for key, value in bench.core.stats.items() if value} == {
        key: value for key, value in plain.core.stats.items() if value
    }


WHOLE_MODEL: list[bytes] = []
WHOLE: list[tuple[list[tuple[object, ...]], list[tuple[object, ...]]]] = []


def told(said: Sequence[ModelState]) -> list[tuple[object, ...]]:
    """What was told, each once: after a restart it may be told again."""
    rows = [
        (
            state.stage,
            state.used,
            state.reason,
            state.since_ns,
            *((state.new, state.former) if state.stage.over else ()),
        )
        for state in said
    ]
    return [row for row, before in zip(rows, [None, *rows], strict=False) if row != before]


def play(cuts: Sequence[int]) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    bench = Bench()
    bench.feed(FAULTY, 0, 120, size=10)
    bench.offer(WHOLE_MODEL[0], 1)
    steps = [120, *sorted({120 + cut for cut in cuts}), 420]
    for first, last in pairwise(steps):
        bench.feed(FAULTY, first, last)
        bench.restart()
        if last == 420:
            break
    bench.back(2)
    bench.restart()
    bench.feed(FAULTY, 420, 450)
    final = [row for row in told(bench.said) if row[0] is not RolloutStage.WAITING]
    ends = [
        row for row, after in zip(final, [*final[1:], None], strict=False) if after is None or after[0] is not row[0]
    ]
    return story(bench.alerts), ends


@given(cuts=st.lists(st.integers(1, 299), max_size=8) | st.just(range(1, 300)))
@settings(max_examples=8, deadline=None)
def test_a_kill_at_any_row_changes_nothing(cuts: Sequence[int]) -> None:
    """In shadow, at the swap, as a canary, at the end, before and after going back: the same alerts and ends."""
    if not WHOLE:
        WHOLE_MODEL.append(model(CALM[400:], 2))
        WHOLE.append(play([]))
    assert play(cuts) == WHOLE[0]
    alerts, ends = WHOLE[0]
    assert len(alerts) >= 6
    assert [row[0] for row in ends] == [
        RolloutStage.SHADOW, RolloutStage.CANARY, RolloutStage.PROMOTED, RolloutStage.ROLLED_BACK,
    ]  # fmt: skip


@pytest.mark.parametrize(("hertz", "every", "by"), [(10, 60, 4.0), (1, 15, 2.0)])
def test_a_canary_with_ten_times_the_alerts_is_rolled_back_within_60_s(hertz: int, every: int, by: float) -> None:
    """Many short ones, or one that stands ten times as long: it judges less than 60 s of that, then the former one."""
    quiet = np.array([90.0, 22.0, 3.0]) + (CALM - [90.0, 22.0, 3.0]) * 0.25
    begin, period_ns = 100 + 80 * hertz, S // hertz
    table = np.tile(quiet, (2, 1))
    table[:100] = CALM[:100]
    for row in range(begin, begin + 780, every):
        table[row : row + 3, 1] += by
    table[begin + 900 : begin + 920, 0] -= 12.0
    mild = RolloutSettings(shadow_rows=50, shadow_for=Seconds(50.0), canary_for=Seconds(1e6))
    lax = msgspec.structs.replace(mild, excess_times=100.0, excess_alerts=1000, excess_for=Seconds(1e6))
    alone, bench, plain = (
        Bench(msgspec.structs.replace(SETTINGS, rollout=rollout), period_ns=period_ns) for rollout in (lax, mild, mild)
    )
    nervous = model(quiet, 2)
    for each in (alone, bench, plain):
        each.feed(table, 0, 100, size=100)
        if each is not plain:
            each.offer(nervous)
        each.feed(table, 100, begin, size=10)
        each.feed(table, begin, begin + 780)
    counts = [(sum(alert.version == 1 for alert in each.alerts), standing_s(each)) for each in (alone, plain)]
    assert counts[0][0] >= 10 * max(1, counts[1][0]) or counts[0][1] >= 10 * max(30.0, counts[1][1]), counts
    back = next(state for state in bench.said if state.stage is RolloutStage.ROLLED_BACK)
    assert bench.stages == ["shadow", "canary", "rolled_back"]
    assert begin * period_ns < back.since_ns < begin * period_ns + 60 * S
    assert back.used == 1
    assert "where th" in back.reason
    bench.feed(table, begin + 780, begin + 1100, size=5)
    last = [alert for alert in bench.alerts if alert.version == 1][-1]
    assert (last.model.split("@")[0], last.at_ns // period_ns >= begin + 900) == ("profile-1", True)
    ended = {alert.id for alert in bench.alerts if alert.state is AlertState.CLEARED}
    assert ended == {alert.id for alert in bench.alerts}


def standing_s(bench: Bench) -> float:
    """How long alerts stood, up to the last row."""
    last_ns = max((state.since_ns for state in bench.said), default=0)
    begun = {alert.id: alert.raised_at_ns for alert in bench.alerts if alert.version == 1}
    over = {alert.id: alert.at_ns for alert in bench.alerts if alert.state is AlertState.CLEARED}
    end_ns = max(last_ns, (bench.core._clock.now_ns))
    return sum(over.get(each, end_ns) - at_ns for each, at_ns in begun.items()) / 1e9


def test_a_hundred_swaps_lose_and_double_nothing() -> None:
    """Between models that are equal, while rows come in and alerts stand: the alerts of a detector that never swaps."""
    chance = np.random.default_rng(5)
    table = chance.normal(size=(3400, 3))
    table[100:] *= 0.7  # a calm machine: no alert by chance, whoever judges from whatever baseline
    table += np.array([90.0, 22.0, 3.0])
    for number, begin in enumerate(range(130, 3300, 160)):  # each elsewhere: what comes back is normal in the end
        table[begin : begin + 20, number % 3] += (8.0 + 4.0 * number) * (-1) ** number
    swift = RolloutSettings(shadow_rows=11, shadow_for=Seconds(0.0), canary_for=Seconds(5.0), excess_for=Seconds(1e6),
                            excess_alerts=1000, excess_share=1.0)  # fmt: skip
    settled = DetectSettings(model=(LEARNT,), rollout=swift)
    plain, bench = Bench(settled), Bench(settled)
    plain.feed(table, 0, 3400, size=4)
    bench.feed(table, 0, 120, size=4)
    first = bench.core.model(ASSET, version=1, now_ns=1)
    assert first is not None
    swaps = 0
    row = 120
    while row < 3400:
        if not bench.said or bench.said[-1].stage is RolloutStage.PROMOTED:
            swaps += bool(bench.said)
            content = bench.core.model(ASSET, version=swaps + 2, now_ns=1)
            assert content is not None
            bench.offer(content, swaps + 1)
        bench.feed(table, row, row + 4, size=4)
        row += 4
    assert swaps >= 100
    begun, ended = (
        [[alert for alert in each.alerts if wanted(alert)] for each in (plain, bench)]
        for wanted in (lambda alert: alert.version == 1, lambda alert: alert.state is AlertState.CLEARED)
    )
    assert [len(alerts) for alerts in (*begun, *ended)] == [20, 20, 20, 20]
    for mine, theirs in zip(begun[1], begun[0], strict=True):
        assert abs(mine.raised_at_ns - theirs.raised_at_ns) <= 4 * S
    for raised, over, after in zip(begun[1], ended[1], [*begun[1][1:], None], strict=True):
        assert raised.id == over.id
        assert raised.at_ns < over.at_ns < (after.at_ns if after else 3400 * S)
    assert len({alert.model for alert in begun[1]}) > 15


def test_the_broker_may_forget_offers(second: bytes) -> None:
    """Who watches the asset says the newest one again: when it is new, after a reconnect, and over an older one."""
    bench = Bench()
    bench.core.handle(offer(second, 7))
    assert bench.core.news() == bench.core.present(None) == {}
    bench.feed(CALM, 0, 1)
    topic = f"model/{ASSET}"
    assert bench.core.present(None)[topic] == offer(second, 7)
    bench.core.handle(offer(second, 7))
    assert bench.core.news() == {}
    bench.core.handle(offer(second, 6))
    assert bench.core.news() == {topic: offer(second, 7)}
    bench.core.handle(offer(second, 8))
    assert bench.core.news()[topic] == offer(second, 8)


@pytest.mark.parametrize("restarts", [False, True])
def test_rows_that_were_overtaken_do_not_mind_a_swap(second: bytes, restarts: bool) -> None:
    """Live rows swap the models while older ones are missing; when these come, no alert is doubled or left behind."""
    bench = Bench()
    bench.feed(FAULTY, 0, 150)
    bench.offer(second)
    hole = range(151, 181)  # the fault at 160 and its end; rows come as packs of their number + 1
    order = [row for row in range(150, 400) if row + 1 not in hole]
    order[120:120] = [number - 1 for number in hole]
    for row in order:
        live = 181 if row + 1 in hole or (row >= 180 and order.index(row) < 120) else 0
        sent = msgspec.structs.replace(pack(row + 1, FAULTY, row, row + 1), live=live)
        bench.core.tick(row * S)
        bench.alerts += bench.core.handle(sent)
        bench.keep()
        if restarts and row % 7 == 0:
            bench.restart()
    assert bench.stages[:2] == ["shadow", "canary"]
    assert bench.said[-1].used == 2
    begun = [alert.id for alert in bench.alerts if alert.version == 1]
    assert len(begun) == len(set(begun))
    watch = bench.core._watches.get(ASSET)
    assert watch is not None
    over = {alert.id for alert in bench.alerts if alert.state is AlertState.CLEARED}
    assert {alert.id for alert in bench.alerts} - over == {alert.id for alert in watch.state.book.alerts}
    assert [alert.at_ns // (230 * S) for alert in bench.alerts if alert.version == 1 and not alert.past][-2:] == [1, 1]


@pytest.mark.parametrize("stage", ["shadow", "canary", "promoted", "rolled_back", "refused"])
def test_who_takes_an_asset_over_goes_on_with_its_rollout(second: bytes, stage: str) -> None:
    """What was on trial is a canary there at once, what was in use is in use, what has failed is not tried again."""
    old, new = Bench(), Bench(name="det-2")
    old.feed(CALM, 0, 120, size=10)
    for each in (old, new):
        each.offer(model(CALM[400:], 1) if stage == "refused" else second)
    old.feed(CALM, 120, {"shadow": 140, "canary": 200, "promoted": 300, "rolled_back": 200, "refused": 130}[stage])
    if stage == "rolled_back":
        watch = old.core._watches.get(ASSET)
        assert watch is not None
        watch.state.rollout.new.alerts = 50
        old.feed(CALM, 200, 201)
    assert old.said[-1].stage.value == stage
    for state in old.said:
        new.core.handle(state)
        old.core.handle(state)  # the echo of its own
    new.keep()
    new.restart()
    old.core.release("gw")
    assert old.core.present(None) == {}
    new.core.adopt("gw", [], Cursor("e", old.seq))
    new.feed(CALM, 0, 120, size=10)
    expected = {"shadow": "canary", "canary": "canary"}.get(stage, stage)
    assert new.stages[0] == expected
    assert new.said[-1].used == (0 if expected in ("rolled_back", "refused") else 2) or new.core.stats["trained"] == 1
    assert (new.core.stats["trained"] == 1) == (expected in ("rolled_back", "refused"))


def test_word_of_a_failure_that_comes_after_the_offer_still_counts(second: bytes) -> None:
    """A canary that nothing stands behind gives way when the owner before says it has rolled it back."""
    bench = Bench()
    bench.offer(second)
    bench.feed(CALM, 0, 20)
    assert bench.stages == ["canary"]
    bench.core.handle(
        ModelState(asset=ASSET, agent="det-9", revision=1, version=2, used=1, stage=RolloutStage.ROLLED_BACK,
                   since_ns=0, reason="too many")
    )  # fmt: skip
    bench.keep()
    assert bench.said[-1].stage is RolloutStage.ROLLED_BACK
    assert bench.said[-1].reason.startswith("so det-9 has found: too many")
    assert not [name for name in bench.parts if name.endswith("/model")]
    bench.restart()
    bench.feed(CALM, 20, 130, size=10)
    assert bench.core.stats["trained"] == 1


def test_a_canary_with_nobody_before_it_is_learnt_anew_when_it_fails() -> None:
    """An alert that it has raised does not stand for ever: it ends after calm rows of what is learnt then."""
    quiet = np.array([90.0, 22.0, 3.0]) + (CALM - [90.0, 22.0, 3.0]) * 0.2
    bench = Bench()
    bench.offer(model(quiet, 2))
    bench.feed(CALM, 0, 300)
    assert bench.stages == ["canary", "rolled_back"]
    assert "learnt anew" in bench.said[-1].reason
    assert bench.core.stats["trained"] == 1
    assert bench.alerts[-1].state is AlertState.CLEARED
    assert {alert.model.split("@")[0] for alert in bench.alerts if alert.version == 1} == {"profile-2"}


def test_a_spoilt_trial_is_given_up(second: bytes) -> None:
    """Parts that can't be read cost the trial, not the model that judges, nor the detector."""
    bench = Bench()
    bench.feed(FAULTY, 0, 120, size=10)
    bench.offer(second)
    bench.feed(FAULTY, 120, 140)
    bench.parts[f"asset/{ASSET}/beside/model"] = b"{}"
    bench.restart()
    bench.feed(FAULTY, 140, 200)
    assert (bench.said[-1].stage, bench.said[-1].used) == (RolloutStage.REFUSED, 1)
    assert bench.core.stats["models_refused"] == 1
    assert [alert.model.split("@")[0] for alert in bench.alerts if alert.version == 1] == ["profile-1"]
    assert not [name for name in bench.parts if "beside" in name]


def test_a_model_that_takes_ten_times_as_long_is_refused(second: bytes) -> None:
    """Where somebody takes the time, cost decides as well."""
    now_ns = 0
    turn = 0

    def stopwatch() -> int:
        nonlocal now_ns, turn
        turn += 1
        now_ns += 50_000 if turn % 4 == 2 else 5_000_000 if turn % 4 == 0 else 0
        return now_ns

    bench = Bench()
    bench.core = DetectorCore("det", "plant", SETTINGS, {}, stopwatch=stopwatch)
    bench.feed(CALM, 0, 120, size=10)
    bench.offer(second)
    bench.feed(CALM, 120, 190)
    assert bench.stages == ["shadow", "refused"]
    assert bench.said[-1].reason == "it takes 5000 us for a row, the former one 50"
