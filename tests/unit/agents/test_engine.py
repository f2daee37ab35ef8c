"""The engine: items through the core and onto the disk, all of them or none."""

from __future__ import annotations

import logging
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgemesh.agents.clock import Clock, DataClock
from edgemesh.agents.core import Core, Input, Samples
from edgemesh.agents.detector import DetectorCore
from edgemesh.agents.engine import Engine
from edgemesh.agents.gateway import GatewayCore
from edgemesh.agents.items import Given, Heard, Item, Noticed, Offered, Outcome, Spoiled, Taken
from edgemesh.detect.settings import DetectSettings, LimitRule, SilentRule
from edgemesh.errors import LogError, LogFull, StoreError
from edgemesh.log.journal import Cursor, Journal
from edgemesh.log.quarantine import Quarantined
from edgemesh.model.alerts import Alert, AlertState
from edgemesh.model.packs import Answers, Cards, Pack, Readings
from edgemesh.model.samples import Batch, Record, Source
from edgemesh.model.settings import Seconds
from edgemesh.testing import (
    EPOCH,
    START_NS,
    FixedClock,
    at,
    make_alert,
    make_batch,
    make_card,
    make_pack,
    make_readings,
    make_sample,
    make_source,
    payload_of,
)
from edgemesh.wire import codec

POISON = -666.0


class Tally:
    """A core that writes an alert per pack, numbered over all packs ever; POISON makes it raise, time must not fall."""

    def __init__(self) -> None:
        self.count = self.saved = 0
        self.ticks: list[int] = []
        self.handled: list[Input] = []
        self.moves: list[str] = []

    def handle(self, pack: Input) -> Sequence[Record]:
        self.handled.append(pack)
        if isinstance(pack, Readings):
            for batch in pack.records:
                if POISON in batch.values[0]:
                    raise ZeroDivisionError("a core with a fault")
        self.count += 1
        return [make_alert(version=self.count, at_s=float(self.count))]

    def tick(self, now_ns: int) -> Sequence[Record]:
        assert not self.ticks or now_ns >= self.ticks[-1], "time fell"
        self.ticks.append(now_ns)
        return []

    def present(self, records: Sequence[Record] | None) -> Mapping[str, Record | None]:
        return {f"state/alert/{record.id}": record for record in records or () if isinstance(record, Alert)}

    def save(self) -> Mapping[str, bytes | None]:
        if self.count == self.saved:
            return {}
        self.saved = self.count
        return {"count": str(self.count).encode()}

    def load(self, parts: Mapping[str, bytes]) -> None:
        self.count = self.saved = int(parts.get("count", b"0"))

    def adopt(self, gateway: str, alerts: Sequence[Alert], through: Cursor | None = None) -> None:
        self.moves.append(f"+{gateway} {len(alerts)}")

    def meet(self, alert: Alert) -> Sequence[Record]:
        return ()

    def release(self, gateway: str) -> Sequence[Alert]:
        self.moves.append(f"-{gateway}")
        return ()


@dataclass
class Ledger:
    """A sink that writes what it gets into a table of its own, and fails when told to."""

    fails: list[Exception] = field(default_factory=list)

    def prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE IF NOT EXISTS ledger (seq INTEGER)")

    def write(self, connection: sqlite3.Connection, packs: Sequence[Pack]) -> None:
        connection.executemany("INSERT INTO ledger VALUES (?)", [(pack.seq,) for pack in packs])
        if self.fails:
            raise self.fails.pop()

    def trim(self, connection: sqlite3.Connection, now_ns: int) -> None:
        connection.execute("DELETE FROM ledger WHERE seq < 0")


Build = Callable[..., Engine]


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Build]:
    """Open the journal of `agent` (again) and put an engine on it; all journals are closed after the test."""
    opened: list[Journal] = []

    def make(
        make_core: Callable[[], Core] = Tally,
        *,
        clock: Clock | None = None,
        writes: str = "alerts",
        sinks: Sequence[Ledger] = (),
        max_bytes: int | None = None,
    ) -> Engine:
        opened.append(Journal.open(tmp_path / "agent.db", "agent-1", max_bytes=max_bytes))
        return Engine(opened[-1], make_core, clock or FixedClock(), writes=writes, sinks=sinks)

    yield make
    for journal in opened:
        journal.close()


@dataclass
class Settled:
    """Counts how often each message was settled."""

    seqs: list[int] = field(default_factory=list)

    def hear(self, seq: int, *values: float, agent: str = "gateway-1", at_s: float = 0.0, lowest: int = 1) -> Heard:
        batch = make_batch(values or (float(seq),), at_s=float(seq))
        pack = make_pack([batch], agent=agent, seq=seq, lowest=lowest)
        return heard(pack, settle=lambda: self.seqs.append(seq), at_s=at_s)


def heard(pack: Pack, *, settle: Callable[[], None] = lambda: None, at_s: float = 0.0) -> Heard:
    kind = type(pack).__name__.lower()
    topic = f"edgemesh/v1/site/log/{kind}/{pack.agent}"
    return Heard(kind, pack.agent, topic, payload_of(pack), settle, at_ns=at(at_s))


def outbox(engine: Engine) -> list[Record]:
    """All records that the agent ever wrote."""
    rows = engine.journal.rows(0, limit=100_000, max_bytes=2**40)
    return [record for row in rows for record in codec.decode_body(row.kind, row.body)]


def versions(engine: Engine) -> list[int]:
    return [record.version for record in outbox(engine) if isinstance(record, Alert)]


def ledger(engine: Engine) -> list[int]:
    with engine.journal.begin() as transaction:
        return [seq for (seq,) in transaction.connection.execute("SELECT seq FROM ledger ORDER BY rowid")]


def settle_all(outcome: Outcome) -> None:
    for settle in outcome.settles:
        settle()


# -- one transaction ----------------------------------------------------------------------------------------------


def test_a_step_commits_records_state_and_cursor_and_says_what_follows(build: Build) -> None:
    """After a step rows, parts and cursor are on the disk, and the outcome names rows, marks, present and settles."""
    engine, settled = build(), Settled()
    outcome = engine.step([settled.hear(1), settled.hear(2)])
    assert [row.seq for row in outcome.rows] == [1]
    assert versions(engine) == [1, 2]
    assert outcome.marks == {"gateway-1": Cursor(EPOCH, 2)} == engine.journal.cursors()
    assert engine.journal.parts() == {"count": b"2"}
    assert list(outcome.present) == [f"state/alert/{make_alert().id}"]
    assert settled.seqs == []
    settle_all(outcome)
    assert settled.seqs == [1, 2]


@pytest.mark.parametrize(
    "error",
    [StoreError("locked", retryable=True), sqlite3.OperationalError("boom"), KeyError("a sink with a fault")],
    ids=["store", "sqlite", "fault"],
)
def test_a_failing_sink_leaves_nothing_behind(build: Build, error: Exception) -> None:
    """When a sink fails, no row, part, cursor or row of the sink is there; the same items again give it all once."""
    sink, settled = Ledger([error]), Settled()
    engine = build(sinks=[sink])
    items = [settled.hear(1), settled.hear(2)]
    with pytest.raises((StoreError, LogError, KeyError)):
        engine.step(items)
    assert (engine.journal.head, engine.journal.parts(), engine.journal.cursors()) == (0, {}, {})
    assert (ledger(engine), settled.seqs) == ([], [])
    outcome = engine.step(items)
    assert (versions(engine), ledger(engine)) == ([1, 2], [1, 2])
    assert outcome.marks == {"gateway-1": Cursor(EPOCH, 2)}
    assert engine.stats.packs == 2


def test_a_full_disk_leaves_nothing_behind(build: Build) -> None:
    """LogFull: nothing happened. Once there is room again the same items have their effect, once and in order."""
    settled = Settled()
    engine = build(max_bytes=150_000)
    seq, items = 0, [settled.hear(1)]
    full = False
    while not full and seq < 2_000:
        seq += 100
        items = [settled.hear(each) for each in range(seq - 99, seq + 1)]
        try:
            engine.step(items)
        except LogFull:
            full = True
    assert full
    had = versions(engine)
    assert had == list(range(1, seq - 99))
    with pytest.raises(LogFull):
        engine.step(items)
    assert versions(engine) == had
    engine.journal.close()
    roomy = build()
    roomy.step(items)
    assert versions(roomy) == list(range(1, seq + 1))


def test_a_core_that_fails_once_loses_nothing(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    """A core that raises is built anew from the disk; the items before and after it count once."""

    class Hiccup(Tally):
        failed = False

        def handle(self, pack: Input) -> Sequence[Record]:
            if isinstance(pack, Readings) and pack.seq == 2 and not Hiccup.failed:
                Hiccup.failed = True
                raise RuntimeError("once")
            return super().handle(pack)

    engine, settled = build(Hiccup), Settled()
    settle_all(engine.step([settled.hear(1), settled.hear(2), settled.hear(3)]))
    assert versions(engine) == [1, 2, 3]
    assert settled.seqs == [1, 2, 3]
    assert engine.stats.rejected == 0
    assert engine.stats.rebuilds == 1


# -- bad input ----------------------------------------------------------------------------------------------------


def test_a_poison_item_goes_into_the_quarantine_and_the_rest_flows(build: Build) -> None:
    """What the core fails on three times is kept under `handler_failed`, settled, and stops nothing."""
    engine, settled = build(), Settled()
    settle_all(engine.step([settled.hear(1), settled.hear(2, POISON), settled.hear(3)]))
    assert versions(engine) == [1, 2]
    assert engine.journal.rejections() == {"handler_failed": 1}
    kept = engine.journal.quarantine(limit=9)
    assert b"-666" in kept[0].payload
    assert kept[0].origin.endswith("log/readings/gateway-1")
    assert settled.seqs == [1, 2, 3]
    assert engine.journal.cursors() == {"gateway-1": Cursor(EPOCH, 3)}


def test_poison_among_samples_takes_only_itself(build: Build) -> None:
    """Samples that make no sense (more values than metrics) are given up alone: all others of the step are kept."""
    engine = build(GatewayCore, writes="readings")
    source, settled = make_source(), Settled()
    bad = msgspec.structs.replace(make_sample(1.0, source=source), values=(1.0, 2.0))
    items = [
        Offered((make_sample(value, source=source, at_s=value),), lambda value=value: settled.seqs.append(int(value)))  # type: ignore[misc]
        for value in (1.0, 2.0, 3.0, 4.0)
    ]
    items.insert(1, Offered((bad,), lambda: settled.seqs.append(-1)))
    settle_all(engine.step(items))
    kept = [value for batch in outbox(engine) if isinstance(batch, Batch) for value in batch.values[0]]
    assert kept == [1.0, 2.0, 3.0, 4.0]
    assert engine.journal.rejections() == {"handler_failed": 1}
    assert sorted(settled.seqs) == [-1, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "empty"),
        (b"{", "not_json"),
        (b"\xff", "not_utf8"),
        (b"[" * 100, "too_deep"),
        (b'{"v":9,"kind":"readings"}', "wrong_version"),
        (payload_of(make_readings([1.0], agent="other")), "id_mismatch"),
        (payload_of(make_pack([make_alert()], agent="gateway-1")), "id_mismatch"),
        (payload_of(make_readings([1.0])).replace(b"1.0", b"1e999"), "not_finite"),
    ],
)
def test_bytes_that_break_the_rules_are_counted_kept_and_settled(build: Build, payload: bytes, reason: str) -> None:
    """A refused payload is counted under its reason and kept with its topic; the good one after it is handled."""
    engine, settled = build(), Settled()
    topic = "edgemesh/v1/site/log/readings/gateway-1"
    bad = Heard("readings", "gateway-1", topic, payload, lambda: settled.seqs.append(0), at_ns=START_NS)
    settle_all(engine.step([bad, settled.hear(1)]))
    assert engine.journal.rejections() == {reason: 1}
    (kept,) = engine.journal.quarantine(limit=9)
    assert (kept.origin, kept.reason, kept.payload) == (topic, reason, payload)
    assert (engine.stats.rejected, engine.stats.packs) == (1, 1)
    assert settled.seqs == [0, 1]
    assert versions(engine) == [1]


def test_what_was_refused_before_is_kept_too(build: Build) -> None:
    """Input that a driver or handler refused lands in the same quarantine."""
    engine = build()
    engine.step([Spoiled(Quarantined(1, "hall/p1/telemetry", "not_json", "cut off", b"{"))])
    assert engine.journal.rejections() == {"not_json": 1}
    assert engine.stats.rejected == 1


# -- the order of a log -------------------------------------------------------------------------------------------


def test_twice_is_once(build: Build) -> None:
    """A pack that comes again is skipped and settled, in the same step, in a later one, and after a restart."""
    engine, settled = build(), Settled()
    engine.step([settled.hear(1), settled.hear(1)])
    settle_all(engine.step([settled.hear(1), settled.hear(2)]))
    assert settled.seqs == [1, 2]
    engine.journal.close()
    again = build()
    again.step([settled.hear(1), settled.hear(2)])
    assert versions(again) == [1, 2]
    assert (engine.stats.skipped, again.stats.skipped) == (2, 2)


def test_a_pack_that_was_had_makes_us_say_again_how_far_we_are(build: Build) -> None:
    """A producer that sends what we have did not hear our watermark, so it is told again."""
    engine, settled = build(), Settled()
    engine.step([settled.hear(1), settled.hear(2)])
    outcome = engine.step([settled.hear(2)])
    assert outcome.marks == {"gateway-1": Cursor(EPOCH, 2)}
    assert engine.journal.cursors() == {"gateway-1": Cursor(EPOCH, 2)}


def test_a_gap_is_asked_for_and_not_processed(build: Build) -> None:
    """While rows are missing that the producer still holds, nothing after them has an effect; the gap is counted."""
    engine, settled = build(), Settled()
    engine.step([settled.hear(1)])
    outcome = engine.step([settled.hear(3), settled.hear(4)])
    assert outcome.asks == {"gateway-1": Cursor(EPOCH, 1)}
    assert versions(engine) == [1]
    assert (engine.stats.gaps, engine.stats.lost) == (1, 0)
    engine.step([settled.hear(2), settled.hear(3), settled.hear(4)])
    assert versions(engine) == [1, 2, 3, 4]
    assert engine.stats.skipped == 0


def test_rows_gone_for_good_are_counted_as_lost(build: Build) -> None:
    """When the producer no longer holds the rows between, they are counted, once, and the rest goes on."""
    engine, settled = build(), Settled()
    engine.step([settled.hear(1)])
    engine.step([settled.hear(6, lowest=6)])
    assert engine.stats.lost == 4
    assert versions(engine) == [1, 2]
    assert engine.journal.cursors() == {"gateway-1": Cursor(EPOCH, 6)}


def test_loss_and_gap_at_once_are_both_counted(build: Build) -> None:
    """Rows 2 to 4 are gone and 5 is still to be had: 3 lost, a gap, and an ask from 4 on."""
    engine, settled = build(), Settled()
    engine.step([settled.hear(1)])
    outcome = engine.step([settled.hear(6, lowest=5)])
    assert outcome.asks == {"gateway-1": Cursor(EPOCH, 4)}
    assert (engine.stats.lost, engine.stats.gaps) == (3, 1)
    engine.step([settled.hear(5, lowest=5), settled.hear(6, lowest=5)])
    assert (engine.stats.lost, versions(engine)) == (3, [1, 2, 3])


def test_a_new_epoch_starts_over(build: Build) -> None:
    """A producer with a new file begins at its first row again; what comes late from the old file is skipped."""
    engine = build()
    engine.step([heard(make_pack([make_batch([1.0])], agent="g", seq=seq)) for seq in (1, 2, 3)])
    engine.step([heard(make_pack([make_batch([1.0])], agent="g", seq=1, epoch="e1"))])
    engine.step([heard(make_pack([make_batch([1.0])], agent="g", seq=3))])
    assert engine.journal.cursors() == {"g": Cursor("e1", 1)}
    assert engine.journal.past("g") == {EPOCH: Cursor(EPOCH, 3)}
    assert versions(engine) == [1, 2, 3, 4]


def live(seq: int, first: int, agent: str = "g") -> Heard:
    """Row `seq` of a producer whose first live row is `first`."""
    return heard(msgspec.structs.replace(make_pack([make_batch([float(seq)])], agent=agent, seq=seq), live=first))


def test_live_rows_are_taken_before_older_ones(build: Build) -> None:
    """Each once, in whatever steps they come, also over a restart; the cursor on the disk says what is missing."""
    engine = build()
    engine.step([live(1, 0)])
    outcome = engine.step([live(6, 6), live(2, 6), live(7, 6)])
    assert outcome.marks == {"g": Cursor(EPOCH, 2, ((6, 7),))} == engine.journal.cursors()
    assert (versions(engine), engine.stats.lost) == ([1, 2, 3, 4], 0)
    outcome = engine.step([live(6, 6), live(4, 6), live(9, 6)])
    assert outcome.asks == {"g": Cursor(EPOCH, 2, ((6, 7),))}
    assert engine.stats.skipped == 1
    engine._rebuild()
    engine.step([live(3, 6), live(4, 6), live(5, 6), live(7, 6), live(8, 6)])
    assert engine.journal.cursors() == {"g": Cursor(EPOCH, 8)}
    assert versions(engine) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_core_that_rehearses_has_its_rows_in_order(build: Build) -> None:
    """What the owner before had comes first, whatever its producer sends first."""

    class Rehearsing(Tally):
        def rehearses(self, gateway: str) -> bool:
            return gateway == "g"

    engine = build(Rehearsing)
    engine.step([live(1, 0), live(1, 0, "h")])
    outcome = engine.step([live(6, 6), live(6, 6, "h")])
    assert outcome.asks == {"g": Cursor(EPOCH, 1)}
    assert engine.journal.cursors() == {"g": Cursor(EPOCH, 1), "h": Cursor(EPOCH, 1, ((6, 6),))}


def test_a_gateway_given_and_taken(build: Build) -> None:
    """The core adopts a gateway with its open alerts; one that is taken leaves neither state nor cursor behind."""
    engine, settled = build(), Settled()
    engine.step([Given("gateway-1", [make_alert()]), settled.hear(1)])
    core = engine.core
    assert isinstance(core, Tally)
    assert core.moves == ["+gateway-1 1"]
    engine.step([Taken("gateway-1")])
    assert core.moves == ["+gateway-1 1", "-gateway-1"]
    assert engine.journal.cursors() == {}


@pytest.mark.parametrize("back", [False, True])
def test_a_gateway_taken_and_given_back_in_one_step(build: Build, back: bool) -> None:
    """The cursor of before is left on the disk by nobody and said to nobody; that of after counts."""
    engine, settled = build(), Settled()
    engine.step([settled.hear(1), settled.hear(2)])
    after: list[Item] = [Given("gateway-1", []), settled.hear(7, lowest=7)] if back else []
    outcome = engine.step([settled.hear(3), Taken("gateway-1"), *after])
    now = {"gateway-1": Cursor(EPOCH, 7)} if back else {}
    assert (outcome.marks, engine.journal.cursors()) == (now, now)


def test_answers_and_cards_reach_the_core(build: Build) -> None:
    """An answer is decoded strictly with its topic's name, cards come as they are."""
    engine = build()
    order = "0" * 32
    payload = f'{{"executor":"ana","order":"{order}","attempt":1,"answer":"done"}}'.encode()
    topic = "edgemesh/v1/site/answer/ana"
    engine.step(
        [
            Heard("answers", "ana", topic, payload, lambda: None),
            Heard("answers", "ben", topic, payload, lambda: None),
            Noticed(Cards((make_card("ana"),))),
        ]
    )
    core = engine.core
    assert isinstance(core, Tally)
    assert [type(each) for each in core.handled] == [Answers, Cards]
    assert engine.journal.rejections() == {"id_mismatch": 1}


# -- time ---------------------------------------------------------------------------------------------------------


def test_time_passes_in_the_order_of_arrival(build: Build) -> None:
    """Between items that came more than 100 ms apart the core is ticked with the time at which the later one came."""
    engine, settled = build(), Settled()
    engine.step([settled.hear(1, at_s=1.0), settled.hear(2, at_s=1.05), settled.hear(3, at_s=2.0)])
    core = engine.core
    assert isinstance(core, Tally)
    assert core.ticks == [at(1.0), at(2.0)]


def test_time_never_falls_for_a_core(build: Build) -> None:
    """An item that had come before the time of the last step does not turn the clock back."""
    clock = FixedClock()
    engine, settled = build(clock=clock), Settled()
    clock.advance(10)
    engine.step([])
    outcome = engine.step([settled.hear(1, at_s=9.9)])
    core = engine.core
    assert isinstance(core, Tally)
    assert core.ticks == [at(10), at(10)]
    assert outcome.rows[0].at_ns == at(10)


def test_a_busy_detector_makes_no_false_silent_alert(build: Build) -> None:
    """A device that spoke on time is not silent because the detector was busy: time passes as things came."""
    clock = FixedClock()
    rules = DetectSettings(rule=(SilentRule(after=Seconds(2.0)),))
    engine = build(lambda: DetectorCore("agent-1", "site", rules, {}), clock=clock)

    def item(seq: int) -> Heard:
        return heard(make_pack([make_batch([1.0], at_s=seq)], agent="g", seq=seq), at_s=float(seq))

    engine.step([item(seq) for seq in range(1, 6)])
    clock.advance(15)  # busy for ten seconds: what came meanwhile has waited
    engine.step([item(seq) for seq in range(6, 16)])
    engine.step([])
    assert outbox(engine) == []
    clock.advance(3)
    engine.step([])
    assert [alert.kind.value for alert in outbox(engine) if isinstance(alert, Alert)] == ["silent"]


def test_where_data_is_the_clock_each_pack_has_its_own_tick_and_row(build: Build) -> None:
    """However packs are grouped into steps, each has its tick and its row, stamped with its own time."""
    engine = build(clock=DataClock())
    packs = [make_pack([make_batch([1.0], at_s=10.0 * seq)], agent="g", seq=seq) for seq in (1, 2, 3, 4)]
    arrived = [Heard(*_parts(pack), at_ns=0) for pack in packs]  # all came before any was handled
    engine.step(arrived[:2])
    engine.step(arrived[2:3])
    engine.step(arrived[3:])
    rows = engine.journal.rows(0, limit=9, max_bytes=10**6)
    assert [row.at_ns for row in rows] == [at(10), at(20), at(30), at(40)]
    core = engine.core
    assert isinstance(core, Tally)
    assert sorted(set(core.ticks)) == [0, at(10), at(20), at(30), at(40)]


@pytest.mark.parametrize("split", [1, 2, 3, 6])
def test_a_gateway_that_replays_stamps_rows_with_the_recorded_time(build: Build, split: int) -> None:
    """Samples of different times become different rows, each with its own time, however they are grouped."""
    engine = build(GatewayCore, writes="readings", clock=DataClock())
    source = make_source()
    items = [Offered((make_sample(1.0, source=source, at_s=float(second)),)) for second in range(1, 7)]
    for start in range(0, 6, split):
        engine.step(items[start : start + split])
    rows = engine.journal.rows(0, limit=9, max_bytes=10**6)
    assert [row.at_ns for row in rows] == [at(second) for second in range(1, 7)]


def test_on_a_machines_clock_samples_of_one_step_are_one_row(build: Build) -> None:
    """The group commit: what came during a commit goes out together."""
    engine = build(GatewayCore, writes="readings")
    source = make_source()
    items = [Offered((make_sample(float(second), source=source, at_s=float(second)),)) for second in range(100)]
    outcome = engine.step(items)
    assert len(outcome.rows) == 1
    assert engine.stats.readings == 100


# -- restart ------------------------------------------------------------------------------------------------------


def test_a_restart_goes_on(build: Build) -> None:
    """State, cursors, epoch and numbering of rows go on after the process was gone."""
    engine, settled = build(), Settled()
    engine.step([settled.hear(1), settled.hear(2)])
    epoch = engine.journal.epoch
    engine.journal.close()
    again = build()
    assert again.journal.epoch == epoch
    outcome = again.step([settled.hear(2), settled.hear(3)])
    assert [row.seq for row in outcome.rows] == [2]
    assert versions(again) == [1, 2, 3]


def test_housekeeping_prunes_what_all_have_and_is_old(build: Build) -> None:
    """Rows go once every reader has them and they are older than asked; sinks are trimmed."""
    clock = FixedClock()
    engine, settled = build(clock=clock, sinks=[Ledger()]), Settled()
    for seq in range(1, 6):
        clock.advance(10)
        engine.step([settled.hear(seq, at_s=10.0 * seq)])
    engine.keep_house(4, keep_s=25.0)
    assert (engine.journal.lowest, engine.journal.head) == (3, 5)
    engine.keep_house(4, keep_s=0.0)
    assert engine.journal.lowest == 5


def test_large_outputs_are_split_into_packs_that_fit(build: Build) -> None:
    """A step that yields more than a message may hold becomes several rows, each of which decodes as a pack."""
    engine = build(GatewayCore, writes="readings")
    metrics = [f"metric-{number}" for number in range(100)]
    source = Source("d", "a", tuple(metrics), ("1",) * 100)
    values = tuple(float(number) + 0.123456789012 for number in range(100))
    samples = [
        msgspec.structs.replace(make_sample(1.0, at_s=second), source=source, values=values) for second in range(500)
    ]
    outcome = engine.step([Offered(samples)])
    assert len(outcome.rows) > 1
    for row in outcome.rows:
        payload = codec.encode_pack(
            "readings", agent="g", epoch=EPOCH, seq=row.seq, lowest=1, at_ns=row.at_ns, body=row.body
        )
        assert codec.decode_pack(payload, kind="readings", agent="g").seq == row.seq
    assert engine.stats.readings == 50_000


# -- the law ------------------------------------------------------------------------------------------------------

LIMIT = DetectSettings(
    rule=(LimitRule(name="low", metric="flow", below=10.0, clear=12.0, hold=Seconds(2.0), clear_hold=Seconds(1.0)),)
)


def _limit_core() -> Core:
    return DetectorCore("agent-1", "site", LIMIT, {})


def _written(steps: Sequence[Sequence[Item] | None], make_core: Callable[[], Core]) -> list[Record]:
    """What an engine writes that takes these steps; None: the process is gone and starts again."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "agent.db"
        journal = Journal.open(path, "agent-1")
        dropped = [journal]
        engine = Engine(journal, make_core, FixedClock(), writes="alerts")
        for step in steps:
            if step is None:  # not closed: killed
                dropped.append(Journal.open(path, "agent-1"))
                engine = Engine(dropped[-1], make_core, FixedClock(), writes="alerts")
            else:
                engine.step(step)
        found = outbox(engine)
        for each in dropped:
            each.close()
        return found


@settings(max_examples=25, deadline=None)
@given(
    values=st.lists(st.sampled_from([5.0, 11.0, 20.0]), min_size=1, max_size=25),
    cuts=st.lists(st.tuples(st.integers(0, 25), st.booleans(), st.booleans()), max_size=6),
    data_core=st.booleans(),
)
@example(values=[5.0] * 6 + [20.0] * 6, cuts=[(3, True, False), (8, True, True)], data_core=True)
def test_law_grouping_and_crashes_change_nothing(
    values: list[float], cuts: list[tuple[int, bool, bool]], data_core: bool
) -> None:
    """However items are grouped into steps, wherever the process is killed between two, and whatever comes again after
    it, the outbox holds the same records.
    """
    make_core: Callable[[], Core] = _limit_core if data_core else Tally
    packs = [make_pack([make_batch([value], at_s=seq)], agent="g", seq=seq) for seq, value in enumerate(values, 1)]
    items = [heard(pack, at_s=float(pack.seq)) for pack in packs]
    whole = _written([items], make_core)
    steps: list[Sequence[Item] | None] = []
    begun = 0
    for cut, crash, again in sorted(cuts):
        end = min(cut, len(items))
        steps.append(items[0 if again else begun : end])
        steps += [None] if crash else []
        begun = end
    steps.append(items[begun:])
    assert _written(steps, make_core) == whole
    if data_core and values == [5.0] * 6 + [20.0] * 6:
        assert [record.state for record in whole if isinstance(record, Alert)] == [
            AlertState.FIRING,
            AlertState.CLEARED,
        ]


def _parts(pack: Pack) -> tuple[str, str, str, bytes, Callable[[], None]]:
    item = heard(pack)
    return item.kind, item.agent, item.topic, item.payload, item.settle


def test_the_core_that_fails_is_logged_with_its_trace(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    """A fault of the program is said in the log, with agent, topic and trace."""
    engine, settled = build(), Settled()
    with caplog.at_level(logging.ERROR):
        engine.step([settled.hear(1, POISON)])
    assert "agent-1: the core failed on edgemesh/v1/site/log/readings/gateway-1" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_samples_reach_a_core_as_one_input(build: Build) -> None:
    """All samples of one call stay together."""
    engine = build(writes="alerts")
    source = make_source()
    engine.step([Offered([make_sample(1.0, source=source), make_sample(2.0, source=source)])])
    core = engine.core
    assert isinstance(core, Tally)
    assert [len(each.records) for each in core.handled if isinstance(each, Samples)] == [2]
