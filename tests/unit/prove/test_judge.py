"""The judge of a proof: it finds what is missing, what is there twice, and nothing else."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from edgemesh.drivers.count.ledger import Ledger, Span, next_sample, read_ledger
from edgemesh.errors import InputError
from edgemesh.model.alerts import Alert, AlertKind, AlertState, Severity
from edgemesh.model.orders import OrderState, Priority, WorkOrder
from edgemesh.model.packs import Alerts, Orders, Pack, Readings
from edgemesh.model.samples import Batch
from edgemesh.prove.faults import FAULTS, choose, plan
from edgemesh.prove.judge import Excursion, Verdict, count_alerts, find_excursions, judge
from edgemesh.prove.show import choose_or_refuse
from edgemesh.store.history import HistorySink

S = 10**9
ALERT, ORDER = "a" * 32, "b" * 32


def readings(seq: int, number: int, level: float, at_ns: int) -> Readings:
    batch = Batch(
        device="gw-0",
        asset="gw-0",
        metrics=("count", "level"),
        units=("1", "1"),
        at_ns=(at_ns,),
        values=((float(number),), (level,)),
    )
    return Readings(agent="gw", epoch="e", seq=seq, lowest=1, at_ns=at_ns, records=(batch,))


def alert(onset_ns: int, name: str = ALERT) -> Alert:
    return Alert(
        id=name,
        version=1,
        asset="gw-0",
        kind=AlertKind.MACHINE,
        state=AlertState.CLEARED,
        severity=Severity.WARNING,
        cause="level 1",
        evidence=(),
        onset_at_ns=onset_ns,
        raised_at_ns=onset_ns,
        at_ns=onset_ns,
        gateway="gw",
    )


def order(state: OrderState = OrderState.VERIFIED) -> WorkOrder:
    return WorkOrder(
        id=ORDER,
        version=1,
        asset="gw-0",
        alert=ALERT,
        state=state,
        title="look",
        cause="level",
        priority=Priority.P2,
        skills={},
        at_ns=S,
        opened_at_ns=S,
    )


def packs(*, orders: tuple[WorkOrder, ...] = (order(),), alerts: tuple[Alert, ...] | None = None) -> list[Pack]:
    """Samples 0 to 9 of one device, an excursion at 4 and 5, its alert and its order."""
    found: list[Pack] = [readings(k + 1, k, float(k in (4, 5)), (k + 1) * S) for k in range(10)]
    found.append(Alerts(agent="det", epoch="e", seq=1, lowest=1, at_ns=S, records=alerts or (alert(5 * S),)))
    found.append(Orders(agent="sch", epoch="e", seq=1, lowest=1, at_ns=S, records=orders))
    return found


def verdict(folder: Path, found: list[Pack], *, accepted: int = 10, starts: int = 1) -> Verdict:
    ledger = Ledger(str(folder / "gw"))
    ledger.write(Span(0, 12, accepted=False))
    ledger.write(Span(0, accepted, accepted=True))
    ledger.close()
    (folder / "starts").write_text(f"{ORDER} 1 ana 1\n" * starts)
    sink, connection = HistorySink(), sqlite3.connect(folder / "history.db", isolation_level=None)
    sink.prepare(connection)
    connection.execute("BEGIN")
    sink.write(connection, found)
    connection.execute("COMMIT")
    connection.close()
    return judge(folder / "history.db", folder, ("gw",), 1)


def test_all_well(tmp_path: Path) -> None:
    """What was accepted is there once, the excursion has its alert, the order was worked on once: good."""
    found = verdict(tmp_path, packs())
    assert found.good
    assert found.readings == {"accepted": 20, "lost": 0, "doubled": 0}
    assert found.alerts == {"expected": 1, "raised": 1, "lost": 0, "doubled": 0, "unexplained": 0}
    assert found.orders == {"opened": 1, "verified": 1, "started": 1, "lost": 0, "started_twice": 0}


def test_a_lost_reading_is_found(tmp_path: Path) -> None:
    """One accepted sample that is not in the history is two readings lost; one that was only put is none."""
    found = verdict(tmp_path, packs(), accepted=11)
    assert (found.readings["lost"], found.good) == (2, False)


def test_a_doubled_reading_is_found(tmp_path: Path) -> None:
    """The same sample again, at its own time or at another, took effect twice."""
    again = packs()
    same = verdict(tmp_path, [*again, readings(99, 3, 0.0, 4 * S)])
    assert (same.readings["doubled"], same.good) == (2, False)
    (tmp_path / "other").mkdir()
    other = verdict(tmp_path / "other", [*again, readings(99, 3, 0.0, 40 * S)])
    assert (other.readings["doubled"], other.good) == (1, False)


@pytest.mark.parametrize(
    ("alerts", "what"),
    [((alert(9 * S),), "lost"), ((alert(5 * S), alert(6 * S, "c" * 32)), "doubled")],
)
def test_a_lost_or_doubled_alert_is_found(tmp_path: Path, alerts: tuple[Alert, ...], what: str) -> None:
    """An excursion without an alert of its own, or with two, is not good."""
    found = verdict(tmp_path, packs(alerts=alerts))
    assert (found.alerts[what], found.good) == (1, False)


def test_an_order_without_end_and_work_begun_twice_are_found(tmp_path: Path) -> None:
    """An order that is still on its way when all is at rest is lost; a second start is one too many."""
    stuck = verdict(tmp_path, packs(orders=(order(OrderState.DONE),)))
    assert (stuck.orders["lost"], stuck.good) == (1, False)
    (tmp_path / "twice").mkdir()
    twice = verdict(tmp_path / "twice", packs(), starts=2)
    assert (twice.orders["started_twice"], twice.good) == (1, False)


def test_nothing_accepted_is_not_good(tmp_path: Path) -> None:
    """A proof in which nothing happened proves nothing."""
    assert not verdict(tmp_path, [], accepted=0).good


def test_excursions() -> None:
    """A stretch of samples above the limit is one excursion, also where it ends the data."""
    levels = [(k * S, level) for k, level in enumerate([0.0, 1.0, 1.0, 0.0, 1.0])]
    assert find_excursions("a", levels) == [Excursion("a", S, 2 * S), Excursion("a", 4 * S, 4 * S)]
    assert count_alerts([], [alert(S)])["unexplained"] == 1


def test_a_ledger_that_was_cut_off(tmp_path: Path) -> None:
    """A line that a kill cut off says nothing; counting goes on after the last whole one."""
    file = tmp_path / "ledger"
    file.write_text("put 0 5\naccepted 0 5\nput 5 3\nput 8")
    assert list(read_ledger(file)) == [Span(0, 5, False), Span(0, 5, True), Span(5, 3, False)]
    assert next_sample(file) == 8
    assert next_sample(tmp_path / "none") == 0


def test_a_plan_follows_from_its_seed() -> None:
    """The same seed gives the same faults; shares hold; what is asked for by name or number comes."""
    standard = choose(())
    assert plan(standard, 60, 1) == plan(standard, 60, 1) != plan(standard, 60, 2)
    counts = {fault.name: plan(standard, 60, 1).count(fault) for fault in standard}
    assert counts == {fault.name: fault.share for fault in FAULTS if fault.share}
    assert [fault.name for fault in choose(["F3", "broker_killed"])] == ["broker_killed", "detector_killed"]
    with pytest.raises(InputError, match="F99"):
        choose_or_refuse("F1,F99")
