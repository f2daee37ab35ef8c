"""Why: the chain of one alert out of a history, and the sketch of its metric."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemesh.console.sketch import COARSE, FINE, sketch
from edgemesh.console.why import MOST_POINTS, Why, explain
from edgemesh.model.alerts import Alert, AlertState, Evidence, Severity
from edgemesh.model.orders import OrderState
from edgemesh.model.packs import Pack
from edgemesh.store.history import History, HistorySink
from edgemesh.testing import at, make_alert, make_batch, make_order, make_pack

LOW = Evidence(rule="flow low", metric="flow", device="pump-1", value=60.0, unit="m3/h", normal="> 80", score=3.0)
HEAD = Evidence(rule="head low", metric="head", device="pump-1", value=1.0, unit="bar", normal="2 to 3 bar", score=9.0)


def _history(file: Path, packs: Sequence[Pack]) -> History:
    connection = sqlite3.connect(file, isolation_level=None)
    sink = HistorySink()
    connection.execute("BEGIN")
    sink.prepare(connection)
    for each in packs:
        sink.write(connection, [each])
    connection.execute("COMMIT")
    connection.close()
    return History(file)


def _alerts() -> list[Alert]:
    first = msgspec.structs.replace(
        make_alert(severity=Severity.WARNING, onset_s=60.0, at_s=62.0),
        evidence=(LOW,),
        raised_at_ns=at(62.0),
        origin="gateway-1/e0/7",
        model="rules",
    )
    worse = msgspec.structs.replace(first, version=2, severity=Severity.CRITICAL, evidence=(LOW, HEAD), at_ns=at(65.0))
    over = msgspec.structs.replace(worse, version=3, state=AlertState.CLEARED, at_ns=at(100.0), cleared_at_ns=at(100.0))
    return [first, worse, over]


def _packs() -> list[Pack]:
    values = [90.0 if second < 60 or second > 95 else 60.0 for second in range(200)]
    alerts = _alerts()
    order = make_order(alerts[0], at_s=62.0)
    replace = msgspec.structs.replace
    sent = replace(order, version=2, state=OrderState.DISPATCHED, executor="ana", attempt=1, at_ns=at(63.0))
    back = replace(order, version=3, tried=("ana",), note="ana refused: no time", at_ns=at(64.0), attempt=1)
    again = replace(back, version=4, state=OrderState.DISPATCHED, executor="ben", attempt=2, at_ns=at(64.0))
    steps = [
        order, sent, back, again,
        replace(again, version=5, state=OrderState.ACCEPTED, at_ns=at(70.0)),
        replace(again, version=6, state=OrderState.DONE, note="filter cleaned", at_ns=at(95.0)),
        replace(again, version=7, state=OrderState.VERIFIED, note="filter cleaned", at_ns=at(160.0)),
    ]  # fmt: skip
    return [
        make_pack([make_batch(values, device="pump-1")], agent="gateway-1"),
        make_pack(alerts, agent="detector-1"),
        make_pack(steps, agent="scheduler"),
    ]


@pytest.fixture
def told(tmp_path: Path) -> Why:
    with _history(tmp_path / "recorder.db", _packs()) as history:
        return explain(history, history.alerts()[0])


def test_the_chain_is_whole_and_in_order(told: Why) -> None:
    """Reading, rule, alert, order, dispatch, answers and verification, each at its time."""
    assert [(step.what, (step.at_ns - at(0)) // 10**9) for step in told.steps] == [
        ("reading", 60), ("rule", 62), ("alert", 62), ("order", 62), ("dispatch", 63), ("answer", 64), ("dispatch", 64),
        ("alert", 65), ("answer", 70), ("answer", 95), ("alert", 100), ("verification", 160),
    ]  # fmt: skip
    texts = [step.text for step in told.steps]
    assert "ana refused: no time" in texts
    assert "to ben, attempt 2" in texts
    assert "done by ben: filter cleaned" in texts
    assert "now critical; head of pump-1, too, by `head low`" in texts


def test_it_says_which_sensors_by_how_much_and_what_was_normal(told: Why) -> None:
    """The strongest first; how far off in its unit and with its sign; the band open where nothing bounds it."""
    head, flow = told.sensors
    assert (head.metric, head.low, head.high, head.off) == ("head", 2.0, 3.0, -1.0)
    assert (flow.metric, flow.low, flow.high, flow.off, flow.unit) == ("flow", 80.0, None, -20.0, "m3/h")
    assert (told.gateway, told.origin, told.model) == ("gateway-1", "gateway-1/e0/7", "rules")
    assert (told.onset_at_ns, told.lasted_s) == (at(60.0), 40.0)


def test_the_curve_is_that_around_the_onset(told: Why) -> None:
    """As long before it as it lasted and twice as long after; a metric that left no readings has none."""
    head, flow = told.sensors
    assert (flow.curve[0][0], flow.curve[-1][0]) == (at(20.0), at(139.0))
    assert {spot[2] for spot in flow.curve} == {60.0, 90.0}
    assert head.curve == ()


def test_a_long_curve_is_short_and_keeps_its_extremes(tmp_path: Path) -> None:
    """An alert of an hour comes with 240 spots at most, the lowest value among them."""
    values = [90.0 if second != 5_000 else 1.0 for second in range(12_000)]
    alert = msgspec.structs.replace(
        make_alert(onset_s=4_000.0, at_s=7_600.0, state=AlertState.CLEARED), evidence=(LOW,)
    )
    packs = [make_pack([make_batch(values, device="pump-1")], agent="gateway-1"), make_pack([alert], agent="d")]
    with _history(tmp_path / "recorder.db", packs) as history:
        (sensor,) = explain(history, alert).sensors
    assert len(sensor.curve) <= MOST_POINTS
    assert min(spot[1] for spot in sensor.curve) == 1.0


def test_an_alert_that_joined_a_standing_order_finds_it(tmp_path: Path) -> None:
    """A second alert of the same asset and kind names the order of the first, and says that it stood already."""
    first = make_alert(onset_s=0.0, state=AlertState.CLEARED, version=2, at_s=10.0)
    second = make_alert(onset_s=20.0, at_s=21.0)
    order = make_order(first, at_s=1.0)
    packs = [make_pack([first, second], agent="d"), make_pack([order], agent="s")]
    with _history(tmp_path / "recorder.db", packs) as history:
        (part,) = explain(history, second).orders
        (own,) = explain(history, first).orders
    assert (part.id, part.opened) == (order.id, False)
    assert (own.id, own.opened) == (order.id, True)


def test_no_order_is_no_order(tmp_path: Path) -> None:
    """An alert that opened nothing, on an asset whose only order ended before, has none."""
    old = make_alert(onset_s=0.0, state=AlertState.CLEARED, version=2, at_s=10.0)
    over = make_order(old, state=OrderState.CANCELLED, at_s=11.0)
    alert = make_alert(onset_s=100.0, at_s=101.0)
    packs = [make_pack([old, alert], agent="d"), make_pack([over], agent="s")]
    with _history(tmp_path / "recorder.db", packs) as history:
        assert explain(history, alert).orders == ()


def _plain(rows: Sequence[Sequence[tuple[str, str]]]) -> list[str]:
    return ["".join(text for text, _ in row) for row in rows]


def test_a_sketch_shows_what_is_strange_without_colour() -> None:
    """Values beyond the band have a sign of their own; the band's edge has its number."""
    curve = [(second, value, value, value) for second, value in enumerate([90.0] * 30 + [60.0] * 30)]
    lines = _plain(sketch(curve, low=80.0, high=None, onset_at_ns=30, width=60, height=7))
    assert len(lines) == 7
    assert FINE.inside in lines[0]
    assert FINE.outside in lines[-1]
    assert FINE.outside not in lines[0]
    assert any(FINE.edge in line and float(line.split()[0]) == 80.0 for line in lines)
    assert all(FINE.onset in line for line in lines[1:-1])


def test_a_sketch_for_plain_terminals_is_ascii() -> None:
    """No sign beyond ASCII where the terminal knows no other."""
    curve = [(second, value, value, value) for second, value in enumerate([1.0, 2.0, 9.0])]
    assert "".join(_plain(sketch(curve, low=1.0, high=3.0, onset_at_ns=2, signs=COARSE))).isascii()


@given(
    st.lists(st.tuples(st.integers(0, 10**18), st.floats(-1e12, 1e12)), max_size=80),
    st.none() | st.floats(-1e12, 1e12),
    st.none() | st.floats(-1e12, 1e12),
    st.integers(5, 100),
    st.integers(2, 20),
)
def test_any_curve_can_be_sketched(
    points: list[tuple[int, float]], low: float | None, high: float | None, width: int, height: int
) -> None:
    """Whatever the values and bounds: as many lines as asked for, none too wide, nothing for nothing."""
    curve = [(at_ns, value, value, value) for at_ns, value in sorted(points)]
    lines = _plain(sketch(curve, low=low, high=high, onset_at_ns=0, width=width, height=height))
    assert len(lines) == (height if curve else 0)
    assert all(len(line) <= width + 30 for line in lines)
