"""The mirror: what the history keeps is in the spool, in the same transaction, as the documented points."""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemesh.model.agents import Card, Presence, Role
from edgemesh.model.alerts import Alert, AlertKind, AlertState, Evidence, Review, Severity, Stage
from edgemesh.model.ids import derive_id
from edgemesh.model.orders import OrderState, Priority, Verdict, WorkOrder
from edgemesh.model.packs import Alerts, Orders, Pack, Readings
from edgemesh.model.samples import Batch, Quality, Retimed
from edgemesh.model.spans import Link, Span
from edgemesh.model.told import Line, LineLevel, Lines, Score, Scores
from edgemesh.store.influx.lines import line
from edgemesh.store.influx.measurements import MARKER, MEASUREMENTS, markdown
from edgemesh.store.influx.mirror import InfluxMirror
from edgemesh.store.influx.places import place
from edgemesh.store.influx.points import alert_point, card_points, order_point, span_points
from edgemesh.store.influx.progress import Progress
from edgemesh.store.influx.reader import Place, SpoolReader
from edgemesh.store.influx.spool import Lane, Spool
from edgemesh.store.schema import MINUTE_NS
from edgemesh.store.sink import HistorySink
from tests.unit.store.influx.parser import Parsed, Point, parse
from tests.unit.store.test_rollup_laws import START_MINUTE, Given, batches, make_packs
from tests.unit.wire.strategies import spans as any_spans

DOCUMENT = Path(__file__).parents[4] / "docs" / "measurements.md"
SECOND_NS = 10**9
START_NS = 28_000_000 * MINUTE_NS
TYPES = {"float": float, "integer": int, "string": str}


class Recorder:
    """A recorder's database, with the history's sink and a mirror; everything that is sent is read from the spool."""

    def __init__(self, path: Path, *, max_series: int = 1_000) -> None:
        self.path, self.max_series = path, max_series
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = OFF")
        self.reader = SpoolReader(path)
        self.places = dict.fromkeys(Lane, Place())
        self.seq = 0
        self.open()

    def open(self) -> None:
        """As after a start."""
        self.progress = Progress()
        self.spool = Spool(self.progress)
        self.mirror = InfluxMirror("hall", self.spool, self.progress, rollups=True, max_series=self.max_series)
        self.sink = HistorySink(mirror=self.mirror)
        with self.transaction():
            self.sink.prepare(self.connection)

    @contextmanager
    def transaction(self, how: str = "COMMIT") -> Iterator[None]:
        self.connection.execute("BEGIN IMMEDIATE")
        yield
        self.connection.execute(how)

    def write(self, *packs: Pack, how: str = "COMMIT") -> None:
        with self.transaction(how):
            self.sink.write(self.connection, packs)

    def trim(self, now_ns: int) -> None:
        with self.transaction():
            self.sink.trim(self.connection, now_ns)

    def readings(self, *batches: Batch, live: int = 0, retimed: tuple[Retimed, ...] = ()) -> Readings:
        self.seq += 1
        return Readings(
            agent="g1", epoch="0", seq=self.seq, lowest=1, at_ns=1, records=batches, live=live, retimed=retimed
        )

    def sent(self, lane: Lane = Lane.READINGS) -> list[Point]:
        """What is new in a lane."""
        points: list[Point] = []
        while request := self.reader.take(lane, self.places[lane], 5_000):
            self.places[lane] = request.ends
            points += [parse(text) for text in request.body.decode().split("\n")]
        return points

    def close(self) -> None:
        self.reader.close()
        self.connection.close()


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Callable[..., Recorder]]:
    made: list[Recorder] = []

    def make(**options: int) -> Recorder:
        made.append(Recorder(tmp_path / "recorder.db", **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def batch(
    offsets_s: Sequence[float],
    values: Sequence[float | None],
    *,
    device: str = "p1",
    quality: Sequence[Quality] | None = None,
    clock: int = 0,
) -> Batch:
    return Batch(
        device=device,
        asset="pump-1",
        metrics=("flow",),
        units=("m3/h",),
        at_ns=tuple(START_NS + round(offset * SECOND_NS) for offset in offsets_s),
        values=(tuple(values),),
        quality=None if quality is None else (tuple(quality),),
        clock=clock,
    )


def make_alert(version: int = 1, state: AlertState = AlertState.FIRING, *, at_s: float = 5.0, clock: int = 0) -> Alert:
    return Alert(
        id=derive_id("one"),
        version=version,
        asset="pump-1",
        kind=AlertKind.MACHINE,
        state=state,
        severity=Severity.WARNING,
        cause='flow is "low", = 3\nlines',
        evidence=(Evidence(rule="flow low", metric="flow", device="p1", value=60.0, score=1.5),),
        onset_at_ns=START_NS,
        raised_at_ns=START_NS + SECOND_NS,
        at_ns=START_NS + round(at_s * SECOND_NS),
        gateway="g1",
        cleared_at_ns=START_NS + 9 * SECOND_NS if state is AlertState.CLEARED else None,
        clock=clock,
    )


def make_order(version: int = 1, state: OrderState = OrderState.OPEN, executor: str | None = None) -> WorkOrder:
    return WorkOrder(
        id=derive_id("order"),
        version=version,
        asset="pump-1",
        alert=derive_id("one"),
        state=state,
        title="look",
        cause="flow is low",
        priority=Priority.P2,
        skills={"mechanics": 0.5, "hydraulics": 0.75},
        at_ns=START_NS + 60 * SECOND_NS,
        opened_at_ns=START_NS,
        executor=executor,
        dispatched_at_ns=START_NS + 2 * SECOND_NS,
        deadline_at_ns=START_NS + 30 * SECOND_NS,
    )


def alerts(*records: Alert) -> Alerts:
    return Alerts(agent="d1", epoch="0", seq=1, lowest=1, at_ns=1, records=records)


def orders(*records: WorkOrder) -> Orders:
    return Orders(agent="s1", epoch="0", seq=1, lowest=1, at_ns=1, records=records)


SERIES = {"site": "hall", "gateway": "g1", "asset": "pump-1", "device": "p1", "metric": "flow"}


def test_readings_are_points_at_their_own_time(recorder: Callable[..., Recorder]) -> None:
    """Each reading is one point of its series; what is not good says so, what is not there or not finite is none."""
    one = recorder()
    good = one.readings(batch((0, 1, 61), (1.5, None, -2.0)))
    odd = one.readings(
        batch((2, 3, 4), (3.0, float("nan"), 5.0), quality=(Quality.BAD, Quality.GOOD, Quality.UNCERTAIN))
    )
    one.write(good, odd)
    assert one.sent() == [
        Point("reading", SERIES, {"value": 1.5}, START_NS),
        Point("reading", SERIES, {"value": -2.0}, START_NS + 61 * SECOND_NS),
        Point("reading", SERIES, {"value": 3.0, "quality": 2}, START_NS + 2 * SECOND_NS),
        Point("reading", SERIES, {"value": 5.0, "quality": 1}, START_NS + 4 * SECOND_NS),
    ]


def test_what_is_rolled_back_is_not_sent(recorder: Callable[..., Recorder]) -> None:
    """A transaction that fails leaves no line behind; the same packs again are there once, with their roll-ups."""
    one = recorder()
    pack = one.readings(batch((0, 1), (1.0, 2.0)))
    one.write(pack, alerts(make_alert()), how="ROLLBACK")
    assert one.sent() == []
    one.write(pack, alerts(make_alert()))
    assert [point.fields["value"] for point in one.sent()] == [1.0, 2.0]
    assert len(one.sent(Lane.EVENTS)) == 1
    one.trim(START_NS + 2 * MINUTE_NS)
    assert [point.fields["count"] for point in one.sent(Lane.ROLLUPS)] == [2]


def test_a_backlog_is_marked_late(recorder: Callable[..., Recorder]) -> None:
    """Rows before the first live one had to wait: their points are at their own time, and marked."""
    one = recorder()
    one.write(one.readings(batch((0,), (1.0,)), live=2), one.readings(batch((1,), (2.0,)), live=2))
    assert [(point.fields.get("late"), point.at_ns) for point in one.sent()] == [
        (1, START_NS),
        (None, START_NS + SECOND_NS),
    ]


def test_readings_of_a_clock_in_doubt_come_when_their_time_is_known(recorder: Callable[..., Recorder]) -> None:
    """Nothing is written at a time that is not believed; once it is known, readings and alerts are at the true one."""
    one = recorder()
    one.write(one.readings(batch((0, 1), (1.0, 2.0), clock=7)), alerts(make_alert(clock=7)))
    assert one.sent() == []
    assert one.sent(Lane.EVENTS) == []
    right = Retimed(clock=7, from_ns=0, until_ns=START_NS + 100 * SECOND_NS, by_ns=3_600 * SECOND_NS)
    one.write(one.readings(retimed=(right,)))
    true_ns = START_NS + 3_600 * SECOND_NS
    assert [(p.at_ns, p.fields) for p in one.sent()] == [
        (true_ns, {"value": 1.0, "quality": 0, "late": 1}),
        (true_ns + SECOND_NS, {"value": 2.0, "quality": 0, "late": 1}),
    ]
    assert [point.at_ns for point in one.sent(Lane.EVENTS)] == [true_ns + 5 * SECOND_NS]


def test_roll_ups_are_sent_when_their_bucket_is_over(recorder: Callable[..., Recorder]) -> None:
    """A minute and ten minutes are sent once; a reading that comes late has them sent anew, right."""
    one = recorder()
    one.write(one.readings(batch((0, 30, 59), (1.0, 4.0, 2.0)), batch((70,), (9.0,))))
    one.trim(START_NS + 30 * SECOND_NS)
    assert one.sent(Lane.ROLLUPS) == []
    one.trim(START_NS + 70 * SECOND_NS)
    minute: dict[str, Parsed] = {"count": 3, "mean": 7 / 3, "min": 1.0, "max": 4.0, "last": 2.0}
    assert one.sent(Lane.ROLLUPS) == [Point("reading_1m", SERIES, minute, START_NS)]
    one.trim(START_NS + 75 * SECOND_NS)
    assert one.sent(Lane.ROLLUPS) == []
    one.trim(START_NS + 11 * MINUTE_NS)
    ten: dict[str, Parsed] = {"count": 4, "mean": 4.0, "min": 1.0, "max": 9.0, "last": 9.0}
    rest = one.sent(Lane.ROLLUPS)
    assert [point.measurement for point in rest] == ["reading_1m", "reading_10m"]
    assert rest[1] == Point("reading_10m", SERIES, ten, START_NS)
    one.write(one.readings(batch((45,), (41.0,)), live=99))
    one.trim(START_NS + 12 * MINUTE_NS)
    again = {point.measurement: point for point in one.sent(Lane.ROLLUPS)}
    assert again["reading_1m"].fields == {"count": 4, "mean": 12.0, "min": 1.0, "max": 41.0, "last": 2.0}
    assert again["reading_10m"].fields["count"] == 5


def test_due_roll_ups_survive_a_restart(recorder: Callable[..., Recorder]) -> None:
    """What was due before a crash is sent after it."""
    one = recorder()
    one.write(one.readings(batch((0,), (1.0,))))
    one.open()
    one.trim(START_NS + 2 * MINUTE_NS)
    assert [point.measurement for point in one.sent(Lane.ROLLUPS)] == ["reading_1m"]


def test_versions_at_one_instant_do_not_fall_on_each_other(recorder: Callable[..., Recorder]) -> None:
    """Points of one series at one time are moved by 1 ns; what comes twice, also after a restart, is the same point."""
    one = recorder()
    twins = [make_alert(), make_alert(version=2), make_alert(version=3)]
    one.write(alerts(*twins))
    times = [point.at_ns for point in one.sent(Lane.EVENTS)]
    assert times == [START_NS + 5 * SECOND_NS + shift for shift in (0, 1, 2)]
    one.open()
    one.write(alerts(twins[1]), alerts(make_alert(version=4)))
    assert [point.at_ns for point in one.sent(Lane.EVENTS)] == [times[1], times[2] + 1]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 9)), max_size=40))
def test_places_differ_and_stay(wanted: list[tuple[int, int]]) -> None:
    """Each identity has one place for good, at its time or after it, and no two of a series have the same."""
    connection = sqlite3.connect(":memory:")
    try:
        Spool(Progress()).prepare(connection)
        places: dict[str, int] = {}
        for at_ns, who in wanted:
            identity = f"{who}@{at_ns}"
            found = place(connection, "m", at_ns, identity)
            assert places.setdefault(identity, found) == found >= at_ns
        assert len(set(places.values())) == len(places)
    finally:
        connection.close()


@settings(max_examples=50, deadline=None)
@given(st.lists(batches(), max_size=12), st.lists(st.integers(0, 3), max_size=6), st.lists(st.booleans(), max_size=20))
def test_law_what_was_sent_is_what_the_history_holds(
    given_batches: list[Given], sizes: list[int], trims: list[bool]
) -> None:
    """Readings in any order, with times that come again: point by point, as a server takes them, readings and roll-ups
    are in the end those of the history.
    """
    with tempfile.TemporaryDirectory() as folder, closing(Recorder(Path(folder) / "recorder.db")) as one:
        for number, pack in enumerate(make_packs(given_batches, sizes)):
            if not number % 3:
                one.write(pack, how="ROLLBACK")
            one.write(pack)
            if number < len(trims) and trims[number]:
                one.trim((START_MINUTE + 2 * number) * MINUTE_NS)
        for minutes in (40, 41):
            one.trim((START_MINUTE + minutes) * MINUTE_NS)
        names = "device || '/' || metric"
        held = f"SELECT {names}, at_ns, value, quality FROM reading JOIN series ON series.id = reading.series"
        readings = as_taken(one.sent())
        assert {(name, at_ns): (value, how) for name, at_ns, value, how in one.connection.execute(held)} == {
            (name, at_ns): (fields["value"], fields.get("quality", 0)) for (_, name, at_ns), fields in readings.items()
        }
        rollups = as_taken(one.sent(Lane.ROLLUPS))
        for width, table in ((1, "rollup_1min"), (10, "rollup_10min")):
            query = f"SELECT {names}, bucket, n, total, low, high, last FROM {table} JOIN series ON id = series"
            for name, bucket, n, total, low, high, last in one.connection.execute(query):
                point = rollups[f"reading_{width}m", name, bucket * width * MINUTE_NS]
                assert point == {"count": n, "mean": total / n, "min": low, "max": high, "last": last}


def as_taken(points: Sequence[Point]) -> dict[tuple[str, str, int], dict[str, Parsed]]:
    """What a server holds after these points: of each series and time the fields that were written last."""
    held: dict[tuple[str, str, int], dict[str, Parsed]] = {}
    for point in points:
        name = f"{point.tags['device']}/{point.tags['metric']}"
        held.setdefault((point.measurement, name, point.at_ns), {}).update(point.fields)
    return held


def test_orders_tell_how_long_things_took(recorder: Callable[..., Recorder]) -> None:
    """A work order's point holds its state, who has it, the skill most needed, and durations from its opening."""
    one = recorder()
    one.write(orders(make_order(2, OrderState.DISPATCHED, "ana")))
    (point,) = one.sent(Lane.EVENTS)
    tags = {"site": "hall", "asset": "pump-1", "executor": "ana", "priority": "P2", "skill": "hydraulics"}
    assert point.tags == tags | {"state": "dispatched"}
    assert (point.fields["age_s"], point.fields["dispatched_after_s"], point.fields["due_s"]) == (60.0, 2.0, -30.0)


def test_a_provisional_alert_and_a_verdict_can_be_told() -> None:
    """Who decided, what the site made of it, and what was found: absent where nobody has said it."""
    ours = alert_point("hall", make_alert())[1]
    judged = msgspec.structs.replace(make_alert(), stage=Stage.GATEWAY, review=Review.WITHDRAWN)
    theirs = alert_point("hall", judged)[1]
    assert (ours["stage"], "review" in ours) == ("site", False)
    assert (theirs["stage"], theirs["review"]) == ("gateway", "withdrawn")
    found = msgspec.structs.replace(make_order(), verdict=Verdict.FALSE_ALARM)
    assert "verdict" not in order_point("hall", make_order())[1]
    assert order_point("hall", found)[1]["verdict"] == "false_alarm"


def test_names_that_go_wild_are_kept_out_and_their_data_kept(
    recorder: Callable[..., Recorder], caplog: pytest.LogCaptureFixture
) -> None:
    """Beyond `max_series` no series is made: readings are fields of one that is, none on another, and it is said."""
    one = recorder(max_series=3)
    packs = [one.readings(batch((0,), (float(n),), device=f"d{n}")) for n in range(10)]
    one.write(*packs)
    points = one.sent()
    assert len({tuple(point.tags.items()) for point in points if point.measurement == "reading"}) == 3
    wild = [point for point in points if point.measurement == "reading_overflow"]
    assert {(point.fields["device"], point.fields["value"]) for point in wild} == {
        (f"d{n}", float(n)) for n in range(3, 10)
    }
    assert {tuple(point.tags.items()) for point in wild} == {(("gateway", "g1"), ("site", "hall"))}
    assert len({point.at_ns for point in wild}) == 7
    assert "max_series" in one.mirror.trouble
    assert one.mirror.stats()["series_refused"] == 7.0
    assert sum("kept out" in text for text in caplog.messages) == 1
    one.open()
    one.write(one.readings(batch((1,), (1.0,), device="d2")), one.readings(batch((1,), (1.0,), device="d9")))
    assert [point.measurement for point in one.sent()] == ["reading", "reading_overflow"], "those that are in stay in"


def make_card(name: str, beat: int, **changes: object) -> Card:
    card = Card(
        agent=name,
        role=Role.GATEWAY,
        state=Presence.UP,
        incarnation="one",
        beat=beat,
        trouble="the disk is full",
        notice="InfluxDB is slow",
        stats={"waiting": 1.0, "packs": 7.0, "lost": 2.0, "link_received": 3.0, "of my own": 1.0},
    )
    return msgspec.structs.replace(card, **changes)


def test_agents_are_told_of_from_their_cards(recorder: Callable[..., Recorder]) -> None:
    """Health, link and flow of each agent come every ten seconds; a retained card alone is no sign of life."""
    one = recorder()
    one.mirror.see(make_card("g1", 1), retained=False)
    one.mirror.see(make_card("ghost", 1), retained=True)
    one.trim(START_NS)
    points = {point.measurement: point for point in one.sent()}
    assert points.keys() == {"agent_health", "mqtt_link", "pipeline"}
    assert points["agent_health"].tags == {"site": "hall", "agent": "g1", "role": "gateway"}
    assert points["agent_health"].fields == {
        "up": 1, "load": 0, "max_load": 1, "lost": 0, "trouble": "the disk is full", "waiting": 1.0,
        "notice": "InfluxDB is slow",
    }  # fmt: skip
    assert points["pipeline"].fields == {"packs": 7.0, "rows_lost": 2.0}
    assert points["mqtt_link"].fields == {"link_received": 3.0}
    one.trim(START_NS + 5 * SECOND_NS)
    assert one.sent() == []
    one.mirror.see(make_card("g1", 1, state=Presence.DOWN), retained=False)
    one.trim(START_NS + 10 * SECOND_NS)
    assert [point.fields["up"] for point in one.sent() if "up" in point.fields] == [0]


def test_the_card_says_what_is_wrong(recorder: Callable[..., Recorder], caplog: pytest.LogCaptureFixture) -> None:
    """A server that is down is a notice once it lasts; a refused login and lines that give way are trouble."""
    one = recorder()
    health, now_s = one.progress.health, time.monotonic()
    assert (one.mirror.trouble, one.mirror.notice) == ("", "")
    health.failing, health.since_s = "Connection refused", now_s
    assert one.mirror.notice == ""
    health.since_s = now_s - 60.0
    assert one.mirror.notice == "InfluxDB can't be written, lines wait: Connection refused"
    assert one.mirror.stats()["influx_failing_s"] == pytest.approx(60.0, abs=2.0)
    health.held = "bucket `b`: 401"
    assert one.mirror.trouble == "InfluxDB takes nothing: bucket `b`: 401"
    health.held = health.failing = ""
    health.refused, health.refused_at_s = "400 no", now_s
    assert "refused lines for good: 400 no" in one.mirror.notice
    one.write(one.readings(batch((0,), (1.0,))))
    one.spool._max_bytes = 0
    one.trim(START_NS)
    assert one.mirror.trouble == "the spool for InfluxDB is full: the oldest lines give way"
    assert one.mirror.stats()["spool_dropped"] > 0
    assert sum("give way" in text for text in caplog.messages) == 1


def make_span(number: int) -> Span:
    """One of several that began at once, and goes on from another trace."""
    link = Link(trace_id="b" * 32, span_id="c" * 16)
    return Span(
        trace_id=f"{number:032x}", span_id="d" * 16, name="score", role=Role.DETECTOR, agent="d1", start_ns=START_NS,
        duration_ns=400, attributes={"edgemesh.version": 1}, links=(link,),
    )  # fmt: skip


def test_spans_that_began_at_once_are_each_a_point_of_few_series(recorder: Callable[..., Recorder]) -> None:
    """Ids are fields, so all spans of a stage are one series; told again they are the same to the letter."""
    one = recorder()
    for _ in range(2):
        with one.transaction():
            one.mirror.spans(one.connection, [make_span(1), make_span(2)])
    points = [point for point in one.sent(Lane.SPANS) if point.measurement == "spans"]
    assert {tuple(sorted(point.tags.items())) for point in points} == {
        (("service.name", "detector"), ("site", "hall"), ("span.name", "score"))
    }
    assert sorted(point.at_ns for point in points) == [START_NS, START_NS, START_NS + 1, START_NS + 1]
    assert {point.fields["trace_id"] for point in points} == {f"{1:032x}", f"{2:032x}"}
    assert {point.fields["end_time_unix_nano"] for point in points} == {START_NS + 400}


def test_ids_are_tags_where_the_server_can_bear_it() -> None:
    """Then they are no fields, and links are told apart by them, too."""
    made = list(span_points("hall", make_span(1), ids_as_tags=True))
    assert [measurement for measurement, _, _ in made] == ["spans", "span-links"]
    for _, head, fields in made:
        assert f"trace_id={1:032x}" in head
        assert not {"trace_id", "span_id"} & fields.keys()


SCORES = Scores(
    agent="det", every_s=10.0,
    scores=(
        Score(asset="pump-1", gateway="g1", at_ns=START_NS, score=1.5, device="p1", metric="flow"),
        Score(asset="pump-2", gateway="g1", at_ns=START_NS, score=0.5),
    ),
)  # fmt: skip
LINES = Lines(
    agent="g1",
    lines=(
        Line(at_ns=START_NS, level=LineLevel.ERROR, body="g1: hot", logger="edgemesh.x", exception="Traceback",
             trace_id="4b", span_id="0f"),
    ),
    left_out=7,
)  # fmt: skip


def conform(point: Point) -> None:
    """The point is what the tables say."""
    table = MEASUREMENTS[point.measurement]
    assert point.tags.keys() <= table.tags.keys()
    for name, value in point.fields.items():
        assert type(value) is TYPES[table.fields[name][0]], (point.measurement, name, value)


TEXT = st.text(max_size=20)
ALERTS = st.builds(
    msgspec.structs.replace,
    st.sampled_from((make_alert(), make_alert(3, AlertState.CLEARED))),
    cause=TEXT, model=TEXT, action=TEXT, consequence=TEXT, past=st.booleans(), severity=st.sampled_from(Severity),
    kind=st.sampled_from(AlertKind), confidence=st.floats(0, 1) | st.integers(0, 1),
    evidence=st.just(()) | st.just(make_alert().evidence),
)  # fmt: skip
ORDERS = st.builds(
    msgspec.structs.replace,
    st.just(make_order()),
    note=TEXT, title=TEXT, state=st.sampled_from(OrderState), executor=st.none() | st.just("ana"),
    escalated=st.booleans(), skills=st.dictionaries(st.sampled_from(("a", "b")), st.floats(0, 1)),
    back_at_ns=st.none() | st.just(START_NS),
)  # fmt: skip
NUMBERS = st.floats() | st.integers(-5, 5)
FIELDS = sorted({name for table in MEASUREMENTS.values() for name in table.fields} | {"lost", "foreign"})
CARDS = st.builds(
    msgspec.structs.replace,
    st.just(make_card("g1", 1)),
    role=st.sampled_from(Role), trouble=TEXT, stats=st.dictionaries(st.sampled_from(FIELDS), NUMBERS, max_size=10),
)  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(ALERTS, ORDERS, CARDS, any_spans)
def test_whatever_comes_is_written_as_documented(alert: Alert, order: WorkOrder, card: Card, span: Span) -> None:
    """Measurements, tags, fields and their types are those of the tables, whatever a record holds."""
    made = [alert_point("s", alert), order_point("s", order), *card_points("s", card, up=True)]
    made += [(head, fields) for _, head, fields in span_points("s", span)]
    for head, fields in made:
        if text := line(head, fields, 1):
            conform(parse(text))


def test_all_that_is_written_is_in_the_tables(recorder: Callable[..., Recorder]) -> None:
    """Each measurement of the tables is really written, and what is written is in them."""
    one = recorder(max_series=2)
    for n in range(3):
        quality = (Quality.UNCERTAIN,)
        one.write(one.readings(batch((n,), (1.0,), device=f"d{n}", quality=quality), live=9))
    one.write(alerts(make_alert(3, AlertState.CLEARED)), orders(make_order(2, OrderState.DONE, "ana")))
    with one.transaction():
        one.mirror.spans(one.connection, [make_span(1), make_span(2)])
    one.mirror.see(make_card("g1", 1), retained=False)
    for told in (SCORES, LINES):
        one.mirror.told.take_in(told)
    one.trim(START_NS + 11 * MINUTE_NS)
    points = [point for lane in Lane for point in one.sent(lane)]
    for point in points:
        conform(point)
    assert {point.measurement for point in points} == MEASUREMENTS.keys()


def test_what_is_told_is_written_once_and_guarded(recorder: Callable[..., Recorder]) -> None:
    """Scores and lines come with the next look after the store, in order; beyond `max_series` they are left out."""
    one = recorder(max_series=1)
    one.mirror.told.take_in(SCORES)
    one.mirror.told.take_in(LINES)
    one.trim(START_NS)
    points = one.sent()
    assert [(point.measurement, point.at_ns) for point in points] == [("score", START_NS), ("logs", START_NS)]
    assert points[0].tags == {"site": "hall", "gateway": "g1", "asset": "pump-1"}
    assert points[0].fields == {"score": 1.5, "method": "model", "device": "p1", "metric": "flow"}
    assert points[1].tags == {"site": "hall", "agent": "g1", "severity_text": "ERROR"}
    assert points[1].fields == {
        "body": "g1: hot", "severity_number": 17, "left_out": 7, "trace_id": "4b", "span_id": "0f",
        "attributes": '{"logger.name":"edgemesh.x","exception.stacktrace":"Traceback"}',
    }  # fmt: skip
    assert one.mirror.stats()["series_refused"] == 1
    one.trim(START_NS + SECOND_NS)
    assert one.sent() == []


def test_the_document_holds_the_tables() -> None:
    """docs/measurements.md says what the code says, and a field has one type wherever it is."""
    text = DOCUMENT.read_text(encoding="utf-8")
    again = "write it anew: python -m edgemesh.store.influx.measurements docs/measurements.md"
    assert text.partition(MARKER)[2] == markdown(), again
    types: dict[str, str] = {}
    for table in MEASUREMENTS.values():
        for name, (kind, _) in table.fields.items():
            assert types.setdefault(name, kind) == kind, f"`{name}` has two types"
