"""The audit book: what a scheduler decides is in its file with the decision, and nowhere without it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgemesh.agents.scheduler import SchedulerCore
from edgemesh.audit.book import PRUNE, AuditBook
from edgemesh.audit.reading import check, decisions
from edgemesh.dispatch.settings import DispatchSettings
from edgemesh.errors import LogError
from edgemesh.launch.audit import decision_lines, show, verdict_lines, verify
from edgemesh.model.alerts import AlertState
from edgemesh.model.orders import AnswerKind
from edgemesh.model.packs import Alerts
from edgemesh.wire import codec
from tests.unit.audit.records import Plant, change, decision
from tests.unit.dispatch.plant import START, alert


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    built = Plant(tmp_path)
    yield built
    built.close()


def found(folder: Path, **more: str) -> list[tuple[str, int, int]]:
    (answer,) = verify(folder, **more)  # type: ignore[arg-type]
    return [(fault.what, fault.first, fault.last) for fault in answer.faults]


def test_every_version_of_an_order_has_its_decision(plant: Plant, tmp_path: Path) -> None:
    """In order, with the state before, what came in, and who had it; the chain is whole and fits the orders."""
    plant.repair()
    told = [each for _, each in decisions(plant.file)]
    assert [(each.order, each.version) for each in told] == [(each.id, each.version) for each in plant.orders()]
    assert [each.before for each in told] == [None, *(each.after for each in told[:-1])]
    assert [each.because for each in told] == ["alerts", "alerts", "answers", "answers", "answers", "time"]
    assert told[0].alerts[0].id == alert().id
    assert told[2].answers[0].answer is AnswerKind.ACCEPTED
    assert {each.epoch for each in told} == {7}
    assert found(tmp_path) == []


def test_what_was_taken_from_whom_is_said(plant: Plant) -> None:
    """Anna goes down with an order that she has not begun: her card is the cause, and she had it."""
    plant.anna()
    plant.alerts(alert())
    plant.anna(up=False)
    last = decisions(plant.file)[-1][1]
    assert (last.before, last.after, last.taken_from, last.cards) == ("dispatched", "open", "anna", ("anna",))


def test_the_state_before_is_known_after_a_restart(plant: Plant) -> None:
    """And the chain goes on where it was."""
    plant.anna()
    plant.alerts(alert())
    plant.close()
    plant.open()
    plant.say("anna", AnswerKind.ACCEPTED)
    last = decisions(plant.file)[-1][1]
    assert (last.before, last.after) == ("dispatched", "accepted")
    assert check(plant.file).found.faults == []


def test_a_step_that_fails_leaves_no_decision(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same again leaves each once: decision and order are one transaction."""
    plant.anna()
    with monkeypatch.context() as patched:
        original = AuditBook.decide

        def fail(book: AuditBook, connection: sqlite3.Connection, *rest: object) -> None:
            original(book, connection, *rest)  # type: ignore[arg-type]
            raise sqlite3.OperationalError("disk I/O error")

        patched.setattr(AuditBook, "decide", fail)
        with pytest.raises((LogError, sqlite3.Error)):
            plant.alerts(alert())
    assert decisions(plant.file) == []
    assert plant.orders() == []
    plant._seq = 0
    plant.alerts(alert())
    assert [each.version for _, each in decisions(plant.file)] == [1, 2] == [each.version for each in plant.orders()]


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("DELETE FROM audit WHERE seq = 3", ("deleted", 3, 3)),
        ("UPDATE audit SET body = replace(body, 'anna', 'bert') WHERE seq = 3", ("edited", 3, 3)),
        ("UPDATE audit SET body = 'x' WHERE seq = 4", ("edited", 4, 4)),
        ("DELETE FROM audit WHERE seq > 4", ("cut", 5, 6)),
        ("DELETE FROM audit WHERE seq = 1", ("cut", 1, 1)),
        ("UPDATE audit SET seq = 100 WHERE seq = 2", ("moved", 100, 100)),
        ("UPDATE audit_mark SET seq = 4 WHERE name = 'head'", ("added", 5, 6)),
    ],
)
def test_each_kind_of_change_is_found(plant: Plant, tmp_path: Path, statement: str, what: tuple[str, int, int]) -> None:
    """By whoever has the file and SQLite, and named."""
    plant.repair()
    plant.close()
    change(plant.file, statement)
    assert what in found(tmp_path)


def test_a_cut_that_took_the_head_along_is_found_by_the_orders(plant: Plant, tmp_path: Path) -> None:
    """The chain alone fits; the order's versions in the log say what is missing."""
    plant.repair()
    plant.close()
    change(
        plant.file,
        "DELETE FROM audit WHERE seq > 4",
        "UPDATE audit_mark SET seq = 4, hash = (SELECT hash FROM audit WHERE seq = 4) WHERE name = 'head'",
    )
    assert check(plant.file).found.faults == []
    assert found(tmp_path) == [("cut", 5, 5), ("cut", 5, 5)]


def test_a_chain_written_anew_is_found_by_a_head_that_was_noted(plant: Plant, tmp_path: Path) -> None:
    """Of an audit that was whole then; the head that `verify` prints now holds later, when the chain has grown."""
    plant.repair()
    (answer,) = verify(tmp_path)
    plant.alerts(alert(number=1))
    assert found(tmp_path, head=answer.head) == []
    plant.close()
    change(
        plant.file,
        "DELETE FROM audit",
        "UPDATE audit_mark SET seq = 0, hash = zeroblob(32)",
    )
    plant.open()
    with plant.journal.begin() as transaction:
        AuditBook().decide(transaction.connection, [decision(number) for number in range(9)])
    assert check(plant.file).found.faults == []
    assert found(tmp_path, head=answer.head)[-1] == ("edited", 1, 6)


def test_an_order_that_was_changed_is_not_what_was_decided(plant: Plant, tmp_path: Path) -> None:
    """The decision holds the digest of its version."""
    plant.repair()
    history = tmp_path / "agents" / "recorder.db"
    change(history, "CREATE TABLE workorder_version (body BLOB)")
    order = codec.encode(plant.orders()[1]).decode()
    change(history, f"INSERT INTO workorder_version VALUES (CAST('{order.replace('anna', 'bert')}' AS BLOB))")
    assert found(tmp_path) == [("edited", 2, 2)]


def test_the_audit_is_bounded_and_still_whole(tmp_path: Path) -> None:
    """Beyond the limit a thousand go after a checkpoint; what is left is whole, and no more is let go than that."""
    plant = Plant(tmp_path, most=50)
    try:
        with plant.journal.begin() as transaction:
            AuditBook().decide(transaction.connection, [decision(number) for number in range(PRUNE + 49)])
        plant.engine.keep_house(0, keep_s=0.0)
        assert check(plant.file).found.entries == PRUNE + 49
        with plant.journal.begin() as transaction:
            AuditBook().decide(transaction.connection, [decision(5_000)])
        plant.engine.keep_house(0, keep_s=0.0)
        plant.engine.keep_house(0, keep_s=0.0)
        audit = check(plant.file)
        assert (audit.start.seq, audit.head.seq, audit.found.entries) == (PRUNE, PRUNE + 51, 51)
        assert audit.found.faults == []
    finally:
        plant.close()


def test_what_is_shown_is_of_the_order_asked_for(plant: Plant, tmp_path: Path) -> None:
    """By the beginning of its id; people get a line a decision with its cause."""
    plant.repair()
    plant.alerts(alert(number=1, asset="P-102"))
    order = plant.orders()[0].id
    told = show(tmp_path, order=order[:8])
    assert {each.decision.order for each in told} == {order}
    lines = decision_lines(told)
    assert len(lines) == 6
    assert "dispatched -> accepted anna by anna accepted attempt 1 (scheduler, epoch 7)" in lines[2]
    assert "new -> open" in lines[0]
    assert "by time" in lines[5]
    assert verdict_lines(verify(tmp_path))[0].startswith("scheduler: 8 entries, 1 to 8: whole")


def test_two_schedulers_of_a_folder_answer_for_each_other(plant: Plant, tmp_path: Path) -> None:
    """What one has decided is no cut in the audit of the other."""
    plant.repair()
    other = Plant(tmp_path / "other")
    try:
        other.wait(10)
        other.alerts(alert(number=7))
        history = tmp_path / "agents" / "recorder.db"
        change(history, "CREATE TABLE workorder_version (body BLOB)")
        for order in (*plant.orders(), *other.orders()):
            change(history, f"INSERT INTO workorder_version VALUES (CAST('{codec.encode(order).decode()}' AS BLOB))")
    finally:
        other.close()
    assert [what for what, _, _ in found(tmp_path)] == ["cut"]
    other.file.rename(tmp_path / "agents" / "second.db")
    assert [answer.faults for answer in verify(tmp_path)] == [(), ()]


def test_a_core_that_nobody_audits_notes_nothing() -> None:
    """A backtest and a benchmark play for hours, and nobody takes the decisions."""
    core = SchedulerCore("scheduler", "test", DispatchSettings(), {})
    core.tick(START)
    assert core.handle(Alerts(agent="d1", epoch="e", seq=1, lowest=1, at_ns=START, records=(alert(),)))
    assert core.decisions() == []


def test_a_cleared_alert_is_the_cause_of_a_cancelled_order(plant: Plant) -> None:
    """Its version is named, not that which opened the order."""
    plant.anna()
    plant.alerts(alert())
    plant.alerts(alert(state=AlertState.CLEARED, version=2))
    last = decisions(plant.file)[-1][1]
    assert (last.after, last.alerts[0].version, last.alerts[0].state) == ("cancelled", 2, "cleared")
