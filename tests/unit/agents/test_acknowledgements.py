"""Acknowledging an alert: its detector notes who has seen it, once, and the alert goes on as ever."""

from __future__ import annotations

from edgemesh.model.alerts import Alert, AlertState, Severity
from edgemesh.model.commands import Acknowledgement, Command
from tests.unit.agents.test_detector import LIMITS, Plant, S, make_core, restored, save_into


def ack(alert: str) -> Command:
    return Command(id="ab" * 16, ack=Acknowledgement(alert=alert, by="ana"))


def test_an_alert_that_was_seen_goes_on() -> None:
    """It says who has seen it, stays so when it gets worse and over a restart, and clears as ever."""
    plant, parts = Plant(make_core()), dict[str, bytes]()
    (first, *_) = plant.feed(90.0, 70.0, 69.0, 68.0)
    (seen,) = plant.core.handle(ack(first.id))
    assert isinstance(seen, Alert)
    assert (seen.id, seen.version, seen.state, seen.by) == (first.id, 2, AlertState.ACKNOWLEDGED, "ana")
    assert seen.at_ns == plant.now_s * S
    assert plant.core.present([seen]) == {f"state/alert/{first.id}": seen}
    assert plant.core.handle(ack(first.id)) == []
    save_into(parts, plant.core)
    plant.core = restored(parts, LIMITS)
    worse = plant.feed(45.0, 44.0, 43.0, 42.0)
    assert [(each.state, each.severity) for each in worse] == [(AlertState.ACKNOWLEDGED, Severity.CRITICAL)]
    (over,) = plant.feed(*[90.0] * 6)
    assert (over.state, over.by, over.version) == (AlertState.CLEARED, "ana", 4)
    assert plant.core.handle(ack(first.id)) == []


def test_what_is_not_ours_changes_nothing() -> None:
    """An alert of another detector, and a command to somebody else, give no record and nothing to save."""
    plant = Plant(make_core())
    plant.feed(90.0, 70.0, 69.0, 68.0)
    plant.core.save()
    assert plant.core.handle(ack("cd" * 16)) == []
    assert plant.core.handle(Command(id="ab" * 16, end_silence="ab" * 16)) == []
    assert plant.core.save() == {}
