"""A whole plant that tells others: each step of one order goes out once, and its audit and story fit."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from edgemesh.agents import runtime
from edgemesh.bus.contract import Message
from edgemesh.bus.memory import MemoryBroker
from edgemesh.configuration.loading import load
from edgemesh.errors import ConfigError, InputError
from edgemesh.launch.audit import verify
from edgemesh.launch.notices import BusPublisher, notices_file
from edgemesh.launch.notices_show import find, lines_of
from edgemesh.launch.plant import journal_file
from edgemesh.launch.why_order import order_lines, why_order
from edgemesh.notices import courier
from tests.conftest import Until
from tests.contract.ticket_stubs import LOGIN, PASSWORD, JiraStub
from tests.unit.launch.small_plant import FILE, small_plant
from tests.unit.notices.stubs import HttpStub

TOLD = """
[[notice]]
name = "oncall"
type = "webhook"
url = "{hook}"
key = "secret"
on = ["fired", "opened", "dispatched", "done", "verified"]

[[notice]]
name = "board"
type = "mqtt"
topic = "plant/board"
on = ["verified"]

[[ticket]]
name = "jira"
type = "jira"
url = "{jira}"
project = "PLANT"
login = "{login}"
token = "{password}"
"""


def test_an_order_is_told_from_the_alert_to_its_verification(
    tmp_path: Path, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A webhook hears each step once, a board the end over MQTT, a ticket system has one ticket; the audit of the
    scheduler is whole and fits the orders in the history, and the story of the order ends with its signature.
    """
    monkeypatch.setattr(runtime, "HEARTBEAT_S", 0.1)
    monkeypatch.setattr(runtime, "TICK_S", 0.025)
    monkeypatch.setattr(courier, "EVERY_S", 0.02)
    hook, jira = HttpStub(), JiraStub()
    board: list[bytes] = []

    def read(message: Message) -> None:
        board.append(message.payload)
        message.settle()

    async def scenario() -> None:
        more = TOLD.format(hook=hook.url, jira=jira.url, login=LOGIN, password=PASSWORD)
        async with small_plant(tmp_path, more=more) as plant:
            reader = plant.broker.client("board")
            reader.subscribe("plant/board", read)
            await reader.open()
            file = notices_file(plant.configuration.data)
            await until(
                lambda: file.exists() and len(find(tmp_path / "data").channels) == 3 and len(jira.comments) >= 2, 30
            )
            await until(lambda: len(hook.requests) >= 5 and board, 30)
            await reader.close()

    try:
        asyncio.run(scenario())
        events = [msgspec.json.decode(request.body)["what"] for request in hook.requests]
        assert events == ["fired", "opened", "dispatched", "done", "verified"]
        assert [msgspec.json.decode(body)["what"] for body in board] == ["verified"]
        assert len(jira.tickets) == 1
        (answer,) = verify(tmp_path / "data")
        assert answer.faults == ()
        assert answer.versions == 2 * answer.entries
        order = msgspec.json.decode(hook.requests[1].body)["order"]["id"]
        told = why_order(order, journal_file(tmp_path / "data", "recorder"))
        assert told is not None
        assert (told.state, told.signed_by) == ("verified", "ana")
        assert all(step.entry for step in told.steps if step.what in ("order", "dispatch", "answer", "verification"))
        assert told.told == {"oncall": 4, "board": 1, "jira": 3}
        assert [(ticket.system, ticket.key) for ticket in told.tickets] == [("jira", "PLANT-1")]
        assert any(line.startswith("ticket PLANT-1 in jira, ") for line in order_lines(told))
        text = "\n".join(lines_of(find(tmp_path / "data", subject=order)))
        assert "oncall: breaker closed; 0 wait, 5 done, 0 dead" in text
        assert f"order {order[:8]}: ticket PLANT-1 in jira" in text
    finally:
        hook.close()
        jira.close()


def test_a_publisher_without_a_link_takes_nothing(tmp_path: Path) -> None:
    """Nor before it has a connection, nor after its loop is over; on a link it does."""
    publisher = BusPublisher()
    assert publisher("plant/board", b"{}", False) is False

    async def scenario() -> None:
        bus = MemoryBroker().client("recorder")
        publisher.bus, publisher.loop = bus, asyncio.get_running_loop()
        assert await asyncio.to_thread(publisher, "plant/board", b"{}", False) is False
        await bus.open()
        assert await asyncio.to_thread(publisher, "plant/board", b"{}", False) is True
        await bus.close()

    asyncio.run(scenario())
    assert publisher("plant/board", b"{}", False) is False


TICKET = '[[ticket]]\nname = "a"\ntype = "{}"\nurl = "http://h/"\nlogin = "l"\n'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[[notice]]\nname = "a"\ntype = "webhook"\nurl = "nowhere"', "must be an address"),
        ('[[notice]]\nname = "a"\ntype = "webhook"\nurl = "http://h/"\nkeey = "k"', "did you mean `key`"),
        ('[[notice]]\nname = "a"\ntype = "pigeon"', "pigeon"),
        ('[[notice]]\nname = "a"\ntype = "webhook"\nurl = "http://h/"\non = ["born"]', "born"),
        (TICKET.format("jira") + 'token = "t"\nproject = "P Q"', "project"),
        (TICKET.format("servicenow") + 'password = "p"\non = ["fired"]', "events of orders only"),
        (2 * '[[notice]]\nname = "a"\ntype = "mqtt"\ntopic = "a/b"\n', "called `a`"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_the_configuration_is_said_at_the_start(tmp_path: Path, text: str, problem: str) -> None:
    """With the file, the key and what would be right; never a secret."""
    file = tmp_path / "plant.toml"
    file.write_text(FILE.format(data=tmp_path) + "\n" + text)
    with pytest.raises(ConfigError, match=problem):
        load(file)


def test_notices_need_a_recorder(tmp_path: Path) -> None:
    """Its file is where they wait."""
    file = tmp_path / "plant.toml"
    text = FILE.format(data=tmp_path).replace("[recorder]", "")
    file.write_text(text + '\n[[notice]]\nname = "a"\ntype = "mqtt"\ntopic = "a/b"\n')
    with pytest.raises(ConfigError, match="recorder"):
        load(file)


def test_where_nothing_was_told_it_is_said(tmp_path: Path) -> None:
    """With what is needed for it."""
    with pytest.raises(InputError, match="nothing was told here"):
        find(tmp_path)
