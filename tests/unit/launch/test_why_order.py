"""`edgemesh why ORDER`: the whole story of an order out of history, log and audit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import pytest

from edgemesh.console.why import Why
from edgemesh.console.why_order import OrderWhy
from edgemesh.errors import InputError
from edgemesh.launch.why_order import order_lines, why_any, why_order
from edgemesh.model.alerts import AlertState
from edgemesh.model.orders import AnswerKind, WorkOrder
from edgemesh.testing import make_pack
from tests.unit.audit.records import Plant
from tests.unit.backtest.small_data import write_history
from tests.unit.dispatch.plant import alert


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    built = Plant(tmp_path)
    yield built
    built.close()


def recorded(plant: Plant, *, orders: int | None = None) -> Path:
    """What the recorder has of it: the alert, and so many versions of the order (None: all)."""
    alerts = [alert(), alert(state=AlertState.CLEARED, version=2)]
    packs = [make_pack(alerts, agent="d1")]
    versions = plant.orders()[:orders]
    if versions:
        packs.append(make_pack(versions, agent="scheduler"))
    return write_history(plant.file.parent / "recorder.db", packs)


def test_the_story_goes_from_the_sensor_to_the_signature(plant: Plant) -> None:
    """Reading, rule, alert, order, dispatch, each answer and the verification, in the order of their times."""
    plant.repair()
    order = plant.orders()[-1]
    told = why_order(order.id[:6], recorded(plant))
    assert told is not None
    assert [step.what for step in told.steps if step.what != "alert"] == [
        "reading", "rule", "order", "dispatch", "answer", "answer", "answer", "verification",
    ]  # fmt: skip
    assert (told.state, told.signed_by) == ("verified", "anna")
    assert [(each.number, each.executor, each.said, each.ended) for each in told.attempts] == [
        (1, "anna", "done", "verified")
    ]
    assert told.alert is not None
    assert told.alert.sensors[0].metric == "suction_pressure"


def test_each_step_says_which_decision_it_was(plant: Plant) -> None:
    """Its entry in the audit, and what that went by."""
    plant.repair()
    told = why_order(plant.orders()[0].id, recorded(plant))
    assert told is not None
    steps = {step.text: (step.entry, step.because) for step in told.steps}
    assert steps["accepted by anna"] == (3, "anna accepted attempt 1")
    assert steps["the sensor agrees, back in service"] == (6, "time")
    assert told.decisions == 6


def test_who_was_asked_in_vain_is_in_the_story(plant: Plant) -> None:
    """Each attempt with what was said and how it ended."""
    plant.anna()
    plant.alerts(alert())
    plant.say("anna", AnswerKind.REFUSED)
    told = why_order(plant.orders()[0].id, recorded(plant))
    assert told is not None
    assert told.attempts[0].ended.startswith("anna refused")
    assert told.escalated
    assert told.signed_by is None


def test_what_the_recorder_does_not_have_yet_comes_from_the_log(plant: Plant) -> None:
    """The scheduler's own log is read besides, so an order is told at once."""
    plant.repair()
    told = why_order(plant.orders()[0].id, recorded(plant, orders=2))
    assert told is not None
    assert told.version == 6


def test_one_command_for_both_kinds_of_id(plant: Plant) -> None:
    """An alert is told as an alert, an order as an order; what is neither says so."""
    plant.repair()
    history = recorded(plant)
    assert isinstance(why_any(alert().id, history), Why)
    assert isinstance(why_any("last", history), Why)
    assert isinstance(why_any(plant.orders()[0].id[:8].upper(), history), OrderWhy)
    for unknown in ("0000", "nonsense", "", "%"):
        with pytest.raises(InputError, match="no alert begins like this"):
            why_any(unknown, history)
    (history.parent / "text.db").write_text("no database")
    with pytest.raises(InputError, match="no history of edgemesh"):
        why_any("last", history.parent / "text.db")


def test_several_that_begin_alike_are_named(plant: Plant) -> None:
    """With enough of each id."""
    twins = [
        msgspec.structs.replace(each, id=id_)
        for each in _opened(plant)
        for id_ in ("ab" + "0" * 30, "ac" + "0" * 30, "ac1" + "0" * 29)
    ]
    history = write_history(plant.file.parent / "recorder.db", [make_pack(twins, agent="scheduler")])
    assert isinstance(why_any("ab", history), OrderWhy)
    with pytest.raises(InputError, match="several orders begin like this") as refused:
        why_any("ac", history)
    assert "ac000000, ac100000" in str(refused.value)


def _opened(plant: Plant) -> list[WorkOrder]:
    plant.alerts(alert())
    orders = plant.orders()[:1]
    assert not orders[0].id.startswith("a")
    return orders


def test_people_get_a_calm_timeline(plant: Plant) -> None:
    """One line a step, then attempts, instants and the signature; no control character of a peer's."""
    plant.anna()
    plant.alerts(alert(cause="hot\x1b[2J bearing"))
    plant.say("anna", AnswerKind.DONE)
    plant.alerts(alert(state=AlertState.CLEARED, version=2))
    plant.wait(61)
    told = why_order(plant.orders()[0].id, recorded(plant))
    assert told is not None
    lines = [click.unstyle(line) for line in order_lines(told)]
    assert "\x1b" not in "".join(lines)
    text = "\n".join(lines)
    assert "attempt 1: anna, done; verified" in text
    assert "signed by anna: no verdict" in text
    assert "occurred 2023-11-14T22:13:15Z; detected +3.0 s" in text
    assert lines[-1] == f"4 decisions of it: edgemesh audit show --order {told.id[:8]}"
