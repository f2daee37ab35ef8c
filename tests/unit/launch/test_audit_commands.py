"""`edgemesh audit` and `edgemesh notices` as they are typed: what is printed, and the exit status."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from edgemesh.cli import main
from edgemesh.model.orders import WorkOrder
from edgemesh.notices.courier import Courier
from edgemesh.notices.settings import WebhookNotice
from edgemesh.notices.webhook import Webhook
from tests.unit.audit.records import Plant, change
from tests.unit.notices.stubs import HttpStub, Recorder, work_order


def call(*words: str) -> Result:
    return CliRunner().invoke(main, words)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The data folder of a scheduler that has seen one order through."""
    plant = Plant(tmp_path)
    plant.repair()
    plant.close()
    return tmp_path


def test_a_whole_audit_is_said_with_its_head(folder: Path) -> None:
    """Exit status 0; the head that is printed is accepted when it is given back."""
    result = call("audit", "verify", str(folder))
    assert (result.exit_code, result.output.splitlines()[0]) == (
        0,
        "scheduler: 6 entries, 1 to 6: whole; held against 6 versions of orders",
    )
    told = msgspec.json.decode(call("audit", "verify", str(folder), "--json").output)
    assert told["whole"] is True
    assert call("audit", "verify", str(folder), "--head", told["audits"][0]["head"]).exit_code == 0
    assert call("audit", "verify", str(folder), "--head", "6:" + "0" * 64).exit_code == 1
    assert call("audit", "verify", str(folder), "--head", "six").exit_code == 2


def test_a_place_is_a_configuration_a_folder_or_a_file(folder: Path) -> None:
    """As for `why` and `history`."""
    config = folder / "site.toml"
    config.write_text(f'[site]\nid = "test"\ndata = "{folder}"\n')
    for place in (config, folder, folder / "agents" / "scheduler.db"):
        assert call("audit", "verify", str(place)).exit_code == 0
        assert len(call("audit", "show", str(place)).output.splitlines()) == 6
    assert call("notices", str(config)).exit_code == 2


def test_a_fault_is_exit_status_one(folder: Path) -> None:
    """And says which entry."""
    change(folder / "agents" / "scheduler.db", "DELETE FROM audit WHERE seq = 3")
    result = call("audit", "verify", str(folder))
    assert result.exit_code == 1
    assert "deleted: entry 3: missing" in result.output


def test_decisions_are_shown_as_lines_or_json(folder: Path) -> None:
    """Of one order, or of none that there is."""
    lines = call("audit", "show", str(folder), "--json").output.splitlines()
    decisions = [msgspec.json.decode(line) for line in lines]
    assert [each["seq"] for each in decisions] == [1, 2, 3, 4, 5, 6]
    order = decisions[0]["decision"]["order"]
    assert len(call("audit", "show", str(folder), "--order", order[:6]).output.splitlines()) == 6
    assert call("audit", "show", str(folder), "--order", "0000").output == "no decision is held of that\n"
    assert call("audit", "show", str(folder), "--order", "x").exit_code == 2


def test_a_folder_without_an_audit_says_what_is_needed(tmp_path: Path) -> None:
    """Exit status 2, one line."""
    result = call("audit", "verify", str(tmp_path))
    assert result.exit_code == 2
    assert "there is no audit here" in result.stderr


def test_what_was_told_is_shown(tmp_path: Path) -> None:
    """How the channel stands, and what became of one order's events."""
    stub = HttpStub()
    settings = WebhookNotice(name="hook", url=stub.url)
    recorder = Recorder(tmp_path, settings)
    courier = Courier("hook", lambda: Webhook(settings), recorder.file, tmp_path / "notices.db", recorder.moved)
    try:
        order: WorkOrder = work_order()
        recorder.take(order)
        courier.step()
    finally:
        courier.close()
        recorder.close()
        stub.close()
    assert call("notices", str(tmp_path)).output == "hook: breaker closed; 0 wait, 1 done, 0 dead\n"
    assert (
        f"hook opened {order.id[:8]}: done after 1 tries" in call("notices", str(tmp_path), "--order", order.id).output
    )
    told = msgspec.json.decode(call("notices", str(tmp_path), "--json").output)
    assert told["channels"] == [["hook", "closed", "", 0, 1, 0]]
