"""Help for tests of agents, cores and drivers: records with sensible defaults, a clock that stands, the law of cores.

pack = make_readings([80.0, 79.5], at_s=10.0)
check_core(lambda: DetectorCore("d", "site", settings, {}), [pack, 11 * SECOND_NS])
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar, cast

from edgemesh.agents.clock import ClockState, Turn
from edgemesh.agents.core import Core, Input
from edgemesh.detect.methods.judgement import Judgement, Scorer
from edgemesh.model.agents import Card, Presence, Role
from edgemesh.model.alerts import Alert, AlertKind, AlertState, Evidence, Severity
from edgemesh.model.ids import derive_id
from edgemesh.model.orders import OrderState, Priority, WorkOrder
from edgemesh.model.packs import Alerts, Answers, Cards, Orders, Pack, Readings
from edgemesh.model.samples import Batch, Record, Sample, Source
from edgemesh.wire import codec

SECOND_NS = 1_000_000_000
START_NS = 1_700_000_000 * SECOND_NS
"""Where the times of the builders begin: 2023-11-14T22:13:20Z."""

EPOCH = "e0"
S = TypeVar("S", bound=Scorer)


class FixedClock:
    """A clock (`edgemesh.agents.clock.Clock`) that stands still until it is told to go on."""

    doubt = turns = 0
    state: ClockState | None = None

    def __init__(self, now_ns: int = START_NS) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        """The time that was set."""
        return self._now_ns

    def advance(self, seconds: float) -> int:
        """Go on by so many seconds, never back, and return the new time."""
        self._now_ns += max(0, round(seconds * SECOND_NS))
        return self._now_ns

    def observe(self, at_ns: int) -> bool:
        """Data does not move it."""
        return False

    def stamp(self, at_ns: int) -> int:
        """The time that was set."""
        return self._now_ns

    def check(self) -> Turn | None:
        """Nobody else sets it."""
        return None

    def resume(self, state: ClockState) -> bool:
        """It begins where it was told to."""
        return False


def at(seconds: float) -> int:
    """The instant so many seconds after `START_NS`."""
    return START_NS + round(seconds * SECOND_NS)


def make_source(
    device: str = "device-1", *, asset: str = "", metrics: Sequence[str] = ("flow",), units: Sequence[str] = ()
) -> Source:
    """A source; the asset is called as the device, and the units are `1`, unless given."""
    return Source(device, asset or device, tuple(metrics), tuple(units) or ("1",) * len(metrics))


def make_sample(*values: float | None, source: Source | None = None, at_s: float = 0.0) -> Sample:
    """A sample taken `at_s` after `START_NS`; without a source one with as many metrics as there are values."""
    names = ["flow"] if len(values) == 1 else [f"metric-{number}" for number in range(1, len(values) + 1)]
    return Sample(source or make_source(metrics=names), at(at_s), tuple(values))


def make_batch(
    values: Sequence[float | None],
    *,
    device: str = "device-1",
    asset: str = "",
    metric: str = "flow",
    at_s: float = 0.0,
    step_s: float = 1.0,
) -> Batch:
    """A batch of one metric, its samples `step_s` apart from `at_s` on."""
    times = tuple(at(at_s + step_s * row) for row in range(len(values)))
    return Batch(
        device=device, asset=asset or device, metrics=(metric,), units=("1",), at_ns=times, values=(tuple(values),)
    )


def make_alert(
    *,
    asset: str = "pump-1",
    kind: AlertKind = AlertKind.MACHINE,
    state: AlertState = AlertState.FIRING,
    severity: Severity = Severity.CRITICAL,
    version: int = 1,
    metric: str = "flow",
    gateway: str = "gateway-1",
    onset_s: float = 0.0,
    at_s: float = 1.0,
) -> Alert:
    """A version of an alert that began at `onset_s`; the same asset, kind and onset give the same id."""
    return Alert(
        id=derive_id("testing", asset, kind, at(onset_s)),
        version=version,
        asset=asset,
        kind=kind,
        state=state,
        severity=severity,
        cause=f"{metric} of {asset} is not as it should be",
        evidence=(Evidence(rule=f"{metric} limit", metric=metric, device=asset, value=1.0, normal="2..3", score=1.5),),
        onset_at_ns=at(onset_s),
        raised_at_ns=at(onset_s),
        at_ns=at(at_s),
        gateway=gateway,
        cleared_at_ns=at(at_s) if state is AlertState.CLEARED else None,
    )


def make_order(
    alert: Alert | None = None,
    *,
    state: OrderState = OrderState.OPEN,
    version: int = 1,
    executor: str | None = None,
    attempt: int = 0,
    at_s: float = 2.0,
) -> WorkOrder:
    """A version of the work order that an alert has opened."""
    alert = alert or make_alert()
    return WorkOrder(
        id=derive_id("testing", alert.id),
        version=version,
        asset=alert.asset,
        alert=alert.id,
        state=state,
        title=f"Look after {alert.asset}",
        cause=alert.cause,
        priority=Priority.P2,
        skills={"operator": 0.5},
        at_ns=at(at_s),
        opened_at_ns=at(at_s),
        executor=executor,
        attempt=attempt,
    )


def make_card(
    agent: str = "executor-1",
    *,
    role: Role = Role.EXECUTOR,
    up: bool = True,
    beat: int = 1,
    incarnation: str = "first",
    skills: Mapping[str, float] | None = None,
    max_load: int = 1,
) -> Card:
    """A card; an executor that nothing else is said of is an able operator."""
    able = {"operator": 1.0} if skills is None and role is Role.EXECUTOR else dict(skills or {})
    state = Presence.UP if up else Presence.DOWN
    return Card(agent=agent, role=role, state=state, incarnation=incarnation, beat=beat, skills=able, max_load=max_load)


def make_pack(records: Sequence[Record], *, agent: str, seq: int = 1, lowest: int = 1, epoch: str = EPOCH) -> Pack:
    """A pack of readings, alerts or orders, whichever the records are. ValueError for a mix or anything else."""
    for kind, record in ((Readings, Batch), (Alerts, Alert), (Orders, WorkOrder)):
        if records and all(isinstance(each, record) for each in records):
            return kind(agent=agent, epoch=epoch, seq=seq, lowest=lowest, at_ns=START_NS, records=tuple(records))  # type: ignore[arg-type]
    raise ValueError("a pack holds batches, alerts or work orders, of one kind")


def make_readings(
    values: Sequence[float | None],
    *,
    agent: str = "gateway-1",
    seq: int = 1,
    device: str = "device-1",
    at_s: float = 0.0,
) -> Readings:
    """A pack with one batch of one metric, `flow`."""
    batch = make_batch(values, device=device, at_s=at_s)
    return Readings(agent=agent, epoch=EPOCH, seq=seq, lowest=1, at_ns=START_NS, records=(batch,))


def payload_of(pack: Pack) -> bytes:
    """The pack as it goes over the wire."""
    return codec.encode(pack)


def check_core(make_core: Callable[[], Core], inputs: Sequence[Input | int]) -> list[Record]:
    """Hold a core to the law: replay is equal, twice is once, and a restart anywhere changes nothing.

    `inputs` are what it is given, in order; an integer is a tick. Returns the records; AssertionError says which part
    of the law was broken, and where. Not for a core whose inputs have no identity, as a gateway's samples.
    """
    expected = _records(make_core, inputs)
    assert _records(make_core, inputs) == expected, "the same inputs gave other records"
    assert _records(make_core, inputs, twice=True) == expected, "an input that came twice was not once"
    assert _records(make_core, inputs, restart=True) == expected, "a restart from what was saved changed the records"
    return [record for records in expected for record in records]


def _records(
    make_core: Callable[[], Core], inputs: Sequence[Input | int], *, twice: bool = False, restart: bool = False
) -> list[list[Record]]:
    core, parts = make_core(), dict[str, bytes]()
    found: list[list[Record]] = []
    for given in inputs:
        records = list(core.tick(given) if isinstance(given, int) else core.handle(given))
        if twice and isinstance(given, Pack | Answers | Cards):
            records += core.handle(given)
        found.append(records)
        if restart:
            for name, value in core.save().items():
                parts.pop(name, None) if value is None else parts.update({name: value})
            core = make_core()
            core.load(parts)
    return found


def check_detector(
    make_scorer: Callable[[Sequence[str]], S],
    reopen: Callable[[S, Sequence[str]], Scorer] | None = None,
    *,
    channels: Sequence[str] = ("a", "b", "c"),
    fault_rows: int = 40,
    seed: int = 1,
) -> float:
    """Hold a scorer to the contract of `edgemesh.detect.methods.judgement.Scorer`; return its AUC on a simulated fault.

    `reopen` makes another one from nothing but what is saved of the first; left out, it is given the first one's
    `snapshot` to `restore`, as `edgemesh.detect.methods.detectors.Detector` has it. 600 rows are calm, then one channel
    leaves by eight spreads for `fault_rows` rows of 200. AssertionError says which sentence of the contract was broken.
    """
    rows = _machine_rows(len(channels), fault_rows, seed)
    _check_rows(make_scorer, reopen or partial(_restored, make_scorer), channels, rows, 600 + fault_rows // 2)
    judged = _judge(make_scorer(channels), rows, len(rows))
    turned = _judge(make_scorer(channels[::-1]), [row[::-1] for row in rows], len(rows))
    assert [(each.score, each.flag) for each in turned] == [(each.score, each.flag) for each in judged], (
        "the order of the channels played a part"
    )
    _check_numbers(judged, len(channels))
    holes = [
        [None if (i + k) % 9 == 0 or i % 50 == 0 else value for k, value in enumerate(row)]
        for i, row in enumerate(rows)
    ]
    pierced = _judge(make_scorer(channels), holes, 11)
    assert len(pierced) == len(rows), "with values missing there was not one judgement for each row"
    _check_numbers(pierced, len(channels))
    auc = _auc(
        [each.score for each in judged[600 : 600 + fault_rows]], [each.score for each in judged[600 + fault_rows :]]
    )
    assert auc > 0.6, f"the fault was told from calm rows by chance only, AUC {auc:.2f}"
    return auc


def _check_rows(
    make_scorer: Callable[[Sequence[str]], S],
    reopen: Callable[[S, Sequence[str]], Scorer],
    channels: Sequence[str],
    rows: Sequence[list[float | None]],
    cut: int,
) -> None:
    """That a row's judgement rests on the rows until then only, and that they are left as they were."""
    before = [row[:] for row in rows]
    judged = _judge(make_scorer(channels), rows, len(rows))
    assert list(rows) == before, "the rows that it was given were changed"
    assert _judge(make_scorer(channels), rows, len(rows)) == judged, "the same rows were judged otherwise"
    assert _judge(make_scorer(channels), rows[:cut], cut) == judged[:cut], "a row knew what came after it"
    assert _judge(make_scorer(channels), rows, 7) == judged, "how many rows come at once played a part"
    for at in (100, cut):
        first = make_scorer(channels)
        begun = list(first.take(rows[:at]))
        assert begun + list(reopen(first, channels).take(rows[at:])) == judged, (
            "a restart from what was saved played a part"
        )


def _restored(make_scorer: Callable[[Sequence[str]], S], first: Any, channels: Sequence[str]) -> S:
    other: Any = make_scorer(channels)
    other.restore(first.snapshot())
    return cast("S", other)


def _check_numbers(judged: Sequence[Judgement], channels: int) -> None:
    assert all(math.isfinite(each.score) and each.score >= 0.0 for each in judged), "a score was no number from 0 on"
    for blame in [blame for each in judged for blame in each.blame]:
        assert 0 <= blame.channel < channels, "a channel was blamed that there is not"
        assert all(map(math.isfinite, (blame.score, blame.value, blame.low, blame.high))), "a blame was no number"


def _machine_rows(width: int, fault_rows: int, seed: int) -> list[list[float | None]]:
    """800 rows of channels that follow one load, the last channel 8 spreads off from row 600 on."""
    chance = random.Random(seed)
    rows: list[list[float | None]] = []
    for i in range(800):
        load = chance.gauss(0.0, 1.0)
        row = [10.0 + (k + 1) * (load + chance.gauss(0.0, 0.5)) for k in range(width)]
        row[-1] += 8.0 * width if 600 <= i < 600 + fault_rows else 0.0
        rows.append(list(row))
    return rows


def _judge(scorer: Scorer, rows: Sequence[Sequence[float | None]], at_once: int) -> list[Judgement]:
    return [each for start in range(0, len(rows), at_once) for each in scorer.take(rows[start : start + at_once])]


def _auc(faulty: Sequence[float], calm: Sequence[float]) -> float:
    """How often a faulty row has the higher score of a pair; ties count half."""
    pairs = [(bad > good) + 0.5 * (bad == good) for bad in faulty for good in calm]
    return sum(pairs) / len(pairs)
